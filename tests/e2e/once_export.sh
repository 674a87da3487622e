#!/bin/bash
# SPDX-License-Identifier: MIT
# Our own export on metered interfaces: counted like everything, but no record about it brings forth the next. Then
# sampling: each packet decides for itself, counts stay as they are, the collector knows the rate.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/once_lib.sh"
require_root jq nfcapd nfdump ss

router_make

idle_s=8

# The collector stands behind wan0. Nothing but the export crosses: without care it would go round with every idle
# timeout.
feedback() { # NAME udp|tcp ADDRESS
	rm -f "$work/far.out"
	spawn wan "$work/far.out" "$strict" listen "$2" "$3" 4739 "$work/far.rec"
	local collector=$spawned
	wait_for 5 grep -q ready "$work/far.out" || bail "strict.py: $(cat "$work/far.out")"
	daemon_config "$work/bpflowd.yaml" <<-END
		metering:
		  interfaces: ["*", "!lo"]
		  drain_interval: 100ms
		  idle_timeout: 1s
		  active_timeout: 2s
		collectors:
		  - name: far
		    address: "$3"
		    transport: $2
		    template: $src/tests/data/once.yaml
	END
	daemon_start r "$work/bpflowd.yaml"
	sleep "$idle_s"
	check "$1: nothing vanishes" conserved
	check "$1: SIGTERM ends it with status 0" daemon_stop
	stop "$collector"
	"$strict" check "$work/far.rec" --records | jq -r 'select(.options == false and ."2" > 0)
		| select(."7" == 4739 or ."11" == 4739) | "\(."61") \(."2") \(."136") \(."10") \(."14")"' >"$work/own"
	diag "$1: $(wc -l <"$work/own") records about the export in $idle_s s: $(tr '\n' ';' <"$work/own")"
	# out, and over TCP in: one record in each active timeout, the last at the end
	is "$(awk -v most=$((idle_s / 2 + 1)) '{ n[$1]++ }
		END { for (way in n) if (n[way] < 3 || n[way] > most) print way, n[way]; if (!n[1]) print "none" }' "$work/own")" "" \
		"$1: a record in each active timeout"
	is "$(awk '$3 != 2 && $3 != 4' "$work/own")" "" "$1: none for idleness"
	is "$(awk 'NR > 3 && $2 > 6' "$work/own")" "" "$1: and they do not grow"
}

conserved() {
	local tries
	for tries in {1..50}; do
		ctl show stats --json >"$work/stats.json"
		jq -e '
			def sum($name): [.metrics[] | select(.name | endswith($name)) | .samples[].value] | add // 0;
			sum("observed_packets_total") > 0 and sum("observed_packets_total") == sum("cached_packets")
				+ sum("exported_packets_total") + sum("queued_packets") + sum("skipped_packets_total") + sum("lost_packets_total")
			' "$work/stats.json" && return
		sleep 0.1
	done
	return 1
}

sampling() {
	local packets total
	daemon_config "$work/bpflowd.yaml" <<-END
		metering:
		  interfaces: ["*", "!lo"]
		  sampling: 10
		collectors:
		  - {name: nfcapd, address: 127.0.0.1, port: 9995}
		  - {name: nfcapd9, address: 127.0.0.1, port: 9996, protocol: netflow9}
		  - {name: strict, address: 127.0.0.1, port: 4739}
	END
	nfcapd_start r 9995
	spawn r "$work/nfcapd9.log" nfcapd -w "$work" -b 127.0.0.1 -p 9996 -t 3600
	local nfcapd9=$spawned
	wait_for 5 udp_bound r 9996
	strict_start r udp 4739
	daemon_start r "$work/bpflowd.yaml"
	# packet after packet another of ten flows: a count that goes round would see one of them alone
	from_lan 10.16.1.1 10.63.0.1 100000 10
	check "sampling: flush" ctl flush
	total=$(($(metric unsampled_packets_total) + $(metric observed_packets_total)))
	check "sampling: SIGTERM ends it with status 0" daemon_stop
	nfcapd_stop r 9995
	stop "$nfcapd9"
	strict_stop --src 10.16.1.0/24
	packets=$(strict packets)
	diag "sampling: $packets of 100000 packets"
	is "$total" 100000 "sampling: every packet was observed or left out"
	ok "$((packets < 9400 || packets > 10600))" "sampling: one in ten, counts as they are"
	ok "$(($(strict 'networks["10.16.1.0/24"].flow_packets_min') < 800))" "sampling: of each flow"
	is "$(nfdump_sums 'src net 10.16.1.0/24')" "$((packets * 10)) $(($(strict octets) * 10))" "sampling: nfdump scales IPFIX"
	nfcapd_file=$(ls "$work"/nfcapd.2*)
	is "$(nfdump_sums 'src net 10.16.1.0/24')" "$((packets * 10)) $(($(strict octets) * 10))" "sampling: nfdump scales NetFlow v9"
}

feedback "UDP" udp 10.2.0.2
feedback "TCP" tcp 10.2.0.2
feedback "UDP over IPv6" udp fd02::2
sampling
done_testing

#!/bin/bash
# SPDX-License-Identifier: MIT
# Nothing vanishes unseen: the equation of metrics.def holds on what /metrics says, for each collector, to the packet and
# the octet, whatever loses something on the way. The page is what Prometheus takes, and comes while flows are sent.
. "$(dirname "$0")/../lib.sh"
require_root jq curl promtool ss

netns_add a b
veth_pair a veth0 b veth1
sed '/name: non_ip/,$d' "$src/templates/standard.yaml" >"$work/ip_only.yaml"
cat >"$work/no_ipv6.yaml" <<-END
	records:
	  - name: ipv4
	    match: [ipv4]
	    fields: [sourceIPv4Address, packetDeltaCount, octetDeltaCount, flowStartMilliseconds, flowEndMilliseconds]
END

config() { # MAX-FLOWS COLLECTORS
	daemon_config "$work/bpflowd.yaml" <<-END
		metering:
		  interfaces: [veth1]
		  max_flows: $1
		  drain_interval: 100ms
		  active_timeout: 2s
		  idle_timeout: 500ms
		collectors:
		$2
	END
	sed -i 's/listen: ""/listen: 127.0.0.1:9469/' "$work/bpflowd.yaml"
}

page() { in_ns b curl -sS --max-time "${1:-5}" -o "$work/page" http://127.0.0.1:9469/metrics; }
health() { in_ns b curl -sS --max-time 5 -o "$work/health" -w '%{http_code}' http://127.0.0.1:9469/healthz; }
is_health() { [[ $(health) == "$1" ]]; }

# Sum of the samples of a metric whose labels hold all the given text.
on_page() { # NAME [LABELS...]
	awk -v name="bpflowd_$1" -v labels="${*:2}" '
		BEGIN { n = split(labels, wanted, " ") }
		index($1, name "{") == 1 || $1 == name {
			for (i = 1; i <= n; i++)
				if (!index($0, wanted[i]))
					next
			sum += $NF
		}
		END { printf "%d\n", sum }' "$work/page"
}

equation() { # packets|octets COLLECTOR: both sides, and the right side part by part
	local unit=$1 collector="collector=\"$2\"" place
	left=$(on_page "observed_${unit}_total")
	right=$(on_page "cached_$unit")
	for place in flow_table ring_buffer flow_cache; do
		right=$((right + $(on_page "lost_${unit}_total" "place=\"$place\"")))
	done
	for place in queue send; do
		right=$((right + $(on_page "lost_${unit}_total" "$collector" "place=\"$place\"")))
	done
	right=$((right + $(on_page "exported_${unit}_total" "$collector") + $(on_page "queued_$unit" "$collector") +
		$(on_page "skipped_${unit}_total" "$collector")))
}

balanced() { # COLLECTOR...: on a fresh page, when traffic has rested for a drain interval
	local collector unit
	page || return
	for collector in "$@"; do
		for unit in packets octets; do
			equation "$unit" "$collector"
			[[ $left -eq $right ]] || { echo "$collector: $unit observed $left, accounted for $right" && return 1; }
		done
	done
}

conserved() { # NAME COLLECTOR...
	wait_for 5 balanced "${@:2}"
	check "$1: what was observed is accounted for, for: ${*:2}" balanced "${@:2}"
	check "$1: promtool takes the page" promtool check metrics <"$work/page"
}

flood() { # NAME FLOWS PACKETS [OPTIONS of blast]
	send a veth0 --dst-mac "$(mac_of b veth1)" --src "$1" --dst "$([[ $1 == *:* ]] && echo fd01::1 || echo 10.63.0.1)" \
		--flows "$2" --packets "$3" --size 60-1400 "${@:4}"
	total_packets=$((total_packets + $(sent packets)))
	total_octets=$((total_octets + $(sent octets)))
}

# ---- collectors of every kind, one dead with a tiny queue

config 65536 "
  - {name: good, address: 127.0.0.1, port: 4739}
  - {name: record, address: 127.0.0.1, port: 4739, template: nfdump}
  - {name: v9, address: 127.0.0.1, port: 4739, protocol: netflow9}
  - {name: no_ipv6, file: $work/no_ipv6.ipfix, template: $work/no_ipv6.yaml}
  - {name: refused, address: 127.0.0.1, port: 1}
  - {name: dead, address: 127.0.0.1, port: 1, transport: tcp, queue_size: 100k}
  - {name: fast, address: 127.0.0.1, port: 4739, group: g, group_mode: balance}
  - {name: slow, address: 127.0.0.1, port: 4739, group: g, group_mode: balance, max_rate: 100, queue_size: 1M}"
total_packets=0
total_octets=0
strict_start b udp 4739
daemon_start b "$work/bpflowd.yaml"
everyone="good record v9 no_ipv6 refused dead fast slow"
check "healthy" wait_for 5 is_health 200
conserved "before anything" $everyone

# each value of a label that has a fixed set of them is told in bpflowd(8), and what is told there can be met
label_values() { # LABEL METRIC-PATTERN
	sed -n "s/^bpflowd_\($2\){\(.*,\)\?$1=\"\([^\"]*\)\".*/\3/p" "$work/page" | sort -u
}
told_values() { # BEGINNING OF THE ENTRY: the words that stand as values in it
	awk -v entry=".It Cm $1" '
		index($0, entry) == 1 { inside = 1; next }
		!inside { next }
		/^\.Bl/ { depth++; next }
		/^\.El/ { if (!depth--) exit; next }
		/^\.It/ && !depth { exit }
		/^\.It Cm/ && depth || /^\.Cm/ && !depth { print }' "$src/man/bpflowd.8" |
		sed 's/^\.It//; s/^ *\.\?Cm//' | tr -s ' ,:' '\n' | grep . | sort -u
}
while read -r label pattern entry; do
	is "$(told_values "$entry" | xargs)" "$(label_values "$label" "$pattern" | xargs)" "bpflowd(8) tells each $entry, and no other"
done <<-END
	place lost_[pof][a-z]*_total place No of lost_packets_total
	place lost_signals_total place No of lost_signals_total
	reason flows_ended_total reason No of flows_ended_total
	direction [a-z_]* direction
	side rtt_seconds_count side No of rtt_seconds
	result reloads_total result No of reloads_total
	program program_runs_total program
END
is "$(told_values "mode No of interface_attached" | xargs)" "clsact tcx" "bpflowd(8) tells each mode"
check "the mode is one of them" grep -q 'interface_attached{.*mode="\(tcx\|clsact\)"' "$work/page"

flood 10.64.0.1 20000 60000
conserved "while flows are held" $everyone
flood fd00::1 3000 9000
check "flush" ctl flush
conserved "after a flush" $everyone
is "$(on_page observed_packets_total) $(on_page observed_octets_total)" "$total_packets $total_octets" "all was observed"
ok "$(($(on_page skipped_packets_total 'collector="no_ipv6"') != 9000))" "what a template has no record for is skipped"
ok "$(($(on_page lost_packets_total 'collector="dead"' 'place="queue"') == 0))" "a full queue loses, and says so"
ok "$(($(on_page lost_packets_total 'collector="refused"' 'place="send"') == 0))" "a refusal loses, and says so"
ok "$(($(on_page queued_packets 'collector="slow"') == 0))" "a slow one has a queue"
is "$(on_page exported_packets_total 'collector="good"')" "$total_packets" "the good one has all"
is "$(on_page exported_packets_total 'collector="record"')" "$total_packets" "drops in records of their own count no packet twice"
sed -i '/name: record/d; /name: slow/d; s/group: g, group_mode: balance//; s/^metering:/&\n  direction: ingress/' "$work/bpflowd.yaml"
check "reload" ctl reload
flood 10.65.0.1 1000 3000
conserved "after a reload" good v9 no_ipv6 refused dead fast
check "SIGTERM ends it with status 0" daemon_stop
stop "$strict_pid"

# ---- a table that is far too small, a ring that nobody reads; health

config 64 "
  - {name: good, file: $work/good.ipfix}"
daemon_start b "$work/bpflowd.yaml"
flood 10.64.0.1 50000 100000
conserved "a full table" good
kill -STOP "$daemon_pid"
flood 10.65.0.1 50000 100000
kill -CONT "$daemon_pid"
check "flush" ctl flush
conserved "a full ring" good
ok "$(($(on_page lost_packets_total 'place="ring_buffer"') == 0))" "it lost something, and says so"
is "$(health)" 200 "healthy"
config 64 "
  - {name: dead, address: 127.0.0.1, port: 4750, transport: tcp, reconnect_interval: 200ms}"
check "another collector, which is down" ctl reload
check "not healthy without a collector" wait_for 5 is_health 503
is "$(cat "$work/health")" "no collector takes data" "it says why"
strict_start b tcp 4750
check "healthy when it is there" wait_for 5 is_health 200
sed -i 's/interfaces: .*/interfaces: [nothing*]/' "$work/bpflowd.yaml"
check "no interface" ctl reload
check "not healthy without an interface" wait_for 5 is_health 503
is "$(cat "$work/health")" "no interface is metered" "it says why"
conserved "at the end" dead
check "SIGTERM ends it with status 0" daemon_stop
stop "$strict_pid"

# ---- the page while 100,000 flows are drained and sent

config 262144 "
  - {name: one, address: 127.0.0.1, port: 4739}
  - {name: two, address: 127.0.0.1, port: 4739, template: full}
  - {name: three, file: $work/three.ipfix}"
strict_start b udp 4739
daemon_start b "$work/bpflowd.yaml"
flood 10.64.0.1 100000 200000 &
flooding=$!
n_pages=0
n_late=0
until gone $flooding && [[ $n_pages -ge 20 ]]; do
	begin=${EPOCHREALTIME/./}
	page 5 || break
	took_ms=$(((${EPOCHREALTIME/./} - begin) / 1000))
	n_late=$((n_late + (took_ms > 1000)))
	n_pages=$((n_pages + 1))
done
wait $flooding
ctl flush >"$work/flush.out" &
flushing=$!
begin=${EPOCHREALTIME/./}
check "a page while everything is sent" page 5
took_ms=$(((${EPOCHREALTIME/./} - begin) / 1000))
wait $flushing
diag "$n_pages pages while flows came, $n_late of them late; $took_ms ms while all were sent"
# one may be late for reasons of its own: the machine has other work
ok "$((n_late > 1 || took_ms > 1000 || n_pages < 20))" "within a second"
conserved "100,000 flows" one two three
check "SIGTERM ends it with status 0" daemon_stop
done_testing

#!/bin/bash
# SPDX-License-Identifier: MIT
# A router of three namespaces at full speed, with nothing, bpflowd, softflowd and pmacctd metering it, each exporting to
# nfcapd. Rounds are interleaved; printed are medians: packets forwarded per second, the share kept of a router that
# meters nothing, CPU time of the exporter's process per packet, and what the collector heard of what was forwarded.
#   router.sh [PACKETS [ROUNDS [FLOWS...]]]
. "$(dirname "$0")/router_lib.sh"
require_root jq nfcapd nfdump ss softflowd pmacctd iptables

packets=${1:-1500000}
rounds=${2:-3}
flow_counts=("${@:3}")
[[ ${#flow_counts[@]} -gt 0 ]] || flow_counts=(1 10000 100000)
router_make

start_softflowd() {
	spawn router "$work/softflowd.log" softflowd -d -i lan1 -n 127.0.0.1:9995 -v 9 -m 400000 -p "$work/softflowd.pid" \
		-c "$work/softflowd.ctl" -t maxlife=60
	exporter_pid=$spawned
}

start_pmacctd() {
	cat >"$work/pmacctd.conf" <<-END
		pcap_interface: lan1
		plugins: nfprobe[n]
		aggregate: src_host, dst_host, src_port, dst_port, proto, tos, in_iface, out_iface, tcpflags
		nfprobe_receiver: 127.0.0.1:9995
		nfprobe_version: 10
		nfprobe_maxflows: 400000
		plugin_pipe_size: 268435456
		plugin_buffer_size: 262144
		pcap_filter: ip
	END
	spawn router "$work/pmacctd.log" pmacctd -f "$work/pmacctd.conf"
	exporter_pid=$spawned
}

ticks_of() { # PID: CPU ticks of it and its children
	local p total=0
	for p in $1 $(pgrep -P "$1"); do
		total=$((total + $(cut -d')' -f2 "/proc/$p/stat" | awk '{print $12 + $13}')))
	done
	echo "$total"
}

round() { # EXPORTER FLOWS: appends "pps cpu-ns-per-packet accounted-percent" to its file
	local ticks=0 heard
	rm -rf "$work/nfcapd"
	nfcapd_start router 9995
	"start_$1"
	sleep 1 # the peers say nowhere that they are ready
	[[ -z $exporter_pid ]] || ticks=$(ticks_of "$exporter_pid") # starting is not counted
	router_blast --flows "$2" --packets "$packets"
	if [[ -n $exporter_pid ]]; then
		[[ $1 != softflowd ]] || softflowctl -c "$work/softflowd.ctl" expire-all >/dev/null # TERM loses its cache
		ticks=$(($(ticks_of "$exporter_pid") - ticks))
		stop "$exporter_pid" "$([[ $1 == pmacctd ]] && echo INT || echo TERM)" || :
	fi
	wait_for 20 udp_empty router 9995 || :
	nfcapd_stop router 9995
	heard=$(nfdump_sums "src net 10.64.0.0/10" | cut -d' ' -f1)
	echo "$((forwarded * 1000000 / microseconds)) $((ticks * 10000000 / (forwarded + 1))) $(echo "$heard $arrived" |
		awk '{printf "%.2f", 100 * $1 / $2}')" >>"$work/$1.$2"
}

exporters=(none bpflowd softflowd pmacctd)
for flows in "${flow_counts[@]}"; do
	for _ in $(seq "$rounds"); do
		for e in "${exporters[@]}"; do round "$e" "$flows"; done
	done
	none=$(cut -d' ' -f1 "$work/none.$flows" | median)
	printf '%s flows, 46-octet UDP        packets/s   kept   ns/packet in the process   accounted\n' "$flows"
	for e in "${exporters[@]}"; do
		pps=$(cut -d' ' -f1 "$work/$e.$flows" | median)
		printf '  %-24s %12s   %.2f   %10s   %21s %%\n' "$e" "$pps" "$(echo "$pps $none" | awk '{print $1 / $2}')" \
			"$(cut -d' ' -f2 "$work/$e.$flows" | median)" "$(cut -d' ' -f3 "$work/$e.$flows" | median)"
	done
done

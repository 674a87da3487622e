#!/bin/bash
# SPDX-License-Identifier: MIT
# A router of three namespaces at full speed, with nothing, bpflowd, softflowd and pmacctd metering it, each exporting to
# nfcapd. Rounds are interleaved; printed are medians: packets forwarded per second, the share kept of a router that
# meters nothing, CPU time of the exporter's process per packet, and what the collector heard of what was forwarded.
#   router.sh [PACKETS [ROUNDS [FLOWS...]]]
. "$(dirname "$0")/../lib.sh"
require_root jq nfcapd nfdump ss softflowd pmacctd ethtool

packets=${1:-1500000}
rounds=${2:-3}
flow_counts=("${@:3}")
[[ ${#flow_counts[@]} -gt 0 ]] || flow_counts=(1 10000 100000)

netns_add lan router wan
veth_pair lan lan0 router lan1
veth_pair router wan1 wan wan0
connect_ends lan lan0 10.1.0.1 router lan1 10.1.0.254 24
connect_ends router wan1 10.2.0.254 wan wan0 10.2.0.1 24
in_ns router sysctl -qw net.ipv4.ip_forward=1
in_ns router ip route add 10.64.0.0/10 dev lan1 scope link
in_ns wan ip route add default via 10.2.0.254
in_ns router ip neigh replace 10.2.0.1 lladdr "$(mac_of wan wan0)" dev wan1
in_ns wan iptables -I INPUT -i wan0 -j DROP 2>/dev/null

start_none() { exporter_pid=; }

start_bpflowd() {
	daemon_config "$work/bpflowd.yaml" <<-END
		metering:
		  interfaces: ["lan1", "wan1"]
		  max_flows: 262144
		collectors:
		  - name: nfcapd
		    address: 127.0.0.1
		    port: 9995
	END
	daemon_start router "$work/bpflowd.yaml"
	exporter_pid=$daemon_pid
}

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
	local before after begun ended ticks=0 arrived forwarded heard
	rm -rf "$work/nfcapd"
	nfcapd_start router 9995
	"start_$1"
	sleep 1 # the peers say nowhere that they are ready
	[[ -z $exporter_pid ]] || ticks=$(ticks_of "$exporter_pid") # starting is not counted
	before=$(statistic wan wan0 rx.packets)
	arrived=$(statistic router lan1 rx.packets)
	begun=${EPOCHREALTIME/./}
	send lan lan0 --dst-mac "$(mac_of router lan1)" --src 10.64.0.1 --dst 10.2.0.1 --flows "$2" --size 46 \
		--packets "$packets"
	ended=${EPOCHREALTIME/./}
	after=$(statistic wan wan0 rx.packets)
	arrived=$(($(statistic router lan1 rx.packets) - arrived))
	forwarded=$((after - before))
	if [[ -n $exporter_pid ]]; then
		[[ $1 != softflowd ]] || softflowctl -c "$work/softflowd.ctl" expire-all >/dev/null # TERM loses its cache
		ticks=$(($(ticks_of "$exporter_pid") - ticks))
		stop "$exporter_pid" "$([[ $1 == pmacctd ]] && echo INT || echo TERM)" || :
		daemon_pid=
	fi
	wait_for 20 udp_empty router 9995 || :
	nfcapd_stop router 9995
	heard=$(nfdump_sums "src net 10.64.0.0/10" | cut -d' ' -f1)
	echo "$((forwarded * 1000000 / (ended - begun))) $((ticks * 10000000 / (forwarded + 1))) $(echo "$heard $arrived" |
		awk '{printf "%.2f", 100 * $1 / $2}')" >>"$work/$1.$2"
}

median() { sort -n | awk '{a[NR] = $1} END {print a[int((NR + 1) / 2)]}'; }

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

# SPDX-License-Identifier: MIT
# The router of three namespaces that router.sh and inline.sh measure; sourced by them.
. "$(dirname "$0")/../lib.sh"

router_make() {
	netns_add lan router wan
	veth_pair lan lan0 router lan1
	veth_pair router wan1 wan wan0
	connect_ends lan lan0 10.1.0.1 router lan1 10.1.0.254 24
	connect_ends router wan1 10.2.0.254 wan wan0 10.2.0.1 24
	in_ns router sysctl -qw net.ipv4.ip_forward=1
	in_ns router ip route add 10.64.0.0/10 dev lan1 scope link
	in_ns wan ip route add default via 10.2.0.254
	in_ns wan iptables -I INPUT -i wan0 -j DROP
}

start_none() { exporter_pid=; }

start_bpflowd() {
	daemon_config "$work/bpflowd.yaml" <<-END
		metering:
		  interfaces: ["lan1", "wan1"]
		  max_flows: ${max_flows:-262144}
		collectors:
		  - name: nfcapd
		    address: 127.0.0.1
		    port: 9995
	END
	daemon_start router "$work/bpflowd.yaml"
	exporter_pid=$daemon_pid
	daemon_pid=
}

# Packets forwarded per second while the generator runs.
router_blast() { # OPTIONS of blast...: sets $forwarded, $arrived and $microseconds
	local before arrived_before begun
	before=$(statistic wan wan0 rx.packets)
	arrived_before=$(statistic router lan1 rx.packets)
	begun=${EPOCHREALTIME/./}
	send lan lan0 --dst-mac "$(mac_of router lan1)" --src 10.64.0.1 --dst 10.2.0.1 --size 46 "$@"
	microseconds=$((${EPOCHREALTIME/./} - begun))
	forwarded=$(($(statistic wan wan0 rx.packets) - before))
	arrived=$(($(statistic router lan1 rx.packets) - arrived_before))
}

median() { sort -n | awk '{a[NR] = $1} END {print a[int((NR + 1) / 2)]}'; }

#!/bin/bash
# SPDX-License-Identifier: MIT
# DNS where only ingress is metered: what the router forwards is seen once, where it came in, also over a bridge; what it
# sends itself is seen where it leaves. A device that goes is forgotten.
. "$(dirname "$0")/../lib.sh"
require_root jq bpftool dnsmasq dig

netns_add client router server
veth_pair client c0 router lan
veth_pair router wan server s0
in_ns router ip link add br0 type bridge
in_ns router ip link set lan master br0
in_ns router ip link set br0 up
for end in "client c0 10.9.1.2" "router br0 10.9.1.1" "router wan 10.9.2.1" "server s0 10.9.2.2"; do
	read -r ns interface address <<<"$end"
	in_ns "$ns" ip address add "$address/24" dev "$interface"
done
in_ns client ip route add default via 10.9.1.1
in_ns server ip route add default via 10.9.2.1
in_ns router sysctl -qw net.ipv4.ip_forward=1
in_ns server dnsmasq --keep-in-foreground --no-resolv --no-hosts --no-daemon --conf-file=/dev/null --pid-file= --user=root \
	--listen-address=10.9.2.2 --bind-interfaces --address=/example.org/192.0.2.1 >"$work/dns.log" 2>&1 &
children+=("$!")
wait_for 5 udp_bound server 53

daemon_config "$work/bpflowd.yaml" <<-END
	metering:
	  interfaces: [lan, br0, wan, gone]
	  direction: ingress
	  drain_interval: 100ms
	  active_timeout: 600s
	  idle_timeout: 300s
	collectors:
	  - name: file
	    file: $work/flows.ipfix
	    template: full
END
daemon_start router "$work/bpflowd.yaml"

# Objects that programs of this name hold, of the daemon's.
program() { # NAME
	bpf_objects "$daemon_pid" | sed -n 's/^prog_id //p' | while read -r prog; do
		bpftool -j prog show id "$prog" | jq -c "select(.name == \"$1\")"
	done
}
queue_is_hooked() { [[ -n $(program trace_net_packets) ]]; }
wait_for 10 queue_is_hooked || bail "no trace_net_packets"
known() { # indexes of interfaces that trace_net_packets knows
	local map
	for map in $(program trace_net_packets | jq -r '.map_ids[]'); do
		if [[ $(bpftool -j map show id "$map" | jq -r .name) == metered_interf* ]]; then
			bpftool -j map dump id "$map" | jq -r '.[].formatted.key // (.[].key | map(ltrimstr("0x")) | reverse | "0x" + join(""))' |
				while read -r key; do echo $((key)); done | sort -n | xargs
		fi
	done
}
index_of() { in_ns router ip -j link show dev "$1" | jq ".[0].ifindex"; }
bridged() { printf '%s\n' "$(index_of lan)" "$(index_of br0)" "$(index_of wan)" | sort -n | xargs; }
knows() { [[ $(known) == "$1" ]]; }
wait_for 5 knows "$(bridged)"
is "$(known)" "$(bridged)" "the devices that it knows: ports and the bridge over them"

values() { # CONDITION FIELDS
	ctl show flows --json | jq -r "[.flows[] | select($1)] | if length == 1 then .[0] | [$2] | map(. // 0 | tostring) | join(\" \")
		else \"\(length) flows\" end"
}
becomes() { # CONDITION FIELDS WANTED NAME
	is_so() { [[ $(values "$1" "$2") == "$3" ]]; }
	wait_for 5 is_so "$1" "$2" "$3"
	is "$(values "$1" "$2")" "$3" "$4"
}
ask() { in_ns "$1" dig +tries=1 +time=2 "${@:2}" >>"$work/dig.log" 2>&1; }
dns=".dnsQuestionName, .dnsAnsweredCount, (.dnsLatencyMicroseconds // 0) > 0"
ask client -b 10.9.1.2#4100 @10.9.2.2 www.example.org A
becomes ".sourceTransportPort == 4100" "$dns" "www.example.org 1 true" "forwarded, in by a bridge: the query has its latency"
becomes ".destinationTransportPort == 4100" "$dns" "www.example.org 1 true" "and so has the answer"
ask router -b 10.9.2.1#4101 @10.9.2.2 own.example.org A
becomes ".destinationTransportPort == 4101" "$dns" "own.example.org 1 true" "sent by the router itself"

in_ns router ip link add gone type veth peer name gone1
in_ns router ip link set gone up
gone=$(index_of gone)
wait_for 5 knows "$(bridged) $gone"
is "$(known)" "$(bridged) $gone" "a device that appears is told"
in_ns router ip link del gone
wait_for 5 knows "$(bridged)"
is "$(known)" "$(bridged)" "a device that vanishes is forgotten"
check "SIGTERM ends it with status 0" daemon_stop
done_testing

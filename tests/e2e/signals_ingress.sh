#!/bin/bash
# SPDX-License-Identifier: MIT
# DNS where only ingress is metered: what the router forwards is seen once, where it came in, also over a bridge; what it
# sends itself is seen where it leaves. A device that goes is forgotten.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/signals_lib.sh"
require_root jq bpftool dnsmasq dig

netns_add client router server
veth_pair client c0 router lan
veth_pair router wan server s0
in_ns router ip link add br0 type bridge
in_ns router ip link set lan master br0
in_ns router ip link set br0 up
give_addresses br0
serve_dns 10.9.2.2
signals_config "lan, br0, wan, gone" "direction: ingress"
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

dns=".dnsQuestionName, .dnsAnsweredCount, (.dnsLatencyMicroseconds // 0) > 0"
ask client -b 10.9.1.2#4100 @10.9.2.2 www.example.org A
flow_becomes ".sourceTransportPort == 4100" "$dns" "www.example.org 1 true" "forwarded, in by a bridge: the query has its latency"
flow_becomes ".destinationTransportPort == 4100" "$dns" "www.example.org 1 true" "and so has the answer"
ask router -b 10.9.2.1#4101 @10.9.2.2 own.example.org A
flow_becomes ".destinationTransportPort == 4101" "$dns" "own.example.org 1 true" "sent by the router itself"

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

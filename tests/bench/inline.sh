#!/bin/bash
# SPDX-License-Identifier: MIT
# Nanoseconds that metering adds to each packet that a router forwards on a busy core: routers side by side, one that
# meters nothing, one with bpflowd on both interfaces, one with a hash map and atomic adds on the way in, one with
# `tcpdump -w /dev/null`; with NETOBSERV_OBJECT=FILE (the BPF object of its agent) also NetObserv's hook on the way in,
# trackers off. pairs.c tells how it is timed. Generator and forwarding have CPU 0, daemons and tcpdump CPU 1.
#   inline.sh [ROUNDS [BURST [FLOWS...]]]      FLOWS: a number, or zipf: 100,000 flows, flow n as often as 1/n
. "$(dirname "$0")/../lib.sh"
require_root jq tcpdump iptables taskset

rounds=${1:-100}
burst=${2:-20000}
cases=("${@:3}")
[[ ${#cases[@]} -gt 0 ]] || cases=(1 10000 100000 zipf)
hooks=${INLINE_HOOKS:-both}
routers=(none empty bpflowd hash tcpdump)
[[ -z ${NETOBSERV_OBJECT:-} ]] || routers+=(netobserv)
for tool in pairs hook reference.bpf.o; do
	[[ -e $build/tests/bench/$tool ]] || bail "tests/bench/$tool is not built: make bench"
done
taskset -pc 1 $$ >/dev/null

# All senders' ends are in one namespace, all receivers' in another.
router_make() { # NAME NUMBER
	netns_add "$1"
	veth_pair lan "$1" "$1" lan1
	veth_pair "$1" wan1 wan "$1"
	connect_ends lan "$1" "10.1.$2.1" "$1" lan1 "10.1.$2.254" 24
	in_ns "$1" ip address add 10.2.0.254/24 dev wan1
	in_ns "$1" ip neighbour replace 10.2.0.1 lladdr "$(mac_of wan "$1")" nud permanent dev wan1
	in_ns "$1" sysctl -qw net.ipv4.ip_forward=1
	in_ns "$1" ip route add 10.64.0.0/10 dev lan1 scope link
}

meter() { # NAME: what each router has
	case $1 in
	bpflowd)
		daemon_config "$work/bpflowd.yaml" <<-END
			metering:
			  interfaces: ["lan1"$([[ $hooks == one ]] || echo ', "wan1"')]
			  max_flows: 262144
			collectors:
			  - name: discard
			    address: 127.0.0.1
			    port: 9995
		END
		spawn bpflowd "$work/discard.log" socat -u UDP-RECV:9995 /dev/null
		daemon_start bpflowd "$work/bpflowd.yaml"
		;;
	empty) hold empty "$build/tests/bench/reference.bpf.o" empty empty ;;
	hash) hold hash "$build/tests/bench/reference.bpf.o" hash_atomic hash_atomic ;;
	netobserv) hold netobserv "$NETOBSERV_OBJECT" tcx_ingress_flow_parse tcx_egress_flow_parse ;;
	tcpdump)
		spawn tcpdump "$work/tcpdump.log" tcpdump -i lan1 -w /dev/null
		wait_for 5 grep -q listening "$work/tcpdump.log" || bail "$(cat "$work/tcpdump.log")"
		;;
	esac
}

hold() { # NAMESPACE OBJECT PROGRAM-ON-THE-WAY-IN PROGRAM-ON-THE-WAY-OUT
	local programs=("lan1=ingress=$3" "wan1=egress=$4")
	[[ $hooks == both ]] || unset "programs[1]"
	spawn "$1" "$work/hook.log" "$build/tests/bench/hook" "$2" "${programs[@]}"
	wait_for 20 grep -q ready "$work/hook.log" || bail "$1: $(cat "$work/hook.log")"
	: >"$work/hook.log"
}

netns_add lan wan
in_ns wan iptables -t raw -I PREROUTING -j DROP
number=0
ends=()
for r in "${routers[@]}"; do
	router_make "$r" $((number++))
	meter "$r"
	ends+=("$r=$(mac_of "$r" lan1)")
done

printf 'ns added per packet: median (quartiles) of %s rounds of %s packets\n' "$rounds" "$burst"
for c in "${cases[@]}"; do
	options=(--flows "$c")
	[[ $c != zipf ]] || options=(--flows 100000 --zipf)
	in_ns lan "$build/tests/bench/pairs" "${options[@]}" --rounds "$rounds" --burst "$burst" --src 10.64.0.1 --dst 10.2.0.1 \
		"${ends[@]}" >"$work/pairs" || bail "pairs failed"
	sed 's/^/  /' "$work/pairs" | awk -v c="$c" 'NR == 1 { printf "%s flows (a packet takes %s)\n", c, $2; next }
		{ printf "  %-12s %6d  (%d .. %d)\n", $1, $2, $3, $4 }'
done
for r in "${routers[@]}"; do
	diag "$r: $(statistic lan "$r" tx.packets) packets sent, $(statistic wan "$r" rx.packets) forwarded"
done

#!/bin/bash
# SPDX-License-Identifier: MIT
# Interfaces that come, go and change their names under traffic, a daemon that starts under it: no packet twice, nothing
# leaks. Namespaces by name, with the same indexes, and made later than the daemon.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/once_lib.sh"
require_root jq

router_make

descriptors() { find "/proc/$daemon_pid/fd" -mindepth 1 | wc -l; }

same_descriptors() { [[ $(descriptors) -eq $1 ]]; }

# Forwarding goes on while the metered way in comes and goes: a packet is counted as it comes in, or as it leaves.
flap() { # MODE
	local n before pid
	use_mode "$1"
	meter '["*", "!lo", "!hidden*"]' </dev/null
	sleep 0.3
	before=$(descriptors)
	in_ns lan "$blast" --interface l0 --dst-mac "$router_mac" --src 10.16.7.1 --dst 10.63.0.1 --packets 40000 --flows 10 \
		--rate 10000 >"$work/flap" &
	pid=$!
	for n in {1..8}; do
		in_ns r ip link set lan0 name hidden0 # goes on without a stop: IFF_LIVE_RENAME_OK, or is refused
		in_ns r ip link add "come$n" type veth peer name "peer$n"
		in_ns r ip link set "come$n" up
		in_ns r ip link set "peer$n" up
		sleep 0.1
		in_ns r ip link set hidden0 name lan0
		in_ns r ip link delete "come$n"
		sleep 0.1
	done 2>"$work/flap.err"
	wait "$pid" || bail "blast failed"
	is "$(in_ns r ip -o link show dev lan0 | wc -l)" 1 "$1, flap: it has its name again"
	check "$1, flap: descriptors do not leak" wait_for 5 same_descriptors "$before"
	meter_end "$1, flap"
	# a rename may leave one packet per change between two hooks, never one in both
	n=$(said '10[.]16[.]7[.]1' | sed 's/:.*//')
	diag "$1, flap: $n of 40000 packets; $(said '10[.]16[.]7[.]1')"
	ok $((n > 40000 || n < 38000)) "$1, flap: no packet twice, hardly one missed"
	is "$(column '10[.]16[.]7[.]1' 6 | tr ' ' '\n' | grep -cv '^lan0/wan0$')" 0 "$1, flap: both sides of each"
}

# The daemon comes while packets pass: each counted at one place.
start_under_traffic() { # MODE
	local pid n overlap
	use_mode "$1"
	in_ns lan "$blast" --interface l0 --dst-mac "$router_mac" --src 10.16.8.1 --dst 10.63.0.1 --packets 60000 --rate 10000 \
		>"$work/start" &
	pid=$!
	meter '["*", "!lo"]' </dev/null
	wait "$pid" || bail "blast failed"
	meter_end "$1, started under traffic"
	n=$(said '10[.]16[.]8[.]1' | sed 's/:.*//')
	# the egress hook counts until the ingress hook does, not longer; two ticks of the coarse clock
	overlap=$(awk '$1 == "10.16.8.1" && $5 == "out" && $13 > out { out = $13 }
		$1 == "10.16.8.1" && $5 == "in" && (!in_ || $12 < in_) { in_ = $12 }
		END { print (out && in_ && out > in_ + 20) ? out - in_ : 0 }' "$work/records")
	diag "$1, started under traffic: $(awk '$1 == "10.16.8.1" { print $5, $6, $10, $12, $13 }' "$work/records" | sort | paste -sd';')"
	ok $((n > 60000 || n < 100 || overlap > 0)) "$1, started under traffic: no packet twice"
}

# Two namespaces beside our own, with the same indexes; one of them is made later.
namespaces_by_name() {
	local index
	use_mode tcx
	netns_add n1 peer1 peer2
	veth_pair n1 e0 peer1 x0
	meter '["e*"]' <<<"netns: [$id-n1, $id-n2]"
	netns_add n2
	index=$(ifindex_of n1 e0)
	ip link add e0 index "$index" netns "$id-n2" type veth peer name x0 netns "$id-peer2" || bail "no veth pair"
	veth_end n2 e0
	veth_end peer2 x0
	wait_for 10 attached_in "$id-n2" || bail "n2 is not metered"
	wait_for 10 attached_in "$id-n1" || bail "n1 is not metered"
	is "$(ifindex_of n2 e0)" "$index" "namespaces: the same index in both"
	send peer1 x0 --dst-mac "$(mac_of n1 e0)" --src 10.16.9.1 --dst 10.63.0.1 --packets 1000 --flows 10
	send peer2 x0 --dst-mac "$(mac_of n2 e0)" --src 10.16.9.1 --dst 10.63.0.1 --packets 500 --flows 10
	meter_end namespaces
	is "$(awk '$1 == "10.16.9.1" { print $10 }' "$work/records" | sort -n | uniq -c | awk '{ print $1 "x" $2 }' | paste -sd' ')" \
		"10x50 10x100" "namespaces: the same flow in two is two flows"
	is "$(column '10[.]16[.]9[.]1' 15)" "e0" "namespaces: with their interface's name"
}

# Another name between two records of one interface.
renamed() {
	use_mode tcx
	meter '["*", "!lo"]' </dev/null
	send lan l0 --dst-mac "$router_mac" --src 10.16.10.1 --dst 10.63.0.1 --packets 100
	check "renamed: the first record" ctl flush
	in_ns r sh -c 'ip link set lan0 down && ip link set lan0 name lan9 && ip link set lan9 up'
	check "renamed: it is metered" wait_for 10 attached lan9
	send lan l0 --dst-mac "$router_mac" --src 10.16.11.1 --dst 10.63.0.1 --packets 100
	check "renamed: the second record" ctl flush
	meter_end renamed
	is "$(column '10[.]16[.]10[.]1' 15) $(column '10[.]16[.]11[.]1' 15)" "lan0 lan9" "renamed: each record has the name of its time"
	in_ns r sh -c 'ip link set lan9 down && ip link set lan9 name lan0 && ip link set lan0 up'
}

attached_in() { ctl show interfaces --json | jq -e --arg n "$1" '.interfaces[] | select(.netns == $n and .name == "e0" and .ingress)'; }

flap tcx
flap clsact
start_under_traffic tcx
start_under_traffic clsact
namespaces_by_name
renamed
done_testing

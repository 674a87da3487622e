#!/bin/bash
# SPDX-License-Identifier: MIT
# What was attached is gone after SIGTERM, and after kill -9 and a restart; filters of others are never touched; traffic
# is never harmed.
. "$(dirname "$0")/../lib.sh"
require_root jq bpftool tc

netns_add a b
veth_pair a veth0 b veth1
connect_ends a veth0 10.64.0.1 b veth1 10.64.0.2 24
in_ns b tc qdisc add dev veth1 clsact
in_ns b tc filter add dev veth1 ingress protocol all pref 7 bpf bytecode '1,6 0 0 0' flowid 1:1
in_ns b tc filter add dev veth1 egress protocol ip pref 8 bpf bytecode '1,6 0 0 0' flowid 1:2

# everything tc knows of the interface, without counters that move
foreign() {
	local parent
	in_ns b tc qdisc show dev veth1
	for parent in ingress egress; do
		in_ns b tc filter show dev veth1 $parent
	done
}

none_left() { # FILE of bpf_objects: none exists any more
	local kind number
	[[ -s $1 ]] || return 1
	while read -r kind number; do
		! bpftool "${kind%_id}" show id "$number" || return 1
	done <"$1"
}

reach() { in_ns a ping -q -c 3 -i 0.05 -W 1 10.64.0.2; }

foreign >"$work/foreign.before"
is "$(grep -c handle "$work/foreign.before")" 2 "two filters of somebody else are there"
daemon_config "$work/bpflowd.yaml" <<-END
	metering:
	  interfaces: [veth1]
	collectors:
	  - name: file
	    file: $work/flows.ipfix
END

daemon_start b "$work/bpflowd.yaml"
check "attached" wait_for 5 attached veth1
check "traffic passes while it meters" reach
bpf_objects "$daemon_pid" >"$work/first"
ok "$(($(grep -c prog_id "$work/first") < 2))" "it holds its programs"
check "SIGTERM ends it with status 0" daemon_stop
check "SIGTERM leaves no program and no link" wait_for 5 none_left "$work/first"
is "$(foreign)" "$(cat "$work/foreign.before")" "SIGTERM leaves the filters of others"

daemon_start b "$work/bpflowd.yaml"
bpf_objects "$daemon_pid" >"$work/second"
stop "$daemon_pid" KILL
check "traffic passes after kill -9" reach
daemon_start b "$work/bpflowd.yaml"
check "it starts again over what kill -9 left" wait_for 5 attached veth1
check "nothing of the killed one is left" wait_for 5 none_left "$work/second"
bpf_objects "$daemon_pid" >"$work/third"
send a veth0 --dst-mac "$(mac_of b veth1)" --src 10.77.0.1 --dst 10.63.0.1 --packets 1000 --flows 10
check "SIGTERM ends it with status 0" daemon_stop
check "then nothing is left at all" wait_for 5 none_left "$work/third"
is "$(foreign)" "$(cat "$work/foreign.before")" "kill -9 and restart leave the filters of others"
"$strict" check "$work/flows.ipfix" --src 10.77.0.0/16 >"$work/strict.json"
is "$(strict packets)" 1000 "the restarted one counts every packet, once"
done_testing

#!/bin/bash
# SPDX-License-Identifier: MIT
# Before Linux 6.6 the hooks are clsact filters, which anybody may take off: they are put back, what they don't see meanwhile
# is not counted, and filters of others stay as they are.
. "$(dirname "$0")/../lib.sh"
require_root jq tc

netns_add a b
veth_pair a veth0 b veth1
mac=$(mac_of b veth1)
daemon_config "$work/bpflowd.yaml" <<-END
	metering: {interfaces: [veth1]}
	collectors:
	  - {name: file, file: $work/flows.ipfix}
END
export BPFLOWD_FORCE_CLSACT=1
daemon_start b "$work/bpflowd.yaml"
packets=0
passes() {
	send a veth0 --dst-mac "$mac" --src 10.64.0.1 --dst 10.63.0.1 --packets 100 --flows 5
	packets=$((packets + 100))
}
counted() { [[ $(metric observed_packets_total) -ge $packets ]]; }
filters() { in_ns b tc filter show dev veth1 "$1" | grep -c 'handle 0xb9f'; }
both_there() { [[ $(filters ingress) -eq 1 && $(filters egress) -eq 1 ]]; }
check "two filters" wait_for 10 both_there
passes
check "packets are counted" wait_for 10 counted

in_ns b tc qdisc del dev veth1 clsact
check "the qdisc is gone, and comes back with both filters" wait_for 20 both_there
check "which the log says" wait_for 5 grep -q "interface veth1: somebody took off the clsact filter; it is back" "$work/bpflowd.log"
passes
check "packets are counted again" wait_for 10 counted

in_ns b tc filter add dev veth1 ingress protocol all pref 7 bpf bytecode '1,6 0 0 0' flowid 1:1
in_ns b tc filter del dev veth1 ingress pref 10
check "one filter is gone, and comes back" wait_for 20 both_there
passes
check "packets are counted once more" wait_for 10 counted
is "$(metric observed_packets_total)" "$packets" "each of them once"
is "$(in_ns b tc filter show dev veth1 ingress | grep -c 'pref 7 .*handle')" 1 "the filter of somebody else is there"
check "SIGTERM ends it with status 0" daemon_stop
is "$(filters ingress)$(filters egress)" 00 "and takes its own off"
done_testing

#!/bin/bash
# SPDX-License-Identifier: MIT
# Every program loads and attaches on this kernel, and what is sent is what is exported.
. "$(dirname "$0")/../../lib.sh"
. "$(dirname "$0")/kernel.sh"
require_root jq

netns_add a b
veth_pair a veth0 b veth1
daemon_config "$work/bpflowd.yaml" <<-END
	metering:
	  interfaces: [veth1]
	collectors:
	  - {name: file, file: $work/flows.ipfix}
	log:
	  level: debug
END
ln -s /out/bpflowd.log "$work/bpflowd.log" # if a verifier refuses a program: what it says is kept
daemon_start b "$work/bpflowd.yaml"
check "attached" wait_for 5 attached veth1
way=clsact
! kernel_from 6 6 || way=tcx
is "$(ctl show stats | sed -n 's/^interface_attached.*interface=veth1,.*mode=\([^}]*\).*/\1/p' | xargs)" "$way $way" \
	"by $way"
is "$(grep -c 'BEGIN PROG LOAD LOG' "$work/bpflowd.log")" 0 "no program was refused" || diag <"$work/bpflowd.log"
drops=0
! kernel_from 5 17 || drops=1
is "$(bpftool prog show | grep -c 'name kfree_skb')" $drops "drops are tracked where the kernel tells reasons"
is "$(grep -c 'gives no reasons' "$work/bpflowd.log")" $((1 - drops)) "and else one warning says so"

mac=$(mac_of b veth1)
packets=0
octets=0
for ends in "10.70.0.1 10.63.0.1" "fd70::1 fd63::1"; do
	read -r from to <<<"$ends"
	send a veth0 --dst-mac "$mac" --src "$from" --dst "$to" --flows 500 --packets 5000 --size 60-1400 --rate 5000
	packets=$((packets + $(sent packets)))
	octets=$((octets + $(sent octets)))
done
check "flush" ctl flush
is "$(metric observed_packets_total)" $packets "packets observed"
is "$(metric observed_octets_total)" $octets "octets observed"
is "$(metric exported_packets_total)" $packets "packets exported"
is "$(metric lost_packets_total)" 0 "nothing lost"
check "SIGTERM ends it with status 0" daemon_stop
strict_file "$work/flows.ipfix"
is "$(strict packets) $(strict octets) $(strict first_errors)" "$packets $octets []" "packets and octets in the file"
is "$(bpftool prog show | grep -cE 'name (ingress_flow|egress_flow|kfree_skb)')" 0 "no program is left"
done_testing

#!/bin/bash
# SPDX-License-Identifier: MIT
# A machine of 256 MiB, as small routers are: the daemon's defaults have room. Then memory runs out, the kernel ends the
# daemon amid packets, and its next life counts exactly.
. "$(dirname "$0")/../../lib.sh"
. "$(dirname "$0")/kernel.sh"
require_root bpftool

meminfo() { awk -v name="$1:" '$1 == name { printf "%d\n", $2 / 1024 }' /proc/meminfo; } # in MiB
ok $(($(meminfo MemTotal) > 256)) "the machine has $(meminfo MemTotal) MiB, less than 256 of its own"

netns_add a b
veth_pair a veth0 b veth1
mac=$(mac_of b veth1)
daemon_config "$work/bpflowd.yaml" <<-END
	metering: {interfaces: [veth1]}
	collectors:
	  - {name: file, file: $work/flows.ipfix}
END
ours() { bpftool prog show | grep -cE 'name (ingress_flow|egress_flow|kfree_skb|trace_net_packets|tcp_probe)'; }
ours_are() { [[ $(ours) -eq $1 ]]; }

live() { # NAME
	check "$1: it meters" wait_for 10 attached veth1
	send a veth0 --dst-mac "$mac" --src 10.70.0.1 --dst 10.63.0.1 --packets 1000 --flows 500
	ctl flush >/dev/null
	is "$(metric observed_packets_total)" 1000 "$1: every packet once"
	is "$(metric exported_packets_total)" 1000 "$1: and all are exported"
	is "$(metric lost_packets_total)" 0 "$1: none lost"
}

before=$(meminfo MemAvailable)
daemon_start b "$work/bpflowd.yaml"
live "with default settings"
diag "$before MiB were to be had before, $(meminfo MemAvailable) now"
programs=$(ours)

# ---- out of memory

mkdir "$work/full"
mount -t tmpfs -o size=256M full "$work/full"
victim=$daemon_pid
echo 1000 >"/proc/$victim/oom_score_adj"
spawn a "$work/traffic" "$blast" --interface veth0 --dst-mac "$mac" --src 10.71.0.1 --dst 10.63.0.1 --packets 100000 \
	--flows 5000 --rate 20000
traffic=$spawned
n=0
while ! gone "$victim" 2>/dev/null && [[ $((n++)) -lt 256 ]]; do
	dd if=/dev/zero of="$work/full/$n" bs=1M count=1 2>/dev/null
done
umount "$work/full"
check "the kernel ends it for want of memory" gone "$victim"
stop "$victim" KILL
ok "$(dmesg | grep -q "Out of memory: Killed process $victim (bpflowd)"; echo $?)" "and says so"
is "$(dmesg | grep -c "Out of memory: Killed")" 1 "and nobody else"
stop "$traffic"

# ---- the next life

mv "$work/flows.ipfix" "$work/first.ipfix"
daemon_start b "$work/bpflowd.yaml"
check "no program of the former life is left" wait_for 10 ours_are "$programs"
live "the next life"
check "SIGTERM ends it with status 0" daemon_stop
strict_file "$work/flows.ipfix" --src 10.70.0.0/16
is "$(strict packets)" 1000 "its file has them, too"
strict_file "$work/first.ipfix" --src 10.70.0.0/16
is "$(strict packets)" 1000 "and that of the former life its own"
check "nothing of ours is left" wait_for 10 ours_are 0
done_testing

#!/bin/bash
# SPDX-License-Identifier: MIT
# The shipped unit under systemd as process 1: starts as its account, meters, reloads, comes back when it was killed or
# hangs, stays down when its configuration is bad, ends in order.
. "$(dirname "$0")/../../lib.sh"
. "$(dirname "$0")/kernel.sh"
require_root jq systemctl journalctl bpftool
unit=/etc/systemd/system/bpflowd.service
config=$(sed -n 's/^ExecStart=.* -c \(.*\)/\1/p' $unit)

netns_add a
ip link add veth0 netns "$id-a" type veth peer name veth1
veth_end a veth0
ip link set veth1 addrgenmode none
ip link set veth1 up
mac=$(ip -o link show dev veth1 | sed 's/.*link\/ether \([0-9a-f:]*\).*/\1/')
cat >"$config" <<-END
	metering:
	  interfaces: [veth1]
	  drain_interval: 100ms
	collectors:
	  - name: archive
	    file: /var/lib/bpflowd/flows.ipfix
END
chmod 644 "$config"

ctl() { bpflowctl "$@"; }
property() { systemctl show --value -p "$1" bpflowd; }
pid() { property MainPID; }
status_of() { sed -n "s/^$1:[[:space:]]*//p" "/proc/$(pid)/status"; }
journal() { journalctl -q -o cat -u bpflowd; }
counted() { [[ $(metric observed_packets_total) -eq $1 ]]; }

is "$(cat /proc/1/comm)" systemd "systemd is process 1"
systemctl daemon-reload
check "it starts" systemctl start bpflowd || journal | diag
is "$(property ActiveState) $(property StatusText)" "active " "and says so"
check "it has attached" wait_for 10 attached veth1
is "$(status_of Uid | cut -f1)" 990 "as its account"
is "$(status_of CapEff) $(status_of CapBnd)" "000000c000001000 000000c000001000" "with three capabilities"
is "$(status_of NoNewPrivs) $(status_of Seccomp)" "1 2" "no new privileges, system calls filtered"
warnings=0
kernel_from 5 17 || warnings=1 # drops
is "$(journalctl -q -o cat -p warning -u bpflowd | wc -l)" $warnings "no warning but that of drops before 5.17" || journal | diag
send a veth0 --dst-mac "$mac" --src 10.70.0.1 --dst 10.63.0.1 --packets 1000 --flows 10
check "it meters" wait_for 10 counted 1000
check "a reload" systemctl reload bpflowd
mv "$config" "$config.good"
echo "metering: {interfaces: 7}" >"$config"
check "a reload of a bad file fails" bash -c '! systemctl reload bpflowd'
check "and changes nothing" counted 1000
mv "$config.good" "$config"

old=$(pid)
again() { [[ $(property ActiveState) == active && $(pid) -ne $1 ]] && attached veth1; }
kill -KILL "$old"
check "killed: it comes back" wait_for 30 again "$old"
is "$(bpftool prog show | grep -c 'name ingress_flow')" 1 "killed: no second program"
send a veth0 --dst-mac "$mac" --src 10.70.0.1 --dst 10.63.0.1 --packets 1000 --flows 10
check "killed: it meters again" wait_for 10 counted 1000
old=$(pid)
kill -STOP "$old"
sleep 60 # which costs nothing here, unlike asking: 30 s of the watchdog, 30 s to SIGKILL
check "hanging: the watchdog brings it back" wait_for 120 again "$old"
is "$(property NRestarts)" 2 "two restarts"
send a veth0 --dst-mac "$mac" --src 10.70.0.1 --dst 10.63.0.1 --packets 500 --flows 10
check "it meters" wait_for 10 counted 500

check "it stops" systemctl stop bpflowd
is "$(property ActiveState) $(property Result) $(property ExecMainStatus)" "inactive success 0" "in order"
is "$(bpftool prog show | grep -cE 'name (ingress_flow|egress_flow|kfree_skb)')" 0 "no program is left"
strict_file /var/lib/bpflowd/flows.ipfix
is "$(strict packets) $(strict first_errors)" "500 []" "its file holds what the last one saw"
is "$(stat -c %U:%a /var/lib/bpflowd)" bpflowd:750 "in a folder of its own"

echo "metering: {interfaces: 7}" >"$config"
check "a bad configuration: it does not start" bash -c '! systemctl start bpflowd'
is "$(property ActiveState) $(property ExecMainStatus)" "failed 1" "nor is it tried again"
done_testing

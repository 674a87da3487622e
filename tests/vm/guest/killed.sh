#!/bin/bash
# SPDX-License-Identifier: MIT
# kill -9 at random moments, while packets pass and strangers' programs look on: the next life counts exactly, nobody else
# notices. And killed for want of memory. BPFLOWD_VM_SEED: the moments of a run before.
. "$(dirname "$0")/../../lib.sh"
. "$(dirname "$0")/kernel.sh"
require_root tc bpftool
stranger=$build/tests/tools/stranger
lives=2
kills=4
seed=${BPFLOWD_VM_SEED:-$RANDOM}
RANDOM=$seed
diag "BPFLOWD_VM_SEED=$seed"

netns_add a b
veth_pair a veth0 b veth1
mac=$(mac_of b veth1)
config() { # [LINE...]
	daemon_config "$work/bpflowd.yaml" <<-END
		metering:
		  interfaces: [veth1]
		  drain_interval: 100ms
		$(printf '  %s\n' "$@")
		collectors:
		  - {name: file, file: $work/flows.ipfix}
	END
}
ours() { bpftool prog show | grep -cE 'name (ingress_flow|egress_flow|kfree_skb|trace_net_packets|tcp_probe)'; }
ours_are() { [[ $(ours) -eq $1 ]]; }

# ---- others on the same hooks, before us and behind

in_ns b tc qdisc add dev veth1 clsact
in_ns b tc filter add dev veth1 ingress protocol all pref 7 bpf bytecode '1,6 0 0 0' flowid 1:1
in_ns b tc filter add dev veth1 egress protocol ip pref 8 bpf bytecode '1,6 0 0 0' flowid 1:2
watchers=(3 60000) # priorities
! kernel_from 6 6 || watchers+=(tcx)
watcher_pids=()
for watcher in "${watchers[@]}"; do
	spawn b "$work/watcher.$watcher" "$stranger" "$watcher" ingress veth1 pass
	watcher_pids+=("$spawned")
	wait_for 5 grep -q ready "$work/watcher.$watcher" || bail "stranger: $(cat "$work/watcher.$watcher")"
done
foreign() { # with the ids of their programs
	in_ns b tc qdisc show dev veth1
	in_ns b tc filter show dev veth1 ingress | grep -v bpflow
	in_ns b tc filter show dev veth1 egress | grep -v bpflow
	bpftool prog show | grep 'name stranger'
}
foreign >"$work/foreign"
is "$(grep -c 'sched_cls .*name stranger' "$work/foreign")" ${#watchers[@]} "strangers look on"
packets=0

# Every millisecond of start and metering is as likely as any other.
kill_some() { # SPAN in ms
	local kill moment moments=() traffic
	spawn a "$work/traffic" "$blast" --interface veth0 --dst-mac "$mac" --src 10.71.0.1 --dst 10.63.0.1 --packets 3000 \
		--flows 50 --rate $((6000000 / (kills * $1))) # for about as long as it takes
	traffic=$spawned
	for ((kill = 0; kill < kills; kill++)); do
		moment=$((RANDOM % $1))
		moments+=("$moment")
		spawn b "$work/killed.log" "$bpflowd" -c "$work/bpflowd.yaml"
		sleep "$((moment / 1000)).$(printf %03d $((moment % 1000)))"
		stop "$spawned" KILL
	done
	diag "killed after ${moments[*]} ms"
	wait "$traffic"
	forget "$traffic"
	packets=$((packets + 3000))
}

seen() { [[ $(metric observed_packets_total) -ge 1000 ]]; }
live() { # NAME PROGRAMS
	daemon_start b "$work/bpflowd.yaml"
	check "$1: then it meters" wait_for 10 attached veth1
	check "$1: no program of the killed ones is left" wait_for 10 ours_are "$2"
	send a veth0 --dst-mac "$mac" --src 10.70.0.1 --dst 10.63.0.1 --packets 1000 --flows 10
	packets=$((packets + 1000))
	wait_for 5 seen
	is "$(metric observed_packets_total)" 1000 "$1: every packet once"
	is "$(metric lost_packets_total)" 0 "$1: none lost"
	check "$1: SIGTERM ends it with status 0" daemon_stop
	check "$1: nothing of ours is left" wait_for 10 ours_are 0
	is "$(foreign)" "$(cat "$work/foreign")" "$1: filters and programs of others are as they were"
}

# ---- killed for want of memory: what it has counts against its control group only from within

group=/sys/fs/cgroup/small
cat >"$work/within" <<-END
	#!/bin/bash
	echo \$\$ >$group/cgroup.procs && exec $bpflowd "\$@"
END
chmod +x "$work/within"
config "drops: false" "dns: false" "rtt: false"
mkdir -p $group
if (echo +memory >/sys/fs/cgroup/cgroup.subtree_control && echo max >$group/memory.max) 2>"$work/group.err"; then
	begin=${EPOCHREALTIME/./}
	bpflowd="$work/within" daemon_start b "$work/bpflowd.yaml"
	span=$(((${EPOCHREALTIME/./} - begin) / 1000 * 2))
	diag "a start takes $((span / 2)) ms"
	echo 4096 >$group/memory.max
	wait_for 10 gone "$daemon_pid"
	check "the kernel kills it for memory" gone "$daemon_pid"
	stop "$daemon_pid" KILL
	is "$(awk '$1 == "oom_kill" { print $2 }' $group/memory.events)" 1 "and says so"
	echo max >$group/memory.max
else
	span=3000
	skip "kernel: no memory control group" "killed for memory"
fi

# ---- kill -9

for ((life = 1; life <= lives; life++)); do
	kill_some $span
	live "after $kills kills, $life" 2
	cp "$work/flows.ipfix" "$work/last.ipfix"
done
strict_file "$work/last.ipfix" --src 10.70.0.0/16
is "$(strict packets)" 1000 "the file of the last one has them, too"

# ---- once with all there is

config
daemon_start b "$work/bpflowd.yaml"
programs=$(ours)
ok $((programs < 3)) "more programs are loaded than those two"
stop "$daemon_pid" KILL
live "killed with all programs" "$programs"

for i in "${!watchers[@]}"; do
	stop "${watcher_pids[i]}"
	is "$(tail -n 1 "$work/watcher.${watchers[i]}")" $packets "stranger at ${watchers[i]}: it saw every packet"
done
done_testing

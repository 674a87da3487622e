#!/bin/bash
# SPDX-License-Identifier: MIT
# The daemon's life on this kernel: killed at any moment with strangers' programs about, killed for want of memory, a wall
# clock that jumps, interfaces that come and go, the devices that a router has, a plain user.
. "$(dirname "$0")/../../lib.sh"
. "$(dirname "$0")/kernel.sh"
require_root jq tc bpftool setpriv
stranger=$build/tests/tools/stranger

netns_add a b
veth_pair a veth0 b veth1
mac=$(mac_of b veth1)
config() { # INTERFACES [LINE...]
	daemon_config "$work/bpflowd.yaml" <<-END
		metering:
		  interfaces: [$1]
		  drops: false
		  dns: false
		  rtt: false
		  drain_interval: 100ms
		$(printf '  %s\n' "${@:2}")
		collectors:
		  - {name: file, file: $work/flows.ipfix}
	END
}
ours() { bpftool prog show | grep -cE 'name (ingress_flow|egress_flow)'; }
none_of_ours() { [[ $(ours) -eq 0 ]]; }

# ---- kill -9 at any moment; strangers before and behind

config veth1
in_ns b tc qdisc add dev veth1 clsact
in_ns b tc filter add dev veth1 ingress protocol all pref 7 bpf bytecode '1,6 0 0 0' flowid 1:1
in_ns b tc filter add dev veth1 egress protocol ip pref 8 bpf bytecode '1,6 0 0 0' flowid 1:2
foreign() {
	in_ns b tc qdisc show dev veth1
	in_ns b tc filter show dev veth1 ingress | grep -v bpflow
	in_ns b tc filter show dev veth1 egress | grep -v bpflow
}
foreign >"$work/foreign"
if kernel_from 6 6; then
	spawn b "$work/stranger" "$stranger" tcx ingress veth1 pass
	stranger_pid=$spawned
	wait_for 5 grep -q ready "$work/stranger"
fi
for moment in 0.05 0.2 0.4 0.8 1.5 3; do
	spawn b "$work/killed.log" "$bpflowd" -c "$work/bpflowd.yaml"
	sleep "$moment"
	stop "$spawned" KILL
done
daemon_start b "$work/bpflowd.yaml"
check "after six kills it meters" wait_for 5 attached veth1
is "$(ours)" 2 "and no program of the killed ones is left"
send a veth0 --dst-mac "$mac" --src 10.70.0.1 --dst 10.63.0.1 --packets 1000 --flows 10
seen() { [[ $(metric observed_packets_total) -ge 1000 ]]; }
wait_for 5 seen
is "$(metric observed_packets_total)" 1000 "every packet once"
check "SIGTERM ends it with status 0" daemon_stop
is "$(foreign)" "$(cat "$work/foreign")" "filters of others are as they were"
is "$(ours)" 0 "nothing of ours is left"
if kernel_from 6 6; then
	stop "$stranger_pid"
	is "$(tail -n 1 "$work/stranger" | grep -o '[0-9]*' | tail -n 1)" 1000 "a stranger's tcx program saw every packet"
fi

# ---- killed for want of memory

limit() { # BYTES
	mkdir -p /sys/fs/cgroup/small
	echo +memory >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null
	echo "$1" 2>/dev/null >/sys/fs/cgroup/small/memory.max
}
if limit max; then
	daemon_start b "$work/bpflowd.yaml"
	echo "$daemon_pid" >/sys/fs/cgroup/small/cgroup.procs
	echo 4096 >/sys/fs/cgroup/small/memory.max
	killed() { gone "$daemon_pid"; }
	wait_for 10 killed || kill -KILL "$daemon_pid"
	wait "$daemon_pid" 2>/dev/null
	forget "$daemon_pid"
	limit max
	daemon_start b "$work/bpflowd.yaml"
	check "after it was killed for memory it starts again" wait_for 5 attached veth1
	is "$(ours)" 2 "with two programs"
	check "SIGTERM ends it with status 0" daemon_stop
else
	skip "kernel: no memory control group" "killed for memory"
fi

# ---- the wall clock jumps: flows' times and timeouts stay sane

rm -f "$work/flows.ipfix"
config veth1 "active_timeout: 2s" "idle_timeout: 1s"
daemon_start b "$work/bpflowd.yaml"
real=$(date +%s)
packets=0
for step in 3600 -7200 315360000 -630720000 315363600; do
	send a veth0 --dst-mac "$mac" --src 10.71.0.1 --dst 10.63.0.1 --packets 100 --flows 5
	date -s "@$(($(date +%s) + step))" >/dev/null
	send a veth0 --dst-mac "$mac" --src 10.71.0.1 --dst 10.63.0.1 --packets 100 --flows 5
	packets=$((packets + 200))
	expired() { [[ $(metric exported_packets_total) -eq $packets && $(metric flows_active) -eq 0 ]]; }
	check "clock, step $step s: flows end in time" wait_for 6 expired
done
within_a_minute() { [[ $(($(date +%s) - real)) -lt 60 ]]; }
check "clock: back where it was" within_a_minute
is "$(metric exported_packets_total)" 1000 "clock: all packets exported"
check "SIGTERM ends it with status 0" daemon_stop
"$strict" check "$work/flows.ipfix" --records >"$work/records"
is "$(jq -c 'select(.["152"] and (.["152"] > .["153"] or .["153"] - .["152"] > 10000))' "$work/records" 2>/dev/null | wc -l)" 0 \
	"clock: no flow ends before it begins or lasts longer than it did"

# ---- devices come and go

devices=100
config '"*", "!lo"'
daemon_start b "$work/bpflowd.yaml"
for ((i = 0; i < devices; i++)); do
	echo "link add ch$i netns $id-b type veth peer name cp$i netns $id-a"
done | ip -batch -
churned() { [[ $(ctl show interfaces --json | jq '[.interfaces[] | select(.name | startswith("ch")) | select(.ingress != "")] | length') -eq $1 ]]; }
check "churn: $devices devices are metered" wait_for 60 churned $devices
for ((i = 0; i < devices; i++)); do
	echo "link set ch$i name dh$i"
	[[ $((i % 2)) -eq 0 ]] || echo "link set dh$i netns $id-a"
done | in_ns b ip -batch -
renamed() { [[ $(ctl show interfaces --json | jq '[.interfaces[] | select(.name | startswith("dh")) | select(.ingress != "")] | length') -eq $((devices / 2)) ]]; }
check "churn: half of them, renamed, are metered still" wait_for 60 renamed
for ((i = 0; i < devices; i += 2)); do
	echo "link del dh$i"
done | in_ns b ip -batch -
alone() { [[ $(ctl show interfaces --json | jq -r '[.interfaces[] | select(.ingress != "") | .name] | join(" ")') == veth1 ]]; }
check "churn: then only the first one is" wait_for 60 alone
fds() { ls "/proc/$daemon_pid/fd" | wc -l; }
before=$(fds)
for ((i = 0; i < 50; i++)); do
	printf 'link add c type dummy\nlink set c up\nlink set c down\nlink del c\n'
done | in_ns b ip -batch -
check "churn: one that flaps" wait_for 60 alone
is "$(fds)" "$before" "churn: no descriptor is left"
check "SIGTERM ends it with status 0" daemon_stop

# ---- a plain user with three capabilities

plain=$(mktemp -d /tmp/plain.XXXXXX)
cp "$bpflowd" "$bpflowctl" "$plain/"
config veth1
sed -i "s#^  control_socket.*#  control_socket: $plain/s#; s#$work/flows.ipfix#$plain/f#" "$work/bpflowd.yaml"
cp "$work/bpflowd.yaml" "$plain/c.yaml"
chown -R 65534:65534 "$plain"
chmod 755 "$plain" "$plain"/*
caps=-all,+bpf,+net_admin,+perfmon
ulimit -l unlimited
spawn b "$work/plain.log" setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs --inh-caps $caps \
	--ambient-caps $caps --bounding-set $caps "$plain/bpflowd" -c "$plain/c.yaml"
pid=$spawned
answers() { "$plain/bpflowctl" --socket "$plain/s" show interfaces --json | jq -e '.interfaces[] | select(.name == "veth1" and .ingress != "")'; }
check "plain user: it meters" wait_for 20 answers || diag <"$work/plain.log"
is "$(sed -n 's/^CapEff:[[:space:]]*//p' "/proc/$pid/status")" 000000c000001000 "plain user: three capabilities"
check "plain user: SIGTERM ends it with status 0" stop "$pid"
check "plain user: nothing of ours is left" wait_for 5 none_of_ours
done_testing

#!/bin/bash
# SPDX-License-Identifier: MIT
# The daemon's life on this kernel: a wall clock that jumps, interfaces that come and go, root and a plain user with three
# capabilities and with fewer. How it dies: killed.sh.
. "$(dirname "$0")/../../lib.sh"
. "$(dirname "$0")/kernel.sh"
require_root jq bpftool setpriv

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

devices=200
capabilities=000000c000001000 # CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN
status_of() { sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status"; }
metered() { # how many interfaces of such names: a regular expression
	ctl show stats | grep -cE "^interface_attached\{netns=,interface=$1,direction=ingress"
}
metered_are() { [[ $(metered "$1") -eq $2 ]]; }
config '"*", "!lo"'
daemon_start b "$work/bpflowd.yaml"
is "$(status_of "$daemon_pid" CapEff) $(status_of "$daemon_pid" CapPrm)" "$capabilities $capabilities" "root: three capabilities"
for ((i = 0; i < devices; i++)); do
	echo "link add ch$i netns $id-b type veth peer name cp$i netns $id-a"
done | ip -batch -
check "churn: $devices devices are metered" wait_for 60 metered_are 'ch[0-9]+' $devices
for ((i = 0; i < devices; i++)); do
	echo "link set ch$i name dh$i"
	[[ $((i % 2)) -eq 0 ]] || echo "link set dh$i netns $id-a"
done | in_ns b ip -batch -
check "churn: half of them, renamed, are metered still" wait_for 60 metered_are 'dh[0-9]+' $((devices / 2))
for ((i = 0; i < devices; i += 2)); do
	echo "link del dh$i"
done | in_ns b ip -batch -
check "churn: then only the first one is" wait_for 60 metered_are '[^,]*' 1
check "churn: and it is the first one" attached veth1
send a veth0 --dst-mac "$mac" --src 10.72.0.1 --dst 10.63.0.1 --packets 500 --flows 5
counted() { [[ $(metric interface_packets_total interface=veth1) -ge 500 ]]; }
wait_for 5 counted
is "$(metric interface_packets_total interface=veth1)" 500 "churn: it was metered all along"
fds() { ls "/proc/$daemon_pid/fd" | wc -l; }
before=$(fds)
for ((i = 0; i < 50; i++)); do
	printf 'link add c type dummy\nlink set c up\nlink set c down\nlink del c\n'
done | in_ns b ip -batch -
check "churn: one that flaps" wait_for 60 metered_are '[^,]*' 1
is "$(fds)" "$before" "churn: no descriptor is left"
check "SIGTERM ends it with status 0" daemon_stop

# ---- a plain user with three capabilities, which stay, and with fewer

plain=$(mktemp -d /tmp/plain.XXXXXX)
cp "$bpflowd" "$bpflowctl" "$plain/"
config 'veth1, "late*"'
sed -i "s#^  control_socket.*#  control_socket: $plain/s#; s#$work/flows.ipfix#$plain/f#" "$work/bpflowd.yaml"
cp "$work/bpflowd.yaml" "$plain/c.yaml"
chown -R 65534:65534 "$plain"
chmod 755 "$plain" "$plain"/*
ctl() { "$plain/bpflowctl" --socket "$plain/s" "$@"; }
ulimit -l unlimited # before 5.11 maps count against it
as_plain() { # CAPABILITIES: the command line
	local set=-all${1:+,+${1//,/,+}}
	as=(setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs --inh-caps "$set" --ambient-caps "$set"
		--bounding-set "$set" "$plain/bpflowd" -c "$plain/c.yaml")
}
as_plain bpf,net_admin,perfmon
spawn b "$work/plain.log" "${as[@]}"
pid=$spawned
check "plain user: it meters" wait_for 20 attached veth1 || diag <"$work/plain.log"
is "$(status_of "$pid" CapEff) $(status_of "$pid" CapPrm)" "$capabilities $capabilities" "plain user: three capabilities"
in_ns b ip link add late0 type dummy
in_ns b ip link set late0 up
check "plain user: a device of a later day, too" wait_for 20 attached late0
check "plain user: SIGTERM ends it with status 0" stop "$pid"
check "plain user: nothing of ours is left" wait_for 5 none_of_ours
for capabilities in "" net_admin,perfmon bpf,perfmon bpf,net_admin; do
	as_plain "$capabilities"
	status=0
	in_ns b "${as[@]}" >"$work/refused" 2>&1 || status=$?
	is "$status $(wc -l <"$work/refused")" "2 1" "plain user with '$capabilities': status 2, one line"
	check "plain user with '$capabilities': says why" grep -q "^error: cannot start: .*permission denied; run as root or with CAP_BPF" \
		"$work/refused" || diag <"$work/refused"
done
done_testing

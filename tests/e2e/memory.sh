#!/bin/bash
# SPDX-License-Identifier: MIT
# What the daemon takes: little while idle, less than 192 octets for each flow that it holds, IPv4 or IPv6, a million of
# them in 300 MB with the kernel's maps, which are as large at the start as ever; and next to no CPU for flows that rest.
. "$(dirname "$0")/../soak/lib.sh"
require_root jq

config() { # METERING OPTIONS
	daemon_config "$work/bpflowd.yaml" <<-END
		metering: {interfaces: [veth1], $1}
		collectors:
		  - {name: file, file: $work/flows.ipfix}
	END
}

anonymous_kb() { awk '/^RssAnon/ { print $2 }' "/proc/$daemon_pid/status"; }
run_ns() { cut -d' ' -f1 "/proc/$daemon_pid/schedstat"; }

fill() { # FLOWS OPTIONS of blast...: until the daemon holds so many
	wanted=$1
	send a veth0 --dst-mac "$mac" --flows "${@:2}" --rate 150000
	wait_for 60 holds_all || diag "$(metric flows_active) flows of $wanted are held"
}
holds_all() { [[ $(metric flows_active) -ge $wanted ]]; }

# What the ring brought is merged and the buffers of that are given back.
settled_kb() {
	local i kb least
	least=$(anonymous_kb)
	for ((i = 0; i < 5; i++)); do
		sleep 0.5
		kb=$(anonymous_kb)
		least=$((kb < least ? kb : least))
	done
	echo "$least"
}

netns_add a b
veth_pair a veth0 b veth1
mac=$(mac_of b veth1)

# ---- default settings
config "direction: both"
daemon_start b "$work/bpflowd.yaml"
wait_for 5 attached veth1
kb=$(resident_kb)
diag "idle, default settings: $kb kB resident, $(anonymous_kb) kB of them its own; maps: $(($(map_bytes) / 1024)) kB"
ok "$((kb > 32768))" "an idle daemon has less than 32 MiB"
check "SIGTERM ends it with status 0" daemon_stop

# ---- 10,000 flows that rest
config "idle_timeout: 3600s, active_timeout: 0"
daemon_start b "$work/bpflowd.yaml"
wait_for 5 attached veth1
fill 10000 10000 --packets 20000 --src 10.64.0.1 --dst 10.63.0.1
seconds=20
sleep 2
begin=$(run_ns)
sleep $seconds
spent_us=$((($(run_ns) - begin) / 1000))
diag "10,000 flows at rest: $spent_us us of CPU in $seconds s"
ok "$((spent_us > seconds * 1000))" "flows at rest cost less than 0.1 % of a core"
check "SIGTERM ends it with status 0" daemon_stop

# ---- a million flows
million() { # FAMILY OPTIONS of blast...
	local empty kb maps octets
	config "max_flows: 262144, idle_timeout: 3600s, active_timeout: 0"
	daemon_start b "$work/bpflowd.yaml"
	wait_for 5 attached veth1
	empty=$(settled_kb)
	maps=$(map_bytes)
	fill 1000000 1000000 --packets 1000000 "${@:2}"
	kb=$(settled_kb)
	octets=$(((kb - empty) * 1024 / wanted))
	diag "$1: $(metric flows_active) flows, $(lost_before) packets lost; $empty kB before, $kb kB with them: $octets octets each;" \
		"maps: $((maps / 1024)) kB"
	is "$(metric flows_active)" "$wanted" "$1: a million flows are held"
	ok "$((octets > 192 + 32))" "$1: 192 octets for each flow, and a little for what the fetcher remembers"
	is "$(map_bytes)" "$maps" "$1: maps are as large as at the start"
	ok "$((kb * 1024 + maps > 300000000))" "$1: a million flows in 300 MB, kernel and daemon"
	check "SIGTERM ends it with status 0" daemon_stop
	rm "$work/flows.ipfix"
}
million IPv4 --src 10.64.0.1 --dst 10.63.0.1 --size 46
million IPv6 --src fd00::1 --dst fd01::1 --size 66
done_testing

#!/bin/bash
# SPDX-License-Identifier: MIT
# SIGTERM with a million flows in the cache: they are sent in two seconds of the daemon's time, and not one is lost: in a
# file, and at a UDP collector that reads. Time is CPU time: how long it takes on the wall depends on what else runs.
# BPFLOWD_SHUTDOWN_FLOWS: how many flows.
. "$(dirname "$0")/lib.sh"
require_root jq ss chrt

flows=${BPFLOWD_SHUTDOWN_FLOWS:-1000000}
most_ms=$((flows / 500)) # 2 s for a million

netns_add a b
veth_pair a veth0 b veth1
mac=$(mac_of b veth1)

fill() { # COLLECTOR: a daemon that holds all flows
	local begin
	daemon_config "$work/bpflowd.yaml" <<-END
		metering:
		  interfaces: [veth1]
		  direction: ingress
		  max_flows: 1048576
		  active_timeout: 0
		  idle_timeout: 3600s
		collectors:
		  - $1
	END
	begin=$(now_ms)
	daemon_start b "$work/bpflowd.yaml"
	diag "up after $(($(now_ms) - begin)) ms, $(cpu_ms) ms of CPU"
	wait_for 5 attached veth1
	send a veth0 --dst-mac "$mac" --src 10.64.0.1 --dst 10.63.0.1 --flows "$flows" --packets "$flows" --size 46 --rate 200000
	wait_for 30 holds "$(sent packets)"
}

holds() { # PACKETS: in the cache, the rest lost by name
	lost=$(lost_before)
	[[ $(($(metric cached_packets) + lost)) -eq $1 ]] || return
	held=$(metric flows_active) # last: the drain may be half through
}

# The CPU time of a process that is gone is what its parent was told.
children_ms() { awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print int(($14 + $15) * 1000 / hz) }' /proc/$$/stat; }

end() { # NAME: SIGTERM; what it took
	local begin before spent status=0
	before=$(cpu_ms)
	wait_children=$(children_ms)
	begin=$(now_ms)
	stop "$daemon_pid" || status=$?
	took_ms=$(($(now_ms) - begin))
	spent=$(($(children_ms) - wait_children - before))
	daemon_pid=
	diag "$1: $held flows sent and all closed in $took_ms ms, $spent ms of CPU"
	is "$status" 0 "$1: SIGTERM ends it with status 0"
	ok "$((spent > most_ms))" "$1: in less than $most_ms ms"
}

fill "{name: file, file: $work/flows.ipfix}"
diag "lost for want of room before the end: $lost of $flows"
end file
"$tally" file "$work/flows.ipfix" --src 10.64.0.0/10 >"$work/file.tally"
is "$(jq '.packets, .errors' "$work/file.tally" | paste -sd' ')" "$(($(sent packets) - lost)) 0" "file: every packet is there"
is "$(jq '.networks[].flows' "$work/file.tally")" "$held" "file: every flow is there"
rm "$work/flows.ipfix"

tally_start udp b udp 4739 --buffer 268435456 --src 10.64.0.0/10
fill "{name: udp, address: 127.0.0.1, port: 4739, queue_size: 256M}"
diag "lost for want of room before the end: $lost of $flows"
end udp
wait_for 20 udp_empty b 4739
is "$(udp_drops b 4739)" 0 "udp: the reader's socket lost nothing"
tally_stop udp
is "$(tallied udp packets) $(tallied udp missing) $(tallied udp errors)" "$(($(sent packets) - lost)) 0 0" "udp: every packet is there"
is "$(tallied udp 'networks[].flows')" "$held" "udp: every flow is there"
done_testing

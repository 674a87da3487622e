#!/bin/bash
# SPDX-License-Identifier: MIT
# Start and end of a flow are the times of its first and last packet: to a kernel tick with the coarse clock, to the
# millisecond of the record with the precise one.
. "$(dirname "$0")/../lib.sh"
require_root jq

netns_add a b
veth_pair a veth0 b veth1
tick_ms=$(python3 -c 'import time, math; print(math.ceil(time.clock_getres(6) * 1000))') # CLOCK_MONOTONIC_COARSE

within() { # LOW VALUE HIGH NAME
	[[ $1 -le $2 && $2 -le $3 ]]
	ok $? "$4" || diag "$2 is not in $1 ... $3"
}

# One packet, a pause, one packet of the same flow: where do the two instants of its record lie?
times() { # coarse|precise SLACK-MS
	local first last start end
	daemon_config "$work/bpflowd.yaml" <<-END
		metering:
		  interfaces: [veth1]
		  timestamps: $1
		collectors:
		  - {name: strict, address: 127.0.0.1, port: 4739}
	END
	strict_start b udp 4739
	daemon_start b "$work/bpflowd.yaml"
	send a veth0 --dst-mac "$(mac_of b veth1)" --src 10.64.0.1 --dst 10.63.0.1
	first="$(sent start_ns) $(sent end_ns)"
	sleep 0.5 # the time between the packets is what is measured
	send a veth0 --dst-mac "$(mac_of b veth1)" --src 10.64.0.1 --dst 10.63.0.1
	last="$(sent start_ns) $(sent end_ns)"
	check "$1: SIGTERM ends it with status 0" daemon_stop
	strict_stop --records
	is "$(jq -c 'select(."2" and ."8" == "10.64.0.1") | ."2"' "$work/strict.json")" 2 "$1: one record of two packets"
	read -r start end <<<"$(jq -r 'select(."2" and ."8" == "10.64.0.1") | "\(."152") \(."153")"' "$work/strict.json")"
	within $((${first% *} / 1000000 - $2)) "$start" $((${first#* } / 1000000 + 1)) "$1: start"
	within $((${last% *} / 1000000 - $2)) "$end" $((${last#* } / 1000000 + 1)) "$1: end"
}

diag "a tick is $tick_ms ms"
times coarse $((tick_ms + 1))
times precise 1
done_testing

#!/bin/bash
# SPDX-License-Identifier: MIT
# Nanoseconds that metering adds to each forwarded packet on a busy core: the generator and the router's softirq share
# CPU 0, daemons and tcpdump have CPU 1. Rounds are interleaved; printed are medians of the time per packet less that of
# a router that meters nothing.
#   inline.sh [PACKETS [ROUNDS]]
. "$(dirname "$0")/router_lib.sh"
require_root jq tcpdump iptables taskset

packets=${1:-150000}
rounds=${2:-15}
router_make
taskset -pc 1 $$ >/dev/null

start_tcpdump() {
	spawn router "$work/tcpdump.log" tcpdump -i lan1 -w /dev/null
	exporter_pid=$spawned
	wait_for 5 grep -q listening "$work/tcpdump.log"
}

# The first run brings the flows into the tables, the second is measured.
round() { # EXPORTER CASE OPTIONS...
	"start_$1"
	send_on_0 "${@:3}" --packets "$((packets / 2))"
	send_on_0 "${@:3}" --packets "$packets"
	echo "$((microseconds * 1000 / packets))" >>"$work/$1.$2"
	[[ -z $exporter_pid ]] || stop "$exporter_pid" || :
}

send_on_0() {
	taskset -pc 0 $$ >/dev/null
	router_blast "$@"
	taskset -pc 1 $$ >/dev/null
}

cases=(1 10000 100000 zipf)
options=("--flows 1" "--flows 10000 --random 7" "--flows 100000 --random 7" "--flows 100000 --zipf 7")
printf 'ns added per packet     %8s  %8s  %8s  %8s\n' "1 flow" 10,000 100,000 zipf
for i in "${!cases[@]}"; do
	for _ in $(seq "$rounds"); do
		for e in none bpflowd tcpdump; do
			# shellcheck disable=SC2086
			round "$e" "${cases[i]}" ${options[i]}
		done
	done
done
for e in bpflowd tcpdump; do
	printf '  %-20s' "$e"
	for c in "${cases[@]}"; do
		printf '  %8d' "$(($(median <"$work/$e.$c") - $(median <"$work/none.$c")))"
	done
	echo
done
printf '  %-20s' "(a packet takes)"
for c in "${cases[@]}"; do printf '  %8d' "$(median <"$work/none.$c")"; done
echo

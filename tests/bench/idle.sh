#!/bin/bash
# SPDX-License-Identifier: MIT
# What the daemon takes of a core while flows rest that it holds, with the table of the default size: CPU time of the
# process over some seconds, per mille of a core, for no flows, 10,000 and 50,000.
#   idle.sh [SECONDS]
. "$(dirname "$0")/router_peers.sh"
require_root jq ss taskset chrt

seconds=${1:-20}
goal=1 # per mille, with 10,000 flows

holds() { [[ $(metric flows_active) -ge $1 ]]; } # after the drain that takes them

routers_make
printf '%8s  %s\n' flows "per mille of a core"
for flows in 0 10000 50000; do
	max_flows=65536 active_timeout=1h idle_timeout=1h start_bpflowd "$flows"
	[[ $flows -eq 0 ]] || "$inject" --flows "$flows" "$id-router:lan1:$flows" >/dev/null || bail "inject failed"
	wait_for 10 holds "$flows" || bail "$(metric flows_active) flows active of $flows"
	sleep 3 # what a start leaves for later
	before=$(spent_so_far "$exporter_pid")
	begun=${EPOCHREALTIME/./}
	sleep "$seconds"
	# ns per us are per mille
	taken=$(echo "$(($(spent_so_far "$exporter_pid") - before)) $((${EPOCHREALTIME/./} - begun))" | awk '{ print $1 / $2 }')
	printf '%8d  %.2f%s\n' "$flows" "$taken" "$([[ $flows -eq 10000 ]] && echo "  goal: below $goal")"
	finish bpflowd
done

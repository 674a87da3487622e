#!/bin/bash
# SPDX-License-Identifier: MIT
# The kernel's own word on inject.so: the same cells of the table through strace -e inject=, with the same end.
. "$(dirname "$0")/../lib.sh"
require_root strace
. "$(dirname "$0")/lib.sh"
every_session
sed -i '/name: flapping/d' "$work/bpflowd.yaml"
daemon_start b "$work/bpflowd.yaml"

all=0
counted() { # by all collectors: failures, packets lost, reloads refused
	ctl show stats --json | jq '[.metrics[] | select(.name == "collector_failures_total" or .name == "lost_packets_total"
		or .name == "reloads_total") | .samples[] | select(.labels.result != "done") | .value] | add'
}
stimulate() { # CALL
	send a veth0 --dst-mac "$mac" --src 10.64.0.1 --dst 10.63.0.1 --flows 20 --packets 20
	all=$((all + 20))
	case $1 in
	socket | connect | bind | openat)
		round=$((round + 1))
		sed -i "s/source: [0-9.]*/source: 127.1.$((round >> 8)).$((round & 255))/" "$work/bpflowd.yaml"
		kill -HUP "$daemon_pid"
		;;
	esac
	shift_clock 1.2
	ctl show stats --json >"$work/stimulated" 2>&1
}
round=0
well() {
	shift_clock 1.2
	ctl show stats --json >"$work/well.json" || return 1
	jq -e --argjson all "$all" '
		def get($name): [.metrics[] | select(.name == $name) | .samples[].value];
		(get("observed_packets_total") | add) == $all and (get("cached_packets") | add) == 0 and
		(get("queued_packets") | add) == 0 and (get("collector_up") | all(. == 1))' "$work/well.json"
}
injected() { [[ $(grep -c INJECTED "$work/strace.log") -ge $1 ]]; }
preloaded() { # HITS
	[[ $(od -An -tu4 -j28 -N4 "$work/fault.control") -ge $1 ]]
}

until_hit() { # CALL CONDITION...
	local tries=100
	until "${@:2}"; do
		[[ $((tries--)) -gt 0 ]] || return 1
		stimulate "$1"
	done
}

cell() { # CALL ERROR first|third COUNTED(yes|no)
	local when=1 mode=first hits=1 how tracer before after why
	[[ $3 == first ]] || { when=3+3 mode="every third" hits=2; }
	for how in strace inject.so; do
		check "before $1 $2, $3: all is well" wait_for 10 well
		before=$(counted)
		if [[ $how == strace ]]; then
			strace -f -q -o "$work/strace.log" -e trace="$1" -e inject="$1:error=$2:when=$when" -p "$daemon_pid" 2>"$work/strace.err" &
			tracer=$!
			children+=("$tracer")
			wait_for 5 grep -q 'TracerPid:[[:space:]]*[1-9]' "/proc/$daemon_pid/status"
			until_hit "$1" injected $hits
			why=$?
			stop $tracer INT
		else
			injection arm "${1/openat/open}" "$2" "$mode"
			until_hit "$1" preloaded $hits
			why=$?
			injection disarm
		fi
		ok $why "$how: $1 $2, $3: has failed"
		check "$how: $1 $2, $3: all is well again" wait_for 15 well
		after=$(counted)
		[[ $4 == no ]] && is "$after" "$before" "$how: $1 $2, $3: nothing to count"
		[[ $4 == yes ]] && ok $((after <= before)) "$how: $1 $2, $3: counted"
		gone "$daemon_pid" && bail "the daemon is dead"
	done
}

cell sendmmsg EINTR first no
cell sendmmsg EAGAIN third no
cell sendmmsg ENOBUFS first yes
cell sendmmsg ENOMEM third yes
cell sendmmsg EPERM first yes
cell sendmmsg EPIPE first yes
cell sendmmsg ECONNRESET third yes
cell sendmsg EINTR first no
cell sendmsg EAGAIN third no
cell sendmsg EPIPE first yes
cell sendmsg ECONNRESET third yes
cell sendmsg ENOBUFS first yes
cell writev EINTR first no
cell writev EIO first yes
cell writev ENOMEM third yes
cell bind EADDRINUSE first yes
cell socket EMFILE third yes
cell connect ENETUNREACH third yes
cell renameat2 EIO first yes
cell recvmsg ENOMEM first any
cell poll EINTR third no
cell bpf EPERM third any

check "SIGTERM ends it with status 0" daemon_stop
for name in udp v9 tcp named; do
	strict_off $name --clock-moved
	is "$(strict packets)" "$all" "$name: has every packet"
done
done_testing

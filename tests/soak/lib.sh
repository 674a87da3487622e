# SPDX-License-Identifier: MIT
# For the scripts of tests/soak: `. "$(dirname "$0")/lib.sh"`. What a process holds, and collectors that only add up.
# shellcheck shell=bash
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

tally=$build/tests/tools/tally

# ---- what a process holds

resident_kb() { awk '/^VmRSS/ { print $2 }' "/proc/${1:-$daemon_pid}/status"; }
peak_kb() { awk '/^VmHWM/ { print $2 }' "/proc/${1:-$daemon_pid}/status"; }
descriptors() { find "/proc/$daemon_pid/fd" -mindepth 1 -printf '%l\n' | sed 's/[0-9]\+//g' | sort | uniq -c; }
cpu_ms() { awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print int(($12 + $13) * 1000 / hz) }' "/proc/${1:-$daemon_pid}/stat"; }
now_ms() { echo $((${EPOCHREALTIME/./} / 1000)); }

# Memory of the maps that the daemon holds, as the kernel counts it: of each map once.
map_bytes() {
	local info
	for info in "/proc/$daemon_pid/fdinfo/"*; do
		awk '/^map_id/ { id = $2 } /^memlock/ { bytes = $2 } END { if (id) print id, bytes }' "$info" 2>/dev/null
	done | sort -u | awk '{ n += $2 } END { print n + 0 }'
}

# A daemon that keeps the account of its memory: call before daemon_start. Pages come and go with the queues' fill, and
# with how malloc cuts them; what is asked for and not given back tells growth to the octet (tests/fault/memory.c).
count_memory() {
	truncate -s 64K "$work/memory"
	cat >"$work/bpflowd" <<-END
		#!/bin/sh
		G_SLICE=always-malloc FAULT_MEMORY=$work/memory LD_PRELOAD=$build/tests/fault/memory.so exec $bpflowd "\$@"
	END
	chmod +x "$work/bpflowd"
	bpflowd=$work/bpflowd
}

held_blocks() { od -An -tu4 -j20 -N4 "$work/memory" | tr -d ' '; }
held_octets() { od -An -tu8 -j24 -N8 "$work/memory" | tr -d ' '; }
# The least of three seconds: sessions and questions that come and go.
held_least() {
	for _ in {1..30}; do
		held_octets
		sleep 0.1
	done | sort -n | head -n 1
}

sample_resident() { # FILE: "seconds kB" each second while the daemon lives
	local begin
	begin=$(now_ms)
	while ! gone "$daemon_pid"; do
		echo "$((($(now_ms) - begin) / 1000)) $(resident_kb)" >>"$1"
		sleep 1
	done
}

# ---- collectors that only add up

declare -A tally_pids

tally_start() { # NAME NAMESPACE udp|tcp PORT [OPTIONS...]
	spawn "$2" "$work/$1.tally" chrt -f 1 "$tally" "$3" "${tally_address:-127.0.0.1}" "$4" "${@:5}"
	tally_pids[$1]=$spawned
	wait_for 10 grep -q ready "$work/$1.tally" || bail "tally: $(cat "$work/$1.tally")"
}

tally_stop() { # NAME: takes what lies in its socket first
	stop "${tally_pids[$1]}"
}

tallied() { sed 1d "$work/$1.tally" | jq -c ".$2"; } # NAME MEMBER

# ---- sums

lost_at() { metric lost_packets_total "place=$1"; }

# What no collector can have, by name.
lost_before() {
	local place n=0
	for place in flow_table ring_buffer flow_cache; do
		n=$((n + $(lost_at $place)))
	done
	echo $n
}

of_collector() { # NAME MEMBER of `show collectors`
	ctl show collectors --json | jq ".collectors[] | select(.name == \"$1\") | .$2"
}

all_sent() { [[ $(metric queued_flows) == 0 ]]; }

# ---- what is left in the kernel

all_objects() { # PID: ids of programs, links and maps that it holds
	cat "/proc/$1/fdinfo/"* 2>/dev/null | sed -n 's/^\(prog\|link\|map\)_id:[[:space:]]*/\1 /p' | sort -u
}

none_left() { # FILE of all_objects: none exists any more
	local kind number
	[[ -s $1 ]] || return 1
	while read -r kind number; do
		! bpftool "$kind" show id "$number" || return 1
	done <"$1"
}

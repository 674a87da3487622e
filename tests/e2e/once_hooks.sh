#!/bin/bash
# SPDX-License-Identifier: MIT
# Beside tc programs of others, by tcx and by clsact: theirs work before, while and after we meter, also where they drop
# or redirect behind us.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/once_lib.sh"
require_root jq tc

router_make
stranger=$build/tests/tools/stranger

declare -A stranger_pid
stranger_start() { # NAME tcx|PRIORITY ingress|egress INTERFACE ACTION
	rm -f "$work/stranger.$1"
	spawn r "$work/stranger.$1" "$stranger" "${@:2}"
	stranger_pid[$1]=$spawned
	wait_for 5 grep -q ready "$work/stranger.$1" || bail "stranger: $(cat "$work/stranger.$1")"
}

saw= # how many packets, when it ended
stranger_stop() { # NAME
	stop "${stranger_pid[$1]}" || bail "stranger: $(cat "$work/stranger.$1")"
	saw=$(tail -n 1 "$work/stranger.$1")
}

# All of ours; a neighbour's question now and then is none of ours.
saw_all() { # NAME PACKETS TEST-NAME
	stranger_stop "$1"
	ok $((saw < $2 || saw > $2 + 10)) "$3" || diag "saw $saw of $2"
}

strangers() { # OUR-MODE THEIRS: tcx or a priority
	local name="$1 beside $2"
	use_mode "$1"
	sent_of=()
	stranger_start in "$2" ingress lan0 pass
	stranger_start out "$2" egress wan0 pass
	from_lan 10.16.1.1 10.63.0.1 100 10
	meter '["*", "!lo"]' </dev/null
	from_lan 10.16.2.1 10.63.0.1 1000 10
	stranger_start late-in "$([[ $2 == tcx ]] && echo tcx || echo $(($2 + 1)))" ingress lan0 pass
	from_lan 10.16.2.1 10.63.0.1 1000 10
	meter_end "$name"
	row "$name: each packet, once" 10.16.2.1 lan0/wan0 in
	from_lan 10.16.3.1 10.63.0.1 10 10
	saw_all in 2110 "$name: theirs saw each packet that came in, before, meanwhile, after"
	saw_all out 2110 "$name: theirs saw each packet that left"
	saw_all late-in 1010 "$name: one that came after us, too"
	unfilter "$2"
}

# clsact filters stay when their maker ends.
unfilter() { # tcx|PRIORITY
	local device side
	[[ $1 != tcx ]] || return
	for device in lan0 wan0; do
		for side in ingress egress; do
			in_ns r tc filter del dev $device $side pref "$1" 2>/dev/null
			in_ns r tc filter del dev $device $side pref $(($1 + 1)) 2>/dev/null
		done
	done
}

# Behind us, at the way out: dropped, and sent elsewhere.
behind_us() { # OUR-MODE THEIRS
	local name="$1, $2 behind it" before
	use_mode "$1"
	sent_of=()
	meter '["*", "!lo"]' </dev/null
	stranger_start drop "$2" egress wan0 drop
	from_lan 10.16.4.1 10.63.0.1 1000 10
	saw_all drop 1000 "$name: drops"
	unfilter "$2"
	stranger_start elsewhere "$2" egress wan0 wan1
	before=$(statistic wan2 w1 rx.packets)
	from_lan 10.16.5.1 10.63.0.1 1000 10
	saw_all elsewhere 1000 "$name: redirects"
	is "$(($(statistic wan2 w1 rx.packets) - before))" 1000 "$name: and they arrive there"
	unfilter "$2"
	stranger_start in-drop "$2" ingress lan0 drop
	from_lan 10.16.6.1 10.63.0.1 1000 10
	saw_all in-drop 1000 "$name: drops what comes in"
	unfilter "$2"
	meter_end "$name"
	row "$name: dropped on its way out: once" 10.16.4.1 lan0/wan0 in
	row "$name: redirected: once, and not by the wrong way" 10.16.5.1 lan0/0 in
	row "$name: dropped as it came in: once" 10.16.6.1 lan0/0 in
}

strangers tcx tcx
strangers tcx 5
strangers clsact 5
strangers clsact 20
strangers clsact tcx
behind_us tcx tcx
behind_us clsact 20
behind_us tcx 20
done_testing

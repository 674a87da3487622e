#!/bin/bash
# SPDX-License-Identifier: MIT
# Both interfaces of a flow, in time: many flows at once, long flows over several records, routes that change under
# them, neighbours that take their time.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/once_lib.sh"
require_root jq taskset

router_make
now_ms() { echo $((${EPOCHREALTIME/./} / 1000)); }

# Share of the flows (10 of 10,000 may be unknown, none may be wrong) whose way out is known.
many() { # NAME SOURCE WAY FLOWS PACKETS-PER-FLOW
	local known wrong
	known=$(awk -v s="$2" -v way="$3" '$1 ~ s && $6 == way { n[$1 $4] = 1 } END { print length(n) }' "$work/records")
	wrong=$(awk -v s="$2" -v way="$3" '$1 ~ s && $6 != way && $6 != "lan0/0"' "$work/records" | head -5)
	diag "$1: the way out of $known of $4 flows is known"
	ok "$((known < $4 - $4 / 1000))" "$1: nearly every flow's way out is known"
	is "$wrong" "" "$1: and no wrong one"
	is "$(awk -v s="$2" '$1 ~ s { n += $10 } END { print n }' "$work/records")" $(($4 * $5)) "$1: every packet, once"
}

many_flows() {
	meter '["*", "!lo"]' <<<"max_flows: 131072"
	from_lan 10.16.1.1 10.63.0.1 10000 10000
	from_lan 10.17.1.1 10.64.0.1 30000 10000 --proto tcp
	from_lan fd10::1:0 fd63::1 10000 10000
	from_lan fd10:1::1:0 fd64::1 30000 10000 --proto tcp
	meter_end "many flows"
	many "10,000 flows of one packet" '^10[.]16' lan0/wan0 10000 1
	many "10,000 flows of three packets" '^10[.]17' lan0/wan1 10000 3
	many "10,000 IPv6 flows of one packet" '^fd10::1:' lan0/wan0 10000 1
	many "10,000 IPv6 flows of three packets" '^fd10:1::' lan0/wan1 10000 3
}

# Each record of a long flow names a way that its packets took; those of records that began after the change and one
# active timeout, the new one alone.
long_flow() { # NAME SOURCE OLD-WAY NEW-WAY
	is "$(said "${2//./[.]}" | sed 's/:.*//')" "${sent_of[$2]}" "$1: every packet, once"
	is "$(awk -v s="$2" -v old="$3" -v new="$4" -v change="$changed_ms" '
		$1 != s { next }
		$13 < change && $6 != old { print "before", $0 }
		$12 > change && $6 != new { print "after", $0 }
		$6 != new && $6 != old && $6 != "lan0/0" { print "wrong", $0 }
		$13 < change { early++ }
		$12 > change { late++ }
		END { if (early < 2 || late < 2) print "records:", early, late }' "$work/records")" "" \
		"$1: every record has the way of its time"
}

route_changes() {
	local pids=() pid
	meter '["*", "!lo"]' <<<"active_timeout: 1s"
	in_ns lan "$blast" --interface l0 --dst-mac "$router_mac" --src 10.16.2.1 --dst 10.63.0.1 --packets 3000 --rate 500 >"$work/blast.out" &
	pids+=($!)
	in_ns lan "$blast" --interface l0 --dst-mac "$router_mac" --src fd10::2 --dst fd63::1 --proto tcp --packets 3000 --rate 500 >"$work/blast.out" &
	pids+=($!)
	sleep 3.2
	in_ns r ip route replace 10.63.0.0/16 via 10.3.0.2
	in_ns r ip -6 route replace fd63::/32 via fd03::2
	changed_ms=$(($(now_ms) + 30)) # a tick, and what ip takes
	for pid in "${pids[@]}"; do
		wait "$pid" || bail "blast failed"
	done
	sent_of=([10.16.2.1]=3000 [fd10::2]=3000)
	meter_end "route change"
	long_flow "long flow" 10.16.2.1 lan0/wan0 lan0/wan1
	long_flow "long flow, IPv6" fd10::2 lan0/wan0 lan0/wan1
	in_ns r ip route replace 10.63.0.0/16 via 10.2.0.2
	in_ns r ip -6 route replace fd63::/32 via fd02::2
}

# A flow that another CPU sees for a while lies in the tables of both; its later records know all the same.
on_cpu() { # CPU
	taskset -c "$1" nsenter --net="/run/netns/$id-lan" "$blast" --interface l0 --dst-mac "$router_mac" \
		--src 10.16.3.1 --dst 10.64.0.1 --packets 20 >"$work/blast.out" || bail "blast failed"
	sleep 0.3 # a drain
}

from_cpu_to_cpu() {
	[[ $(nproc) -gt 1 ]] || { skip "kernel: one CPU" "a flow from CPU to CPU" && return; }
	sent_of=([10.16.3.1]=60)
	meter '["*", "!lo"]' </dev/null
	on_cpu 0
	on_cpu 1
	check "from CPU to CPU: flush" ctl flush
	on_cpu 0
	meter_end "from CPU to CPU"
	row "a flow from CPU to CPU" 10.16.3.1 lan0/wan1 in
	is "$(grep -c '^10[.]16[.]3[.]1 ' "$work/records")" 2 "a flow from CPU to CPU: two records"
}

# The next hop is not there yet: packets wait for its address and leave from another context, or never.
slow_neighbour() {
	in_ns r ip route add 10.67.0.0/16 via 10.2.0.77
	in_ns r ip route add 10.68.0.0/16 via 10.2.0.78
	meter '["*", "!lo"]' </dev/null
	from_lan 10.16.4.1 10.67.0.1 20 1
	from_lan 10.16.5.1 10.67.0.1 50 50
	from_lan 10.16.6.1 10.68.0.1 50 10 # nobody will ever answer for this one
	sleep 0.3
	in_ns wan ip address add 10.2.0.77/32 dev w0
	wait_for 5 resolved
	from_lan 10.16.4.1 10.67.0.1 3000 1
	meter_end "slow neighbour"
	row "packets waited for their next hop" 10.16.4.1 lan0/wan0 in
	is "$(said '10[.]16[.]5[.]1' | sed 's/:.*//')" 50 "flows of one packet that waited: every packet"
	is "$(column '10[.]16[.]5[.]1' 6 | sed 's/^lan0\/0 lan0\/wan0$/lan0\/0/; s/^lan0\/wan0$/lan0\/0/')" lan0/0 \
		"flows of one packet that waited: their way or none"
	is "$(said '10[.]16[.]6[.]1')" "50: lan0/0 in" "a next hop that is not there is no way out"
}

resolved() { in_ns r ip neighbour show 10.2.0.77 | grep -q REACHABLE; }

many_flows
route_changes
from_cpu_to_cpu
slow_neighbour
done_testing

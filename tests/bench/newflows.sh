#!/bin/bash
# SPDX-License-Identifier: MIT
# Flows of one packet each, 200,000 of them in a second: what one costs from the hook to the datagram, in bpflowd and in
# softflowd, and what of it is heard by an nfcapd with the socket buffer that it has by default. As in router.sh, of five
# bursts one goes to a router that nobody meters; to the median of the differences comes the CPU time of the exporter's
# processes until it has flushed and ended. Before that so many others come and are flushed (WARM_UP, 0: none) that the
# exporter has the memory it will use: what its first touch costs is this machine's affair, and a router's but once.
# Rounds are interleaved.
#   newflows.sh [ROUNDS [TURNS [RATE]]]     EXPORTERS="bpflowd softflowd" chooses others
# What each round measured goes to newflows.tsv in the current folder, or $BENCH_OUT.
. "$(dirname "$0")/router_peers.sh"
require_root jq nfcapd nfdump ss taskset chrt

rounds=${1:-5}
turns=${2:-20}
rate=${3:-200000}
burst=$((rate / 10))
repeat=4
warm_up=${WARM_UP:-400000}
range=$((1 << 22)) # of flows: hosts 10.64.0.0/22 send those that are measured, those above them the others
tsv=${BENCH_OUT:-.}/newflows.tsv
exporters=(${EXPORTERS:-bpflowd softflowd})

# As anybody starts it.
plain_collector_start() {
	mkdir -p "$work/nfcapd"
	rm -f "$work/nfcapd.log"
	spawn router "$work/nfcapd.log" taskset -c 1 chrt -r 2 nfcapd -w "$work/nfcapd" -b 127.0.0.1 -p 9995 -t 3600
	nfcapd_pid=$spawned
	wait_for 5 udp_bound router 9995 || bail "nfcapd does not listen"
}

inject_new() {
	taskset -c 0 chrt -f 1 "$inject" --flows $range --first 1 --rate "$rate" --turns "$turns" --repeat "$repeat" \
		"$id-router:lan1:$burst" "$id-bare:lan1:$burst" >"$work/turns" || bail "inject failed"
}

at_rest() { # no more CPU time for a while
	local before=$resting
	resting=$(spent_so_far "$exporter_pid")
	[[ $((resting - before)) -lt 2000000 ]]
}

inject_warm_up() { # EXPORTER
	local resting=0
	[[ $warm_up -gt 0 ]] || return 0
	taskset -c 0 chrt -f 1 "$inject" --flows $((2 * range)) --first $range --rate "$rate" "$id-router:lan1:$warm_up" \
		>/dev/null || bail "inject failed"
	flush "$1"
	sleep 2
	wait_for 20 at_rest || bail "$1 does not come to rest"
}

# From the first packet to the end: each flow begins once and is exported once.
round() { # EXPORTER
	local so_far packets=$((turns * repeat * burst)) process heard records
	rm -rf "$work/nfcapd"
	plain_collector_start
	"start_$1"
	inject_warm_up "$1"
	drops=$(udp_drops router 9995)
	so_far=$(spent_so_far "$exporter_pid")
	inject_new
	finish "$1"
	nfcapd_stop router 9995
	process=$(($(cat "$work/$1.spent") - so_far))
	read -r heard records < <(nfdump -r "$nfcapd_file" -N -q -o "fmt:%pkt" "src net 10.64.0.0/22" |
		awk '{ p += $1 } END { print p + 0, NR }')
	awk '{ print $1 - $3 }' "$work/turns" | median >"$work/hooks"
	awk -v e="$1" -v n="$packets" -v heard="$heard" -v records="$records" -v process="$process" -v drops="$((nfcapd_drops - drops))" \
		-v hooks="$(cat "$work/hooks")" -v OFS='\t' '
		{ share = heard / n; total = share ? (hooks + process / n) / share : 0
		  print e, n, 100 * share, hooks, process / n, total, records, drops }' <(echo) | tee -a "$tsv" >>"$work/all"
}

column() { awk -F'\t' -v e="$1" -v c="$2" '$1 == e { print $c }' "$work/all"; }
spread() { quartiles | awk '{ printf "%.0f [%.0f, %.0f]", $1, $2, $3 }'; }

routers_make
taskset -pc 1 $$ >/dev/null
printf 'exporter\tflows\theard_percent\thooks_ns\tprocess_ns\ttotal_ns\trecords\tdatagrams_dropped\n' >"$tsv"
for _ in $(seq "$rounds"); do
	for e in "${exporters[@]}"; do round "$e"; done
done
printf '%d new flows per second, one packet each: median [quartiles] of %d rounds of %d flows\n' "$rate" "$rounds" \
	$((turns * repeat * burst))
printf '  %-10s %-22s %-22s %-22s %10s %s\n' "" "hooks, ns/flow" "process, ns/flow" "total, ns/heard flow" heard "datagrams lost"
for e in "${exporters[@]}"; do
	printf '  %-10s %-22s %-22s %-22s %8.2f %% %s\n' "$e" "$(column "$e" 4 | spread)" "$(column "$e" 5 | spread)" \
		"$(column "$e" 6 | spread)" "$(column "$e" 3 | median)" "$(column "$e" 8 | median)"
done
for e in "${exporters[@]:1}"; do
	printf '  bpflowd of %s in each round: %s\n' "$e" "$(paste <(column bpflowd 6) <(column "$e" 6) |
		awk '$2 > 0 { printf "%.3f\n", $1 / $2 }' | quartiles | awk '{ printf "%s [%s, %s]", $1, $2, $3 }')"
done

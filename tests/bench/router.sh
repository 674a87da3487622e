#!/bin/bash
# SPDX-License-Identifier: MIT
# A router at full speed with nothing, bpflowd and its peers metering it, each exporting to nfcapd: what a packet costs
# in all. Of every five bursts one goes to an equal router that nobody meters: the hooks' cost is the median of the
# differences between such neighbours, in CPU time of the generator, in which the router's softirq runs. To it comes the
# CPU time of the exporter's processes, from the first packet until it has flushed and ended, without its start. Rounds
# are interleaved over the exporters.
#   router.sh [ROUNDS [TURNS [FLOWS...]]]       EXPORTERS="none bpflowd ..." chooses others
# Each turn is 200,000 packets. What each round measured goes to router.tsv in the current folder, or $BENCH_OUT.
. "$(dirname "$0")/router_peers.sh"
require_root jq nfcapd nfdump ss taskset chrt

rounds=${1:-5}
turns=${2:-8}
flow_counts=("${@:3}")
[[ ${#flow_counts[@]} -gt 0 ]] || flow_counts=(1 10000 100000)
burst=50000
repeat=4 # of five bursts, one goes to the bare router
tsv=${BENCH_OUT:-.}/router.tsv

exporters=()
for e in ${EXPORTERS:-none bpflowd softflowd pmacctd yaf fprobe}; do
	case $e in
	none | bpflowd) exporters+=("$e") ;;
	*) if command -v "${e%%_*}" >/dev/null; then exporters+=("$e"); else echo "$e is not installed: left out"; fi ;;
	esac
done

round() { # EXPORTER FLOWS
	local so_far=0 process=0 heard=0 records=0 packets=$((turns * repeat * burst))
	rm -rf "$work/nfcapd"
	collector_start
	"start_$1" "$2"
	[[ -z $exporter_pid ]] || so_far=$(spent_so_far "$exporter_pid")
	taskset -c 0 chrt -f 1 "$inject" --flows "$2" --turns "$turns" --repeat "$repeat" \
		"$id-router:lan1:$burst" "$id-bare:lan1:$burst" >"$work/turns" || bail "inject failed"
	[[ -z $exporter_pid ]] || finish "$1"
	nfcapd_stop router 9995
	if [[ -n $exporter_pid ]]; then
		process=$(($(cat "$work/$1.spent") - so_far))
		read -r heard records < <(nfdump -r "$nfcapd_file" -N -q -o "fmt:%pkt" "src net 10.64.0.0/10" |
			awk '{ p += $1 } END { print p + 0, NR }')
	fi
	awk -v e="$1" -v flows="$2" -v packets="$packets" -v heard="$heard" -v process="$process" -v records="$records" \
		-v differences="$work/differences" -v bare="$work/bare" '
		{ print $1 - $3 >differences; print $3 >bare }
		END { print e, flows, packets, heard, process, records }' OFS='\t' "$work/turns" >"$work/round"
	# median hooks, median of a bare packet
	echo "$(cat "$work/round")	$(median <"$work/differences")	$(median <"$work/bare")" |
		awk -F'\t' '{
			hooks = $7; bare = $8; share = $4 / $3
			total = share ? (hooks + $5 / $3) / share : 0
			printf "%s\t%s\t%d\t%.4f\t%.4f\t%.1f\t%.1f\t%.1f\t%d\n", $2, $1, 1e9 / (bare + hooks),
				bare / (bare + hooks), 100 * share, hooks, $5 / $3, total, $6
		}' | tee -a "$tsv" >>"$work/all"
}

column() { # EXPORTER FLOWS COLUMN: its values, round by round
	awk -F'\t' -v e="$1" -v flows="$2" -v c="$3" '$1 == flows && $2 == e { print $c }' "$work/all"
}

spread() { quartiles | awk '{ printf "%s [%s, %s]", $1, $2, $3 }'; } # median and quartiles

# Total cost of bpflowd as a share of another's, or of the best of each round.
ratio() { # FLOWS PEER...
	local e files=()
	for e in bpflowd "${@:2}"; do
		column "$e" "$1" 8 >"$work/column.$e"
		files+=("$work/column.$e")
	done
	paste "${files[@]}" | awk '{ best = 0; for (i = 2; i <= NF; i++) if ($i > 0 && (!best || $i < best)) best = $i
		if (best) printf "%.3f\n", $1 / best }' | spread
}

report() { # FLOWS
	local e
	printf '%s flows: median [quartiles] of %d rounds of %d packets\n' "$1" "$rounds" $((turns * repeat * burst))
	printf '  %-10s %9s %6s  %-22s %-24s %10s %9s  %-24s %s\n' "" packets/s kept "hooks, ns/packet" "process, ns/packet" \
		"accounted" records "total, ns/accounted" "bpflowd's share"
	for e in "${exporters[@]}"; do
		printf '  %-10s %9d %6.3f  %-22s %-24s %8.4f %% %9d  %-24s %s\n' "$e" "$(column "$e" "$1" 3 | median)" \
			"$(column "$e" "$1" 4 | median)" "$(column "$e" "$1" 6 | spread)" "$(column "$e" "$1" 7 | spread)" \
			"$(column "$e" "$1" 5 | median)" "$(column "$e" "$1" 9 | median)" "$(column "$e" "$1" 8 | spread)" \
			"$([[ $e == none || $e == bpflowd* ]] || ratio "$1" "$e")"
	done
	printf '  bpflowd of the best peer in each round: %s\n' "$(ratio "$1" $(peers))"
}

peers() { printf '%s\n' "${exporters[@]}" | grep -v -e none -e bpflowd; }

routers_make
taskset -pc 1 $$ >/dev/null
printf 'flows\texporter\tpackets_per_s\tkept\taccounted_percent\thooks_ns\tprocess_ns\ttotal_ns\trecords\n' >"$tsv"
for flows in "${flow_counts[@]}"; do
	for _ in $(seq "$rounds"); do
		for e in "${exporters[@]}"; do round "$e" "$flows"; done
	done
	report "$flows"
done

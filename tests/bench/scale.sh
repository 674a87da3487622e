#!/bin/bash
# SPDX-License-Identifier: MIT
# How costs grow with the number of flows, interfaces, collectors and templates: scale.tsv, one point a line, and the
# same drawn, scale.svg (by gnuplot, package gnuplot-nox), both in the current folder or in $BENCH_OUT.
#   scale.sh [ROUNDS]        of the router's points
set -u
src=${BPFLOWD_SRC:-$(cd "$(dirname "$0")/../.." && pwd)}
build=${BPFLOWD_BUILD:-$src}
export BPFLOWD_SRC=$src BPFLOWD_BUILD=$build
out=${BENCH_OUT:-.}
rounds=${1:-3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

flow_counts=(1000 10000 100000 1000000)
collector_counts=(1 2 4 8)
interface_counts=(2 10 50 200)
templates=(standard minimal nfdump ntopng elastiflow cert full)

die() { echo "scale: $*" >&2 && exit 1; }

point() { # CURVE BY NUMBER VALUE
	[[ -n $4 ]] || die "$1: nothing measured for $3 $2"
	printf '%s\t%s\t%s\t%s\n' "$@" | tee -a "$out/scale.tsv"
}

# ns of a packet in random order over so many flows, net of an empty program
kernel_path() {
	local flows hash ours
	"$build/tests/bench/bench_kernel" >"$work/kernel" || die "bench_kernel failed"
	while read -r flows hash ours; do
		point "hook, HASH + atomic add" flows "$flows" "$hash"
		point "hook, bpflowd" flows "$flows" "$ours"
	done < <(sed -n 's/^ *\([0-9]*\) *flows: HASH *\([0-9]*\), ours *\([0-9]*\) .*/\1 \2 \3/p' "$work/kernel")
}

router_value() { # COLUMN: median of bpflowd's rounds
	awk -F'\t' -v c="$1" '$2 == "bpflowd" { print $c }' "$work/router.tsv" | sort -g |
		awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'
}

router() { # FLOWS
	EXPORTERS=bpflowd BENCH_OUT=$work "$src/tests/bench/router.sh" "$rounds" 8 "$1" >"$work/router.log" ||
		die "router.sh: $(cat "$work/router.log")"
}

router_by_flows() {
	local flows
	for flows in 1 "${flow_counts[@]}"; do
		router "$flows"
		point "router, hooks per packet" flows "$flows" "$(router_value 6)"
		point "router, daemon per packet" flows "$flows" "$(router_value 7)"
		point "router, all per packet" flows "$flows" "$(router_value 8)"
	done
}

router_by_interfaces() {
	local n
	for n in "${interface_counts[@]}"; do
		more_interfaces=$((n - 2)) router 10000
		point "router, all per packet of 10,000 flows" interfaces "$n" "$(router_value 8)"
	done
}

# ns per flow of each stage
drain_by_flows() {
	local flows unused read first again export rest
	for flows in "${flow_counts[@]}"; do
		read -r _ _ unused read first again export rest < <("$build/tests/bench/bench_drain" "$flows" standard)
		point "read a slot that nobody uses" flows "$flows" "$unused"
		point "read a flow" flows "$flows" "$read"
		point "merge a new flow" flows "$flows" "$first"
		point "merge a known flow" flows "$flows" "$again"
		point "expire, encode, send a flow" flows "$flows" "$export"
	done
}

send_by_collectors() {
	local n
	for n in "${collector_counts[@]}"; do
		point "encode, queue, send a flow, one template" collectors "$n" "$("$build/tests/bench/bench_send" "$n" standard)"
	done
}

# As many collectors as templates, so that each is used.
send_by_templates() {
	local n
	for n in $(seq ${#templates[@]}); do
		point "encode, queue, send a flow, a collector each" templates "$n" \
			"$("$build/tests/bench/bench_send" "$n" "${templates[@]:0:n}")"
	done
}

curves() { awk -F'\t' -v by="$1" '$2 == by && !seen[$1]++ { print $1 }' "$out/scale.tsv"; }

panel() { # BY TITLE AXES
	local curve plots=()
	while read -r curve; do
		awk -F'\t' -v by="$1" -v curve="$curve" '$2 == by && $1 == curve { print $3, $4 }' "$out/scale.tsv" \
			>"$work/$1-$curve"
		plots+=("'$work/$1-$curve' with linespoints title '$curve'")
	done < <(curves "$1")
	cat <<-END
		set title '$2'
		set xlabel '$1'
		$3
		plot $(IFS=,; echo "${plots[*]}")
	END
}

draw() {
	command -v gnuplot >/dev/null || { echo "gnuplot is not installed: no plot" && return; }
	{
		cat <<-END
			set terminal svg size 1400,1000 font 'sans,12'
			set output '$out/scale.svg'
			set multiplot layout 2,2
			set key left top
			set grid
			set ylabel 'ns'
		END
		panel flows "By flows" "set logscale xy; set yrange [1:1e7]; set format xy '10^{%T}'"
		panel interfaces "By metered interfaces" "unset logscale; set yrange [0:*]; set format xy '%g'"
		panel collectors "By collectors" ""
		panel templates "By templates" ""
	} | gnuplot && echo "drawn: $out/scale.svg"
}

printf 'curve\tby\tnumber\tns\n' >"$out/scale.tsv"
kernel_path
drain_by_flows
send_by_collectors
send_by_templates
router_by_flows
router_by_interfaces
draw

#!/bin/bash
# SPDX-License-Identifier: MIT
# Start and end of a flow are the times of its first and last packet: with the coarse clock that of the kernel's latest
# tick (which a busy virtual machine may be late with: the generator notes it beside the time), to the millisecond of the
# record with the precise one.
. "$(dirname "$0")/../lib.sh"
require_root jq

netns_add a b
veth_pair a veth0 b veth1

# Single packets at many instants, and two packets of one flow: where do the instants of their records lie?
times() { # coarse|precise EARLIEST: name of the instant in what blast prints
	local i mac
	daemon_config "$work/bpflowd.yaml" <<-END
		metering:
		  interfaces: [veth1]
		  timestamps: $1
		  idle_timeout: 120s
		  active_timeout: 300s
		collectors:
		  - {name: strict, address: 127.0.0.1, port: 4739}
	END
	strict_start b udp 4739
	daemon_start b "$work/bpflowd.yaml"
	mac=$(mac_of b veth1)
	: >"$work/truth"
	for i in {1..100} 1; do
		send a veth0 --dst-mac "$mac" --src "10.64.$i.1" --dst 10.63.0.1
		echo "10.64.$i.1 $(($(sent "$2") / 1000000)) $(($(sent end_ns) / 1000000))" >>"$work/truth"
	done
	check "$1: SIGTERM ends it with status 0" daemon_stop
	strict_stop --records
	jq -r 'select(."2" and (.options | not)) | "\(."8") \(."2") \(."152") \(."153")"' "$work/strict.json" >"$work/records"
	is "$(awk '{ n += $2 } END { print n, NR }' "$work/records")" "101 100" \
		"$1: a record of each flow"
	is "$(awk -v slack=1 '
		FNR == NR { if (!($1 in first)) { first[$1] = $2; first_end[$1] = $3 } last[$1] = $2; last_end[$1] = $3; next }
		$3 < first[$1] - slack || $3 > first_end[$1] + slack { print "start of", $1, $3, "not in", first[$1] "..." first_end[$1] }
		$4 < last[$1] - slack || $4 > last_end[$1] + slack { print "end of", $1, $4, "not in", last[$1] "..." last_end[$1] }
		' "$work/truth" "$work/records" | head -5)" "" "$1: every start and end is right"
}

times coarse tick_ns
times precise start_ns
done_testing

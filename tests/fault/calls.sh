#!/bin/bash
# SPDX-License-Identifier: MIT
# The table of system calls that fail: calls.py has the rows. One daemon lives through all of it; at the end the
# collectors' own records say the same as its account.
. "$(dirname "$0")/../lib.sh"
require_root
. "$(dirname "$0")/lib.sh"
every_session
daemon_start b "$work/bpflowd.yaml"
calls_table "$@"

ctl show stats --json >"$work/stats.json"
account() { # METRIC COLLECTOR
	jq --arg name "$1" --arg collector "$2" '[.metrics[] | select(.name == $name) | .samples[] | select(.labels.collector == $collector) | .value] | add // 0' \
		"$work/stats.json"
}
is "$(jq '[.metrics[] | select(.name == "lost_signals_total") | .samples[] | select(.labels.place == "dns_flows") | .value] | add' \
	"$work/stats.json")" 0 "no query that waits is taken for one that had to give way"
check "SIGTERM ends it with status 0" daemon_stop
for name in udp v9 tcp named; do
	strict_off $name --clock-moved
	is "$(strict packets) $(strict octets)" "$(account exported_packets_total $name) $(account exported_octets_total $name)" \
		"$name: has every packet and octet that counts as exported"
	# a message that was lost leaves a gap in the numbers, as it should
	gap=sequence
	[[ $(account lost_packets_total $name) != 0 ]] || gap=
	is "$(complaints $gap)" "[]" "$name: the strict decoder has nothing to say"
done
# a file for each second of the daemon's clock: one process reads them all
PYTHONPATH=$src/tests/tools python3 - "$work"/flows.ipfix* >"$work/files" <<'END'
import argparse, strict, sys
packets, errors = 0, []
for name in sys.argv[1:]:
    checker = strict.Checker(argparse.Namespace(src=[], flows=False, records=False, clock_moved=True))
    with open(name, "rb") as file:
        for message in strict.messages(file.read()):
            checker.message(*message)
    packets += checker.report()["packets"]
    errors += checker.errors
print(packets)
print(*errors[:20], sep="\n", end="")
END
packets=$(head -n 1 "$work/files")
is "$(tail -n +2 "$work/files")" "" "the files: the strict decoder has nothing to say"
is "$packets" "$(account exported_packets_total file)" "the files have every packet that counts as exported"
done_testing

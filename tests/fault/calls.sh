#!/bin/bash
# SPDX-License-Identifier: MIT
# The table of system calls that fail: calls.py has the rows. One daemon lives through all of it; at the end the
# collectors' own records say the same as its account.
. "$(dirname "$0")/../lib.sh"
require_root jq dnsmasq ss
. "$(dirname "$0")/lib.sh"

netns_add a b
veth_pair a veth0 b veth1
name_server
fault_config
strict_on udp udp 4739
strict_on v9 udp 2055
strict_on tcp tcp 4740
strict_on named udp 4742

daemon_start b "$work/bpflowd.yaml"
tap_hand_over
in_ns b python3 "$fault/calls.py" --control "$work/fault.control" --socket "$work/control.sock" --far "$id-a" \
	--mac "$(mac_of b veth1)" --log "$work/bpflowd.log" --config "$work/bpflowd.yaml" --tap "$work/tap" --sent "$work/all" \
	--pid "$daemon_pid" "$@"
tap_take_over
[[ -s $work/all ]] || bail "the table broke off"

ctl show stats --json >"$work/stats.json"
account() { # METRIC COLLECTOR
	jq --arg name "$1" --arg collector "$2" '[.metrics[] | select(.name == $name) | .samples[] | select(.labels.collector == $collector) | .value] | add // 0' \
		"$work/stats.json"
}
check "SIGTERM ends it with status 0" daemon_stop
for name in udp v9 tcp named; do
	pid=${name}_pid
	stop "${!pid}"
	"$strict" check "$work/$name.rec" --clock-moved >"$work/strict.json"
	is "$(strict packets) $(strict octets)" "$(account exported_packets_total $name) $(account exported_octets_total $name)" \
		"$name: has every packet and octet that counts as exported"
	# a message that was lost leaves a gap in the numbers, as it should
	gap=sequence
	[[ $(account lost_packets_total $name) != 0 ]] || gap=none
	is "$(strict first_errors | jq -c --arg gap "$gap" '[.[] | select(test($gap) | not)]')" "[]" \
		"$name: the strict decoder has nothing to say"
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

#!/bin/bash
# SPDX-License-Identifier: MIT
# A quiet loopback, metered with all signals on: nothing of what the daemon does for itself shows up as a packet or a drop.
. "$(dirname "$0")/../lib.sh"
require_root jq

netns_add router
daemon_config "$work/bpflowd.yaml" <<-END
	metering: {interfaces: [lo], drain_interval: 100ms}
	collectors:
	  - {name: file, file: $work/flows.ipfix, template: full}
END
daemon_start router "$work/bpflowd.yaml"
check "lo is metered" wait_for 5 attached lo
drains() { ctl show stats --json | jq '.metrics[] | select(.name == "drain_duration_seconds") | .samples[0].count'; }
drained() { [[ $(drains) -ge $1 ]]; }
check "the tables are read again and again" wait_for 20 drained $(($(drains) + 20))
is "$(ctl show drops --json | jq -c .drops)" "[]" "no drop"
is "$(ctl show flows --json | jq -c .flows)" "[]" "no flow"
is "$(metric observed_packets_total) $(metric dropped_packets_total)" "0 0" "nothing counted"

in_ns router bash -c 'echo x >/dev/udp/127.0.0.1/7000' 2>/dev/null
dropped() { [[ $(metric dropped_packets_total) -ge 1 ]]; }
check "and a closed port on it would be seen" wait_for 5 dropped
check "SIGTERM ends it with status 0" daemon_stop
done_testing

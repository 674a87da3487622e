#!/bin/bash
# SPDX-License-Identifier: MIT
# The drain interval is longer than the idle timeout, and a flood has the ring read between two drains. A flow that goes
# on has packets in the table that nobody read yet: it does not end as idle.
. "$(dirname "$0")/../lib.sh"
require_root jq

netns_add a b
veth_pair a veth0 b veth1
mac=$(mac_of b veth1)
daemon_config "$work/bpflowd.yaml" <<-END
	metering:
	  interfaces: [veth1]
	  direction: ingress
	  drops: false
	  max_flows: 4096
	  drain_interval: 60s
	  active_timeout: 600s
	  idle_timeout: 4s
	collectors:
	  - {name: file, file: $work/flows.ipfix, template: full}
END
daemon_start b "$work/bpflowd.yaml"
packet() { send a veth0 --dst-mac "$mac" --src 10.64.0.1 --dst 10.63.0.1 --dst-port 9999; }
known() { [[ $(ctl show flows --json | jq '.flows | length') == 1 ]]; }
ring_was_read() { [[ $(metric cached_packets) -gt 1000 ]]; }

packet
check "the flow is known" wait_for 5 known
for _ in {1..10}; do
	sleep 0.5
	packet
done
# more than the table takes, less than the cache
send a veth0 --dst-mac "$mac" --src 10.65.0.1 --dst 10.63.0.1 --flows 12000 --packets 12000
check "a flood has the ring read" wait_for 5 ring_was_read
packet
check "SIGTERM ends it with status 0" daemon_stop
"$strict" check "$work/flows.ipfix" --records >"$work/strict.json"
is "$(jq 'select(."11" == 9999) | ."2"' "$work/strict.json" | xargs)" 12 "one record has all packets of the flow that went on"
done_testing

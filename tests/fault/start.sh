#!/bin/bash
# SPDX-License-Identifier: MIT
# System calls that fail while the daemon starts: start.py has the rows.
. "$(dirname "$0")/../lib.sh"
require_root jq dnsmasq ss
. "$(dirname "$0")/lib.sh"

netns_add a b
veth_pair a veth0 b veth1
name_server
daemon_config "$work/bpflowd.yaml" <<-END
	metering:
	  interfaces: [veth1]
	  max_flows: 256
	  drain_interval: 50ms
	  dns: false
	  rtt: false
	collectors:
	  - {name: udp, address: 127.0.0.1, port: 4739}
	  - {name: tcp, address: 127.0.0.1, port: 4740, transport: tcp, reconnect_interval: 100ms}
	  - {name: file, file: $work/flows.ipfix}
END
sed -i 's/listen: ""/listen: 127.0.0.1:9469/' "$work/bpflowd.yaml"
strict_on udp udp 4739
strict_on tcp tcp 4740
daemon_start b "$work/bpflowd.yaml" # leaves the names of the calls
check "SIGTERM ends it with status 0" daemon_stop
tap_hand_over
in_ns b python3 "$fault/start.py" --control "$work/fault.control" --socket "$work/control.sock" --log "$work/start.log" \
	--config "$work/bpflowd.yaml" --tap "$work/tap" --daemon "$bpflowd" "$@" || diag "start.py: $?"
tap_take_over
daemon_start b "$work/bpflowd.yaml"
check "after all of it a start succeeds" daemon_stop
done_testing

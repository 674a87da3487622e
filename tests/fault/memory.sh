#!/bin/bash
# SPDX-License-Identifier: MIT
# Libraries that ask for memory and get none: memory.py tells where and when.
. "$(dirname "$0")/../lib.sh"
require_root jq dnsmasq ss
. "$(dirname "$0")/lib.sh"

netns_add a b
veth_pair a veth0 b veth1
name_server
daemon_config "$work/bpflowd.yaml" <<-END
	metering:
	  interfaces: [veth1]
	  direction: ingress
	  max_flows: 256
	  drain_interval: 20ms
	  dns: false
	  rtt: false
	collectors:
	  - {name: udp, address: 127.0.0.1, port: 4739}
	  - {name: v9, address: 127.0.0.1, port: 2055, protocol: netflow9}
	  - {name: named, address: collector.test, port: 4742, template: full, reconnect_interval: 100ms}
	  - {name: tcp, address: 127.0.0.1, port: 4740, transport: tcp, reconnect_interval: 100ms}
	  - {name: file, file: $work/flows.ipfix}
END
sed -i 's/listen: ""/listen: 127.0.0.1:9469/' "$work/bpflowd.yaml"
strict_on udp udp 4739
strict_on v9 udp 2055
strict_on named udp 4742
strict_on tcp tcp 4740
sed -i "s#^FAULT_CONTROL=.*LD_PRELOAD=[^ ]*#FAULT_MEMORY=$work/fault.memory LD_PRELOAD=$build/tests/fault/memory.so#" "$work/bpflowd"
tap_hand_over
in_ns b python3 "$fault/memory.py" --memory "$work/fault.memory" --socket "$work/control.sock" --log "$work/memory.log" \
	--config "$work/bpflowd.yaml" --tap "$work/tap" --daemon "$bpflowd" --far "$id-a" --mac "$(mac_of b veth1)" "$@" ||
	bail "memory.py: $?"
tap_take_over
done_testing

#!/bin/bash
# SPDX-License-Identifier: MIT
# Far more flows than the table holds: what was sent is what was exported plus what was counted as lost, exactly, and
# every loss has a place.
. "$(dirname "$0")/../lib.sh"
require_root jq ss

netns_add a b
veth_pair a veth0 b veth1
daemon_config "$work/bpflowd.yaml" <<-END
	metering:
	  interfaces: [veth1]
	  max_flows: 1024
	  drain_interval: 100ms
	collectors:
	  - name: strict
	    address: 127.0.0.1
	    port: 4739
END
strict_start b udp 4739
daemon_start b "$work/bpflowd.yaml"

sent_packets=0
sent_octets=0
flood() { # OPTIONS...: 50,000 flows of each family
	local kind from to size
	for kind in "10.64.0.1 10.63.0.1 40" "fd00::1 fd01::1 60"; do
		read -r from to size <<<"$kind"
		send a veth0 --dst-mac "$(mac_of b veth1)" --src "$from" --dst "$to" --flows 50000 --packets 150000 \
			--size "$size-1000" "$@"
		sent_packets=$((sent_packets + $(sent packets)))
		sent_octets=$((sent_octets + $(sent octets)))
	done
}

flood
flood --random 7
# and while nobody reads the ring
kill -STOP "$daemon_pid"
flood
kill -CONT "$daemon_pid"
check "flush" ctl flush
lost_packets=$(metric lost_packets_total)
lost_octets=$(metric lost_octets_total)
named=0
for place in flow_table ring_buffer flow_cache queue send; do
	one=$(metric lost_packets_total "place=$place")
	diag "lost, $place: $one packets"
	named=$((named + one))
done
is "$(metric observed_packets_total)" "$sent_packets" "every packet was observed"
is "$(metric observed_octets_total)" "$sent_octets" "every octet was observed"
is "$named" "$lost_packets" "every loss has a place"
ok "$(($(metric lost_packets_total place=ring_buffer) == 0))" "an unread ring loses packets, and says so"
check "SIGTERM ends it with status 0" daemon_stop
strict_stop
is "$(($(strict packets) + lost_packets))" "$sent_packets" "sent packets = exported + lost"
is "$(($(strict octets) + lost_octets))" "$sent_octets" "sent octets = exported + lost"
is "$(strict first_errors)" "[]" "the strict decoder has nothing to say"
done_testing

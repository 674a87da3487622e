#!/bin/bash
# SPDX-License-Identifier: MIT
# What waits for a collector outlives a reload: another template while it is down, another address, its removal.
. "$(dirname "$0")/../lib.sh"
require_root jq ss

netns_add a b
veth_pair a veth0 b veth1
cp "$src/templates/standard.yaml" "$work/mine.yaml"

config() { # COLLECTOR
	daemon_config "$work/bpflowd.yaml" <<-END
		metering:
		  interfaces: [veth1]
		  drain_interval: 100ms
		collectors:
		  - {name: kept, file: $work/kept.ipfix}
		  $1
	END
}

total=0
traffic() { # flows that then wait in the queue
	send a veth0 --dst-mac "$(mac_of b veth1)" --src 10.64.0.1 --dst 10.63.0.1 --flows 2000 --packets 10000
	total=$((total + $(sent packets)))
	check "flush: returns though a collector is down" ctl flush
}
listening() { in_ns b ss -Hltn "sport = :$1" | grep -q .; }
sent_all() { [[ $(metric exported_packets_total collector=late) -eq $total ]]; }

late="transport: tcp, template: $work/mine.yaml, reconnect_interval: 200ms"
config "- {name: late, address: 127.0.0.1, port: 4750, $late}"
daemon_start b "$work/bpflowd.yaml"
traffic
grep -v -e '- minimumTTL' "$src/templates/standard.yaml" >"$work/mine.yaml"
check "another template while the collector is down" ctl reload
traffic
cp "$src/templates/minimal.yaml" "$work/mine.yaml"
config "- {name: late, address: 127.0.0.1, port: 4751, $late}"
check "another template and another address" ctl reload
traffic
strict_start b tcp 4751
check "the collector comes and takes all" wait_for 10 sent_all
stop "$strict_pid"
strict_check --src 10.64.0.0/16
is "$(strict packets) $(strict first_errors)" "$total []" "each record is decoded by its own template"

# removed while it reads nothing, then it goes on: what was queued still arrives
total=0
config "- {name: gone, address: 127.0.0.1, port: 4752, $late}"
check "another name" ctl reload
traffic
strict_start b tcp 4752
config ""
check "removed with a full queue" ctl reload
check "it is forgotten when it has sent all" wait_for 15 grep -q 'collector gone: removed' "$work/bpflowd.log"
is "$(grep -c 'collector gone: .*are lost' "$work/bpflowd.log")" 0 "nothing is lost"
stop "$strict_pid"
strict_check --src 10.64.0.0/16
is "$(strict packets) $(strict first_errors)" "$total []" "what was queued arrived"
check "SIGTERM ends it with status 0" daemon_stop
done_testing

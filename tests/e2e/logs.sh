#!/bin/bash
# SPDX-License-Identifier: MIT
# The log tells changes of state, each once and few of many; never a line for a packet, a record or an attempt.
. "$(dirname "$0")/../lib.sh"
require_root jq socat ss

netns_add a b
veth_pair a veth0 b veth1
config() { # LEVEL
	daemon_config "$work/bpflowd.yaml" <<-END
		metering:
		  interfaces: [veth1]
		  drain_interval: 100ms
		collectors:
		  - {name: file, file: $work/flows.ipfix}
		  - {name: refused, address: 127.0.0.1, port: 1}
		  - {name: dead, address: 127.0.0.1, port: 1, transport: tcp, reconnect_interval: 100ms, queue_size: 100k}
		  - {name: flapping, address: 127.0.0.1, port: 4750, transport: tcp, reconnect_interval: 100ms}
		  - {name: nameless, address: no-such-host.invalid, reconnect_interval: 100ms}
		log:
		  level: $1
	END
}
lines() { grep -c -- "$1" "$work/bpflowd.log"; }
told() { grep -q -- "$1" "$work/bpflowd.log"; }
failed() { # COLLECTOR TIMES
	[[ $(metric collector_failures_total "collector=$1") -ge $2 ]]
}

# a collector that hangs up at once: what it reads from is at its end
spawn b "$work/socat.log" socat TCP-LISTEN:4750,bind=127.0.0.1,fork,reuseaddr,backlog=64 OPEN:/dev/null
wait_for 5 eval 'in_ns b ss -Hltn "sport = :4750" | grep -q .'
config info
daemon_start b "$work/bpflowd.yaml"
for round in {1..5}; do
	send a veth0 --dst-mac "$(mac_of b veth1)" --src "10.6$round.0.1" --dst 10.63.0.1 --flows 5000 --packets 10000
	ctl flush >"$work/flush.out"
done
check "attempts at the dead one" wait_for 20 failed dead 20
check "sessions of the flapping one" wait_for 30 failed flapping 12
ok "$(($(metric lost_flows_total collector=dead) == 0))" "the dead one loses flows"
is "$(lines '^warning: collector dead: .*next try')" 1 "20 attempts: one line"
is "$(lines '^warning: collector refused: .*lost')" 1 "25,000 refused flows: one line"
is "$(lines '^warning: collector nameless: ')" 1 "a name that can't be resolved: one line"
ok "$(($(lines 'collector flapping: ') > 11))" "it came and went many times: few lines"
diag "$(lines .) lines in all, $(lines 'collector flapping') of the flapping one"
ok "$(($(lines .) > 30))" "few lines in all" || diag <"$work/bpflowd.log"

kill -USR1 "$daemon_pid"
check "SIGUSR1: statistics" wait_for 5 told 'statistics: collector nameless'
is "$(lines '^statistics: 50000 packets, .* packets lost: 0 in the flow table, 0 in the ring buffer')" 1 "packets and losses before the cache"
is "$(lines '^statistics: 25000 flows created, 0 with 0 packets held')" 1 "flows"
is "$(lines '^statistics: collector file: up; 25000 flows with 50000 packets sent .* 0 in the queue, 0 in sending')" 1 \
	"a collector that has all"
is "$(lines '^statistics: collector dead: down; .* queued; packets lost: [1-9][0-9]* in the queue')" 1 "one that lost some"

config error
check "reload to level error" ctl reload
before=$(lines .)
send a veth0 --dst-mac "$(mac_of b veth1)" --src 10.70.0.1 --dst 10.63.0.1 --flows 100 --packets 100
kill -USR1 "$daemon_pid"
check "SIGTERM ends it with status 0" daemon_stop
is "$(($(lines .) - before))" 0 "level error: silence"

# under systemd each line has its priority in front
config info
: >"$work/journal"
JOURNAL_STREAM=$(stat -c %d:%i "$work/journal")
export JOURNAL_STREAM
spawn b "$work/journal" "$bpflowd" -c "$work/bpflowd.yaml"
daemon_pid=$spawned
check "a warning has priority 4" wait_for 10 grep -q '^<4>collector dead: ' "$work/journal"
check "a change of state has priority 6" grep -q '^<6>collector file: sending' "$work/journal"
is "$(grep -vc '^<[346]>' "$work/journal")" 0 "each line has one"
check "SIGTERM ends it with status 0" daemon_stop
done_testing

#!/bin/bash
# SPDX-License-Identifier: MIT
# Export over the kernel's SCTP (RFC 7011 10.2): both address families, a collector that dies, one that stops reading, a
# line that is down for a while, a black hole. All that fits the queue arrives, in order.
. "$(dirname "$0")/../../lib.sh"
. "$(dirname "$0")/kernel.sh"
require_root jq tcpdump
sctp_sink=$build/tests/vm/sctp_sink

netns_add a b c
veth_pair a veth0 b veth1
veth_pair b out0 c in0
connect_ends b out0 10.80.0.1 c in0 10.80.0.2 24
connect_ends b out0 fd80::1 c in0 fd80::2 64

sink_pid=
sink_start() { # ADDRESS NAME
	rm -f "$work/$2.out"
	spawn c "$work/$2.out" "$sctp_sink" "$1" 4739 "$work/$2.rec"
	sink_pid=$spawned
	wait_for 5 grep -q ready "$work/$2.out" || bail "sctp_sink: $(cat "$work/$2.out")"
}

config() { # ADDRESS [LINE]
	daemon_config "$work/bpflowd.yaml" <<-END
		metering:
		  interfaces: [veth1]
		  drops: false
		  dns: false
		  rtt: false
		  active_timeout: 1s
		  idle_timeout: 1s
		collectors:
		  - name: sctp
		    address: "$1"
		    transport: sctp
		    reconnect_interval: 1s
		    ${2:-}
	END
}

up() { [[ $(metric collector_up) == 1 ]]; }
down() { [[ $(metric collector_up) == 0 ]]; }
idle() { [[ $(metric queued_flows) == 0 && $(metric cached_packets) == 0 ]]; }

packets=0
traffic() { # FLOWS PACKETS
	send a veth0 --dst-mac "$(mac_of b veth1)" --src 10.64.0.1 --dst 10.63.0.1 --flows "$1" --packets "$2" --rate 20000
	packets=$((packets + $(sent packets)))
}

before=0 # packets that arrived in a file of their own
arrived=0
verdict() { # NAME [WHEN]: the sink and the decoder find nothing wrong; what waits for the line gets old
	local when=${2:-$1}
	is "$(grep -c wrong "$work/$1.out")" 0 "$when: whole messages, one stream, ordered" || diag <"$work/$1.out"
	strict_file "$work/$1.rec"
	is "$(strict first_errors | jq -c 'map(select(contains("export time") | not))')" "[]" \
		"$when: the strict decoder has nothing to say"
	arrived=$((before + $(strict packets)))
}

capture() { # NAME: for the decoder on the other side, see matrix.sh
	spawn c "$work/$1.tcpdump" tcpdump -i in0 -s 0 -U -Z root -w "/out/sctp-$1.pcap" sctp
	tcpdump_pid=$spawned
	wait_for 5 grep -q listening "$work/$1.tcpdump"
}

family() { # NAME ADDRESS
	packets=0
	sink_start "$2" "$1"
	capture "$1"
	config "$2"
	daemon_start b "$work/bpflowd.yaml"
	check "$1: a session" wait_for 5 up
	traffic 300 1200
	check "$1: all goes" wait_for 10 idle
	traffic 300 1200
	check "$1: flush" ctl flush
	check "$1: SIGTERM ends it with status 0" daemon_stop
	check "$1: the session ends by SHUTDOWN" wait_for 5 grep -q "end 1: closed" "$work/$1.out"
	stop "$tcpdump_pid" INT
	stop "$sink_pid"
	verdict "$1"
	is $arrived $packets "$1: all packets"
	is "$(grep -c session "$work/$1.out")" 1 "$1: one session"
}

family ipv4 10.80.0.2
family ipv6 fd80::2

# The collector dies and comes back: templates anew, nothing lost.
packets=0
sink_start 10.80.0.2 killed
config 10.80.0.2
daemon_start b "$work/bpflowd.yaml"
check "killed: a session" wait_for 5 up
traffic 200 400
check "killed: all goes" wait_for 10 idle
stop "$sink_pid" KILL
check "killed: noticed" wait_for 10 down
traffic 300 600
mv "$work/killed.rec" "$work/before.rec"
capture outage
sink_start 10.80.0.2 killed
check "killed: a session again" wait_for 20 up
check "killed: all goes" wait_for 10 idle

strict_file "$work/before.rec"
before=$(strict packets)
verdict killed
is $arrived $packets "killed: before and after make all packets"
is "$(metric lost_packets_total)" 0 "killed: none lost"
ok $(($(metric collector_reconnects_total) < 1)) "killed: the reconnection is counted"

# The line is down for three seconds: the same session goes on.
if in_ns b tc qdisc add dev out0 root netem loss 100% 2>/dev/null; then
	traffic 300 600
	sleep 3
	in_ns b tc qdisc del dev out0 root
	check "outage: all goes afterwards" wait_for 30 idle
	is "$(grep -c '^session' "$work/killed.out")" 1 "outage: the session outlives it"
	verdict killed outage
	is $arrived $packets "outage: nothing lost"
else
	skip "kernel: has no netem" "outage"
fi

stop "$tcpdump_pid" INT

# A collector that reads nothing: its window closes, the queue holds what comes, nothing spins.
cpu() { awk '{ print $14 + $15 }' "/proc/$daemon_pid/stat"; }
kill -STOP "$sink_pid"
traffic 20000 20000
sleep 4
ticks=$(cpu)
sleep 2
ok $(($(cpu) - ticks > 60)) "stopped: the daemon rests"
kill -CONT "$sink_pid"
check "stopped: all goes afterwards" wait_for 40 idle
verdict killed stopped
is "$((arrived + $(metric lost_packets_total)))" $packets "stopped: arrived and counted as lost make all packets"
check "SIGTERM ends it with status 0" daemon_stop
stop "$sink_pid"

# A black hole, and a queue far too small: what did not fit is counted.
packets=0
in_ns b ip address add 10.80.1.1/24 dev out0
in_ns b ip neighbour replace 10.80.1.9 lladdr 02:00:00:00:00:09 nud permanent dev out0
config 10.80.1.9 "queue_size: 128k"
daemon_start b "$work/bpflowd.yaml"
traffic 8000 8000
flushed() { [[ $(metric cached_packets) == 0 && $(metric flows_created_total) -ge 8000 ]]; }
check "black hole: metering goes on" wait_for 20 flushed
is "$(($(metric lost_packets_total) + $(metric queued_packets)))" "$packets" "black hole: queued and counted as lost make all packets"
ok $(($(metric lost_packets_total place=queue) < 1)) "black hole: by the queue"
check "black hole: noticed" wait_for 20 grep -q "can't connect\|no answer" "$work/bpflowd.log"
check "SIGTERM ends it with status 0" daemon_stop
done_testing

#!/bin/bash
# SPDX-License-Identifier: MIT
# Export over the kernel's SCTP (RFC 7011 10.2) to both address families: a collector that dies, a line that is down for a
# while, a collector that stops reading, a black hole. All that fits the queue arrives, in order.
. "$(dirname "$0")/../../lib.sh"
. "$(dirname "$0")/kernel.sh"
require_root jq tcpdump
sctp_sink=$build/tests/vm/sctp_sink

netns_add a b c
veth_pair a veth0 b veth1
veth_pair b out0 c in0
connect_ends b out0 10.80.0.1 c in0 10.80.0.2 24
connect_ends b out0 fd80::1 c in0 fd80::2 64
in_ns b ip address add 10.80.1.1/24 dev out0
in_ns b ip address add fd80:1::1/64 dev out0 nodad
for nobody in 10.80.1.9 fd80:1::9; do
	in_ns b ip neighbour replace $nobody lladdr 02:00:00:00:00:09 nud permanent dev out0
done
mac=$(mac_of b veth1)

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
packets=0
idle() { [[ $(metric queued_flows) == 0 && $(($(metric exported_packets_total) + $(metric lost_packets_total))) == "$packets" ]]; }

traffic() { # FLOWS PACKETS
	send a veth0 --dst-mac "$mac" --src 10.64.0.1 --dst 10.63.0.1 --flows "$1" --packets "$2" --rate 20000
	packets=$((packets + $(sent packets)))
}

verdict() { # NAME SINK: it and the decoder find nothing wrong; what waits for the line gets old
	is "$(grep -c wrong "$work/$2.out")" 0 "$1: whole messages, one stream, ordered" || diag <"$work/$2.out"
	strict_file "$work/$2.rec"
	is "$(strict first_errors | jq -c 'map(select(contains("export time") | not))')" "[]" \
		"$1: the strict decoder has nothing to say"
	arrived=$((arrived + $(strict packets)))
}

capture() { # NAME: for the decoder on the other side, see matrix.sh
	spawn c "$work/$1.tcpdump" tcpdump -i in0 -s 0 -U --immediate-mode -Z root -w "/out/sctp-$1.pcap" sctp
	tcpdump_pid=$spawned
	wait_for 5 grep -q listening "$work/$1.tcpdump"
}

cpu() { awk '{ print $14 + $15 }' "/proc/$daemon_pid/stat"; }
queues() { [[ $(metric queued_packets) -gt 0 ]]; }

family() { # NAME ADDRESS
	local name=$1 ticks
	packets=0
	arrived=0
	sink_start "$2" "$name-first"
	capture "$name"
	config "$2"
	daemon_start b "$work/bpflowd.yaml"
	check "$name: a session" wait_for 5 up
	traffic 300 1200
	check "$name: all goes" wait_for 10 idle

	# the collector dies when it has read what was sent, and comes back: templates anew, nothing lost
	sleep 1
	stop "$tcpdump_pid" INT
	stop "$sink_pid" KILL
	check "$name, killed: noticed" wait_for 10 down
	traffic 300 600
	verdict "$name, before it is killed" "$name-first"
	capture "$name-again"
	sink_start "$2" "$name"
	check "$name, killed: a session again" wait_for 20 up
	check "$name, killed: all goes" wait_for 10 idle
	is "$(metric lost_packets_total)" 0 "$name, killed: none lost"
	ok $(($(metric collector_reconnects_total) < 1)) "$name, killed: the reconnection is counted"

	# the line is down for three seconds: the same session goes on
	if in_ns b tc qdisc add dev out0 root netem loss 100% 2>/dev/null; then
		traffic 300 600
		sleep 3
		in_ns b tc qdisc del dev out0 root
		check "$name, outage: all goes afterwards" wait_for 30 idle
		is "$(grep -c '^session' "$work/$name.out")" 1 "$name, outage: the session outlives it"
		is "$(metric lost_packets_total)" 0 "$name, outage: none lost"
	else
		skip "kernel: has no netem" "$name, outage"
	fi
	sleep 1
	stop "$tcpdump_pid" INT

	# it reads nothing: its window closes, the queue holds what comes, nothing spins
	kill -STOP "$sink_pid"
	traffic 8000 8000
	check "$name, stopped: the queue holds what comes" wait_for 10 queues
	ticks=$(cpu)
	sleep 4
	ok $(($(cpu) - ticks > 60)) "$name, stopped: the daemon rests"
	kill -CONT "$sink_pid"
	check "$name, stopped: all goes afterwards" wait_for 40 idle

	traffic 300 1200
	check "$name: flush" ctl flush
	lost=$(metric lost_packets_total)
	check "$name: SIGTERM ends it with status 0" daemon_stop
	check "$name: the session ends by SHUTDOWN" wait_for 5 grep -q "end 1: closed" "$work/$name.out"
	stop "$sink_pid"
	is "$(grep -c '^session' "$work/$name.out")" 1 "$name: one session all the time"
	verdict "$name" "$name"
	is $((arrived + lost)) $packets "$name: arrived and counted as lost make all packets"
}

# It reads nothing and dies: what its kernel has not acknowledged counts as ours and is sent again. What that has is gone with
# it, as over TCP: its buffer of 64 KiB is less than a thousand packets here.
dies_full() { # NAME ADDRESS
	packets=0
	arrived=0
	sink_start "$2" "$1-full"
	config "$2" "max_message_size: 1400"
	daemon_start b "$work/bpflowd.yaml"
	check "$1, full: a session" wait_for 5 up
	traffic 300 300
	check "$1, full: all goes" wait_for 10 idle
	sleep 1
	kill -STOP "$sink_pid"
	traffic 3000 3000
	ended() { [[ $(($(metric exported_packets_total) + $(metric queued_packets) + $(metric lost_packets_total))) == "$packets" ]]; }
	check "$1, full: all flows have ended" wait_for 10 ended
	ok $(($(metric queued_packets) < 2000)) "$1, full: $(metric queued_packets) packets are queued still"
	kill -KILL "$sink_pid"
	stop "$sink_pid" CONT
	check "$1, full: noticed" wait_for 10 down
	verdict "$1, before it died" "$1-full"
	sink_start "$2" "$1-then"
	check "$1, full: a session again" wait_for 20 up
	check "$1, full: all goes in the end" wait_for 40 idle
	sleep 1
	lost=$(metric lost_packets_total)
	check "$1, full: SIGTERM ends it with status 0" daemon_stop
	stop "$sink_pid"
	verdict "$1, full" "$1-then"
	ok $((arrived + lost < packets - 1000)) "$1, full: of $packets packets $arrived arrived, $lost are counted as lost"
	rm "$work/bpflowd.log"
}

# A queue far too small: what did not fit is counted.
black_hole() { # NAME ADDRESS
	packets=0
	config "$2" "queue_size: 128k"
	daemon_start b "$work/bpflowd.yaml"
	traffic 8000 8000
	flushed() { [[ $(metric cached_packets) == 0 && $(metric flows_created_total) -ge 8000 ]]; }
	check "$1, black hole: metering goes on" wait_for 20 flushed
	is "$(($(metric lost_packets_total) + $(metric queued_packets)))" "$packets" \
		"$1, black hole: queued and counted as lost make all packets"
	ok $(($(metric lost_packets_total place=queue) < 1)) "$1, black hole: by the queue"
	check "$1, black hole: noticed" wait_for 20 grep -q "can't connect\|no answer" "$work/bpflowd.log"
	check "$1, black hole: SIGTERM ends it with status 0" daemon_stop
	rm "$work/bpflowd.log"
}

family ipv4 10.80.0.2
rm "$work/bpflowd.log"
dies_full ipv4 10.80.0.2
black_hole ipv4 10.80.1.9
family ipv6 fd80::2
rm "$work/bpflowd.log"
black_hole ipv6 fd80:1::9
done_testing

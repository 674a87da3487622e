#!/bin/bash
# SPDX-License-Identifier: MIT
# Eight hours without collectors, by moving the clock; then they come back. Templates come first, what is missing is what was
# counted, to the packet, and the collector is told how much that is; who was there all the time misses nothing.
. "$(dirname "$0")/../lib.sh"
require_root
. "$(dirname "$0")/lib.sh"
fault_config 20ms <<-END
	  - {name: there, address: 127.0.0.1, port: 4739}
	  - {name: udp, address: 127.0.0.1, port: 4740}
	  - {name: v9, address: 127.0.0.1, port: 4741, protocol: netflow9}
	  - {name: tcp, address: 127.0.0.1, port: 4742, transport: tcp, queue_size: 1M}
	  - {name: large, address: 127.0.0.1, port: 4743, transport: tcp, queue_size: 64M}
END
away=(udp v9 tcp large)
lost() { metric lost_packets_total "collector=$1"; }
up() { [[ $(metric collector_up "collector=$1") == 1 ]]; }
strict_on there udp 4739
strict_on tcp tcp 4742
daemon_start b "$work/bpflowd.yaml"
check "the TCP collector has a session" wait_for 5 up tcp
pass 5 60 100
before=$passed_packets
tcp_there() { [[ $(metric exported_packets_total collector=tcp) == "$before" ]]; }
check "it gets what comes" wait_for 10 tcp_there
stop "$tcp_pid"
mv "$work/tcp.rec" "$work/tcp-before.rec"

pass 480 60 100
for name in "${away[@]}"; do
	ok $(($(metric collector_up "collector=$name") != 0)) "$name: is down after eight hours"
	ok $(($(metric collector_failures_total "collector=$name") < 10)) "$name: failures are counted"
done
ok $(($(lost tcp) == 0)) "tcp: what its queue could not hold is counted"
is "$(lost large)" 0 "large: its queue holds eight hours"
is "$(lost v9)" "$passed_packets" "v9: all of it is lost, and counted"
ok $(($(metric queue_bytes collector=tcp) > 1048576)) "tcp: the queue is no larger than it may be"
ok $(($(wc -l <"$work/bpflowd.log") > 100)) "less than a hundred lines of log" || tail -n 5 "$work/bpflowd.log" | diag

lost_away=$(lost tcp)
for name in udp v9; do
	declare "lost_$name=$(lost $name)"
done
strict_on udp udp 4740
strict_on v9 udp 4741
strict_on tcp tcp 4742
strict_on large tcp 4743
shift_clock 70
for name in tcp large; do
	check "$name: is up within one interval" wait_for 10 up $name
done
pass 10 60 100
empty() { [[ $(ctl show stats --json | jq '[.metrics[] | select(.name == "queued_packets") | .samples[].value] | add') == 0 ]]; }
check "nothing waits any more" wait_for 20 empty
for name in "${away[@]}"; do
	check "$name: is up" wait_for 10 up "$name"
done
is "$(lost tcp)" "$lost_away" "tcp: nothing more is lost"
for name in "${away[@]}" there; do
	declare "final_$name=$(lost $name)"
done
check "SIGTERM ends it with status 0" daemon_stop

for name in "${away[@]}" there; do
	strict_off $name --clock-moved
	final=final_$name
	got=$(strict packets)
	[[ $name != tcp ]] || got=$((got + before))
	is "$((got + ${!final}))" "$passed_packets" "$name: received + counted as lost = sent"
	is "$(strict missing_templates)" 0 "$name: no record without its template before it"
	is "$(strict first_errors)" "[]" "$name: the strict decoder has nothing to say"
done
"$strict" check "$work/tcp.rec" --clock-moved --records | grep '"167":' | tail -n 1 >"$work/told"
is "$(jq '.["167"]' "$work/told")" "$lost_away" "tcp: is told how many packets it did not get"
first_set() { # RECORDING: set id in the first message: behind the magic, the frame's 16 octets and the message header
	od -An -tu1 -j$((8 + 16 + $2)) -N2 "$1" | awk '{ print $1 * 256 + $2 }'
}
is "$(first_set "$work/tcp.rec" 16)" 2 "tcp: templates come first"
is "$(first_set "$work/large.rec" 16)" 2 "large: templates come first"
is "$(first_set "$work/there.rec" 16)" 2 "there: templates came first"
done_testing

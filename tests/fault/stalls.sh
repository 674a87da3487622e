#!/bin/bash
# SPDX-License-Identifier: MIT
# The daemon stands still while packets and devices come: the flow table, the ring and the netlink socket run over. A cache
# that is full, and a disk that is full and has room again. Every packet is exported or counted, and all is well afterwards.
. "$(dirname "$0")/../lib.sh"
require_root
. "$(dirname "$0")/lib.sh"
undo() { umount -l "$work/disk" 2>/dev/null; }
mkdir "$work/disk"
mount -t tmpfs -o size=1m tmpfs "$work/disk" || skip_all "kernel: no tmpfs"

daemon_config "$work/bpflowd.yaml" <<-END
	metering:
	  interfaces: [veth1, "x*"]
	  direction: ingress
	  max_flows: 1024
	  drain_interval: 100ms
	  active_timeout: 1h
	  idle_timeout: 1h
	collectors:
	  - {name: udp, address: 127.0.0.1, port: 4739}
	  - {name: tcp, address: 127.0.0.1, port: 4740, transport: tcp, queue_size: 256M}
	  - {name: file, file: $work/disk/flows.ipfix, queue_size: 256M}
END
strict_on udp udp 4739
strict_on tcp tcp 4740
dd if=/dev/zero of="$work/disk/ballast" bs=1k count=700 status=none
daemon_start b "$work/bpflowd.yaml"

packets=0
octets=0
flood() { # OPTIONS...
	send a veth0 --dst-mac "$mac" --src 10.64.0.1 --dst 10.63.0.1 --size 60-1400 "$@"
	packets=$((packets + $(sent packets)))
	octets=$((octets + $(sent octets)))
}
lost_at() { metric "lost_$1_total" "place=$2"; }
early() { echo $(($(lost_at "$1" flow_table) + $(lost_at "$1" ring_buffer) + $(lost_at "$1" flow_cache))); }
balanced() { # whatever waits, everything has its place
	local unit name sum=$packets
	for unit in packets octets; do
		[[ $unit == packets ]] || sum=$octets
		[[ $(metric observed_${unit}_total) == "$sum" ]] || return 1
		for name in udp tcp file; do
			[[ $(($(metric exported_${unit}_total collector=$name) + $(metric lost_${unit}_total collector=$name) +
				$(metric queued_$unit collector=$name) + $(metric skipped_${unit}_total collector=$name) +
				$(metric cached_$unit) + $(early $unit))) == "$sum" ]] || return 1
		done
	done
}

flood --flows 500 --packets 20000 --rate 20000 # the table just holds them: some are pushed out again and again
check "at first: every packet has its place" wait_for 10 balanced
is "$(early packets)" 0 "at first: nothing is lost"

# 1: it does not read for five seconds and more
kill -STOP "$daemon_pid"
flood --flows 60000 --packets 600000 --random 3 --rate 100000
kill -CONT "$daemon_pid"
check "it stood still: every packet has its place" wait_for 30 balanced
diag "lost: $(lost_at packets flow_table) flow table, $(lost_at packets ring_buffer) ring, $(lost_at packets flow_cache) cache"
ok $(($(lost_at packets ring_buffer) == 0)) "it stood still: the unread ring lost packets, and says so"
before=$(early packets)
flood --flows 500 --packets 20000 --rate 20000
check "it goes on: every packet has its place" wait_for 10 balanced
is "$(early packets)" "$before" "it goes on: nothing more is lost"

# 2: more flows than the cache may hold, none of which ends by itself
for second in {1..6}; do
	flood --src "10.$((70 + second)).0.1" --flows 1000 --packets 1000 --rate 4000
done
check "the cache is full: every packet has its place" wait_for 10 balanced
ok $(($(metric flows_active) > 4 * 1024)) "the cache holds no more than it may"
ok $(($(ctl show stats --json | jq '[.metrics[] | select(.name == "flows_ended_total") | .samples[] | select(.labels.reason | test("resource")) | .value] | add // 0') == 0)) \
	"flows that gave way are exported with their reason" || ctl show stats --json | jq -c '.metrics[] | select(.name == "flows_ended_total")' | diag

# 3: more news of devices than the netlink socket holds
kill -STOP "$daemon_pid"
{
	for n in {1..8000}; do # some kilobytes each, with what the kernel adds
		echo "link set veth1 alias news-$n"
	done
	for n in {1..60}; do
		echo "link add x$n type veth peer name y$n"
		echo "link set x$n up"
		[[ $((n % 2)) -eq 0 ]] && echo "link delete x$n"
	done
} >"$work/batch"
in_ns b ip -batch "$work/batch" || diag "ip: $?"
kill -CONT "$daemon_pid"
metered() { [[ $(ctl show interfaces --json | jq '[.interfaces[] | select(.metered and (.ingress != "") and (.name | test("^x")))] | length') == 30 ]]; }
check "netlink ran over: each device that there is gets metered" wait_for 20 metered
is "$(grep -c "rtnetlink: can't read: No buffer space available" "$work/bpflowd.log")" 1 "netlink ran over: the log says so, once"
is "$(ctl show interfaces --json | jq -r '[.interfaces[] | select(.name | test("^x")) | .name] | length')" 30 "no device that is gone is left"
is "$(metric interface_failed)" 0 "and none failed"

# 4: no room on the disk
for second in {1..4}; do
	flood --src "10.$((80 + second)).0.1" --flows 1000 --packets 1000 --rate 10000
	ctl flush >"$work/flush.out" 2>&1
done
full() { [[ $(metric queued_packets collector=file) -gt 0 ]]; }
check "the disk is full: packets wait for it" wait_for 10 full
check "the disk is full: every packet has its place" wait_for 10 balanced
ok $(($(metric collector_failures_total collector=file) == 0)) "the disk is full: that is counted"
is "$(grep -c "collector file: can't send: No space left on device" "$work/bpflowd.log")" 1 "the disk is full: the log says so, once"
mount -o remount,size=64m "$work/disk"
empty() { [[ $(metric queued_packets) == 0 && $(metric cached_packets) == 0 ]]; }
check "there is room again: all of it is written" wait_for 20 empty
check "at the end: every packet has its place" balanced
is "$(metric lost_packets_total place=queue)" 0 "no queue has lost any"
lost_packets=$(metric lost_packets_total)
lost_octets=$(metric lost_octets_total)
check "SIGTERM ends it with status 0" daemon_stop
stop "$udp_pid"
stop "$tcp_pid"
for file in udp.rec tcp.rec disk/flows.ipfix; do
	"$strict" check "$work/$file" >"$work/strict.json"
	is "$(strict packets) $(strict octets)" "$((packets - lost_packets)) $((octets - lost_octets))" "$file: received + counted as lost = sent"
	is "$(strict first_errors)" "[]" "$file: the strict decoder has nothing to say"
done
done_testing

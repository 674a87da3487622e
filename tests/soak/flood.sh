#!/bin/bash
# SPDX-License-Identifier: MIT
# Ten million random 5-tuples against a table of 65,536, on top of ordinary flows: memory stays what it was, ordinary flows
# are exported in time and exactly, max_rate holds, an nfcapd with its default socket buffer misses nothing that was sent
# to it, and to the packet: sent = exported + lost by name. BPFLOWD_FLOOD_PACKETS: how many.
. "$(dirname "$0")/lib.sh"
require_root jq nfcapd nfdump ss chrt taskset
chrt -f 1 true || skip_all "kernel: no real-time priority for nfcapd"

packets=${BPFLOWD_FLOOD_PACKETS:-10000000}
max_rate=10000
active_ms=2000
idle_ms=5000
drain_ms=1000
times=(--active $active_ms --idle $idle_ms)

netns_add a b
veth_pair a veth0 b veth1
mac=$(mac_of b veth1)
daemon_config "$work/bpflowd.yaml" <<-END
	metering:
	  interfaces: [veth1]
	  max_flows: 65536
	  active_timeout: ${active_ms}ms
	  idle_timeout: ${idle_ms}ms
	  drain_interval: ${drain_ms}ms
	collectors:
	  - {name: all, address: 127.0.0.1, port: 4739, queue_size: 64M}
	  - {name: limited, address: 127.0.0.1, port: 4740, max_rate: $max_rate, queue_size: 4M}
	  - {name: nfcapd, address: 127.0.0.1, port: 9995, max_rate: $max_rate, queue_size: 4M}
END
tally_start all b udp 4739 --buffer 134217728 --src 10.200.0.0/16 --src 10.201.0.0/16 "${times[@]}"
tally_start limited b udp 4740 --buffer 134217728 --src 10.201.0.0/16 "${times[@]}"
mkdir "$work/nfcapd"
spawn b "$work/nfcapd.log" chrt -f 1 nfcapd -w "$work/nfcapd" -b 127.0.0.1 -p 9995 -t 3600
nfcapd_pid=$spawned
wait_for 5 udp_bound b 9995 || bail "nfcapd does not listen: $(cat "$work/nfcapd.log")"
daemon_start b "$work/bpflowd.yaml"
# like the readers it gets the processor when it wants it: the verdict is on it, not on what else runs here
renice -n -15 -p "$daemon_pid" >/dev/null
check "veth1 is metered" wait_for 5 attached veth1
idle_kb=$(resident_kb)

# One CPU sees the packets of all flows, as with a network card that spreads them by their hash: flows have half of the
# table.
cpu=$(taskset -cp $$ | sed 's/.*[:,-] *//')

# 100 flows that go on, each with 25 packets in a second.
ordinary() { # SOURCE FILE
	until [[ -e $work/enough ]]; do
		in_ns a taskset -c "$cpu" "$blast" --interface veth0 --dst-mac "$mac" --src "$1" --dst 10.63.0.1 --flows 100 --packets 5000 \
			--rate 2500 --size 40-1400 >>"$work/$2" || break
	done
}

ordinary_start() { # SOURCE FILE
	rm -f "$work/enough"
	ordinary "$1" "$2" &
	ordinary_pid=$!
	children+=("$ordinary_pid")
}

ordinary_stop() {
	touch "$work/enough"
	wait "$ordinary_pid"
	forget "$ordinary_pid"
}

sum() { jq -s "map(.$2) | add" "$work/$1"; } # FILE MEMBER

flood() { # SEED PACKETS
	in_ns a taskset -c "$cpu" "$blast" --interface veth0 --dst-mac "$mac" --src 10.64.0.1 --dst 10.63.0.1 --size 46 \
		--flows 4000000000 --random "$1" --packets "$2" >"$work/sent" || bail "blast failed"
	cat "$work/sent" >>"$work/flooded"
}

# how late ordinary flows are when nothing else happens
ordinary_start 10.200.0.1 quiet
sleep 7
ordinary_stop

# memory that was promised gets touched: caches and queues fill once
ordinary_start 10.201.0.1 meanwhile
sleep 2 # they are there before it begins
flood 7 500000
sample_resident "$work/resident" &
children+=($!)
before_kb=$(resident_kb)
before_maps=$(map_bytes)
begin=$(now_ms)
spent_ms=$(cpu_ms)
flood 8 "$packets"
took_ms=$(($(now_ms) - begin))
spent_ms=$(($(cpu_ms) - spent_ms))
after_kb=$(resident_kb)
ordinary_stop
check "what waits for a collector is sent" wait_for 60 all_sent
check "all ends at once" ctl flush
check "and that is sent" wait_for 60 all_sent
diag "drains: $(ctl show stats --json | jq -c '.metrics[] | select(.name == "drain_duration_seconds") | .samples[0]')"
diag "$packets packets in $took_ms ms, $spent_ms ms of CPU in the daemon; resident: $idle_kb kB idle, $before_kb kB before, $after_kb kB after, $(peak_kb) kB at most;" \
	"maps: $before_maps octets"

is "$(map_bytes)" "$before_maps" "maps stay as large as they were"
peak_of() { awk -v from="$1" -v to="$2" '$2 > most && $1 >= from && $1 < to { most = $2 } END { print most + 0 }' "$work/resident"; }
third=$((took_ms / 3000))
diag "at most $(peak_of 0 $((2 * third))) kB in the first two thirds, $(peak_of $((2 * third)) $((took_ms / 1000))) kB in the last"
ok "$(($(peak_of $((2 * third)) $((took_ms / 1000))) > $(peak_of 0 $((2 * third))) + 4096))" "the daemon does not go on growing"
# cache, queues and what a burst of the ring leaves
ok "$((after_kb - idle_kb > (4 * 65536 * 192 + 72 * 1048576) / 1024 + 32768))" "nor beyond what it was told"

sent_all=$(($(sum quiet packets) + $(sum meanwhile packets) + $(sum flooded packets)))
lost=$(lost_before)
for place in flow_table ring_buffer flow_cache queue send; do
	diag "lost, $place: $(lost_at $place) packets"
done
is "$(metric observed_packets_total)" "$sent_all" "every packet was observed"
is "$(metric cached_packets)" 0 "nothing is left in the cache"
for name in all limited nfcapd; do
	is "$(($(of_collector $name sent_packets) + $(of_collector $name lost_packets) + lost))" "$sent_all" \
		"$name: sent = exported + lost by name"
done
ctl show collectors --json >"$work/collectors.json"
told() { jq ".collectors[] | select(.name == \"$1\") | .$2" "$work/collectors.json"; }
check "SIGTERM ends it with status 0" daemon_stop
nfcapd_stop b 9995
tally_stop all
tally_stop limited

for name in all limited; do
	is "$(tallied $name packets)" "$(told $name sent_packets)" "$name: every packet that was exported is there"
	is "$(tallied $name errors) $(tallied $name missing)" "0 $(told $name lost_flows)" "$name: whole messages; gaps in the numbers are the flows lost by name"
done
is "$nfcapd_drops" 0 "nfcapd's socket lost nothing"
is "$(nfdump_sums any | cut -d' ' -f1)" "$(told nfcapd sent_packets)" "nfcapd has every packet that was exported to it"
most=$(tallied limited most_per_second)
diag "most records in a second: $most of $max_rate"
ok "$((most > max_rate * 102 / 100))" "max_rate holds"
exact() { # NAME NET MEMBER
	is "$(tallied all "networks[\"$2\"].$3")" "$(sum "$1" "$3")" "$1: ordinary flows are exact in $3"
}
exact quiet 10.200.0.0/16 packets
exact quiet 10.200.0.0/16 octets
exact meanwhile 10.201.0.0/16 packets
exact meanwhile 10.201.0.0/16 octets
is "$(tallied all 'networks | [.[].flows]')" "[100,100]" "each of them is there"
quiet_ms=$(tallied all 'networks["10.200.0.0/16"].late_ms')
flood_ms=$(tallied all 'networks["10.201.0.0/16"].late_ms')
diag "records of ordinary flows late by at most $quiet_ms ms in peace, $flood_ms ms in the flood," \
	"$(tallied limited 'networks["10.201.0.0/16"].late_ms') ms at the limited collector"
# one interval until the table is read, one for the pace, one for a machine that does other things too
ok "$((flood_ms > quiet_ms + 3 * drain_ms))" "ordinary flows are exported in time"
diag "$(sed 1d "$work/all.tally")"
diag "$(sed 1d "$work/limited.tally")"
done_testing

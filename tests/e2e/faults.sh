#!/bin/bash
# SPDX-License-Identifier: MIT
# One daemon and collectors that misbehave, all at once: one never reads, one reads an octet a second, one is dead, one
# swallows every packet, one is a name without an address, one refuses datagrams, one writes to a full disk. The well see
# every record; the account of each of the others is exact; SIGTERM ends it all within its limit.
. "$(dirname "$0")/../lib.sh"
require_root jq ss python3

netns_add a b
veth_pair a veth0 b veth1

cat >"$work/reader.py" <<'END'
import signal, socket, sys, time
mode, port, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
awake = []
signal.signal(signal.SIGUSR1, lambda *_: awake.append(True))
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", port))
server.listen()
client = server.accept()[0]
with open(path, "wb") as out:
    while True:
        data = None
        if awake:
            data = client.recv(65536)
        elif mode == "slow":
            data = client.recv(1)
        if data == b"":
            break
        out.write(data or b"")
        if not awake:
            time.sleep(1 if mode == "slow" else 0.1)
END

tcp="address: 127.0.0.1, transport: tcp, queue_size: 1M"
daemon_config "$work/bpflowd.yaml" <<-END
	metering:
	  interfaces: [veth1]
	  direction: ingress
	  drain_interval: 100ms
	  active_timeout: 1s
	  idle_timeout: 1s
	collectors:
	  - {name: never, port: 4801, $tcp}
	  - {name: slow, port: 4802, $tcp}
	  - {name: dead, port: 4803, $tcp}
	  - {name: hole, address: 127.0.0.9, port: 4804, transport: tcp, queue_size: 1M}
	  - {name: nameless, address: collector.invalid, port: 4805, transport: tcp, queue_size: 1M}
	  - {name: refuses, address: 127.0.0.1, port: 4806}
	  - {name: refuses9, address: 127.0.0.1, port: 4807, protocol: netflow9}
	  - {name: full, file: $work/disk/flows.ipfix, queue_size: 1M}
	  - {name: udp, address: 127.0.0.1, port: 4808}
	  - {name: v9, address: 127.0.0.1, port: 4809, protocol: netflow9}
	  - {name: tcp, address: 127.0.0.1, port: 4810, transport: tcp}
END
well=(udp v9 tcp)
ill=(never slow dead hole nameless refuses refuses9 full)
declare -A pid

undo() { umount -l "$work/disk" 2>/dev/null; }
mkdir "$work/disk"
mount -t tmpfs -o size=256k tmpfs "$work/disk" || skip_all "kernel: no tmpfs"

well_start() { # NAME KIND PORT
	spawn b "$work/$1.out" "$strict" listen "$2" 127.0.0.1 "$3" "$work/$1.rec"
	pid[$1]=$spawned
	wait_for 5 grep -q ready "$work/$1.out" || bail "$(cat "$work/$1.out")"
}
tcp_listens() { in_ns b ss -Hltn "sport = :$1" | grep -q .; }
for mode in never:4801 slow:4802; do
	spawn b "$work/reader.log" python3 "$work/reader.py" ${mode%:*} ${mode#*:} "$work/${mode%:*}.ipfix"
	pid[${mode%:*}]=$spawned
	wait_for 5 tcp_listens ${mode#*:} || bail "no reader"
done
well_start udp udp 4808
well_start v9 udp 4809
well_start tcp tcp 4810
in_ns b nft -f - <<'END' 2>/dev/null || diag "no nft: the hole refuses instead"
table ip hole {
	chain input {
		type filter hook input priority 0
		ip daddr 127.0.0.9 drop
	}
}
END

daemon_start b "$work/bpflowd.yaml"
packets=0
octets=0
for round in 1 2 3 4 5; do
	send a veth0 --dst-mac "$(mac_of b veth1)" --src "10.$((64 + round)).0.1" --dst 10.63.0.1 --flows 14000 \
		--packets 28000 --size 60-1400 --rate 28000
	packets=$((packets + $(sent packets)))
	octets=$((octets + $(sent octets)))
done
balance() { # NAME: sent, lost, waiting, not for it, and still held
	echo $(($(metric exported_packets_total "collector=$1") + $(metric lost_packets_total "collector=$1") +
		$(metric queued_packets "collector=$1") + $(metric skipped_packets_total "collector=$1") + $(metric cached_packets)))
}
settled() { [[ $(metric observed_packets_total) == "$packets" && $(metric cached_packets) == 0 ]]; }
check "every packet was observed and has left the cache" wait_for 10 settled
# on a busy machine some may be lost before there is a record of them; that is counted too
lost_at() { metric "lost_$1_total" "place=$2"; }
early() { echo $(($(lost_at "$1" flow_table) + $(lost_at "$1" ring_buffer) + $(lost_at "$1" flow_cache))); }
packets=$((packets - $(early packets)))
octets=$((octets - $(early octets)))
for name in "${ill[@]}" "${well[@]}"; do
	is "$(balance "$name")" "$packets" "$name: observed = sent + lost + waiting"
done
ok "$(($(metric lost_packets_total collector=never) == 0))" "never: what its queue could not hold was counted"
ok "$(($(metric lost_packets_total collector=slow) == 0))" "slow: what its queue could not hold was counted"
ok "$(($(metric lost_packets_total collector=full) == 0))" "full: what its queue could not hold was counted"
is "$(metric exported_packets_total collector=dead)" 0 "dead: nothing was sent"
is "$(metric exported_packets_total collector=hole)" 0 "hole: nothing was sent"
is "$(metric lost_packets_total collector=refuses)" "$packets" "refuses: all is lost, and counted"
is "$(metric lost_packets_total collector=refuses9)" "$packets" "refuses9: all is lost, and counted"

# One wakes up, the other never; then the end, which waits for nobody longer than it may.
slow_lost=$(metric lost_packets_total collector=slow)
slow_empty() { [[ $(metric queued_packets collector=slow) == 0 ]]; }
kill -USR1 "${pid[slow]}"
check "slow: wakes up and takes all that waits" wait_for 10 slow_empty
begin=${EPOCHREALTIME/./}
check "SIGTERM ends it with status 0" daemon_stop
took_ms=$(((${EPOCHREALTIME/./} - begin) / 1000))
ok "$((took_ms < 5000 || took_ms > 13000))" "it waits ten seconds for what can still go, no longer" || diag "$took_ms ms"

for name in "${ill[@]}"; do
	line=$(grep "statistics: collector $name: " "$work/bpflowd.log")
	sum=$(sed -E 's/.*flows with ([0-9]+) packets sent.*with ([0-9]+) packets queued; packets lost: ([0-9]+) in the queue, ([0-9]+) in sending; ([0-9]+) not.*/\1+\2+\3+\4+\5/' <<<"$line")
	is $((sum)) "$packets" "$name: the last line of its account is the whole" || diag "$line"
done
for name in never dead hole nameless full; do
	is "$(grep -c "collector $name: [0-9]* flows.*could not be sent and are lost" "$work/bpflowd.log")" 1 \
		"$name: the log says what was lost with the end"
done
is "$(grep -c "collector slow: .*are lost" "$work/bpflowd.log")" 0 "slow: nothing was lost with the end"
is "$(grep -c 'collector dead: 127.0.0.1:4803: can.t connect: Connection refused' "$work/bpflowd.log")" 1 \
	"dead: the log says why, once"
ok "$(($(wc -l <"$work/bpflowd.log") > 100))" "less than a hundred lines of log" || diag "$(wc -l <"$work/bpflowd.log")"

for name in "${well[@]}"; do
	stop "${pid[$name]}"
	"$strict" check "$work/$name.rec" >"$work/strict.json"
	is "$(strict packets) $(strict octets)" "$packets $octets" "$name: sees every packet and octet"
	is "$(strict first_errors)" "[]" "$name: the strict decoder has nothing to say"
done
# RFC 7011 4.1, 4.3: what a collector was told at the end is what it got, and what it did not get
told() { # RECORDING ELEMENT: in the last options record that has it
	"$strict" check "$1" --records | grep '"options": true' | grep "\"$2\":" | tail -n 1 | jq ".[\"$2\"]"
}
is "$(told "$work/udp.rec" 42)" "$("$strict" check "$work/udp.rec" | jq .flow_records)" "udp: is told at last how many flows it got"
wait_for 5 gone "${pid[slow]}"
is "$(told "$work/slow.ipfix" 167)" "$slow_lost" "slow: is told at last how many packets it did not get"
"$strict" check "$work/slow.ipfix" >"$work/strict.json"
is "$(($(strict packets) + slow_lost))" "$packets" "slow: received + counted = sent"
is "$(strict first_errors | jq '[.[] | select(test("sequence") | not)] | length')" 0 "slow: no message is torn"
"$strict" check "$work/disk/flows.ipfix" >"$work/strict.json"
is "$(strict packets)" "$(sed -nE 's/.*statistics: collector full: [^;]*; [0-9]+ flows with ([0-9]+) packets sent.*/\1/p' "$work/bpflowd.log")" \
	"full: the file has what counts as sent"
done_testing

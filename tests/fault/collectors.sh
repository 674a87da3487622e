#!/bin/bash
# SPDX-License-Identifier: MIT
# Collectors that misbehave in ways that tests/e2e/faults.sh leaves out: they hang up at once, reset, talk back, read an octet
# each 100 ms, never shake hands, get lost behind a session that stands, have a name that resolves late. The one that is
# well loses nothing, nor do those that come to their senses; the account of each of the others balances all the time.
. "$(dirname "$0")/../lib.sh"
require_root nft openssl
. "$(dirname "$0")/lib.sh"
self_signed
tcp="address: 127.0.0.1, transport: tcp, queue_size: 1M, reconnect_interval: 100ms"
tls="address: 127.0.0.1, queue_size: 1M, reconnect_interval: 100ms, tls: {ca: $work/cert.pem}"
ill=(close reset garbage cut trickle absent tls_close tls_garbage tls_silent dtls_absent)
fault_config 20ms <<-END
	  - {name: well, address: 127.0.0.1, port: 4739}
	  - {name: close, port: 4801, $tcp}
	  - {name: reset, port: 4802, $tcp}
	  - {name: garbage, port: 4803, $tcp}
	  - {name: cut, port: 4804, $tcp}
	  - {name: trickle, port: 4805, $tcp}
	  - {name: absent, port: 4806, $tcp}
	  - {name: tls_close, port: 4811, transport: tls, $tls}
	  - {name: tls_garbage, port: 4812, transport: tls, $tls}
	  - {name: tls_silent, port: 4813, transport: tls, $tls}
	  - {name: dtls_absent, port: 4814, transport: dtls, $tls}
	  - {name: half, address: 127.0.0.9, port: 4740, transport: tcp, reconnect_interval: 60s}
	  - {name: late, address: late.test, port: 4741, reconnect_interval: 1s}
	  - {name: talks, address: 127.0.0.1, port: 4742}
END
strict_on well udp 4739
strict_on half tcp 4740 127.0.0.9
strict_on late udp 4741
sink_on ill python3 "$fault/ill.py" close:4801 reset:4802 garbage:4803 cut:4804 trickle:4805 close:4811 garbage:4812 silent:4813
# a collector that answers each datagram with nonsense
spawn b "$work/talks.out" python3 -c '
import os, socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 4742))
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
while True:
    data, peer = s.recvfrom(65536)
    for n in range(8):
        s.sendto(os.urandom(1400), peer)'
wait_for 5 udp_bound b 4742 || bail "nobody talks back"

daemon_start b "$work/bpflowd.yaml"
up() { [[ $(metric collector_up "collector=$1") == 1 ]]; }
balance() { # NAME, at one moment
	jq --arg name "$1" '[.metrics[] | select(.name == ("exported_packets_total", "lost_packets_total", "queued_packets",
		"skipped_packets_total")) | .samples[] | select(.labels.collector == $name) | .value] | add' "$work/stats.json"
}
all_balanced() {
	local name
	ctl show stats --json >"$work/stats.json"
	for name in "${ill[@]}" well half late talks; do
		is "$(balance "$name")" "$passed_packets" "$1: $name: sent + lost + waiting = observed"
	done
}
check "half has a session" wait_for 10 up half
pass 20 2 500
all_balanced "twenty turns"

# its packets vanish, its session stands; after 30 s of silence it is given up, and nothing is lost when it is back
in_ns b nft -f - <<'END' || bail "no nft"
table ip half {
	chain input {
		type filter hook input priority 0
		ip daddr 127.0.0.9 drop
	}
}
END
pass 20 2 500
down() { ! up "$1"; }
shift_clock 31
check "half: is given up after half a minute of silence" wait_for 10 down half
all_balanced "half gone"
is "$(metric lost_packets_total collector=half)" 0 "half: its packets wait"
in_ns b nft delete table ip half
shift_clock 70
check "half: has a session again" wait_for 15 up half

# the name server comes at last
check "late: is down as long as nobody knows its name" down late
is "$(metric exported_packets_total collector=late)" 0 "late: has got nothing"
name_server late.test
shift_clock 2
late_up() { shift_clock 1.2 && up late; }
check "late: is up once its name resolves" wait_for 15 late_up
pass 20 2 500
all_balanced "sixty turns"
drained() { [[ $(($(metric queued_packets collector=late) + $(metric queued_packets collector=half) + $(metric queued_packets collector=well))) == 0 ]]; }
check "late, half, well: nothing waits" wait_for 20 drained
for name in well half late talks; do
	is "$(metric lost_packets_total collector=$name)" 0 "$name: has lost nothing"
done
for name in "${ill[@]}"; do
	[[ $name == @(trickle|garbage) ]] || ok $(($(metric collector_failures_total "collector=$name") == 0)) "$name: its failures are counted"
done
ok $(($(grep -c . "$work/bpflowd.log") > 300)) "the log stays short" || diag "$(wc -l <"$work/bpflowd.log") lines"
check "SIGTERM ends it with status 0" daemon_stop

for name in well half late; do
	strict_off $name --clock-moved
	is "$(strict packets) $(strict octets)" "$passed_packets $passed_octets" "$name: has every packet and octet"
	# what was under way when the line went dead may have come in part, once
	is "$(complaints "octets came")" "[]" "$name: the strict decoder has nothing else to say"
done
done_testing

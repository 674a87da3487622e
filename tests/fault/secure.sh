#!/bin/bash
# SPDX-License-Identifier: MIT
# The table of system calls that fail under a TLS session; the server is OpenSSL's. calls.py has the rows.
. "$(dirname "$0")/../lib.sh"
require_root jq dnsmasq ss openssl
. "$(dirname "$0")/lib.sh"

netns_add a b
veth_pair a veth0 b veth1
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$work/key.pem" -subj /CN=collector -days 2 -out "$work/cert.pem" \
	-addext subjectAltName=IP:127.0.0.1 2>"$work/openssl.log" || bail "no certificate"
daemon_config "$work/bpflowd.yaml" <<-END
	metering:
	  interfaces: [veth1]
	  direction: ingress
	  drain_interval: 20ms
	  active_timeout: 1s
	  idle_timeout: 1s
	collectors:
	  - {name: tls, address: 127.0.0.1, transport: tls, source: 127.0.0.1, reconnect_interval: 1s, tls: {ca: $work/cert.pem}}
END
mkfifo "$work/never" # the server would leave at the end of its input
spawn b "$work/tls.ipfix" sh -c "exec openssl s_server -quiet -port 4740 -cert '$work/cert.pem' -key '$work/key.pem' \
	<>'$work/never' 2>'$work/server.log'"
server_pid=$spawned
listens() { in_ns b ss -Hltn "sport = :4740" | grep -q .; }
wait_for 5 listens || bail "no server: $(cat "$work/server.log")"

daemon_start b "$work/bpflowd.yaml"
tap_hand_over
in_ns b python3 "$fault/calls.py" --secure --control "$work/fault.control" --socket "$work/control.sock" --far "$id-a" \
	--mac "$(mac_of b veth1)" --log "$work/bpflowd.log" --config "$work/bpflowd.yaml" --tap "$work/tap" --sent "$work/all" \
	--pid "$daemon_pid" "$@"
tap_take_over
[[ -s $work/all ]] || bail "the table broke off"
is "$(metric lost_packets_total)" 0 "nothing is lost"
check "SIGTERM ends it with status 0" daemon_stop
stop "$server_pid"
"$strict" check "$work/tls.ipfix" --flows >"$work/strict.json"
read -r packets _ <"$work/all"
# Each flow is one packet. What the kernel has not seen acknowledged when a session ends comes again (tests/transport/README.md),
# and an acknowledgement may take 40 ms.
is "$(jq '.flows | length' "$work/strict.json")" "$packets" "the server has every packet"
diag "$(($(strict packets) - packets)) of $packets came twice"
# one file of many sessions, each of which begins with 0
is "$(strict first_errors | jq -c '[.[] | select(test("sequence 0") | not)]')" "[]" "the strict decoder has nothing to say"
done_testing

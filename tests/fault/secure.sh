#!/bin/bash
# SPDX-License-Identifier: MIT
# The tables of system calls that fail under TLS and DTLS sessions; calls.py has the rows. The server of TLS is OpenSSL's.
# That of DTLS is our own: OpenSSL's knows one session, and is deaf to a peer whose session broke off and begins anew.
. "$(dirname "$0")/../lib.sh"
require_root openssl
. "$(dirname "$0")/lib.sh"
self_signed
secure="address: 127.0.0.1, source: 127.0.0.1, reconnect_interval: 1s, tls: {ca: $work/cert.pem}"

# ---- TLS

fault_config 20ms <<-END
	  - {name: tls, port: 4740, transport: tls, $secure}
END
mkfifo "$work/never" # the server would leave at the end of its input
spawn b "$work/tls.rec" sh -c "exec openssl s_server -quiet -port 4740 -cert '$work/cert.pem' -key '$work/key.pem' \
	<>'$work/never' 2>'$work/server.log'"
tls_pid=$spawned
listens() { in_ns b ss -Hltn "sport = :4740" | grep -q .; }
wait_for 5 listens || bail "no server: $(cat "$work/server.log")"

daemon_start b "$work/bpflowd.yaml"
calls_table --secure tls "$@"
is "$(metric lost_packets_total)" 0 "TLS: nothing is lost"
check "TLS: SIGTERM ends it with status 0" daemon_stop
strict_off tls --flows
# Each flow is one packet. What the kernel has not seen acknowledged when a session ends comes again (tests/transport/README.md),
# and an acknowledgement may take 40 ms.
is "$(jq '.flows | length' "$work/strict.json")" "$all_packets" "TLS: the server has every packet"
diag "$(($(strict packets) - all_packets)) of $all_packets came twice"
# one file of many sessions, each of which begins with 0
is "$(complaints "sequence 0")" "[]" "TLS: the strict decoder has nothing to say"

# ---- DTLS: a peer with heartbeats, and one whose sessions are made anew as often as templates are sent

fault_config 20ms <<-END
	  - {name: dtls, port: 4741, transport: dtls, $secure}
	  - {name: mute, port: 4742, transport: dtls, template_refresh: 10s, $secure}
END
sink_on dtls "$build/tests/tools/dtls_sink" --heartbeat 4741 "$work/cert.pem" "$work/key.pem" "$work/dtls.rec"
sink_on mute "$build/tests/tools/dtls_sink" 4742 "$work/cert.pem" "$work/key.pem" "$work/mute.rec"
: >"$work/bpflowd.log"
daemon_start b "$work/bpflowd.yaml"
calls_table --secure dtls "$@"
for name in dtls mute; do # what was too large for the path all the time
	declare "lost_$name=$(metric lost_packets_total collector=$name)"
done
check "DTLS: SIGTERM ends it with status 0" daemon_stop
for name in dtls mute; do
	lost=lost_$name
	strict_off $name --clock-moved
	is "$(strict packets) $(strict octets)" "$((all_packets - ${!lost})) $((100 * (all_packets - ${!lost})))" \
		"DTLS: $name: received once + counted as lost = sent"
	# a message that was lost leaves a gap in the numbers, as it should
	is "$(complaints "sequence")" "[]" "DTLS: $name: the strict decoder has nothing to say"
	ok $(($(strict sequence_gaps) > 1)) "DTLS: $name: numbers are missing once at most" || complaints | diag
done
done_testing

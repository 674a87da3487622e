#!/bin/bash
# SPDX-License-Identifier: MIT
# The same packets over every transport at once, to readers of others: ipfixDump behind socat, tshark, openssl's
# servers; and to one collector that never answers. SCTP, which may be missing, is refused with a remedy.
. "$(dirname "$0")/../lib.sh"
require_root jq ipfixDump tshark socat openssl

netns_add a b
veth_pair a veth0 b veth1

certificate() { # NAME SUBJECT-ALTERNATIVE-NAME, signed by ca
	openssl req -new -newkey rsa:2048 -nodes -keyout "$work/$1.key" -subj "/CN=$1" -out "$work/$1.csr"
	openssl x509 -req -in "$work/$1.csr" -CA "$work/ca.pem" -CAkey "$work/ca.key" -CAcreateserial -days 2 \
		-extfile <(echo "subjectAltName=$2") -out "$work/$1.pem"
}
{
	openssl req -x509 -newkey rsa:2048 -nodes -keyout "$work/ca.key" -subj /CN=ca -days 2 -out "$work/ca.pem"
	certificate collector IP:127.0.0.1
	certificate exporter DNS:exporter.example
} 2>"$work/openssl.log" || bail "no certificates"

tls="{ca: $work/ca.pem, certificate: $work/exporter.pem, key: $work/exporter.key}"
daemon_config "$work/bpflowd.yaml" <<-END
	metering:
	  interfaces: [veth1]
	  active_timeout: 1s
	  idle_timeout: 1s
	collectors:
	  - {name: dead, address: 127.0.0.1, port: 4999, transport: tcp}
	  - {name: udp, address: 127.0.0.1, port: 4739}
	  - {name: tcp, address: 127.0.0.1, port: 4740, transport: tcp}
	  - {name: socat, address: 127.0.0.1, port: 4741, transport: tcp}
	  - {name: tls, address: 127.0.0.1, port: 4742, transport: tls, tls: $tls}
	  - {name: dtls, address: 127.0.0.1, port: 4743, transport: dtls, max_rate: 4000, tls: $tls}
	  - {name: file, file: $work/file.ipfix}
END

tcp_listens() { in_ns b ss -Hltn "sport = :$1" | grep -q .; }
mkfifo "$work/never"
serve_tls() { # PORT FILE OPTIONS...; the server would leave at the end of its input, so that never comes
	spawn b "$2" sh -c "exec openssl s_server -quiet -port $1 -cert '$work/collector.pem' -key '$work/collector.key' \
		-CAfile '$work/ca.pem' -Verify 1 -verify_return_error ${*:3} <>'$work/never' 2>'$2.log'"
}
strict_start b udp 4739
udp_pid=$strict_pid
mv "$work/strict.out" "$work/udp.out"
spawn b "$work/tcp.out" "$strict" listen tcp 127.0.0.1 4740 "$work/tcp.rec"
tcp_pid=$spawned
spawn b "$work/socat.ipfix" socat -u TCP-LISTEN:4741,bind=127.0.0.1,reuseaddr STDOUT
serve_tls 4742 "$work/tls.ipfix"
serve_tls 4743 "$work/dtls.ipfix" -dtls1_2
capture_start b lo "tcp port 4740"
for port in 4740 4741 4742; do
	wait_for 5 tcp_listens $port || bail "nobody listens on $port"
done
wait_for 5 udp_bound b 4743 || bail "nobody listens on 4743"

daemon_start b "$work/bpflowd.yaml"
packets=0
octets=0
for kind in "udp 10.64.0.1 10.63.0.1" "tcp fd00::1 fd01::1"; do
	read -r protocol from to <<<"$kind"
	send a veth0 --dst-mac "$(mac_of b veth1)" --proto "$protocol" --src "$from" --dst "$to" --flows 2000 \
		--packets 8000 --size 60-1400 --rate 8000
	packets=$((packets + $(sent packets)))
	octets=$((octets + $(sent octets)))
done
check "SIGTERM ends it with status 0, though one collector is dead" daemon_stop
stop "$udp_pid"
stop "$tcp_pid"
capture_stop

sums() { # FILE NAME
	"$strict" check "$1" >"$work/strict.json"
	is "$(strict packets) $(strict octets)" "$packets $octets" "$2: packets and octets"
	is "$(strict first_errors)" "[]" "$2: the strict decoder has nothing to say"
}
sums "$work/strict.rec" UDP
sums "$work/tcp.rec" TCP
sums "$work/socat.ipfix" "TCP through socat"
sums "$work/tls.ipfix" TLS
sums "$work/dtls.ipfix" DTLS
sums "$work/file.ipfix" file
check "ipfixDump reads what came through socat" ipfixDump --in "$work/socat.ipfix" --out "$work/dump"
is "$(awk -F: '$1 ~ /packetDeltaCount[ \t]*$/ { n += $2 } END { print n + 0 }' "$work/dump")" "$packets" \
	"ipfixDump counts the same packets"
is "$(tshark -r "$work/capture.pcap" -d tcp.port==4740,cflow -Y '_ws.malformed || cflow.sequence_analysis.expected_sn' \
	2>/dev/null | wc -l)" 0 "TCP: tshark has nothing to say"

# RFC 6728 5: what cannot be done is refused, never replaced
if python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)' 2>/dev/null; then
	skip "kernel: has SCTP" "SCTP is refused"
else
	daemon_config "$work/sctp.yaml" <<-END
		collectors:
		  - name: one
		    address: 127.0.0.1
		    transport: sctp
	END
	"$bpflowd" --check -c "$work/sctp.yaml" >"$work/check.out" 2>&1
	is $? 1 "SCTP on a kernel without it: --check exits 1"
	is "$(cut -d: -f2 "$work/check.out")" 4 "it names the line"
	is "$(grep -c 'module sctp' "$work/check.out")" 1 "it names the remedy"
fi
done_testing

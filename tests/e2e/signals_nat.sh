#!/bin/bash
# SPDX-License-Identifier: MIT
# DNS and RTT through a router that masquerades: every flow says how long its own packets waited, whichever addresses
# they have there. Relays make the way to the client 10 ms long and the one to the server 20 ms, there and back.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/signals_lib.sh"
require_root jq nft dnsmasq dig socat ethtool
long_lines
serve_tcp
serve_dns 10.9.2.2
signals_config "lan, wan"
daemon_start router "$work/bpflowd.yaml"

exchange() { # PORT: DNS from five ports from this one, then five connections
	local i
	for i in 0 1 2 3 4; do
		ask client -b "10.9.1.2#$(($1 + i))" @10.9.2.2 www.example.org A
	done
	for i in 0 1 2 3 4; do
		in_ns client socat -u "TCP:10.9.2.2:8080,sourceport=$(($1 + i)),reuseaddr" - >/dev/null
	done
}

# What the flows of both sides say. The address that the server sees tells the answers' flow.
expect() { # NAME PORT PUBLIC-ADDRESS
	local query="$to_dns and .sourceTransportPort >= $2" answer="$from_dns and .destinationTransportPort >= $2"
	local there="$to_tcp and .sourceTransportPort >= $2" back="$from_tcp and .destinationTransportPort >= $2"
	query+=' and .sourceIPv4Address == "10.9.1.2"' there+=' and .sourceIPv4Address == "10.9.1.2"'
	answer+=" and .destinationIPv4Address == \"$3\"" back+=" and .destinationIPv4Address == \"$3\""
	measured() {
		look && [[ $(values "$there" .tcpClientRttMicroseconds) == 5\ * && $(values "$back" .tcpClientRttMicroseconds) == 5\ * ]]
	}
	wait_for 3 measured
	best_of_five "$query" .dnsMinimumLatencyMicroseconds 19900 22000 "$1: latency, the client's query"
	best_of_five "$answer" .dnsMinimumLatencyMicroseconds 19900 22000 "$1: latency, the server's answer"
	best_of_five "$there" .tcpServerRttMicroseconds 19900 22000 "$1: RTT to the server, from the client"
	best_of_five "$back" .tcpServerRttMicroseconds 19900 22000 "$1: RTT to the server, from the server"
	best_of_five "$there" .tcpClientRttMicroseconds 9900 11000 "$1: RTT to the client, from the client"
	best_of_five "$back" .tcpClientRttMicroseconds 9900 11000 "$1: RTT to the client, from the server"
	is "$(sum "$query" .dnsAnsweredCount) $(sum "$answer" .dnsAnsweredCount)" "5 5" "$1: each transaction once in a flow"
}
to_dns='.destinationTransportPort == 53' from_dns='.sourceTransportPort == 53'
to_tcp='.destinationTransportPort == 8080' from_tcp='.sourceTransportPort == 8080'

exchange 4000
expect "without NAT" 4000 10.9.1.2
in_ns router nft -f - <<-END
	table ip t {
		chain postrouting {
			type nat hook postrouting priority 100;
			oifname wan ip protocol { tcp, udp } counter masquerade to :20000-29999
		}
	}
END
exchange 5000
expect "masquerade" 5000 10.9.2.1
is "$(in_ns router nft -j list ruleset | jq '[.nftables[].rule?.expr[]?.counter?.packets | values] | add')" 10 "all of it was translated"

# A query that nobody answers (no such neighbour) counts once, and what was answered does not count.
in_ns router ip neighbour replace 10.9.2.99 lladdr 02:00:00:00:00:99 nud permanent dev wan
ask client +time=1 -b 10.9.1.2#6000 @10.9.2.99 www.example.org A
unanswered() { look && [[ $(sum true .dnsUnansweredCount) -ge 1 ]]; }
wait_for 9 unanswered
is "$(sum '.sourceTransportPort == 6000' .dnsUnansweredCount) $(sum true .dnsUnansweredCount)" "1 1" \
	"the query without answer, and no other"
is "$(ctl show flows --json | jq -c '[.flows[] | select(.sourceIPv4Address == "10.9.2.1") | .destinationIPv4Address]')" "[]" \
	"a translated query makes no flow of its own"
is "$(ctl show flows --json | jq '[.flows[] | select((.packetDeltaCount // 0) == 0)] | length')" 0 "each flow has packets"
daemon_stop
ok $? "the daemon ends well"
done_testing

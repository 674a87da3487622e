#!/bin/bash
# SPDX-License-Identifier: MIT
# DNS and RTT through a router that masquerades: every flow says how long its own packets waited, whichever addresses
# they have there. Relays make the way to the client 10 ms long and the one to the server 20 ms, there and back.
. "$(dirname "$0")/../lib.sh"
require_root jq nft dnsmasq dig socat ethtool

relay=$build/tests/tools/relay
netns_add client near router far server
veth_pair client c0 near n0
veth_pair near n1 router lan
veth_pair router wan far f0
veth_pair far f1 server s0
for end in "client c0" "near n0" "near n1" "router lan" "router wan" "far f0" "far f1" "server s0"; do
	read -r ns interface <<<"$end"
	offloads "$ns" "$interface" off tx rx tso gso gro
done
for end in "client c0 10.9.1.2" "router lan 10.9.1.1" "router wan 10.9.2.1" "server s0 10.9.2.2"; do
	read -r ns interface address <<<"$end"
	in_ns "$ns" ip address add "$address/24" dev "$interface"
done
neighbour() { # NAMESPACE INTERFACE ADDRESS PEER-NAMESPACE PEER-INTERFACE: known for ever
	in_ns "$1" ip neighbour replace "$3" lladdr "$(mac_of "$4" "$5")" nud permanent dev "$2"
}
neighbour client c0 10.9.1.1 router lan
neighbour router lan 10.9.1.2 client c0
neighbour router wan 10.9.2.2 server s0
neighbour server s0 10.9.2.1 router wan
in_ns client ip route add default via 10.9.1.1
in_ns server ip route add default via 10.9.2.1
in_ns router sysctl -qw net.ipv4.ip_forward=1

start() { # NAMESPACE LOG COMMAND...
	spawn "$1" "$work/$2" "${@:3}"
}
start near near.log "$relay" n0 n1 5
start far far.log "$relay" f0 f1 10
wait_for 10 grep -q ready "$work/near.log" && wait_for 10 grep -q ready "$work/far.log" || bail "no relay"
start server tcp.log socat TCP-LISTEN:8080,reuseaddr,fork EXEC:'head -c 1000 /dev/zero'
start server dns.log dnsmasq --keep-in-foreground --no-resolv --no-hosts --no-daemon --conf-file=/dev/null \
	--pid-file= --user=root --listen-address=10.9.2.2 --bind-interfaces --address=/example.org/192.0.2.1
wait_for 5 sh -c "nsenter --net=/run/netns/$id-server ss -Hlnt 'sport = :8080' | grep -q ."
wait_for 5 udp_bound server 53

daemon_config "$work/bpflowd.yaml" <<-END
	metering:
	  interfaces: [lan, wan]
	  drain_interval: 100ms
	  active_timeout: 600s
	  idle_timeout: 300s
	collectors:
	  - name: file
	    file: $work/flows.ipfix
	    template: full
END
daemon_start router "$work/bpflowd.yaml"

look() { ctl show flows --json >"$work/flows.json"; } # flows that ended go soon: all is read from one look
values() { # CONDITION FIELD: how many flows have it, and the lowest
	jq <"$work/flows.json" -r "[.flows[] | select($1) | $2 // empty] | \"\(length) \(min)\""
}
within() { # VALUE LOW HIGH NAME
	[[ $1 =~ ^[0-9]+$ && $1 -ge $2 && $1 -le $3 ]]
	ok $? "$4" || diag "got $1, wanted $2 to $3"
}
# A busy machine holds a frame longer now and then, never shorter: the best of five tells the line.
best_of_five() { # CONDITION FIELD LOW HIGH NAME
	local n low
	read -r n low <<<"$(values "$1" "$2")"
	is "$n" 5 "$5: on every flow"
	within "$low" "$3" "$4" "$5"
}
sum() { # CONDITION FIELD
	jq <"$work/flows.json" "[.flows[] | select($1) | $2 // 0] | add"
}

exchange() { # PORT: DNS from five ports from this one, then five connections
	local i
	for i in 0 1 2 3 4; do
		in_ns client dig +tries=1 +time=2 -b "10.9.1.2#$(($1 + i))" @10.9.2.2 www.example.org A >>"$work/dig.log" 2>&1
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
in_ns client dig +tries=1 +time=1 -b 10.9.1.2#6000 @10.9.2.99 www.example.org A >>"$work/dig.log" 2>&1
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

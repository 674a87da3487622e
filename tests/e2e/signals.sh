#!/bin/bash
# SPDX-License-Identifier: MIT
# Drops, DNS and RTT of real stacks through a router, compared with the kernel's own counters. Relays make the way to
# the client 10 ms long and the one to the server 20 ms, there and back.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/signals_lib.sh"
require_root bpftool jq nft dnsmasq dig socat nstat python3 ethtool tc
long_lines 6
netns_add foreign
signals_config "lan, wan"
daemon_start router "$work/bpflowd.yaml"

udp() { # NAMESPACE COUNT SIZE HOST PORT [TTL]
	in_ns "$1" python3 - "${@:2}" <<-END
		import socket, sys
		count, size, host, port = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
		s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
		if len(sys.argv) > 5:
		    s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, int(sys.argv[5]))
		for i in range(count):
		    try:
		        s.sendto(b"x" * size, (host, port))
		    except OSError:
		        pass
	END
}
dropped=".droppedPacketDeltaCount, .droppedOctetDeltaCount, .dropCauseName"
counted=".packetDeltaCount, $dropped"
to() { echo ".destinationTransportPort == $1"; }
snmp() { in_ns router nstat -asz "$1" | awk -v name="$1" '$1 == name { print $2 }'; }

# ---- drops

in_ns router nft -f - <<-END
	table inet t {
		chain forward { type filter hook forward priority 0; udp dport 7000 counter drop; }
		chain output { type filter hook output priority 0; udp dport 7001 counter drop; }
		chain input { type filter hook input priority 0; udp dport 7002 counter drop; }
	}
END
udp client 5 100 10.9.2.2 7000
udp router 4 100 10.9.2.2 7001
udp client 3 100 10.9.1.1 7002
udp client 2 100 fd09:2::2 7000
ip4='.sourceIPv4Address != null and'
ip6='.sourceIPv6Address != null and'
flow_becomes "$ip4 $(to 7000)" "$counted" "5 5 640 NETFILTER_DROP" "forwarded, netfilter"
flow_becomes "$(to 7001)" "$counted" "0 4 512 NETFILTER_DROP" "sent by the router: a flow that was only ever dropped"
flow_becomes "$(to 7002)" "$counted" "3 3 384 NETFILTER_DROP" "to the router, netfilter"
flow_becomes "$ip6 $(to 7000)" "$counted" "2 2 296 NETFILTER_DROP" "IPv6, forwarded, netfilter"
is "$(in_ns router nft -j list ruleset | jq -c '[.nftables[].rule?.expr[]?.counter? | values | [.packets, .bytes]]')" \
	"[[7,936],[4,512],[3,384]]" "nft has counted the same"
in_ns router nft flush ruleset

udp client 2 100 10.77.0.1 7010
flow_becomes "$(to 7010)" "$counted" "2 2 256 IP_INNOROUTES" "no route"
before=$(snmp UdpNoPorts)
udp client 3 100 10.9.1.1 7011
flow_becomes "$(to 7011)" "$counted" "3 3 384 NO_SOCKET" "closed port, UDP"
is "$(($(snmp UdpNoPorts) - before))" 3 "nstat has counted the same"
in_ns client timeout 2 socat /dev/null TCP:10.9.1.1:7012 2>/dev/null
flow_becomes "$(to 7012)" "$counted" "1 1 60 NO_SOCKET" "closed port, TCP"
udp client 2 100 10.9.2.2 7013 1
flow_becomes "$(to 7013)" ".packetDeltaCount, .droppedPacketDeltaCount, .droppedOctetDeltaCount" "2 2 256" "TTL exceeded"

before=$(snmp UdpInCsumErrors)
in_ns client python3 - <<-END
	import socket, struct
	s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
	s.sendto(struct.pack("!HHHH", 4000, 7014, 12, 0x1234) + b"data", ("10.9.1.1", 0))
END
in_ns router timeout 0.3 socat -u UDP-RECV:7014 /dev/null &
wait_for 2 udp_bound router 7014
in_ns client python3 - <<-END
	import socket, struct
	s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
	s.sendto(struct.pack("!HHHH", 4001, 7014, 12, 0x1234) + b"data", ("10.9.1.1", 0))
END
flow_becomes ".sourceTransportPort == 4001" "$counted" "1 1 32 UDP_CSUM" "bad checksum"
within "$(($(snmp UdpInCsumErrors) - before))" 1 2 "nstat has seen it too"

in_ns router tc qdisc add dev wan root tbf rate 100kbit burst 3000 limit 4000
udp client 30 1000 10.9.2.2 7020
udp router 30 1000 10.9.2.2 7021
sum_of_drops() { ctl show flows --json | jq "[.flows[] | select($(to 7020) or $(to 7021)) | .droppedPacketDeltaCount // 0] | add"; }
qdisc_drops() { in_ns router tc -s -j qdisc show dev wan | jq '.[0].drops'; }
drops_agree() { [[ $(sum_of_drops) -gt 20 && $(sum_of_drops) == "$(qdisc_drops)" ]]; }
wait_for 3 drops_agree
is "$(sum_of_drops)" "$(qdisc_drops)" "full queue: as many as tc has counted"
flow_becomes "$(to 7021)" ".dropCauseName" "QDISC_DROP" "full queue, sent by the router"
in_ns router tc qdisc del dev wan root

# the same addresses, ports and interface index elsewhere
in_ns foreign ip link add x type veth peer name y
# both would be NO_SOCKET; what the queue just taken off still lets go of is not
no_socket() { ctl show drops --json | jq '[.drops[] | select(.reason == "NO_SOCKET") | .packets] | add // 0'; }
before=$(no_socket)
in_ns foreign sh -c 'ip link set x up; ip link set y up; ip address add 10.9.1.1/24 dev x'
udp foreign 5 100 10.9.1.1 7030
in_ns client ping -c 2 -i 0.2 10.9.2.2 >/dev/null
in_ns router ping -c 2 -i 0.2 10.9.2.2 >/dev/null
is "$(no_socket)" "$before" "another namespace's drops and ping replies are none of ours"
is "$(ctl show drops --json | jq -c '[.drops[] | select(.reason == "NETFILTER_DROP") | .packets] | add')" 14 "totals by reason"

# ---- RTT

serve_tcp
for _ in 1 2 3 4 5; do
	in_ns client socat -u TCP:10.9.2.2:8080 - >/dev/null
	in_ns router socat -u TCP:10.9.2.2:8080 - >/dev/null
done
rtt_becomes() { # CONDITION FIELD LOW HIGH NAME
	measured() { look && [[ $(values "$1" "$2") == 5\ * ]]; }
	wait_for 3 measured "$1" "$2"
	best_of_five "$@"
}
there='.destinationTransportPort == 8080 and .sourceIPv4Address'
back='.sourceTransportPort == 8080 and .destinationIPv4Address'
for side in "$there" "$back"; do
	rtt_becomes "$side == \"10.9.1.2\"" .tcpServerRttMicroseconds 19900 22000 "RTT to the server, ${side:1:6}"
	rtt_becomes "$side == \"10.9.1.2\"" .tcpClientRttMicroseconds 9900 11000 "RTT to the client, ${side:1:6}"
	rtt_becomes "$side == \"10.9.2.1\"" .tcpServerRttMicroseconds 19900 22000 "RTT from the router itself, ${side:1:6}"
	rtt_becomes "$side == \"10.9.2.1\"" .tcpSmoothedRttMicroseconds 19900 22000 "the socket's own RTT, ${side:1:6}"
done

# ---- DNS

serve_dns 10.9.2.2,fd09:2::2 --address=/silent.test/ --server=/silent.test/192.0.2.77
ask client -b 10.9.1.2#4100 @10.9.2.2 www.example.org A
ask client -b fd09:1::2#4101 @fd09:2::2 Mixed.Example.org A
ask client -b 10.9.1.2#4102 +tcp @10.9.2.2 tcp.example.org A
ask client -b 10.9.1.2#4103 @10.9.2.2 nowhere.invalid AAAA
dns=".dnsQuestionName, .dnsQuestionType, .dnsAnsweredCount, .dnsErrorCount"
for direction in source destination; do
	flow_becomes ".${direction}TransportPort == 4100" "$dns" "www.example.org 1 1 0" "DNS, $direction: name and count"
	flow_becomes ".${direction}TransportPort == 4101" "$dns" "Mixed.Example.org 1 1 0" "DNS over IPv6, $direction"
	flow_becomes ".${direction}TransportPort == 4102" "$dns" "tcp.example.org 1 1 0" "DNS over TCP, $direction"
	latency=$(ctl show flows --json | jq "[.flows[] | .dnsMinimumLatencyMicroseconds // empty] | min")
	within "$latency" 19900 22000 "DNS, $direction: latency 20 ms"
done
flow_becomes ".destinationTransportPort == 4103" "$dns" "nowhere.invalid 28 1 0" "DNS: another type"
within "$(flow ".destinationTransportPort == 4103" .dnsResponseCode)" 2 5 "DNS: no such name, or refused"
ask client -b 10.9.1.2#4104 @10.9.2.99 unanswered.example.org A
wait_for 8 flow_is ".sourceTransportPort == 4104" .dnsUnansweredCount 1
is "$(flow ".sourceTransportPort == 4104" ".dnsUnansweredCount, .dnsQuestionName, .dnsLatencyMicroseconds")" \
	"1 unanswered.example.org 0" "DNS: a query without answer"

# ---- off means off

programs() { # names of the tracing programs that the daemon holds
	local id
	for id in $(bpf_objects "$daemon_pid" | sed -n 's/^prog_id //p'); do
		bpftool -j prog show id "$id" | jq -r 'select(.type == "tracing") | .name'
	done | sort | xargs
}
is "$(programs)" "kfree_skb tcp_probe" "both directions are metered: nothing hangs on net_dev_queue"
daemon_stop
ok $? "the daemon ends well"
sed -i 's/interfaces: .*/&\n  drops: false\n  dns: false\n  rtt: false/' "$work/bpflowd.yaml"
daemon_start router "$work/bpflowd.yaml"
is "$(programs)" "" "trackers that are off are not loaded"
daemon_stop
sed -i 's/dns: false/dns: true/; s/drops: false/direction: ingress/' "$work/bpflowd.yaml"
daemon_start router "$work/bpflowd.yaml"
queue_is_hooked() { [[ " $(programs) " == *" trace_net_packets "* ]]; }
wait_for 3 queue_is_hooked
ok $? "ingress only: net_dev_queue is needed" || diag "$(programs)"
ask router -b 10.9.2.1#4200 @10.9.2.2 own.example.org A
flow_becomes ".destinationTransportPort == 4200" "$dns" "own.example.org 1 1 0" "ingress only: the router's own query has its answer"
daemon_stop
ok $? "the daemon ends well again"
done_testing

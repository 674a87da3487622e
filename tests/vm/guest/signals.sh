#!/bin/bash
# SPDX-License-Identifier: MIT
# Drops by name, DNS latency and RTT on this kernel, over lines that netem makes 10 and 20 ms long. Emulated machines are
# slow: the best of some tries may take half as long again. Finer: tests/e2e/signals.sh.
. "$(dirname "$0")/../../lib.sh"
. "$(dirname "$0")/kernel.sh"
require_root nft tc socat dig dnsmasq

netns_add a b c
veth_pair a veth0 b veth1
veth_pair b out0 c in0
connect_ends a veth0 10.9.1.2 b veth1 10.9.1.1 24
connect_ends b out0 10.9.2.1 c in0 10.9.2.2 24
in_ns a ip route add default via 10.9.1.1
in_ns c ip route add default via 10.9.2.1
in_ns b sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
daemon_config "$work/bpflowd.yaml" <<-END
	metering:
	  interfaces: [veth1, out0, lo]
	  drain_interval: 100ms
	  active_timeout: 600s
	  idle_timeout: 300s
	collectors:
	  - {name: file, file: $work/flows.ipfix, template: full}
END
daemon_start b "$work/bpflowd.yaml"
check "attached" wait_for 5 attached out0

flows_are() { [[ $(flows "${@:1:4}") == "$5" ]]; }
becomes() { # KEY VALUE FIELD SUMMARY WANTED NAME; its status is that of the case
	wait_for 5 flows_are "${@:1:5}"
	is "$(flows "${@:1:4}")" "$5" "$6"
}
within() { # VALUE LOW HIGH NAME
	[[ $1 =~ ^[0-9]+$ && $1 -ge $2 && $1 -le $3 ]]
	ok $? "$4" || diag "got $1, wanted $2 to $3"
}

# ---- drops

if kernel_from 5 17; then
	udp() { # NAMESPACE COUNT HOST PORT
		local i
		for ((i = 0; i < $2; i++)); do
			in_ns "$1" bash -c "exec 3<>/dev/udp/$3/$4 && echo x >&3" 2>/dev/null
		done
	}
	dropped() { # PORT COUNT REASON NAME
		local port=(destinationTransportPort "$1")
		becomes "${port[@]}" droppedPacketDeltaCount add "$2" "$4"
		is "$(flows "${port[@]}" dropCauseName first)" "\"$3\"" "$4: by name"
	}
	udp a 4 10.9.1.1 7000
	dropped 7000 4 NO_SOCKET "closed port"
	in_ns b nft -f - <<-END
		table inet t {
			chain c { type filter hook forward priority 0; udp dport 7001 drop; }
		}
	END
	udp a 3 10.9.2.2 7001
	dropped 7001 3 NETFILTER_DROP "nft drop"
	in_ns b nft flush ruleset
	in_ns b tc qdisc add dev out0 clsact 2>/dev/null
	in_ns b tc filter add dev out0 egress protocol ip pref 5 bpf da bytecode '1,6 0 0 2'
	udp a 2 10.9.2.2 7002
	dropped 7002 2 TC_EGRESS "tc drop"
	in_ns b tc filter del dev out0 egress pref 5
fi

# ---- RTT and DNS

in_ns a tc qdisc add dev veth0 root netem delay 10ms
in_ns c tc qdisc add dev in0 root netem delay 20ms
spawn c "$work/tcp.log" socat TCP-LISTEN:8080,reuseaddr,fork EXEC:cat
listens() { in_ns c ss -Hltn 'sport = :8080' | grep -q .; }
wait_for 5 listens
# they stay open: flows of those that end are exported and gone
spawn a "$work/tcp.log" bash -c \
	'for n in 3 4 5 6 7; do eval "exec $n<>/dev/tcp/10.9.2.2/8080"; echo x >&$n; done; exec sleep 300'
there=(destinationTransportPort 8080)
becomes "${there[@]}" packetDeltaCount length 5 "five connections"
# a SYN that a slow machine sends twice has none
within "$(flows "${there[@]}" tcpServerRttMicroseconds length)" 3 5 "RTT to the server: on the flows"
within "$(flows "${there[@]}" tcpServerRttMicroseconds min)" 20000 30000 "RTT to the server: 20 ms"
within "$(flows "${there[@]}" tcpClientRttMicroseconds min)" 10000 15000 "RTT to the client: 10 ms"
becomes sourceTransportPort 8080 packetDeltaCount length 5 "the answers' flows are there"

spawn c "$work/dns.log" dnsmasq --keep-in-foreground --no-resolv --no-hosts --conf-file=/dev/null --pid-file= --user=root \
	--listen-address=10.9.2.2 --bind-interfaces --address=/example.org/192.0.2.1
wait_for 5 udp_bound c 53
for port in 4101 4102 4103; do
	in_ns a dig +tries=1 +time=3 -b "10.9.1.2#$port" @10.9.2.2 www.example.org A >"$work/dig" || diag <"$work/dig"
done
asked=(destinationTransportPort 53)
becomes "${asked[@]}" dnsAnsweredCount add 3 "DNS: three answers"
is "$(flows "${asked[@]}" dnsQuestionName first)" '"www.example.org"' "DNS: the name"
within "$(flows "${asked[@]}" dnsMinimumLatencyMicroseconds min)" 20000 30000 "DNS: 20 ms"

# what the daemon itself does is no traffic (tests/e2e/idle.sh)
show_flows() { ctl show flows --json >"$work/flows"; }
check "flows are shown" show_flows
is "$(grep -c '"ethernetType": 4,' "$work/flows")" 0 "no drops of its own on lo"
check "SIGTERM ends it with status 0" daemon_stop
done_testing

#!/bin/bash
# SPDX-License-Identifier: MIT
# Count once on a real router: every packet in one record, with both its interfaces. Routed, sent, delivered; NAT both
# ways; routes by source, mark and ToS; hairpin, several next hops, black holes; by tcx and by clsact.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/once_lib.sh"
require_root jq nft tcpdump

router_make
in_ns r ip route add 10.65.0.0/16 nexthop via 10.2.0.2 nexthop via 10.3.0.2
set_sysctl r net/ipv4/fib_multipath_hash_policy 1
in_ns r ip route add blackhole 10.66.0.0/16
in_ns r ip route add table 100 default via 10.3.0.2
in_ns r ip route add table 101 blackhole default
in_ns r ip rule add from 10.16.8.0/24 table 100
in_ns r ip rule add fwmark 7 table 100
in_ns r ip rule add tos 0x10 from 10.16.10.0/24 table 101
in_ns r nft -f - <<-END || bail "nft"
	table ip t {
		chain marks { type filter hook prerouting priority mangle; ip saddr 10.16.9.0/24 meta mark set 7; }
		chain pre { type nat hook prerouting priority dstnat;
			ip daddr 10.98.0.1 dnat to 10.64.0.9
			ip daddr 10.97.0.1 dnat to 10.16.99.9
		}
		chain post { type nat hook postrouting priority srcnat;
			oifname wan0 ip saddr 10.16.11.0/24 masquerade
			oifname wan0 ip saddr 10.1.0.2 masquerade
		}
		chain silent { type filter hook input priority filter; udp dport 9 drop; }
		chain wall { type filter hook forward priority filter; ip saddr 10.16.12.0/24 drop; }
	}
END

# A TCP connection that is masqueraded: its replies come to the router's address. Nothing else uses these ends.
masqueraded_stream() {
	local server
	spawn wan "$work/socat.log" socat TCP4-LISTEN:5001,reuseaddr EXEC:cat
	server=$spawned
	wait_for 5 listens wan 5001
	head -c 300000 /dev/zero | in_ns lan socat -t 5 - TCP4:10.2.0.2:5001 | wc -c >"$work/echoed"
	wait_for 5 gone "$server"
}

listens() { in_ns "$1" ss -Hltn "sport = :$2" | grep -q .; }

all_cases() {
	local n
	from_lan 10.16.1.1 10.63.0.1 1000 10
	from_lan 10.16.2.1 10.63.0.1 1000 10 --proto tcp
	from_lan 10.16.3.1 10.63.0.1 100 1 --proto icmp
	from_lan fd10::1 fd63::1 1000 10
	from_lan fd10::2 fd63::1 1000 10 --proto tcp
	from_lan fd10::3 fd63::1 100 1 --proto icmp
	from_lan fd10::4 fd64::1 1000 10
	from_lan 10.16.4.1 10.63.0.1 1000 1 --proto 47
	from_lan 10.16.7.1 10.64.0.1 1000 10
	from_lan 10.16.8.1 10.63.0.1 1000 10
	from_lan 10.16.9.1 10.63.0.1 1000 10
	# the same 5-tuple by two ways, one of which leads nowhere
	for n in 1 2 3 4 5; do
		from_lan 10.16.10.1 10.63.0.1 20 1 --tos 0x10
		from_lan 10.16.10.1 10.63.0.1 20 1
	done
	from_lan 10.16.11.1 10.63.0.1 1000 10
	from_lan 10.16.12.1 10.63.0.1 1000 10
	from_lan 10.16.13.1 10.98.0.1 1000 10
	from_lan 10.16.14.1 10.97.0.1 1000 10
	from_lan 10.16.15.1 10.65.0.1 2000 200
	from_lan 10.16.16.1 10.66.0.1 100 10
	from_lan 10.16.17.1 10.1.0.1 1000 10
	# from the router itself, and from the other side
	send r wan0 --dst-mac "$(mac_of wan w0)" --src 10.16.18.1 --dst 10.63.0.1 --packets 1000 --flows 10
	count_sent 10.16.18.1
	send wan w0 --dst-mac "$(mac_of r wan0)" --src 10.16.19.1 --dst 10.16.99.1 --packets 1000 --flows 10
	count_sent 10.16.19.1
	send wan w0 --dst-mac "$(mac_of r wan0)" --src fd10::19 --dst fd10::99 --packets 1000 --flows 10
	count_sent fd10::19
}

# 10.65.0.1 by flow: "source ports interface"
tap_ways() { # INTERFACE
	spawn r "$work/way.$1" tcpdump -nn -l -Q out -i "$1" 'udp and dst host 10.65.0.1'
	wait_for 10 grep -q 'listening on' "$work/way.$1"
}

ways() { sed -n 's/.* IP \([0-9.]*\)\.\([0-9]*\) > [0-9.]*\.\([0-9]*\): .*/\1 \2-\3 '"$1"'/p' "$work/way.$1"; }

wrong_ways() {
	{ ways wan0 && ways wan1; } | awk '
		NR == FNR { way[$1 " " $2] = "lan0/" $3; next }
		$2 == "10.65.0.1" { n++; if ($6 != way[$1 " " $4]) print $1, $4, $6, "really", way[$1 " " $4] }
		END { if (n < 200) print "only", n }' - "$work/records"
	# nor does metering change the way of a flow from packet to packet
	{ ways wan0 && ways wan1; } | sort -u | cut -d' ' -f1,2 | uniq -d
}

table() { # MODE
	sent_of=()
	use_mode "$1"
	meter '["*", "!lo"]' </dev/null
	is "$(ctl show interfaces --json | jq -r '.interfaces[] | select(.name == "wan1") | "\(.ingress) \(.egress)"')" "$1 $1" \
		"$1: attached as wanted"
	tap_ways wan0
	tap_ways wan1
	all_cases
	before=$(statistic lan l0 rx.packets)
	tx=$(statistic lan l0 tx.packets)
	masqueraded_stream
	stream_out=$(($(statistic lan l0 tx.packets) - tx))
	stream_in=$(($(statistic lan l0 rx.packets) - before))
	is "$(cat "$work/echoed")" 300000 "$1: a masqueraded connection works"
	meter_end "$1"
	for n in 1 2 3 4 11; do
		row "$1: routed, metered on both sides ($n)" "10.16.$n.1" lan0/wan0 in
	done
	for n in 1 2 3; do
		row "$1: routed, IPv6 ($n)" "fd10::$n" lan0/wan0 in
	done
	row "$1: routed to the other uplink" 10.16.7.1 lan0/wan1 in
	row "$1: routed to the other uplink, IPv6" fd10::4 lan0/wan1 in
	row "$1: by rule, source" 10.16.8.1 lan0/wan1 in
	row "$1: by rule, mark" 10.16.9.1 lan0/wan1 in
	is "$(said '10\.16\.10\.1' | sed 's/: .*//')" 200 "$1: by rule, ToS: all counted"
	is "$(awk '$1 == "10.16.10.1" { print $10, $6 }' "$work/records" | sort)" "$(printf '100 lan0/0\n100 lan0/wan0')" \
		"$1: by rule, ToS: what goes nowhere has no way, the other has its own"
	row "$1: dropped by a firewall" 10.16.12.1 lan0/0 in
	row "$1: destination NAT to another uplink" 10.16.13.1 lan0/wan1 in
	row "$1: hairpin" 10.16.14.1 lan0/lan0 in
	is "$(said '10\.16\.15\.1' | sed 's/:.*//')" 2000 "$1: two next hops: all counted"
	is "$(wrong_ways | head)" "" "$1: two next hops: each flow's own"
	row "$1: no route" 10.16.16.1 lan0/0 in
	row "$1: delivered" 10.16.17.1 lan0/0 in
	row "$1: sent by this host" 10.16.18.1 0/wan0 out
	row "$1: from the other side" 10.16.19.1 wan0/lan0 in
	row "$1: from the other side, IPv6" fd10::19 wan0/lan0 in
	is "$(awk '$1 == "10.1.0.2" { print $2, $6, $5, $10 }' "$work/records")" "10.2.0.2 lan0/wan0 in $stream_out" \
		"$1: masqueraded: addresses before NAT, both interfaces, each packet"
	is "$(awk '$1 == "10.2.0.2" { print $2, $6, $5, $10 }' "$work/records")" "10.2.0.1 wan0/lan0 in $stream_in" \
		"$1: replies to what was masqueraded, too"
}

offload_off() { # the streams' packets are those of the line
	offloads lan l0 off tso gso gro
	offloads r lan0 off tso gso gro
	offloads r wan0 off tso gso gro
	offloads wan w0 off tso gso gro
}

one_side() {
	sent_of=()
	use_mode tcx
	meter '[wan0]' </dev/null
	from_lan 10.16.1.1 10.63.0.1 1000 10
	from_lan fd10::1 fd63::1 1000 10 --proto tcp
	from_lan 10.16.7.1 10.64.0.1 1000 10
	meter_end "one side"
	row "only B metered: at its egress" 10.16.1.1 lan0/wan0 out
	row "only B metered: at its egress, IPv6" fd10::1 lan0/wan0 out
	is "$(said '10\.16\.7\.1')" 0 "only B metered: nothing of what goes elsewhere"

	sent_of=()
	meter '["*", "!lo"]' <<<"count: per_interface"
	from_lan 10.16.1.1 10.63.0.1 1000 10
	from_lan fd10::1 fd63::1 1000 10 --proto tcp
	meter_end "per interface"
	is "$(awk '$1 == "10.16.1.1" { n[$6 " " $5 " " $15] += $10 } END { for (k in n) print k, n[k] }' "$work/records" | sort)" \
		"$(printf 'lan0/wan0 in lan0 1000\nlan0/wan0 out wan0 1000')" "per interface: on each, once"
	is "$(said fd10::1)" "2000: lan0/wan0 in, lan0/wan0 out" "per interface: IPv6"

	meter '[lo]' </dev/null
	in_ns r ping -q -c 20 -i 0.01 127.0.0.1 >"$work/ping"
	meter_end "loopback"
	is "$(said '127\.0\.0\.1')" "40: 0/lo out" "loopback: what goes out by lo and comes in by it is one packet"
}

offload_off
table tcx
table clsact
one_side
done_testing

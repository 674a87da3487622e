#!/bin/bash
# SPDX-License-Identifier: MIT
# A TCP stream in super-packets (GSO at the sender, GRO at the receiver): packets and octets are those of the wire, which
# a tap of the peer sees one by one.
. "$(dirname "$0")/../lib.sh"
require_root jq ethtool socat ss tcpdump tshark

netns_add a b
veth_pair a veth0 b veth1

connect_ends a veth0 10.64.0.1 b veth1 10.64.0.2 24
connect_ends a veth0 fd00::1 b veth1 fd00::2 64

stream() { # NAME NETWORK TARGET METERED-NAMESPACE INTERFACE WIRE-NAMESPACE WIRE-INTERFACE
	local dropped receiver
	daemon_config "$work/bpflowd.yaml" <<-END
		metering:
		  interfaces: [$5]
		collectors:
		  - {name: strict, address: 127.0.0.1, port: 4739}
	END
	strict_start "$4" udp 4739
	daemon_start "$4" "$work/bpflowd.yaml"
	dropped=$(dropped)
	capture_start "$6" "$7" "tcp port 5001" -s 96
	listen
	check "$1: the stream arrives" in_ns a socat -u "OPEN:$work/payload" "$3:5001"
	wait_for 10 gone "$receiver"
	check "$1: unharmed" cmp "$work/payload" "$work/received"
	wait_for 5 closed
	check "$1: SIGTERM ends it with status 0" daemon_stop
	wait_for 5 captured_all
	capture_stop
	is "$(dropped)" "$dropped" "$1: the line dropped nothing"
	strict_stop --src "$2"
	is "$(strict packets) $(strict octets)" "$(wire)" "$1: packets and octets are those of the wire"
	is "$(strict flows)" 2 "$1: two flows, one each way"
}

# The tap is on a side where the stream is single packets.
wire() { # "packets octets", IP layer
	tshark -r "$work/capture.pcap" -T fields -e ip.len -e ipv6.plen 2>/dev/null |
		awk '{ n++; octets += $1 + (NF && $0 ~ /^\t/ ? 40 : 0) } END { printf "%d %d\n", n, octets }'
}

dropped() { echo "$(statistic a veth0 tx.dropped) $(statistic b veth1 rx.dropped) $(statistic b veth1 tx.dropped)"; }

# The last packet of a stream is in the file.
captured_all() { tshark -r "$work/capture.pcap" -Y tcp.flags.fin==1 -T fields -e frame.number 2>/dev/null | wc -l | grep -qx '[2-9]'; }

# The window stays below the 256 packets that a veth holds: what it drops the tap has seen and the hook has not.
listen() {
	rm -f "$work/received"
	spawn b "$work/socat.log" socat -u TCP6-LISTEN:5001,ipv6only=0,reuseaddr,rcvbuf=65536 "OPEN:$work/received,creat"
	receiver=$spawned
	wait_for 5 listening
}

listening() { in_ns b ss -Hltn "sport = :5001" | grep -q .; }
closed() { ! in_ns b ss -Htn "sport = :5001" | grep -q .; }

# Without super-packets the test would prove nothing. A tap shows them on their way in behind GRO, but on their way out
# only behind the cut: there it looks while the device still takes them whole.
sees_super_packets() { # NAME NAMESPACE INTERFACE in|out
	local tap receiver
	rm -f "$work/tcpdump"
	spawn "$2" "$work/tcpdump" timeout 20 tcpdump -nn -Q "$4" -i "$3" -c 1 'tcp port 5001 and greater 3000'
	tap=$spawned
	wait_for 5 grep -q 'listening on' "$work/tcpdump"
	listen
	in_ns a socat -u "OPEN:$work/payload" TCP4:10.64.0.2:5001
	wait "$tap"
	ok $? "$1: there are super-packets to count"
	forget "$tap"
	wait_for 10 gone "$receiver"
}

head -c 20000000 /dev/urandom >"$work/payload"

# sender metered: super-packets pass its egress hook and are cut up before the device
offloads a veth0 on gso tso
offloads b veth1 off gro
sees_super_packets "egress, GSO" a veth0 out
offloads a veth0 off tso
stream "egress, GSO, ipv4" 10.64.0.0/24 TCP4:10.64.0.2 a veth0 b veth1
stream "egress, GSO, ipv6" fd00::/64 'TCP6:[fd00::2]' a veth0 b veth1

# receiver metered: single packets on the line, put together before its ingress hook
offloads b veth1 on gro
sees_super_packets "ingress, GRO" b veth1 in
stream "ingress, GRO, ipv4" 10.64.0.0/24 TCP4:10.64.0.2 b veth1 a veth0
stream "ingress, GRO, ipv6" fd00::/64 'TCP6:[fd00::2]' b veth1 a veth0
done_testing

#!/bin/bash
# SPDX-License-Identifier: MIT
# A TCP stream in super-packets (GSO at the sender, GRO at the receiver): packets and octets are those of the wire, as
# the device counted them where the super-packets are cut up.
. "$(dirname "$0")/../lib.sh"
require_root jq ethtool socat ss tcpdump

netns_add a b
veth_pair a veth0 b veth1

connect_ends a veth0 10.64.0.1 b veth1 10.64.0.2 24
connect_ends a veth0 fd00::1 b veth1 fd00::2 64

# Packets and octets that crossed a device. Of a metered interface or its peer: where the stream is single packets.
wire() { # NAMESPACE INTERFACE
	in_ns "$1" ip -j -s link show dev "$2" |
		jq -r '.[0].stats64 | (.rx.packets + .tx.packets) as $n | "\($n) \(.rx.bytes + .tx.bytes - 14 * $n)"'
}

# The kernel tells multicast routers of its new addresses some time in the first seconds.
quiet() {
	local now=$EPOCHSECONDS seen
	seen=$(wire a veth0)
	until [[ $((EPOCHSECONDS - now)) -ge 3 ]]; do
		[[ $(wire a veth0) == "$seen" ]] || return 1
		sleep 0.1
	done
}

stream() { # NAME NETWORK TARGET METERED-NAMESPACE INTERFACE WIRE-NAMESPACE WIRE-INTERFACE
	local before after receiver
	daemon_config "$work/bpflowd.yaml" <<-END
		metering:
		  interfaces: [$5]
		collectors:
		  - {name: strict, address: 127.0.0.1, port: 4739}
	END
	strict_start "$4" udp 4739
	daemon_start "$4" "$work/bpflowd.yaml"
	read -ra before <<<"$(wire "$6" "$7")"
	listen
	check "$1: the stream arrives" in_ns a socat -u "OPEN:$work/payload" "$3:5001"
	wait_for 10 gone "$receiver"
	check "$1: unharmed" cmp "$work/payload" "$work/received"
	wait_for 5 closed
	check "$1: SIGTERM ends it with status 0" daemon_stop
	read -ra after <<<"$(wire "$6" "$7")"
	strict_stop --src "$2"
	is "$(strict packets)" "$((after[0] - before[0]))" "$1: packets are those of the wire"
	is "$(strict octets)" "$((after[1] - before[1]))" "$1: octets are those of the wire"
	is "$(strict flows)" 2 "$1: two flows, one each way"
}

listen() {
	rm -f "$work/received"
	spawn b "$work/socat.log" socat -u TCP6-LISTEN:5001,ipv6only=0,reuseaddr "OPEN:$work/received,creat"
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
wait_for 20 quiet
stream "egress, GSO, ipv4" 10.64.0.0/24 TCP4:10.64.0.2 a veth0 b veth1
stream "egress, GSO, ipv6" fd00::/64 'TCP6:[fd00::2]' a veth0 b veth1

# receiver metered: single packets on the line, put together before its ingress hook
offloads b veth1 on gro
sees_super_packets "ingress, GRO" b veth1 in
stream "ingress, GRO, ipv4" 10.64.0.0/24 TCP4:10.64.0.2 b veth1 a veth0
stream "ingress, GRO, ipv6" fd00::/64 'TCP6:[fd00::2]' b veth1 a veth0
done_testing

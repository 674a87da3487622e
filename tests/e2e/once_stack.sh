#!/bin/bash
# SPDX-License-Identifier: MIT
# Count once over devices that lie over others: a bridge over its ports, bridged and routed; macvlan; VLAN-tagged frames,
# the tag beside the packet or in it; tunnels, whose outer packets are the host's own.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/once_lib.sh"
require_root jq socat

router_make
veth_pair lan l1 r p1
veth_pair lan l2 r p2

# p1 and p2 under br0, which also routes.
bridge_make() {
	in_ns r ip link add br0 type bridge mcast_snooping 0 || bail "no bridge"
	in_ns r ip link set br0 addrgenmode none
	in_ns r ip link set p1 master br0
	in_ns r ip link set p2 master br0
	in_ns r ip link set br0 up
	in_ns r ip address add 10.4.0.1/24 dev br0
	in_ns r ip neighbour replace 10.4.0.2 lladdr "$(mac_of lan l1)" nud permanent dev br0
	in_ns r ip route add 10.69.0.0/16 via 10.4.0.2
	in_ns r bridge fdb replace "$(mac_of lan l1)" dev p1 master static
	in_ns r bridge fdb replace "$(mac_of lan l2)" dev p2 master static
}

by() { # INTERFACE DESTINATION-MAC SOURCE DESTINATION PACKETS [OPTIONS...]
	send lan "$1" --dst-mac "$2" --src "$3" --dst "$4" --packets "$5" --flows 10 "${@:6}"
	count_sent "$3"
}

physical() { # NAME SOURCE IN/OUT
	is "$(column "${2//./[.]}" 7)" "$3" "$1: the ports"
}

bridge_cases() { # MODE
	sent_of=()
	use_mode "$1"
	meter '["*", "!lo"]' </dev/null
	by l1 "$(mac_of lan l2)" 10.16.1.1 10.63.9.1 1000
	by l1 "$(mac_of lan l2)" fd10::1 fd63::9 1000
	by l1 "$(mac_of lan l2)" 10.16.2.1 10.63.9.1 1000 --vlan 5
	by l1 "$(mac_of lan l2)" 10.16.3.1 10.63.9.1 1000 --vlan 5 --vlan 6
	by l1 "$(mac_of r br0)" 10.16.4.1 10.63.0.1 1000
	by l1 "$(mac_of r br0)" fd10::4 fd63::1 1000
	from_lan 10.16.5.1 10.69.0.1 1000 10
	by l1 "$(mac_of r br0)" 10.16.6.1 10.4.0.1 1000
	send r br0 --dst-mac "$(mac_of lan l1)" --src 10.16.7.1 --dst 10.69.0.1 --packets 1000 --flows 10
	count_sent 10.16.7.1
	by l0 "$router_mac" 10.16.8.1 10.63.0.1 1000 --vlan 7
	by l0 "$router_mac" 10.16.9.1 10.63.0.1 1000 --vlan 7 --vlan 8
	meter_end "$1"
	row "$1: bridged" 10.16.1.1 br0/br0 in
	physical "$1: bridged" 10.16.1.1 p1/p2
	row "$1: bridged, IPv6" fd10::1 br0/br0 in
	row "$1: bridged, VLAN" 10.16.2.1 br0/br0 in
	is "$(column '10[.]16[.]2[.]1' 8) $(column '10[.]16[.]2[.]1' 9)" "5 0" "$1: bridged, VLAN: its id"
	row "$1: bridged, QinQ" 10.16.3.1 br0/br0 in
	physical "$1: bridged, QinQ" 10.16.3.1 p1/p2
	is "$(column '10[.]16[.]3[.]1' 8) $(column '10[.]16[.]3[.]1' 9)" "5 6" "$1: bridged, QinQ: both ids"
	row "$1: from a bridge, routed" 10.16.4.1 br0/wan0 in
	physical "$1: from a bridge, routed" 10.16.4.1 p1/wan0
	row "$1: from a bridge, routed, IPv6" fd10::4 br0/wan0 in
	row "$1: routed to a bridge" 10.16.5.1 lan0/br0 in
	physical "$1: routed to a bridge" 10.16.5.1 lan0/p1
	row "$1: delivered from a bridge" 10.16.6.1 br0/0 in
	row "$1: sent through a bridge" 10.16.7.1 0/br0 out
	physical "$1: sent through a bridge" 10.16.7.1 0/p1
	row "$1: tagged, nobody's VLAN" 10.16.8.1 lan0/0 in
	is "$(column '10[.]16[.]8[.]1' 8) $(column '10[.]16[.]8[.]1' 9)" "7 0" "$1: tagged, nobody's VLAN: its id"
	row "$1: QinQ, nobody's VLAN" 10.16.9.1 lan0/0 in
	is "$(column '10[.]16[.]9[.]1' 8) $(column '10[.]16[.]9[.]1' 9)" "7 8" "$1: QinQ, nobody's VLAN: both ids"

	# the bridge alone is metered, and only one port
	meter '[br0]' </dev/null
	by l1 "$(mac_of r br0)" 10.16.10.1 10.63.0.1 1000
	from_lan 10.16.11.1 10.69.0.1 1000 10
	meter_end "$1: br0 alone"
	row "$1: bridge without its ports: in" 10.16.10.1 br0/0 in # wan0 has no hook that could tell
	row "$1: bridge without its ports: out" 10.16.11.1 lan0/br0 out
	meter '[br0, p2, wan0]' </dev/null
	by l1 "$(mac_of r br0)" 10.16.12.1 10.63.0.1 1000
	by l2 "$(mac_of r br0)" 10.16.13.1 10.63.0.1 1000
	meter_end "$1: br0 and a port"
	row "$1: bridge and one port: by the other" 10.16.12.1 br0/wan0 in
	row "$1: bridge and one port: by it" 10.16.13.1 br0/wan0 in
}

# Frames with a tag in the packet: a sender that puts it there, a device that does not take it off. What reaches the
# hook is the tag beside the packet all the same; on egress the daemon's own host may send it in band.
macvlan_case() {
	in_ns r ip link add mv0 link lan0 type macvlan mode bridge 2>/dev/null ||
		{ skip "kernel: no macvlan" "macvlan" && return; }
	in_ns r ip link set mv0 addrgenmode none
	in_ns r ip link set mv0 up
	sent_of=()
	meter '["*", "!lo"]' </dev/null
	by l0 "$(mac_of r mv0)" 10.16.20.1 10.63.0.1 1000
	meter_end macvlan
	row "macvlan: at the device under it" 10.16.20.1 lan0/wan0 in
	in_ns r ip link delete mv0
}

bond_case() {
	in_ns r ip link add bond0 type bond 2>/dev/null ||
		{ skip "kernel: no bonding; tests/unit/test_interfaces.c has its topology" "bond" && return; }
	veth_pair lan b1 r s1
	in_ns r ip link set s1 down
	in_ns r ip link set s1 master bond0
	in_ns r ip link set bond0 up
	sent_of=()
	meter '["*", "!lo"]' </dev/null
	by b1 "$(mac_of r bond0)" 10.16.21.1 10.63.0.1 1000
	meter_end bond
	row "bond: at its port" 10.16.21.1 bond0/wan0 in
	physical "bond: at its port" 10.16.21.1 s1/wan0
}

# A tunnel to wan: inner packets go by its device, outer ones are sent by this host. What comes back is delivered, then
# comes in by the tunnel.
tunnel_cases() { # KIND OUTER-LOCAL OUTER-REMOTE NUMBER
	local n=$4 mac
	mac=$(mac_of wan w0)
	in_ns r ip link add tun$n type vxlan id "$n" local "$2" remote "$3" dstport 4789 2>"$work/ip.err" ||
		{ skip "kernel: no vxlan" "$1" && return; }
	in_ns wan ip link add tun$n type vxlan id "$n" local "$3" remote "$2" dstport 4789
	veth_end r tun$n
	veth_end wan tun$n
	connect_ends r tun$n "10.$n.0.1" wan tun$n "10.$n.0.2" 24
	in_ns r ip route add "10.1$n.0.0/16" via "10.$n.0.2"
	sent_of=()
	meter '["*", "!lo"]' </dev/null
	from_lan 10.16.30.1 "10.1$n.0.1" 1000 10
	send wan tun$n --dst-mac "$(mac_of r tun$n)" --src 10.16.31.1 --dst 10.16.99.1 --packets 1000 --flows 10
	count_sent 10.16.31.1
	meter_end "$1"
	row "$1: inner, out by the tunnel" 10.16.30.1 lan0/tun$n in
	row "$1: inner, in by the tunnel" 10.16.31.1 tun$n/lan0 in
	is "$(said "$2")" "1000: 0/wan0 out" "$1: what the tunnel wraps is sent by this host"
	is "$(said "$3")" "1000: wan0/0 in" "$1: what it unwraps is delivered to this host"
	in_ns r ip link delete tun$n
	in_ns wan ip link delete tun$n
}

# A tunnel of a program: packets without link header.
tun_case() {
	[[ -c /dev/net/tun ]] || { skip "kernel: no tun" "tun" && return; }
	spawn wan "$work/socat.log" socat UDP4-LISTEN:6000 TUN:10.60.0.2/24,iff-up,tun-name=tun0,iff-no-pi
	wait_for 5 udp_bound wan 6000
	spawn r "$work/socat.log" socat UDP4:10.2.0.2:6000 TUN:10.60.0.1/24,iff-up,tun-name=tun0,iff-no-pi
	wait_for 5 in_ns r ip link show tun0 || { skip "socat: no TUN" "tun" && return; }
	in_ns r ip route add 10.160.0.0/16 dev tun0
	sent_of=()
	meter '["*", "!lo"]' </dev/null
	is "$(ctl show interfaces --json | jq '.interfaces[] | select(.name == "tun0") | .metered')" true "tun: metered"
	from_lan 10.16.32.1 10.160.0.1 200 10 --rate 2000
	in_ns r ping -q -c 20 -i 0.01 -I tun0 10.60.0.2 >"$work/ping" 2>&1
	in_ns lan ping -q -c 20 -i 0.01 10.60.0.2 >"$work/ping2" 2>&1
	meter_end tun
	row "tun: inner, routed" 10.16.32.1 lan0/tun0 in
	is "$(awk '$1 == "10.60.0.1" && $2 == "10.60.0.2" { print $6, $5, $10 }' "$work/records")" "0/tun0 out 20" \
		"tun: sent by this host"
	is "$(awk '$1 == "10.60.0.2" && $2 == "10.60.0.1" { print $6, $5, $10 }' "$work/records")" "tun0/0 in 20" \
		"tun: delivered"
	is "$(awk '$1 == "10.1.0.2" && $2 == "10.60.0.2" { print $6, $5, $10 }' "$work/records")" "lan0/tun0 in 20" \
		"tun: routed to it"
	is "$(said '10[.]2[.]0[.]1')" "240: 0/wan0 out" "tun: what the program sends is this host's"
}

bridge_make
bridge_cases tcx
bridge_cases clsact
use_mode tcx
macvlan_case
bond_case
tunnel_cases "vxlan" 10.2.0.1 10.2.0.2 50
tunnel_cases "vxlan over IPv6" fd02::1 fd02::2 51
for kind in gre ipip sit; do
	in_ns r ip link add probe type $kind local 10.2.0.1 remote 10.2.0.2 2>/dev/null ||
		skip "kernel: no $kind" "$kind"
	in_ns r ip link delete probe 2>/dev/null
done
tun_case
done_testing

#!/bin/bash
# SPDX-License-Identifier: MIT
# Count once over devices that need modules: 802.1Q over a metered parent, two tags, a bond over its ports, tunnels. The
# rest of the table: tests/e2e/once_*.sh.
. "$(dirname "$0")/../../lib.sh"
. "$(dirname "$0")/../../e2e/once_lib.sh"
. "$(dirname "$0")/kernel.sh"
require_root jq

router_make

by() { # INTERFACE DESTINATION-MAC SOURCE DESTINATION [OPTIONS...]
	send lan "$1" --dst-mac "$2" --src "$3" --dst "$4" --packets 500 --flows 10 "${@:5}"
	count_sent "$3"
}
ids() { echo "$(column "${1//./[.]}" 8) $(column "${1//./[.]}" 9)"; } # SOURCE: outer and inner VLAN

# ---- VLAN devices over lan0, which is metered too

in_ns r ip link add link lan0 name lan0.5 type vlan id 5 || bail "no 802.1Q"
in_ns r ip link add link lan0 name lan0.s9 type vlan proto 802.1ad id 9
in_ns r ip link add link lan0.s9 name lan0.s9.7 type vlan id 7
for device in lan0.5 lan0.s9 lan0.s9.7; do
	veth_end r "$device"
	set_sysctl r "net/ipv4/conf/$device/rp_filter" 0
done
in_ns r ip route add 10.165.0.0/16 dev lan0.5
in_ns r ip neighbour replace 10.165.0.1 lladdr "$(mac_of lan l0)" nud permanent dev lan0.5
meter '["*", "!lo"]' </dev/null
by l0 "$router_mac" 10.16.1.1 10.63.0.1
by l0 "$router_mac" 10.16.2.1 10.63.0.1 --vlan 5
by l0 "$router_mac" 10.16.3.1 10.63.0.1 --vlan 6
send wan w0 --dst-mac "$(mac_of r wan0)" --src 10.16.4.1 --dst 10.165.0.1 --packets 500 --flows 1
count_sent 10.16.4.1
meter_end vlan
row "untagged: the parent" 10.16.1.1 lan0/wan0 in
row "802.1Q: the VLAN device, counted once" 10.16.2.1 lan0.5/wan0 in
is "$(ids 10.16.2.1)" "5 0" "802.1Q: its id"
row "802.1Q: nobody's id" 10.16.3.1 lan0/0 in
row "802.1Q: out by the VLAN device" 10.16.4.1 wan0/lan0.5 in

sent_of=()
meter '[lan0.5, wan0]' </dev/null
by l0 "$router_mac" 10.16.5.1 10.63.0.1 --vlan 5
meter_end "vlan alone"
row "802.1Q: without its parent" 10.16.5.1 lan0.5/wan0 in

# ---- a bond: counted at its port, named by itself

veth_pair lan b1 r s1
in_ns r ip link add bond0 type bond mode active-backup miimon 100 || bail "no bond"
in_ns r ip link set s1 down
in_ns r ip link set s1 master bond0
veth_end r bond0
in_ns r ip address add 10.5.0.1/24 dev bond0
in_ns r ip neighbour replace 10.5.0.2 lladdr "$(mac_of lan b1)" nud permanent dev bond0
in_ns r ip route add 10.166.0.0/16 via 10.5.0.2
wait_for 10 carrier r bond0
sent_of=()
meter '["*", "!lo"]' </dev/null
by b1 "$(mac_of r bond0)" 10.16.21.1 10.63.0.1
from_lan 10.16.22.1 10.166.0.1 500 10
meter_end bond
row "bond: in" 10.16.21.1 bond0/wan0 in
is "$(column '10[.]16[.]21[.]1' 7)" s1/wan0 "bond: in by its port"
row "bond: out" 10.16.22.1 lan0/bond0 in
is "$(column '10[.]16[.]22[.]1' 7)" lan0/s1 "bond: out by its port"

# ---- tunnels: what they wrap is sent by this host

tunnel() { # KIND NUMBER
	in_ns r ip link add "t$2" type "$1" local 10.2.0.1 remote 10.2.0.2 2>"$work/ip.err" ||
		{ skip "kernel: no $1" "$1" && return; }
	in_ns wan ip link add "t$2" type "$1" local 10.2.0.2 remote 10.2.0.1
	in_ns r ip link set "t$2" up
	in_ns wan ip link set "t$2" up
	in_ns r ip route add "10.1$2.0.0/16" dev "t$2"
	in_ns wan ip route replace 10.1.0.0/24 dev "t$2"
	in_ns wan ip address add "10.1$2.0.1/16" dev "t$2"
	sent_of=()
	meter '["*", "!lo"]' </dev/null
	from_lan 10.16.30.1 "10.1$2.0.9" 500 10
	in_ns wan ping -q -c 20 -i 0.01 -I "10.1$2.0.1" 10.1.0.2 >"$work/ping" 2>&1
	meter_end "$1"
	row "$1: inner, out by the tunnel" 10.16.30.1 "lan0/t$2" in
	is "$(said "10[.]1$2[.]0[.]1")" "20: t$2/lan0 in" "$1: inner, in by the tunnel" || diag <"$work/records"
	is "$(said '10[.]2[.]0[.]1')" "520: 0/wan0 out" "$1: what it wraps is sent by this host"
	in_ns r ip link delete "t$2"
	in_ns wan ip link delete "t$2"
}

tunnel gre 50
tunnel ipip 51
done_testing

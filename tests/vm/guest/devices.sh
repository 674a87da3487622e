#!/bin/bash
# SPDX-License-Identifier: MIT
# Count once over devices that need modules: 802.1Q over a metered parent, two tags (802.1ad), a bond over its ports,
# tunnels. The rest of the table: tests/e2e/once_*.sh.
. "$(dirname "$0")/../../lib.sh"
. "$(dirname "$0")/../../e2e/once_lib.sh"
. "$(dirname "$0")/kernel.sh"
require_root jq

router_make
in_ns lan ip route add default via fd01::1

by() { # INTERFACE DESTINATION-MAC SOURCE DESTINATION [OPTIONS...]
	send lan "$1" --dst-mac "$2" --src "$3" --dst "$4" --packets 500 --flows 10 "${@:5}"
	count_sent "$3"
}
from_wan() { # SOURCE DESTINATION
	send wan w0 --dst-mac "$(mac_of r wan0)" --src "$1" --dst "$2" --packets 500 --flows 10
	count_sent "$1"
}
ids() { echo "$(column "${1//./[.]}" 8) $(column "${1//./[.]}" 9)"; } # SOURCE: outer and inner VLAN

# ---- VLAN devices over lan0, which is metered too; the other end takes two tags off as well

vlan() { # NAMESPACE PARENT NAME [OPTIONS...]
	in_ns "$1" ip link add link "$2" name "$3" type vlan "${@:4}" || bail "no VLAN device"
	veth_end "$1" "$3"
	set_sysctl "$1" "net/ipv4/conf/$3/rp_filter" 0
}
vlan r lan0 lan0.5 id 5
vlan r lan0 lan0.s9 proto 802.1ad id 9
vlan r lan0.s9 lan0.s9.7 id 7
vlan lan l0 l0.s9 proto 802.1ad id 9
vlan lan l0.s9 l0.s9.7 id 7
connect_ends lan l0.s9.7 10.7.0.2 r lan0.s9.7 10.7.0.1 24
in_ns r ip route add 10.165.0.0/16 dev lan0.5
in_ns r ip neighbour replace 10.165.0.1 lladdr "$(mac_of lan l0)" nud permanent dev lan0.5
in_ns r ip route add 10.167.0.0/16 via 10.7.0.2

vlan_traffic() {
	by l0 "$router_mac" 10.16.1.1 10.63.0.1
	by l0 "$router_mac" 10.16.2.1 10.63.0.1 --vlan 5
	by l0 "$router_mac" 10.16.3.1 10.63.0.1 --vlan 6
	from_wan 10.16.4.1 10.165.0.1
	by l0 "$router_mac" 10.16.6.1 10.63.0.1 --vlan 9 --vlan 7
	by l0 "$router_mac" fd10::6 fd63::1 --vlan 9 --vlan 7
	by l0 "$router_mac" 10.16.7.1 10.63.0.1 --vlan 9 --vlan 8
	from_wan 10.16.8.1 10.167.0.1
	# two tags that the sender's own devices put on
	in_ns lan ping -q -c 20 -i 0.01 -I 10.7.0.2 10.7.0.1 >"$work/ping" 2>&1
}

vlan_rows() {
	row "untagged: the parent" 10.16.1.1 lan0/wan0 in
	row "802.1Q: the VLAN device, counted once" 10.16.2.1 lan0.5/wan0 in
	is "$(ids 10.16.2.1)" "5 0" "802.1Q: its id"
	row "802.1Q: nobody's id" 10.16.3.1 lan0/0 in
	row "802.1Q: out by the VLAN device" 10.16.4.1 wan0/lan0.5 in
	row "QinQ: the upper device, counted once" 10.16.6.1 lan0.s9.7/wan0 in
	is "$(ids 10.16.6.1)" "9 7" "QinQ: both ids"
	row "QinQ, IPv6: the upper device, counted once" fd10::6 lan0.s9.7/wan0 in
	is "$(ids fd10::6)" "9 7" "QinQ, IPv6: both ids"
	row "QinQ: nobody's inner id" 10.16.7.1 lan0.s9/0 in
	is "$(ids 10.16.7.1)" "9 8" "QinQ: nobody's inner id: both ids"
	row "QinQ: out, known by the outer id" 10.16.8.1 wan0/lan0.s9 in
	is "$(said '10[.]7[.]0[.]2')" "20: lan0.s9.7/0 in" "QinQ: delivered"
	is "$(said '10[.]7[.]0[.]1')" "20: 0/lan0.s9.7 out" "QinQ: sent by this host"
}

# ---- a bond: counted at its port, named by itself

veth_pair lan b1 r s1
in_ns r ip link add bond0 type bond mode active-backup miimon 100 || bail "no bond"
in_ns r ip link set s1 down
in_ns r ip link set s1 master bond0
veth_end r bond0
in_ns r ip address add 10.5.0.1/24 dev bond0
in_ns r ip neighbour replace 10.5.0.2 lladdr "$(mac_of lan b1)" nud permanent dev bond0
in_ns r ip route add 10.166.0.0/16 via 10.5.0.2

bond_traffic() {
	by b1 "$(mac_of r bond0)" 10.16.21.1 10.63.0.1
	from_lan 10.16.22.1 10.166.0.1 500 10
}

bond_rows() {
	row "bond: in" 10.16.21.1 bond0/wan0 in
	is "$(column '10[.]16[.]21[.]1' 7)" s1/wan0 "bond: in by its port"
	row "bond: out" 10.16.22.1 lan0/bond0 in
	is "$(column '10[.]16[.]22[.]1' 7)" lan0/s1 "bond: out by its port"
}

# ---- tunnels: what they wrap is sent by this host, what they unwrap is delivered to it

tunnels=()
tunnel_end() { # NAMESPACE DEVICE INNER-ADDRESS INNER-FAMILY
	veth_end "$1" "$2"
	if [[ $4 == 4 ]]; then # no multicast reports
		set_sysctl "$1" "net/ipv6/conf/$2/disable_ipv6" 1
		in_ns "$1" ip address add "$3/24" dev "$2"
	else
		in_ns "$1" ip address add "$3/64" dev "$2" nodad
	fi
}

tunnel() { # KIND NUMBER OUTER-PROTOCOL INNER-FAMILY OUTER-FAMILY
	local here=10.2.0.1 there=10.2.0.2 lan=10.1.0.0/24 inner=10.$2.0.
	[[ $5 == 4 ]] || { here=fd02::1 && there=fd02::2; }
	[[ $4 == 4 ]] || { lan=fd01::/64 && inner=fd$2::; }
	in_ns r ip link add "t$2" type "$1" local $here remote $there 2>"$work/ip.err" ||
		{ skip "kernel: no $1" "$1" && return; }
	in_ns wan ip link add "t$2" type "$1" local $there remote $here
	tunnel_end r "t$2" "${inner}2" "$4"
	tunnel_end wan "t$2" "${inner}1" "$4"
	in_ns wan ip route add "$lan" dev "t$2" metric "$2"
	tunnels+=("$1 $2 $3 $inner $here $there")
}

source_of() { # NUMBER FAMILY-OF-INNER: of packets that go through a tunnel
	[[ $2 == fd* ]] && echo "fd10::$1" || echo "10.16.$1.1"
}

tunnel_traffic() {
	local kind number protocol inner here there
	for tunnel in "${tunnels[@]}"; do
		read -r kind number protocol inner here there <<<"$tunnel"
		from_lan "$(source_of "$number" "$inner")" "${inner}9" 500 10
		in_ns wan ping -q -c 20 -i 0.01 -I "t$number" "$([[ $inner == fd* ]] && echo fd01::2 || echo 10.1.0.2)" \
			>"$work/ping" 2>&1
	done
}

outer() { # SOURCE PROTOCOL
	awk -v protocol="$2" '$3 == protocol' "$work/all" >"$work/records"
	said "${1//./[.]}"
}

tunnel_rows() {
	local kind number protocol inner here there
	mv "$work/records" "$work/all"
	for tunnel in "${tunnels[@]}"; do
		read -r kind number protocol inner here there <<<"$tunnel"
		cp "$work/all" "$work/records"
		row "$kind: inner, out by the tunnel" "$(source_of "$number" "$inner")" "lan0/t$number" in
		is "$(said "${inner//./[.]}1")" "20: t$number/lan0 in" "$kind: inner, in by the tunnel"
		is "$(outer "$here" "$protocol")" "520: 0/wan0 out" "$kind: what it wraps is sent by this host"
		is "$(outer "$there" "$protocol")" "20: wan0/0 in" "$kind: what it unwraps is delivered to this host"
	done
}

tunnel gre 50 47 4 4
tunnel ipip 51 4 4 4
tunnel sit 52 41 6 4
tunnel ip6gre 53 47 4 6
wait_for 10 carrier r bond0
sleep 5 # multicast reports of new devices; where time leaps it costs nothing

# ---- all at once, then VLAN devices without their parent

sent_of=()
received() { statistic lan l0.s9.7 rx.packets; }
before=$(received)
meter '["*", "!lo"]' </dev/null
vlan_traffic
is "$(($(received) - before))" 520 "QinQ: what left by the upper device arrives with both tags"
bond_traffic
tunnel_traffic
meter_end devices
vlan_rows
bond_rows
tunnel_rows

sent_of=()
meter '[lan0.5, lan0.s9.7, wan0]' </dev/null
by l0 "$router_mac" 10.16.5.1 10.63.0.1 --vlan 5
by l0 "$router_mac" 10.16.9.1 10.63.0.1 --vlan 9 --vlan 7
meter_end "vlan alone"
row "802.1Q: without its parent" 10.16.5.1 lan0.5/wan0 in
row "QinQ: without its parents" 10.16.9.1 lan0.s9.7/wan0 in
done_testing

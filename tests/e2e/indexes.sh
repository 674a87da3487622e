#!/bin/bash
# SPDX-License-Identifier: MIT
# The kernel gives the index of an interface and the number of a namespace to the next that comes, and a reload takes hooks
# off devices that others relied on: what comes has nothing of what was, and no packet is counted nowhere or twice.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/once_lib.sh"
require_root jq python3

router_make

# (jq takes no input at all for a yes)
listed() { # INTERFACE [NAMESPACE]
	ctl show interfaces --json >"$work/listed" &&
		jq -e --arg name "$1" --arg netns "${2:-}" '.interfaces[] | select(.name == $name and .netns == $netns)' "$work/listed"
}
counted() { listed "$1" | jq .ingress_packets; }
has_counted() { [[ $(counted "$1") == "$2" ]]; }

# y0 comes in the same breath as x0 goes, z0 when y0 is forgotten.
index_reused() {
	meter '["*", "!lo"]' </dev/null
	reused_add x0
	reused_send x0
	in_ns r ip -batch - <<-END || bail "no second interface"
		link delete x0
		link add y0 index 700 type veth peer name y1
	END
	check "reused index: the next is seen" wait_for 10 listed y0
	is "$(counted y0)" 0 "reused index, at once: nothing of the former"
	in_ns r ip link delete y0
	reused_add x0
	reused_send x0
	in_ns r ip link delete x0
	check "reused index: the former is forgotten" wait_for 10 eval '! listed x0'
	in_ns r ip link add z0 index 700 type veth peer name z1
	check "reused index: the next is seen" wait_for 10 listed z0
	is "$(counted z0)" 0 "reused index, later: nothing of the former"
	meter_end "reused index"
	in_ns r ip link delete z0
}

reused_add() { # NAME
	in_ns r ip link add "$1" index 700 type veth peer name "$1" netns "$id-lan" || bail "no interface with index 700"
	veth_end r "$1"
	veth_end lan "$1"
	wait_for 5 carrier lan "$1" && wait_for 10 attached "$1" || bail "$1 is not metered"
}

reused_send() { # NAME
	send lan "$1" --dst-mac "$(mac_of r "$1")" --src 10.16.1.1 --dst 10.63.0.1 --packets 100
	check "reused index: the former counts" wait_for 10 has_counted "$1" 100
}

# A bridge over lan0 is not hooked itself: lan0 counts, and wan0 relies on it. One comes whose index ends in the same bits.
same_low_bits() {
	sent_of=()
	in_ns r ip link add br0 index 777 type bridge || bail "no bridge"
	veth_end r br0
	in_ns r ip link set lan0 master br0
	in_ns r ip address add 10.1.0.1/24 dev br0
	wait_for 10 carrier r br0
	router_mac=$(mac_of r br0)
	meter '["*", "!lo"]' </dev/null
	from_lan 10.16.2.1 10.63.0.1 100 10
	in_ns r ip link add c0 index $((777 + 65536)) type veth peer name c1
	veth_end r c0
	veth_end r c1
	wait_for 10 eval 'attached c0 || grep "interface c0: " "$work/bpflowd.log"'
	from_lan 10.16.3.1 10.63.0.1 100 10
	check "same low bits: the one that comes is refused" grep -q 'interface c0: .*same low 16 bits' "$work/bpflowd.log"
	meter_end "same low bits"
	row "same low bits, before: each packet, once" 10.16.2.1 br0/wan0 in
	row "same low bits: each packet, once" 10.16.3.1 br0/wan0 in
	in_ns r ip link delete c0
	in_ns r ip link delete br0
	router_mac=$(mac_of r lan0)
}

# What a PPPoE frame wraps is counted at the PPP device if that is metered, and at lan0 otherwise.
ppp_reloaded() {
	[[ -c /dev/net/tun ]] || { skip "kernel: no tun" "PPP" && return; }
	ppp_make
	meter '[lan0]' </dev/null
	pppoe_send 10.16.4.1
	sed -i 's/interfaces: .*/interfaces: [lan0, ppp0]/' "$work/bpflowd.yaml"
	check "PPP: reload puts hooks on it" eval 'ctl reload && wait_for 10 attached ppp0'
	pppoe_send 10.16.5.1
	sed -i 's/interfaces: .*/interfaces: [lan0]/' "$work/bpflowd.yaml"
	check "PPP: reload takes them off" eval 'ctl reload && wait_for 10 eval "! attached ppp0"'
	pppoe_send 10.16.6.1
	meter_end PPP
	is "$(said '10[.]16[.]4[.]1')" "10: lan0/0 in" "PPP, not metered: at the device under it"
	is "$(said '10[.]16[.]5[.]1')" 0 "PPP, metered since a reload: not at the device under it"
	is "$(said '10[.]16[.]6[.]1')" "10: lan0/0 in" "PPP, not metered since a reload: at the device under it"
}

ppp_make() {
	spawn r "$work/ppp" python3 -c '
import fcntl, struct, sys
tun = open("/dev/net/tun", "r+b", buffering=0)
fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", b"ppp0", 0x1001))  # TUNSETIFF: IFF_TUN, IFF_NO_PI
fcntl.ioctl(tun, 0x400454CD, 512)  # TUNSETLINK: ARPHRD_PPP
print("ready", flush=True)
while tun.read(65536):
    pass'
	wait_for 10 grep -q ready "$work/ppp" || bail "no PPP device: $(cat "$work/ppp")"
	veth_end r ppp0
}

pppoe_send() { # SOURCE: 10 packets
	in_ns lan python3 - "$router_mac" "$1" <<-'END' || bail "no PPPoE frame"
		import socket, struct, sys
		addresses = socket.inet_aton(sys.argv[2]) + socket.inet_aton("10.63.0.1")
		packet = struct.pack("!BBHHHBBH", 0x45, 0, 32, 1, 0, 64, 17, 0) + addresses + struct.pack("!HHHHI", 1000, 9, 12, 0, 0)
		ethernet = bytes.fromhex(sys.argv[1].replace(":", "")) + bytes([2, 0, 0, 0, 0, 1, 0x88, 0x64])
		line = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
		line.bind(("l0", 0))
		for _ in range(10):
		    line.send(ethernet + struct.pack("!BBHHH", 0x11, 0, 7, len(packet) + 2, 0x21) + packet)
	END
}

# Namespaces that come when metered ones are gone get their numbers, the lowest first; others on this machine may be quicker.
number_reused() {
	local n name='' others
	local -A former=()
	netns_add peer
	others=("${namespaces[@]}")
	meter '[e0]' <<<"netns: [$(printf "$id-%s, " old{1..4} new{1..12})]"
	for n in {1..4}; do
		netns_add "old$n"
		numbered_device "old$n" "p$n"
		former[$(number_of "old$n")]=1
	done
	dropped_in old1 p1 10.16.7.1
	for n in {1..4}; do
		ip netns delete "$id-old$n"
	done
	namespaces=("${others[@]}")
	wait_for 20 eval '! in_ns peer ip -o link show | grep " p[1-4]"'
	for n in {1..12}; do
		netns_add "new$n"
		[[ -z ${former[$(number_of "new$n")]:-} ]] || { name=new$n && break; }
		sleep 0.1 # the number is free a little later than the devices are gone
	done
	if [[ -n $name ]]; then
		numbered_device "$name" p5
		dropped_in "$name" p5 10.16.8.1
	else
		skip "kernel: it gave the number to another" "reused number"
	fi
	check "reused number: SIGTERM ends it with status 0" daemon_stop
}

number_of() { stat -Lc %i "/run/netns/$id-$1"; }

numbered_device() { # NAMESPACE PEER
	veth_pair "$1" e0 peer "$2"
	in_ns "$1" ip address add 10.5.0.2/24 dev e0
	wait_for 10 hooked_in "$1" || bail "$1 is not metered"
}

hooked_in() { [[ -n $(listed e0 "$id-$1" | jq -r .ingress) ]]; }

dropped_in() { # NAMESPACE PEER SOURCE: nobody listens
	send peer "$2" --dst-mac "$(mac_of "$1" e0)" --src "$3" --dst 10.5.0.2 --packets 10
	check "reused number: drops in $1" wait_for 10 drops_are "$3" 10
}

drops_are() { # SOURCE PACKETS
	ctl show flows --json >"$work/flows.json"
	jq -e --arg source "$1" --argjson n "$2" '
		[.flows[] | select(.sourceIPv4Address == $source) | .droppedPacketDeltaCount // 0] | add == $n' "$work/flows.json"
}

index_reused
same_low_bits
ppp_reloaded
number_reused
done_testing

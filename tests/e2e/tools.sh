#!/bin/bash
# SPDX-License-Identifier: MIT
# The tools that the other tests believe: the generator against the counters of the device, the strict decoder against
# messages that break one rule each.
. "$(dirname "$0")/../lib.sh"
require_root jq ethtool tshark

netns_add a b
veth_pair a veth0 b veth1

generator() { # NAME OPTIONS...: what it says it sent is what arrived
	local name=$1 packets octets
	shift
	packets=$(statistic b veth1 rx.packets)
	octets=$(statistic b veth1 rx.bytes)
	send a veth0 --dst-mac "$(mac_of b veth1)" "$@"
	packets=$(($(statistic b veth1 rx.packets) - packets))
	octets=$(($(statistic b veth1 rx.bytes) - octets))
	is "$packets" "$(sent packets)" "blast $name: packets"
	is "$octets" "$(($(sent octets) + $(sent packets) * link))" "blast $name: octets"
}

link=14
generator ipv4 --src 10.64.0.1 --dst 10.63.0.1 --flows 1000 --packets 20000 --size 40-1500
generator ipv6 --src fd00::1 --dst fd01::1 --flows 1000 --packets 20000 --size 60-1500
link=22
generator vlan --src 10.64.0.1 --dst 10.63.0.1 --packets 1000 --vlan 10 --vlan 20

capture_start b veth1 "" -c 100
for kind in "udp 10.64.0.1 10.63.0.1" "tcp 10.64.0.1 10.63.0.1" "icmp 10.64.0.1 10.63.0.1" "udp fd00::1 fd01::1" \
	"icmp fd00::1 fd01::1"; do
	read -r protocol from to <<<"$kind"
	send a veth0 --dst-mac "$(mac_of b veth1)" --proto "$protocol" --src "$from" --dst "$to" --flows 20 --packets 20
done
wait "$capture_pid"
forget "$capture_pid"
is "$(tshark -r "$work/capture.pcap" -Y 'udp or tcp or icmp or icmpv6' -T fields -e frame.number 2>/dev/null | wc -l)" 100 \
	"blast: every frame is decoded"
is "$(tshark -r "$work/capture.pcap" -o ip.check_checksum:TRUE -o udp.check_checksum:TRUE -o tcp.check_checksum:TRUE \
	-Y '_ws.malformed or ip.checksum.status == 0 or udp.checksum.status == 0 or tcp.checksum.status == 0 or icmp.checksum.status == 0 or icmpv6.checksum.status == 0' 2>/dev/null)" \
	"" "blast: every frame is well formed"

# IPFIX in hexadecimal: header without length, then sets
message() { # SEQUENCE SETS
	local sets=${2// /} now
	now=$(printf '%08x' "$EPOCHSECONDS")
	printf '000a%04x%s%08x00000001%s' $((16 + ${#sets} / 2)) "$now" "$1" "$sets"
}

decoded() { # NAME WANTED-ERROR MESSAGE...
	local name=$1 wanted=$2 found
	shift 2
	# shellcheck disable=SC2059
	printf "$(printf '%s' "$@" | sed 's/../\\x&/g')" >"$work/messages"
	"$strict" check "$work/messages" >"$work/strict.json" && [[ -n $wanted ]] && diag "$name: no complaint"
	found=$(strict 'first_errors[0] // ""')
	[[ -z $wanted && $found == '""' || -n $wanted && $found == *"$wanted"* ]]
	ok $? "strict: $name" || diag "$found"
}

template="0002 0010 0100 0002 0008 0004 0002 0004"
record="0a400001 00000007"
decoded "a good message" "" "$(message 0 "$template 0100 000c $record")" "$(message 1 "0100 0014 $record $record")"
is "$(strict packets)" 21 "strict: sums"
decoded "sequence gap" "sequence 2, expected 1" "$(message 0 "$template 0100 000c $record")" "$(message 2 "0100 000c $record")"
decoded "data before template" "before its template" "$(message 0 "0100 000c $record")"
decoded "template changed" "changed its meaning" "$(message 0 "$template")" "$(message 0 "0002 000c 0100 0001 0008 0004")"
decoded "padding as long as a record" "" "$(message 0 "$template 0100 000f $record 000000")"
decoded "padding not zero" "padding is not zero" "$(message 0 "$template 0100 000f $record 000001")"
decoded "set beyond the message" "octets wanted" "$(message 0 "$template 0100 0010 $record")"
decoded "set of length 3" "length 3" "$(message 0 "0002 0003")"
decoded "reserved set id" "reserved" "$(message 0 "0004 0008 00000000")"
decoded "template id 255" "template id 255" "$(message 0 "0002 000c 00ff 0001 0008 0004")"
decoded "address of 3 octets" "length 3, natural 4" "$(message 0 "0002 000c 0100 0001 0008 0003")"
decoded "empty data set" "without record" "$(message 0 "$template 0100 0004")"
decoded "options without scope" "scope fields" "$(message 0 "0003 000e 0100 0001 0000 0028 0008")"
decoded "not UTF-8" "not UTF-8" "$(message 0 "0002 000c 0100 0001 0052 0004 0100 0008 ff414141")"
decoded "truncated" "octets came" "$(message 0 "$template" | head -c 40)"

done_testing

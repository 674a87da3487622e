#!/bin/bash
# SPDX-License-Identifier: MIT
# An IPFIX file (RFC 5655) and the same flows over UDP, read by ipfixDump, tshark and the strict decoder.
. "$(dirname "$0")/../lib.sh"
require_root jq ipfixDump tshark

netns_add a b
veth_pair a veth0 b veth1
daemon_config "$work/bpflowd.yaml" <<-END
	metering:
	  interfaces: [veth1]
	  active_timeout: 1s
	  idle_timeout: 1s
	collectors:
	  - name: file
	    file: $work/flows.ipfix
	  - name: udp
	    address: 127.0.0.1
	    port: 4739
	    template_refresh: 1s
END
strict_start b udp 4739
capture_start b lo "udp port 4739"
daemon_start b "$work/bpflowd.yaml"
packets=0
octets=0
for kind in "udp 10.64.0.1 10.63.0.1" "tcp 10.64.0.1 10.63.0.1" "icmp 10.64.0.1 10.63.0.1" "132 10.64.0.1 10.63.0.1" \
	"47 10.64.0.1 10.63.0.1" "udp fd00::1 fd01::1" "tcp fd00::1 fd01::1" "icmp fd00::1 fd01::1"; do
	read -r protocol from to <<<"$kind"
	send a veth0 --dst-mac "$(mac_of b veth1)" --proto "$protocol" --src "$from" --dst "$to" --flows 200 \
		--packets 1000 --size 60-1400 --rate 4000
	packets=$((packets + $(sent packets)))
	octets=$((octets + $(sent octets)))
done
check "flush" ctl flush
check "SIGTERM ends it with status 0" daemon_stop
strict_stop
capture_stop
is "$(strict packets) $(strict octets)" "$packets $octets" "UDP: packets and octets"
is "$(strict first_errors)" "[]" "UDP: the strict decoder has nothing to say"
capture_is_clean 4739 UDP

"$strict" check "$work/flows.ipfix" >"$work/strict.json"
is "$(strict packets) $(strict octets)" "$packets $octets" "file: packets and octets"
is "$(strict first_errors)" "[]" "file: the strict decoder has nothing to say"

check "file: ipfixDump reads it" ipfixDump --in "$work/flows.ipfix" --out "$work/dump"
element() { awk -F: -v name="$1" '$1 ~ name"[ \t]*$" { n += $2 } END { printf "%d\n", n }' "$work/dump"; }
is "$(element packetDeltaCount) $(element octetDeltaCount)" "$packets $octets" "file: sums of ipfixDump"
is "$(grep -c -i alien "$work/dump")" 0 "file: ipfixDump knows every element"
done_testing

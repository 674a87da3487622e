#!/bin/bash
# SPDX-License-Identifier: MIT
# libfixbuf's reader over every template: values are those of tests/unit/wire_fixture.c, our elements are known by the
# type records, and by the shipped definitions. python3-ipfix reads the same file.
. "$(dirname "$0")/../lib.sh"
need ipfixDump
emit=$build/tests/tools/emit
[[ -x $emit ]] || bail "$emit is missing"

value() { # TEMPLATE-ID ELEMENT: values of its records
	awk -v tid="$1" -v name="$2" '
		/^--- / { keep = 0 }
		$3 == "tid:" { keep = $4 == tid }
		keep && $2 == name { sub(/^[^:]*: /, ""); sub(/^\(len: [0-9]+\) /, ""); print }' "$work/dump"
}

for template in standard minimal nfdump ntopng elastiflow cert full; do
	"$emit" "$template" ipfix file >"$work/$template.ipfix"
	ipfixDump --in "$work/$template.ipfix" --rfc5610 >"$work/dump" 2>"$work/errors"
	is "$?" 0 "$template: ipfixDump reads it"
	is "$(cat "$work/errors")" "" "$template: without complaint"
	flows=4
	[[ $template != nfdump ]] || flows=5
	is "$(grep -c ') *packetDeltaCount : ' "$work/dump")" $flows "$template: $flows flow records"
	is "$(awk '$2 == "packetDeltaCount" { n += $4 } END { print n }' "$work/dump")" $((20 + (flows - 4) * 2)) "$template: packets"
	is "$(awk '$2 == "octetDeltaCount" { n += $4 } END { print n }' "$work/dump")" $((4 * 1234 + (flows - 4) * 80)) "$template: octets"
	is "$(awk '$2 == "flowStartMilliseconds" { print $4, $5 }' "$work/dump" | sort -u)" "2023-11-14 23:13:14.999" "$template: start"
	is "$(awk '$2 == "flowEndMilliseconds" { print $4, $5 }' "$work/dump" | sort -u)" "2023-11-14 23:13:18.998" "$template: end"
	is "$(awk '$2 == "samplingInterval" { print $4 }' "$work/dump" | xargs)" "100 100" "$template: sampling, both forms"
	is "$(awk '$2 == "interfaceDescription" { print $NF }' "$work/dump" | tail -2 | xargs)" "uplink eth1" "$template: interfaces"
	is "$(awk '$2 == "notSentOctetTotalCount" { print $4 }' "$work/dump")" 19 "$template: statistics"
done

# full is the last one
tcp=$(awk '$3 == "tid:" { t = $4 } $2 == "destinationTransportPort" && $4 == 443 { print t }' "$work/dump")
dns=$(awk '$3 == "tid:" { t = $4 } $2 == "destinationTransportPort" && $4 == 53 { print t }' "$work/dump")
our_values() { # HOW
	is "$(value "$tcp" dropCause)" 6 "$1: drop cause"
	is "$(value "$tcp" dropCauseName)" NETFILTER_DROP "$1: its name"
	is "$(value "$tcp" tcpStateAtDrop)" 1 "$1: TCP state"
	is "$(value "$tcp" tcpServerRttMicroseconds)" 2500 "$1: RTT"
	is "$(value "$dns" dnsMessageId)" 48879 "$1: DNS id"
	is "$(value "$dns" dnsQuestionName)" www.example.org "$1: DNS name"
	is "$(value "$dns" dnsLatencySumMicroseconds)" 12345 "$1: DNS latency"
}
our_values "type records"
is "$(awk '$2 == "dropCauseName" { print $NF }' "$work/dump" | head -2 | xargs)" "NOT_SPECIFIED NETFILTER_DROP" "drop reasons are told"
ipfixDump --in "$work/full.ipfix" -e "$src/conf/collectors/ipfixdump/bpflowd.xml" >"$work/dump" 2>&1
our_values "definitions"
ipfixDump --in "$work/full.ipfix" >"$work/dump" 2>&1
is "$(grep -c dropCauseName "$work/dump")" "$(grep -c 'informationElementName.*dropCauseName' "$work/dump")" \
	"without either, ours are not known"
ipfixDump --in "$work/cert.ipfix" -y >"$work/dump" 2>&1
is "$(awk '$2 == "dnsQName" { print $NF }' "$work/dump")" www.example.org "cert: DNS name in CERT's element"
is "$(awk '$2 == "dnsID" { print $4 }' "$work/dump")" 48879 "cert: DNS id"
is "$(awk '$2 == "reverseFlowDeltaMilliseconds" { print $4 }' "$work/dump")" 3 "cert: RTT"

if command -v ipfix2csv >/dev/null; then
	ipfix2csv -s "$src/conf/collectors/python-ipfix/bpflowd.iespec" -f "$work/full.ipfix" sourceIPv4Address \
		droppedPacketDeltaCount dropCause tcpServerRttMicroseconds >"$work/csv" 2>"$work/errors"
	is "$(tail -n +2 "$work/csv" | tr -d '"\r')" 192.0.2.1,2,6,2500 "python3-ipfix: values" || diag <"$work/errors"
else
	skip "no ipfix2csv" "python3-ipfix: values"
fi
done_testing

#!/bin/bash
# SPDX-License-Identifier: MIT
# tshark over every template in both formats: nothing malformed, no gap, and the values of tests/unit/wire_fixture.c.
. "$(dirname "$0")/../lib.sh"
need tshark
emit=$build/tests/tools/emit
[[ -x $emit ]] || bail "$emit is missing"
pcap=$work/wire.pcap

decode() { tshark -r "$pcap" -d udp.port==4739,cflow "$@" 2>/dev/null; }

field() { # FILTER FIELD...
	local filter=$1 arguments=()
	shift
	for name in "$@"; do
		arguments+=(-e "$name")
	done
	decode -Y "cflow && ($filter)" -T fields -E separator=' ' -E aggregator=, "${arguments[@]}"
}

for format in ipfix netflow9; do
	for template in standard minimal nfdump ntopng elastiflow cert full; do
		[[ $format == ipfix || $template != cert && $template != full ]] || continue
		name="$template $format"
		"$emit" "$template" "$format" pcap >"$pcap"
		messages=$(decode -Y cflow | wc -l)
		ok $((messages < 2)) "$name: messages"
		is "$(decode -Y '_ws.malformed or _ws.expert.severity >= 6291456')" "" "$name: nothing malformed"
		is "$(decode -Y cflow.sequence_analysis.expected_sn)" "" "$name: no gap"
		is "$(decode -V | grep -c 'no template found')" 0 "$name: no template missing"
		data="cflow.flowset_id && cflow.srcport == 40000"
		flows=4 drops=0
		[[ $template != nfdump ]] || flows=5 drops=1
		is "$(field "$data" cflow.packets | tr , '\n' | awk '{ n += $1 } END { print NR, n }')" \
			"$flows $((20 + drops * 2))" "$name: flows and packets"
		is "$(field "$data" cflow.octets | tr , '\n' | awk '{ n += $1 } END { print n }')" $((4936 + drops * 80)) "$name: octets"
		is "$(field "$data" cflow.srcaddr | tr , '\n' | sort -u)" 192.0.2.1 "$name: IPv4 address"
		is "$(field "$data" cflow.srcaddrv6)" 2001:db8::1 "$name: IPv6 address"
		is "$(field "$data" cflow.sampling_interval)" "" "$name: sampling apart from flows"
		is "$(field cflow.sampling_interval cflow.sampling_interval)" 100,100 "$name: sampling, both forms"
		times="23:13:14.999000000 23:13:18.998000000"
		[[ $format == ipfix ]] || times="3594.876000000 3598.875000000" # since boot, which was at .123
		is "$(decode -V | grep -A2 'Duration.*\(milliseconds\|switched\)' | grep -oE '[0-9:]+\.[0-9]{9}( UTC| seconds$)' |
			cut -d' ' -f1 | sort -u | xargs)" "$times" "$name: times to the millisecond"
	done
done

"$emit" standard ipfix pcap >"$pcap"
is "$(field "$data" cflow.drop_packets cflow.drop_octets)" "2,0,0,0 80,0,0,0" "standard: drops"
is "$(field "$data" cflow.forwarding_status | cut -d, -f1)" 2 "standard: dropped"
is "$(field "$data" cflow.forwarding_status_drop_code)" 2 "standard: by an ACL"
is "$(field "$data" cflow.tcpflags | cut -d, -f1)" 0x1b "standard: TCP flags"
is "$(field "$data" cflow.flow_end_reason | cut -d, -f1)" 1 "standard: end reason"
for format in ipfix netflow9; do
	"$emit" ntopng $format pcap >"$pcap"
	is "$(field "$data" cflow.pie.ntop.client_nw_latency_ms cflow.pie.server_nw_latency_ms cflow.pie.ntop.appl_latency_ms)" \
		"1 2 0,13" "ntopng $format: latencies by name"
	is "$(field "$data" cflow.pie.ntop.dns_query cflow.pie.ntop.dns_query_id cflow.pie.ntop.dns_query_type \
		cflow.pie.ntop.dns_ret_code)" "www.example.org 48879 28 3" "ntopng $format: DNS by name"
done
done_testing

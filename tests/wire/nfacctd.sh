#!/bin/bash
# SPDX-License-Identifier: MIT
# nfacctd (pmacct) with the shipped primitives, against the values of tests/unit/wire_fixture.c.
. "$(dirname "$0")/../lib.sh"
require_root nfacctd jq
emit=$build/tests/tools/emit
[[ -x $emit ]] || bail "$emit is missing"
export TZ=UTC
port=2100

primitives=$(grep -o '^name=[^ ]*' "$src/conf/collectors/pmacct/bpflowd.lst" | cut -d= -f2 | paste -sd,)
cat >"$work/nfacctd.conf" <<EOF
daemonize: false
plugins: print[a]
nfacctd_ip: 127.0.0.1
nfacctd_port: $port
aggregate_primitives: $src/conf/collectors/pmacct/bpflowd.lst
aggregate[a]: src_host, dst_host, src_port, dst_port, proto, tcpflags, tos, in_iface, out_iface, src_mac, dst_mac, vlan, timestamp_start, timestamp_end, sampling_rate, sampling_direction, $primitives
print_output: json
print_output_file[a]: $work/out.json
print_refresh_time: 1
EOF

netns_add c
collect() { # TEMPLATE FORMAT
	rm -f "$work/out.json"
	spawn c "$work/nfacctd.log" nfacctd -f "$work/nfacctd.conf"
	local pid=$spawned
	wait_for 10 udp_bound c $port || bail "nfacctd does not listen"
	in_ns c "$emit" "$1" "$2" $port
	wait_for 20 udp_empty c $port
	wait_for 20 test -s "$work/out.json"
	stop "$pid" INT
}

of() { # PORT KEY
	jq -r "select(.port_dst == $1) | .$2" "$work/out.json"
}

for format in ipfix netflow9; do
	for template in standard ntopng elastiflow cert full; do
		[[ $format == ipfix || $template != cert && $template != full ]] || continue
		name="$template $format"
		collect $template $format
		is "$(of 443 ip_src) $(of 443 ip_dst) $(of 443 port_src) $(of 443 ip_proto)" "192.0.2.1 198.51.100.2 40000 tcp" "$name: key"
		is "$(of 53 ip_src) $(of 53 ip_dst)" "2001:db8::1 2001:db8::2" "$name: IPv6"
		is "$(of 443 packets) $(of 443 bytes)" "5 1234" "$name: counts"
		is "$(of 443 sampling_rate)" 100 "$name: sampling"
		is "$(of 443 tcp_flags)" 27 "$name: TCP flags"
		is "$(of 443 iface_in) $(of 443 iface_out) $(of 443 sampling_direction)" "3 4 i" "$name: interfaces"
		is "$(of 443 mac_src) $(of 443 vlan)" "02:00:00:00:00:01 100" "$name: link layer"
		is "$(of 443 dropped_packet_delta_count) $(of 443 dropped_octet_delta_count)" "2 80" "$name: drops"
		if [[ $format == ipfix ]]; then
			is "$(of 443 timestamp_start)" "2023-11-14 23:13:14.999000" "$name: start"
			is "$(of 443 timestamp_end)" "2023-11-14 23:13:18.998000" "$name: end"
		fi
	done
done

collect full ipfix
is "$(of 443 drop_cause) $(of 443 drop_cause_name) $(of 443 tcp_state_at_drop)" "6 NETFILTER_DROP 1" "full: drop cause"
is "$(of 443 tcp_server_rtt_microseconds) $(of 443 tcp_client_rtt_microseconds)" "2500 300" "full: RTT"
is "$(of 443 tcp_smoothed_rtt_microseconds) $(of 443 tcp_minimum_rtt_microseconds)" "2700 2400" "full: RTT of a socket"
is "$(of 53 dns_message_id) $(of 53 dns_message_flags) $(of 53 dns_response_code)" "48879 33155 3" "full: DNS header"
is "$(of 53 dns_question_name) $(of 53 dns_question_type)" "www.example.org 28" "full: DNS question"
is "$(of 53 dns_latency_microseconds) $(of 53 dns_answered_count)" "12345 1" "full: DNS latency"
done_testing

#!/bin/bash
# SPDX-License-Identifier: MIT
# nfcapd and nfdump of Debian over every template in both formats, against the values of tests/unit/wire_fixture.c.
# Sampling is 1 in 100, so counts are a hundred times what the records say.
. "$(dirname "$0")/../lib.sh"
require_root nfcapd nfdump
emit=$build/tests/tools/emit
[[ -x $emit ]] || bail "$emit is missing"
export TZ=UTC
port=9995

netns_add c
collect() { # TEMPLATE FORMAT
	rm -rf "$work/nfcapd"
	nfcapd_start c $port
	in_ns c "$emit" "$1" "$2" $port
	nfcapd_stop c $port
}

rows() { # FORMAT [FILTER]: without blanks at the ends and in between
	nfdump -r "$nfcapd_file" -N -q -o "fmt:$1" "${2:-any}" | awk 'NF { $1 = $1; print }'
}

everything="%ts %te %sa %sp %da %dp %pr %flg %tos %pkt %byt %in %out %dir %svln %ismc %idmc %inam %onam"
times="2023-11-14 23:13:14.999 2023-11-14 23:13:18.998"
macs="02:00:00:00:00:01 02:00:00:00:00:02"
for format in ipfix netflow9; do
	for template in standard minimal nfdump ntopng elastiflow cert full; do
		[[ $format == ipfix || $template != cert && $template != full ]] || continue
		name="$template $format"
		collect $template $format
		[[ $template == minimal ]] && macs_here="00:00:00:00:00:00 00:00:00:00:00:00" || macs_here=$macs
		is "$(rows "$everything" "port 443 and packets > 400")" \
			"$times 192.0.2.1 40000 198.51.100.2 443 6 ...AP.SF 0 500 123400 3 4 I 100 $macs_here uplink eth1" "$name: TCP flow"
		is "$(rows "$everything" "port 53")" \
			"$times 2001:db8::1 53535 2001:db8::2 53 17 ........ 0 500 123400 3 4 E 100 $macs_here uplink eth1" "$name: IPv6 flow"
		is "$(rows "%sa %da %dp %pr %pkt" "proto icmp")" "192.0.2.1 198.51.100.2 3.4 1 500" "$name: ICMP type and code"
		sums="2000 493600"
		[[ $template != nfdump ]] || sums="2200 501600"
		is "$(nfdump_sums any)" "$sums" "$name: sums"
		is "$nfcapd_gaps" 0 "$name: no gap"
		is "$(grep -c -i -E 'error|unexpected|skip' <(grep -v 'Sequence Errors: 0' "$work/nfcapd.log"))" 0 "$name: without complaint"
		rows "%ts %te %sa %sp %da %dp %pr %flg %pkt %byt %in %out %dir" >"$work/$template.$format"
	done
done
for template in standard minimal nfdump ntopng elastiflow; do
	check "$template: NetFlow v9 and IPFIX give the same rows" cmp "$work/$template.ipfix" "$work/$template.netflow9"
done

collect nfdump netflow9
is "$(rows "%cl %sl %al" "port 443 and packets > 400")" "0.300 2.500 0.000" "RTT is client and server latency"
is "$(rows "%al" "port 53")" 12.345 "DNS latency is application latency"
is "$(rows "%sa %da %ismc %idmc %pkt" "proto 0")" "0.0.0.0 0.0.0.0 $macs 500" "what is not IP: proto 0, by MAC addresses"
is "$(rows "%sa %dp %pkt %byt %fwd" "fwdstat 130")" "192.0.2.1 443 200 8000 130" "drops are a record by forwarding status"
is "$(rows "%fwd" "port 53")" 64 "what passed was forwarded"
collect standard netflow9
is "$(rows "%fwd" "port 443")" 130 "standard: forwarding status of a flow with drops"
done_testing

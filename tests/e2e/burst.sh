#!/bin/bash
# SPDX-License-Identifier: MIT
# 100,000 flows end at once, and an nfcapd with the socket buffer that it has by default loses none of them: what a drain
# ends is spread over a part of a second. nfcapd gets the processor when it wants it, so that the verdict is on us.
. "$(dirname "$0")/../lib.sh"
require_root jq nfcapd nfdump ss chrt

flows=100000
netns_add a b
veth_pair a veth0 b veth1
daemon_config "$work/bpflowd.yaml" <<-END
	metering:
	  interfaces: [veth1]
	  direction: ingress
	  max_flows: 262144
	  idle_timeout: 60s
	collectors:
	  - {name: nfcapd, address: 127.0.0.1, port: 9995}
END
mkdir "$work/nfcapd"
spawn b "$work/nfcapd.log" chrt -f 1 nfcapd -w "$work/nfcapd" -b 127.0.0.1 -p 9995 -t 3600
nfcapd_pid=$spawned
wait_for 5 udp_bound b 9995 || skip_all "kernel: no real-time priority for nfcapd"
daemon_start b "$work/bpflowd.yaml"
send a veth0 --dst-mac "$(mac_of b veth1)" --src 10.64.0.1 --dst 10.63.0.1 --flows $flows --packets $flows --rate 100000
held() { [[ $(metric cached_packets) == "$(sent packets)" ]]; }
wait_for 10 held || diag "$(metric cached_packets) packets in the cache"
lost=$(metric lost_packets_total)
begin=${EPOCHREALTIME/./}
check "all flows end at once" ctl flush
diag "sent within $(((${EPOCHREALTIME/./} - begin) / 1000)) ms"
check "SIGTERM ends it with status 0" daemon_stop
nfcapd_stop b 9995
is "$nfcapd_drops" 0 "nfcapd's socket lost nothing"
is "$(nfdump_sums any | cut -d' ' -f1)" "$(($(sent packets) - lost))" "every packet is at nfcapd"
is "$(nfdump_flows any | cut -d' ' -f1)" "$((flows - lost))" "every flow is at nfcapd"
done_testing

#!/bin/bash
# SPDX-License-Identifier: MIT
# What a generator sends is what collectors receive, to the packet and the octet: 1, 1,000 and 100,000 flows, IPv4 and
# IPv6, seen by the ingress hook of the receiver and by the egress hook of the sender, as fast as it goes, while the
# table is read every 100 ms. Two collectors: nfcapd, and a strict decoder of our own.
. "$(dirname "$0")/../lib.sh"
require_root jq nfcapd nfdump ss tshark

netns_add a b
veth_pair a veth0 b veth1

networks=() # SOURCE-NETWORK FLOWS PACKETS OCTETS NAME of what was sent

# The source network tells the cases apart at the collector.
blast_case() { # NUMBER FAMILY FLOWS PACKETS
	local from=10.$((64 + $1)).0.1 to=10.63.0.1 net=10.$((64 + $1)).0.0/16 sizes=40-1400
	[[ $2 == ipv4 ]] || { from=fd00:$1::1 to=fd01::1 net=fd00:$1::/64 sizes=60-1400; }
	send a veth0 --dst-mac "$(mac_of b veth1)" --src "$from" --dst "$to" --flows "$3" --packets "$4" --size "$sizes"
	# the sender's hook has seen those too that the device then refused
	sources+=(--src "$net")
	networks+=("$net $3 $(($(sent packets) + seen_refused * $(sent refused_packets)))
		$(($(sent octets) + seen_refused * $(sent refused_octets))) $2, $3 flows")
}

config() {
	daemon_config "$work/bpflowd.yaml" <<-END
		metering:
		  interfaces: ["veth*"]
		  max_flows: 262144
		  drain_interval: 100ms
		  active_timeout: 3s
		collectors:
		  - name: nfcapd
		    address: 127.0.0.1
		    port: 9995
		  - name: strict
		    address: 127.0.0.1
		    port: 4739
	END
}

verify() { # SIDE
	local line net flows packets octets name
	is "$nfcapd_drops" 0 "$1: nfcapd's socket lost nothing"
	for line in "${networks[@]}"; do
		read -r net flows packets octets name <<<"${line//$'\n'/ }"
		is "$(nfdump_sums "src net $net")" "$packets $octets" "$1, $name: packets and octets at nfcapd"
		is "$(nfdump_flows "src net $net" | cut -d' ' -f1)" "$flows" "$1, $name: flows at nfcapd"
		is "$(strict "networks[\"$net\"] | [.packets, .octets]")" "[$packets,$octets]" "$1, $name: packets and octets, strict decoder"
		if [[ $((packets % flows)) -eq 0 ]]; then
			is "$(strict "networks[\"$net\"] | [.flows, .flow_packets_min, .flow_packets_max]")" \
				"[$flows,$((packets / flows)),$((packets / flows))]" "$1, $name: packets of each flow"
		fi
	done
	is "$(strict first_errors)" "[]" "$1: the strict decoder has nothing to say"
}

side() { # NAME NAMESPACE: where the daemon runs
	networks=()
	sources=()
	seen_refused=0
	[[ $2 == b ]] || seen_refused=1
	rm -rf "$work/nfcapd"
	config
	nfcapd_start "$2" 9995
	strict_start "$2" udp 4739
	daemon_start "$2" "$work/bpflowd.yaml"
	blast_case 1 ipv4 1 300000
	blast_case 2 ipv4 1000 300000
	blast_case 3 ipv4 100000 500000
	blast_case 4 ipv6 1 300000
	blast_case 5 ipv6 1000 300000
	blast_case 6 ipv6 100000 500000
	check "$1: flush" ctl flush
	check "$1: SIGTERM ends it with status 0" daemon_stop
	nfcapd_stop "$2" 9995
	strict_stop "${sources[@]}"
	verify "$1"
}

side ingress b
side egress a
done_testing

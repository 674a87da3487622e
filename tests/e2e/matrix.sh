#!/bin/bash
# SPDX-License-Identifier: MIT
# Real packets through a router, exported by every shipped template over IPFIX and NetFlow v9 at once to other people's
# collectors; what each of them shows is compared with the packets themselves. Writes the table of who shows what, which
# must be the one in README.md (UPDATE_GOLDEN=1 writes it there; `make matrix` prints it).
. "$(dirname "$0")/../lib.sh"
require_root jq bpftool nfcapd nfdump nfacctd tshark ipfixDump ipfix2csv socat dnsmasq dig nft ethtool
matrix=$src/tests/tools/matrix.py
peer=$src/tests/tools/peer.py
all=(standard minimal nfdump ntopng elastiflow cert full)
combinations=()
for template in "${all[@]}"; do
	combinations+=("$template ipfix")
	[[ $template == cert || $template == full ]] || combinations+=("$template netflow9")
done
export TZ=UTC

# client -- relay, 10 ms -- router -- relay, 20 ms -- server; generator -- router
netns_add client relay router server generator
veth_pair client eth0 relay c0
veth_pair relay c1 router clients
veth_pair server eth0 relay s0
veth_pair relay s1 router servers
veth_pair generator gen0 router uplink
ip -n "$id-router" link set servers alias "server farm"
for end in "client eth0" "server eth0" "generator gen0" "router clients" "router servers" "router uplink"; do
	offloads "${end% *}" "${end#* }" off tx gso gro tso
done
relays() { [[ $(grep -c ready "$work/relay.log") -eq 2 ]]; }
spawn relay "$work/relay.log" "$build/tests/tools/relay" c0 c1 10
spawn relay "$work/relay.log" "$build/tests/tools/relay" s0 s1 20
relays() { [[ $(grep -c ready "$work/relay.log") -eq 2 ]]; }
wait_for 10 relays || bail "no relay"
for net in 10.%d.0 fd00:%d:; do
	length=24
	[[ $net == fd* ]] && length=64
	# shellcheck disable=SC2059
	address() { printf "$net%s%s" "$1" "$([[ $net == fd* ]] && echo : || echo .)" "$2"; }
	connect_ends client eth0 "$(address 1 1)" router clients "$(address 1 254)" $length
	connect_ends server eth0 "$(address 2 1)" router servers "$(address 2 254)" $length
	connect_ends generator gen0 "$(address 3 1)" router uplink "$(address 3 254)" $length
	family=-4
	[[ $net == fd* ]] && family=-6
	in_ns client ip $family route add default via "$(address 1 254)"
	in_ns server ip $family route add default via "$(address 2 254)"
done
in_ns router sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'

# what the firewall drops, with its own count of it
in_ns router nft -f - <<-'END_NFT' || bail "no nftables"
	table inet t {
		counter forward { }
		counter input { }
		set closed { type inet_service; }
		chain f { type filter hook forward priority 0; udp dport 9009 meta length > 500 counter name forward drop; }
		chain i { type filter hook input priority 0; tcp dport @closed meta length > 200 counter name input drop; }
	}
END_NFT

spawn server "$work/server.log" "$peer" serve 7001 9001 9002 9009 9010
spawn router "$work/local.log" "$peer" serve 7002
spawn server "$work/dnsmasq.log" dnsmasq --no-daemon --conf-file=/dev/null --no-resolv --no-hosts --user=root --pid-file= \
	--address=/www.example.org/192.0.2.7 --local=/missing.example.org/
wait_for 5 grep -q ready "$work/server.log" && wait_for 5 grep -q ready "$work/local.log" || bail "no servers"
wait_for 5 udp_bound server 53 || bail "dnsmasq: $(cat "$work/dnsmasq.log")"

# ---- collectors: each template and protocol has its own nfcapd, nfacctd, and TCP stream where there is one

nfacctd_config() { # PORT DIRECTORY
	cat >"$2/nfacctd.conf" <<-END
		daemonize: false
		plugins: print[a]
		nfacctd_ip: 127.0.0.1
		nfacctd_port: $1
		aggregate_primitives: $work/bpflowd.lst
		aggregate[a]: src_host, dst_host, src_port, dst_port, proto, tcpflags, tos, in_iface, out_iface, src_mac, dst_mac, vlan, etype, timestamp_start, timestamp_end, sampling_rate, sampling_direction, $primitives
		print_output: json
		print_output_file[a]: $2/nfacctd.json
		print_output_file_append: true
		print_refresh_time: 1
	END
}

collectors_start() {
	local i=0 combination template protocol dir
	"$bpflowd" --print-definitions=pmacct >"$work/bpflowd.lst"
	"$bpflowd" --print-definitions=ipfixdump >"$work/bpflowd.xml"
	"$bpflowd" --print-definitions=iespec >"$work/bpflowd.iespec"
	primitives=$(grep -o '^name=[^ ]*' "$work/bpflowd.lst" | cut -d= -f2 | paste -sd,)
	: >"$work/collectors"
	for combination in "${combinations[@]}"; do
		read -r template protocol <<<"$combination"
		dir=$work/$template-$protocol
		mkdir -p "$dir/nfcapd"
		nfacctd_config $((22000 + i)) "$dir"
		spawn router "$dir/nfcapd.log" nfcapd -w "$dir/nfcapd" -b 127.0.0.1 -p $((21000 + i)) -t 3600 -B 2000000
		echo $spawned >"$dir/nfcapd.pid"
		spawn router "$dir/nfacctd.log" nfacctd -f "$dir/nfacctd.conf"
		echo $spawned >"$dir/nfacctd.pid"
		echo "  - {name: nfcapd$i, address: 127.0.0.1, port: $((21000 + i)), protocol: $protocol, template: $template}
  - {name: nfacctd$i, address: 127.0.0.1, port: $((22000 + i)), protocol: $protocol, template: $template}" >>"$work/collectors"
		if [[ $protocol == ipfix ]]; then
			spawn router "$dir/tcp.ipfix" socat -u TCP-LISTEN:$((23000 + i)),bind=127.0.0.1,reuseaddr STDOUT
			echo "  - {name: tcp$i, address: 127.0.0.1, port: $((23000 + i)), transport: tcp, template: $template}
  - {name: file$i, file: $dir/file.ipfix, template: $template}" >>"$work/collectors"
		fi
		i=$((i + 1))
	done
	for ((i = 0; i < ${#combinations[@]}; i++)); do
		wait_for 10 udp_bound router $((21000 + i)) && wait_for 10 udp_bound router $((22000 + i)) || bail "a collector does not listen"
	done
}

collectors_stop() {
	local i
	for ((i = 0; i < ${#combinations[@]}; i++)); do
		wait_for 20 udp_empty router $((21000 + i)) && wait_for 20 udp_empty router $((22000 + i))
		is "$(udp_drops router $((21000 + i)))" 0 "${combinations[i]}: nfcapd's socket lost nothing"
	done
	for dir in "$work"/*-{ipfix,netflow9}; do
		wait_for 20 test -s "$dir/nfacctd.json" || bail "nfacctd shows nothing: $(tail -3 "$dir/nfacctd.log")"
		kill -TERM "$(cat "$dir/nfcapd.pid")"
		kill -INT "$(cat "$dir/nfacctd.pid")"
	done
	for dir in "$work"/*-{ipfix,netflow9}; do
		stop "$(cat "$dir/nfcapd.pid")"
		stop "$(cat "$dir/nfacctd.pid")" INT
	done
}

# ---- traffic

to_server() { send generator gen0 --dst-mac "$(mac_of router uplink)" --rate 4000 "$@"; }
counter() { in_ns router nft -j list counter inet t "$1" | jq '.nftables[] | select(.counter) | .counter | {packets, bytes}'; }

refused() { [[ $(counter input | jq .packets) -ge 2 ]]; }

traffic() {
	to_server --src 10.3.0.1 --dst 10.2.0.1 --dst-port 9001 --packets 40 --size 100-139 --ttl 50 --tos 0x28
	to_server --src 10.3.0.1 --dst 10.2.0.1 --dst-port 9001 --packets 60 --size 900 --ttl 60 --tos 0x28
	to_server --src fd00:3::1 --dst fd00:2::1 --dst-port 9002 --packets 70 --size 80-1400 --ttl 33 --tos 0xb8
	to_server --src 10.3.0.1 --dst 10.2.0.1 --dst-port 9003 --packets 25 --size 400 --vlan 100
	to_server --src 10.3.0.2 --dst 10.2.0.1 --dst-port 9009 --packets 30 --size 100
	to_server --src 10.3.0.2 --dst 10.2.0.1 --dst-port 9009 --packets 20 --size 600
	in_ns generator "$peer" arp gen0 3 10.3.0.1 10.3.0.77
	in_ns client dig @10.2.0.1 +tries=1 +qid=4660 www.example.org A >"$work/dig"
	in_ns client dig @fd00:2::1 +tries=1 +qid=48879 missing.example.org AAAA >>"$work/dig"
	in_ns client ping -q -c 3 -i 0.1 10.2.0.1 >"$work/ping"
	in_ns client ping -q -c 3 -i 0.1 fd00:2::1 >>"$work/ping"
	in_ns client "$peer" talk 10.2.0.1 7001 || bail "no TCP over IPv4"
	in_ns client "$peer" talk fd00:2::1 7001 || bail "no TCP over IPv6"
	# a connection to the router itself, whose requests the firewall drops for a while
	in_ns router nft add element inet t closed '{ 7002 }'
	spawn client "$work/talk.log" "$peer" talk 10.1.0.254 7002 1
	wait_for 10 refused || bail "the firewall drops nothing: $(cat "$work/talk.log")"
	in_ns router nft flush set inet t closed
	wait "$spawned" || bail "no TCP to the router"
	forget "$spawned"
	to_server --src 10.3.0.1 --dst 10.2.0.1 --dst-port 9010 --packets 300 --size 200 --rate 50 # longer than active_timeout
	sleep 3 # longer than idle_timeout: that is what ends them
	to_server --src 10.3.0.4 --dst 10.2.0.1 --dst-port 9001 --packets 5 --size 150 # the last one, which the flush ends
}

daemon_collectors() { # OPTION-OF-METERING...: sampling, timeouts
	daemon_config "$work/bpflowd.yaml" <<-END
		metering:
		  interfaces: [clients, servers, uplink]
		  timestamps: precise
		  drain_interval: 200ms
		$(printf '  %s\n' "$@")
		collectors:
		$(cat "$work/collectors")
	END
}

messages_start() { # FILE
	capture_start router lo "udp portrange 21000-21099"
	mv "$work/capture.pcap" "$work/$1"
}

messages_are_clean() { # FILE NAME
	local decode=(tshark -r "$work/$1" -d "udp.port==21000-21099,cflow")
	is "$("${decode[@]}" -Y '_ws.malformed || _ws.expert.severity >= 6291456' 2>/dev/null | head -3)" "" "$2: nothing malformed"
	is "$("${decode[@]}" -Y cflow.sequence_analysis.expected_sn 2>/dev/null | head -3)" "" "$2: no gap"
	is "$("${decode[@]}" -V 2>/dev/null | grep -i -c 'no template found')" 0 "$2: no template missing"
}

# ---- everything, by every template

collectors_start
daemon_collectors "active_timeout: 4s" "idle_timeout: 2s"
messages_start messages.pcap
spawn router "$work/packets.log" tshark -q -B 64 -i uplink -i clients -i servers -w "$work/packets.pcap"
packets_pid=$spawned
wait_for 10 test -s "$work/packets.pcap" || bail "tshark: $(cat "$work/packets.log")"
daemon_start router "$work/bpflowd.yaml"
wait_for 5 attached servers || bail "not metered"
ip -n "$id-router" -j link >"$work/links.json"
printf '%s\n' "${combinations[@]}" >"$work/combinations"
ctl show templates --json >"$work/templates.json"
traffic
# the kernel's number of the reason, from its own types
cause=$(bpftool btf dump file /sys/kernel/btf/vmlinux | sed -n "s/.*'SKB_DROP_REASON_NETFILTER_DROP' val=\([0-9]*\).*/\1/p" | head -1)
jq -n --argjson forward "$(counter forward)" --argjson input "$(counter input)" --argjson cause "$cause" '$ARGS.named' \
	>"$work/dropped.json"
check "flush" ctl flush
check "SIGTERM ends it with status 0" daemon_stop
collectors_stop
stop "$packets_pid" INT
capture_stop
messages_are_clean messages.pcap "every template"

# ---- what options data tell of the exporter

option() { sed -n "s/.* $1 : \((len: [0-9]*) \)\?//p" "$work/options"; }
ipfixDump --in "$work/full-ipfix/file.ipfix" --data --rfc5610 >"$work/options"
is "$(grep -A1 " dropCause : $cause\$" "$work/options" | sed -n 's/.* dropCauseName : (len: 64) //p' | sort -u)" NETFILTER_DROP \
	"drop reasons: the number has its name"
boot_s=$(awk '/^btime/ { print $2 }' /proc/stat)
told_s=$(date -d "$(option systemInitTimeMilliseconds | tail -1) UTC" +%s)
ok "$((told_s < boot_s - 2 || told_s > boot_s + 2))" "system init time" || diag "$told_s, should be $boot_s"
is "$(option notSentFlowTotalCount | sort -u) $(option ignoredPacketTotalCount | sort -u)" "0 0" "nothing was lost, and so it says"
is "$(option interfaceDescription | sort -u | xargs)" "clients lo server farm uplink" "interface table"
is "$(option samplingInterval | sort -u)" 1 "sampling is told at 1:1 too"

# ---- one packet in 100

mkdir "$work/unsampled" "$work/sampled"
mv "$work"/*-{ipfix,netflow9} "$work/unsampled"
combinations=("standard ipfix" "standard netflow9")
collectors_start
daemon_collectors "sampling: 100"
messages_start sampled.pcap
daemon_start router "$work/bpflowd.yaml"
wait_for 5 attached servers || bail "not metered"
send generator gen0 --dst-mac "$(mac_of router uplink)" --src 10.3.0.1 --dst 10.2.0.1 --dst-port 9001 --flows 10 --packets 100000
check "sampling: flush" ctl flush
check "sampling: SIGTERM ends it with status 0" daemon_stop
collectors_stop
capture_stop
messages_are_clean sampled.pcap "sampling"
mv "$work"/*-{ipfix,netflow9} "$work/sent" "$work/sampled.pcap" "$work/sampled"
mv "$work/unsampled"/* "$work"

# ---- verdict

"$matrix" "$work" >"$work/cases" 2>"$work/errors"
ok $? "matrix.py comes to its end" || diag <"$work/errors"
while read -r verdict name; do
	case $verdict in
	ok) ok 0 "$name" ;;
	fault) ok 1 "$name" ;;
	*) diag "$verdict $name" ;;
	esac
done <"$work/cases"
[[ -z ${BPFLOWD_MATRIX:-} ]] || cp "$work/matrix.md" "$BPFLOWD_MATRIX"
if [[ -n ${UPDATE_GOLDEN:-} ]]; then
	sed -i -e "/^| | nfdump/,/^\$/{/^|/d}" -e "/^<!-- the matrix/r $work/matrix.md" "$src/README.md"
fi
check "README.md has this matrix" diff <(sed -n '/^| | nfdump/,/^$/p' "$src/README.md" | grep '^|') "$work/matrix.md"
done_testing

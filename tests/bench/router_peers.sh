# SPDX-License-Identifier: MIT
# Two equal routers, one of which an exporter meters, and the exporters with the settings that suit them best; sourced.
# CPU 0 receives and forwards, exporters and collector have CPU 1; real-time priorities keep other work of the machine
# away from both.
# shellcheck shell=bash
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

inject=$build/tests/bench/inject
spent=$build/tests/bench/spent

# What is forwarded ends in a device that takes packets and frees them, without counting as a drop anywhere.
router_add() { # NAME
	netns_add "$1"
	veth_pair lan "lan-$1" "$1" lan1
	in_ns "$1" ip link add wan1 type ifb || bail "no ifb device"
	in_ns "$1" ip link set wan1 up
	in_ns "$1" tc qdisc replace dev wan1 root noqueue
	in_ns "$1" sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.lan1.rp_filter=0
	in_ns "$1" ip address add 10.1.0.254/24 dev lan1
	in_ns "$1" ip address add 10.2.0.254/24 dev wan1
	in_ns "$1" ip route add 10.64.0.0/10 dev lan1 scope link
}

# more_interfaces: how many besides the two that packets cross.
routers_make() {
	local i
	[[ -x $inject && -x $spent ]] || bail "$inject is not built: make bench does that"
	netns_add lan
	router_add router
	router_add bare
	for i in $(seq "${more_interfaces:-0}"); do
		in_ns router ip link add "more$i" type ifb
		in_ns router ip link set "more$i" up
	done
}

# Ahead of the exporters; round robin, as its threads wait for each other in spin locks.
collector_start() {
	nfcapd_start router 9995
	taskset -apc 1 "$nfcapd_pid" >/dev/null
	chrt -r -a -p 2 "$nfcapd_pid"
}

exporter_pid=
meter() { # NAME COMMAND...
	rm -f "$work/$1.spent"
	spawn router "$work/$1.log" "$spent" "$work/$1.spent" taskset -c 1 chrt -r 1 "${@:2}"
	exporter_pid=$spawned
}

capturing() { in_ns router ss -H -0 | grep -q 'lan1'; }

# [FLOWS]: how many there will be.
start_none() { exporter_pid=; }

# A table that suits the load: each CPU has its part of it, and one gets all packets here. Peers' tables are larger.
start_bpflowd() {
	local tables=$((2 * ${1:-32768} * $(nproc --all)))
	daemon_config "$work/bpflowd.yaml" <<-END
		metering:
		  interfaces: ["lan1", "wan1", "more*"]
		  max_flows: ${max_flows:-$((tables > 65536 ? tables : 65536))}
		  active_timeout: ${active_timeout:-60s}
		  idle_timeout: ${idle_timeout:-15s}
		collectors:
		  - name: nfcapd
		    address: 127.0.0.1
		    port: 9995
	END
	meter bpflowd "$bpflowd" -c "$work/bpflowd.yaml"
	wait_for 20 attached lan1 && wait_for 20 attached wan1 || bail "bpflowd: $(cat "$work/bpflowd.log")"
}

start_softflowd() {
	meter softflowd softflowd -d -i lan1 -n 127.0.0.1:9995 -v 9 -m 1000000 -B 67108864 -p "$work/softflowd.pid" \
		-c "$work/softflowd.ctl"
	wait_for 10 capturing || bail "softflowd: $(cat "$work/softflowd.log")"
}

start_pmacctd() {
	cat >"$work/pmacctd.conf" <<-END
		pcap_interface: lan1
		pcap_filter: ip
		snaplen: 96
		pmacctd_pipe_size: 67108864
		plugins: nfprobe[n]
		aggregate: src_host, dst_host, src_port, dst_port, proto, tos, tcpflags
		nfprobe_receiver: 127.0.0.1:9995
		nfprobe_version: 10
		nfprobe_maxflows: 1000000
		plugin_pipe_size: 268435456
		plugin_buffer_size: 262144
	END
	meter pmacctd pmacctd -f "$work/pmacctd.conf"
	wait_for 10 capturing || bail "pmacctd: $(cat "$work/pmacctd.log")"
}

start_fprobe() {
	meter fprobe fprobe -i lan1 -f ip -B 65536 -q 100000 -S 96 -l 2 127.0.0.1:9995
	wait_for 10 capturing || bail "fprobe: $(cat "$work/fprobe.log")"
}

start_yaf() {
	meter yaf yaf --in lan1 --live pcap --out 127.0.0.1 --ipfix udp --ipfix-port 9995 --uniflow --max-flows 1000000
	wait_for 10 capturing || bail "yaf: $(cat "$work/yaf.log")"
}

# All that it holds, to the collector.
flush() { # NAME
	case $1 in
	bpflowd) ctl flush ;;
	softflowd) softflowctl -c "$work/softflowd.ctl" expire-all ;;
	*) bail "$1 can't be told to flush" ;;
	esac >/dev/null
}

# Each in the way in which it loses least of what it holds.
finish() { # NAME
	local signal=TERM
	[[ $1 != pmacctd ]] || signal=INT
	[[ $1 != softflowd ]] || flush softflowd # TERM loses its cache
	stop "$exporter_pid" $signal || :
}

# Nanoseconds of CPU that a command under spent has taken so far.
spent_so_far() { # PID
	local p tree=() new
	mapfile -t new < <(pgrep -P "$1")
	while [[ ${#new[@]} -gt 0 ]]; do
		tree+=("${new[@]}")
		mapfile -t new < <(pgrep -P "$(IFS=,; echo "${new[*]}")")
	done
	for p in "${tree[@]}"; do cat /proc/"$p"/task/*/schedstat; done | awk '{ n += $1 } END { printf "%d\n", n }'
}

quartiles() { # numbers: "median first-quartile third-quartile"
	sort -g | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)], a[int((NR + 3) / 4)], a[int((3 * NR + 3) / 4)] }'
}

median() { quartiles | cut -d' ' -f1; }

#!/bin/bash
# SPDX-License-Identifier: MIT
# Everything at once, for long: traffic at half of full speed with ever other flows, IPv4 and IPv6, timeouts and drains of
# a second, reloads of good and bad files, a collector and an interface that come and go, questions over both doors. When
# it rests, memory, descriptors and kernel objects are what they were after a quarter of the time, and every packet is
# accounted for, at each collector.
# BPFLOWD_SOAK_SECONDS: how long (600).
. "$(dirname "$0")/lib.sh"
require_root jq nfcapd nfdump ss chrt bpftool

seconds=${BPFLOWD_SOAK_SECONDS:-600}
warm=$((seconds / 4)) # lists and tables have found their sizes
templates=(standard minimal full)

netns_add a b
veth_pair a veth0 b veth1
veth_pair a veth2 b veth3
mac=$(mac_of b veth1)

write_config() { # ROUND
	local n=$1
	cat >"$work/bpflowd.yaml" <<-END
		exporter: {template_dir: $src/templates, control_socket: $work/control.sock}
		http: {listen: 127.0.0.1:9469}
		log: {level: warning}
		metering:
		  interfaces: ["veth*"]
		  max_flows: 8192
		  drain_interval: 1s
		  active_timeout: $((1 + n % 2))s
		  idle_timeout: 1s
		collectors:
		  - {name: udp, address: 127.0.0.1, port: 4739, queue_size: 64M}
		  - {name: nfcapd, address: 127.0.0.1, port: 9995}
		  - {name: tcp, address: "::1", port: 4740, transport: tcp, template: full, queue_size: 64M, reconnect_interval: 1s}
		  - {name: v9, address: 127.0.0.1, port: 2055, protocol: netflow9, queue_size: 64M}
		  - {name: flapping, address: 127.0.0.1, port: 4741, transport: tcp, queue_size: 1M, reconnect_interval: 1s}
		  - {name: moving, address: 127.0.0.1, port: 4742, template: ${templates[n / 4 % 3]}, queue_size: $((1 + n % 3))M}
		$([[ $((n / 8 % 2)) -eq 0 ]] || echo "  - {name: coming, file: $work/coming.ipfix, template: minimal, rotate_size: 1M}")
	END
}

spoil_config() { # ROUND
	case $(($1 % 4)) in
	0) echo "nonsense: 1" >>"$work/bpflowd.yaml" ;;
	1) sed -i "s/drain_interval: .*/drain_interval: 1d/" "$work/bpflowd.yaml" ;;
	2) sed -i "s/port: 9995/port: 9995, template: absent/" "$work/bpflowd.yaml" ;;
	3) sed -i "s/^collectors:/&\n  - {name: nowhere, file: \/proc\/nowhere\/x}/" "$work/bpflowd.yaml" ;;
	esac
}

# ---- what goes on meanwhile, each until the time is over

on() { [[ $(now_ms) -lt $end_ms ]]; }

# Five seconds of other flows each time; IPv4 and IPv6 in turn.
traffic() {
	local n=0 from to size
	while on; do
		n=$((n + 1))
		read -r from to size <<<"10.64.$((n % 200)).1 10.63.0.1 40-400"
		[[ $((n % 2)) -eq 0 ]] || read -r from to size <<<"fd00:$n::1 fd01::1 60-400"
		in_ns a "$blast" --interface veth0 --dst-mac "$mac" --src "$from" --dst "$to" --flows 30000 --random $n \
			--packets $((rate * 5)) --rate "$rate" --size "$size" >>"$work/traffic" || echo failed >>"$work/trouble"
	done
}

reloads() {
	local n=0 status
	while on; do
		n=$((n + 1))
		write_config $((n / 2))
		[[ $((n % 2)) -eq 0 ]] || spoil_config $((n / 2))
		status=0
		ctl reload >"$work/reload.out" 2>&1 || status=$?
		[[ $status -eq $((n % 2)) ]] || echo "reload $n: status $status: $(cat "$work/reload.out")" >>"$work/trouble"
		rm -f "$work"/coming.ipfix.*
		sleep 0.9
	done
}

flapper() { exec nsenter --net="/run/netns/$id-b" "$tally" tcp 127.0.0.1 4741 >/dev/null 2>&1; }

# The collector that flaps reads for some seconds, then dies with what it has not read.
flapping() {
	local pid
	exec 2>/dev/null # bash tells of what was killed
	while on; do
		(flapper) &
		pid=$!
		sleep 3
		kill -KILL "$pid"
		wait "$pid"
		sleep 2
	done
}

interfaces() {
	local n=0
	while on; do
		n=$((n + 1))
		in_ns b ip link set veth3 down
		sleep 0.7
		in_ns b ip link set veth3 up
		sleep 0.7
		[[ $((n % 5)) -eq 0 ]] || continue
		in_ns b ip link delete veth3
		sleep 0.2
		ip link add veth2 netns "$id-a" type veth peer name veth3 netns "$id-b"
		veth_end a veth2
		veth_end b veth3
	done
}

scrape() {
	in_ns b bash -c 'exec 3<>/dev/tcp/127.0.0.1/9469; printf "GET $1 HTTP/1.0\r\n\r\n" >&3; cat <&3' - "$1"
}

questions() {
	local what
	while on; do
		for what in flows interfaces collectors templates stats drops; do
			ctl show $what --json >"$work/answer" 2>&1 || echo "show $what: $(head -c 200 "$work/answer")" >>"$work/trouble"
		done
		scrape /metrics >"$work/scraped" && grep -q ^bpflowd_observed_packets_total "$work/scraped" ||
			echo "scrape: $(head -c 200 "$work/scraped")" >>"$work/trouble"
		scrape /healthz >/dev/null
		sleep 1
	done
}

samples() { # kB resident, octets of maps
	while on; do
		echo "$(resident_kb) $(map_bytes)" >>"$work/samples"
		sleep 1
	done
}

everything_for() { # SECONDS
	local job jobs=()
	end_ms=$(($(now_ms) + $1 * 1000))
	for job in traffic reloads flapping interfaces questions samples; do
		$job &
		jobs+=("$!")
	done
	children+=("${jobs[@]}")
	for job in "${jobs[@]}"; do
		wait "$job"
		forget "$job"
	done
}

# Nothing in tables and queues, the file of the start, and the collector that flaps has gone.
come_to_rest() { # WHEN
	local reader
	write_config 0
	check "$1: the last file is taken" ctl reload
	check "$1: veth3 is metered again" wait_for 10 attached veth3
	(flapper) &
	reader=$!
	children+=("$reader")
	check "$1: all ends at once" ctl flush
	check "$1: and is sent" wait_for 60 settled
	stop "$reader"
	check "$1: the last session is over" wait_for 20 flapped
	is "$(cat "$work/trouble" 2>/dev/null)" "" "$1: every reload and every question had the answer that it should have"
	check "$1: the descriptors are those of the start" wait_for 15 back_to_start
	# an entry of a table for an interface is counted while it is there
	is "$(map_bytes)" "$maps" "$1: maps are as large as at the start"
	diag "$1: $(held_octets) octets held in $(held_blocks) blocks; resident: $(resident_kb) kB, $(peak_kb) kB at most"
}
settled() { [[ $(metric queued_flows) == 0 && $(metric cached_packets) == 0 ]]; }
flapped() { [[ $(of_collector flapping up) == false ]]; }
back_to_start() { diff <(echo "$fds") <(descriptors); }

# ---- the run

tally_start udp b udp 4739 --buffer 134217728
tally_address=::1 tally_start tcp b tcp 4740
tally_start v9 b udp 2055 --buffer 134217728
tally_start moving b udp 4742 --buffer 134217728
nfcapd_start b 9995
write_config 0
count_memory
daemon_start b "$work/bpflowd.yaml"
check "veth1 is metered" wait_for 5 attached veth1
check "veth3 is metered" wait_for 5 attached veth3
up() { [[ $(of_collector tcp up) == true ]]; }
check "the session over TCP is up" wait_for 10 up
fds=$(descriptors)
maps=$(map_bytes)
all_objects "$daemon_pid" >"$work/objects"

# of interfaces that are gone the latest 1,024 are remembered: that memory is taken before
for ((i = 0; i < 550; i++)); do
	echo "link add gone$i type veth peer name gone_$i"
	echo "link delete gone$i"
done >"$work/gone"
in_ns b ip -batch "$work/gone" || bail "no veth pairs"

send a veth0 --dst-mac "$mac" --src 10.65.0.1 --dst 10.63.0.1 --flows 100000 --packets 200000 --size 40
cat "$work/sent" >>"$work/traffic"
rate=$(jq '.packets / (.end_ns - .start_ns) * 1e9 / 2 | floor' "$work/sent")
rate=$((rate > 150000 ? 150000 : rate))
diag "half of full speed: $rate packets per second"

everything_for "$warm"
come_to_rest "warm"
warm_octets=$(held_least)
ok "$((warm_octets < 8 << 20))" "memory is counted" # what waits for a drain has 8 MiB
everything_for $((seconds - warm))
come_to_rest "at the end"
diag "$(wc -l <"$work/samples") samples; reloads: $(metric reloads_total result=done) done, $(metric reloads_total result=refused) refused;" \
	"flapping: $(of_collector flapping sessions) sessions"

# ---- memory, kernel objects

grown=$(($(held_least) - warm_octets))
diag "memory held: $grown octets more in $((seconds - warm)) s"
ok "$((grown >= 16384))" "memory does not grow: less than 16 KiB in all"
ok "$(awk -v most="$maps" '$2 > most { n++ } END { print n + 0 }' "$work/samples")" "maps never were larger"
is "$(all_objects "$daemon_pid" | grep -c '^map\|^prog')" "$(grep -c '^map\|^prog' "$work/objects")" "as many programs and maps are held"
is "$(all_objects "$daemon_pid" | grep -c ^link)" "$(grep -c ^link "$work/objects")" "as many links"

# ---- the sum

packets=$(jq -s 'map(.packets) | add' "$work/traffic")
octets=$(jq -s 'map(.octets) | add' "$work/traffic")
lost=$(lost_before)
for place in flow_table ring_buffer flow_cache; do
	diag "lost, $place: $(lost_at $place) packets"
done
is "$(metric observed_packets_total) $(metric observed_octets_total)" "$packets $octets" "every packet was observed"
told() { jq ".collectors[] | select(.name == \"$1\") | .$2" "$work/collectors.json"; }
ctl show collectors --json >"$work/collectors.json"
for name in udp nfcapd tcp v9 flapping moving; do
	diag "$name: $(told $name sent_packets) packets sent, $(told $name queued_packets) queued, $(told $name lost_packets) lost"
	is "$(($(told $name sent_packets) + $(told $name queued_packets) + $(told $name lost_packets) + lost))" "$packets" \
		"$name: observed = exported + queued + lost by name"
done
all_objects "$daemon_pid" >>"$work/objects"
sort -u -o "$work/objects" "$work/objects"
check "SIGTERM ends it with status 0" daemon_stop
check "no program, link or map is left" wait_for 5 none_left "$work/objects"
nfcapd_stop b 9995
for name in udp v9 moving tcp; do
	wait_for 20 udp_empty b 4739
	tally_stop $name
	is "$(tallied $name packets) $(tallied $name errors)" "$(told $name sent_packets) 0" "$name: what was exported is there"
done
is "$nfcapd_drops" 0 "nfcapd's socket lost nothing"
is "$(nfdump_sums any | cut -d' ' -f1)" "$(told nfcapd sent_packets)" "nfcapd: what was exported is there"
done_testing

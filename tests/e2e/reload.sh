#!/bin/bash
# SPDX-License-Identifier: MIT
# 100 reloads under traffic, half of them of a bad file: collectors that did not change notice nothing and miss nothing,
# one whose template changes goes on in its session, nothing piles up.
. "$(dirname "$0")/../lib.sh"
require_root jq nfcapd nfdump ss tc openssl

netns_add a b
veth_pair a veth0 b veth1
veth_pair a veth2 b veth3
cp "$src/templates/standard.yaml" "$work/first.yaml"
grep -v -e '- minimumTTL' "$src/templates/standard.yaml" >"$work/second.yaml"
cp "$work/first.yaml" "$work/mine.yaml"

write_config() { # ROUND: what stays is the first two collectors and veth1
	local interfaces=veth1 even=$(($1 / 2))
	[[ $((even % 3)) -ne 1 ]] || interfaces="veth1, veth3"
	daemon_config "$work/bpflowd.yaml" <<-END
		metering:
		  interfaces: [$interfaces]
		  drain_interval: 100ms
		  active_timeout: $((1 + even % 2))s
		  idle_timeout: $((1 + even % 4))s
		collectors:
		  - {name: nfcapd, address: 127.0.0.1, port: 9995}
		  - {name: strict, address: 127.0.0.1, port: 4739}
		  - {name: moving, address: 127.0.0.1, port: 4740, template: $work/mine.yaml, queue_size: $((1 + even % 3))M}
		$([[ $((even % 2)) -eq 0 ]] || echo "  - {name: coming, file: $work/coming.ipfix, template: minimal}")
		$([[ $((even % 4)) -ne 1 ]] || echo "  - {name: dead, address: 127.0.0.1, port: 1, transport: tcp}")
	END
}

spoil_config() { # ROUND: one thing or two are wrong in it
	case $(($1 % 4)) in
	0) echo "nonsense: 1" >>"$work/bpflowd.yaml" ;;
	1) sed -i "s/name: moving,/name: moving, sorce: x,/; s/drain_interval: .*/drain_interval: 1d/" "$work/bpflowd.yaml" ;;
	2) sed -i "s/port: 9995/port: 9995, template: absent/" "$work/bpflowd.yaml" ;;
	3) sed -i "s/^collectors:/&\n  - {name: nowhere, file: \/proc\/nowhere}/" "$work/bpflowd.yaml" ;;
	esac
}

reload_all() { # FIRST LAST: a good file and a bad one in turn
	local round
	for ((round = $1; round <= $2; round++)); do
		[[ $((round % 10)) -ne 0 ]] || cp "$work/$([[ $((round % 20)) -eq 0 ]] && echo first || echo second).yaml" "$work/mine.yaml"
		write_config "$round"
		if [[ $((round % 2)) -eq 0 ]]; then
			ctl reload >"$work/reload.out" 2>&1 || { diag <"$work/reload.out" && n_wrong=$((n_wrong + 1)); }
			continue
		fi
		spoil_config "$((round / 2))"
		ctl reload >"$work/reload.out" 2>&1
		[[ $? -eq 1 && $(wc -l <"$work/reload.out") -ge $((1 + (round / 2 % 4 == 1))) ]] || { diag <"$work/reload.out" && n_wrong=$((n_wrong + 1)); }
		sleep 0.05
	done
}

descriptors() { find "/proc/$daemon_pid/fd" -mindepth 1 -printf '%l\n' | sed 's/[0-9]\+//g' | sort | uniq -c; }
resident_kb() { awk '/^VmRSS/ { print $2 }' "/proc/$daemon_pid/status"; }
back_to_start() { diff <(echo "$fds") <(descriptors); }

write_config 0
strict_start b udp 4739
spawn b "$work/moving.out" "$strict" listen udp 127.0.0.1 4740 "$work/moving.rec"
moving_pid=$spawned
wait_for 5 grep -q ready "$work/moving.out"
nfcapd_start b 9995
daemon_start b "$work/bpflowd.yaml"
check "veth1 is metered" wait_for 5 attached veth1
fds=$(descriptors)
bpf_objects "$daemon_pid" >"$work/objects.before"

(in_ns a "$blast" --interface veth0 --dst-mac "$(mac_of b veth1)" --src 10.64.0.1 --dst 10.63.0.1 --flows 3000 \
	--packets 300000 --rate 12000 --size 40-1400 >"$work/sent") &
traffic=$!
children+=("$traffic")
n_wrong=0
reload_all 1 30
warm_kb=$(resident_kb)
reload_all 31 100
is "$n_wrong" 0 "each good file is taken, each bad one refused with status 1 and a line for each error"
check "the traffic went on" kill -0 "$traffic"
check "the traffic ends well" wait "$traffic"
forget "$traffic"
is "$(metric reloads_total result=done) $(metric reloads_total result=refused)" "50 50" "reloads are counted"
ok "$(($(grep -c 'error: configuration: ' "$work/bpflowd.log") < 100))" "errors of bad files are in the log"
wait_for 15 back_to_start
check "the descriptors are those of the start" back_to_start
kb=$(resident_kb)
diag "resident: $warm_kb kB after 30 reloads, $kb kB after 100"
ok "$((kb > warm_kb + 2048))" "memory does not grow"
is "$(comm -23 "$work/objects.before" <(bpf_objects "$daemon_pid"))" "" "programs and links stayed attached"

reloaded() { [[ $(metric reloads_total result=done) -eq $1 ]]; }

ok "$(($(ctl show templates --json | jq '[.templates[].records[].id] | max') < 400))" "templates that changed got new ids"

# what only a restart changes
pending() { ctl reload --json | jq -r .restart_needed; }
restart_option() { sed -i "s/^metering:/&\n  $1/" "$work/bpflowd.yaml"; }
restart_option "sampling: 7"
restart_option "netns: [$id-a]"
is "$(pending)" "metering.netns, metering.sampling" "what waits for a restart is named"
is "$(pending)" "metering.netns, metering.sampling" "and named again while it waits"
sed -i 's/listen: ""/listen: 127.0.0.1:9/; s/control\.sock/&2/' "$work/bpflowd.yaml"
sed -i '/sampling/d; /netns/d' "$work/bpflowd.yaml"
is "$(pending)" "exporter.control_socket, http.listen" "the file says something else: so does the answer"
sed -i 's/interfaces: .*/interfaces: [nothere0]/' "$work/bpflowd.yaml"
check "names of which none is there are refused, as at the start" eval \
	'! ctl reload 2>"$work/refused" && grep -q "there is no interface nothere0" "$work/refused"'
check "and the old ones stay" attached veth1
write_config 100

# files of TLS that change where their names stay
if grep -q '^#define WITH_TLS' "$build/config.h"; then
	openssl req -x509 -newkey rsa:2048 -nodes -keyout "$work/key" -out "$work/cert" -days 1 -subj /CN=x 2>/dev/null
	chmod 600 "$work/key"
	cp "$work/cert" "$work/cert.good"
	sed -i "s|^collectors:|&\n  - {name: secure, address: 127.0.0.1, port: 1, transport: tls, tls: {certificate: $work/cert, key: $work/key}}|" \
		"$work/bpflowd.yaml"
	check "tls: a certificate and its key" ctl reload
	echo garbage >"$work/cert"
	check "tls: a certificate that has become garbage is refused with its place" eval \
		'! ctl reload 2>"$work/refused" && grep -q ":[0-9]*:[0-9]*: collectors\[0\].tls.certificate: $work/cert " "$work/refused" || { cat "$work/refused"; false; }'
	cp "$work/cert.good" "$work/cert"
	check "tls: and taken when it is good again" ctl reload
	n_reloads=57
else
	skip "built without TLS" "files of TLS"
	n_reloads=55
fi
write_config 100
is "$(pending)" "" "undone: nothing waits"
kill -HUP "$daemon_pid"
check "SIGHUP reloads" wait_for 5 reloaded $n_reloads

check "flush" ctl flush
check "SIGTERM ends it with status 0" daemon_stop
nfcapd_stop b 9995
wait_for 20 udp_empty b 4740
stop "$moving_pid"
strict_stop --src 10.64.0.0/16
is "$nfcapd_drops" 0 "nfcapd's socket lost nothing"
is "$(sent refused_packets)" 0 "the device took all"
is "$(nfdump_sums "src net 10.64.0.0/16")" "$(sent packets) $(sent octets)" "nfcapd has every packet and octet"
is "$(strict packets) $(strict octets)" "$(sent packets) $(sent octets)" "so has the strict decoder"
is "$(strict first_errors) $(strict sequence_gaps) $(strict sessions)" "[] 0 1" "in one session without a gap"
"$strict" check "$work/moving.rec" --src 10.64.0.0/16 >"$work/strict.json"
is "$(strict packets) $(strict octets)" "$(sent packets) $(sent octets)" "the one with changing templates has every packet too"
is "$(strict first_errors) $(strict sequence_gaps) $(strict sessions)" "[] 0 1" "in one session, no id ever changed its meaning"
done_testing

# SPDX-License-Identifier: MIT
# For the tests here, after tests/lib.sh and require_root: a daemon with inject.so before it, in namespace b, with a name
# server of its own, metering veth1; packets come from veth0 in namespace a.
# shellcheck shell=bash disable=SC2154,SC2034
need dnsmasq jq python3 ss
fault=$src/tests/fault
inject=$build/tests/fault/inject.so

netns_add a b
veth_pair a veth0 b veth1
mac=$(mac_of b veth1)

# The daemon as daemon_start starts it: `exec`, so that its pid is the one that is known.
cat >"$work/bpflowd" <<END
#!/bin/sh
mount --bind $work/resolv.conf /etc/resolv.conf || exit 3
FAULT_CONTROL=$work/fault.control LD_PRELOAD=$inject exec ${BPFLOWD_UNDER:-} $bpflowd "\$@"
END
cat >"$work/daemon" <<END
#!/bin/sh
exec unshare --mount --propagation private $work/bpflowd "\$@"
END
chmod +x "$work/bpflowd" "$work/daemon"
bpflowd=$work/daemon
echo "nameserver 127.0.0.1" >"$work/resolv.conf"
head -c 1320 /dev/zero >"$work/fault.control"

name_server() { # [NAME]: it, else collector.test, is 127.0.0.1
	spawn b "$work/dnsmasq.log" dnsmasq --no-daemon --conf-file=/dev/null --no-resolv --no-hosts --listen-address=127.0.0.1 \
		--bind-interfaces --address="/${1:-collector.test}/127.0.0.1"
	wait_for 5 udp_bound b 53 || bail "no name server: $(cat "$work/dnsmasq.log")"
}

# ---- collectors

sink_on() { # NAME COMMAND...: a collector that says when it is ready
	spawn b "$work/$1.out" "${@:2}"
	declare -g "$1_pid=$spawned"
	wait_for 5 grep -q ready "$work/$1.out" || bail "$1: $(cat "$work/$1.out")"
}

strict_on() { # NAME udp|tcp PORT [ADDRESS]
	sink_on "$1" "$strict" listen "$2" "${4:-127.0.0.1}" "$3" "$work/$1.rec"
}

strict_off() { # NAME [OPTIONS of check...]: the report goes to $work/strict.json
	local pid=$1_pid
	stop "${!pid}"
	"$strict" check "$work/$1.rec" "${@:2}" >"$work/strict.json"
}

complaints() { # [EXPRESSION of those that are expected]
	strict first_errors | jq -c --arg expected "${1:-^$}" '[.[] | select(test($expected) | not)]'
}

self_signed() { # cert.pem, key.pem
	openssl req -x509 -newkey rsa:2048 -nodes -keyout "$work/key.pem" -subj /CN=collector -days 2 -out "$work/cert.pem" \
		-addext subjectAltName=IP:127.0.0.1 2>"$work/openssl.log" || bail "no certificate"
}

# ---- the configuration: collectors come from standard input

fault_config() { # DRAIN-INTERVAL [MORE INTERFACES]: flows end after a second of the daemon's clock
	{
		cat <<-END
			metering:
			  interfaces: [veth1${2:+, $2}]
			  direction: ingress
			  drain_interval: $1
			  active_timeout: 1s
			  idle_timeout: 1s
			collectors:
		END
		cat
	} | daemon_config "$work/bpflowd.yaml"
}

small_config() { # DRAIN-INTERVAL: for starts by the hundred, with small tables and no trackers
	fault_config "$1"
	sed -i '/_timeout:/d; s/drain_interval:.*/&\n  max_flows: 256\n  dns: false\n  rtt: false/' "$work/bpflowd.yaml"
	listen_http
}

listen_http() { sed -i 's/listen: ""/listen: 127.0.0.1:9469/' "$work/bpflowd.yaml"; }

# Every kind of session, each of which begins anew within a second, and the collectors.
every_session() {
	fault_config 50ms extra <<-END
		  - {name: udp, address: 127.0.0.1, port: 4739, source: 127.0.0.1, reconnect_interval: 1s}
		  - {name: v9, address: 127.0.0.1, port: 2055, protocol: netflow9, source: 127.0.0.1, reconnect_interval: 1s}
		  - {name: tcp, address: 127.0.0.1, port: 4740, transport: tcp, source: 127.0.0.1, reconnect_interval: 1s}
		  - {name: flapping, address: 127.0.0.1, port: 4741, transport: tcp, reconnect_interval: 1s}
		  - {name: named, address: collector.test, port: 4742, reconnect_interval: 1s}
		  - {name: file, file: $work/flows.ipfix, rotate_interval: 1s}
	END
	listen_http
	name_server
	strict_on udp udp 4739
	strict_on v9 udp 2055
	strict_on tcp tcp 4740
	strict_on named udp 4742
}

# ---- faults and time

injection() { python3 "$fault/control.py" "$work/fault.control" "$@"; } # see there

shift_clock() { injection shift "$1"; } # SECONDS, of the daemon

# A program that goes on counting what passes, and prints it as TAP.
table() { # PROGRAM OPTIONS...
	local status=0
	echo "$tap_count $tap_failed" >"$work/tap"
	in_ns b python3 "$fault/$1" --control "$work/fault.control" --socket "$work/control.sock" --far "$id-a" --mac "$mac" \
		--config "$work/bpflowd.yaml" --tap "$work/tap" "${@:2}" || status=$?
	read -r tap_count tap_failed <"$work/tap"
	return $status
}

calls_table() { # OPTIONS...: sets $all_packets and $all_octets, of what has been sent to the daemon
	rm -f "$work/all"
	table calls.py --log "$work/bpflowd.log" --sent "$work/all" --pid "$daemon_pid" "$@"
	[[ -s $work/all ]] || bail "the table broke off"
	read -r all_packets all_octets <"$work/all"
}

memory_table() { # OPTIONS...: memory.py, with memory.so before the daemon
	sed -i "s#^FAULT_CONTROL=.*LD_PRELOAD=[^ ]*#FAULT_MEMORY=$work/fault.memory LD_PRELOAD=$build/tests/fault/memory.so#" \
		"$work/bpflowd"
	table memory.py --memory "$work/fault.memory" --log "$work/memory.log" --daemon "$bpflowd" "$@" || bail "memory.py: $?"
}

# Packets come and time passes: sets $passed_packets and $passed_octets, of all so far.
passed_packets=0
passed_octets=0
pass() { # STEPS SECONDS-EACH FLOWS-EACH
	local packets octets
	in_ns b python3 "$fault/pass.py" --control "$work/fault.control" --socket "$work/control.sock" --far "$id-a" \
		--mac "$mac" --steps "$1" --seconds "$2" --flows "$3" >"$work/pass" || bail "time does not pass"
	read -r packets octets <"$work/pass"
	passed_packets=$((passed_packets + packets))
	passed_octets=$((passed_octets + octets))
}

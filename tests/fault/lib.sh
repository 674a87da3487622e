# SPDX-License-Identifier: MIT
# For the tests here, after tests/lib.sh: a daemon with inject.so before it, in namespace b, with a name server of its
# own; packets come from namespace a.
# shellcheck shell=bash disable=SC2154,SC2034
fault=$src/tests/fault
inject=$build/tests/fault/inject.so

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

strict_on() { # NAME udp|tcp PORT
	spawn b "$work/$1.out" "$strict" listen "$2" 127.0.0.1 "$3" "$work/$1.rec"
	declare -g "$1_pid=$spawned"
	wait_for 5 grep -q ready "$work/$1.out" || bail "$(cat "$work/$1.out")"
}

# Every kind of session, each of which begins anew within a second.
fault_config() {
	daemon_config "$work/bpflowd.yaml" <<-END
		metering:
		  interfaces: [veth1, extra]
		  direction: ingress
		  drain_interval: 50ms
		  active_timeout: 1s
		  idle_timeout: 1s
		collectors:
		  - {name: udp, address: 127.0.0.1, port: 4739, source: 127.0.0.1, reconnect_interval: 1s}
		  - {name: v9, address: 127.0.0.1, port: 2055, protocol: netflow9, source: 127.0.0.1, reconnect_interval: 1s}
		  - {name: tcp, address: 127.0.0.1, port: 4740, transport: tcp, source: 127.0.0.1, reconnect_interval: 1s}
		  - {name: flapping, address: 127.0.0.1, port: 4741, transport: tcp, reconnect_interval: 1s}
		  - {name: named, address: collector.test, port: 4742, reconnect_interval: 1s}
		  - {name: file, file: $work/flows.ipfix, rotate_interval: 1s}
	END
	sed -i 's/listen: ""/listen: 127.0.0.1:9469/' "$work/bpflowd.yaml"
}

shift_clock() { # SECONDS, of the daemon
	python3 -c '
import sys
sys.path.insert(0, sys.argv[1])
from control import Injection
Injection(sys.argv[2]).shift(float(sys.argv[3]))' "$fault" "$work/fault.control" "$1"
}

# Packets come and time passes: sets $passed_packets and $passed_octets, of all so far.
passed_packets=0
passed_octets=0
pass() { # STEPS SECONDS-EACH FLOWS-EACH
	local packets octets
	in_ns b python3 "$fault/pass.py" --control "$work/fault.control" --socket "$work/control.sock" --far "$id-a" \
		--mac "$(mac_of b veth1)" --steps "$1" --seconds "$2" --flows "$3" >"$work/pass" || bail "time does not pass"
	read -r packets octets <"$work/pass"
	passed_packets=$((passed_packets + packets))
	passed_octets=$((passed_octets + octets))
}

# Goes on counting behind a Python program that prints TAP.
tap_hand_over() { echo "$tap_count $tap_failed" >"$work/tap"; }
tap_take_over() { read -r tap_count tap_failed <"$work/tap"; }

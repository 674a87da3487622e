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

name_server() { # collector.test is 127.0.0.1
	spawn b "$work/dnsmasq.log" dnsmasq --no-daemon --conf-file=/dev/null --no-resolv --no-hosts --listen-address=127.0.0.1 \
		--bind-interfaces --address=/collector.test/127.0.0.1
	wait_for 5 udp_bound b 53 || bail "no name server: $(cat "$work/dnsmasq.log")"
}

strict_on() { # NAME udp|tcp PORT
	spawn b "$work/$1.out" "$strict" listen "$2" 127.0.0.1 "$3" "$work/$1.rec"
	declare -g "$1_pid=$spawned"
	wait_for 5 grep -q ready "$work/$1.out" || bail "$(cat "$work/$1.out")"
}

# Goes on counting behind a Python program that prints TAP.
tap_hand_over() { echo "$tap_count $tap_failed" >"$work/tap"; }
tap_take_over() { read -r tap_count tap_failed <"$work/tap"; }

#!/bin/bash
# SPDX-License-Identifier: MIT
# Many interfaces, each hook a descriptor where it is by tcx: the limit that login shells and systemd give is lifted;
# where it can't be, hooks leave some to collectors, files and clients, and those that could not be made are told.
. "$(dirname "$0")/../lib.sh"
require_root jq setpriv prlimit

pairs=60 # 242 hooks
netns_add a b
veth_pair a veth0 b veth1
mac=$(mac_of b veth1)
for ((i = 0; i < pairs; i++)); do echo "link add p$i type veth peer name q$i"; done | in_ns b ip -batch - || bail "no veth pairs"
daemon_config "$work/bpflowd.yaml" <<-END
	metering: {interfaces: [veth1, "p*", "q*"]}
	collectors:
	  - {name: file, file: $work/flows.ipfix, rotate_interval: 1s}
	  - {name: tcp, address: 127.0.0.1, port: 4739, transport: tcp, reconnect_interval: 1s}
END
within() { # LIMIT[:HARD] COMMAND...: without the right to more
	bpflowd_program=$bpflowd
	cat >"$work/within" <<-END
		#!/bin/sh
		exec prlimit --nofile=$1 setpriv --bounding-set=-sys_resource --inh-caps=-sys_resource $bpflowd_program "\$@"
	END
	chmod +x "$work/within"
	bpflowd="$work/within" daemon_start b "$work/bpflowd.yaml"
}
count() { # interface_attached|interface_failed
	ctl show stats --json | jq "[.metrics[] | select(.name == \"$1\").samples[].value] | add // 0"
}
up() { [[ $(metric collector_up "collector=$1") == 1 ]]; }
counted() { [[ $(metric observed_packets_total) -ge 1000 ]]; }
meters() { # NAME
	send a veth0 --dst-mac "$mac" --src 10.64.0.1 --dst 10.63.0.1 --packets 1000 --flows 10
	ctl flush >/dev/null
	check "$1: packets are counted" wait_for 10 counted
	check "$1: the file is written, and rotated" wait_for 10 rotated
}
rotated() { [[ $(find "$work" -name 'flows*.ipfix*' | wc -l) -ge 2 ]]; }

strict_start b tcp 4739
within 160:4096
all() { [[ $(count interface_attached) -eq $((2 + 4 * pairs)) ]]; }
check "a soft limit of 160: all hooks are there" wait_for 30 all
is "$(count interface_failed)" 0 "none failed"
check "the collector is reached" wait_for 10 up tcp
meters "a soft limit"
check "SIGTERM ends it with status 0" daemon_stop
strict_stop

rm -f "$work"/flows*
strict_start b tcp 4739
within 160:160
if ctl show interfaces | grep -q tcx; then
	some() { [[ $(count interface_attached) -ge 60 ]]; }
	check "a hard limit of 160: what can be metered is" wait_for 30 some
	ok "$(($(count interface_failed) < pairs))" "and the others are told: $(count interface_failed)"
	check "with what would help" grep -q "too many open files; a higher limit would do (LimitNOFILE= of the unit, ulimit -n)" \
		"$work/bpflowd.log"
fi
ok "$(($(find "/proc/$daemon_pid/fd" -type l | wc -l) > 160 - 32))" "descriptors are left"
check "the collector is reached all the same" wait_for 10 up tcp
check "the one that comes later, too" attached veth1
meters "a hard limit"
check "SIGTERM ends it with status 0" daemon_stop
done_testing

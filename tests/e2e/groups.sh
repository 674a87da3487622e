#!/bin/bash
# SPDX-License-Identifier: MIT
# Groups of collectors on real packets: the first dies and comes back, by UDP and by TCP; a third of a balanced group
# dies and comes back. Whatever was sent is received once or counted, and who gets it follows from who is there.
. "$(dirname "$0")/../lib.sh"
require_root jq ss

netns_add a b
veth_pair a veth0 b veth1
daemon_config "$work/bpflowd.yaml" <<-END
	metering:
	  interfaces: [veth1]
	  direction: ingress
	  drain_interval: 100ms
	  active_timeout: 1s
	  idle_timeout: 1s
	collectors:
	  - {name: u1, address: 127.0.0.1, port: 4711, group: u, group_mode: failover}
	  - {name: u2, address: 127.0.0.1, port: 4712, group: u, group_mode: failover}
	  - {name: t1, address: 127.0.0.1, port: 4721, transport: tcp, reconnect_interval: 1s, group: t, group_mode: failover}
	  - {name: t2, address: 127.0.0.1, port: 4722, transport: tcp, reconnect_interval: 1s, group: t, group_mode: failover}
	  - {name: b1, address: 127.0.0.1, port: 4731, group: b, group_mode: balance}
	  - {name: b2, address: 127.0.0.1, port: 4732, group: b, group_mode: balance}
	  - {name: b3, address: 127.0.0.1, port: 4733, group: b, group_mode: balance}
END

declare -A pid port=([u1]=4711 [u2]=4712 [t1]=4721 [t2]=4722 [b1]=4731 [b2]=4732 [b3]=4733)

collector_start() { # NAME RUN
	local kind=udp
	[[ $1 == t? ]] && kind=tcp
	spawn b "$work/$1.$2.out" "$strict" listen $kind 127.0.0.1 "${port[$1]}" "$work/$1.$2.rec"
	pid[$1]=$spawned
	wait_for 5 grep -q ready "$work/$1.$2.out" || bail "$(cat "$work/$1.$2.out")"
}

is_up() { # NAME true|false
	ctl show collectors --json | jq -e ".collectors[] | select(.name == \"$1\") | .up == $2"
}

all_up() { # true|false NAME...
	local name
	for name in "${@:2}"; do
		is_up "$name" "$1" || return 1
	done
}

sent_packets=0
lost=()
traffic() { # NETWORK FLOWS
	send a veth0 --dst-mac "$(mac_of b veth1)" --src "10.$1.0.1" --dst 10.63.0.1 --flows "$2" --packets "$(($2 * 2))"
	sent_packets=$((sent_packets + $(sent packets)))
	ctl flush >"$work/flush.out" || bail "flush: $(cat "$work/flush.out")"
}

exported() { metric exported_packets_total "collector=$1"; }

judge() { # NAME.RUN...
	local run
	for run in "$@"; do
		"$strict" check "$work/$run.rec" --src 10.64.0.0/16 --src 10.65.0.0/16 --src 10.66.0.0/16 \
			--src 10.67.0.0/16 >"$work/$run.json"
		is "$(jq -c .first_errors "$work/$run.json")" "[]" "$run: templates first, and no gap"
	done
}

received() { jq .packets "$work/$1.json"; }			  # NAME.RUN: packets
of() { jq ".networks[\"10.$2.0.0/16\"].packets" "$work/$1.json"; } # NAME.RUN NETWORK: packets

for name in u1 u2 t1 t2 b1 b2 b3; do
	collector_start $name 1
done
daemon_start b "$work/bpflowd.yaml"
check "all are up" wait_for 5 all_up true u1 u2 t1 t2 b1 b2 b3

traffic 64 3000
is "$(exported u1) $(exported u2)" "6000 0" "failover, UDP: the first gets everything"
is "$(exported t1) $(exported t2)" "6000 0" "failover, TCP: the first gets everything"

for name in u1 t1 b1; do
	stop "${pid[$name]}"
done
traffic 65 200
check "the dead are noticed" wait_for 10 all_up false u1 t1 b1
traffic 66 3000
before=$(exported u2)
check "the others are up" all_up true u2 t2 b2 b3

for name in u1 t1 b1; do
	collector_start $name 2
done
check "who returns is noticed" wait_for 10 all_up true u1 t1 b1
traffic 67 3000
is "$(exported u2)" "$before" "failover, UDP: nothing for the second once the first is back"
for name in u1 u2 t1 t2 b1 b2 b3; do
	lost[${#lost[@]}]=$(metric lost_packets_total "collector=$name")
done
check "SIGTERM ends it with status 0" daemon_stop
for name in u1 u2 t1 t2 b1 b2 b3; do
	stop "${pid[$name]}"
done

judge u1.1 u1.2 u2.1 t1.1 t1.2 t2.1 b1.1 b1.2 b2.1 b3.1
is "$(($(received u1.1) + $(received u1.2) + $(received u2.1) + lost[0] + lost[1]))" "$sent_packets" \
	"failover, UDP: sent = received + counted"
is "$(($(received t1.1) + $(received t1.2) + $(received t2.1)))" "$sent_packets" "failover, TCP: sent = received"
is "${lost[2]} ${lost[3]}" "0 0" "failover, TCP: nothing lost"
is "$(($(received b1.1) + $(received b1.2) + $(received b2.1) + $(received b3.1) + lost[4] + lost[5] + lost[6]))" \
	"$sent_packets" "balance: sent = received + counted"
is "$(of u1.1 64) $(of u2.1 66) $(of u1.2 67)" "6000 6000 6000" "failover, UDP: the first, the second, the first again"
is "$(of t1.1 64) $(of t2.1 66) $(of t1.2 67)" "6000 6000 6000" "failover, TCP: the first, the second, the first again"
is "$(($(of b2.1 66) + $(of b3.1 66)))" 6000 "balance: the dead one's share went to the others"
for run in "b1.1 64" "b2.1 64" "b3.1 64" "b1.2 67" "b2.1 67" "b3.1 67"; do
	read -r name network <<<"$run"
	share=$(of "$name" "$network")
	ok "$((share < 1700 || share > 2300))" "balance: $name gets about a third of 10.$network" || diag "$share of 6000"
done
done_testing

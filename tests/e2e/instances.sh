#!/bin/bash
# SPDX-License-Identifier: MIT
# Two instances on one interface are both right, whatever happens to one of them: a third that wants its socket, ten times
# by each way of attaching kill -9 and restart under traffic, an upgrade in place. Nothing is left of any.
. "$(dirname "$0")/../lib.sh"
require_root jq bpftool tc ss

netns_add a b
veth_pair a veth0 b veth1

config() { # NAME PORT: an instance with a control socket of its own
	daemon_config "$work/$1.yaml" <<-END
		metering:
		  interfaces: [veth1]
		  max_flows: 16384
		  drain_interval: 100ms
		collectors:
		  - {name: strict, address: 127.0.0.1, port: $2}
	END
	sed -i "s|control_socket:.*|control_socket: $work/$1.sock|" "$work/$1.yaml"
}

ask() { "$bpflowctl" --socket "$work/$1.sock" "${@:2}"; }
# (jq takes no input at all for a yes)
hooked() { ask "$1" show interfaces --json >"$work/hooked" && jq -e '.interfaces[] | select(.name == "veth1" and .ingress and .egress)' "$work/hooked"; }

start() { # NAME: its pid is $started
	spawn b "$work/$1.log" "$bpflowd" -c "$work/$1.yaml"
	started=$spawned
	wait_for 10 hooked "$1" || { diag <"$work/$1.log" && bail "instance $1 does not come up"; }
}

objects_of() { bpf_objects "$1" >>"$work/objects"; }

none_left() {
	local kind number
	while read -r kind number; do
		! bpftool "${kind%_id}" show id "$number" || return 1
	done < <(sort -u "$work/objects")
	! tc_filters | grep -q bpf
}

tc_filters() { in_ns b tc filter show dev veth1 ingress && in_ns b tc filter show dev veth1 egress; }

record() { # NAME PORT
	spawn b "$work/$1.strict" "$strict" listen udp 127.0.0.1 "$2" "$work/$1.rec"
	wait_for 5 grep -q ready "$work/$1.strict"
	recorders+=("$spawned")
}

traffic() { # NUMBER of the source network
	send a veth0 --dst-mac "$(mac_of b veth1)" --src "10.$1.0.1" --dst 10.63.0.1 --flows 500 --packets 20000
}

received() { # NAME: what its collector got
	"$strict" check "$work/$1.rec" --src 10.64.0.0/16 --src 10.65.0.0/16 --src 10.66.0.0/16 >"$work/strict.json"
}
wanted='{"10.64.0.0/16":20000,"10.65.0.0/16":20000,"10.66.0.0/16":20000}'

busy_ms() { # PID: CPU time, which other load on the machine does not change
	awk -v tick="$(getconf CLK_TCK)" '{ print int(($14 + $15) * 1000 / tick) }' "/proc/$1/stat"
}

mode() { # tcx|clsact
	local first second round slowest_ms=0 took_ms status=0
	unset BPFLOWD_FORCE_CLSACT
	[[ $1 == tcx ]] || export BPFLOWD_FORCE_CLSACT=1
	recorders=()
	rm -f "$work"/*.rec "$work"/*.log "$work/objects"
	config one 4739
	config two 4740
	record one 4739
	record two 4740
	start one
	first=$started
	start two
	second=$started
	is "$(ask two show interfaces --json | jq -r '.interfaces[] | select(.name == "veth1") | .ingress')" "$1" "$1: attached by it"
	objects_of "$first"
	objects_of "$second"
	traffic 64

	in_ns b "$bpflowd" -c "$work/one.yaml" >"$work/third.out" 2>&1 || status=$?
	is "$status" 2 "$1: a third with the socket of the first does not start"
	is "$(wc -l <"$work/third.out")" 1 "$1: it says why in one line" || diag <"$work/third.out"
	check "$1: the first still answers" hooked one
	traffic 65
	check "$1: flush" ask one flush
	check "$1: flush" ask two flush

	spawn a "$work/flood" "$blast" --interface veth0 --dst-mac "$(mac_of b veth1)" --src 10.70.0.1 --dst 10.63.0.1 \
		--flows 500 --packets 5000000 --rate 20000
	flood=$spawned
	for round in {1..10}; do
		sleep "0.$((RANDOM % 90 + 10))"
		objects_of "$first"
		stop "$first" KILL
		start one
		first=$started
		took_ms=$(busy_ms "$first")
		[[ $took_ms -le $slowest_ms ]] || slowest_ms=$took_ms
	done
	diag "$1: the slowest start took $slowest_ms ms of CPU time"
	ok "$((slowest_ms > 2000))" "$1: starts within 2 s after each kill"
	is "$(tc_filters | grep -c handle)" "$([[ $1 == tcx ]] && echo 0 || echo 4)" "$1: no filter of a killed one"
	stop "$flood"
	is "$(ask two show stats --json | jq '[.metrics[] | select(.name == "lost_packets_total") | .samples[].value] | add')" 0 \
		"$1: the other lost nothing meanwhile"

	# upgrade in place: the old one ends, the new one begins
	objects_of "$first"
	check "$1: SIGTERM ends the first with status 0" stop "$first"
	start one
	first=$started
	objects_of "$first"
	traffic 66
	check "$1: flush" ask one flush
	check "$1: flush" ask two flush
	check "$1: SIGTERM ends it with status 0" stop "$first"
	check "$1: SIGTERM ends the other with status 0" stop "$second"
	check "$1: nothing is left" wait_for 5 none_left
	for round in "${recorders[@]}"; do
		stop "$round"
	done
	received one
	is "$(strict 'networks | map_values(.packets)') $(strict first_errors)" "$wanted []" "$1: the first has every packet, once"
	received two
	is "$(strict 'networks | map_values(.packets)') $(strict first_errors) $(strict sessions)" "$wanted [] 1" \
		"$1: so has the second, in one session"
}

mode tcx
mode clsact
done_testing

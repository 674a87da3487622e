#!/bin/bash
# SPDX-License-Identifier: MIT
# bpflowctl against the daemon itself: what was sent is what it shows, sorted, filtered and limited as asked; the live
# screen in a terminal of 80x24; what all flows at once cost the daemon.
. "$(dirname "$0")/../lib.sh"
require_root jq tmux

netns_add a b
veth_pair a veth0 b veth1
daemon_config "$work/bpflowd.yaml" <<-END
	metering:
	  interfaces: [veth1]
	  drain_interval: 100ms
	collectors:
	  - {name: archive, file: $work/flows.ipfix}
	  - {name: dead, address: 127.0.0.1, port: 1, transport: tcp}
END
daemon_start b "$work/bpflowd.yaml"
mac=$(mac_of b veth1)
send a veth0 --dst-mac "$mac" --src 10.64.0.1 --dst 10.63.0.1 --flows 40 --packets 400 --size 100
send a veth0 --dst-mac "$mac" --src 10.65.0.1 --dst 10.63.0.2 --packets 1000 --size 60
send a veth0 --dst-mac "$mac" --proto tcp --src fd00::1 --dst fd01::1 --dst-port 443 --packets 100 --size 1400

flows() { ctl show flows --json "$@" | jq -c "[.flows[] | $query]"; }
all_there() { [[ $(metric flows_active) -eq 42 ]]; }
check "42 flows" wait_for 5 all_there
query=.packetDeltaCount
is "$(flows --sort packets --limit 3)" "[1000,100,10]" "sorted by packets, limited"
is "$(flows --sort bytes --limit 2)" "[100,1000]" "sorted by octets"
is "$(flows --limit 0 | jq length)" 42 "all of them"
is "$(flows --address 10.64.0.0/16 --limit 0 | jq -c '[length, add]')" "[40,400]" "by network"
is "$(flows --address fd01::1)" "[100]" "by address"
is "$(flows --port 443)" "[100]" "by port"
is "$(flows --protocol tcp)" "[100]" "by protocol"
is "$(flows --interface veth1 --limit 0 | jq length) $(flows --interface lo | jq length)" "42 0" "by interface"
is "$(ctl show flows --limit 2 | tail -1)" "2 of 42 flows; --limit 0 shows all" "the table says what it leaves out"
check "a wrong network is refused" eval '! ctl show flows --address 10.64.0.0/33'

is "$(ctl show interfaces --json | jq -c '.interfaces[] | select(.name == "veth1") | [.metered, .ingress_packets]')" \
	"[true,1500]" "interfaces" || ctl show interfaces --json | diag
is "$(ctl show collectors --json | jq -c '[.collectors[] | [.name, .up]]')" '[["archive",true],["dead",false]]' "collectors"
is "$(ctl show templates --json | jq -c '[.templates[] | .name] | unique')" '["standard"]' "templates"
is "$(metric observed_packets_total)" 1500 "stats"
check "drops" ctl show drops
for what in flows interfaces collectors templates stats drops; do
	check "show $what: JSON" eval "ctl show $what --json | jq -e type | grep -q object"
done
ctl flush >"$work/flush.out"
is "$(head -1 "$work/flush.out")" "42 flows exported" "flush"
is "$(grep -c '^collector dead is down: .*; 42 flows wait for it' "$work/flush.out")" 1 "it says who has not got them" || diag <"$work/flush.out"

# ---- the live screen, with traffic

mux() { tmux -S "$work/tmux" -f /dev/null "$@"; }
on_screen() { mux capture-pane -p >"$work/screen" && grep -qE -- "$1" "$work/screen"; }
spawn a "$work/blast.out" "$blast" --interface veth0 --dst-mac "$mac" --src 10.66.0.1 --dst 10.63.0.1 --flows 20 \
	--packets 1000000 --rate 2000
mux new-session -d -x 80 -y 24 "$bpflowctl -s $work/control.sock top; echo exit \$?; sleep 60"
check "top: flows" wait_for 20 on_screen '^Flows +20 active'
check "top: the fastest flows" wait_for 10 on_screen '10\.66\.0\.1:[0-9]+ +10\.63\.0\.1'
check "top: collectors" on_screen '^dead +DOWN'
is "$(wc -l <"$work/screen") $(awk 'length > 80' "$work/screen" | wc -l)" "24 0" "it fits 80x24" || diag <"$work/screen"
mux resize-window -x 132 -y 43
check "top: a larger window" wait_for 10 on_screen '10\.66\.0\.1'
mux send-keys q
check "q quits" wait_for 5 on_screen '^exit 0'
mux kill-server
send a veth0 --dst-mac "$mac" --src 10.67.0.1 --dst 10.63.0.1 --flows 7 --packets 7 --size 100
queued() { ctl show collectors --json | jq '.collectors[] | select(.name == "dead") | .queued_flows'; }
before=$(queued)
ctl flush >"$work/flush.out" 2>&1 &
flushing=$!
flush_begun() { [[ $(queued) -gt $before ]]; }
check "a flush that waits" wait_for 5 flush_begun
check "SIGTERM ends it with status 0" daemon_stop
wait $flushing
is "$? $(grep -c 'flows exported' "$work/flush.out")" "0 1" "the flush is answered all the same" || diag <"$work/flush.out"
check "nobody there: it says so" eval 'ctl show flows 2>&1 | grep -q "is bpflowd running"'

# ---- all of many flows: 25 MB of text, of which the daemon holds a piece, and 0.2 kB for each flow meanwhile

kill "$spawned" # the traffic for the live screen
wait "$spawned" 2>/dev/null
daemon_config "$work/bpflowd.yaml" <<-END
	metering: {interfaces: [veth1], active_timeout: 0, idle_timeout: 3600s}
	collectors:
	  - {name: archive, file: $work/flows.ipfix}
END
daemon_start b "$work/bpflowd.yaml"
wait_for 5 attached veth1
many=20000
send a veth0 --dst-mac "$mac" --src 10.64.0.1 --dst 10.63.0.1 --flows $many --packets $many --rate 50000
all_held() { [[ $(metric flows_active) -eq $many ]]; }
check "20,000 flows" wait_for 30 all_held
status_kb() { awk -v key="$1:" '$1 == key { print $2 }' "/proc/$daemon_pid/status"; }
is "$(flows --limit 10 | jq length)" 10 "some of them"
before=$(status_kb RssAnon)
echo 5 >"/proc/$daemon_pid/clear_refs" # the peak is what it has now
resident=$(status_kb VmRSS)
is "$(ctl show flows --json --limit 0 | jq -c '[(.flows | length), .matched, .total]')" "[$many,$many,$many]" "all of them at once"
peak=$(($(status_kb VmHWM) - resident))
given_back() { [[ $(status_kb RssAnon) -lt $((before + 4096)) ]]; }
check "the daemon gives the memory back" wait_for 10 given_back
diag "$peak kB more at most, $(($(status_kb RssAnon) - before)) kB afterwards"
ok "$((peak > 16384))" "all flows at once take less than 16 MiB of it"
check "SIGTERM ends that one, too" daemon_stop
done_testing

#!/bin/bash
# SPDX-License-Identifier: MIT
# bpflowctl against canned answers: tables, JSON, errors and the live screen, as text.
. "$(dirname "$0")/../lib.sh"
socket=$work/control.sock
export TZ=UTC

ctl() {
	"$bpflowctl" -s "$socket" "$@"
}

refused() { # STATUS PART COMMAND...: how a command fails
	local wanted=$1 part=$2 status=0
	shift 2
	"$@" >"$work/out" 2>"$work/err" || status=$?
	is "$status" "$wanted" "exit status of: ${*#"$build/"}"
	is "$(grep -cF -- "$part" "$work/err")" 1 "it says: $part"
	is "$(stat -c %s "$work/out")" 0 "nothing on standard output"
}

table() { # NAME ARGS...: output equals standard input, blanks at the ends of lines aside
	local name=$1
	shift
	ctl "$@" 2>&1 | sed 's/ *$//' >"$work/got"
	cat >"$work/wanted"
	check "$name" diff -u "$work/wanted" "$work/got"
}

refused 2 "No such file or directory; is bpflowd running" ctl show flows
refused 2 "is bpflowd running" ctl top
refused 1 'unknown thing to show "flow"' ctl show flow
refused 1 "show what?" ctl show
refused 1 'unknown command "stop"' ctl stop
refused 1 'one word too many' ctl flush now
refused 1 'one word too many' ctl show flows all
refused 1 'from 0 to 255, is right' ctl show flows --protocol quic
refused 1 'a command is needed' ctl
refused 1 'are for "show flows"' ctl --limit 3 show drops
refused 1 'Unknown option --colour' ctl --colour show flows
refused 2 "File name too long" "$bpflowctl" -s "/$(printf '%0200d' 0)" show flows

: >"$work/dead.sock"
refused 2 "Connection refused" "$bpflowctl" -s "$work/dead.sock" show flows

serve() {
	python3 "$src/tests/cli/canned.py" "$socket" &
	server=$!
	children+=("$server")
	wait_for 10 test -S "$socket"
}
serve

table "show flows" show flows <<'END'
PROTO  SOURCE               DESTINATION        IN    OUT   FLAGS  START         SECONDS  PACKETS  OCTETS  DROPS
tcp    192.0.2.1:40001      198.51.100.9:443   lan0  wan0  APSF   22:13:20.000    2.500       11  126000
tcp    [2001:db8::2]:40002  [2001:db8::9]:443  lan0  wan0  APSF   22:13:20.000    2.500       22  252000
tcp    192.0.2.3:40003      198.51.100.9:443   lan0  wan0  APSF   22:13:20.000    2.500       33  378000
3 of 40 flows; --limit 0 shows all
END
table "show interfaces: names can't write to the terminal" show interfaces <<'END'
INTERFACE    NETNS  INDEX  UP   METERED  INGRESS  EGRESS  IN-PACKETS  IN-OCTETS  OUT-PACKETS  OUT-OCTETS  ERROR
lan0                    2  yes  yes      tcx      tcx             10       1000            0           0
we?[31mird?  blue       3                                          0          0            0           0  no permission
END
table "show collectors" show collectors <<'END'
COLLECTOR  ADDRESS               PROTOCOL  TRANSPORT  TEMPLATE  STATE  FLOWS  PACKETS  MESSAGES  QUEUE-BYTES  LOST-FLOWS  LOST-PACKETS  ERROR
primary    [2001:db8::10]:4739   ipfix     tcp        standard  down      12      345         6         1.5k           2            17  connection refused
archive    /var/lib/flows.ipfix  ipfix     file       full      up        14      362         7            0           0             0
END
table "show templates" show templates <<'END'
TEMPLATE  FORMAT   ID  RECORD  FIELDS
standard  ipfix   256  ipv4    sourceIPv4Address octetDeltaCount
standard  ipfix   257  ipv6    sourceIPv6Address
END
script -qc "stty cols 60; $bpflowctl -s $socket show templates" /dev/null </dev/null | tr -d '\r' >"$work/got"
cat >"$work/wanted" <<'END'
TEMPLATE  FORMAT   ID  RECORD  FIELDS
standard  ipfix   256  ipv4    sourceIPv4Address
                               octetDeltaCount
standard  ipfix   257  ipv6    sourceIPv6Address
END
check "show templates: no wider than the terminal" diff -u "$work/wanted" "$work/got"
table "show drops" show drops <<'END'
REASON          CAUSE  INTERFACE  NETNS  PACKETS  OCTETS
NETFILTER_DROP      8  lan0                   50    4200
END
table "show stats" show stats <<'END'
METRIC                                                                    VALUE
flows_active                                                                 40
flows_created_total                                                         107
observed_packets_total{direction=ingress}                                  5000
observed_octets_total{direction=ingress}                                1000000
lost_packets_total{place=queue,collector=primary}                            17
lost_packets_total{place=flow_table}                                          0
dropped_packets_total{reason=NETFILTER_DROP,interface=lan0}                  30
dropped_packets_total{reason=NETFILTER_DROP,interface=wan0}                  20
dropped_packets_total{reason=NO_SOCKET}                                       3
dns_latency_seconds                                          100, mean 0.005000
dns_unanswered_total                                                          4
rtt_seconds{side=client}                                       5, mean 0.100000
rtt_seconds{side=server}                                       8, mean 0.062500
END
table "flush" flush <<'END'
40 flows exported
collector primary is down: connection refused; 3 flows wait for it
END
refused 1 "bpflowd.yaml:3:1: exporter: unknown key" ctl reload
is "$(ctl --json show drops | python3 -c 'import json,sys; print(json.load(sys.stdin)["drops"][0]["octets"])')" 4200 \
	"--json is JSON"
request=$(ctl --json show flows --sort rate -n 0 --address 192.0.2.0/24 --port 443 -i lan0 --protocol TCP |
	python3 -c 'import json,sys; print(json.dumps(json.load(sys.stdin)["request"], sort_keys=True))')
is "$request" '{"address": "192.0.2.0/24", "interface": "lan0", "limit": 0, "port": 443, "protocol": 6, "sort": "rate", "verb": "flows"}' \
	"options of show flows become arguments"
ctl show stats >/dev/full 2>/dev/null
is $? 1 "a full disk is an error"

# ---- completion

completions() { # WORDS...: what bash offers for the last one
	bash -c '. "$1"; shift; COMP_WORDS=(bpflowctl "$@"); COMP_CWORD=$#; _bpflowctl; echo "${COMPREPLY[*]}"' \
		bash "$src/conf/bpflowctl.bash-completion" "$@"
}
is "$(completions '')" "show top flush reload" "completion: commands"
is "$(completions show s)" "stats" "completion: show"
is "$(completions --sort p)" "packets" "completion: a value"
for option in $(completions --); do
	check "completion: $option exists" grep -qF -- " $option" <("$bpflowctl" --help | tr , ' ' | sed 's/^/ /')
done
check "completion: lo is an interface" grep -qw lo <(completions -i lo)

# ---- the live screen

if ! command -v tmux >/dev/null; then
	skip "tmux is missing" "top"
	done_testing
	exit
fi
# a server of its own: nobody's sessions are touched
mux() {
	tmux -S "$work/tmux" -f /dev/null "$@"
}
screen() { # waits until the screen shows the text
	for _ in $(seq 100); do
		mux capture-pane -p >"$work/screen" 2>/dev/null
		grep -qE -- "$1" "$work/screen" && return
		sleep 0.1
	done
	cat "$work/screen"
	return 1
}

mux new-session -d -x 80 -y 24 "$bpflowctl -s $socket top; echo exit \$?; sleep 60"
check "top: rates after a second" screen '^Flows  40 active  [678] new/s'
is "$(wc -l <"$work/screen")" 24 "it fits 80x24"
is "$(grep -cE 'Lost +queue 17 packets' "$work/screen")" 1 "losses by place"
is "$(grep -cE '^DNS .*p50 <10 ms p95 <100 ms  unanswered 4' "$work/screen")" 1 "DNS latency"
is "$(grep -cE '^TCP .*client .* p50 <1 ms p95 <1 ms .*server .*p50 >100 ms' "$work/screen")" 1 "TCP latency"
is "$(grep -cE '^primary +DOWN .*1.5k +17 +connection refused' "$work/screen")" 1 "collector state and queue"
is "$(grep -cE '^NETFILTER_DROP +(49|50|48) ' "$work/screen")" 1 "drops by reason"
is "$(grep -E -A1 '^ *BIT/S' "$work/screen" | grep -cE '192.0.2.40:40040 +198.51.100.9:443')" 1 "fastest flow first"
mux resize-window -x 120 -y 50
check "a larger window shows more" screen '192.0.2.10:40010'
mux resize-window -x 30 -y 8
check "a tiny window" screen '^COLLECTOR +STATE'
is "$(wc -l <"$work/screen")" 8 "it fits 30x8"
mux resize-window -x 80 -y 24
stop "$server"
check "the daemon left: it says so and goes on" screen 'is bpflowd running'
rm -f "$socket"
serve
check "the daemon is back" screen 'q quit'
mux send-keys q
check "q quits" screen '^exit 0'
mux kill-server
refused 1 "top needs a terminal" ctl top
done_testing

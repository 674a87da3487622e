# SPDX-License-Identifier: MIT
# For end-to-end tests: `. "$(dirname "$0")/../lib.sh"`. TAP, network namespaces, the daemon, collectors. What a test
# starts and makes here is gone when it ends, whatever happens; nothing else is ever touched.
# shellcheck shell=bash
set -u

src=${BPFLOWD_SRC:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}
build=${BPFLOWD_BUILD:-$src}
bpflowd=$build/exporter/bpflowd
bpflowctl=$build/exporter/bpflowctl
blast=$build/tests/tools/blast
strict=$src/tests/tools/strict.py
work=$(mktemp -d)
id=bpf$$
PATH=$PATH:/usr/sbin:/sbin
export LC_ALL=C

# ---- TAP

tap_count=0
tap_failed=0

ok() { # STATUS NAME: passes if STATUS is 0
	tap_count=$((tap_count + 1))
	if [[ $1 -eq 0 ]]; then
		echo "ok $tap_count - $2"
	else
		tap_failed=$((tap_failed + 1))
		echo "not ok $tap_count - $2"
	fi
	return "$1"
}

is() { # GOT WANTED NAME
	local status=0
	[[ $1 == "$2" ]] || status=1
	ok $status "$3" || diag "got '$1', wanted '$2'"
}

check() { # NAME COMMAND...: passes if the command succeeds; what it printed is shown if it doesn't
	local name=$1 status=0
	shift
	"$@" >"$work/check.out" 2>&1 || status=$?
	ok "$((status != 0))" "$name" || { diag "exit status $status of: $*" && diag <"$work/check.out"; }
}

diag() { # TEXT, or standard input
	if [[ $# -gt 0 ]]; then
		echo "# $*"
	else
		head -n "${DIAG_LINES:-40}" | sed 's/^/# /'
	fi
}

skip() { # REASON NAME: one case. A reason that begins with "kernel:" is fine in CI too, any other is a failure there.
	tap_count=$((tap_count + 1))
	echo "ok $tap_count - $2 # SKIP $1"
}

skip_all() { # REASON
	echo "1..0 # SKIP $1"
	exit 0
}

bail() {
	echo "Bail out! $*"
	exit 1
}

done_testing() {
	echo "1..$tap_count"
	exit "$((tap_failed > 0))"
}

require_root() {
	[[ $EUID -eq 0 ]] || skip_all "needs root"
	need ip "$@"
}

need() { # COMMAND...
	local command
	for command in "$@"; do
		command -v "$command" >/dev/null || skip_all "$command is not installed"
	done
}

# ---- what has to be undone

children=()
namespaces=()

undo() { :; } # a test's own part of it

clean_up() {
	local status=$? name pid
	trap - EXIT
	undo
	for pid in "${children[@]}"; do
		kill -TERM "$pid" 2>/dev/null
	done
	for pid in "${children[@]}"; do
		wait_for 5 gone "$pid" || kill -KILL "$pid"
		wait "$pid" 2>/dev/null
	done
	for name in "${namespaces[@]}"; do
		ip netns delete "$id-$name"
	done
	if [[ -n ${BPFLOWD_TEST_KEEP:-} ]]; then
		diag "kept $work"
	else
		rm -rf "$work"
	fi
	exit "$status"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

gone() { [[ ! -e /proc/$1 || $(cut -d')' -f2 "/proc/$1/stat") == " Z"* ]]; } # ended, though perhaps not yet waited for

forget() { # PID: ended and waited for
	local pid left=()
	for pid in "${children[@]}"; do
		[[ $pid == "$1" ]] || left+=("$pid")
	done
	children=("${left[@]}")
}

stop() { # PID [SIGNAL]: returns its exit status
	local status=0
	kill -"${2:-TERM}" "$1" 2>/dev/null
	wait "$1" 2>/dev/null || status=$?
	forget "$1"
	return $status
}

wait_for() { # SECONDS COMMAND...: until the command succeeds; where sleeping is free (tests/vm) it looks less often
	local end=$((${EPOCHREALTIME/./} + $1 * 1000000))
	shift
	until "$@" >/dev/null 2>&1; do
		[[ ${EPOCHREALTIME/./} -lt $end ]] || return 1
		sleep "${BPFLOWD_TEST_POLL:-0.05}"
	done
}

# ---- network

netns_add() { # NAME...
	local name
	for name in "$@"; do
		ip netns add "$id-$name" || bail "no network namespace"
		namespaces+=("$name")
		in_ns "$name" ip link set lo up
	done
}

in_ns() { # NAMESPACE COMMAND...; the command keeps the mounts, so that /sys stays that of the host
	local name=$1
	shift
	nsenter --net="/run/netns/$id-$name" "$@"
}

spawned=

spawn() { # NAMESPACE OUTPUT COMMAND...: in the background, until the test ends; $spawned is the command's own pid
	(exec nsenter --net="/run/netns/$id-$1" "${@:3}") >>"$2" 2>&1 &
	spawned=$!
	children+=("$spawned")
}

# Two ends with nothing of their own on the line: no IPv6 autoconfiguration, no ARP unless asked for.
veth_pair() { # NAMESPACE1 INTERFACE1 NAMESPACE2 INTERFACE2
	ip link add "$2" netns "$id-$1" type veth peer name "$4" netns "$id-$3" || bail "no veth pair"
	veth_end "$1" "$2"
	veth_end "$3" "$4"
	wait_for 5 carrier "$1" "$2" && wait_for 5 carrier "$3" "$4"
}

veth_end() {
	in_ns "$1" ip link set "$2" addrgenmode none
	in_ns "$1" ip link set "$2" up
}

carrier() { in_ns "$1" ip -o link show dev "$2" | grep -q 'state UP'; }

mac_of() { # NAMESPACE INTERFACE
	in_ns "$1" ip -o link show dev "$2" | sed 's/.*link\/ether \([0-9a-f:]*\).*/\1/'
}

ifindex_of() { in_ns "$1" ip -o link show dev "$2" | cut -d: -f1; }

# Addresses on both ends, neighbours known for ever: a stream between them is all that crosses.
connect_ends() { # NAMESPACE1 INTERFACE1 ADDRESS1 NAMESPACE2 INTERFACE2 ADDRESS2 PREFIX_LENGTH
	local nodad=
	[[ $3 == *:* ]] && nodad=nodad
	in_ns "$1" ip address add "$3/$7" dev "$2" $nodad
	in_ns "$4" ip address add "$6/$7" dev "$5" $nodad
	in_ns "$1" ip neighbour replace "$6" lladdr "$(mac_of "$4" "$5")" nud permanent dev "$2"
	in_ns "$4" ip neighbour replace "$3" lladdr "$(mac_of "$1" "$2")" nud permanent dev "$5"
}

offloads() { # NAMESPACE INTERFACE on|off FEATURE...
	local ns=$1 interface=$2 state=$3 feature arguments=()
	shift 3
	for feature in "$@"; do
		arguments+=("$feature" "$state")
	done
	in_ns "$ns" ethtool -K "$interface" "${arguments[@]}" >/dev/null 2>"$work/ethtool.err" ||
		bail "ethtool: $(cat "$work/ethtool.err")"
}

statistic() { in_ns "$1" ip -j -s link show dev "$2" | jq ".[0].stats64.$3"; } # e.g. veth0 in a, rx.packets

# ---- traffic

send() { # NAMESPACE INTERFACE OPTIONS...: see tests/tools/blast.c; its JSON goes to $work/sent
	in_ns "$1" "$blast" --interface "$2" "${@:3}" >"$work/sent" || bail "blast failed"
}

sent() { jq ".$1" "$work/sent"; }

# ---- the daemon

daemon_pid=

# Reads metering and collectors from standard input; the rest is the same for every test.
daemon_config() { # FILE
	cat - <(
		cat <<-END
			exporter:
			  template_dir: $src/templates
			  control_socket: $work/control.sock
			http:
			  listen: ""
		END
	) >"$1"
}

daemon_start() { # NAMESPACE CONFIG
	local tries=300
	spawn "$1" "$work/bpflowd.log" "$bpflowd" -c "$2"
	daemon_pid=$spawned
	until ctl show stats >/dev/null 2>&1; do
		if gone "$daemon_pid" || [[ $((tries--)) -eq 0 ]]; then
			diag <"$work/bpflowd.log"
			bail "the daemon does not come up"
		fi
		sleep 0.05
	done
}

daemon_stop() { # [SIGNAL]: its exit status
	local status=0
	stop "$daemon_pid" "${1:-TERM}" || status=$?
	daemon_pid=
	[[ $status -eq 0 ]] || diag <"$work/bpflowd.log"
	return $status
}

ctl() { "$bpflowctl" --socket "$work/control.sock" "$@"; }

metric() { # NAME [LABEL=VALUE]: sum of its samples
	set -- "$1" "${2:-}"
	ctl show stats --json | jq --arg name "$1" --arg key "${2%%=*}" --arg value "${2#*=}" '
		[.metrics[] | select(.name == $name) | .samples[]
			| select($key == "" or .labels[$key] == $value) | .value] | add // 0'
}

attached() { # INTERFACE (jq takes no input at all for a yes)
	ctl show interfaces --json >"$work/interfaces.json" && jq -e --arg name "$1" '.interfaces[]
		| select(.name == $name and .metered and (.ingress != "" or .egress != ""))' "$work/interfaces.json"
}

# Ids of the programs and links that a process holds.
bpf_objects() { # PID
	cat "/proc/$1/fdinfo/"* 2>/dev/null | sed -n 's/^\(prog_id\|link_id\):[[:space:]]*/\1 /p' | sort -u
}

# ---- collectors

udp_bound() { in_ns "$1" ss -Hlun "sport = :$2" | grep -q .; }
udp_drops() { in_ns "$1" ss -Hlunm "sport = :$2" | sed -n 's/.*,d\([0-9]*\)).*/\1/p'; }
udp_empty() { in_ns "$1" ss -Hlun "sport = :$2" | awk '$2 { busy = 1 } END { exit busy || !NR }'; }

# Readers get the processor when they want it (chrt). Amid other work on two processors nfcapd overruns its own socket now
# and then, which is no fault of the exporter's; what a socket drops is counted by itself (udp_drops) and never excused.
nfcapd_pid=
nfcapd_start() { # NAMESPACE PORT
	mkdir -p "$work/nfcapd"
	rm -f "$work/nfcapd.log"
	spawn "$1" "$work/nfcapd.log" chrt -f 1 nfcapd -w "$work/nfcapd" -b 127.0.0.1 -p "$2" -t 3600 -B 2000000
	nfcapd_pid=$spawned
	wait_for 5 udp_bound "$1" "$2" || bail "nfcapd does not listen"
}

# nfcapd leaves options data records out of its sequence number, which RFC 7011 3.1 counts: every burst of them is one
# of nfcapd_gaps.
nfcapd_stop() { # NAMESPACE PORT: waits until it has read what lies in its socket
	wait_for 20 udp_empty "$1" "$2"
	nfcapd_drops=$(udp_drops "$1" "$2")
	stop "$nfcapd_pid"
	nfcapd_file=$(ls "$work"/nfcapd/nfcapd.2*)
	if [[ $nfcapd_file == *$'\n'* ]]; then # the hour struck
		nfcapd_file=$work/nfcapd/merged
		nfdump -q -R "$work/nfcapd" -w "$nfcapd_file"
	fi
	nfcapd_gaps=$(grep -o 'Sequence Errors: [0-9]*' "$work/nfcapd.log" | awk '{ n += $3 } END { print n + 0 }')
}

nfdump_sums() { # FILTER: "packets octets"
	nfdump -r "$nfcapd_file" -N -q -o "fmt:%pkt %byt" "$1" | awk '{ p += $1; b += $2 } END { printf "%d %d\n", p, b }'
}

nfdump_flows() { # FILTER: "flows fewest-packets most-packets" of the distinct 5-tuples
	nfdump -r "$nfcapd_file" -N -q -A srcip,dstip,proto,srcport,dstport -o "fmt:%pkt" "$1" |
		awk '!NR || $1 < low || !low { low = $1 } $1 > high { high = $1 } NF { n++ } END { print n + 0, low + 0, high + 0 }'
}

strict_pid=
strict_start() { # NAMESPACE udp|tcp PORT
	rm -f "$work/strict.out"
	spawn "$1" "$work/strict.out" chrt -f 1 "$strict" listen "$2" 127.0.0.1 "$3" "$work/strict.rec"
	strict_pid=$spawned
	wait_for 5 grep -q ready "$work/strict.out" || bail "strict.py: $(cat "$work/strict.out")"
}

strict_stop() { # [OPTIONS of check...]
	stop "$strict_pid"
	strict_check "$@"
}

strict_check() { # [OPTIONS of check...]: the report goes to $work/strict.json
	"$strict" check "$work/strict.rec" "$@" >"$work/strict.json"
}

strict() { jq -c ".$1" "$work/strict.json"; }

# On lo a datagram burst (UDP_SEGMENT) passes the tap in one piece, which tshark would take for one message.
capture_pid=
capture_start() { # NAMESPACE INTERFACE FILTER [OPTIONS of tshark]
	[[ $2 != lo ]] || offloads "$1" lo off tx-udp-segmentation
	rm -f "$work/tshark.log" "$work/capture.pcap"
	spawn "$1" "$work/tshark.log" tshark -q -i "$2" -B 64 -f "$3" "${@:4}" -w "$work/capture.pcap"
	capture_pid=$spawned
	wait_for 10 grep -q 'Capturing on' "$work/tshark.log" || bail "tshark: $(cat "$work/tshark.log")"
	wait_for 10 test -s "$work/capture.pcap" || bail "tshark writes nothing"
}

capture_stop() {
	stop "$capture_pid" INT
	! grep -q 'packets\? dropped' "$work/tshark.log" || bail "tshark: $(grep dropped "$work/tshark.log")"
}

# tshark finds nothing malformed, every data set had its template before it, messages were seen at all.
capture_is_clean() { # PORT NAME
	local decode=(tshark -r "$work/capture.pcap" -o cflow.max_template_fields:0 -d "udp.port==$1,cflow")
	"${decode[@]}" -T fields -e cflow.version -Y cflow >"$work/capture.versions" 2>/dev/null
	ok "$(($(wc -l <"$work/capture.versions") == 0))" "$2: tshark sees messages"
	is "$("${decode[@]}" -Y "_ws.malformed or _ws.expert.severity >= 6291456" 2>/dev/null | head -3)" "" "$2: nothing malformed"
	is "$("${decode[@]}" -V 2>/dev/null | grep -i -c 'no template found')" 0 "$2: no template missing"
}

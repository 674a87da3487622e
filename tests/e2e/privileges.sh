#!/bin/bash
# SPDX-License-Identifier: MIT
# With which privileges the daemon runs, what it keeps, and that each way not to start ends in one sentence and status 2.
. "$(dirname "$0")/../lib.sh"
require_root jq setpriv unshare systemd-analyze curl python3 openssl bpftool ss

caps=bpf,net_admin,perfmon
caps_mask=000000c000001000
group=$(getent group 65534 | cut -d: -f1)

filtered=$((2 * $(grep -c '^#define WITH_SECCOMP' "$build/config.h")))

# Who is no root reaches neither $work (0700) nor perhaps the build: a copy of what is needed, open to all.
open=$(mktemp -d /tmp/bpflowd-test.XXXXXX)
chmod 755 "$open"
install -m 755 "$bpflowd" "$bpflowctl" "$open/"
cp -r "$src/templates" "$open/"
chmod -R a+rX "$open"
install -d -o 65534 -g 65534 "$open/nobody"
undo() { rm -rf "$open"; }

config() { # FILE SOCKET LISTEN INTERFACES COLLECTOR-LINE [EXPORTER-LINE...]
	cat >"$1" <<-END
		exporter:
		  template_dir: $open/templates
		  control_socket: $2
		$(printf '  %s\n' "${@:6}")
		metering:
		  interfaces: [$4]
		  drain_interval: 100ms
		collectors:
		  - name: one
		    $5
		http:
		  listen: "$3"
	END
	chmod 644 "$1"
}

up() { "$open/bpflowctl" --socket "$1" show stats; }
status_of() { sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status"; }

netns_add a b
veth_pair a veth0 b veth1

meters() { # NAME SOCKET PID: it sees what passes, and has what it should have
	check "$1: it comes up" wait_for 10 up "$2" || diag <"$work/daemon.log"
	send a veth0 --dst-mac "$(mac_of b veth1)" --packets 100 --flows 5
	seen() { [[ $("$open/bpflowctl" -s "$2" show flows --json | jq '[.flows[].packetDeltaCount] | add // 0') -ge 100 ]]; }
	check "$1: it sees the packets" wait_for 5 seen "$1" "$2"
	is "$(status_of "$3" CapEff) $(status_of "$3" CapPrm)" "$caps_mask $caps_mask" "$1: three capabilities, no more"
	is "$(status_of "$3" CapAmb) $(status_of "$3" CapInh)" "0000000000000000 0000000000000000" "$1: nothing to inherit"
	is "$(status_of "$3" NoNewPrivs)" 1 "$1: no new privileges"
	is "$(status_of "$3" Seccomp)" "$filtered" "$1: system calls are filtered, if it was built so"
}

# ---- root: keeps three capabilities
config "$open/root.yaml" "$open/root.sock" "" veth1 "file: $work/root.ipfix"
spawn b "$work/daemon.log" "$open/bpflowd" -c "$open/root.yaml"
pid=$spawned
meters root "$open/root.sock" "$pid"
is "$(status_of "$pid" CapBnd)" 0000000000000000 "root: the bounding set is empty"
is "$(stat -c %a:%U:%G "$open/root.sock")" 600:root:root "root: nobody else may use the control socket"
check "root: SIGTERM ends it with status 0" stop "$pid"

# ---- what systemd hears
config "$open/notify.yaml" "$open/notify.sock" "" veth1 "file: $work/notify.ipfix"
python3 -u -c 'import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
while True:
    print(s.recv(4096).decode().replace("\n", " "))' "$work/notify" >"$work/told" &
children+=("$!")
wait_for 5 test -S "$work/notify"
spawn b "$work/daemon.log" env NOTIFY_SOCKET="$work/notify" WATCHDOG_USEC=200000 "$open/bpflowd" -c "$open/notify.yaml"
pid=$spawned
if grep -q '^#define WITH_SYSTEMD' "$build/config.h"; then
	check "notify: ready" wait_for 10 grep -q '^READY=1' "$work/told"
	check "notify: the watchdog is fed" wait_for 5 grep -q '^WATCHDOG=1' "$work/told"
	kill -HUP "$pid"
	check "notify: reloading, with the time" wait_for 5 grep -q '^RELOADING=1 MONOTONIC_USEC=[1-9]' "$work/told"
	ready_again() { [[ $(grep -c '^READY=1' "$work/told") -eq 2 ]]; }
	check "notify: ready again" wait_for 5 ready_again
	kill -STOP "$pid"
	wait_for 5 sh -c "grep -q '^State:.*stopped' /proc/$pid/status"
	before=$(grep -c WATCHDOG "$work/told")
	sleep 0.5
	is "$(($(grep -c WATCHDOG "$work/told") - before <= 1))" 1 "notify: a daemon that hangs does not feed it"
	kill -CONT "$pid"
	check "notify: SIGTERM ends it with status 0" stop "$pid"
	check "notify: stopping" wait_for 5 grep -q '^STOPPING=1' "$work/told"
else
	skip "built without systemd" "notify"
	stop "$pid"
fi

# ---- root, with user: and control_group:
config "$open/user.yaml" "$open/run/user.sock" 127.0.0.1:9469 veth1 "address: 127.0.0.1" "user: nobody" "control_group: $group"
spawn b "$work/daemon.log" "$open/bpflowd" -c "$open/user.yaml"
pid=$spawned
meters user "$open/run/user.sock" "$pid"
is "$(status_of "$pid" Uid | tr '\t' ' ')" "65534 65534 65534 65534" "user: it is nobody"
is "$(status_of "$pid" Gid | tr '\t' ' ')" "65534 65534 65534 65534" "user: and of nobody's group"
is "$(stat -c %a:%U:%G "$open/run/user.sock")" "660:nobody:$group" "user: the control socket is nobody's, open to the group"
check "user: the account itself may reload" setpriv --reuid 65534 --regid 65533 --clear-groups "$open/bpflowctl" -s "$open/run/user.sock" reload
check "user: a member may reload" setpriv --reuid 65533 --regid 65534 --clear-groups "$open/bpflowctl" -s "$open/run/user.sock" reload
others() { ! setpriv --reuid 65533 --regid 65533 --clear-groups "$open/bpflowctl" -s "$open/run/user.sock" show stats; }
check "user: others may not ask" others
check "user: /metrics answers" in_ns b curl -sf -o "$work/metrics" http://127.0.0.1:9469/metrics
# an interface that appears after the privileges are gone
in_ns b ip link add veth2 type veth peer name veth3
in_ns b ip link set veth2 up
sed -i 's/\[veth1\]/[veth1, veth2]/' "$open/user.yaml"
check "user: reload" "$open/bpflowctl" -s "$open/run/user.sock" reload
later() { "$open/bpflowctl" -s "$open/run/user.sock" show interfaces --json | jq -e '.interfaces[] | select(.name == "veth2" and .ingress)'; }
check "user: an interface of a later day is metered" wait_for 5 later
check "user: SIGTERM ends it with status 0" stop "$pid"
is "$(find "$open/run" -type s)" "" "user: the control socket is gone with it"

# ---- a plain user with three capabilities, /sys read-only, as under the unit
config "$open/plain.yaml" "$open/nobody/control.sock" "" veth1 "file: $open/nobody/flows.ipfix"
cat >"$open/plain" <<-END
	#!/bin/bash
	mount -o remount,bind,ro /sys || mount -o bind,ro /sys /sys
	mount -t tmpfs none /home
	exec setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs --inh-caps -all,+${caps//,/,+} \\
		--ambient-caps -all,+${caps//,/,+} --bounding-set -all,+${caps//,/,+} $open/bpflowd -c $open/plain.yaml
END
chmod 755 "$open/plain"
spawn b "$work/daemon.log" unshare --mount --propagation private "$open/plain"
pid=$spawned
meters plain "$open/nobody/control.sock" "$pid"
is "$(status_of "$pid" Uid | tr '\t' ' ')" "65534 65534 65534 65534" "plain: a plain user"
check "plain: SIGTERM ends it with status 0" stop "$pid"
check "plain: the file holds what was seen" test -s "$open/nobody/flows.ipfix"

# ---- it does not start: one sentence, status 2
refused() { # NAME WANTED-TEXT COMMAND...
	local status=0
	timeout 20 nsenter --net="/run/netns/$id-b" "${@:3}" >"$work/refused" 2>&1 || status=$?
	is "$status" 2 "$1: status 2"
	# a leak sanitizer has no right any more to stop another thread, and says so
	is "$(sed 1d "$work/refused" | grep -v '^==[0-9]*==Running thread .* was not suspended')" "" "$1: one line"
	check "$1: says why" grep -q "^error: cannot start: .*$2" "$work/refused" || diag <"$work/refused"
}

config "$open/plain.yaml" "$open/nobody/control.sock" "" veth1 "file: $open/nobody/flows.ipfix"
for without in "" net_admin,perfmon bpf,perfmon bpf,net_admin; do
	set=-all${without:+,+${without//,/,+}}
	plain=(--reuid 65534 --regid 65534 --clear-groups --no-new-privs --inh-caps "$set" --ambient-caps "$set" --bounding-set "$set")
	refused "with no capability but '$without'" "permission denied; run as root or with CAP_BPF" \
		setpriv "${plain[@]}" "$open/bpflowd" -c "$open/plain.yaml"
done
config "$open/bad.yaml" "$open/bad.sock" "" veth1 "file: $work/bad.ipfix"
refused "no BTF" "no BTF" unshare --mount --propagation private sh -c \
	"mount -t tmpfs none /sys/kernel/btf && exec $open/bpflowd -c $open/bad.yaml"
config "$open/bad.yaml" "$open/bad.sock" "" nothere0 "file: $work/bad.ipfix"
refused "interface missing" "there is no interface nothere0" "$open/bpflowd" -c "$open/bad.yaml"
config "$open/bad.yaml" "$open/bad.sock" "" veth1 "file: /proc/flows"
refused "unwritable file" "collector one: can't write /proc/flows" "$open/bpflowd" -c "$open/bad.yaml"
config "$open/bad.yaml" "/proc/there/bad.sock" "" veth1 "file: $work/bad.ipfix"
refused "no folder for the socket" "control socket /proc/there" "$open/bpflowd" -c "$open/bad.yaml"
(exec nsenter --net="/run/netns/$id-b" python3 -c 'import socket, sys, time
s = socket.create_server(("127.0.0.1", 9469)); u = socket.socket(socket.AF_UNIX); u.bind(sys.argv[1]); u.listen(); time.sleep(600)' \
	"$open/taken.sock") &
children+=("$!")
wait_for 5 test -S "$open/taken.sock"
config "$open/bad.yaml" "$open/bad.sock" 127.0.0.1:9469 veth1 "file: $work/bad.ipfix"
refused "port of http.listen taken" "http.listen 127.0.0.1:9469: address in use" "$open/bpflowd" -c "$open/bad.yaml"
config "$open/bad.yaml" "$open/taken.sock" "" veth1 "file: $work/bad.ipfix"
refused "control socket taken" "address in use by a running daemon" "$open/bpflowd" -c "$open/bad.yaml"
# what root could open, and the account that the daemon is from then on can't
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$open/key" -out "$open/cert" -days 1 -subj /CN=x 2>/dev/null
chmod 600 "$open/key"
config "$open/bad.yaml" "$open/run/bad.sock" "" veth1 "file: $work/bad.ipfix" "user: nobody"
refused "user: a file in a folder of root's" "collector one: can't write $work/bad.ipfix: .*; grant it to account nobody" \
	"$open/bpflowd" -c "$open/bad.yaml"
config "$open/bad.yaml" "$open/run/bad.sock" "" veth1 "address: 127.0.0.1
    transport: tls
    tls: {certificate: $open/cert, key: $open/key}" "user: nobody"
refused "user: a key of root's" "collector one: tls.certificate $open/cert with tls.key $open/key: .*; grant it to account nobody" \
	"$open/bpflowd" -c "$open/bad.yaml"
config "$open/bad.yaml" "$open/bad.sock" "" veth1 "file: $open/nobody/bad.ipfix"
refused "root: a file in a folder of another account" "can't write $open/nobody/bad.ipfix: .*; grant it to account root" \
	"$open/bpflowd" -c "$open/bad.yaml"
is "$(in_ns b bpftool -j net show dev veth1 | jq '[.[].tc[]?] | length')" 0 "what was refused leaves no program"

# ---- what another account left in our folder is set aside
echo old >"$open/nobody/left.ipfix"
chmod 600 "$open/nobody/left.ipfix"
config "$open/left.yaml" "$open/run/left.sock" "" veth1 "file: $open/nobody/left.ipfix" "user: nobody"
spawn b "$work/daemon.log" "$open/bpflowd" -c "$open/left.yaml"
pid=$spawned
begun() { [[ $(stat -c %U "$open/nobody/left.ipfix") == nobody && $(cat "$open/nobody/left.ipfix."*) == old ]]; }
check "user: a file that root left is set aside" wait_for 10 begun || diag <"$work/daemon.log"
check "user: and the daemon ends with status 0" stop "$pid"

# ---- a port to send from that takes root's rights, unless the namespace gives it to everyone
config "$open/port.yaml" "$open/run/port.sock" "" veth1 "address: 127.0.0.1
    source_port: 500" "user: nobody"
in_ns b "$open/bpflowd" --check -c "$open/port.yaml" >"$work/port" 2>&1
is "$?" 1 "source_port 500 is refused"
check "with its place, and what would do" grep -q "port.yaml:[0-9]*:[0-9]*: collectors\[0].source_port: 500: .* below 1024 .*; write a higher one" "$work/port"
refused "source_port 500, where the limit can't be read" "collector one: source_port 500: ports below 1024" \
	unshare --mount --propagation private sh -c "mount -t tmpfs none /proc/sys && exec $open/bpflowd -c $open/port.yaml"
in_ns b sh -c 'echo 500 >/proc/sys/net/ipv4/ip_unprivileged_port_start'
check "where everyone may have it, it is fine" in_ns b "$open/bpflowd" --check -c "$open/port.yaml"
spawn b "$work/daemon.log" "$open/bpflowd" -c "$open/port.yaml"
pid=$spawned
sends_from() { in_ns b ss -Hun "sport = :$1" | grep -q .; }
check "and is what nobody sends from" wait_for 10 sends_from 500 || diag <"$work/daemon.log"
check "until SIGTERM, with status 0" stop "$pid"

# ---- a key that others can read
config "$open/key.yaml" "$open/key.sock" "" veth1 "address: 127.0.0.1
    transport: tls
    tls: {certificate: $open/cert, key: $open/key}"
chmod 644 "$open/key"
"$open/bpflowd" --check -c "$open/key.yaml" >"$work/key" 2>&1
is "$?" 1 "a key for everybody to read is refused"
check "and says what to do" grep -q "chmod o= $open/key" "$work/key"
chmod 640 "$open/key"
check "a key for its group is fine" "$open/bpflowd" --check -c "$open/key.yaml"

# ---- the unit
sed "s|^\(Exec[A-Za-z]*=\)[^ ]*/\(bpflow[a-z]*\)|\1$open/\2|" "$build/conf/bpflowd.service" >"$work/bpflowd.service"
check "the unit's exposure is 1.5 at most" systemd-analyze security --offline=yes --threshold=15 --no-pager "$work/bpflowd.service"
systemd-analyze verify --man=no "$work/bpflowd.service" >"$work/verify" 2>&1
is "$(cat "$work/verify")" "" "systemd finds nothing wrong in the unit"
done_testing

#!/bin/bash
# SPDX-License-Identifier: MIT
# The command line of bpflowd and the files that it may meet: --check, --print-config, conf/bpflowd.yaml, things that are
# no files, and text that is meant to hang a parser.
. "$(dirname "$0")/../lib.sh"
[[ -x $bpflowd ]] || bail "no $bpflowd"
cd "$work" || bail "no $work"

run() { # ARGUMENT...: sets status, out, err; more than a second is a failure
	status=0
	timeout "${RUN_LIMIT:-1}" "$bpflowd" "$@" >out 2>err || status=$?
	out=$(<out) err=$(<err)
}

refuses() { # NAME MESSAGE FILE
	run --check -c "$3"
	is "$status|$out|$err" "1||$2" "$1"
}

cat >good.yaml <<EOF
exporter: {template_dir: $src/templates}
collectors:
  - {name: a, address: 192.0.2.1}
EOF

# ---- arguments

run --version
is "$status|${out% *}|$err" "0|bpflowd|" "--version"
run --help
is "$status|${out%% *}|$err" "0|Usage:|" "--help"
run --nonsense
is "$status|$out|$err" "1||bpflowd: unrecognized option '--nonsense'
bpflowd: try bpflowd --help" "an unknown option"
run --check good.yaml
is "$status|$out|$err" "1||bpflowd: good.yaml is no option; try bpflowd --help" "a word too many"
run --check --print-config -c good.yaml
is "$status|$out|$err" "1||bpflowd: one thing at a time; try bpflowd --help" "two actions"
run -c
is "$status|$out|${err##*$'\n'}" "1||bpflowd: try bpflowd --help" "-c without a file"
run -c nosuch.yaml
is "$status|$out|$err" "1||nosuch.yaml: can't be opened: No such file or directory" "a file that isn't there"
if [[ -e /etc/bpflowd/bpflowd.yaml ]]; then
	skip "kernel: not this time, bpflowd is installed here" "no file at all"
else
	run --print-config
	is "$status|$out|$err" "1||/etc/bpflowd/bpflowd.yaml: can't be opened: No such file or directory
bpflowd: that is the default; name another with -c FILE" "no file at all"
fi
run --list-elements
is "$status|$(grep -c ' sourceIPv4Address \|^sourceIPv4Address ' out)|$err" "0|1|" "--list-elements without a file"
run --print-definitions=nosuch
is "$status|$out|${err%%;*}" "1||bpflowd: no definitions for 'nosuch'" "definitions in an unknown format"
run --print-definitions=ipfixdump
is "$status|$(grep -c . out | sed 's/[1-9][0-9]*/some/')|$err" "0|some|" "definitions for ipfixdump"
run --list-elements -c <(echo)
is "$status" 1 "a pipe as configuration"
status=0
"$bpflowd" --help >/dev/full 2>err || status=$?
is "$status" 2 "standard output that is full"

# ---- --check and --print-config

run --check -c good.yaml
is "$status|$out|$err" "0|good.yaml: ok|" "--check of a good file"

prints_the_same() { # FILE NAME
	"$bpflowd" --print-config -c "$1" >first.yaml && "$bpflowd" --print-config -c first.yaml >second.yaml &&
		diff -u first.yaml second.yaml >&2
	ok $? "$2: what --print-config prints parses and prints the same"
}

prints_the_same good.yaml "a small file"
: >empty.yaml
prints_the_same empty.yaml "an empty file"
cat >odd.yaml <<EOF
exporter: {template_dir: $src/templates, control_socket: "/tmp/with space: and #"}
metering: {interfaces: ["*", "!lo", "1", "no", "a\"b\\\\c", "ü"], netns: [blue], active_timeout: 90s, idle_timeout: 1500ms,
  dns_ports: [53, 5353], direction: egress, sampling: 10, drops: false}
collectors:
  - {name: a, address: "fe80::1%eth0", source: "::1", queue_size: 1536k, template_refresh: 600s, group: g, group_mode: balance}
  - {name: b, address: host.example.org., port: 99, group: g, group_mode: balance, max_rate: 5}
  - {name: c, file: "/tmp/x y", rotate_size: 1G, rotate_interval: 24h}
  - {name: d, address: 192.0.2.7, protocol: netflow9, template: nfdump}
http: {listen: "[::1]:9469"}
log: {level: debug}
EOF
prints_the_same odd.yaml "every kind of value"
is "$(grep -c -e 'active_timeout: 90s' -e 'idle_timeout: 1500ms' -e 'queue_size: 1536k' -e 'template_refresh: 10m' \
	-e 'rotate_interval: 24h' -e 'port: 2055' -e 'rotate_size: 1G' first.yaml)" 7 "values are printed in their largest unit"

# ---- conf/bpflowd.yaml: every option with its default

bare() { sed -e '/^ *#/d' -e 's/  *#.*//' -e '/^$/d'; }
bare <"$src/conf/bpflowd.yaml" >bare.yaml
sed "s|/usr/share/bpflowd/templates|$src/templates|" "$src/conf/bpflowd.yaml" >conf.yaml
"$bpflowd" --print-config -c conf.yaml | sed "s|$src/templates|/usr/share/bpflowd/templates|" >printed.yaml
check "conf/bpflowd.yaml names every option" diff -u bare.yaml printed.yaml
cat >minimal.yaml <<EOF
exporter: {template_dir: $src/templates}
collectors: [{name: primary, address: 192.0.2.10}]
EOF
"$bpflowd" --print-config -c minimal.yaml | sed "s|$src/templates|/usr/share/bpflowd/templates|" >printed.yaml
check "conf/bpflowd.yaml has every default" diff -u bare.yaml printed.yaml
"$bpflowd" --print-config -c empty.yaml | sed '/^collectors:/d' >printed.yaml
check "an empty file has these defaults" diff -u <(sed '/^collectors:/,/^http:/{/^http:/!d}' bare.yaml) printed.yaml
sed -E 's/^  # (- [a-z]|  [a-z_]+:)/  \1/' conf.yaml >both.yaml
"$bpflowd" --print-config -c both.yaml | sed "s|$src/templates|/usr/share/bpflowd/templates|" >printed.yaml
check "so has its example of a file" diff -u <(sed -E 's/^  # (- [a-z]|  [a-z_]+:)/  \1/' "$src/conf/bpflowd.yaml" | bare) printed.yaml

# ---- what isn't a configuration file

refuses "a directory" ".: a directory; name a regular file" .
mkfifo fifo
refuses "a FIFO that nobody writes to" "fifo: not a regular file; name a regular file" fifo
refuses "a device" "/dev/zero: not a regular file; name a regular file" /dev/zero
ln -s loop loop
refuses "a link to itself" "loop: can't be opened: Too many levels of symbolic links" loop
if [[ $EUID -eq 0 ]]; then
	cp good.yaml secret.yaml && chmod 600 secret.yaml && chmod 755 .
	cp "$bpflowd" reachable # the build folder may be closed to others
	status=0
	setpriv --reuid=65534 --clear-groups ./reachable --check -c secret.yaml 2>err || status=$?
	is "$status|$(<err)" "1|secret.yaml: can't be opened: Permission denied" "a file that may not be read"
fi
head -c 1048577 /dev/zero | tr '\0' '#' >large
refuses "more than 1 MiB" "large: larger than 1 MiB; name a configuration file" large
head -c 300000 /dev/urandom >garbage
run --check -c garbage
is "$status|$out" "1|" "300 kB of random octets"

# ---- text that costs a careless parser a minute

for unit in '[' '{' '[[' '{a: ' '- ' '? ' '&a ' '*a ' '!a ' '"' "'" 'a: [' '- - ' '[a, ' '|' ':' ', '; do
	yes -- "$unit" | tr -d '\n' | head -c 100000 >hostile
	run --check -c hostile
	is "$status" 1 "100 kB of '$unit' within a second"
done

# ---- files of TLS: as strict as the start

certificate() { openssl req -x509 -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.pem" -days 1 -subj /CN=x 2>/dev/null; }
tls() { # FILES: what --check says of a collector that uses them
	sed "s|192.0.2.1|&, transport: tls, tls: {$1}|" good.yaml >tls.yaml
	run --check -c tls.yaml
}

if ! grep -q '^#define WITH_TLS' "$build/config.h"; then
	skip "built without TLS" "files of TLS"
elif ! command -v openssl >/dev/null; then
	skip "openssl is not installed" "files of TLS"
else
	certificate mine
	certificate other
	chmod 600 mine.key other.key
	echo garbage >bad.pem
	tls "ca: other.pem, certificate: mine.pem, key: mine.key"
	is "$status|$out" "0|tls.yaml: ok" "tls: a certificate and its key"
	tls "certificate: mine.pem, key: other.key"
	is "$status|${err%%with*}|${err##*;}" "1|tls.yaml:3:70: collectors[0].tls.certificate: mine.pem | name a certificate and its key (PEM)" \
		"tls: the key of another certificate"
	tls "certificate: bad.pem, key: mine.key"
	is "$status|${err%%with*}" "1|tls.yaml:3:70: collectors[0].tls.certificate: bad.pem " "tls: a certificate that is none"
	tls "ca: bad.pem"
	is "$status|${err%%.pem*}|${err##*;}" "1|tls.yaml:3:61: collectors[0].tls.ca: bad| name a file of certificates (PEM)" \
		"tls: a CA that is none"
fi

# ---- what the running system doesn't offer

sed 's/192.0.2.1/&, transport: sctp/' good.yaml >sctp.yaml
run --check -c sctp.yaml
if [[ $status -eq 0 ]]; then
	is "$out" "sctp.yaml: ok" "sctp, which this kernel has"
else
	is "$status|${err%%transport:*}" "1|sctp.yaml:3:46: collectors[0]." "sctp, which this kernel lacks, by its place"
fi

done_testing

#!/bin/bash
# SPDX-License-Identifier: MIT
# What README.md tells a new user to type does what it says. Blocks that can be run are marked <!-- test: NAME -->; what
# `./quickstart` and a package do is run by themselves and by tests/package/deb.sh.
. "$(dirname "$0")/../lib.sh"
require_root jq nfcapd nfdump
readme=$src/README.md

# Programs under their own names, as if they were installed, but with the templates and a socket of this tree.
mkdir "$work/bin" "$work/home"
cat >"$work/bin/bpflowd" <<-END
	#!/bin/bash
	while [[ \$# -gt 0 ]]; do
		if [[ \$1 == -c ]]; then
			{ cat "\$2"; printf 'exporter: {template_dir: "$src/templates", control_socket: "$work/control.sock"}\n'; } >"$work/home/made.yaml"
			arguments+=(-c "$work/home/made.yaml")
			shift
		else
			arguments+=("\$1")
		fi
		shift
	done
	exec "$bpflowd" "\${arguments[@]}"
END
cat >"$work/bin/bpflowctl" <<-END
	#!/bin/bash
	exec "$bpflowctl" --socket "$work/control.sock" "\$@"
END
chmod +x "$work"/bin/*
PATH=$work/bin:$PATH
cd "$work/home" || exit

block() { # NAME: the marked block
	awk -v name="$1" '$0 == "<!-- test: " name " -->" { found = 1; next } found && /^```sh$/ { on = 1; next }
		on && /^```$/ { exit } on' "$readme" | sed "s|/tmp/flows|$work/flows|g"
}

netns_add a b
veth_pair a veth0 b veth1

# ---- into nfdump, as it stands there
block nfdump >"$work/nfdump.sh"
is "$(($(wc -l <"$work/nfdump.sh") > 8))" 1 "README tells of nfdump"
# the only change: instead of waiting for traffic, some is sent
cat >"$work/traffic" <<-END
	#!/bin/bash
	for ((i = 0; i < 200; i++)); do bpflowctl show interfaces --json | grep -q tcx\\\\\|clsact && break; sleep 0.05; done
	nsenter --net=/run/netns/$id-a $blast --interface veth0 --dst-mac $(mac_of b veth1) --src 10.77.0.1 --dst 10.78.0.1 \\
		--packets 100 --flows 5 >/dev/null
	sleep 1.5
END
sed -i "s|^sleep 5 .*|bash $work/traffic|" "$work/nfdump.sh"
echo 'jobs -p >daemon.pid' >>"$work/nfdump.sh"
in_ns b bash -e "$work/nfdump.sh" >"$work/nfdump.out" 2>"$work/nfdump.err"
status=$?
ok $status "the commands succeed" || diag <"$work/nfdump.err"
daemon=$(cat daemon.pid 2>/dev/null)
[[ -z $daemon ]] || children+=("$daemon")
collector=$(cat "$work/flows/pid" 2>/dev/null)
[[ -z $collector ]] || children+=("$collector")
# each flow, and once more as a record of drops: nobody here is 10.78.0.1
is "$(grep -o '10.77.0.1:.*10.78.0.1:[0-9]*' "$work/nfdump.out" | sort -u | wc -l)" 5 "nfdump shows the flows"

# ---- commands to a running daemon: the marked block, and every bpflowctl of the text and the tables
{
	block daemon
	grep -o '`bpflowctl [^`|]*`' "$readme" | tr -d '`' | grep -v ' top$'
} | sort -u >"$work/commands"
is "$(($(wc -l <"$work/commands") > 6))" 1 "README tells of bpflowctl"
# (of the daemon above: SIGHUP reads the file that it was started with)
while IFS= read -r command; do
	check "$command" bash -c "$command"
done <"$work/commands"
if [[ -n $daemon ]]; then
	kill -TERM "$daemon"
	check "SIGTERM ends it" wait_for 20 gone "$daemon"
fi

# ---- commands without a daemon
for command in 'bpflowd --list-elements' 'bpflowd --version'; do
	check "$command" bash -c "$command"
done
awk '/^```yaml$/ { on = 1; n++; next } /^```$/ { on = 0 } on { print > "yaml." n }' "$readme"
for file in yaml.*; do
	sed -i "s|/var/lib/bpflowd|$work|" "$file"
	check "the configuration in README, $file" bpflowd --check -c "$file"
done

# ---- what it points at is there
for path in $(grep -o '`\(conf\|tests\|kernel\|templates\|exporter\)/[a-z_./-]*`\|](\(conf\|tests\)/[A-Za-z_./-]*)' "$readme" |
	tr -d '`()]'); do
	check "$path is there" test -e "$src/$path" -o -e "$build/$path"
done
for file in $(grep -o '`[a-z-]*\.yaml`' "$readme" | tr -d '`'); do
	check "$file is there" sh -c "ls '$src/conf/examples/$file' '$src/conf/$file' 2>/dev/null | grep -q ."
done
for option in $(grep -o -e '--without-[a-z]*' "$readme"); do
	check "configure knows $option" grep -q "AC_ARG_WITH(\[${option#--without-}\]" "$src/configure.ac"
done
for name in $(sed -n '/^## When something/,/^## /p' "$readme" | grep -o '`[a-z_]*_[a-z_]*`' | tr -d '`'); do
	check "$name is an option or a metric" grep -q "$name" "$src/conf/bpflowd.yaml" "$src/exporter/metrics.def" "$src/exporter/views.c"
done
done_testing

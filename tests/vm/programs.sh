#!/bin/bash
# SPDX-License-Identifier: MIT
# programs.sh ROOT [systemd|small]: makes the tree of a guest: programs of this system with their libraries, the daemon, the
# tests; systemd: as process 1, and the daemon installed as its unit wants it; small: without the programs that need much
# (dig alone brings 40 MiB), for guest/small.sh.
set -euo pipefail
root=$1
here=$(dirname "$(readlink -f "$0")")
src=${BPFLOWD_SRC:-$(cd "$here/../.." && pwd)}
build=${BPFLOWD_BUILD:-$src}
PATH=$PATH:/usr/sbin:/sbin

tools=(
	bash ip tc bridge ss nstat ping nsenter setpriv taskset ethtool jq bpftool tcpdump socat nft dnsmasq dig
)
ours=(exporter/bpflowd exporter/bpflowctl tests/tools/blast tests/tools/relay tests/tools/stranger tests/vm/sctp_sink)

[[ ${2:-} != small ]] || tools=(bash ip tc jq nsenter bpftool)

libraries() { # PROGRAM
	{ ldd "$1" 2>/dev/null || :; } | grep -o '/[^ ]*'
}

copy() { # FILE PLACE
	[[ ! -e $root$2 ]] || return 0
	mkdir -p "$root$(dirname "$2")"
	cp -L "$1" "$root$2"
}

copy_program() { # FILE PLACE
	local library
	copy "$1" "$2"
	for library in $(libraries "$1"); do
		copy "$library" "$library"
	done
}

# The interpreter with what the strict decoder imports, no more.
copy_python() {
	local file
	copy_program /usr/bin/python3 /usr/bin/python3
	while read -r file; do
		copy_program "$file" "$file"
	done < <(/usr/bin/python3 -Es - "$src/tests/tools/strict.py" <<-'END'
		import atexit, io, runpy, sys
		def modules():
		    files = {getattr(module, "__file__", None) for module in sys.modules.values()}
		    print(*sorted(file for file in files if file and file.startswith("/usr/")), sep="\n", file=output)
		atexit.register(modules)
		sys.argv = [sys.argv[1], "check", "/dev/null"]
		output, sys.stdout, sys.stderr = sys.stdout, io.StringIO(), io.StringIO()
		runpy.run_path(sys.argv[0], run_name="__main__")
	END
	)
}

# Process 1 and the journal of this system, with the units that boot and the test need, no more.
copy_systemd() {
	local program unit
	for program in systemd systemd-journald systemd-shutdown; do
		copy_program "/lib/systemd/$program" "/lib/systemd/$program"
	done
	for program in systemctl journalctl systemd-analyze; do
		copy_program "$(command -v $program)" "/usr/bin/$program"
	done
	mkdir -p "$root/lib/systemd/system" "$root/etc/systemd/system" "$root/var/lib" "$root/run"
	for unit in {sysinit,basic,multi-user,local-fs,local-fs-pre,swap,sockets,timers,paths,slices,network,network-pre}.target \
		{network-online,shutdown,umount,final,time-set}.target systemd-journald.service systemd-journald{,-dev-log}.socket; do
		copy "/lib/systemd/system/$unit" "/lib/systemd/system/$unit"
	done
	ln -s /lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"
	mkdir -p "$root/etc/systemd/system/multi-user.target.wants" "$root/etc/systemd/system/sockets.target.wants"
	ln -s /lib/systemd/system/systemd-journald{,-dev-log}.socket "$root/etc/systemd/system/sockets.target.wants/"
	: >"$root/etc/machine-id"
	cp /etc/os-release "$root/etc/os-release"
	cat >"$root/etc/systemd/system/session.service" <<-END
		[Service]
		ExecStart=/test/session
		StandardOutput=journal+console
		LimitMEMLOCK=infinity
	END
	ln -s ../session.service "$root/etc/systemd/system/multi-user.target.wants/"
}

# The programs where the shipped unit looks for them, templates where the daemon does.
install_daemon() {
	local unit=$build/conf/bpflowd.service program config templates
	program=$(sed -n 's/^ExecStart=\([^ ]*\).*/\1/p' "$unit")
	config=$(sed -n 's/^ExecStart=.* -c \(.*\)/\1/p' "$unit")
	: >"$root/test/empty.yaml"
	templates=$("$build/exporter/bpflowd" --print-config -c "$root/test/empty.yaml" | sed -n 's/^ *template_dir: //p')
	copy_program "$build/exporter/bpflowd" "$program"
	copy_program "$build/exporter/bpflowctl" /usr/bin/bpflowctl
	copy "$unit" /etc/systemd/system/bpflowd.service
	mkdir -p "$root$(dirname "$config")" "$root$(dirname "$templates")"
	cp -R "$src/templates" "$root$templates"
}

mkdir -p "$root"/{bin,etc,proc,sys,dev,test/build}
copy_program "$(command -v busybox)" /bin/busybox
for tool in "${tools[@]}"; do
	path=$(command -v "$tool") || { echo "programs.sh: $tool is not installed" >&2; exit 2; }
	copy_program "$path" "/usr/bin/$tool"
done
ln -s ../usr/bin/bash "$root/bin/bash"
ln -s ../usr/bin/bash "$root/bin/sh"
copy_python
for tool in "${ours[@]}"; do
	file=$build/$tool
	copy_program "$file" "/test/build/$tool"
done
cp -R "$src/templates" "$root/test/"
mkdir -p "$root/test/tests/tools" "$root/test/tests/vm" "$root/test/tests/e2e"
cp -R "$src"/tests/{lib.sh,data} "$root/test/tests/"
cp "$src"/tests/e2e/*.sh "$root/test/tests/e2e/" # not what a run leaves there
cp -R "$src/tests/vm/guest" "$root/test/tests/vm/"
cp "$src"/tests/tools/*.py "$root/test/tests/tools/"
cp "$build/config.h" "$root/test/build/"
cp "$here/init" "$root/init"
cp "$here/session" "$root/test/session"
chmod +x "$root/init" "$root/test/session"
printf '%s\n' root:x:0:0:root:/root:/bin/sh nobody:x:65534:65534:nobody:/:/bin/sh \
	bpflowd:x:990:990:bpflowd:/nonexistent:/usr/sbin/nologin >"$root/etc/passwd"
printf '%s\n' root:x:0: tty:x:5: nogroup:x:65534: bpflowd:x:990: >"$root/etc/group"
printf '%s\n' "127.0.0.1 localhost" >"$root/etc/hosts"
printf '%s\n' "hosts: files" >"$root/etc/nsswitch.conf"
if [[ ${2:-} == systemd ]]; then
	copy_systemd
	install_daemon
fi

#!/bin/bash
# SPDX-License-Identifier: MIT
# programs.sh ROOT: makes the tree of a guest: programs of this system with their libraries, the daemon, the tests.
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
mkdir -p "$root/test/tests"
cp -R "$src"/tests/{lib.sh,e2e,vm} "$root/test/tests/"
mkdir -p "$root/test/tests/tools"
cp "$src"/tests/tools/*.py "$root/test/tests/tools/"
cp "$build/config.h" "$root/test/build/"
cp "$here/init" "$root/init"
chmod +x "$root/init"
printf '%s\n' root:x:0:0:root:/root:/bin/sh nobody:x:65534:65534:nobody:/:/bin/sh >"$root/etc/passwd"
printf '%s\n' root:x:0: nogroup:x:65534: >"$root/etc/group"
printf '%s\n' "127.0.0.1 localhost" >"$root/etc/hosts"
printf '%s\n' "hosts: files" >"$root/etc/nsswitch.conf"

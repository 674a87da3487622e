#!/bin/bash
# SPDX-License-Identifier: MIT
# kernel.sh SERIES: prints the folder of a Debian kernel of that series ("newest": of any), fetched unless it lies in the
# cache: vmlinux, lib/modules, release. Packages come from the mirrors that the system's own apt knows, through a state
# of its own: the system's lists and sources are not touched. Exit status 3: the archive has none.
set -euo pipefail
series=$1
here=$(dirname "$(readlink -f "$0")")
cache=${BPFLOWD_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/bpflowd-vm}
suites=(bullseye bookworm bookworm-backports trixie trixie-backports sid)
security_suites=(bullseye-security bookworm-security trixie-security)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
refresh_days=7
tries=4 # an archive in motion may lack a part of its newest kernels

say() { echo "kernel.sh: $*" >&2; }

# The first mirror of the system's that has a suite of such a name.
mirror_of() { # AWK-CONDITION on the suite $2
	apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' | awk "$1 { print \$1; exit }"
}

sources() {
	local uri suite
	uri=$(mirror_of '$2 !~ /[-\/]/')
	for suite in "${suites[@]}"; do
		echo "deb [signed-by=$keyring] $uri $suite main"
	done
	uri=$(mirror_of '$2 ~ /-security$/')
	[[ -n $uri ]] || return 0
	for suite in "${security_suites[@]}"; do
		echo "deb [signed-by=$keyring] $uri $suite main"
	done
}

# A suite that has left the mirror is no reason to fail: the others are read all the same.
apt_state() {
	local apt=$cache/apt
	mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
	sources >"$apt/sources.list"
	cat >"$apt/apt.conf" <<-END
		Dir::Etc::sourcelist "$apt/sources.list";
		Dir::Etc::sourceparts "-";
		Dir::State::lists "$apt/lists";
		Dir::Cache "$apt/cache";
		APT::Architectures "amd64";
		APT::Sandbox::User "root";
		Acquire::Languages "none";
		Acquire::Retries "3";
	END
	export APT_CONFIG=$apt/apt.conf
	[[ -n $(find "$apt/lists" -name '*Packages*' -mtime -1 -print -quit) ]] || apt-get -qq update >&2 || :
}

releases() { # newest first
	local pattern=${series//./\\.}
	[[ $series != newest ]] || pattern='[0-9]*\.[0-9]*'
	apt-cache pkgnames linux-image- | sed -n "s/^linux-image-\($pattern\.[^ ]*-cloud-amd64\)$/\1/p" |
		sort -Vr
}

# From 6.19 on Debian has the kernel and its modules in packages of their own.
packages_of() { # RELEASE
	if [[ $(apt-cache show "linux-image-$1") == *" linux-binary-$1 "* ]]; then
		echo "linux-binary-$1 linux-modules-$1"
	else
		echo "linux-image-$1"
	fi
}

unpack() { # FOLDER RELEASE: root/ becomes lib/modules and vmlinux
	mkdir -p "$1/lib"
	mv "$1"/root/lib/modules "$1/lib/" 2>/dev/null || mv "$1"/root/usr/lib/modules "$1/lib/" || return 1
	depmod -b "$1" "$2" 2>/dev/null || return 1
	"$here/unpack.py" "$(find "$1" -name 'vmlinuz*' -type f -print -quit)" "$1/vmlinux" || return 1
	rm -rf "$1/root"
	echo "$2" >"$1/release"
}

fetch() { # RELEASE FOLDER
	local deb packages
	rm -rf "$2"
	mkdir -p "$2/root"
	read -ra packages <<<"$(packages_of "$1")"
	(cd "$2" && apt-get -qq download "${packages[@]}") >&2 || return 1
	for deb in "$2"/*.deb; do
		dpkg-deb -x "$deb" "$2/root" || return 1
		rm "$deb"
	done
	unpack "$2" "$1"
}

cached() { # true if the folder that this series had last may be used still
	local pointer=$cache/series-$series
	[[ -e $pointer && -e $cache/$(cat "$pointer")/release ]] || return 1
	[[ ${1:-} == any || -n $(find "$pointer" -mtime "-$refresh_days") ]]
}

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if ! cached; then
	apt_state
	for release in $(releases | head -n "$tries"); do
		if [[ -e $cache/$release/release ]] || fetch "$release" "$cache/$release"; then
			echo "$release" >"$cache/series-$series"
			break
		fi
		rm -rf "${cache:?}/$release"
	done
fi
if ! cached any; then
	say "the archive has no kernel of series $series"
	exit 3
fi
echo "$cache/$(cat "$cache/series-$series")"

#!/bin/bash
# SPDX-License-Identifier: MIT
# The Debian package: builds, lintian has no error, installs into a fresh Debian, the daemon in there sees packets, an
# upgrade keeps the configuration, and after a purge nothing is left.
. "$(dirname "$0")/../lib.sh"
require_root jq dpkg-buildpackage dh debootstrap lintian unshare
[[ -r /etc/debian_version ]] || skip_all "needs Debian"

codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
cache=${BPFLOWD_TEST_CACHE:-/var/cache/bpflowd-test}
root=$work/root

# Where this machine gets Debian from, as lines of sources.list.
debian_sources() { # CODENAME
	apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' \
		"Codename: $1" | sort -u
}

# A minimal Debian as a tar file, made anew after a week.
base() {
	local mirror tar=$cache/$codename.tar new
	[[ -z $(find "$tar" -mtime -7 2>/dev/null) ]] || return 0
	mirror=$(debian_sources "$codename" | awk 'NR == 1 { print $2 }')
	[[ -n $mirror ]] || return 1
	mkdir -p "$cache"
	new=$(mktemp -d "$cache/new.XXXXXX")
	if debootstrap --variant=minbase "$codename" "$new/root" "$mirror" >"$work/debootstrap.log" 2>&1; then
		tar -C "$new/root" -cf "$new/tar" . && mv "$new/tar" "$tar"
	else
		tail -5 "$work/debootstrap.log"
	fi
	rm -rf --one-file-system "$new"
	[[ -f $tar ]]
}

# The mounts are the command's own, and gone when it ends.
inside() { # COMMAND...
	unshare --mount --propagation private sh -c 'root=$1; shift
		mount --rbind /proc "$root/proc" && mount --rbind /sys "$root/sys" && mount --rbind /dev "$root/dev" || exit 99
		exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@"' \
		sh "$root" "$@"
}

apt() { inside apt-get -q -y --no-install-recommends "$@"; }

# What is on the disk, and the accounts. Logs, caches and what apt and dpkg know are theirs.
everything() {
	find "$root" -xdev \( -path "$root/proc" -o -path "$root/sys" -o -path "$root/dev" -o -path "$root/tmp" -o -path "$root/var/cache" \
		-o -path "$root/var/log" -o -path "$root/var/lib/apt" -o -path "$root/var/lib/dpkg" \) -prune -o \
		! -name 'passwd-' ! -name 'group-' ! -name 'shadow-' ! -name 'gshadow-' ! -name '.pwd.lock' -printf '%P %y %m %u\n' | sort
	sort "$root/etc/passwd" "$root/etc/group"
}

# ---- it builds
unset MAKEFLAGS MAKELEVEL MFLAGS TESTS BPFLOWD_TEST_TIMEOUT
export DEB_BUILD_OPTIONS=parallel=2
check "make deb" make -C "$build" deb || { done_testing; }
deb=$(ls "$build"/debian-build/bpflowd_*.deb)
lintian --allow-root --fail-on error "$deb" >"$work/lintian" 2>&1
is "$?" 0 "lintian finds no error" || diag <"$work/lintian"
is "$(grep -c '^W:' "$work/lintian")" 0 "nor a warning" || diag <"$work/lintian"
dpkg-deb --fsys-tarfile "$deb" | tar -t >"$work/files"
for file in usr/sbin/bpflowd usr/bin/bpflowctl etc/bpflowd/bpflowd.yaml lib/systemd/system/bpflowd.service \
	usr/lib/sysusers.d/bpflowd.conf usr/share/bpflowd/templates/standard.yaml usr/share/man/man8/bpflowd.8.gz \
	usr/share/man/man5/bpflowd.yaml.5.gz usr/share/man/man8/bpflowctl.8.gz usr/share/bash-completion/completions/bpflowctl \
	usr/share/doc/bpflowd/conf/examples/branch-nat.yaml usr/share/doc/bpflowd/conf/grafana-dashboard.json; do
	check "holds $file" grep -qx "./$file" "$work/files"
done
is "$(dpkg-deb --ctrl-tarfile "$deb" | tar -xO ./conffiles)" /etc/bpflowd/bpflowd.yaml "the configuration is a conffile"

# ---- a fresh Debian
check "a fresh Debian $codename" base || { done_testing; }
mkdir "$root"
tar -C "$root" -xf "$cache/$codename.tar"
for name in "$codename" "$codename-updates" "$codename-security"; do
	debian_sources "$name"
done >"$root/etc/apt/sources.list"
apt-config dump Acquire | grep -i proxy >"$root/etc/apt/apt.conf.d/90test" || :
cp /etc/resolv.conf /etc/hosts "$root/etc/"
check "apt-get update" apt update
check "its dependencies are there" apt satisfy "$(dpkg-deb -f "$deb" Depends)"
everything >"$work/before"

# ---- it installs
mkdir "$root/tmp/debian-build"
cp "$deb" "$root/tmp/debian-build/"
install=$(sed -n '/^<!-- test: package -->$/,/^```$/p' "$src/README.md" | grep '^apt-get install')
check "as README says: $install" inside sh -c "cd /tmp && $install"
check "the account is there" inside getent passwd bpflowd
check "bpflowd --version" inside bpflowd --version
check "the configuration as installed is right" inside bpflowd --check
for example in "$root"/usr/share/doc/bpflowd/conf/examples/*.yaml; do
	check "$(basename "$example") is right" inside bpflowd --check -c "${example#"$root"}"
done

# a minimal system has no procps: /bin/kill is not there
for program in $(sed -n 's/^Exec[A-Za-z]*=\([^ ]*\).*/\1/p' "$root/lib/systemd/system/bpflowd.service" | sort -u); do
	check "the unit's $program is there" inside test -x "$program"
done

# ---- it works
netns_add a b
veth_pair a veth0 b veth1
cat >"$root/etc/bpflowd/bpflowd.yaml" <<-END
	exporter:
	  user: bpflowd
	metering:
	  interfaces: [veth1]
	  drain_interval: 100ms
	collectors:
	  - name: archive
	    file: /var/lib/bpflowd/flows.ipfix
END
(exec nsenter --net="/run/netns/$id-b" unshare --mount --propagation private sh -c 'mount --rbind /proc "$1/proc" &&
	mount --rbind /sys "$1/sys" && exec chroot "$1" /usr/sbin/bpflowd' sh "$root") >"$work/daemon.log" 2>&1 &
daemon_pid=$!
children+=("$daemon_pid")
up() { inside bpflowctl show stats; }
check "the daemon comes up" wait_for 20 up || diag <"$work/daemon.log"
send a veth0 --dst-mac "$(mac_of b veth1)" --packets 1000 --flows 10
seen() { [[ $(inside bpflowctl show flows --json | jq '[.flows[].packetDeltaCount] | add // 0') -eq 1000 ]]; }
check "it sees every packet" wait_for 10 seen
is "$(sed -n 's/^CapEff:[[:space:]]*//p' "/proc/$daemon_pid/status")" 000000c000001000 "it keeps three capabilities"
check "SIGTERM ends it with status 0" daemon_stop
"$strict" check "$root/var/lib/bpflowd/flows.ipfix" >"$work/strict.json"
is "$(strict packets)" 1000 "its file holds them all"

# ---- an upgrade keeps what the administrator wrote
check "dpkg --install, over itself" inside sh -c "dpkg --install /tmp/debian-build/*.deb"
check "the configuration stays" grep -q 'user: bpflowd' "$root/etc/bpflowd/bpflowd.yaml"

# ---- it goes
check "dpkg --remove" inside dpkg --remove bpflowd
check "a removal keeps the configuration" test -f "$root/etc/bpflowd/bpflowd.yaml"
check "and the flows" test -s "$root/var/lib/bpflowd/flows.ipfix"
check "dpkg --purge" inside dpkg --purge bpflowd
everything >"$work/after"
is "$(diff "$work/before" "$work/after")" "" "a purge leaves nothing"
done_testing

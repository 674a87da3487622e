#!/bin/bash
# SPDX-License-Identifier: MIT
# boot.sh KERNEL-FOLDER OUT ROOT COMMAND...: runs COMMAND (run as /bin/bash -c) in a throw-away machine and exits with its
# status; 124: it took too long or said nothing for long, 125: the machine died. KERNEL-FOLDER: see kernel.sh. ROOT: a tree
# that the guest gets as its own, with programs and libraries (programs.sh). OUT: a folder that gets what the guest left in
# /out, its console, and what COMMAND printed, as it comes. BPFLOWD_VM_MEMORY: MiB, BPFLOWD_VM_TIMEOUT, BPFLOWD_VM_SILENCE:
# seconds.
#
# No KVM needed: instructions are emulated, and they are the clock, one a nanosecond, and an idle machine's time leaps to
# its next timer. So it does the same however busy this one is, and sleeping costs nothing. Without ERMS the kernel copies
# in words, not octet by octet, each of which costs an instruction here.
set -euo pipefail
kernel=$1 out=$2 root=$3
shift 3
memory=${BPFLOWD_VM_MEMORY:-384}
limit=${BPFLOWD_VM_TIMEOUT:-1800}
silence=${BPFLOWD_VM_SILENCE:-600}
release=$(cat "$kernel/release")
work=$(mktemp -d)
trap 'kill "$machine_pid" 2>/dev/null || :; rm -rf "$work"' EXIT
machine_pid=
mkdir -p "$out"

# What the tests ask for; a kernel that lacks one, or has it built in, does without.
modules=(
	virtio_pci virtio_blk af_packet veth dummy bridge 8021q bonding macvlan vrf wireguard sctp sctp_diag netlink_diag
	sch_ingress sch_netem cls_bpf cls_matchall act_gact nf_tables nft_ct nft_masq nft_chain_nat nft_reject_inet nf_conntrack
	ip_tables iptable_filter nf_nat ip_gre ip6_gre ipip sit vxlan tun
)

# The files of all modules in an order in which they can be inserted.
module_files() {
	local module
	for module in "${modules[@]}"; do
		modprobe -d "$kernel" -S "$release" --show-depends "$module" 2>/dev/null || :
	done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }'
}

module_tree() {
	local file name number=100
	mkdir -p "$work/modules/modules"
	while read -r file; do
		name=$work/modules/modules/$((number++))-$(basename "$file")
		case $file in
		*.xz) xz -dc "$file" >"${name%.xz}" ;;
		*.zst) zstd -qdc "$file" >"${name%.zst}" ;;
		*) cp "$file" "$name" ;;
		esac
	done < <(module_files)
}

archive() { # TREE: as initramfs, not compressed: emulation would make unpacking slow
	(cd "$1" && find . -mindepth 1 -print0 | LC_ALL=C sort -z | cpio --quiet --null -o -H newc -R 0:0)
}

module_tree
mkdir -p "$work/command/test"
printf '%s\n' "$*" >"$work/command/test/command"
# The kernel unpacks archives that follow each other.
{
	archive "$root"
	archive "$work/modules"
	archive "$work/command"
} >"$work/initramfs"
truncate -s 96M "$work/out.img"

machine=(
	-machine q35,accel=tcg -cpu max,-erms -smp 1 -m "$memory" -nodefaults -no-user-config -nographic -no-reboot -net none
	-icount shift=0,sleep=off -rtc clock=vm
	-kernel "$kernel/vmlinux" -initrd "$work/initramfs" -serial "file:$out/console" -serial "file:$out/output"
	-drive "file=$work/out.img,if=virtio,format=raw,cache=unsafe"
	-append "console=ttyS0 quiet panic=-1 oops=panic nokaslr random.trust_cpu=on tsc=reliable no_timer_check
		cryptomgr.notests rcupdate.rcu_expedited=1"
)
qemu-system-x86_64 "${machine[@]}" 2>"$out/qemu.log" &
machine_pid=$!

quiet() { [[ -z $(find "$out" -name output -newermt "-$silence seconds") ]]; }
late=0
started=$SECONDS
while kill -0 "$machine_pid" 2>/dev/null; do
	sleep 0.5
	if [[ $((SECONDS - started)) -gt $limit ]] || { [[ $((SECONDS - started)) -gt $silence ]] && quiet; }; then
		late=1
		kill -KILL "$machine_pid" || :
		break
	fi
done
wait "$machine_pid" || :
machine_pid=
tar -xf "$work/out.img" -C "$out" 2>/dev/null || :
if [[ -s $out/status ]]; then
	exit "$(cat "$out/status")"
fi
[[ $late -eq 0 ]] || exit 124
exit 125

#!/bin/bash
# SPDX-License-Identifier: MIT
# Runs tests/vm/guest/*.sh, and end-to-end tests that find more there than here, in a machine of each kernel that people
# run. Each kernel is one boot. One that the archive lacks is skipped, 6.1 may not be.
# BPFLOWD_VM_KERNELS: series, BPFLOWD_VM_TESTS: names, BPFLOWD_VM_KEEP=DIR: keep what the guests left.
. "$(dirname "$0")/../lib.sh"
need qemu-system-x86_64 busybox cpio modprobe zstd xz tshark

read -ra kernels <<<"${BPFLOWD_VM_KERNELS:-5.10 6.1 6.12 6.18 newest}"
read -ra tests <<<"${BPFLOWD_VM_TESTS:-vm/guest/meter vm/guest/signals vm/guest/life vm/guest/sctp e2e/restart}"
vm=$src/tests/vm
out=${BPFLOWD_VM_KEEP:-$work}
export BPFLOWD_VM_TIMEOUT=${BPFLOWD_VM_TIMEOUT:-600}
export BPFLOWD_SRC=$src BPFLOWD_BUILD=$build

# Each test's own plan must have come true: one that died half way says nothing.
relay() { # KERNEL OUTPUT
	local line test= seen=0
	while IFS= read -r line; do
		case $line in
		"### "*)
			test=${line#\#\#\# }
			seen=0
			;;
		"ok "*" # SKIP "*)
			seen=$((seen + 1))
			line=${line#ok * - }
			skip "${line#* # SKIP }" "$1, ${test##*/}: ${line%% # SKIP *}"
			;;
		"ok "*) seen=$((seen + 1)) && ok 0 "$1, ${test##*/}: ${line#ok * - }" ;;
		"not ok "*) seen=$((seen + 1)) && ok 1 "$1, ${test##*/}: ${line#not ok * - }" ;;
		1..0*SKIP*) skip "${line#*SKIP }" "$1, ${test##*/}" ;;
		1..*) is "$seen" "${line#1..}" "$1, ${test##*/}: came to its end" ;;
		"=== "*) is "$line" "=== $test 0" "$1, ${test##*/}: exit status" ;;
		"Bail out!"*) ok 1 "$1, ${test##*/}: $line" ;;
		*) echo "# ${line#\# }" ;;
		esac
	done <"$2"
}

# An independent decoder on what SCTP carried.
judge_sctp() { # KERNEL OUT
	local file name fields
	for file in "$2"/sctp-*.pcap; do
		[[ -e $file ]] || continue
		name="$1, ${file##*/}"
		fields=$(tshark -r "$file" -Y cflow -T fields -e sctp.data_sid -e sctp.data_u_bit 2>/dev/null | sort -u)
		is "$(tr '\t,' '\n\n' <<<"$fields" | sed 's/^0x00*$/0/' | sort -u)" 0 "$name: one stream, ordered"
		is "$(tshark -r "$file" -Y "_ws.malformed or cflow.sequence_analysis.expected_sn" 2>/dev/null | head -3)" "" \
			"$name: nothing malformed, no gap"
		is "$(tshark -r "$file" -Y "sctp.chunk_type == 192" 2>/dev/null | head -1)" "" "$name: nothing was given up (FORWARD TSN)"
		is "$(tshark -r "$file" -V 2>/dev/null | grep -ci 'no template found')" 0 "$name: every template before its data"
	done
}

run_kernel() { # SERIES
	local folder status=0 name machine
	folder=$("$vm/kernel.sh" "$1" 2>"$work/kernel.log") || status=$?
	if [[ $status -ne 0 ]]; then
		diag <"$work/kernel.log"
		if [[ $1 == 6.1 ]]; then ok 1 "$1: Debian 12's own kernel is to be had"; else skip "kernel: the archive has none" "$1"; fi
		return
	fi
	name=$(cut -d- -f1 "$folder/release")
	machine=$out/$name
	rm -rf "$machine"
	"$vm/boot.sh" "$folder" "$machine" "$work/root" "/test/tests/vm/guest/all ${tests[*]}" || status=$?
	diag "$name: $(cat "$machine/machine" 2>/dev/null), $(($(date +%s) - started)) s"
	[[ ! -e $machine/output ]] || relay "$name" "$machine/output"
	ok "$status" "$name: the machine came to its end" || diag <"$machine/console"
	[[ -e $machine/dmesg ]] || return
	is "$(grep -E 'BUG|WARNING|Oops|KFENCE|refcount_t|unregister_netdevice' "$machine/dmesg" | head -3)" "" \
		"$name: the kernel complains of nothing"
	judge_sctp "$name" "$machine"
}

"$vm/programs.sh" "$work/root" || bail "no guest to be made"
for kernel in "${kernels[@]}"; do
	started=$(date +%s)
	run_kernel "$kernel"
done
done_testing

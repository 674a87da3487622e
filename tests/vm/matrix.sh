#!/bin/bash
# SPDX-License-Identifier: MIT
# Runs tests/vm/guest/*.sh in a machine of each kernel that people run, small.sh in one of 256 MiB; and the shipped unit under
# a real systemd on the first and on the last of them. A kernel that the archive lacks is skipped, 6.1 may not be. What the
# machines left is in tests/vm/machines/ of the build.
# BPFLOWD_VM_KERNELS: series. BPFLOWD_VM_TESTS: names, also of end-to-end tests. BPFLOWD_VM_SYSTEMD: series for the unit.
# BPFLOWD_VM_SMALL: series for the small one. BPFLOWD_VM_JOBS: machines at a time. BPFLOWD_VM_KEEP: another place for
# what they leave. BPFLOWD_VM_BRIEF: series without what takes long. BPFLOWD_VM_SEED: the moments of kill -9 (killed.sh) of a
# run before.
. "$(dirname "$0")/../lib.sh"
need qemu-system-x86_64 busybox cpio modprobe zstd xz tshark

read -ra kernels <<<"${BPFLOWD_VM_KERNELS:-5.10 6.1 6.12 6.18 newest}"
read -ra tests <<<"${BPFLOWD_VM_TESTS-vm/guest/meter vm/guest/signals vm/guest/killed vm/guest/life vm/guest/devices vm/guest/sctp}"
read -ra with_systemd <<<"${BPFLOWD_VM_SYSTEMD-${kernels[0]} ${kernels[-1]}}"
read -ra small <<<"${BPFLOWD_VM_SMALL-${kernels[*]}}"
command -v systemctl journalctl >/dev/null || { skip "systemd is not installed" "the unit" && with_systemd=(); }
read -ra brief <<<"${BPFLOWD_VM_BRIEF:-}"
jobs=${BPFLOWD_VM_JOBS:-2}
vm=$src/tests/vm
out=${BPFLOWD_VM_KEEP:-$build/tests/vm/machines}
seed=${BPFLOWD_VM_SEED:-$RANDOM}
export BPFLOWD_SRC=$src BPFLOWD_BUILD=$build

# Each test's own plan must have come true: one that died half way says nothing.
relay() { # MACHINE
	local line test= seen=0 running=
	while IFS= read -r line; do
		case $line in
		"### "*)
			test=${line#\#\#\# }
			running=$test
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
		"=== "*) is "$line" "=== $test 0" "$1, ${test##*/}: exit status" && running= ;;
		"Bail out!"*) ok 1 "$1, ${test##*/}: $line" ;;
		*) echo "# ${line#\# }" ;;
		esac
	done <"$out/$1/output"
	[[ -z $running ]] || diag "the last that ran: $running"
}

# An independent decoder on what SCTP carried.
judge_sctp() { # MACHINE
	local file name fields
	for file in "$out/$1"/sctp-*.pcap; do
		[[ -e $file ]] || continue
		name="$1, ${file##*/}"
		fields=$(tshark -r "$file" -Y cflow -T fields -e sctp.data_sid -e sctp.data_u_bit 2>/dev/null | sort -u)
		is "$(tr '\t,' '\n\n' <<<"$fields" | sed 's/^0x00*$/0/' | sort -u)" 0 "$name: one stream, ordered"
		is "$(tshark -r "$file" -Y "_ws.malformed or cflow.sequence_analysis.expected_sn" 2>/dev/null | head -3)" "" \
			"$name: nothing malformed, no gap"
		is "$(tshark -r "$file" -Y "sctp.chunk_type == 192" 2>/dev/null | head -1)" "" "$name: nothing was given up (FORWARD TSN)"
		tshark -r "$file" -V >"$work/decoded" 2>/dev/null
		is "$(grep -ci 'no template found' "$work/decoded")" 0 "$name: every template before its data"
		is "$(grep -oE '(Options )?Template \(Id = [0-9]+' "$work/decoded" | sort | uniq -d)" "" "$name: no template twice"
		ok $(($(grep -c '^ *Template Id: ' "$work/decoded") < 1)) "$name: templates"
	done
}

# A machine that died or came to a stand is started once more: that is QEMU's trouble, a test that hangs has its own limit.
run_machine() { # MACHINE KERNEL-FOLDER ROOT COMMAND
	local status=0 try begin=$SECONDS boot=
	trap 'kill "$boot"; exit 1' TERM
	for try in 1 2; do
		rm -rf "${out:?}/$1"
		status=0
		"$vm/boot.sh" "$2" "$out/$1" "$3" "$4" &
		boot=$!
		wait "$boot" || status=$?
		[[ $status -eq 124 || $status -eq 125 ]] || break
	done
	echo "$status $try $((SECONDS - begin))" >"$out/$1.result"
}

judge() { # MACHINE
	local status try seconds
	read -r status try seconds <"$out/$1.result"
	diag "$1: $(cat "$out/$1/machine" 2>/dev/null), $seconds s"
	[[ $try -eq 1 ]] || diag "$1: the second run, the first one came to no end"
	[[ ! -e $out/$1/output ]] || relay "$1"
	ok "$status" "$1: the machine came to its end" || tail -n 20 "$out/$1/console" | diag
	[[ -e $out/$1/dmesg ]] || return
	is "$(grep -E 'BUG|WARNING|Oops|KFENCE|refcount_t|unregister_netdevice' "$out/$1/dmesg" | head -3)" "" \
		"$1: the kernel complains of nothing"
	judge_sctp "$1"
}

tests_on() { # SERIES
	local test
	for test in "${tests[@]}"; do
		[[ " ${brief[*]} " == *" $1 "* && $test == */@(killed|life|devices) ]] || echo "$test"
	done
}

kernel_folder() { # SERIES
	local status=0
	folder=$("$vm/kernel.sh" "$1" 2>"$work/kernel.log") || status=$?
	[[ $status -ne 0 ]] || return 0
	diag <"$work/kernel.log"
	if [[ $1 == 6.1 ]]; then
		ok 1 "$1: Debian 12's own kernel is to be had"
	else
		skip "kernel: the archive has none" "$1"
	fi
	return 1
}

machines=()
pids=()
begin_machine() { # MACHINE KERNEL-FOLDER ROOT COMMAND
	while [[ $(jobs -rp | wc -l) -ge $jobs ]]; do
		wait -n
	done
	run_machine "$@" &
	machines+=("$1")
	pids+=("$!")
	children+=("$!")
}

mkdir -p "$out"
"$vm/programs.sh" "$work/root" || bail "no guest to be made"
[[ ${#with_systemd[@]} -eq 0 ]] || "$vm/programs.sh" "$work/systemd" systemd || bail "no guest with systemd to be made"
[[ ${#small[@]} -eq 0 ]] || "$vm/programs.sh" "$work/small" small || bail "no small guest to be made"
for kernel in "${kernels[@]}"; do
	kernel_folder "$kernel" || continue
	name=$(cut -d- -f1 "$folder/release")
	[[ ${#tests[@]} -eq 0 ]] ||
		begin_machine "$name" "$folder" "$work/root" "BPFLOWD_VM_SEED=$seed /test/tests/vm/guest/all $(tests_on "$kernel" | xargs)"
	[[ " ${small[*]} " != *" $kernel "* ]] || BPFLOWD_VM_MEMORY=256 \
		begin_machine "$name-small" "$folder" "$work/small" "/test/tests/vm/guest/all vm/guest/small"
	# its root is a copy of the initial one
	[[ " ${with_systemd[*]} " != *" $kernel "* ]] || BPFLOWD_VM_MEMORY=640 \
		begin_machine "$name-systemd" "$folder" "$work/systemd" "/test/tests/vm/guest/all vm/guest/unit"
done
for i in "${!machines[@]}"; do
	wait "${pids[i]}"
	forget "${pids[i]}"
	judge "${machines[i]}"
done
done_testing

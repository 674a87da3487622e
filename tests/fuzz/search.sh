#!/bin/bash
# SPDX-License-Identifier: MIT
# search.sh [TARGET...]: libFuzzer over each, or all, for FUZZ_SECONDS (60), as many at once as there are CPUs; in the
# build folder, after make check-fuzz-targets. TAP. A finding is kept as tests/fuzz/found/TARGET-crash-...: with its repair
# it belongs into tests/fuzz/corpus/TARGET.
set -u
src=${BPFLOWD_SRC:?}
seconds=${FUZZ_SECONDS:-60}
mkdir -p tests/fuzz/found
[[ $# -gt 0 ]] || set -- $(ls "$src/tests/fuzz/corpus")

search() { # TARGET
	local target=$1 log=tests/fuzz/found/$1.log seeds=("$src/tests/fuzz/corpus/$1") options=() status=0 runs
	case $target in
	dns) options=(-max_len=600) ;;
	dns_name) options=(-max_len=300) ;;
	settings) seeds+=("$src/tests/data/bad") options=(-max_len=4096) ;;
	template) options=(-max_len=8192) ;;
	*) options=(-max_len=4096) ;;
	esac
	mkdir -p "tests/fuzz/found/$target"
	BPFLOWD_SRC=$src tests/fuzz/search/"$target" "${options[@]}" -max_total_time="$seconds" -timeout=10 -print_final_stats=1 \
		-artifact_prefix="tests/fuzz/found/$target-" "$PWD/tests/fuzz/found/$target" "${seeds[@]}" >"$log" 2>&1 || status=$?
	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
	if [[ $status -eq 0 ]]; then
		echo "ok - $target: ${runs:-0} runs"
		return
	fi
	echo "not ok - $target: ended with $status after ${runs:-?} runs"
	tail -n 60 "$log" | sed 's/^/# /'
}

search_all() { # TARGET...
	local target
	for target; do
		while [[ $(jobs -rp | wc -l) -ge $(nproc) ]]; do
			wait -n
		done
		search "$target" &
	done
	wait
}

failed=0
while IFS= read -r line; do
	echo "$line"
	[[ $line != "not ok"* ]] || failed=1
done < <(search_all "$@")
echo "1..$#"
exit $failed

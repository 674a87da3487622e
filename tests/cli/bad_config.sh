#!/bin/bash
# SPDX-License-Identifier: MIT
# bpflowd --check against every broken file of tests/data/bad: exit status 1, nothing on stdout, and on stderr what
# stands in NAME.ok, each line with its place. UPDATE_GOLDEN=1 writes NAME.ok: read the difference.
. "$(dirname "$0")/../lib.sh"

check_file() { # NAME
	local status=0
	timeout 10 "$bpflowd" --check -c "$1.yaml" >"$work/out" 2>"$work/err" || status=$?
	[[ $status -eq 1 ]] || { diag "exit status $status" && return 1; }
	[[ -z ${UPDATE_GOLDEN:-} ]] || cp "$work/err" "$1.ok"
	[[ ! -s $work/out ]] || { diag "stdout:" && diag <"$work/out" && return 1; }
	diff -u "$1.ok" "$work/err" >"$work/diff" || { diag <"$work/diff" && return 1; }
	! grep -vqE '^[^ ]+:[0-9]+:[0-9]+: .+; .+|^[^ ]+:[0-9]+:[0-9]+: .+\?$|^[^ ]+: .*No such file' "$work/err"
}

[[ -x $bpflowd ]] || bail "no $bpflowd"
cd "$src/tests/data/bad" || bail "no tests/data/bad"
for file in *.yaml; do
	check_file "${file%.yaml}"
	ok $? "${file%.yaml}"
done
done_testing

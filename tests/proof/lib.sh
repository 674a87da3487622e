# SPDX-License-Identifier: MIT
# For the scripts of tests/proof: builds of the source tree in folders of their own, with TAP as in tests/lib.sh, which is
# for tests of one build. What they build stays for the next time, under proof/ of the build folder. BPFLOWD_JOBS: how much
# at once (as many as there are CPUs).
# shellcheck shell=bash
set -u
# run by make check, the variables and the time limit of that one are none of ours
unset MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL BPFLOWD_TEST_TIMEOUT
src=${BPFLOWD_SRC:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
build=${BPFLOWD_BUILD:-$PWD}
jobs=${BPFLOWD_JOBS:-$(nproc)}
count=0
failed=0

ok() { # STATUS NAME [LOG]
	if [[ $1 -eq 0 ]]; then
		echo "ok $((++count)) - $2"
		return 0
	fi
	echo "not ok $((++count)) - $2"
	failed=1
	[[ -z ${3:-} ]] || grep -aE 'error:|warning:|not ok|^(FAIL|ERROR)|\*\*\*|runtime error|undefined' "$3" | head -n 40 | sed 's/^/# /'
	return 1
}

skip() { # NAME REASON
	echo "ok $((++count)) - $1 # SKIP $2"
}

skip_all() { # REASON
	echo "1..0 # SKIP $1"
	exit 0
}

done_testing() {
	echo "1..$count"
	exit $failed
}

# A source tree that is configured itself takes no build beside it: then what make dist has is taken in its place, which
# shows by the way that nothing is missing there. What has not changed keeps its age.
source_tree() {
	if [[ ! -e $src/config.status ]]; then
		echo "$src"
		return
	fi
	mkdir -p "$build/proof"
	(
		flock 8
		rm -rf "$build/proof/fresh"
		make -s -C "$build" distdir distdir=proof/fresh && mkdir -p "$build/proof/source" &&
			cp -au "$build/proof/fresh/." "$build/proof/source/"
	) 8>"$build/proof/.lock" >"$build/proof/source.log" 2>&1 || return
	echo "$build/proof/source"
}

configured() { # NAME ARGUMENTS...: configures proof/NAME, once; the caller is there afterwards
	local name=$1 tree
	shift
	mkdir -p "$build/proof/$name" && cd "$build/proof/$name" || exit 1
	tree=$(source_tree)
	ok $? "$name: source" "$build/proof/source.log" || return
	[[ -f Makefile && $(cat arguments 2>/dev/null) == "$*" ]] && return
	"$tree/configure" -q "$@" >configure.log 2>&1 || return
	echo "$*" >arguments
}

# Compiles what make check needs, and runs the tests given; all of their cases are told as ours.
run_tests() { # NAME TEST...
	local name=$1 test status=0
	shift
	make -s -j"$jobs" check TESTS= >make.log 2>&1
	ok $? "$name: builds" make.log || return
	for test; do rm -f "$test.trs" "${test%.sh}.trs"; done
	make -s -j"$jobs" check TESTS="$*" >check.log 2>&1 || status=$?
	grep -E '^# (TOTAL|PASS|SKIP|FAIL|ERROR):' check.log | tr '\n' ' ' | sed 's/^/# /; s/ $/\n/'
	ok $status "$name: tests" check.log
}

unit_tests() { # the programs that need no root, of the build in the current folder
	make -s list-unit-tests | grep '^tests/' # not what make may say of itself
}

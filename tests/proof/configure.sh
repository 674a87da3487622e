#!/bin/bash
# SPDX-License-Identifier: MIT
# Both compilers without a warning, and each part that configure can leave out left out: it builds, and the unit tests that
# are left pass; what only runs long is run once for each compiler.
. "$(dirname "$0")/lib.sh"

wanted=" $* "
try() { # NAME ARGUMENTS...
	[[ $wanted == "  " || $wanted == *" $1 "* ]] || return 0
	configured "$@" || { ok 1 "$1: configure" configure.log && return; }
	mapfile -t unit < <(unit_tests | if [[ $* == *-O0* ]]; then grep -vE 'fuzz_|cache_model'; else cat; fi)
	run_tests "$1 (${*:2})" "${unit[@]}"
	[[ $failed -ne 0 ]] || rm -rf "$build/proof/$1"
}

try gcc --enable-werror CC=gcc
try clang --enable-werror CC=clang
try no-tls --enable-werror --without-tls CFLAGS=-O0
try no-http --enable-werror --without-http CFLAGS=-O0
try no-systemd --enable-werror --without-systemd --with-systemdsystemunitdir=no CFLAGS=-O0
try no-seccomp --enable-werror --without-seccomp CFLAGS=-O0
try least --enable-werror --without-tls --without-http --without-systemd --without-seccomp CFLAGS=-O0
if [[ $wanted == "  " ]]; then
	# what it would find out on such a machine
	tree=$(source_tree) && mkdir -p "$build/proof/big-endian" && cd "$build/proof/big-endian" || exit 1
	refused() { ! ac_cv_c_bigendian=yes "$tree/configure" -q >configure.log 2>&1 && grep -q '^configure: error: .*big-endian' configure.log; }
	refused
	ok $? "a big-endian machine is refused" configure.log
fi
done_testing

#!/bin/bash
# SPDX-License-Identifier: MIT
# libFuzzer over each target as one of the proofs: a case each. (make check-fuzz has the generated packets, too.)
. "$(dirname "$0")/lib.sh"
cd "$build" || exit 1
mkdir -p proof
make -s -j"$jobs" check-fuzz-targets >proof/fuzz.log 2>&1 || { ok 1 "builds" proof/fuzz.log || done_testing; }
BPFLOWD_SRC=$src exec "$src/tests/fuzz/search.sh"

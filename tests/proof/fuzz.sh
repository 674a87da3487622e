#!/bin/bash
# SPDX-License-Identifier: MIT
# make check-fuzz as one of the proofs: a case for each target.
. "$(dirname "$0")/lib.sh"
cd "$build" || exit 1
mkdir -p proof
make -s -j"$jobs" check-fuzz-targets >proof/fuzz.log 2>&1 || { ok 1 "builds" proof/fuzz.log || done_testing; }
exec make -s check-fuzz

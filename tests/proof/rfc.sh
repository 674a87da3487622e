#!/bin/bash
# SPDX-License-Identifier: MIT
# The RFC checklist as one of the proofs: a case for each row that applies, by the logs of make check and make check-vm, which
# must have run.
. "$(dirname "$0")/lib.sh"
exec "$src/tests/tools/rfc.py" tap "$build"

#!/bin/bash
# SPDX-License-Identifier: MIT
# The RFC checklist has every row, names files that exist, and the README tells what does not apply.
src=${BPFLOWD_SRC:-$(cd "$(dirname "$0")/../.." && pwd)}
exec "$src/tests/tools/rfc.py" check "$src"

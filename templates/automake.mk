# SPDX-License-Identifier: MIT
EXTRA_DIST += templates/automake.mk

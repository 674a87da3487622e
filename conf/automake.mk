# SPDX-License-Identifier: MIT
EXTRA_DIST += conf/automake.mk

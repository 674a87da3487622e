# SPDX-License-Identifier: MIT
# Unit tests link libpure.a alone; kernel and end-to-end tests are scripts and programs that need root.
EXTRA_DIST += tests/automake.mk
UNIT_TESTS =
unit_ldadd = libpure.a $(pure_libs)

check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)

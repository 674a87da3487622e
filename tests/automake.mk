# SPDX-License-Identifier: MIT
# Unit tests link libpure.a alone; kernel and end-to-end tests are scripts and programs that need root.
EXTRA_DIST += tests/automake.mk
UNIT_TESTS =
unit_ldadd = libpure.a $(pure_libs)

check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)

UNIT_TESTS += tests/unit/test_clock
tests_unit_test_clock_SOURCES = tests/unit/test_clock.c
tests_unit_test_clock_LDADD = $(unit_ldadd)

UNIT_TESTS += tests/unit/test_log
tests_unit_test_log_SOURCES = tests/unit/test_log.c
tests_unit_test_log_LDADD = $(unit_ldadd)

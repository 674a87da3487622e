# SPDX-License-Identifier: MIT
# make check-soak: a flood, ten minutes of everything at once, the end with a million flows; too long for make check.
# BPFLOWD_SOAK_SECONDS: how long the soak runs (600). A single one, as root: tests/soak/flood.sh after make check TESTS=.
SOAK_TESTS = tests/soak/flood.sh tests/soak/shutdown.sh tests/soak/dns_flood.sh \
	tests/soak/soak.sh
EXTRA_DIST += tests/soak/automake.mk tests/soak/lib.sh $(SOAK_TESTS)

test_tools += tests/tools/tally
tests_tools_tally_SOURCES = tests/tools/tally.c tests/tools/tally_read.c tests/tools/tally.h
tests_tools_tally_CFLAGS = $(AM_CFLAGS)
tests_tools_tally_LDADD = $(GLIB_LIBS)

check-soak: all $(test_tools)
	@$(MAKE) check BPFLOWD_TEST_TIMEOUT=$${BPFLOWD_TEST_TIMEOUT:-$$(($${BPFLOWD_SOAK_SECONDS:-600} + 900))} \
		TESTS='$(SOAK_TESTS)'
.PHONY: check-soak

# what the daemon takes of memory is the same on a busy machine: this one is part of make check
E2E_TESTS += tests/e2e/memory.sh

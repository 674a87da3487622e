# SPDX-License-Identifier: MIT
# The same suite by other eyes: sanitizers, valgrind, both compilers and every choice of configure, static analysis. They
# build in folders of their own, take minutes and are no part of make check. TAP; ./quickstart counts them when they run
# by make check TESTS=tests/proof/NAME.sh.
PROOFS = tests/proof/sanitizers.sh tests/proof/valgrind.sh tests/proof/configure.sh tests/proof/lint.sh \
	tests/proof/fuzz.sh tests/proof/rfc.sh
EXTRA_DIST += $(PROOFS) tests/proof/automake.mk tests/proof/lib.sh tests/proof/valgrind.supp tests/proof/cppcheck.supp tests/proof/tidy.supp \
	.clang-tidy
proof = BPFLOWD_SRC='$(abs_top_srcdir)' BPFLOWD_BUILD='$(abs_top_builddir)' $(top_srcdir)/tests/proof

.PHONY: check-sanitizers check-valgrind check-configure check-lint list-tests list-unit-tests list-cflags
check-sanitizers:
	$(proof)/sanitizers.sh
check-valgrind:
	$(proof)/valgrind.sh
check-configure:
	$(proof)/configure.sh
check-lint:
	$(proof)/lint.sh
list-tests:
	@for t in $(TESTS); do echo $$t; done
list-unit-tests:
	@for t in $(UNIT_TESTS) $(FUZZERS); do echo $$t; done
list-cflags:
	@echo $(DEFS) $(AM_CPPFLAGS) -I. $(libpure_a_CFLAGS) $(libexporter_a_CFLAGS) $(CURSES_CFLAGS)

# SPDX-License-Identifier: MIT
# Fuzz targets, libFuzzer's entry point each. make check replays the corpus; make check-fuzz searches with clang, for
# FUZZ_SECONDS each, and leaves what it finds in the build folder. Sources under test are compiled in, for coverage.
EXTRA_DIST += tests/fuzz/automake.mk tests/fuzz/corpus
FUZZ_SECONDS = 60
FUZZ_FLAGS = -g -O1 -std=gnu11 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined

FUZZERS = tests/fuzz/fuzz_dns_name
check_PROGRAMS += $(FUZZERS)
TESTS += $(FUZZERS)

fuzz_dns_name_sources = exporter/record.c exporter/clock.c
tests_fuzz_fuzz_dns_name_SOURCES = tests/fuzz/fuzz_dns_name.c tests/fuzz/replay.c
tests_fuzz_fuzz_dns_name_LDADD = $(unit_ldadd)

.PHONY: check-fuzz check-fuzz-dns_name
check-fuzz: check-fuzz-dns_name
check-fuzz-dns_name: config.h
	@$(MKDIR_P) tests/fuzz/found/dns_name
	$(CLANG) $(FUZZ_FLAGS) $(DEFS) $(AM_CPPFLAGS) -I. $(GLIB_CFLAGS) -o tests/fuzz/search_dns_name \
		$(top_srcdir)/tests/fuzz/fuzz_dns_name.c $(addprefix $(top_srcdir)/,$(fuzz_dns_name_sources)) $(GLIB_LIBS)
	cd tests/fuzz && ./search_dns_name -max_total_time=$(FUZZ_SECONDS) -max_len=300 -artifact_prefix=dns_name- \
		found/dns_name $(abs_top_srcdir)/tests/fuzz/corpus/dns_name
CLEANFILES += tests/fuzz/search_dns_name

# templates/ is read too: paths are those of the source tree
FUZZERS += tests/fuzz/fuzz_settings
tests_fuzz_fuzz_settings_SOURCES = tests/fuzz/fuzz_settings.c tests/fuzz/replay.c
tests_fuzz_fuzz_settings_LDADD = $(unit_ldadd)

.PHONY: check-fuzz-settings
check-fuzz: check-fuzz-settings
check-fuzz-settings: config.h
	@$(MKDIR_P) tests/fuzz/found/settings
	$(CLANG) $(FUZZ_FLAGS) $(DEFS) $(AM_CPPFLAGS) -I. $(GLIB_CFLAGS) $(YAML_CFLAGS) $(FIXBUF_CFLAGS) \
		-o tests/fuzz/search_settings $(top_srcdir)/tests/fuzz/fuzz_settings.c \
		$(addprefix $(top_srcdir)/,$(filter %.c,$(libpure_a_SOURCES))) $(pure_libs)
	BPFLOWD_SRC=$(abs_top_srcdir) tests/fuzz/search_settings -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=5 \
		-artifact_prefix=$(abs_top_builddir)/tests/fuzz/settings- $(abs_top_builddir)/tests/fuzz/found/settings \
		$(abs_top_srcdir)/tests/fuzz/corpus/settings $(abs_top_srcdir)/tests/data/bad
CLEANFILES += tests/fuzz/search_settings

FUZZERS += tests/fuzz/fuzz_dns
fuzz_dns_sources = exporter/dns.c exporter/record.c exporter/clock.c
tests_fuzz_fuzz_dns_SOURCES = tests/fuzz/fuzz_dns.c tests/fuzz/replay.c
tests_fuzz_fuzz_dns_LDADD = $(unit_ldadd)

.PHONY: check-fuzz-dns
check-fuzz: check-fuzz-dns
check-fuzz-dns: config.h
	@$(MKDIR_P) tests/fuzz/found/dns
	$(CLANG) $(FUZZ_FLAGS) $(DEFS) $(AM_CPPFLAGS) -I. $(GLIB_CFLAGS) -o tests/fuzz/search_dns \
		$(top_srcdir)/tests/fuzz/fuzz_dns.c $(addprefix $(top_srcdir)/,$(fuzz_dns_sources)) $(GLIB_LIBS)
	cd tests/fuzz && ./search_dns -max_total_time=$(FUZZ_SECONDS) -max_len=600 -artifact_prefix=dns- \
		found/dns $(abs_top_srcdir)/tests/fuzz/corpus/dns
CLEANFILES += tests/fuzz/search_dns

# SPDX-License-Identifier: MIT
# Fuzz targets, libFuzzer's entry point each. make check replays their corpora, with every beginning of each file and each
# octet of it inverted. make check-fuzz searches with clang's libFuzzer and both sanitizers, FUZZ_SECONDS for each target,
# as many at once as there are CPUs; what it finds lies in tests/fuzz/found of the build folder. One target alone:
# make check-fuzz FUZZ_TARGETS=control
EXTRA_DIST += tests/fuzz/automake.mk tests/fuzz/search.sh tests/fuzz/corpus
FUZZ_SECONDS = 60
FUZZ_FLAGS = -g -O1 -std=gnu11 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined
FUZZ_TARGETS = control dns dns_name netlink ring roundtrip settings strict_decoder template

FUZZERS = \
	tests/fuzz/fuzz_control tests/fuzz/fuzz_dns tests/fuzz/fuzz_dns_name tests/fuzz/fuzz_netlink tests/fuzz/fuzz_ring \
	tests/fuzz/fuzz_roundtrip tests/fuzz/fuzz_settings tests/fuzz/fuzz_strict_decoder tests/fuzz/fuzz_template
check_PROGRAMS += $(FUZZERS)
TESTS += $(FUZZERS)
fuzz_replay = tests/fuzz/fuzz.h tests/fuzz/replay.c
strict_decoder = tests/fuzz/strict_decoder.c tests/fuzz/strict_decoder.h
fuzz_session = tests/fuzz/session.c tests/fuzz/session.h $(strict_decoder)
fuzz_ldadd = libexporter.a libpure.a $(exporter_libs) $(pure_libs)

tests_fuzz_fuzz_control_SOURCES = tests/fuzz/fuzz_control.c $(fuzz_replay)
tests_fuzz_fuzz_control_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
tests_fuzz_fuzz_control_LDADD = $(fuzz_ldadd)
tests_fuzz_fuzz_dns_SOURCES = tests/fuzz/fuzz_dns.c $(fuzz_replay)
tests_fuzz_fuzz_dns_LDADD = $(unit_ldadd)
tests_fuzz_fuzz_dns_name_SOURCES = tests/fuzz/fuzz_dns_name.c $(fuzz_replay)
tests_fuzz_fuzz_dns_name_LDADD = $(unit_ldadd)
tests_fuzz_fuzz_netlink_SOURCES = tests/fuzz/fuzz_netlink.c $(fuzz_replay)
tests_fuzz_fuzz_netlink_LDADD = $(fuzz_ldadd)
tests_fuzz_fuzz_ring_SOURCES = tests/fuzz/fuzz_ring.c $(fuzz_replay)
tests_fuzz_fuzz_ring_CFLAGS = $(AM_CFLAGS) $(LIBBPF_CFLAGS)
tests_fuzz_fuzz_ring_LDADD = $(fuzz_ldadd)
tests/fuzz/fuzz_ring-fuzz_ring.$(OBJEXT): $(bpf_skeletons)
tests_fuzz_fuzz_roundtrip_SOURCES = tests/fuzz/fuzz_roundtrip.c $(fuzz_session) $(fuzz_replay)
tests_fuzz_fuzz_roundtrip_LDADD = $(unit_ldadd)
# templates/ is read too: paths are those of the source tree
tests_fuzz_fuzz_settings_SOURCES = tests/fuzz/fuzz_settings.c $(fuzz_replay)
tests_fuzz_fuzz_settings_LDADD = $(unit_ldadd)
tests_fuzz_fuzz_strict_decoder_SOURCES = tests/fuzz/fuzz_strict_decoder.c $(strict_decoder) $(fuzz_replay)
tests_fuzz_fuzz_strict_decoder_LDADD = $(unit_ldadd)
tests_fuzz_fuzz_template_SOURCES = tests/fuzz/fuzz_template.c $(fuzz_session) $(fuzz_replay)
tests_fuzz_fuzz_template_LDADD = $(unit_ldadd)

# the judge is judged
UNIT_TESTS += tests/fuzz/test_strict_decoder
tests_fuzz_test_strict_decoder_SOURCES = tests/fuzz/test_strict_decoder.c $(strict_decoder)
tests_fuzz_test_strict_decoder_LDADD = $(GLIB_LIBS)
test_tools += tests/tools/strict_check
tests_tools_strict_check_SOURCES = tests/tools/strict_check.c $(strict_decoder)
tests_tools_strict_check_LDADD = $(GLIB_LIBS)
WIRE_TESTS += tests/wire/oracles.sh

# Everything once more by clang, for coverage and sanitizers. GNU make, as in kernel/.
fuzz_cflags = $(DEFS) $(AM_CPPFLAGS) -I. $(GLIB_CFLAGS) $(YAML_CFLAGS) $(FIXBUF_CFLAGS) $(libexporter_a_CFLAGS)
fuzz_sources = $(filter %.c,$(libpure_a_SOURCES) $(libexporter_a_SOURCES)) tests/fuzz/session.c tests/fuzz/strict_decoder.c
fuzz_verbose = $(fuzz_verbose_@AM_V@)
fuzz_verbose_ = $(fuzz_verbose_@AM_DEFAULT_V@)
fuzz_verbose_0 = @echo "  FUZZ    " $@;

tests/fuzz/search/%.o: $(top_srcdir)/%.c config.h $(bpf_skeletons)
	@$(MKDIR_P) $(@D)
	$(fuzz_verbose)$(CLANG) $(FUZZ_FLAGS) $(filter-out -std=gnu11 $(WARN_CFLAGS),$(fuzz_cflags)) -MMD -c $< -o $@
tests/fuzz/search/all.a: $(fuzz_sources:%.c=tests/fuzz/search/%.o)
	@rm -f $@
	$(fuzz_verbose)$(AR) $(ARFLAGS) $@ $^
tests/fuzz/search/%: tests/fuzz/search/tests/fuzz/fuzz_%.o tests/fuzz/search/all.a
	$(fuzz_verbose)$(CLANG) $(FUZZ_FLAGS) -o $@ $^ $(exporter_libs) $(pure_libs)
.PRECIOUS: tests/fuzz/search/%.o
-include $(wildcard tests/fuzz/search/*/*.d tests/fuzz/search/*/*/*.d)

.PHONY: check-fuzz check-fuzz-targets
check-fuzz-targets: $(FUZZ_TARGETS:%=tests/fuzz/search/%)
check-fuzz: check-fuzz-targets
	BPFLOWD_SRC='$(abs_top_srcdir)' FUZZ_SECONDS=$(FUZZ_SECONDS) $(top_srcdir)/tests/fuzz/search.sh $(FUZZ_TARGETS)

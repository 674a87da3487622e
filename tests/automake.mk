# SPDX-License-Identifier: MIT
# Every test prints TAP. Unit tests link libpure.a alone; kernel and end-to-end tests need root and run one at a time
# (tests/run holds a lock). A single one: make check TESTS=tests/e2e/conservation.sh
EXTRA_DIST += tests/automake.mk tests/run tests/lib.sh tests/tools/strict.py $(E2E_TESTS)
UNIT_TESTS =
KERNEL_TESTS =
E2E_TESTS = tests/e2e/tools.sh tests/e2e/conservation.sh tests/e2e/overload.sh tests/e2e/times.sh tests/e2e/gso.sh \
	tests/e2e/restart.sh tests/e2e/privileges.sh tests/e2e/file.sh tests/e2e/template_reload.sh tests/e2e/reload.sh \
	tests/e2e/reload_queue.sh tests/e2e/metrics.sh tests/e2e/instances.sh \
	tests/e2e/logs.sh tests/e2e/ctl_live.sh tests/e2e/descriptors.sh tests/e2e/clsact.sh
unit_ldadd = libpure.a $(pure_libs)

TEST_EXTENSIONS = .sh
LOG_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh --merge
SH_LOG_DRIVER = $(LOG_DRIVER)
LOG_COMPILER = $(top_srcdir)/tests/run
SH_LOG_COMPILER = $(top_srcdir)/tests/run
AM_TESTS_ENVIRONMENT = BPFLOWD_SRC='$(abs_top_srcdir)'; BPFLOWD_BUILD='$(abs_top_builddir)'; export BPFLOWD_SRC BPFLOWD_BUILD;

test_tools = tests/tools/blast
tests_tools_blast_SOURCES = tests/tools/blast.c
tests_tools_blast_LDADD = -lm

check_PROGRAMS += $(UNIT_TESTS) $(KERNEL_TESTS) $(test_tools)
TESTS += $(UNIT_TESTS) $(KERNEL_TESTS) $(E2E_TESTS)

UNIT_TESTS += tests/unit/test_clock
tests_unit_test_clock_SOURCES = tests/unit/test_clock.c
tests_unit_test_clock_LDADD = $(unit_ldadd)

UNIT_TESTS += tests/unit/test_log
tests_unit_test_log_SOURCES = tests/unit/test_log.c
tests_unit_test_log_LDADD = $(unit_ldadd)

UNIT_TESTS += tests/unit/test_control
tests_unit_test_control_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_test_control_SOURCES = tests/unit/test_control.c
tests_unit_test_control_LDADD = libexporter.a $(unit_ldadd) $(JANSSON_LIBS)

UNIT_TESTS += tests/unit/test_cache
tests_unit_test_cache_SOURCES = tests/unit/test_cache.c
tests_unit_test_cache_LDADD = $(unit_ldadd)

UNIT_TESTS += tests/unit/test_yaml
tests_unit_test_yaml_SOURCES = tests/unit/test_yaml.c
tests_unit_test_yaml_LDADD = $(unit_ldadd)

UNIT_TESTS += tests/unit/test_interfaces
tests_unit_test_interfaces_SOURCES = tests/unit/test_interfaces.c
tests_unit_test_interfaces_LDADD = $(unit_ldadd)

UNIT_TESTS += tests/unit/test_cache_model
tests_unit_test_cache_model_SOURCES = tests/unit/test_cache_model.c
tests_unit_test_cache_model_LDADD = $(unit_ldadd)

UNIT_TESTS += tests/unit/test_record
tests_unit_test_record_SOURCES = tests/unit/test_record.c
tests_unit_test_record_LDADD = $(unit_ldadd)

wire_fixture = tests/unit/wire_fixture.c tests/unit/wire_fixture.h
wire_cflags = $(AM_CFLAGS) -DTOP_SRCDIR='"$(abs_top_srcdir)"'
EXTRA_DIST += tests/golden

UNIT_TESTS += tests/unit/test_ipfix
tests_unit_test_ipfix_CFLAGS = $(wire_cflags) $(FIXBUF_CFLAGS)
tests_unit_test_ipfix_SOURCES = tests/unit/test_ipfix.c tests/unit/fixbuf.c tests/unit/fixbuf.h $(wire_fixture)
tests_unit_test_ipfix_LDADD = $(unit_ldadd)

KERNEL_TESTS += tests/kernel/test_interfaces_netlink
tests_kernel_test_interfaces_netlink_SOURCES = tests/kernel/test_interfaces_netlink.c
tests_kernel_test_interfaces_netlink_LDADD = libexporter.a $(unit_ldadd) $(MNL_LIBS)

UNIT_TESTS += tests/unit/test_interfaces_device
tests_unit_test_interfaces_device_SOURCES = tests/unit/test_interfaces_device.c
tests_unit_test_interfaces_device_LDADD = libexporter.a $(unit_ldadd) $(MNL_LIBS)

UNIT_TESTS += tests/unit/test_netflow9
tests_unit_test_netflow9_CFLAGS = $(wire_cflags)
tests_unit_test_netflow9_SOURCES = tests/unit/test_netflow9.c $(wire_fixture)
tests_unit_test_netflow9_LDADD = $(unit_ldadd)

UNIT_TESTS += tests/unit/test_metrics
tests_unit_test_metrics_SOURCES = tests/unit/test_metrics.c
tests_unit_test_metrics_LDADD = $(unit_ldadd)

if WITH_HTTP
UNIT_TESTS += tests/unit/test_http
tests_unit_test_http_SOURCES = tests/unit/test_http.c
tests_unit_test_http_LDADD = libexporter.a $(unit_ldadd) $(HTTP_LIBS)
endif
UNIT_TESTS += tests/unit/test_template
tests_unit_test_template_CFLAGS = $(wire_cflags)
tests_unit_test_template_SOURCES = tests/unit/test_template.c $(wire_fixture)
tests_unit_test_template_LDADD = $(unit_ldadd)
UNIT_TESTS += tests/unit/test_definitions
tests_unit_test_definitions_CFLAGS = $(wire_cflags)
tests_unit_test_definitions_SOURCES = tests/unit/test_definitions.c $(wire_fixture)
tests_unit_test_definitions_LDADD = $(unit_ldadd)
UNIT_TESTS += tests/unit/test_field
tests_unit_test_field_SOURCES = tests/unit/test_field.c
tests_unit_test_field_LDADD = $(unit_ldadd)
test_tools += tests/tools/emit
tests_tools_emit_CFLAGS = $(wire_cflags)
tests_tools_emit_SOURCES = tests/tools/emit.c $(wire_fixture)
tests_tools_emit_LDADD = $(unit_ldadd)

UNIT_TESTS += tests/unit/test_priv
tests_unit_test_priv_SOURCES = tests/unit/test_priv.c
tests_unit_test_priv_LDADD = libexporter.a $(unit_ldadd) $(CAPNG_LIBS) $(SECCOMP_LIBS)
UNIT_TESTS += tests/unit/test_settings
tests_unit_test_settings_CFLAGS = $(wire_cflags)
tests_unit_test_settings_SOURCES = tests/unit/test_settings.c
tests_unit_test_settings_LDADD = $(unit_ldadd)

# bpflowd's command line; each broken file of tests/data/bad has its errors beside it (update: UPDATE_GOLDEN=1)
CLI_TESTS = tests/cli/bad_config.sh tests/cli/config.sh tests/cli/rfc.sh tests/cli/man.sh
TESTS += $(CLI_TESTS)
EXTRA_DIST += $(CLI_TESTS) tests/data/bad

E2E_TESTS += tests/cli/ctl.sh

# count: once
test_tools += tests/tools/stranger
tests_tools_stranger_SOURCES = tests/tools/stranger.c
tests_tools_stranger_CFLAGS = $(AM_CFLAGS) $(LIBBPF_CFLAGS)
tests_tools_stranger_LDADD = $(LIBBPF_LIBS) $(LIBELF_LIBS) $(ZLIB_LIBS)
E2E_TESTS += tests/e2e/once_route.sh tests/e2e/once_flows.sh tests/e2e/once_stack.sh tests/e2e/once_export.sh \
	tests/e2e/once_hooks.sh tests/e2e/once_interfaces.sh tests/e2e/indexes.sh
EXTRA_DIST += tests/e2e/once_lib.sh tests/data/once.yaml
EXTRA_DIST += tests/cli/canned.py

UNIT_TESTS += tests/unit/test_views
tests_unit_test_views_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_test_views_SOURCES = tests/unit/test_views.c
tests_unit_test_views_LDADD = libexporter.a $(unit_ldadd) $(JANSSON_LIBS)
WIRE_TESTS = tests/wire/ipfixdump.sh tests/wire/nfacctd.sh tests/wire/nfdump.sh tests/wire/tshark.sh
TESTS += $(WIRE_TESTS)
EXTRA_DIST += $(WIRE_TESTS)

# Writes tests/golden/ and conf/collectors/ anew; read the difference before it is committed.
golden_tests = tests/unit/test_ipfix tests/unit/test_netflow9 tests/unit/test_definitions
update-golden: $(golden_tests)
	@for t in $(golden_tests); do BPFLOWD_SRC='$(abs_top_srcdir)' UPDATE_GOLDEN=1 ./$$t --tap | grep '^not ok'; done; true
.PHONY: update-golden

UNIT_TESTS += tests/unit/test_dns
tests_unit_test_dns_SOURCES = tests/unit/test_dns.c
tests_unit_test_dns_LDADD = $(unit_ldadd)

E2E_TESTS += tests/e2e/grafana.sh tests/e2e/readme.sh

# the Debian package, in a Debian of its own (about two minutes)
PACKAGE_TESTS = tests/package/deb.sh
TESTS += $(PACKAGE_TESTS)
EXTRA_DIST += $(PACKAGE_TESTS)
KERNEL_TESTS += tests/kernel/test_trackers
tests_kernel_test_trackers_CFLAGS = $(AM_CFLAGS) $(LIBBPF_CFLAGS)
tests_kernel_test_trackers_SOURCES = tests/kernel/test_trackers.c
tests_kernel_test_trackers_LDADD = libexporter.a $(unit_ldadd) $(exporter_libs)

test_tools += tests/tools/relay
tests_tools_relay_SOURCES = tests/tools/relay.c
E2E_TESTS += tests/e2e/idle.sh tests/e2e/alive.sh tests/e2e/signals.sh tests/e2e/signals_nat.sh \
	tests/e2e/signals_ingress.sh
EXTRA_DIST += tests/e2e/signals_lib.sh

UNIT_TESTS += tests/unit/test_signals
tests_unit_test_signals_SOURCES = tests/unit/test_signals.c
tests_unit_test_signals_LDADD = $(unit_ldadd)

# Who shows what: one command that measures it. UPDATE_GOLDEN=1 writes it into README.md.
E2E_TESTS += tests/e2e/matrix.sh
EXTRA_DIST += tests/tools/matrix.py tests/tools/readers.py tests/tools/peer.py
matrix: all tests/tools/blast tests/tools/relay
	@BPFLOWD_SRC='$(abs_top_srcdir)' BPFLOWD_BUILD='$(abs_top_builddir)' BPFLOWD_MATRIX=matrix.md \
		$(top_srcdir)/tests/run $(top_srcdir)/tests/e2e/matrix.sh >matrix.log; \
		status=$$?; grep -v '^ok\|^1\.\.' matrix.log; cat matrix.md; exit $$status
.PHONY: matrix
CLEANFILES += matrix.md matrix.log

# The RFC checklist: runs the tests that it names and says for each of its rows what came of it.
EXTRA_DIST += tests/rfc.tsv tests/tools/rfc.py
check-rfc: all $(check_PROGRAMS)
	-$(MAKE) check TESTS="`$(top_srcdir)/tests/tools/rfc.py programs`" >tests/rfc.log 2>&1
	@$(top_srcdir)/tests/tools/rfc.py report $(top_builddir)
CLEANFILES += tests/rfc.log
.PHONY: check-rfc

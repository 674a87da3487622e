# SPDX-License-Identifier: MIT
EXTRA_DIST += tests/kernel/automake.mk

# crafted packets through the hooks by BPF_PROG_TEST_RUN
meter_sources = tests/kernel/meter.c tests/kernel/meter.h tests/kernel/packet.c tests/kernel/packet.h
meter_cflags = $(AM_CFLAGS) $(LIBBPF_CFLAGS)
meter_ldadd = libexporter.a $(unit_ldadd) $(LIBBPF_LIBS) $(LIBELF_LIBS) $(ZLIB_LIBS) $(CAPNG_LIBS)
KERNEL_TESTS += tests/kernel/test_parse
tests_kernel_test_parse_CFLAGS = $(meter_cflags)
tests_kernel_test_parse_SOURCES = tests/kernel/test_parse.c $(meter_sources)
tests_kernel_test_parse_LDADD = $(meter_ldadd)
KERNEL_TESTS += tests/kernel/test_packets
tests_kernel_test_packets_CFLAGS = $(meter_cflags)
tests_kernel_test_packets_SOURCES = tests/kernel/test_packets.c $(meter_sources)
tests_kernel_test_packets_LDADD = $(meter_ldadd)

# the parser against a plain one in user space; a long search: make check-fuzz-packets
KERNEL_TESTS += tests/kernel/test_reference
tests_kernel_test_reference_CFLAGS = $(meter_cflags)
tests_kernel_test_reference_SOURCES = tests/kernel/test_reference.c tests/kernel/generate.c tests/kernel/generate.h \
	tests/kernel/reference.c tests/kernel/reference.h $(meter_sources)
tests_kernel_test_reference_LDADD = $(meter_ldadd)

FUZZ_PACKETS = 1000000
.PHONY: check-fuzz check-fuzz-packets
check-fuzz: check-fuzz-packets
check-fuzz-packets: tests/kernel/test_reference
	BPFLOWD_FUZZ_PACKETS=$(FUZZ_PACKETS) BPFLOWD_SEED=$${BPFLOWD_SEED:-$$(od -An -N4 -tu4 /dev/urandom)} \
		tests/kernel/test_reference --tap

KERNEL_TESTS += tests/kernel/test_table
tests_kernel_test_table_CFLAGS = $(meter_cflags)
tests_kernel_test_table_SOURCES = tests/kernel/test_table.c $(meter_sources)
tests_kernel_test_table_LDADD = $(meter_ldadd)

KERNEL_TESTS += tests/kernel/test_devices
tests_kernel_test_devices_CFLAGS = $(meter_cflags)
tests_kernel_test_devices_SOURCES = tests/kernel/test_devices.c $(meter_sources)
tests_kernel_test_devices_LDADD = $(meter_ldadd)

KERNEL_TESTS += tests/kernel/test_probe
tests_kernel_test_probe_CFLAGS = $(meter_cflags)
tests_kernel_test_probe_SOURCES = tests/kernel/test_probe.c $(meter_sources)
tests_kernel_test_probe_LDADD = $(meter_ldadd)

# SPDX-License-Identifier: MIT
# Sessions of collector.c against sockets of our own, in one process.
EXTRA_DIST += tests/transport/automake.mk tests/transport/README.md
transport_harness = tests/transport/harness.c tests/transport/harness.h
transport_ldadd = libexporter.a $(unit_ldadd) $(CARES_LIBS) $(TLS_LIBS)

UNIT_TESTS += tests/transport/test_udp
tests_transport_test_udp_SOURCES = tests/transport/test_udp.c $(transport_harness)
tests_transport_test_udp_LDADD = $(transport_ldadd)

UNIT_TESTS += tests/transport/test_tcp
tests_transport_test_tcp_SOURCES = tests/transport/test_tcp.c $(transport_harness)
tests_transport_test_tcp_LDADD = $(transport_ldadd)

if WITH_TLS
UNIT_TESTS += tests/transport/test_tls
tests_transport_test_tls_SOURCES = \
	tests/transport/test_tls.c tests/transport/tools.c tests/transport/tools.h $(transport_harness)
tests_transport_test_tls_LDADD = $(transport_ldadd)
endif

UNIT_TESTS += tests/transport/test_file
tests_transport_test_file_SOURCES = \
	tests/transport/test_file.c tests/transport/tools.c tests/transport/tools.h $(transport_harness)
tests_transport_test_file_LDADD = $(transport_ldadd)

UNIT_TESTS += tests/transport/test_path
tests_transport_test_path_SOURCES = \
	tests/transport/test_path.c tests/transport/tools.c tests/transport/tools.h $(transport_harness)
tests_transport_test_path_LDADD = $(transport_ldadd)

UNIT_TESTS += tests/transport/test_split
tests_transport_test_split_CFLAGS = $(wire_cflags)
tests_transport_test_split_SOURCES = tests/transport/test_split.c $(wire_fixture)
tests_transport_test_split_LDADD = $(transport_ldadd)

UNIT_TESTS += tests/transport/test_groups
tests_transport_test_groups_SOURCES = tests/transport/test_groups.c
tests_transport_test_groups_LDADD = $(transport_ldadd)

UNIT_TESTS += tests/transport/test_account
tests_transport_test_account_CFLAGS = $(wire_cflags)
tests_transport_test_account_SOURCES = tests/transport/test_account.c $(wire_fixture)
tests_transport_test_account_LDADD = $(transport_ldadd)

E2E_TESTS += tests/e2e/transports.sh tests/e2e/groups.sh tests/e2e/faults.sh tests/e2e/burst.sh

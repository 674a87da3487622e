# SPDX-License-Identifier: MIT
# make check-fault: system calls that fail, memory that runs out, readers that stop, collectors that misbehave, against
# the daemon as it is, by a preloaded object. Also in make check.
FAULT_TESTS = tests/fault/calls.sh tests/fault/start.sh tests/fault/trace.sh tests/fault/outage.sh \
	tests/fault/stalls.sh tests/fault/collectors.sh tests/fault/memory.sh
if WITH_TLS
FAULT_TESTS += tests/fault/secure.sh tests/fault/memory_tls.sh
test_tools += tests/tools/dtls_sink
tests_tools_dtls_sink_SOURCES = tests/tools/dtls_sink.c
tests_tools_dtls_sink_CFLAGS = $(AM_CFLAGS) $(TLS_CFLAGS)
tests_tools_dtls_sink_LDADD = $(TLS_LIBS)
endif
EXTRA_DIST += tests/fault/automake.mk tests/fault/inject.c tests/fault/memory.c tests/fault/lib.sh \
	tests/fault/control.py tests/fault/calls.py tests/fault/start.py tests/fault/memory.py tests/fault/pass.py \
	tests/fault/ill.py tests/fault/secure.sh tests/fault/memory_tls.sh $(FAULT_TESTS)
FAULT_OBJECTS = tests/fault/inject.so tests/fault/memory.so
TESTS += $(FAULT_TESTS)
check_DATA = $(FAULT_OBJECTS)
CLEANFILES += $(FAULT_OBJECTS)

# neither sanitizers nor hardening of the daemon's build: this is loaded before everything else
tests/fault/%.so: $(top_srcdir)/tests/fault/%.c
	@$(MKDIR_P) tests/fault
	$(AM_V_CCLD)$(CC) -std=gnu11 -O2 -g -Wall -Wextra -fPIC -shared -o $@ $< -ldl

check-fault: all $(check_PROGRAMS) $(FAULT_OBJECTS)
	$(MAKE) check TESTS="$(FAULT_TESTS)"
.PHONY: check-fault

# SPDX-License-Identifier: MIT
# make bench: speed, as ratios measured side by side; no part of make check.
EXTRA_DIST += tests/bench/automake.mk tests/bench/reference.bpf.c tests/bench/router.sh tests/bench/router_lib.sh tests/bench/inline.sh tests/bench/empty.bpf.c tests/bench/README.md
CLEANFILES += tests/bench/reference.skel.h tests/bench/reference.bpf.o tests/bench/empty.skel.h tests/bench/empty.bpf.o $(BENCHES) $(BENCH_TOOLS)
BENCHES = tests/bench/bench_kernel tests/bench/bench_cache tests/bench/bench_drain tests/bench/bench_send tests/bench/bench_signals
BENCH_TOOLS = tests/bench/pairs tests/bench/hook tests/bench/inject tests/bench/spent
EXTRA_PROGRAMS += $(BENCHES) $(BENCH_TOOLS)

tests/bench/%.bpf.o: $(top_srcdir)/tests/bench/%.bpf.c
	@$(MKDIR_P) tests/bench
	$(bpf_verbose)$(CLANG) $(BPF_CFLAGS) -I$(top_srcdir) $(BPF_SYS_INCLUDES) -c $< -o $@
tests/bench/%.skel.h: tests/bench/%.bpf.o
	$(bpf_verbose)$(BPFTOOL) gen skeleton $< name $*_bpf > $@.tmp && mv $@.tmp $@

tests_bench_bench_kernel_SOURCES = tests/bench/bench_kernel.c
tests_bench_bench_kernel_CFLAGS = $(AM_CFLAGS) $(LIBBPF_CFLAGS)
tests_bench_bench_kernel_LDADD = $(LIBBPF_LIBS) $(LIBELF_LIBS) $(ZLIB_LIBS) $(GLIB_LIBS)
tests/bench/bench_kernel-bench_kernel.$(OBJEXT): tests/bench/reference.skel.h kernel/flows.skel.h

tests_bench_bench_cache_SOURCES = tests/bench/bench_cache.c
tests_bench_bench_cache_LDADD = $(unit_ldadd)

tests_bench_bench_drain_SOURCES = tests/bench/bench_drain.c
tests_bench_bench_drain_CFLAGS = $(AM_CFLAGS) $(LIBBPF_CFLAGS)
tests_bench_bench_drain_LDADD = libexporter.a $(unit_ldadd) $(exporter_libs)
tests/bench/bench_drain-bench_drain.$(OBJEXT): tests/bench/reference.skel.h kernel/flows.skel.h

tests_bench_bench_send_SOURCES = tests/bench/bench_send.c
tests_bench_bench_send_CFLAGS = $(AM_CFLAGS) -DTOP_SRCDIR='"$(abs_top_srcdir)"'
tests_bench_bench_send_LDADD = libexporter.a $(unit_ldadd) $(exporter_libs)

tests_bench_bench_signals_SOURCES = tests/bench/bench_signals.c
tests_bench_bench_signals_CFLAGS = $(AM_CFLAGS) $(LIBBPF_CFLAGS)
tests_bench_bench_signals_LDADD = libexporter.a $(unit_ldadd) $(exporter_libs)
tests/bench/bench_signals-bench_signals.$(OBJEXT): tests/bench/empty.skel.h

tests_bench_pairs_SOURCES = tests/bench/pairs.c
tests_bench_pairs_LDADD = -lm
tests_bench_hook_SOURCES = tests/bench/hook.c
tests_bench_hook_CFLAGS = $(AM_CFLAGS) $(LIBBPF_CFLAGS)
tests_bench_hook_LDADD = $(LIBBPF_LIBS) $(LIBELF_LIBS) $(ZLIB_LIBS)

# What router.sh uses: a source of packets, a count of CPU time.
EXTRA_DIST += tests/bench/inject.bpf.c tests/bench/router_peers.sh tests/bench/newflows.sh
EXTRA_DIST += tests/bench/scale.sh tests/bench/idle.sh
CLEANFILES += tests/bench/inject.skel.h tests/bench/inject.bpf.o tests/bench/*.tsv tests/bench/scale.svg
tests_bench_inject_SOURCES = tests/bench/inject.c
tests_bench_inject_CFLAGS = $(AM_CFLAGS) $(LIBBPF_CFLAGS)
tests_bench_inject_LDADD = $(LIBBPF_LIBS) $(LIBELF_LIBS) $(ZLIB_LIBS)
tests/bench/inject-inject.$(OBJEXT): tests/bench/inject.skel.h
tests_bench_spent_SOURCES = tests/bench/spent.c

.PHONY: bench
bench: $(BENCHES) $(BENCH_TOOLS) tests/bench/reference.bpf.o
	@for b in $(BENCHES); do echo "== $$b"; BPFLOWD_SRC=$(abs_top_srcdir) ./$$b || exit 1; done
	@for b in router newflows scale idle; do echo "== $$b"; \
		BPFLOWD_SRC=$(abs_top_srcdir) BPFLOWD_BUILD=$(abs_builddir) BENCH_OUT=tests/bench \
			$(top_srcdir)/tests/bench/$$b.sh || exit 1; done

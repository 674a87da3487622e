# SPDX-License-Identifier: MIT
# eBPF objects (CO-RE) and the skeletons that embed them: at run time neither compiler nor object file is needed.
bpf_headers = \
	kernel/account.bpf.h kernel/core.bpf.h kernel/dns.bpf.h kernel/far.bpf.h kernel/flow.h \
	kernel/fragment.bpf.h kernel/guard.bpf.h kernel/hint.bpf.h kernel/observe.bpf.h kernel/parse.bpf.h kernel/rtt.bpf.h \
	kernel/segment.bpf.h kernel/skb.bpf.h kernel/slot.bpf.h kernel/track.bpf.h
bpf_sources = kernel/flows.bpf.c kernel/drops.bpf.c kernel/netdev.bpf.c kernel/probe.bpf.c
bpf_skeletons = kernel/flows.skel.h kernel/drops.skel.h kernel/netdev.skel.h kernel/probe.skel.h
BPF_CFLAGS = -O2 -g -target bpf -mcpu=v3 -D__TARGET_ARCH_$(BPF_ARCH) -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers

noinst_HEADERS += $(bpf_headers)
EXTRA_DIST += $(bpf_sources) kernel/automake.mk
BUILT_SOURCES += $(bpf_skeletons)
CLEANFILES += $(bpf_skeletons) $(bpf_sources:.c=.o)

bpf_verbose = $(bpf_verbose_@AM_V@)
bpf_verbose_ = $(bpf_verbose_@AM_DEFAULT_V@)
bpf_verbose_0 = @echo "  BPF     " $@;

kernel/%.bpf.o: $(top_srcdir)/kernel/%.bpf.c $(addprefix $(top_srcdir)/,$(bpf_headers))
	@$(MKDIR_P) kernel
	$(bpf_verbose)$(CLANG) $(BPF_CFLAGS) -I$(top_srcdir) $(BPF_SYS_INCLUDES) -c $< -o $@
	@$(LLVM_STRIP) -g $@
kernel/%.skel.h: kernel/%.bpf.o
	$(bpf_verbose)$(BPFTOOL) gen skeleton $< name $*_bpf > $@.tmp && mv $@.tmp $@
# the first build must have them even when only one target is asked for
exporter/libexporter_a-fetcher.$(OBJEXT): $(bpf_skeletons)
.PRECIOUS: kernel/%.bpf.o

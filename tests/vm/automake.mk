# SPDX-License-Identifier: MIT
# make check-vm: the daemon on the kernels that people run, in throw-away machines. Needs qemu, a Debian mirror the first
# time, minutes; so it is no part of make check. BPFLOWD_VM_KERNELS="6.1 newest": these series only.
EXTRA_DIST += tests/vm/matrix.sh tests/vm/kernel.sh tests/vm/boot.sh tests/vm/programs.sh tests/vm/unpack.py tests/vm/init \
	tests/vm/guest

vm_tools = tests/vm/sctp_sink
EXTRA_PROGRAMS += $(vm_tools)
CLEANFILES += $(vm_tools)
tests_vm_sctp_sink_SOURCES = tests/vm/sctp_sink.c

check-vm-tools: all $(test_tools) $(vm_tools)
check-vm: check-vm-tools
	BPFLOWD_SRC='$(abs_top_srcdir)' BPFLOWD_BUILD='$(abs_top_builddir)' $(top_srcdir)/tests/vm/matrix.sh
.PHONY: check-vm check-vm-tools

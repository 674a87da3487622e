# SPDX-License-Identifier: MIT
# make check-vm-tools: all tests/tools/blast $(vm_tools)
check-vm: check-vm-tools
	BPFLOWD_SRC='$(abs_top_srcdir)' BPFLOWD_BUILD='$(abs_top_builddir)' $(top_srcdir)/tests/vm/matrix.sh
.PHONY: check-vm check-vm-tools

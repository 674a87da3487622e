# SPDX-License-Identifier: MIT
# make check-vm: the daemon on the kernels that people run, in throw-away machines. Needs qemu, a Debian mirror the first
# time, minutes; so it is no part of make check. Prints TAP; tests/vm/matrix.log and .trs are as make check would have them.
# BPFLOWD_VM_KERNELS="6.1 newest": these series only; more such at the head of matrix.sh. Beside a running make check it
# builds nothing if check-vm-tools was made before.
EXTRA_DIST += tests/vm/matrix.sh tests/vm/kernel.sh tests/vm/boot.sh tests/vm/programs.sh tests/vm/unpack.py tests/vm/init \
	tests/vm/session tests/vm/guest

vm_tools = tests/vm/sctp_sink
EXTRA_PROGRAMS += $(vm_tools)
CLEANFILES += $(vm_tools) tests/vm/matrix.tap tests/vm/matrix.log tests/vm/matrix.trs
tests_vm_sctp_sink_SOURCES = tests/vm/sctp_sink.c

check-vm-tools: all $(test_tools) $(vm_tools) conf/bpflowd.service
check-vm: check-vm-tools
	@$(MKDIR_P) tests/vm; rm -f tests/vm/matrix.trs; \
	{ BPFLOWD_SRC='$(abs_top_srcdir)' BPFLOWD_BUILD='$(abs_top_builddir)' bash $(top_srcdir)/tests/vm/matrix.sh 2>&1 || \
		echo "# exit status $$?"; } | tee tests/vm/matrix.tap; \
	$(SH_LOG_DRIVER) --test-name tests/vm/matrix.sh --log-file tests/vm/matrix.log --trs-file tests/vm/matrix.trs \
		--color-tests no --expect-failure no --enable-hard-errors yes -- cat tests/vm/matrix.tap >/dev/null; \
	! grep -E '^:test-result: (FAIL|ERROR)' tests/vm/matrix.trs
check-vm-clean:
	rm -rf tests/vm/machines
clean-local: check-vm-clean
.PHONY: check-vm check-vm-tools check-vm-clean

#!/bin/bash
# SPDX-License-Identifier: MIT
# The suite once more with AddressSanitizer, its leak checker and UndefinedBehaviorSanitizer. Without the filter of system
# calls, which would keep the leak checker from its work. Without arguments: what takes about three minutes; --all: every
# test, of which some may fail because a daemon that is three times as slow loses packets; findings are what counts.
. "$(dirname "$0")/lib.sh"

# privileges, reload, interfaces, both formats, every transport; none of them is a race against the clock
some=(
	tests/kernel/test_interfaces_netlink tests/kernel/test_packets tests/kernel/test_trackers tests/cli/bad_config.sh
	tests/e2e/file.sh tests/e2e/groups.sh tests/e2e/privileges.sh tests/e2e/reload_queue.sh
	tests/e2e/restart.sh tests/e2e/template_reload.sh tests/e2e/tools.sh tests/e2e/transports.sh tests/wire/tshark.sh
)
configured sanitizers --enable-werror --enable-sanitizers --without-seccomp
ok $? "configure" configure.log
export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1
mapfile -t unit < <(unit_tests)
if [[ ${1:-} == --all ]]; then
	mapfile -t all < <(make -s list-tests | grep '^tests/' | grep -v -e tests/package/ -e tests/proof/)
	run_tests "ASan, UBSan" "${all[@]}"
elif [[ $EUID -eq 0 ]]; then
	run_tests "ASan, UBSan" "${unit[@]}" "${some[@]}"
else
	run_tests "ASan, UBSan" "${unit[@]}"
fi
findings=$(find tests -name '*.log' -exec grep -laE 'runtime error|(Address|Leak|UndefinedBehavior)Sanitizer' {} +)
ok "$(($(wc -w <<<"$findings") > 0))" "no finding: ${findings//$'\n'/ }"
done_testing

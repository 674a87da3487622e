#!/bin/bash
# SPDX-License-Identifier: MIT
# clang-tidy with the checks of .clang-tidy, and cppcheck, over exporter/: no finding. What is switched off says why, there
# and here.
. "$(dirname "$0")/lib.sh"
cd "$build" || exit 1
make -s -j"$jobs" all >proof-make.log 2>&1
ok $? "builds" proof-make.log
mapfile -t flags < <(make -s list-cflags | tr ' ' '\n' | grep -v '^-W')

if command -v clang-tidy >/dev/null; then
	printf '%s\n' "$src"/exporter/*.c | xargs -P "$jobs" -I % clang-tidy --quiet % -- "${flags[@]}" 2>/dev/null |
		grep -aE '(warning|error):' | grep -avEf <(grep -v '^#' "$src/tests/proof/tidy.supp") | sort -u >clang-tidy.log
	ok "$(($(wc -l <clang-tidy.log) > 0))" "clang-tidy" clang-tidy.log
else
	skip "clang-tidy" "not installed"
fi

# What is an error, not what is another style. Macros of libraries it does not know. With -j it does not follow calls from
# one file into another.
if command -v cppcheck >/dev/null; then
	(cd "$src" && cppcheck -q --std=c11 --enable=warning,performance,portability --inline-suppr \
		--suppressions-list=tests/proof/cppcheck.supp --template='{file}:{line}: {severity}: {id}: {message}' \
		-I. -Iexporter -I"$build" -DHAVE_CONFIG_H -D_GNU_SOURCE '-DLIBBPF_OPTS(type,name,...)=struct type name' \
		'-DDECLARE_LIBBPF_OPTS(type,name,...)=struct type name' '-DG_DEFINE_QUARK(name,function)=' \
		exporter) 2>cppcheck.log
	ok "$(($(wc -l <cppcheck.log) > 0))" "cppcheck" cppcheck.log
else
	skip "cppcheck" "not installed"
fi
done_testing

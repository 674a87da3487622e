#!/bin/bash
# SPDX-License-Identifier: MIT
# memcheck over the unit and transport tests, and over the daemon in some end-to-end tests: start, traffic, reload, stop.
# An error is a read or jump of what was never written, a touch of freed memory, memory lost, a descriptor left open.
. "$(dirname "$0")/lib.sh"
command -v valgrind >/dev/null || skip_all "valgrind is not installed"

# No use here: a model of 200,000 rounds; inputs by the thousand, which ASan sees. test_priv keeps valgrind, too, from what
# it forbids itself.
left_out='tests/unit/test_cache_model|tests/fuzz/fuzz_|tests/unit/test_priv'
# valgrind keeps the upper descriptors for itself; bulk is a race with a server that is not slowed down
skipped=(-s /control/short-of-descriptors -s /tls/bulk)
daemon=(tests/e2e/file.sh tests/e2e/template_reload.sh)

folder=$build/proof/valgrind
mkdir -p "$folder/exporter" "$folder/tests"
cd "$build" || exit 1
memcheck=(valgrind -q --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,indirect --track-fds=yes
	--errors-for-leak-kinds=definite,indirect --child-silent-after-fork=yes --num-callers=30
	--suppressions="$src/tests/proof/valgrind.supp")
for supp in /usr/share/glib-2.0/valgrind/glib.supp; do
	[[ ! -f $supp ]] || memcheck+=(--suppressions="$supp")
done
export G_SLICE=always-malloc BPFLOWD_SRC=$src

# Descriptors that it opened itself and left open, but for those of GLib's main context and of its thread for signals,
# which live as long as the process.
left_open() { # LOG
	awk '/Open (file descriptor|AF_)/ { what = $0; where = "" }
		what { where = where $0 }
		what && /^==[0-9]+== $/ {
			if (where !~ /<inherited from parent>|\.memcheck|g_main_context_default|g_unix_signal_add_full/) print what
			what = ""
		}' "$1"
}

judge() { # NAME STATUS LOG
	local open
	open=$(left_open "$3")
	ok "$(($2 != 0 || ${#open} > 0))" "$1"
	[[ $2 -eq 0 && -z $open ]] || { echo "$open" && head -n 60 "$3"; } | sed 's/^/# /'
}

wrong() { # LOG: 1 if there is an error in it, or no log
	grep -qE 'FATAL|Invalid|uninitialised|unaddressable|lost in loss' "$1" || [[ ! -e $1 ]]
	echo $((!$?))
}

run_unit() { # TEST: leaves its status beside its log
	local log=$folder/${1//\//_}.memcheck
	"${memcheck[@]}" --log-file="$log" "./$1" --tap -k "${skipped[@]}" >"$log.tap" 2>&1 9>&-
	echo $? >"$log.status"
}

mapfile -t unit < <(unit_tests | grep -vE "$left_out")
make -s -j"$jobs" check TESTS= >"$folder/make.log" 2>&1
ok $? "builds" "$folder/make.log"
for test in "${unit[@]}"; do
	while [[ $(jobs -rp | wc -l) -ge $jobs ]]; do
		wait -n
	done
	run_unit "$test" &
done
wait
for test in "${unit[@]}"; do
	log=$folder/${test//\//_}.memcheck
	judge "$test" "$(<"$log.status")" "$log"
	grep '^not ok' "$log.tap" | sed 's/^/# /'
done

# The daemon: a build folder whose bpflowd runs inside of valgrind.
if [[ $EUID -eq 0 ]]; then
	ln -sfn "$build/tests/tools" "$folder/tests/tools"
	ln -sf "$build/exporter/bpflowctl" "$folder/exporter/bpflowctl"
	printf '#!/bin/sh\nexec %s --log-file="%s/$MEMCHECK_NAME-%%p.memcheck" %s "$@"\n' "${memcheck[*]}" "$folder" \
		"$build/exporter/bpflowd" >"$folder/exporter/bpflowd"
	chmod +x "$folder/exporter/bpflowd"
	for test in "${daemon[@]}"; do
		name=$(basename "$test" .sh)
		rm -f "$folder/$name"-*.memcheck
		MEMCHECK_NAME=$name BPFLOWD_BUILD=$folder bash "$src/$test" >"$folder/$name.out" 2>&1
		status=$?
		ok $status "$test" || grep -v '^ok' "$folder/$name.out" | head -n 30 | sed 's/^/# /'
		for log in "$folder/$name"-*.memcheck; do
			judge "$test: the daemon" "$(wrong "$log")" "$log"
		done
	done
fi
done_testing

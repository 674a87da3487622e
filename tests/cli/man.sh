#!/bin/bash
# SPDX-License-Identifier: MIT
# The man pages: clean, and every option is there with its default. The examples of conf/ are right.
. "$(dirname "$0")/../lib.sh"
need man

for page in "$src"/man/*.[58]; do
	MANWIDTH=120 LC_ALL=C.UTF-8 man -l --warnings "$page" 2>"$work/warnings" | sed 's/.\x08//g' >"$work/$(basename "$page")"
	is "$(cat "$work/warnings")" "" "$(basename "$page"): no warning"
	check "$(basename "$page"): the page is not empty" test -s "$work/$(basename "$page")"
done

# options of the programs
"$bpflowd" --help | grep -o -- '--[a-z-]*' | sort -u >"$work/options"
"$bpflowctl" --help | grep -o -- '--[a-z-]*' | sort -u >>"$work/options"
while read -r option; do
	check "$option is told" grep -q -e "$option" "$work/bpflowd.8" "$work/bpflowctl.8"
done <"$work/options"
for format in $("$bpflowd" --help | tr -d ',' | sed -n '/our own elements/,/--version/p' | sed '1d;$d'); do
	check "format $format is told" grep -q "$format" "$work/bpflowd.8"
done

# options of the configuration, from the example that has them all: "section key default restart"
awk '
	/^[a-z]+:/ { section = $1; sub(/:.*/, "", section); next }
	/^ *# *[A-Z]/ && !/^ *# *- / { note = note $0 }
	/^ +(#   |# - )?(- )?[a-z_]+:/ {
		line = $0; sub(/^ +(#   |# - )?(- )?/, "", line); key = line; sub(/:.*/, "", key)
		value = line; sub(/^[a-z_]+: */, "", value); sub(/ +#.*/, "", value)
		restart = line ~ /\(restart\)/ || note ~ /\(restart\)/ ? "restart" : "-"
		note = ""
		print key "\t" value "\t" restart
	}' "$src/conf/bpflowd.yaml" >"$work/keys"
is "$(($(wc -l <"$work/keys") > 40))" 1 "the example has options"
while IFS=$'\t' read -r key value restart; do
	case $key in
	tls) continue ;; # a section
	name | address | file | port | max_message_size) wanted="^ *$key" ;; # no default, or one that depends
	ignored_drop_reasons) wanted="^ *$key: \[\.\.\.\] (restart)" ;;
	*)
		wanted="^ *$key: $(sed 's/[].[*^$\\]/\\&/g' <<<"$value")"
		[[ $restart == - ]] || wanted+=" (restart)"
		;;
	esac
	check "$key: told with its default" grep -q "$wanted" "$work/bpflowd.yaml.5"
done <"$work/keys"
for reason in $(sed -n 's/^ *ignored_drop_reasons: \[\(.*\)\]/\1/p' "$src/conf/bpflowd.yaml" | tr -d ,); do
	check "$reason is told" grep -qw "$reason" "$work/bpflowd.yaml.5"
done
# the example itself is held against --print-config by tests/cli/config.sh

# examples
for example in "$src"/conf/examples/*.yaml; do
	sed '/^[^#]/,$!d' "$example" >"$work/example.yaml"
	if grep -q '^exporter:' "$work/example.yaml"; then
		sed -i "s|^exporter:|&\n  template_dir: $src/templates|" "$work/example.yaml"
	else
		printf 'exporter:\n  template_dir: %s\n' "$src/templates" >>"$work/example.yaml"
	fi
	check "$(basename "$example") is right" "$bpflowd" --check -c "$work/example.yaml"
	ok "$(($(grep -c '^ *#' "$example") < 8))" "$(basename "$example") is explained"
done
done_testing

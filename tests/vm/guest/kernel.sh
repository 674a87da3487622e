# SPDX-License-Identifier: MIT
# What guests' tests share. Where instructions are emulated an awk costs a hundredth of a jq: those that ask again and
# again do without.
# shellcheck shell=bash

kernel_from() { # MAJOR MINOR: true if this kernel is that or newer
	local major minor
	IFS=.- read -r major minor _ <<<"$(uname -r)"
	[[ $major -gt $1 || ($major -eq $1 && $minor -ge $2) ]]
}

strict_file() { "$strict" check "$@" >"$work/strict.json"; } # FILE [OPTIONS...]

metric() { # as in lib.sh
	ctl show stats | awk -v name="$1" -v label="${2:-}" '
		{ labels = $1; sub(/[{].*/, "", $1); gsub(/[{}]/, ",", labels) }
		$1 == name && (label == "" || index(labels, "," label ",")) { sum += $2 }
		END { printf "%.0f\n", sum }'
}

sent() { sed -n "s/.*\"$1\": \([0-9]*\).*/\1/p" "$work/sent"; } # packets|octets

attached() { ctl show stats | grep -q "^interface_attached{netns=,interface=$1,"; } # INTERFACE

# Flows whose element KEY is VALUE: number of those that have FIELD, its sum, its minimum or the first one's, as SUMMARY says.
flows() { # KEY VALUE FIELD length|add|min|first
	ctl show flows --json | sed 's/^[[:space:]]*//; s/,$//' | awk -F '": ' -v key="\"$1" -v wanted="$2" -v field="\"$3" -v as="$4" '
		$1 == "{" { ours = here = 0 }
		$1 == key && $2 == wanted { ours = 1 }
		$1 == field { here = 1; value = $2 }
		$1 == "}" && ours && here {
			sum += value
			if (!n++ || (as == "min" && value + 0 < least + 0)) least = value
			ours = 0
		}
		END { print as == "length" ? n + 0 : as == "add" ? sum + 0 : least }'
}

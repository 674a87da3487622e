# SPDX-License-Identifier: MIT
# What guests' tests share.
# shellcheck shell=bash

kernel_from() { # MAJOR MINOR: true if this kernel is that or newer
	local major minor
	IFS=.- read -r major minor _ <<<"$(uname -r)"
	[[ $major -gt $1 || ($major -eq $1 && $minor -ge $2) ]]
}

strict_file() { "$strict" check "$@" >"$work/strict.json"; } # FILE [OPTIONS...]

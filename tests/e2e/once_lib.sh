# SPDX-License-Identifier: MIT
# For once_*.sh: a router of three namespaces, `lan` - `r` - `wan`, with a second uplink `wan2`, and what the daemon on
# it says of each flow. Sourced behind lib.sh; no test by itself.
# shellcheck shell=bash

export PATH=$PATH:/usr/sbin
DIAG_LINES=60

# lan:l0 - r:lan0, r:wan0 - wan:w0, r:wan1 - wan2:w1. Neighbours are known, nothing but the tests' traffic crosses;
# wan and wan2 take what is for others and say nothing.
router_make() {
	local ns
	netns_add lan r wan wan2
	veth_pair lan l0 r lan0
	veth_pair r wan0 wan w0
	veth_pair r wan1 wan2 w1
	connect_ends lan l0 10.1.0.2 r lan0 10.1.0.1 24
	connect_ends r wan0 10.2.0.1 wan w0 10.2.0.2 24
	connect_ends r wan1 10.3.0.1 wan2 w1 10.3.0.2 24
	connect_ends lan l0 fd01::2 r lan0 fd01::1 64
	connect_ends r wan0 fd02::1 wan w0 fd02::2 64
	connect_ends r wan1 fd03::1 wan2 w1 fd03::2 64
	for ns in r lan wan wan2; do
		set_sysctl "$ns" net/ipv4/conf/all/rp_filter 0
		set_sysctl "$ns" net/ipv4/conf/default/rp_filter 0
	done
	set_sysctl r net/ipv4/ip_forward 1
	set_sysctl r net/ipv6/conf/all/forwarding 1
	set_sysctl r net/ipv4/conf/all/send_redirects 0
	set_sysctl r net/ipv4/conf/lan0/send_redirects 0
	in_ns r ip route add 10.16.0.0/12 via 10.1.0.2
	in_ns r ip route add 10.63.0.0/16 via 10.2.0.2
	in_ns r ip route add 10.64.0.0/16 via 10.3.0.2
	in_ns r ip -6 route add fd10::/16 via fd01::2
	in_ns r ip -6 route add fd63::/32 via fd02::2
	in_ns r ip -6 route add fd64::/32 via fd03::2
	in_ns lan ip route add default via 10.1.0.1
	in_ns wan ip route add default via 10.2.0.1
	in_ns wan2 ip route add default via 10.3.0.1
	router_mac=$(mac_of r lan0)
}

set_sysctl() { # NAMESPACE NAME VALUE
	in_ns "$1" sh -c "echo $3 >/proc/sys/$2" || bail "sysctl $2"
}

# Packets of a source network of 10.16.0.0/12 or fd10::/16: the sender's count is the truth. The rest: options of blast.
declare -A sent_of
from_lan() { # SOURCE DESTINATION PACKETS FLOWS [OPTIONS...]
	send lan l0 --dst-mac "$router_mac" --src "$1" --dst "$2" --packets "$3" --flows "$4" "${@:5}"
	count_sent "$1"
}

count_sent() { sent_of[$1]=$((${sent_of[$1]:-0} + $(sent packets))); }

# The daemon in `r`, its records in a file; the rest of the metering section comes from standard input.
meter() { # INTERFACES [NAMESPACE]
	rm -f "$work/flows.ipfix"
	daemon_config "$work/bpflowd.yaml" <<-END
		metering:
		  interfaces: $1
		  drain_interval: 100ms
		$(sed 's/^[[:space:]]*/  /')
		collectors:
		  - name: file
		    file: $work/flows.ipfix
		    template: $src/tests/data/once.yaml
	END
	daemon_start "${2:-r}" "$work/bpflowd.yaml"
}

# Ends the daemon and makes $work/records of its records, a line each: source destination protocol ports direction
# in/out physical-in/physical-out vlan vlan2 packets octets start end reason name, interfaces by name.
meter_end() { # NAME [NAMESPACE]
	check "$1: SIGTERM ends it with status 0" daemon_stop
	"$strict" check "$work/flows.ipfix" --records >"$work/strict.json" || diag <"$work/strict.json"
	in_ns "${2:-r}" ip -o link show | sed 's/^\([0-9]*\): \([^:@]*\).*/\1 \2/' >"$work/names"
	jq -r 'select(.options == false and ."2" > 0) | [
		."8" // ."27" // ."56", ."12" // ."28" // ."80", ."4", "\(."7")-\(."11")", ."61", ."10", ."14", ."252", ."253",
		."243", ."245", ."2", ."1", ."152", ."153", ."136", ."82"] | join(" ")' "$work/strict.json" |
		awk 'NR == FNR { name[$1] = $2; next }
			function n(i) { return i == 0 ? 0 : i in name ? name[i] : "if" i }
			{ print $1, $2, $3, $4, $5 ? "out" : "in", n($6) "/" n($7), n($8) "/" n($9), $10, $11, $12, $13, $14, $15, $16, $17 }' \
			"$work/names" - >"$work/records"
}

# What the records of a source say: packets, then each different "in/out direction".
said() { # SOURCE (a regular expression for the whole address)
	sort "$work/records" | awk -v re="^($1)$" '
		$1 ~ re { packets += $10; if (!seen[$6 " " $5]++) ways = ways (ways ? ", " : ": ") $6 " " $5 }
		END { print packets + 0 ways }'
}

# The row of the table: all packets of the source, once, between these interfaces.
row() { # NAME SOURCE IN/OUT in|out
	is "$(said "${2//./\\.}")" "${sent_of[$2]}: $3 $4" "$1"
}

# Distinct values of a column of a source's records.
column() { # SOURCE NUMBER
	awk -v re="^($1)$" -v n="$2" '$1 ~ re { print $n }' "$work/records" | sort -u | paste -sd' '
}

# bpf programs of others need the privilege that we have as root; tcx needs Linux 6.6.
attach_modes() {
	echo tcx
	echo clsact
}

use_mode() { # tcx|clsact
	unset BPFLOWD_FORCE_CLSACT
	[[ $1 == tcx ]] || export BPFLOWD_FORCE_CLSACT=1
}

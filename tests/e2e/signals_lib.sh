# SPDX-License-Identifier: MIT
# For signals*.sh, behind lib.sh: client and server on either side of a router, on long lines if need be, and what the
# daemon on the router says of each flow. No test by itself.
# shellcheck shell=bash disable=SC2154

# 10.9.1.2 and fd09:1::2 are the client's, 10.9.2.2 and fd09:2::2 the server's; the router's end in 1.
give_addresses() { # INTERFACE OF THE ROUTER TO THE CLIENT [6: IPv6, too]
	local end ns interface ip4 ip6
	for end in "client c0 1.2 1::2" "router $1 1.1 1::1" "router wan 2.1 2::1" "server s0 2.2 2::2"; do
		read -r ns interface ip4 ip6 <<<"$end"
		in_ns "$ns" ip address add "10.9.$ip4/24" dev "$interface"
		[[ -z ${2:-} ]] || in_ns "$ns" ip address add "fd09:$ip6/64" dev "$interface" nodad
	done
	in_ns client ip route add default via 10.9.1.1
	in_ns server ip route add default via 10.9.2.1
	in_ns router sysctl -qw net.ipv4.ip_forward=1
	[[ -n ${2:-} ]] || return 0
	in_ns client ip -6 route add default via fd09:1::1
	in_ns server ip -6 route add default via fd09:2::1
	in_ns router sysctl -qw net.ipv6.conf.all.forwarding=1
}

neighbours() { # NAMESPACE INTERFACE PEER-NAMESPACE PEER-INTERFACE ADDRESS...: known for ever
	local address mac
	mac=$(mac_of "$3" "$4")
	for address in "${@:5}"; do
		in_ns "$1" ip neighbour replace "$address" lladdr "$mac" nud permanent dev "$2"
	done
}

# Relays make the way to the client 10 ms long and the one to the server 20 ms, there and back.
long_lines() { # [6]
	local end ns interface
	netns_add client near router far server
	veth_pair client c0 near n0
	veth_pair near n1 router lan
	veth_pair router wan far f0
	veth_pair far f1 server s0
	for end in "client c0" "near n0" "near n1" "router lan" "router wan" "far f0" "far f1" "server s0"; do
		read -r ns interface <<<"$end"
		offloads "$ns" "$interface" off tx rx tso gso gro
	done
	give_addresses lan "$@"
	neighbours client c0 router lan 10.9.1.1 ${1:+fd09:1::1}
	neighbours router lan client c0 10.9.1.2 ${1:+fd09:1::2}
	neighbours router wan server s0 10.9.2.2 ${1:+fd09:2::2}
	neighbours server s0 router wan 10.9.2.1 ${1:+fd09:2::1}
	spawn near "$work/near.log" "$build/tests/tools/relay" n0 n1 5
	spawn far "$work/far.log" "$build/tests/tools/relay" f0 f1 10
	wait_for 10 grep -q ready "$work/near.log" && wait_for 10 grep -q ready "$work/far.log" || bail "no relay"
}

# ---- servers, and who asks them

serve_tcp() { # a kilobyte at port 8080
	spawn server "$work/tcp.log" socat TCP-LISTEN:8080,reuseaddr,fork EXEC:'head -c 1000 /dev/zero'
	wait_for 5 sh -c "nsenter --net=/run/netns/$id-server ss -Hlnt 'sport = :8080' | grep -q ."
}

serve_dns() { # ADDRESSES [OPTIONS of dnsmasq...]: knows example.org
	spawn server "$work/dns.log" dnsmasq --keep-in-foreground --no-resolv --no-hosts --no-daemon --conf-file=/dev/null \
		--pid-file= --user=root --listen-address="$1" --bind-interfaces --address=/example.org/192.0.2.1 "${@:2}"
	wait_for 5 udp_bound server 53
}

ask() { in_ns "$1" dig +tries=1 +time=2 "${@:2}" >>"$work/dig.log" 2>&1; } # NAMESPACE OPTIONS of dig...

# ---- what the daemon says

signals_config() { # INTERFACES [LINE OF metering]
	daemon_config "$work/bpflowd.yaml" <<-END
		metering:
		  interfaces: [$1]
		  drain_interval: 100ms
		  active_timeout: 600s
		  idle_timeout: 300s
		  ${2:-}
		collectors:
		  - name: file
		    file: $work/flows.ipfix
		    template: full
	END
}

look() { ctl show flows --json >"$work/flows.json"; } # flows that ended go soon: all is read from one look

# Fields of the flow that jq's condition chooses, as one line.
flow() { # CONDITION FIELDS
	look
	jq <"$work/flows.json" -r "[.flows[] | select($1)] | if length == 1 then .[0] | [$2] | map(. // 0 | tostring) | join(\" \")
		else \"\(length) flows\" end"
}
flow_is() { [[ $(flow "$1" "$2") == "$3" ]]; }
flow_becomes() { # CONDITION FIELDS WANTED NAME
	wait_for 5 flow_is "$1" "$2" "$3"
	is "$(flow "$1" "$2")" "$3" "$4"
}

within() { # VALUE LOW HIGH NAME
	[[ $1 =~ ^[0-9]+$ && $1 -ge $2 && $1 -le $3 ]]
	ok $? "$4" || diag "got $1, wanted $2 to $3"
}

# Of the last look:
values() { # CONDITION FIELD: how many flows have it, and the lowest
	jq <"$work/flows.json" -r "[.flows[] | select($1) | $2 // empty] | \"\(length) \(min)\""
}
sum() { # CONDITION FIELD
	jq <"$work/flows.json" "[.flows[] | select($1) | $2 // 0] | add"
}

# A busy machine holds a frame longer now and then, never shorter: the best of five tells the line.
best_of_five() { # CONDITION FIELD LOW HIGH NAME
	local n low
	read -r n low <<<"$(values "$1" "$2")"
	is "$n" 5 "$5: on every flow"
	within "$low" "$3" "$4" "$5"
}

#!/bin/bash
# SPDX-License-Identifier: MIT
# A template is a file of the operator's: a remark on it is told once at a start, however many collectors use it; a
# reload takes a changed one, and refuses a broken one with its place, while the old one goes on.
. "$(dirname "$0")/../lib.sh"
require_root jq

netns_add a
mkdir "$work/templates"
template() { # FIELD-OF-ITS-OWN
	cat >"$work/templates/mine.yaml" <<-END
		records:
		  - name: ipv4
		    match: [ipv4]
		    fields:
		      - sourceIPv4Address
		      - packetDeltaCount
		      - flowStartMilliseconds
		      - flowEndMilliseconds
		      - {name: tcpControlBits, length: 2}
		      - $1
	END
}
fields() { ctl show templates --json | jq -r '[.templates[].records[].fields[].name] | unique | join(" ")'; }
config() { # the same but for the directory of the templates
	daemon_config "$work/bpflowd.yaml" <<-END
		collectors:
		  - {name: one, address: 127.0.0.1, port: 4739, template: mine}
		  - {name: two, address: 127.0.0.1, port: 4740, template: mine}
		  - {name: three, file: $work/flows.ipfix, template: mine, max_message_size: 1420}
	END
	sed -i "s|template_dir:.*|template_dir: $work/templates|" "$work/bpflowd.yaml"
}
remarks() { grep -c 'pmacct before 1.7.8' "$work/bpflowd.log"; }

template octetDeltaCount
config
daemon_start a "$work/bpflowd.yaml"
is "$(remarks)" 1 "a remark is told once"
old="flowEndMilliseconds flowStartMilliseconds octetDeltaCount packetDeltaCount sourceIPv4Address tcpControlBits"
is "$(fields)" "$old" "the template is in force"

template octetDeltaCuont
ctl reload >"$work/out" 2>&1
is $? 1 "a broken template: reload fails"
is "$(grep -c "$work/templates/mine.yaml:10:9: .*octetDeltaCuont.*octetDeltaCount" "$work/out")" 1 \
	"it tells file, line, column and the remedy" || diag <"$work/out"
is "$(fields)" "$old" "the old one goes on"
rm "$work/templates/mine.yaml"
ctl reload >"$work/out" 2>&1
is $? 1 "no template: reload fails"
is "$(grep -c "there is no file $work/templates/mine.yaml" "$work/out")" 3 "it tells which" || diag <"$work/out"

template maximumTTL
check "a changed template: reload" ctl reload
is "$(fields)" "${old/octetDeltaCount/maximumTTL}" "the new one is in force"
is "$(remarks)" 2 "its remark is told once more"
check "SIGTERM ends it with status 0" daemon_stop
done_testing

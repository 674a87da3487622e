#!/bin/bash
# SPDX-License-Identifier: MIT
# System calls that fail while the daemon starts: start.py has the rows.
. "$(dirname "$0")/../lib.sh"
require_root
. "$(dirname "$0")/lib.sh"
name_server
small_config 50ms <<-END
	  - {name: udp, address: 127.0.0.1, port: 4739}
	  - {name: tcp, address: 127.0.0.1, port: 4740, transport: tcp, reconnect_interval: 100ms}
	  - {name: file, file: $work/flows.ipfix}
END
sed -i '/direction:/d' "$work/bpflowd.yaml" # both
strict_on udp udp 4739
strict_on tcp tcp 4740
daemon_start b "$work/bpflowd.yaml" # leaves the names of the calls
check "SIGTERM ends it with status 0" daemon_stop
table start.py --log "$work/start.log" --daemon "$bpflowd" "$@"
ok $? "the table is run to its end"
daemon_start b "$work/bpflowd.yaml"
check "after all of it a start succeeds" daemon_stop
done_testing

#!/bin/bash
# SPDX-License-Identifier: MIT
# Libraries that ask for memory and get none: memory.py tells where and when.
. "$(dirname "$0")/../lib.sh"
require_root
. "$(dirname "$0")/lib.sh"
name_server
small_config 20ms <<-END
	  - {name: udp, address: 127.0.0.1, port: 4739}
	  - {name: v9, address: 127.0.0.1, port: 2055, protocol: netflow9}
	  - {name: named, address: collector.test, port: 4742, template: full, source: 127.0.0.1, reconnect_interval: 100ms}
	  - {name: tcp, address: 127.0.0.1, port: 4740, transport: tcp, source: 127.0.0.1, reconnect_interval: 100ms}
	  - {name: file, file: $work/flows.ipfix}
END
strict_on udp udp 4739
strict_on v9 udp 2055
strict_on named udp 4742
strict_on tcp tcp 4740
memory_table "$@"
done_testing

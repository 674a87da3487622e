#!/bin/bash
# SPDX-License-Identifier: MIT
# GnuTLS asks for memory and gets none, at a start with TLS and DTLS collectors that nobody listens for: memory.py.
. "$(dirname "$0")/../lib.sh"
require_root openssl
. "$(dirname "$0")/lib.sh"
self_signed
chmod 600 "$work/key.pem"
tls="tls: {ca: $work/cert.pem, certificate: $work/cert.pem, key: $work/key.pem}"
small_config 20ms <<-END
	  - {name: tls, address: 127.0.0.1, port: 4741, transport: tls, $tls}
	  - {name: dtls, address: 127.0.0.1, port: 4742, transport: dtls, $tls}
END
memory_table --only start --places libgnutls "$@"
done_testing

/* SPDX-License-Identifier: MIT */
/*
 * The one door to GnuTLS, for TLS over TCP and DTLS over UDP (RFC 7011 11). GnuTLS and not OpenSSL:
 * it has the heartbeats (RFC 6520) by which RFC 7011 wants a dead DTLS peer noticed, which OpenSSL
 * removed, and takes half the time per datagram.
 */
#ifndef BPFLOWD_TRANSPORT_GNUTLS_H
#define BPFLOWD_TRANSPORT_GNUTLS_H

#include <gnutls/gnutls.h>

#include "transport_private.h"

struct tls {
	gnutls_certificate_credentials_t credentials;
	gnutls_session_t session;
	bool shaken;	     /* the handshake is over, and the peer verified */
	bool confirmed;	     /* the peer has taken us, too */
	uint64_t confirm_ns; /* no longer waited for then */
};

/* Whether CA, certificate and key load, and the key is a secret. On failure *key is the option that
 * is wrong, the error begins with its value. */
bool tls_probe(const struct settings_collector *collector, const char **key, GError **error);

/* flags: 0 or GNUTLS_DATAGRAM. */
bool tls_init(struct tls *tls, const struct settings_collector *collector, unsigned flags,
	      GError **error);
void tls_clear(struct tls *tls);

/* Goes on with the handshake; no data may be sent before it says UP: until then the peer is not
 * verified. */
enum transport_state tls_handshake(struct tls *tls, struct transport *transport, GError **error);

/* Throws away what the peer says; false when it says goodbye or nonsense. */
bool tls_discard(struct tls *tls, bool *pong, GError **error);

void tls_set_error(GError **error, struct tls *tls, int code, const char *what);

#endif

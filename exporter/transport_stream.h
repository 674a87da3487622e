/* SPDX-License-Identifier: MIT */
/*
 * What TCP and TLS over it share: the socket, and the account of which message ends at which octet
 * of the stream, so that what the peer has not acknowledged can be sent again in a new session.
 */
#ifndef BPFLOWD_TRANSPORT_STREAM_H
#define BPFLOWD_TRANSPORT_STREAM_H

#include "transport_private.h"

struct stream {
	struct transport transport; /* first */
	bool connected;
	uint32_t segments_heard;
	uint64_t heard_ns;  /* when the peer's kernel last answered, or owed no answer */
	uint64_t written;   /* octets that the kernel took */
	GArray *ends;	    /* uint64_t: where messages end that went completely */
	guint acknowledged; /* of them */
};

/* Opens a TCP socket and begins to connect. */
bool stream_open(struct stream *stream, const struct settings_collector *collector,
		 const struct sockaddr *address, socklen_t length, GError **error);

/* CONNECTING until the connection is made; then UP while it lives. */
enum transport_state stream_connect_step(struct stream *stream, GError **error);

/* False if the peer has fallen silent. */
bool stream_heard(struct stream *stream, GError **error);

/* A message ends where the stream is now. */
void stream_message_done(struct stream *stream);

int stream_unacked(struct transport *transport);

/* Says goodbye (FIN, not RST) and closes; does not free the struct. */
void stream_close(struct stream *stream);

#endif

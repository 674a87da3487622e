/* SPDX-License-Identifier: MIT */
/*
 * The wire: non-blocking sessions over UDP, TCP, SCTP, TLS, DTLS and to a file, as a row of
 * functions each. Knows nothing of flows: takes whole messages, says how much went. Above:
 * collector.c.
 */
#ifndef BPFLOWD_TRANSPORT_H
#define BPFLOWD_TRANSPORT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "settings.h"

enum transport_state { TRANSPORT_CONNECTING, TRANSPORT_UP, TRANSPORT_FAILED };

/* One message: header and shared body. */
struct transport_message {
	struct iovec part[2];
	bool template; /* SCTP: reliable and ordered */
};

struct transport;

struct transport_ops {
	const char *name;
	uint16_t default_port[2]; /* by enum encoder_format, 0: not allowed */
	uint32_t default_message_size;
	bool templates_expire; /* UDP: resend periodically, never withdraw (RFC 7011 8.4) */
	bool stream;	       /* a torn message must be finished or the session ended */
	/* Opens a session to an address (NULL for a file); never blocks. */
	struct transport *(*open)(const struct settings_collector *collector,
				  const struct sockaddr *address, socklen_t length, GError **error);
	/* Goes on with connecting or a handshake; call it when the descriptor is ready. */
	enum transport_state (*step)(struct transport *transport, GError **error);
	/* Sends messages in order; returns how many went completely, 0 when the socket is full,
	 * negative errno when the session is broken. A partly sent one is kept by the transport and
	 * counted when it is complete. */
	int (*send)(struct transport *transport, const struct transport_message *messages,
		    int n_messages);
	void (*close)(struct transport *transport);
};

struct transport {
	const struct transport_ops *ops;
	int fd;
	short want;		   /* poll events to wait for */
	uint32_t max_message_size; /* of this path now */
};

/* The row of a kind, never NULL. */
const struct transport_ops *transport_ops(enum transport_kind kind);

/* Whether the running system offers the transport; says what is missing and the remedy. Used at
 * --check, start, reload. */
bool transport_available(enum transport_kind kind, GError **error);

#endif

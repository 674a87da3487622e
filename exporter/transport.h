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

/* Codes are errno values, or 0 where there is none that fits. */
#define TRANSPORT_ERROR transport_error_quark()
GQuark transport_error_quark(void);

/* One message: header and shared body. */
struct transport_message {
	struct iovec part[2];
	bool template; /* SCTP: reliable and ordered */
	bool data;     /* flows, neither templates nor options */
	bool joined;   /* set by send: went in one packet with the one before, for a device to cut
			*/
};

struct transport;

struct transport_ops {
	bool templates_expire; /* UDP: resend periodically, never withdraw (RFC 7011 8.4) */
	/* Whether the files that are only read are good: certificates load. On failure *key is the
	 * option that is wrong, the error begins with its value. NULL: reads none. */
	bool (*probe)(const struct settings_collector *collector, const char **key, GError **error);
	/* What else can be known before a session is opened: the file can be written. NULL:
	 * nothing.
	 */
	bool (*check)(const struct settings_collector *collector, GError **error);
	/* Opens a session to an address (NULL for a file); never blocks. The settings must outlive
	 * it. */
	struct transport *(*open)(const struct settings_collector *collector,
				  const struct sockaddr *address, socklen_t length, GError **error);
	/* Goes on with connecting or a handshake, throws away what the peer says, notices its end;
	 * call it when the descriptor is ready or wake_ns has come. */
	enum transport_state (*step)(struct transport *transport, GError **error);
	/* Sends messages in order; returns how many went completely, 0 when no more goes now (wait
	 * for the descriptor or wake_ns), negative errno when the session is broken: -EMSGSIZE says
	 * only that the first message is larger than max_message_size, which is set anew. The first
	 * n_held messages have gone in part: they must come first again, unchanged, until they are
	 * counted. */
	int (*send)(struct transport *transport, struct transport_message *messages,
		    int n_messages);
	/* How many of the messages that went completely, the last ones, the peer's kernel has not
	 * acknowledged: a new session must send them again. NULL: always 0. */
	int (*unacked)(struct transport *transport);
	void (*close)(struct transport *transport);
};

struct transport {
	const struct transport_ops *ops;
	int fd;
	short want;		   /* poll events to wait for */
	uint32_t max_message_size; /* of this path now */
	uint64_t wake_ns;	   /* CLOCK_MONOTONIC: call step no later than this, 0: no need */
	int n_held;		   /* see send */
	/* errno why send gets no further though it should: ENOBUFS, ENOMEM, EPERM, ENOSPC, 0 */
	int blocked;
	bool expired; /* the session is to be renewed: a file's rotation, DTLS without heartbeat */
	/* To be set before close: what the peer has not acknowledged goes again in another session,
	 * so that the kernel must not deliver it too. */
	bool abandoned;
	/* A datagram did not arrive: the start of it, as an ICMP error quotes it. May be NULL. */
	void (*refused)(void *user, int error, const uint8_t *head, size_t size);
	void *user;
};

/* The row of a kind, never NULL. */
const struct transport_ops *transport_ops(enum transport_kind kind);

/* Whether the running system offers the transport; says what is missing and the remedy. */
bool transport_available(enum transport_kind kind, GError **error);

/* The same, and what the settings of this collector name, as far as that can be told by whoever
 * asks and touches nothing: a key that does not load, a port that takes root's rights. On failure
 * *key is the option that is wrong. Used at --check, start, reload. */
bool transport_probe(const struct settings_collector *collector, const char **key, GError **error);

/* The same, and what only the daemon itself can tell: a file that can't be written. Used at start,
 * before and after privileges are given up, and reload. */
bool transport_check(const struct settings_collector *collector, GError **error);

#endif

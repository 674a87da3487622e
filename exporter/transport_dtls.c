/* SPDX-License-Identifier: MIT */
/*
 * DTLS over UDP (RFC 7011 11): one message per record, one record per datagram. A collector that
 * has restarted knows nothing of the session and throws away what comes: a heartbeat notices (RFC
 * 6520); with a peer that has none the session is made anew as often as templates are resent.
 * Above: collector.c; below: transport_gnutls.c.
 */
#include "config.h"

#include "transport.h"

#include <errno.h>
#include <gnutls/dtls.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "transport_gnutls.h"

#define RETRANSMIT_MS	  500
#define HANDSHAKE_MS	  9000
#define HEARTBEAT_NS	  (5 * NSEC_PER_SEC)
#define HEARTBEATS_MISSED 3
#define HEARTBEAT_OCTETS  48 /* 16 and less, and GnuTLS 3.7 aborts */
#define NO_BUFFER_WAIT_NS (5 * NSEC_PER_MSEC)
#define FORBIDDEN_WAIT_NS (200 * NSEC_PER_MSEC)
#define TRIES_MAX	  4
#define MESSAGE_MAX	  UINT16_MAX

struct dtls {
	struct transport transport; /* first */
	struct tls tls;
	int family;
	bool heartbeat;
	bool refused;	   /* an ICMP error said that nobody listens */
	int error;	   /* of the socket, as push met it last */
	int n_unanswered;  /* heartbeats */
	uint64_t beat_ns;  /* next heartbeat */
	uint64_t renew_ns; /* without heartbeats: end of the session */
	uint64_t refresh_ns;
	bool failed;  /* GnuTLS still holds a datagram of a session that ends */
	bool pending; /* a record was begun and must be finished */
	bool beating; /* a heartbeat was begun and must be finished before anything else */
	uint8_t message[MESSAGE_MAX];
};

static void note_refused(void *user, int error, const uint8_t *head, size_t size)
{
	((struct dtls *)user)->refused |= error == ECONNREFUSED;
}

/* An ICMP error of an earlier datagram fails one call, which has sent nothing: once more. */
static ssize_t push(gnutls_transport_ptr_t user, const void *data, size_t size)
{
	struct dtls *dtls = user;
	ssize_t sent = send(dtls->transport.fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent < 0 && transport_error_is_past(errno)) {
		dtls->refused |= errno == ECONNREFUSED;
		sent = send(dtls->transport.fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	if (sent < 0 && (errno == ENOBUFS || errno == ENOMEM || errno == EPERM)) {
		dtls->transport.blocked = errno;
		errno = EAGAIN;
	}
	if (sent < 0)
		dtls->error = errno;
	return sent;
}

static ssize_t pull(gnutls_transport_ptr_t user, void *data, size_t size)
{
	struct dtls *dtls = user;
	ssize_t got = recv(dtls->transport.fd, data, size, MSG_DONTWAIT);

	if (got < 0 && transport_error_is_past(errno)) {
		dtls->refused |= errno == ECONNREFUSED;
		errno = EAGAIN;
	}
	return got;
}

static int wait_input(gnutls_transport_ptr_t user, unsigned timeout_ms)
{
	struct pollfd ready = {.fd = ((struct dtls *)user)->transport.fd, .events = POLLIN};

	/* never blocks: timers are the caller's */
	return poll(&ready, 1, 0) > 0 && ready.revents & POLLIN;
}

static bool connect_socket(struct dtls *dtls, const struct settings_collector *collector,
			   const struct sockaddr *address, socklen_t length, GError **error)
{
	int fd = transport_socket(collector, address, SOCK_DGRAM, IPPROTO_UDP, error);

	if (fd < 0)
		return false;
	if (!transport_datagram_options(fd, address->sa_family, error)) {
		close(fd);
		return false;
	}
	if (connect(fd, address, length)) {
		transport_set_error(error, errno, "no way there");
		close(fd);
		return false;
	}
	dtls->transport.fd = fd;
	dtls->family = address->sa_family;
	return true;
}

static void set_size(struct dtls *dtls)
{
	gnutls_dtls_set_mtu(dtls->tls.session,
			    transport_path_payload(dtls->transport.fd, dtls->family));
	dtls->transport.max_message_size = gnutls_dtls_get_data_mtu(dtls->tls.session);
}

static struct transport *dtls_open(const struct settings_collector *collector,
				   const struct sockaddr *address, socklen_t length, GError **error)
{
	struct dtls *dtls = g_new0(struct dtls, 1);

	dtls->transport.ops = &transport_dtls;
	if (!tls_init(&dtls->tls, collector, GNUTLS_DATAGRAM, error)) {
		g_free(dtls);
		return NULL;
	}
	if (!connect_socket(dtls, collector, address, length, error)) {
		tls_clear(&dtls->tls);
		g_free(dtls);
		return NULL;
	}
	gnutls_transport_set_ptr(dtls->tls.session, dtls);
	gnutls_transport_set_push_function(dtls->tls.session, push);
	gnutls_transport_set_pull_function(dtls->tls.session, pull);
	gnutls_transport_set_pull_timeout_function(dtls->tls.session, wait_input);
	gnutls_dtls_set_timeouts(dtls->tls.session, RETRANSMIT_MS, HANDSHAKE_MS);
	gnutls_heartbeat_enable(dtls->tls.session, GNUTLS_HB_PEER_ALLOWED_TO_SEND);
	set_size(dtls);
	dtls->refresh_ns = collector->template_refresh_ns;
	dtls->transport.want = POLLOUT;
	return &dtls->transport;
}

/* The errors of the path, which our user does not see: they speak of records, not of messages. */
static void read_errors(struct dtls *dtls)
{
	struct transport reader = {.fd = dtls->transport.fd, .refused = note_refused, .user = dtls};

	transport_read_errors(&reader);
}

/* Until there is room. A socket that is out of buffers or forbidden to send looks ready all the
 * time. */
static int wait_room(struct dtls *dtls)
{
	struct transport *transport = &dtls->transport;

	if (transport->blocked) {
		transport->wake_ns =
			transport_now_ns() +
			(transport->blocked == EPERM ? FORBIDDEN_WAIT_NS : NO_BUFFER_WAIT_NS);
	} else {
		transport->want = POLLIN | POLLOUT;
		transport->wake_ns = 0;
	}
	return 0;
}

static enum transport_state handshake(struct dtls *dtls, GError **error)
{
	struct transport *transport = &dtls->transport;
	uint64_t now_ns = transport_now_ns();
	enum transport_state state;

	transport->blocked = 0;
	state = tls_handshake(&dtls->tls, transport, error);
	if (state == TRANSPORT_CONNECTING && dtls->refused) {
		transport_set_error(error, ECONNREFUSED, "can't connect");
		return TRANSPORT_FAILED;
	}
	transport->wake_ns = now_ns + gnutls_dtls_get_timeout(dtls->tls.session) * NSEC_PER_MSEC;
	if (state == TRANSPORT_CONNECTING && transport->blocked) {
		transport->want = POLLIN;
		wait_room(dtls);
	}
	if (state != TRANSPORT_UP)
		return state;
	set_size(dtls);
	dtls->heartbeat =
		gnutls_heartbeat_allowed(dtls->tls.session, GNUTLS_HB_LOCAL_ALLOWED_TO_SEND);
	dtls->beat_ns = now_ns + HEARTBEAT_NS;
	dtls->renew_ns = now_ns + dtls->refresh_ns;
	return state;
}

static bool too_large(const struct dtls *dtls, ssize_t code)
{
	return code == GNUTLS_E_LARGE_PACKET ||
	       (code == GNUTLS_E_PUSH_ERROR && dtls->error == EMSGSIZE);
}

/* Sends a heartbeat, or what is left of one: GnuTLS would take the next message for it, and drop
 * that. 1: gone, 0: later, negative errno. */
static int send_beat(struct dtls *dtls)
{
	int code;

	dtls->transport.blocked = 0;
	code = gnutls_heartbeat_ping(dtls->tls.session, HEARTBEAT_OCTETS, 1, 0);
	dtls->beating = code == GNUTLS_E_AGAIN || code == GNUTLS_E_INTERRUPTED;
	if (dtls->beating)
		return wait_room(dtls);
	if (code >= 0)
		return 1;
	/* an error of the path that waited for whoever sends next: a beat is missed, no more */
	if (too_large(dtls, code)) {
		set_size(dtls);
		return 1;
	}
	dtls->failed = true;
	return code == GNUTLS_E_PUSH_ERROR ? -dtls->error : -EPROTO;
}

static bool beat(struct dtls *dtls, uint64_t now_ns, GError **error)
{
	int result;

	if ((now_ns < dtls->beat_ns && !dtls->beating) || dtls->pending)
		return true;
	if (!dtls->beating && dtls->n_unanswered >= HEARTBEATS_MISSED) {
		g_set_error_literal(error, TRANSPORT_ERROR, ETIMEDOUT,
				    "the collector answers no heartbeat");
		return false;
	}
	if (!dtls->beating) {
		dtls->n_unanswered++;
		dtls->beat_ns = now_ns + HEARTBEAT_NS;
		dtls->transport.wake_ns = dtls->beat_ns;
	}
	result = send_beat(dtls);
	if (result < 0)
		transport_set_error(error, -result, "session lost");
	return result >= 0;
}

/* Nobody listens there any more, says ICMP, which anyone may forge: ask before believing. */
static void doubt(struct dtls *dtls, uint64_t now_ns)
{
	dtls->refused = false;
	if (dtls->heartbeat && dtls->n_unanswered == 0)
		dtls->beat_ns = now_ns;
	else if (!dtls->heartbeat)
		dtls->transport.expired = true;
}

static enum transport_state dtls_step(struct transport *transport, GError **error)
{
	struct dtls *dtls = (struct dtls *)transport;
	uint64_t now_ns = transport_now_ns();
	bool pong;

	read_errors(dtls);
	if (!dtls->tls.confirmed)
		return handshake(dtls, error);
	transport->want = POLLIN;
	if (!tls_discard(&dtls->tls, &pong, error))
		return TRANSPORT_FAILED;
	if (pong)
		dtls->n_unanswered = 0;
	if (dtls->refused)
		doubt(dtls, now_ns);
	if (!dtls->heartbeat && now_ns >= dtls->renew_ns)
		transport->expired = true;
	/* a heartbeat waits for the record that was begun, and that for room */
	transport->wake_ns = !dtls->heartbeat ? dtls->renew_ns : dtls->pending ? 0 : dtls->beat_ns;
	if (dtls->heartbeat && !beat(dtls, now_ns, error))
		return TRANSPORT_FAILED;
	return TRANSPORT_UP;
}

/* 1: gone, 0: later, negative errno. */
static int send_one(struct dtls *dtls, const struct transport_message *message)
{
	size_t head = message->part[0].iov_len, size = transport_message_size(message);
	ssize_t sent;

	if (!dtls->pending) {
		memcpy(dtls->message, message->part[0].iov_base, head);
		memcpy(dtls->message + head, message->part[1].iov_base, message->part[1].iov_len);
	}
	sent = gnutls_record_send(dtls->tls.session, dtls->pending ? NULL : dtls->message,
				  dtls->pending ? 0 : size);
	dtls->pending = sent == GNUTLS_E_AGAIN || sent == GNUTLS_E_INTERRUPTED;
	dtls->transport.n_held = dtls->pending;
	if (dtls->pending)
		return wait_room(dtls);
	if (sent >= 0)
		return 1;
	if (!too_large(dtls, sent)) {
		dtls->failed = true;
		return sent == GNUTLS_E_PUSH_ERROR ? -dtls->error : -EPROTO;
	}
	set_size(dtls);
	return -EMSGSIZE;
}

/* The same. The path may have grown again by the time we ask for its size. */
static int send_fitting(struct dtls *dtls, const struct transport_message *message)
{
	int result = -EMSGSIZE;

	for (int i = 0; i < TRIES_MAX && result == -EMSGSIZE; i++) {
		if (!dtls->pending &&
		    transport_message_size(message) > dtls->transport.max_message_size)
			return -EMSGSIZE;
		result = send_one(dtls, message);
	}
	return result;
}

static int dtls_send(struct transport *transport, struct transport_message *messages,
		     int n_messages)
{
	struct dtls *dtls = (struct dtls *)transport;

	transport->want = POLLIN;
	transport->blocked = 0;
	transport->wake_ns = dtls->heartbeat ? dtls->beat_ns : dtls->renew_ns;
	if (dtls->beating) {
		int result = send_beat(dtls);

		if (result <= 0)
			return result;
	}
	for (int n = 0; n < n_messages; n++) {
		int result = send_fitting(dtls, &messages[n]);

		if (result <= 0)
			return n ? n : result;
	}
	return n_messages;
}

static void dtls_close(struct transport *transport)
{
	struct dtls *dtls = (struct dtls *)transport;

	/* it would send the datagram that GnuTLS holds, too */
	if (dtls->tls.shaken && !dtls->pending && !dtls->beating && !dtls->failed)
		gnutls_bye(dtls->tls.session, GNUTLS_SHUT_WR);
	tls_clear(&dtls->tls);
	close(transport->fd);
	g_free(dtls);
}

const struct transport_ops transport_dtls = {
	.templates_expire = true,
	.probe = tls_probe,
	.open = dtls_open,
	.step = dtls_step,
	.send = dtls_send,
	.close = dtls_close,
};

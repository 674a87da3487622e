/* SPDX-License-Identifier: MIT */
/*
 * TLS over TCP (RFC 7011 11): messages one behind the other in records as large as they come, for a
 * record costs more than its octets. Which message is acknowledged is known by the octets of the
 * records. Above: collector.c; below: transport_gnutls.c.
 */
#include "config.h"

#include "transport.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "transport_gnutls.h"
#include "transport_stream.h"

#define RECORD_MAX 16384

struct tls_stream {
	struct stream stream; /* first */
	struct tls tls;
	int error;     /* of the socket, as push met it last */
	bool failed;   /* GnuTLS still holds a record, which goes again in another session */
	bool pending;  /* a record was begun and must be finished with the same content */
	int n_taken;   /* messages that end within it */
	size_t offset; /* octets of the next message that are in it or before it */
	size_t size;   /* of record */
	uint8_t record[RECORD_MAX];
};

static ssize_t push(gnutls_transport_ptr_t user, const void *data, size_t size)
{
	struct tls_stream *s = user;
	ssize_t sent = send(s->stream.transport.fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent > 0)
		s->stream.written += sent;
	else
		s->error = errno;
	return sent;
}

static ssize_t pull(gnutls_transport_ptr_t user, void *data, size_t size)
{
	struct tls_stream *s = user;

	return recv(s->stream.transport.fd, data, size, MSG_DONTWAIT);
}

static struct transport *tls_open(const struct settings_collector *collector,
				  const struct sockaddr *address, socklen_t length, GError **error)
{
	struct tls_stream *s = g_new0(struct tls_stream, 1);

	s->stream.transport.ops = &transport_tls;
	if (!tls_init(&s->tls, collector, 0, error)) {
		g_free(s);
		return NULL;
	}
	if (!stream_open(&s->stream, collector, address, length, error)) {
		tls_clear(&s->tls);
		g_free(s);
		return NULL;
	}
	gnutls_transport_set_ptr(s->tls.session, s);
	gnutls_transport_set_push_function(s->tls.session, push);
	gnutls_transport_set_pull_function(s->tls.session, pull);
	return &s->stream.transport;
}

static enum transport_state tls_step(struct transport *transport, GError **error)
{
	struct tls_stream *s = (struct tls_stream *)transport;
	enum transport_state state;
	bool pong;

	state = stream_connect_step(&s->stream, error);
	if (state != TRANSPORT_UP)
		return state;
	if (!s->tls.confirmed)
		return tls_handshake(&s->tls, transport, error);
	transport->want = POLLIN;
	if (!tls_discard(&s->tls, &pong, error) || !stream_heard(&s->stream, error))
		return TRANSPORT_FAILED;
	return TRANSPORT_UP;
}

/* Copies what comes next into the record, as much as it takes. */
static void fill_record(struct tls_stream *s, const struct transport_message *messages,
			int n_messages)
{
	size_t room = MIN(RECORD_MAX, gnutls_record_get_max_size(s->tls.session));

	s->size = 0;
	s->n_taken = 0;
	while (s->n_taken < n_messages && s->size < room) {
		const struct transport_message *message = &messages[s->n_taken];
		size_t before = 0, size = transport_message_size(message);

		for (int i = 0; i < 2; i++) {
			const struct iovec *part = &message->part[i];

			if (s->offset < before + part->iov_len && s->size < room) {
				size_t skip = s->offset - before;
				size_t n = MIN(part->iov_len - skip, room - s->size);

				memcpy(s->record + s->size, (uint8_t *)part->iov_base + skip, n);
				s->size += n;
				s->offset += n;
			}
			before += part->iov_len;
		}
		if (s->offset < size)
			return;
		s->offset = 0;
		s->n_taken++;
	}
}

/* Sends the record or the rest of it; 1 when it has gone, 0 when the socket is full. */
static int send_record(struct tls_stream *s)
{
	ssize_t sent = gnutls_record_send(s->tls.session, s->pending ? NULL : s->record,
					  s->pending ? 0 : s->size);

	s->pending = sent == GNUTLS_E_AGAIN || sent == GNUTLS_E_INTERRUPTED;
	if (s->pending)
		return 0;
	s->failed = sent < 0;
	if (s->failed)
		return sent == GNUTLS_E_PUSH_ERROR ? -s->error : -EPROTO;
	for (int i = 0; i < s->n_taken; i++)
		stream_message_done(&s->stream);
	return 1;
}

static int tls_send(struct transport *transport, struct transport_message *messages, int n_messages)
{
	struct tls_stream *s = (struct tls_stream *)transport;
	int n_done = 0, result = 1;

	transport->want = POLLIN;
	while (result > 0) {
		if (!s->pending)
			fill_record(s, messages + n_done, n_messages - n_done);
		if (!s->pending && s->size == 0)
			break;
		result = send_record(s);
		if (result > 0) {
			n_done += s->n_taken;
			s->n_taken = 0;
		}
	}
	transport->n_held = s->n_taken + (s->offset > 0);
	if (result == 0)
		transport->want = POLLIN | POLLOUT;
	return n_done || result >= 0 ? n_done : result;
}

static void tls_close(struct transport *transport)
{
	struct tls_stream *s = (struct tls_stream *)transport;

	/* it would send the record that GnuTLS holds, too */
	if (s->tls.shaken && !s->pending && !s->failed && !transport->abandoned)
		gnutls_bye(s->tls.session, GNUTLS_SHUT_WR);
	tls_clear(&s->tls);
	stream_close(&s->stream);
	g_free(s);
}

const struct transport_ops transport_tls = {
	.probe = tls_probe,
	.open = tls_open,
	.step = tls_step,
	.send = tls_send,
	.unacked = stream_unacked,
	.close = tls_close,
};

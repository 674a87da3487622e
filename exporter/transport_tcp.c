/* SPDX-License-Identifier: MIT */
/*
 * TCP (RFC 7011 10.4): messages one behind the other, never torn. A peer that has fallen silent is
 * noticed; one that does not read is waited for, what is queued meanwhile is the queue's affair.
 * Above: collector.c.
 */
#include "config.h"

#include "transport.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "clock.h"
#include "transport_stream.h"

/* A peer that answers nothing for so long is gone; while its window is closed the kernel asks it
 * only every two minutes. */
#define PEER_TIMEOUT_NS		 (30 * NSEC_PER_SEC)
#define CLOSED_WINDOW_TIMEOUT_NS (300 * NSEC_PER_SEC)

#define KEEPALIVE_IDLE_S  20
#define KEEPALIVE_PROBES  2
#define KEEPALIVE_EVERY_S 5
#define CONNECT_ATTEMPTS  3 /* SYNs, about seven seconds */
#define UNSENT_MAX	  65536
#define SEND_BUFFER	  (1 << 20)
#define RECEIVE_BUFFER	  4096

struct tcp {
	struct stream stream; /* first */
	size_t offset;	      /* octets of the first message that went */
};

static void set_option(int fd, int level, int option, int value)
{
	/* each only makes the session better; without it the session still works */
	(void)setsockopt(fd, level, option, &value, sizeof(value));
}

bool stream_open(struct stream *stream, const struct settings_collector *collector,
		 const struct sockaddr *address, socklen_t length, GError **error)
{
	int fd = transport_socket(collector, address, SOCK_STREAM, IPPROTO_TCP, error);

	if (fd < 0)
		return false;
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(fd, IPPROTO_TCP, TCP_SYNCNT, CONNECT_ATTEMPTS);
	set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
	set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_EVERY_S);
	set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
	set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_MAX);
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(fd, SOL_SOCKET, SO_SNDBUF, SEND_BUFFER);
	set_option(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER);
	if (connect(fd, address, length) && errno != EINPROGRESS) {
		transport_set_error(error, errno, "can't connect");
		close(fd);
		return false;
	}
	stream->transport.fd = fd;
	stream->transport.want = POLLOUT;
	stream->transport.max_message_size = UINT16_MAX;
	stream->ends = g_array_new(false, false, sizeof(uint64_t));
	return true;
}

static bool is_connected(int fd)
{
	struct sockaddr_storage peer;
	socklen_t length = sizeof(peer);

	return getpeername(fd, (struct sockaddr *)&peer, &length) == 0;
}

enum transport_state stream_connect_step(struct stream *stream, GError **error)
{
	int result = transport_connect_result(stream->transport.fd);

	if (result) {
		transport_set_error(error, result,
				    stream->connected ? "session lost" : "can't connect");
		return TRANSPORT_FAILED;
	}
	if (!stream->connected && !is_connected(stream->transport.fd))
		return TRANSPORT_CONNECTING;
	stream->connected = true;
	stream->transport.want = POLLIN;
	return TRANSPORT_UP;
}

static int octets_in_flight(const struct stream *stream)
{
	int n_octets = 0;

	return ioctl(stream->transport.fd, SIOCOUTQ, &n_octets) ? 0 : n_octets;
}

bool stream_heard(struct stream *stream, GError **error)
{
	uint64_t now_ns = transport_now_ns(), limit_ns = PEER_TIMEOUT_NS;
	struct tcp_info info;
	socklen_t length = sizeof(info);

	memset(&info, 0, sizeof(info));
	getsockopt(stream->transport.fd, IPPROTO_TCP, TCP_INFO, &info, &length);
	if (!octets_in_flight(stream) || info.tcpi_segs_in != stream->segments_heard) {
		stream->segments_heard = info.tcpi_segs_in;
		stream->heard_ns = now_ns;
	}
	/* A peer that does not read answers still: it is alive, and TCP_USER_TIMEOUT, which would
	 * end that session too, is not for us. */
	if (info.tcpi_unacked == 0)
		limit_ns = CLOSED_WINDOW_TIMEOUT_NS;
	if (now_ns - stream->heard_ns < limit_ns)
		return true;
	transport_set_error(error, ETIMEDOUT, "session lost");
	return false;
}

void stream_message_done(struct stream *stream)
{
	g_array_append_val(stream->ends, stream->written);
}

int stream_unacked(struct transport *transport)
{
	struct stream *stream = (struct stream *)transport;
	int in_flight = octets_in_flight(stream);

	while (stream->acknowledged < stream->ends->len &&
	       g_array_index(stream->ends, uint64_t, stream->acknowledged) <=
		       stream->written - in_flight)
		stream->acknowledged++;
	if (stream->acknowledged >= 1024 || stream->acknowledged == stream->ends->len) {
		if (stream->acknowledged)
			g_array_remove_range(stream->ends, 0, stream->acknowledged);
		stream->acknowledged = 0;
	}
	return stream->ends->len - stream->acknowledged;
}

void stream_close(struct stream *stream)
{
	if (stream->transport.abandoned) {
		transport_abandon(stream->transport.fd);
	} else {
		/* unread input would turn the FIN into a RST */
		shutdown(stream->transport.fd, SHUT_WR);
		transport_discard(stream->transport.fd);
	}
	close(stream->transport.fd);
	g_array_free(stream->ends, true);
}

static struct transport *tcp_open(const struct settings_collector *collector,
				  const struct sockaddr *address, socklen_t length, GError **error)
{
	struct tcp *tcp = g_new0(struct tcp, 1);

	tcp->stream.transport.ops = &transport_tcp;
	if (stream_open(&tcp->stream, collector, address, length, error))
		return &tcp->stream.transport;
	g_free(tcp);
	return NULL;
}

/* Throws input away, notices the end of the session. */
static bool alive(struct stream *stream, GError **error)
{
	int result = transport_discard(stream->transport.fd);

	if (result == 0)
		return stream_heard(stream, error);
	if (result < 0)
		g_set_error_literal(error, TRANSPORT_ERROR, ECONNRESET,
				    "the collector closed the session");
	else
		transport_set_error(error, result, "session lost");
	return false;
}

static enum transport_state tcp_step(struct transport *transport, GError **error)
{
	struct tcp *tcp = (struct tcp *)transport;
	enum transport_state state = stream_connect_step(&tcp->stream, error);

	if (state == TRANSPORT_UP && !alive(&tcp->stream, error))
		return TRANSPORT_FAILED;
	return state;
}

/* Parts of the messages from `offset` of the first on; returns how many. */
static int gather(const struct transport_message *messages, int n_messages, size_t offset,
		  struct iovec *part)
{
	int n = 0;

	for (int i = 0; i < 2 * n_messages; i++) {
		struct iovec whole = messages[i / 2].part[i % 2];

		if (offset >= whole.iov_len) {
			offset -= whole.iov_len;
			continue;
		}
		part[n].iov_base = (uint8_t *)whole.iov_base + offset;
		part[n++].iov_len = whole.iov_len - offset;
		offset = 0;
	}
	return n;
}

static int tcp_account(struct tcp *tcp, const struct transport_message *messages, int n_messages,
		       size_t sent)
{
	uint64_t begin = tcp->stream.written - tcp->offset, written = tcp->stream.written + sent;
	size_t rest = tcp->offset + sent;
	int n;

	for (n = 0; n < n_messages && rest >= transport_message_size(&messages[n]); n++) {
		rest -= transport_message_size(&messages[n]);
		begin += transport_message_size(&messages[n]);
		tcp->stream.written = begin;
		stream_message_done(&tcp->stream);
	}
	tcp->stream.written = written;
	tcp->offset = rest;
	tcp->stream.transport.n_held = rest > 0;
	return n;
}

static int tcp_send(struct transport *transport, struct transport_message *messages, int n_messages)
{
	struct tcp *tcp = (struct tcp *)transport;
	struct iovec part[2 * TRANSPORT_BATCH];
	struct msghdr header = {.msg_iov = part};
	ssize_t sent;

	n_messages = MIN(n_messages, TRANSPORT_BATCH);
	header.msg_iovlen = gather(messages, n_messages, tcp->offset, part);
	do {
		sent = sendmsg(transport->fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (sent < 0 && errno == EINTR);
	transport->want = POLLIN;
	if (sent < 0 && errno != EAGAIN)
		return -errno;
	if (sent < 0)
		sent = 0;
	n_messages = tcp_account(tcp, messages, n_messages, sent);
	if (n_messages == 0)
		transport->want = POLLIN | POLLOUT;
	return n_messages;
}

static void tcp_close(struct transport *transport)
{
	stream_close((struct stream *)transport);
	g_free(transport);
}

const struct transport_ops transport_tcp = {
	.open = tcp_open,
	.step = tcp_step,
	.send = tcp_send,
	.unacked = stream_unacked,
	.close = tcp_close,
};

/* SPDX-License-Identifier: MIT */
/*
 * UDP: a connected socket, so that the kernel reports what became of a datagram; never a fragment
 * (RFC 7011 10.3.3). Runs of messages of one size go as one packet for the kernel to cut (UDP GSO),
 * several runs in one call. Above: collector.c.
 */
#include "config.h"

#include "transport.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "transport_private.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
/* Most of the gain is there with 16. A shaper (tbf) whose burst is smaller than the packet cuts it
 * itself and may lose a part of it without a word: few have less than this. */
#define GSO_SEGMENTS_MAX  16
#define GSO_SIZE_MAX	  65000
#define RUNS_MAX	  32
#define PLAIN_SENDS	  256
#define RETRIES_MAX	  4
#define SEND_BUFFER	  (4 << 20)
#define RECEIVE_BUFFER	  65536
#define NO_BUFFER_WAIT_NS (5 * NSEC_PER_MSEC)
#define FORBIDDEN_WAIT_NS (200 * NSEC_PER_MSEC)

struct udp {
	struct transport transport; /* first */
	int family;
	bool gso;    /* the path takes packets to be cut */
	int n_plain; /* sends to be made without, after an error */
	int n_retries;
};

union segment_control {
	struct cmsghdr header;
	uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
};

/* What one sendmmsg gets: each run is one datagram, or several of one size. */
struct batch {
	int n_runs;
	int n_messages[RUNS_MAX];
	struct mmsghdr run[RUNS_MAX];
	union segment_control control[RUNS_MAX];
};

bool transport_udp_segmentation = true;

static struct transport *udp_open(const struct settings_collector *collector,
				  const struct sockaddr *address, socklen_t length, GError **error)
{
	int fd = transport_socket(collector, address, SOCK_DGRAM, IPPROTO_UDP, error);
	int send_buffer = SEND_BUFFER, receive_buffer = RECEIVE_BUFFER;
	struct udp *udp;

	if (fd < 0)
		return NULL;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof(send_buffer));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
	if (!transport_datagram_options(fd, address->sa_family, error)) {
		close(fd);
		return NULL;
	}
	if (connect(fd, address, length)) {
		transport_set_error(error, errno, "no way there");
		close(fd);
		return NULL;
	}

	udp = g_new0(struct udp, 1);
	udp->transport.ops = &transport_udp;
	udp->transport.fd = fd;
	udp->transport.max_message_size = transport_path_payload(fd, address->sa_family);
	udp->family = address->sa_family;
	udp->gso = transport_udp_segmentation;
	return &udp->transport;
}

static void read_errors(struct udp *udp)
{
	if (transport_read_errors(&udp->transport) > 0)
		udp->n_plain = PLAIN_SENDS;
}

static enum transport_state udp_step(struct transport *transport, GError **error)
{
	transport->wake_ns = 0;
	transport->want = 0;
	read_errors((struct udp *)transport);
	transport_discard(transport->fd);
	return TRANSPORT_UP;
}

/* How many messages from the first on make one run: all of one size, but the last may be smaller.
 */
static int run_length(const struct udp *udp, const struct transport_message *messages,
		      int n_messages)
{
	size_t size = transport_message_size(&messages[0]), total = size;
	int n = 1;

	if (!udp->gso || udp->n_plain)
		return 1;
	while (n < n_messages && n < GSO_SEGMENTS_MAX) {
		size_t next = transport_message_size(&messages[n]);

		if (next > size || total + next > GSO_SIZE_MAX)
			break;
		total += next;
		n++;
		if (next < size)
			break;
	}
	return n;
}

static void set_segment(struct msghdr *header, union segment_control *control, uint16_t size)
{
	memset(control, 0, sizeof(*control)); /* there is padding */
	header->msg_control = control;
	header->msg_controllen = sizeof(control->bytes);
	control->header.cmsg_level = IPPROTO_UDP;
	control->header.cmsg_type = UDP_SEGMENT;
	control->header.cmsg_len = CMSG_LEN(sizeof(size));
	memcpy(CMSG_DATA(&control->header), &size, sizeof(size));
}

/* part: room for two parts of each message. Only messages that fit the path are taken. */
static void batch_fill(struct batch *batch, const struct udp *udp,
		       const struct transport_message *messages, int n_messages, struct iovec *part)
{
	batch->n_runs = 0;
	while (n_messages > 0 && batch->n_runs < RUNS_MAX) {
		int i, n = run_length(udp, messages, n_messages);
		struct mmsghdr *run = &batch->run[batch->n_runs];

		if (transport_message_size(&messages[0]) > udp->transport.max_message_size)
			break;
		memset(run, 0, sizeof(*run));
		run->msg_hdr.msg_iov = part;
		run->msg_hdr.msg_iovlen = 2 * n;
		for (i = 0; i < n; i++) {
			*part++ = messages[i].part[0];
			*part++ = messages[i].part[1];
		}
		if (n > 1)
			set_segment(&run->msg_hdr, &batch->control[batch->n_runs],
				    transport_message_size(&messages[0]));
		batch->n_messages[batch->n_runs++] = n;
		messages += n;
		n_messages -= n;
	}
}

static int wait_for(struct udp *udp, int error, uint64_t wait_ns)
{
	udp->transport.blocked = error;
	udp->transport.wake_ns = transport_now_ns() + wait_ns;
	return 0;
}

/* What a failed send means: 1 to try again at once, 0 to wait, negative errno when it is over. */
static int judge_error(struct udp *udp, int error, const struct batch *batch)
{
	bool segmented = batch->n_messages[0] > 1;

	if (error == EINTR)
		return 1;
	if (error == EAGAIN) {
		udp->transport.want = POLLOUT;
		return 0;
	}
	if (segmented && (error == EINVAL || error == EIO || error == ENOPROTOOPT)) {
		udp->gso = false;
		return 1;
	}
	if (error == EMSGSIZE) {
		read_errors(udp);
		udp->transport.max_message_size =
			transport_path_payload(udp->transport.fd, udp->family);
		udp->n_plain = PLAIN_SENDS;
		return ++udp->n_retries < RETRIES_MAX ? 1 : -error;
	}
	if (error == ENOBUFS || error == ENOMEM) {
		/* a shaper may cut a large packet itself and lose a part without a word */
		udp->n_plain = PLAIN_SENDS;
		return wait_for(udp, error, NO_BUFFER_WAIT_NS);
	}
	if (error == EPERM)
		return wait_for(udp, error, FORBIDDEN_WAIT_NS);
	if (!transport_error_is_past(error))
		return -error;
	/* An ICMP error of an earlier datagram: this call has sent nothing. From now on one by one:
	 * the peer may answer a packet that nobody has cut with one error for all of it. */
	read_errors(udp);
	if (++udp->n_retries < RETRIES_MAX)
		return 1;
	return error == ECONNREFUSED ? wait_for(udp, error, NO_BUFFER_WAIT_NS) : -error;
}

/* Says which messages went and how; returns how many. */
static int mark_sent(const struct batch *batch, int n_runs, struct transport_message *messages)
{
	int n_sent = 0;

	for (int i = 0; i < n_runs; i++) {
		for (int j = 0; j < batch->n_messages[i]; j++)
			messages[n_sent + j].joined = j > 0;
		n_sent += batch->n_messages[i];
	}
	return n_sent;
}

static int send_batch(struct udp *udp, struct transport_message *messages, int n_messages)
{
	struct iovec part[2 * TRANSPORT_BATCH];
	struct batch batch;
	int n;

	n_messages = MIN(n_messages, TRANSPORT_BATCH);
	udp->n_retries = 0;
	for (;;) {
		int verdict;

		batch_fill(&batch, udp, messages, n_messages, part);
		if (batch.n_runs == 0)
			return -EMSGSIZE;
		n = sendmmsg(udp->transport.fd, batch.run, batch.n_runs,
			     MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0)
			break;
		verdict = judge_error(udp, errno, &batch);
		if (verdict <= 0)
			return verdict;
	}
	if (udp->n_plain)
		udp->n_plain--;
	return mark_sent(&batch, n, messages);
}

static int udp_send(struct transport *transport, struct transport_message *messages, int n_messages)
{
	struct udp *udp = (struct udp *)transport;
	int n_sent = 0;

	transport->want = 0;
	transport->wake_ns = 0;
	transport->blocked = 0;
	while (n_sent < n_messages) {
		int n = send_batch(udp, messages + n_sent, n_messages - n_sent);

		if (n < 0)
			return n_sent ? n_sent : n;
		if (n == 0)
			break;
		n_sent += n;
	}
	return n_sent;
}

static void udp_close(struct transport *transport)
{
	close(transport->fd);
	g_free(transport);
}

const struct transport_ops transport_udp = {
	.templates_expire = true,
	.open = udp_open,
	.step = udp_step,
	.send = udp_send,
	.close = udp_close,
};

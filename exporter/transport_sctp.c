/* SPDX-License-Identifier: MIT */
/*
 * SCTP (RFC 7011 10.2), by the kernel's one-to-one sockets; linux/sctp.h is all that it needs. One
 * stream, all of it reliable and ordered: templates must be (RFC 7011 8.3), and data on the same
 * stream make one sequence of numbers. A message is one SCTP message, never two. Above:
 * collector.c.
 */
#include "config.h"

#include "transport.h"

#include <errno.h>
#include <netinet/in.h>
#include <linux/sctp.h>
#include <linux/sock_diag.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "transport_private.h"

#define STREAM		     0
#define CONNECT_ATTEMPTS     3
#define CONNECT_LIMIT_MS     8000
#define HEARTBEAT_MS	     10000
#define PATH_ATTEMPTS	     5
#define ASSOCIATION_ATTEMPTS 10 /* with the kernel's timers it survives outages of some seconds */
#define SEND_BUFFER	     (1 << 20)
#define NOTIFICATIONS_MAX    64

struct sctp {
	struct transport transport; /* first */
	bool connected;
	uint64_t charged; /* memory of all messages that the kernel took */
	GArray *ends;	  /* uint64_t: charged when each went */
};

static bool set_option(int fd, int option, const void *value, socklen_t length, GError **error)
{
	if (setsockopt(fd, IPPROTO_SCTP, option, value, length) == 0)
		return true;
	transport_set_error(error, errno, "can't set SCTP options");
	return false;
}

static bool listen_to(int fd, uint16_t type, GError **error)
{
	struct sctp_event event = {.se_assoc_id = SCTP_FUTURE_ASSOC, .se_type = type, .se_on = 1};

	return set_option(fd, SCTP_EVENT, &event, sizeof(event), error);
}

static bool set_options(int fd, GError **error)
{
	struct sctp_initmsg start = {.sinit_num_ostreams = 1,
				     .sinit_max_instreams = 1,
				     .sinit_max_attempts = CONNECT_ATTEMPTS,
				     .sinit_max_init_timeo = CONNECT_LIMIT_MS};
	struct sctp_paddrparams path = {.spp_hbinterval = HEARTBEAT_MS,
					.spp_pathmaxrxt = PATH_ATTEMPTS,
					.spp_flags = SPP_HB_ENABLE};
	struct sctp_assocparams association = {.sasoc_asocmaxrxt = ASSOCIATION_ATTEMPTS};
	int on = 1, send_buffer = SEND_BUFFER;

	/* The family of an address that means all paths. */
	path.spp_address.ss_family = AF_UNSPEC;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof(send_buffer));
	return set_option(fd, SCTP_INITMSG, &start, sizeof(start), error) &&
	       set_option(fd, SCTP_ASSOCINFO, &association, sizeof(association), error) &&
	       set_option(fd, SCTP_PEER_ADDR_PARAMS, &path, sizeof(path), error) &&
	       set_option(fd, SCTP_NODELAY, &on, sizeof(on), error) &&
	       listen_to(fd, SCTP_ASSOC_CHANGE, error) && listen_to(fd, SCTP_SHUTDOWN_EVENT, error);
}

static struct transport *sctp_open(const struct settings_collector *collector,
				   const struct sockaddr *address, socklen_t length, GError **error)
{
	struct sctp *sctp;
	int fd;

	if (!transport_available(TRANSPORT_SCTP, error))
		return NULL;
	fd = transport_socket(collector, address, SOCK_STREAM, IPPROTO_SCTP, error);
	if (fd < 0)
		return NULL;
	if (!set_options(fd, error)) {
		close(fd);
		return NULL;
	}
	if (connect(fd, address, length) && errno != EINPROGRESS) {
		transport_set_error(error, errno, "can't connect");
		close(fd);
		return NULL;
	}
	sctp = g_new0(struct sctp, 1);
	sctp->transport.ops = &transport_sctp;
	sctp->transport.fd = fd;
	sctp->transport.want = POLLOUT;
	sctp->transport.max_message_size = UINT16_MAX;
	sctp->ends = g_array_new(false, false, sizeof(uint64_t));
	return &sctp->transport;
}

/* What an association change means for the session: NULL if it lives. */
static const char *judge(const union sctp_notification *note)
{
	if (note->sn_header.sn_type == SCTP_SHUTDOWN_EVENT)
		return "the collector closed the session";
	if (note->sn_header.sn_type != SCTP_ASSOC_CHANGE)
		return NULL;
	switch (note->sn_assoc_change.sac_state) {
	case SCTP_RESTART:
		return "the collector restarted";
	case SCTP_COMM_LOST:
	case SCTP_CANT_STR_ASSOC:
		return "session lost";
	case SCTP_SHUTDOWN_COMP:
		return "the collector closed the session";
	default:
		return NULL;
	}
}

/* Notifications are looked at, data are thrown away. */
static bool alive(struct sctp *sctp, GError **error)
{
	for (int i = 0; i < NOTIFICATIONS_MAX; i++) {
		union {
			union sctp_notification note;
			uint8_t bytes[4096];
		} buffer;
		struct iovec part = {&buffer, sizeof(buffer)};
		struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
		ssize_t size = recvmsg(sctp->transport.fd, &header, MSG_DONTWAIT);
		const char *end = NULL;

		if (size < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (size < 0) {
			transport_set_error(error, errno, "session lost");
			return false;
		}
		if (size == 0)
			end = "the collector closed the session";
		else if (header.msg_flags & MSG_NOTIFICATION)
			end = judge(&buffer.note);
		if (end) {
			g_set_error_literal(error, TRANSPORT_ERROR, ECONNRESET, end);
			return false;
		}
	}
	return true;
}

static bool association_status(struct sctp *sctp, struct sctp_status *status)
{
	socklen_t length = sizeof(*status);

	memset(status, 0, sizeof(*status));
	return getsockopt(sctp->transport.fd, IPPROTO_SCTP, SCTP_STATUS, status, &length) == 0;
}

static enum transport_state sctp_step(struct transport *transport, GError **error)
{
	struct sctp *sctp = (struct sctp *)transport;
	struct sctp_status status;
	int result = transport_connect_result(transport->fd);

	if (result) {
		transport_set_error(error, result,
				    sctp->connected ? "session lost" : "can't connect");
		return TRANSPORT_FAILED;
	}
	if (!sctp->connected) {
		if (!association_status(sctp, &status) || status.sstat_state < SCTP_ESTABLISHED)
			return TRANSPORT_CONNECTING;
		sctp->connected = true;
	}
	transport->want = POLLIN;
	return alive(sctp, error) ? TRANSPORT_UP : TRANSPORT_FAILED;
}

/* Memory of what waits or is under way: a chunk gives its share back when it is acknowledged.
 * SCTP_STATUS counts only chunks that are under way, and not those that wait for the window. */
static uint32_t memory_held(const struct sctp *sctp)
{
	uint32_t memory[SK_MEMINFO_VARS];
	socklen_t length = sizeof(memory);

	if (getsockopt(sctp->transport.fd, SOL_SOCKET, SO_MEMINFO, memory, &length) < 0)
		return UINT32_MAX; /* nobody knows: nothing has arrived */
	return memory[SK_MEMINFO_WMEM_QUEUED];
}

/* What is acknowledged meanwhile makes it look smaller: then too many count as unacknowledged. */
static void message_went(struct sctp *sctp, const struct transport_message *message,
			 uint32_t held_before)
{
	uint64_t size = transport_message_size(message);
	uint32_t held = memory_held(sctp);

	sctp->charged += held > held_before ? MAX(size, held - held_before) : size;
	g_array_append_val(sctp->ends, sctp->charged);
}

static int send_one(struct sctp *sctp, const struct transport_message *message)
{
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(sizeof(struct sctp_sndinfo))];
	} control = {0};
	struct iovec part[2] = {message->part[0], message->part[1]};
	struct msghdr header = {.msg_iov = part,
				.msg_iovlen = 2,
				.msg_control = &control,
				.msg_controllen = sizeof(control.bytes)};
	/* no SCTP_UNORDERED, no lifetime: ordered and reliable */
	struct sctp_sndinfo info = {.snd_sid = STREAM};

	control.header.cmsg_level = IPPROTO_SCTP;
	control.header.cmsg_type = SCTP_SNDINFO;
	control.header.cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(&control.header), &info, sizeof(info));
	while (sendmsg(sctp->transport.fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

static int sctp_send(struct transport *transport, struct transport_message *messages,
		     int n_messages)
{
	struct sctp *sctp = (struct sctp *)transport;

	transport->want = POLLIN;
	for (int n = 0; n < n_messages; n++) {
		uint32_t held = memory_held(sctp);
		int result = send_one(sctp, &messages[n]);

		if (result == 0) {
			message_went(sctp, &messages[n], held);
			continue;
		}
		if (result == -EAGAIN) {
			transport->want = POLLIN | POLLOUT;
			return n;
		}
		return n ? n : result;
	}
	return n_messages;
}

static int sctp_unacked(struct transport *transport)
{
	struct sctp *sctp = (struct sctp *)transport;
	uint64_t gone = sctp->charged - MIN(memory_held(sctp), sctp->charged);
	struct sctp_status status;
	guint n = 0;

	/* asked afterwards: an association that has ended holds nothing, whatever arrived */
	if (!association_status(sctp, &status))
		gone = 0;
	while (n < sctp->ends->len && g_array_index(sctp->ends, uint64_t, n) <= gone)
		n++;
	if (n)
		g_array_remove_range(sctp->ends, 0, n);
	return sctp->ends->len;
}

/* close sends SHUTDOWN, and ABORT only if input lies unread. */
static void sctp_close(struct transport *transport)
{
	if (transport->abandoned)
		transport_abandon(transport->fd);
	else
		transport_discard(transport->fd);
	close(transport->fd);
	g_array_free(((struct sctp *)transport)->ends, true);
	g_free(transport);
}

const struct transport_ops transport_sctp = {
	.open = sctp_open,
	.step = sctp_step,
	.send = sctp_send,
	.unacked = sctp_unacked,
	.close = sctp_close,
};

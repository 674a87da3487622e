/* SPDX-License-Identifier: MIT */
/* rtnetlink: the socket and what is asked. Above: interfaces.c; what is told: interfaces_message.c.
 */
#include "config.h"

#include "interfaces_link.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

/* Room for about a thousand notifications, which hold the statistics and are 1-2 kB each. */
#define RECEIVE_BUFFER (4 << 20)

struct link_monitor {
	struct link_reader reader;
	struct mnl_socket *socket;
	bool broken;
	char buffer[65536] __attribute__((aligned(8)));
};

static bool request_dump(struct link_monitor *monitor);
static void set_error(GError **error, int code, const char *what);

struct link_monitor *link_monitor_new(const struct link_callbacks *callbacks, GError **error)
{
	struct link_monitor *monitor = g_new0(struct link_monitor, 1);
	const int size = RECEIVE_BUFFER;

	link_reader_init(&monitor->reader, callbacks);
	monitor->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (monitor->socket == NULL) {
		set_error(error, errno, "open a socket");
		link_monitor_free(monitor);
		return NULL;
	}
	const int fd = link_monitor_fd(monitor);
	/* Without CAP_NET_ADMIN the system's limit holds; then overruns are only more likely. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (mnl_socket_bind(monitor->socket, RTMGRP_LINK, MNL_SOCKET_AUTOPID) < 0 ||
	    !request_dump(monitor)) {
		set_error(error, errno, "ask for the interfaces");
		link_monitor_free(monitor);
		return NULL;
	}
	return monitor;
}

void link_monitor_free(struct link_monitor *monitor)
{
	if (monitor == NULL)
		return;
	if (monitor->socket != NULL)
		mnl_socket_close(monitor->socket);
	link_reader_clear(&monitor->reader);
	g_free(monitor);
}

int link_monitor_fd(const struct link_monitor *monitor)
{
	return mnl_socket_get_fd(monitor->socket);
}

bool link_monitor_read(struct link_monitor *monitor, GError **error)
{
	while (!monitor->broken) {
		struct sockaddr_nl from = {0};
		struct iovec iov = {monitor->buffer, sizeof(monitor->buffer)};
		struct msghdr message = {
			.msg_name = &from,
			.msg_namelen = sizeof(from),
			.msg_iov = &iov,
			.msg_iovlen = 1,
		};
		const ssize_t size = recvmsg(link_monitor_fd(monitor), &message, 0);

		if (size < 0 && errno == EINTR)
			continue;
		if (size < 0 && errno == EAGAIN)
			return true;
		if (size <= 0 || (message.msg_flags & MSG_TRUNC)) {
			set_error(error, size < 0 ? errno : EMSGSIZE, "read");
			return false;
		}
		/* Only the kernel is believed: whoever rules a foreign namespace could write here
		 */
		if (from.nl_pid == 0 && !link_reader_take(&monitor->reader, monitor->buffer, size))
			monitor->broken = true;
	}
	set_error(error, EPROTO, "list the interfaces");
	return false;
}

static bool request_dump(struct link_monitor *monitor)
{
	struct nlmsghdr *header = mnl_nlmsg_put_header(monitor->buffer);

	header->nlmsg_type = RTM_GETLINK;
	header->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	header->nlmsg_seq = 1;
	mnl_nlmsg_put_extra_header(header, sizeof(struct ifinfomsg));
	mnl_attr_put_u32(header, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	return mnl_socket_sendto(monitor->socket, header, header->nlmsg_len) >= 0;
}

static void set_error(GError **error, int code, const char *what)
{
	g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(code), "rtnetlink: can't %s: %s",
		    what, g_strerror(code));
}

/* SPDX-License-Identifier: MIT */
/*
 * rtnetlink: what is asked, what is told, and how a dump and the notifications that come in between
 * fit together. Above: interfaces.c.
 */
#include "config.h"

#include "interfaces_link.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

/* Room for about a thousand notifications, which hold the statistics and are 1-2 kB each. */
#define RECEIVE_BUFFER (4 << 20)

struct link_monitor {
	struct link_callbacks callbacks;
	struct mnl_socket *socket;
	GHashTable *told; /* during the dump: indexes that a notification told of */
	bool broken;
	char buffer[65536] __attribute__((aligned(8)));
};

static bool request_dump(struct link_monitor *monitor);
static bool handle(struct link_monitor *monitor, size_t size);
static void set_error(GError **error, int code, const char *what);

struct link_monitor *link_monitor_new(const struct link_callbacks *callbacks, GError **error)
{
	struct link_monitor *monitor = g_new0(struct link_monitor, 1);
	const int size = RECEIVE_BUFFER;

	monitor->callbacks = *callbacks;
	monitor->told = g_hash_table_new(NULL, NULL);
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
	g_clear_pointer(&monitor->told, g_hash_table_destroy);
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
		if (from.nl_pid == 0 && !handle(monitor, size))
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

static void parse_kind(const struct nlattr *info, struct link *link)
{
	const struct nlattr *attr;
	const struct nlattr *data = NULL;

	mnl_attr_for_each_nested(attr, info)
	{
		if (mnl_attr_get_type(attr) == IFLA_INFO_KIND)
			g_strlcpy(link->kind, mnl_attr_get_str(attr), sizeof(link->kind));
		if (mnl_attr_get_type(attr) == IFLA_INFO_DATA)
			data = attr;
	}
	if (data == NULL || strcmp(link->kind, "vlan") != 0)
		return;
	mnl_attr_for_each_nested(attr, data)
	{
		if (mnl_attr_get_type(attr) == IFLA_VLAN_ID)
			link->vlan = mnl_attr_get_u16(attr);
	}
}

/* Names and descriptions go into JSON and into IPFIX strings, which are UTF-8 (RFC 7011 6.1.6). */
static void copy_text(const struct nlattr *attr, char *text, size_t size)
{
	g_autofree char *valid = g_utf8_make_valid(mnl_attr_get_str(attr), -1);
	const char *end;

	g_strlcpy(text, valid, size);
	g_utf8_validate(text, -1, &end);
	text[end - text] = '\0';
}

static void parse_link(const struct nlmsghdr *header, struct link *link)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(header);
	const struct nlattr *attr;
	bool elsewhere = false;

	*link = (struct link){
		.ifindex = info->ifi_index,
		.link_type = info->ifi_type,
		.up = info->ifi_flags & IFF_UP,
	};
	mnl_attr_for_each(attr, header, sizeof(*info))
	{
		switch (mnl_attr_get_type(attr)) {
		case IFLA_IFNAME:
			copy_text(attr, link->name, sizeof(link->name));
			break;
		case IFLA_IFALIAS:
			copy_text(attr, link->description, sizeof(link->description));
			break;
		case IFLA_MASTER:
			link->master = mnl_attr_get_u32(attr);
			break;
		case IFLA_LINK:
			link->lower = mnl_attr_get_u32(attr);
			break;
		case IFLA_LINK_NETNSID:
			elsewhere = true;
			break;
		case IFLA_LINKINFO:
			parse_kind(attr, link);
			break;
		case IFLA_ADDRESS:
			link->address_size =
				MIN(mnl_attr_get_payload_len(attr), sizeof(link->address));
			memcpy(link->address, mnl_attr_get_payload(attr), link->address_size);
			break;
		default:
			break;
		}
	}
	if (elsewhere)
		link->lower = 0;
}

static void handle_link(struct link_monitor *monitor, const struct nlmsghdr *header)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(header);
	const bool dumped = (header->nlmsg_flags & NLM_F_MULTI) && monitor->told != NULL;
	struct link link;

	/* A port that leaves its bridge is told as RTM_DELLINK of AF_BRIDGE, but lives on. */
	if (mnl_nlmsg_get_payload_len(header) < sizeof(*info) || info->ifi_family != AF_UNSPEC)
		return;
	/* The kernel fills a part of the dump, lets the lock go, and queues it: a notification that
	 * comes before it may be newer. */
	if (dumped && g_hash_table_contains(monitor->told, GINT_TO_POINTER(info->ifi_index)))
		return;
	if (!dumped && monitor->told != NULL)
		g_hash_table_add(monitor->told, GINT_TO_POINTER(info->ifi_index));

	if (header->nlmsg_type == RTM_DELLINK) {
		monitor->callbacks.gone(monitor->callbacks.user, info->ifi_index);
		return;
	}
	parse_link(header, &link);
	monitor->callbacks.changed(monitor->callbacks.user, &link);
}

/* One datagram. False: the dump failed. */
static bool handle(struct link_monitor *monitor, size_t size)
{
	const struct nlmsghdr *header = (const struct nlmsghdr *)monitor->buffer;
	int left = size;

	for (; mnl_nlmsg_ok(header, left); header = mnl_nlmsg_next(header, &left)) {
		if (header->nlmsg_flags & NLM_F_DUMP_INTR)
			return false;
		switch (header->nlmsg_type) {
		case RTM_NEWLINK:
		case RTM_DELLINK:
			handle_link(monitor, header);
			break;
		case NLMSG_ERROR:
			return false;
		case NLMSG_DONE:
			g_clear_pointer(&monitor->told, g_hash_table_destroy);
			monitor->callbacks.complete(monitor->callbacks.user);
			break;
		default:
			break;
		}
	}
	return true;
}

static void set_error(GError **error, int code, const char *what)
{
	g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(code), "rtnetlink: can't %s: %s",
		    what, g_strerror(code));
}

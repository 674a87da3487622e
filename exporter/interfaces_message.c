/* SPDX-License-Identifier: MIT */
/* rtnetlink's datagrams become links. Above: interfaces_link.c, which has the socket. */
#include "config.h"

#include "interfaces_message.h"

#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>

void link_reader_init(struct link_reader *reader, const struct link_callbacks *callbacks)
{
	reader->callbacks = *callbacks;
	reader->told = g_hash_table_new(NULL, NULL);
}

void link_reader_clear(struct link_reader *reader)
{
	g_clear_pointer(&reader->told, g_hash_table_destroy);
}

/* Nothing is read beyond the attribute, whatever its length. */
static uint32_t get_number(const struct nlattr *attr)
{
	if (mnl_attr_validate(attr, MNL_TYPE_U32) == 0)
		return mnl_attr_get_u32(attr);
	return mnl_attr_validate(attr, MNL_TYPE_U16) == 0 ? mnl_attr_get_u16(attr) : 0;
}

/* Names and descriptions go into JSON and into IPFIX strings, which are UTF-8 (RFC 7011 6.1.6). */
static void copy_text(const struct nlattr *attr, char *text, size_t size)
{
	const char *payload = mnl_attr_get_payload(attr);
	g_autofree char *valid =
		g_utf8_make_valid(payload, strnlen(payload, mnl_attr_get_payload_len(attr)));
	const char *end;

	g_strlcpy(text, valid, size);
	g_utf8_validate(text, -1, &end);
	text[end - text] = '\0';
}

static void parse_kind(const struct nlattr *info, struct link *link)
{
	const struct nlattr *attr;
	const struct nlattr *data = NULL;

	mnl_attr_for_each_nested(attr, info)
	{
		if (mnl_attr_get_type(attr) == IFLA_INFO_KIND)
			copy_text(attr, link->kind, sizeof(link->kind));
		if (mnl_attr_get_type(attr) == IFLA_INFO_DATA)
			data = attr;
	}
	if (data == NULL || strcmp(link->kind, "vlan") != 0)
		return;
	mnl_attr_for_each_nested(attr, data)
	{
		if (mnl_attr_get_type(attr) == IFLA_VLAN_ID)
			link->vlan = get_number(attr);
	}
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
			link->master = get_number(attr);
			break;
		case IFLA_LINK:
			link->lower = get_number(attr);
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

static void take_link(struct link_reader *reader, const struct nlmsghdr *header)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(header);
	const bool dumped = (header->nlmsg_flags & NLM_F_MULTI) && reader->told != NULL;
	struct link link;

	/* A port that leaves its bridge is told as RTM_DELLINK of AF_BRIDGE, but lives on. */
	if (mnl_nlmsg_get_payload_len(header) < sizeof(*info) || info->ifi_family != AF_UNSPEC)
		return;
	/* The kernel fills a part of the dump, lets the lock go, and queues it: a notification that
	 * comes before it may be newer. */
	if (dumped && g_hash_table_contains(reader->told, GINT_TO_POINTER(info->ifi_index)))
		return;
	if (!dumped && reader->told != NULL)
		g_hash_table_add(reader->told, GINT_TO_POINTER(info->ifi_index));

	if (header->nlmsg_type == RTM_DELLINK) {
		reader->callbacks.gone(reader->callbacks.user, info->ifi_index);
		return;
	}
	parse_link(header, &link);
	reader->callbacks.changed(reader->callbacks.user, &link);
}

bool link_reader_take(struct link_reader *reader, const void *datagram, size_t size)
{
	const struct nlmsghdr *header = datagram;
	int left = size;

	for (; mnl_nlmsg_ok(header, left); header = mnl_nlmsg_next(header, &left)) {
		/* mnl_nlmsg_ok takes a length beyond INT_MAX for a negative one */
		if (header->nlmsg_len > (uint32_t)left)
			return false;
		if (header->nlmsg_flags & NLM_F_DUMP_INTR)
			return false;
		switch (header->nlmsg_type) {
		case RTM_NEWLINK:
		case RTM_DELLINK:
			take_link(reader, header);
			break;
		case NLMSG_ERROR:
			return false;
		case NLMSG_DONE:
			g_clear_pointer(&reader->told, g_hash_table_destroy);
			reader->callbacks.complete(reader->callbacks.user);
			break;
		default:
			break;
		}
	}
	return true;
}

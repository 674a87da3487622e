/* SPDX-License-Identifier: MIT */
/*
 * What rtnetlink's datagrams tell of links, and how a dump and the notifications that come in
 * between fit together. No socket. Only interfaces_link.c uses it, which has one.
 */
#ifndef BPFLOWD_INTERFACES_MESSAGE_H
#define BPFLOWD_INTERFACES_MESSAGE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One device as the kernel tells it. */
struct link {
	uint32_t ifindex;
	uint32_t master;
	uint32_t lower; /* IFLA_LINK, 0 if it is in another namespace */
	uint16_t link_type;
	uint16_t vlan;
	bool up;
	char name[16];
	char description[64];
	char kind[16]; /* IFLA_INFO_KIND, "" if none */
	uint8_t address[32];
	uint8_t address_size;
};

struct link_callbacks {
	void (*changed)(void *user, const struct link *link);
	void (*gone)(void *user, uint32_t ifindex);
	/* The dump is complete: devices that `changed` hasn't told of don't exist. */
	void (*complete)(void *user);
	void *user;
};

struct link_reader {
	struct link_callbacks callbacks;
	GHashTable *told; /* during the dump: indexes that a notification told of */
};

void link_reader_init(struct link_reader *reader, const struct link_callbacks *callbacks);
void link_reader_clear(struct link_reader *reader);

/* A whole datagram, aligned as a struct nlmsghdr. False: the dump failed. */
bool link_reader_take(struct link_reader *reader, const void *datagram, size_t size);

#endif

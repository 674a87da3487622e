/* SPDX-License-Identifier: MIT */
/* The rtnetlink conversation of one namespace: a dump, then notifications. Only interfaces.c uses
 * it. */
#ifndef BPFLOWD_INTERFACES_LINK_H
#define BPFLOWD_INTERFACES_LINK_H

#include <glib.h>
#include <stdbool.h>
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

struct link_monitor;

/* Opens a socket in the current namespace and asks for a dump. */
struct link_monitor *link_monitor_new(const struct link_callbacks *callbacks, GError **error);
void link_monitor_free(struct link_monitor *monitor);
int link_monitor_fd(const struct link_monitor *monitor);

/* Reads all that is there. Fails when messages were lost (ENOBUFS) or the dump broke off: the
 * caller then needs a new monitor. */
bool link_monitor_read(struct link_monitor *monitor, GError **error);

#endif

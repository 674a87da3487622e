/* SPDX-License-Identifier: MIT */
/* Network namespaces by name, as `ip netns` keeps them. Only interfaces.c uses it. */
#ifndef BPFLOWD_INTERFACES_NETNS_H
#define BPFLOWD_INTERFACES_NETNS_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* Which namespace a descriptor or a name stands for. */
struct netns_id {
	dev_t dev;
	ino_t ino;
};

/* Opens a namespace; "" is the daemon's own. -1 with G_FILE_ERROR_NOENT while there is none by that
 * name. */
int netns_open(const char *name, struct netns_id *id, GError **error);

/* The process is in namespace fd from here to netns_leave. */
bool netns_enter(int fd, GError **error);
void netns_leave(int own_fd);

struct netns_watch;

/* Calls fn when a name may have come, gone, or come to mean another namespace. */
struct netns_watch *netns_watch_new(void (*fn)(void *user), void *user, GError **error);
void netns_watch_free(struct netns_watch *watch);

#endif

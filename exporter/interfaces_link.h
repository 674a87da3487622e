/* SPDX-License-Identifier: MIT */
/* The rtnetlink conversation of one namespace: a dump, then notifications. Only interfaces.c uses
 * it. */
#ifndef BPFLOWD_INTERFACES_LINK_H
#define BPFLOWD_INTERFACES_LINK_H

#include <glib.h>
#include <stdbool.h>

#include "interfaces_message.h"

struct link_monitor;

/* Opens a socket in the current namespace and asks for a dump. */
struct link_monitor *link_monitor_new(const struct link_callbacks *callbacks, GError **error);
void link_monitor_free(struct link_monitor *monitor);
int link_monitor_fd(const struct link_monitor *monitor);

/* Reads all that is there. Fails when messages were lost (ENOBUFS) or the dump broke off: the
 * caller then needs a new monitor. */
bool link_monitor_read(struct link_monitor *monitor, GError **error);

#endif

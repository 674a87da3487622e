/* SPDX-License-Identifier: MIT */
/*
 * /metrics and /healthz for Prometheus and supervisors, on the GLib main loop. The only door to the
 * HTTP library. Below: what daemon.c answers by its callbacks.
 */
#ifndef BPFLOWD_HTTP_H
#define BPFLOWD_HTTP_H

#include <glib.h>
#include <stdbool.h>

struct http;

struct http_callbacks {
	void (*metrics)(void *user, GString *out); /* Prometheus text format 0.0.4 */
	/* Whether to answer 200 or 503; why: lines to send, "ok" if there are none. */
	bool (*healthy)(void *user, GString *why);
	void *user;
};

/* listen: HOST:PORT, [HOST]:PORT; port 0: the kernel's choice. callbacks is copied. */
struct http *http_new(const char *listen, const struct http_callbacks *callbacks, GError **error);
void http_free(struct http *http);

/* Where it listens. */
int http_port(const struct http *http);

#endif

/* SPDX-License-Identifier: MIT */
/* /metrics and /healthz over libmicrohttpd (the only door to it), on the GLib main loop. */
#ifndef BPFLOWD_HTTP_H
#define BPFLOWD_HTTP_H

#include <glib.h>
#include <stdbool.h>

struct http;

struct http_callbacks {
	void (*metrics)(void *user, GString *out); /* Prometheus text format 0.0.4 */
	bool (*healthy)(void *user, GString *why);
	void *user;
};

/* listen: HOST:PORT, [HOST]:PORT. */
struct http *http_new(const char *listen, const struct http_callbacks *callbacks, GError **error);
void http_free(struct http *http);

#endif

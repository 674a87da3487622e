/* SPDX-License-Identifier: MIT */
/*
 * The control socket (AF_UNIX, SOCK_STREAM): one request line of JSON, one JSON document back, then
 * close. Verbs are rows that daemon.c registers. The other end: ctl*.c.
 */
#ifndef BPFLOWD_CONTROL_H
#define BPFLOWD_CONTROL_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

struct control;

struct control_verb {
	const char *name;
	bool changes; /* only root, the daemon's own account and the control group's members may ask
		       */
	/* Returns the answer (reference passes), or NULL with an error. args: object, may be empty.
	 */
	json_t *(*answer)(void *user, const json_t *args, GError **error);
};

/* verbs: ends with a row without name, must outlive the control. group: "" or who may ask besides
 * owner and root. */
struct control *control_new(const char *path, const char *group, const struct control_verb *verbs,
			    void *user, GError **error);
void control_free(struct control *control);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The control socket (AF_UNIX, SOCK_STREAM): one request line of JSON, {"verb": NAME, ...}, one
 * JSON document back, then close; {"error": SENTENCE} when it can't be done. Verbs are rows that
 * daemon.c registers. The other end: ctl_client.c.
 */
#ifndef BPFLOWD_CONTROL_H
#define BPFLOWD_CONTROL_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define CONTROL_REQUEST_MAX 4096 /* octets of a request line */
#define CONTROL_MAX_CLIENTS 16
#define CONTROL_TIMEOUT_S   5 /* to send the request; to take some of the answer */

struct control;
struct control_request;

/* An answer that is made while it is sent: whatever its size, a piece of it is held. */
struct control_pieces {
	/* Appends the next piece to text, some ten kB; false: that was the last one. */
	bool (*next)(void *state, GString *text);
	void (*free)(void *state); /* due once, whether all was sent or not */
	void *state;
};

struct control_verb {
	const char *name;
	bool changes; /* only root, the daemon's own account and the control group's members may ask
		       */
	/* Returns the answer (reference passes), or NULL with an error. args: the request, an
	 * object. */
	json_t *(*answer)(void *user, const json_t *args, GError **error);
	/* Instead of answer, for one that may be large: fills pieces, or fails. */
	bool (*open)(void *user, const json_t *args, struct control_pieces *pieces, GError **error);
	/* Instead of answer, for a verb that takes time: keeps the request, and completes it by
	 * control_reply. */
	void (*begin)(void *user, const json_t *args, struct control_request *request);
};

/* verbs: ends with a row without name, must outlive the control. group: "" or who may ask besides
 * owner and root. Makes the socket's directory if it is missing; replaces the socket of a dead
 * daemon; fails with G_FILE_ERROR_EXIST if a living one answers there. */
struct control *control_new(const char *path, const char *group, const struct control_verb *verbs,
			    void *user, GError **error);
/* Before the daemon becomes that account ("": it stays). */
bool control_give(struct control *control, const char *account, GError **error);
/* Answers that are ready still go out. Requests that began can still be completed, to nobody. */
void control_free(struct control *control);

/* Completes a request that began: by the answer (reference passes), or by the error's message if
 * answer is NULL. Due exactly once for each, also when the client is gone. */
void control_reply(struct control_request *request, json_t *answer, const GError *error);

/* Ends clients that were slower than CONTROL_TIMEOUT_S. The control calls it each second while it
 * has clients. */
void control_expire(struct control *control, uint64_t now_mono_ns);

#endif

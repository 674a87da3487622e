/* SPDX-License-Identifier: MIT */
/*
 * bpflowctl: asks the running daemon over its control socket. ctl.c reads the arguments,
 * ctl_client.c asks, ctl_show.c and ctl_table.c lay answers out, ctl_top.c is the live screen.
 */
#ifndef BPFLOWD_CTL_H
#define BPFLOWD_CTL_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#define CTL_DEFAULT_SOCKET "/run/bpflowd/control.sock"

/* exit codes */
enum { CTL_OK = 0, CTL_USAGE = 1, CTL_REFUSED = 1, CTL_NO_DAEMON = 2 };

struct ctl_options {
	char *socket;
	bool json;
	json_t *args; /* of the request */
};

/* Reads options; words keeps what is no option, "top" or "show flows". Returns -1 to go on, or the
 * exit code. */
int ctl_options_read(struct ctl_options *options, int *argc, char ***argv);
void ctl_options_clear(struct ctl_options *options);

/* Sends {"verb": verb, args...} and returns the answer, which the caller owns. On failure NULL, and
 * code is the exit code. args may be NULL. */
json_t *ctl_ask(const char *socket, const char *verb, const json_t *args, int *code,
		GError **error);

/* Runs `show WHAT`, flush, reload: asks, prints, returns the exit code. */
int ctl_show(const struct ctl_options *options, const char *verb);
bool ctl_show_knows(const char *what); /* of `show` */

int ctl_top(const struct ctl_options *options);

#endif

/* SPDX-License-Identifier: MIT */
/* Creates the actors, connects them, reloads and stops: the only module that knows them all. Above:
 * main.c. */
#ifndef BPFLOWD_DAEMON_H
#define BPFLOWD_DAEMON_H

#include "settings.h"

/* Runs until SIGTERM or SIGINT. Takes the settings over. Returns the exit status: 0, or 2 when it
 * can't start, the reason on stderr in one sentence. */
int daemon_run(struct settings *settings);

#endif

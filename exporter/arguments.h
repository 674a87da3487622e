/* SPDX-License-Identifier: MIT */
/* The command line of bpflowd. */
#ifndef BPFLOWD_ARGUMENTS_H
#define BPFLOWD_ARGUMENTS_H

#include <stdbool.h>

enum action {
	ACTION_RUN,
	ACTION_CHECK,
	ACTION_PRINT_CONFIG,
	ACTION_LIST_ELEMENTS,
	ACTION_PRINT_DEFINITIONS,
	ACTION_VERSION,
	ACTION_HELP
};

struct arguments {
	enum action action;
	const char *path;   /* of the configuration; NULL: not given */
	const char *format; /* of --print-definitions */
};

/* False, with one line on stderr, if they make no sense. */
bool arguments_read(int argc, char **argv, struct arguments *arguments);

/* Prints what --help and --version ask for; false if it was neither. */
bool arguments_answer(const struct arguments *arguments);

#endif

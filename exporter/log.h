/* SPDX-License-Identifier: MIT */
/* One writer for all messages: stderr, or the journal's priorities when systemd runs us. Object
 * first, one line. */
#ifndef BPFLOWD_LOG_H
#define BPFLOWD_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Looks where stderr goes and takes over GLib's messages. Call it first in main. */
void log_init(void);

/* Messages above the level are not written; LOG_LEVEL_INFO at start. */
void log_set_level(enum log_level level);

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* For an object that may change its state again and again: ten lines at once, then one a minute. */
struct log_limit {
	uint64_t full_ns;  /* when all ten are free again */
	uint32_t n_untold; /* since the last line that was told */
};

/* Whether a line may be told now; *n_untold is how many were not since the last one. */
bool log_limit_take(struct log_limit *limit, uint64_t now_ns, uint32_t *n_untold);

#define log_error(...)	 log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)	 log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)	 log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif

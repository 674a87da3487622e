/* SPDX-License-Identifier: MIT */
/*
 * Every message of the daemon and of the libraries that speak through GLib (libfixbuf does) leaves
 * here, as one line and one write.
 */
#include "config.h"

#include "log.h"

#include <glib.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIMIT_BURST 10
#define LIMIT_NS    (60 * 1000000000ull)

static const struct {
	const char *journal; /* sd-daemon(3) */
	const char *stderr;
} prefixes[] = {
	[LOG_LEVEL_ERROR] = {"<3>", "error: "},
	[LOG_LEVEL_WARNING] = {"<4>", "warning: "},
	[LOG_LEVEL_INFO] = {"<6>", ""},
	[LOG_LEVEL_DEBUG] = {"<7>", "debug: "},
};

static enum log_level threshold = LOG_LEVEL_INFO;
static bool to_journal;

/* The variable is inherited by programs whose stderr was redirected since: the file decides. */
static bool stderr_is_journal(void)
{
	const char *stream = g_getenv("JOURNAL_STREAM");
	g_autofree char *own = NULL;
	struct stat st;

	if (!stream || fstat(STDERR_FILENO, &st) < 0)
		return false;
	own = g_strdup_printf("%" PRIuMAX ":%" PRIuMAX, (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	return !strcmp(stream, own);
}

/* Interface names and peers' error texts are not ours: no control character passes. */
static void make_one_line(GString *line)
{
	while (line->len && line->str[line->len - 1] == '\n')
		g_string_truncate(line, line->len - 1);
	for (size_t i = 0; i < line->len; i++)
		if ((unsigned char)line->str[i] < 0x20 || line->str[i] == 0x7f)
			line->str[i] = ' ';
}

static void write_line(enum log_level level, GString *line)
{
	size_t done = 0;

	make_one_line(line);
	g_string_prepend(line, to_journal ? prefixes[level].journal : prefixes[level].stderr);
	g_string_append_c(line, '\n');
	while (done < line->len) {
		ssize_t n = write(STDERR_FILENO, line->str + done, line->len - done);

		/* nowhere is left to report a log that can't be written */
		if (n <= 0)
			return;
		done += (size_t)n;
	}
}

void log_write(enum log_level level, const char *format, ...)
{
	g_autoptr(GString) line = NULL;
	va_list args;

	if (level > threshold)
		return;
	line = g_string_new(NULL);
	va_start(args, format);
	g_string_vprintf(line, format, args);
	va_end(args);
	write_line(level, line);
}

bool log_limit_take(struct log_limit *limit, uint64_t now_ns, uint32_t *n_untold)
{
	uint64_t full_ns = MAX(limit->full_ns, now_ns) + LIMIT_NS;

	if (full_ns > now_ns + LIMIT_BURST * LIMIT_NS) {
		limit->n_untold++;
		return false;
	}
	*n_untold = limit->n_untold;
	limit->n_untold = 0;
	limit->full_ns = full_ns;
	return true;
}

static enum log_level level_of(GLogLevelFlags flags)
{
	if (flags & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL))
		return LOG_LEVEL_ERROR;
	if (flags & G_LOG_LEVEL_WARNING)
		return LOG_LEVEL_WARNING;
	if (flags & G_LOG_LEVEL_DEBUG)
		return LOG_LEVEL_DEBUG;
	return LOG_LEVEL_INFO;
}

static const char *field_text(const GLogField *fields, gsize n_fields, const char *key)
{
	for (gsize i = 0; i < n_fields; i++)
		if (!strcmp(fields[i].key, key) && fields[i].length < 0)
			return fields[i].value;
	return NULL;
}

static GLogWriterOutput write_glib(GLogLevelFlags flags, const GLogField *fields, gsize n_fields,
				   gpointer user)
{
	const char *domain = field_text(fields, n_fields, "GLIB_DOMAIN");
	const char *message = field_text(fields, n_fields, "MESSAGE");

	log_write(level_of(flags), "%s: %s", domain ? domain : "library",
		  message ? message : "message without text");
	return G_LOG_WRITER_HANDLED;
}

void log_init(void)
{
	static bool writer_set;

	to_journal = stderr_is_journal();
	/* GLib takes a writer only once */
	if (!writer_set)
		g_log_set_writer_func(write_glib, NULL, NULL);
	writer_set = true;
}

void log_set_level(enum log_level level)
{
	threshold = level;
}

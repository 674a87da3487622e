/* SPDX-License-Identifier: MIT */
/* Reads a file that may be anything, and tells the first character in it that can't be right. */
#include "config.h"

#include "yaml_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_SIZE (1u << 20)

static void set_errno(GError **error, const char *path, const char *what, int number)
{
	g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(number), "%s: %s: %s", path, what,
		    g_strerror(number));
}

static void set_too_large(GError **error, const char *name)
{
	g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
		    "%s: larger than 1 MiB; name a configuration file", name);
}

static bool check_regular(const char *path, int fd, GError **error)
{
	struct stat st;

	if (fstat(fd, &st) < 0) {
		set_errno(error, path, "can't be examined", errno);
		return false;
	}
	if (S_ISREG(st.st_mode))
		return true;
	g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s: %s; name a regular file", path,
		    S_ISDIR(st.st_mode) ? "a directory" : "not a regular file");
	return false;
}

static bool read_all(const char *path, int fd, GString *text, GError **error)
{
	char chunk[16384];
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) > 0) {
		g_string_append_len(text, chunk, n);
		if (text->len > MAX_SIZE) {
			set_too_large(error, path);
			return false;
		}
	}
	if (n < 0)
		set_errno(error, path, "can't be read", errno);
	return n == 0;
}

GString *yaml_file_read(const char *path, GError **error)
{
	GString *text = NULL;
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

	if (fd < 0) {
		set_errno(error, path, "can't be opened", errno);
		return NULL;
	}
	if (check_regular(path, fd, error)) {
		text = g_string_new(NULL);
		if (!read_all(path, fd, text, error)) {
			g_string_free(text, true);
			text = NULL;
		}
	}
	close(fd);
	return text;
}

struct place {
	uint32_t line;
	uint32_t column;
};

static struct place place_of(const char *text, const char *at)
{
	struct place place = {1, 1};

	for (const char *c = text; c < at; c = g_utf8_next_char(c)) {
		if (*c == '\n' || (*c == '\r' && c[1] != '\n'))
			place = (struct place){place.line + 1, 1};
		else
			place.column++;
	}
	return place;
}

static void set_bad(GError **error, const char *name, const char *text, const char *at,
		    const char *what)
{
	struct place place = place_of(text, at);

	g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s:%u:%u: %s", name, place.line,
		    place.column, what);
}

/* Line separators of Unicode are among them: editors don't show them as line ends, libyaml does. */
static bool is_allowed(gunichar c)
{
	if (c < 0x20)
		return c == '\n' || c == '\r' || c == '\t';
	return c != 0xfeff && c != 0x2028 && c != 0x2029 && !(c >= 0x7f && c < 0xa0) &&
	       (c & 0xfffe) != 0xfffe;
}

static const char *byte_order_mark(const char *text, size_t length)
{
	if (length >= 2 && (!memcmp(text, "\xff\xfe", 2) || !memcmp(text, "\xfe\xff", 2)))
		return "UTF-16; save the file as UTF-8";
	if (length >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
		return "a byte order mark; save the file as UTF-8 without one";
	return NULL;
}

bool yaml_file_check(const char *name, const char *text, size_t length, GError **error)
{
	const char *mark = byte_order_mark(text, length);
	const char *end;

	if (length > MAX_SIZE) {
		set_too_large(error, name);
		return false;
	}
	if (mark) {
		set_bad(error, name, text, text, mark);
		return false;
	}
	if (!g_utf8_validate(text, (gssize)length, &end)) {
		set_bad(error, name, text, end,
			*end ? "not UTF-8; save the file as UTF-8" : "a NUL character; remove it");
		return false;
	}
	for (const char *c = text; c < text + length; c = g_utf8_next_char(c)) {
		g_autofree char *what = NULL;

		if (is_allowed(g_utf8_get_char(c)))
			continue;
		what = g_strdup_printf("control character U+%04X; remove it", g_utf8_get_char(c));
		set_bad(error, name, text, c, what);
		return false;
	}
	return true;
}

/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "log.h"

#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <inttypes.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

/* What `speak` writes to stderr, which is a file for the while. */
static char *capture(void (*speak)(void), bool journal)
{
	g_autofree char *path = NULL;
	g_autofree char *stream = NULL;
	char *text = NULL;
	struct stat st;
	int fd = g_file_open_tmp("log-XXXXXX", &path, NULL);
	int saved = dup(STDERR_FILENO);

	g_assert_cmpint(fd, >=, 0);
	g_assert_cmpint(fstat(fd, &st), ==, 0);
	stream = g_strdup_printf("%" PRIuMAX ":%" PRIuMAX, (uintmax_t)st.st_dev,
				 (uintmax_t)st.st_ino + (journal ? 0 : 1));
	g_setenv("JOURNAL_STREAM", stream, true);
	dup2(fd, STDERR_FILENO);
	log_init();
	speak();
	dup2(saved, STDERR_FILENO);
	g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
	close(saved);
	close(fd);
	g_unlink(path);
	return text;
}

static void speak_levels(void)
{
	log_error("e %d", 1);
	log_warning("w %s", "two");
	log_info("i");
	log_debug("d");
}

static void test_stderr(void)
{
	g_autofree char *text = capture(speak_levels, false);

	g_assert_cmpstr(text, ==, "error: e 1\nwarning: w two\ni\n");
}

static void test_journal(void)
{
	g_autofree char *text = capture(speak_levels, true);

	g_assert_cmpstr(text, ==, "<3>e 1\n<4>w two\n<6>i\n");
}

static void test_level(void)
{
	g_autofree char *all = NULL;
	g_autofree char *few = NULL;

	log_set_level(LOG_LEVEL_DEBUG);
	all = capture(speak_levels, true);
	log_set_level(LOG_LEVEL_ERROR);
	few = capture(speak_levels, true);
	log_set_level(LOG_LEVEL_INFO);
	g_assert_cmpstr(all, ==, "<3>e 1\n<4>w two\n<6>i\n<7>d\n");
	g_assert_cmpstr(few, ==, "<3>e 1\n");
}

static void speak_lines(void)
{
	log_info("interface eth0\nerror: forged\033[2J");
	log_info("ends\n\n");
}

static void test_one_line(void)
{
	g_autofree char *text = capture(speak_lines, false);

	g_assert_cmpstr(text, ==, "interface eth0 error: forged [2J\nends\n");
}

static void speak_glib(void)
{
	g_log("libfixbuf", G_LOG_LEVEL_MESSAGE, "old %s", "way");
	g_log_structured("libfixbuf", G_LOG_LEVEL_WARNING, "MESSAGE", "new way");
	g_log("libfixbuf", G_LOG_LEVEL_DEBUG, "below the level");
}

static void test_glib(void)
{
	g_autofree char *text = NULL;
	GLogLevelFlags fatal = g_log_set_always_fatal(G_LOG_LEVEL_ERROR);

	text = capture(speak_glib, true);
	g_log_set_always_fatal(fatal);
	g_assert_cmpstr(text, ==, "<6>libfixbuf: old way\n<4>libfixbuf: new way\n");
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/log/stderr", test_stderr);
	g_test_add_func("/log/journal", test_journal);
	g_test_add_func("/log/level", test_level);
	g_test_add_func("/log/one-line", test_one_line);
	g_test_add_func("/log/glib", test_glib);
	return g_test_run();
}

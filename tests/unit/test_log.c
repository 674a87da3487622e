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

#define SECOND_NS 1000000000ull

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

static void test_limit(void)
{
	struct log_limit limit = {0};
	uint64_t now_ns = 5, told = 0;
	uint32_t n_untold = 0;

	/* a change each second for an hour */
	for (int i = 0; i < 3600; i++, now_ns += SECOND_NS)
		told += log_limit_take(&limit, now_ns, &n_untold);
	g_assert_cmpuint(told, >, 60);
	g_assert_cmpuint(told, <=, 70);
	g_assert_cmpuint(n_untold, ==, 59);
	/* an hour later it is as new */
	now_ns += 3600 * SECOND_NS;
	for (int i = 0; i < 10; i++)
		g_assert_true(log_limit_take(&limit, now_ns, &n_untold));
	g_assert_cmpuint(n_untold, ==, 0);
	g_assert_false(log_limit_take(&limit, now_ns, &n_untold));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/log/stderr", test_stderr);
	g_test_add_func("/log/journal", test_journal);
	g_test_add_func("/log/level", test_level);
	g_test_add_func("/log/one-line", test_one_line);
	g_test_add_func("/log/glib", test_glib);
	g_test_add_func("/log/limit", test_limit);
	return g_test_run();
}

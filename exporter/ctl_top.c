/* SPDX-License-Identifier: MIT */
/* The terminal of `bpflowctl top`: asks each second, draws ctl_page.c's lines, reads keys. The only
 * door to ncurses. */
#include "config.h"

#include "ctl.h"

#include <curses.h>
#include <signal.h>
#include <unistd.h>

#include "ctl_page.h"

#define REFRESH_US  G_USEC_PER_SEC
#define FLOWS_ASKED 200 /* more than a screen: rates change the order */

static volatile sig_atomic_t stopped;

struct top {
	const char *socket;
	json_t *args; /* of the question for flows */
	struct page *page;
	enum page_sort sort;
	GError *error; /* of the latest question */
};

static void on_stop(int signal)
{
	stopped = 1;
}

static int refresh_answers(struct top *top)
{
	static const char *const sorts[] = {
		[PAGE_BY_RATE] = "rate",
		[PAGE_BY_OCTETS] = "bytes",
		[PAGE_BY_PACKETS] = "packets",
	};
	json_t *flows = NULL, *stats = NULL, *collectors = NULL;
	int code;

	json_object_set_new(top->args, "sort", json_string(sorts[top->sort]));
	g_clear_error(&top->error);
	flows = ctl_ask(top->socket, "flows", top->args, &code, &top->error);
	if (flows)
		stats = ctl_ask(top->socket, "stats", NULL, &code, &top->error);
	if (stats)
		collectors = ctl_ask(top->socket, "collectors", NULL, &code, &top->error);
	if (collectors) {
		page_update(top->page, flows, stats, collectors, g_get_monotonic_time());
		return CTL_OK;
	}
	json_decref(flows);
	json_decref(stats);
	return code;
}

static void draw_line(int row, const char *line)
{
	bool title = line[0] == '\1';
	g_autofree char *cut = NULL;

	if (title)
		line++;
	/* a cell of the last row's last column would scroll the screen */
	cut = g_utf8_substring(line, 0, MIN(g_utf8_strlen(line, -1), COLS - 1));
	if (title)
		attron(A_REVERSE);
	mvaddstr(row, 0, cut);
	if (title)
		attroff(A_REVERSE);
}

static void draw(const struct top *top)
{
	static const char help[] = "q quit  r by rate  b by bytes  p by packets";
	g_autoptr(GPtrArray) lines = page_lines(top->page, top->sort, LINES - 1);

	erase();
	for (guint i = 0; i < lines->len; i++)
		draw_line(i, g_ptr_array_index(lines, i));
	draw_line(LINES - 1, top->error ? top->error->message : help);
	wnoutrefresh(stdscr);
	doupdate();
}

/* Handles keys until the next refresh is due; false to quit. */
static bool wait_for_keys(struct top *top, gint64 due_us)
{
	while (!stopped) {
		gint64 left_us = due_us - g_get_monotonic_time();

		if (left_us <= 0)
			return true;
		timeout(left_us / 1000 + 1);
		switch (getch()) {
		case 'q':
		case 'Q':
			return false;
		case 'r':
			top->sort = PAGE_BY_RATE;
			break;
		case 'b':
			top->sort = PAGE_BY_OCTETS;
			break;
		case 'p':
			top->sort = PAGE_BY_PACKETS;
			break;
		case KEY_RESIZE:
			break;
		default:
			continue;
		}
		draw(top);
	}
	return false;
}

static int run(struct top *top)
{
	SCREEN *screen =
		isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) ? newterm(NULL, stdout, stdin) : NULL;

	if (!screen) {
		fprintf(stderr, "bpflowctl: top needs a terminal, and TERM must name its type\n");
		return CTL_USAGE;
	}
	signal(SIGINT, on_stop);
	signal(SIGTERM, on_stop);
	signal(SIGHUP, on_stop);
	cbreak();
	noecho();
	keypad(stdscr, TRUE);
	curs_set(0);
	do {
		draw(top);
		if (!wait_for_keys(top, g_get_monotonic_time() + REFRESH_US))
			break;
		refresh_answers(top);
	} while (!stopped);
	endwin();
	delscreen(screen);
	return CTL_OK;
}

int ctl_top(const struct ctl_options *options)
{
	struct top top = {.socket = options->socket};
	int code;

	top.args = json_copy(options->args);
	json_object_set_new(top.args, "limit", json_integer(FLOWS_ASKED));
	top.page = page_new();
	code = refresh_answers(&top);
	if (code == CTL_OK)
		code = run(&top);
	else
		fprintf(stderr, "bpflowctl: %s\n", top.error->message);
	g_clear_error(&top.error);
	page_free(top.page);
	json_decref(top.args);
	return code;
}

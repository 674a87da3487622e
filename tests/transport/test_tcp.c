/* SPDX-License-Identifier: MIT */
/* TCP sessions of collector.c against readers that are absent, restart, reset, sleep or dawdle. */
#include "config.h"

#include <glib.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "collector_private.h"
#include "harness.h"

static void test_templates_first(const void *address)
{
	struct sender sender;
	struct sink sink;

	sink_open(&sink, SOCK_STREAM, address, 0);
	sender_init(&sender, TRANSPORT_TCP, sink.port);
	sender.settings.address = (char *)address;
	sender_start(&sender);
	sender_give(&sender, 1000);
	WORK_UNTIL(&sender, &sink, sink.n_records == sender.n_records);
	WORK_UNTIL(&sender, &sink, sender_stats(&sender)->queued_messages == 0);
	/* RFC 7011 8.1: once per session */
	g_assert_cmpuint(sink.n_templates, ==, 1);
	g_assert_cmpuint(sink.n_missing, ==, 0);
	assert_conserved(&sender, &sink);
	sender_clear(&sender);
	/* orderly: FIN, nothing torn */
	WORK_UNTIL(NULL, &sink, sink.fd < 0);
	g_assert_cmpuint(sink.n_torn, ==, 0);
	sink_clear(&sink);
}

/* Ends what is left of a stream: everything that the kernel has is read first. */
static void read_all(struct sink *sink)
{
	while (sink_read(sink, SIZE_MAX))
		;
}

static void test_absent_at_start(void)
{
	struct sender sender;
	struct sink sink;

	use_moving_clock();
	sink_open(&sink, SOCK_STREAM, "127.0.0.1", 0);
	sink_close(&sink, false);
	sender_init(&sender, TRANSPORT_TCP, sink.port);
	sender_start(&sender);
	sender_give(&sender, 100);
	WORK_UNTIL(&sender, NULL, sender_stats(&sender)->failures == 1);
	sink_reopen(&sink);
	/* RFC 7011 10.4.4: not before a minute has passed */
	move_clock(&sender, 59 * NSEC_PER_SEC);
	for (int i = 0; i < 100; i++)
		work(&sender, &sink);
	g_assert_cmpuint(sink.n_sessions, ==, 0);
	g_assert_cmpuint(sender_stats(&sender)->failures, ==, 1);
	move_clock(&sender, 8 * NSEC_PER_SEC);
	WORK_UNTIL(&sender, &sink, sink.n_records == sender.n_records);
	WORK_UNTIL(&sender, &sink, sender_stats(&sender)->queued_messages == 0);
	g_assert_cmpuint(sender_lost(&sender), ==, 0);
	assert_conserved(&sender, &sink);
	sender_clear(&sender);
	sink_clear(&sink);
	clock_set_source(NULL);
}

/* Killed amid the stream, twenty times: torn messages come again, whole; none twice, none lost. */
static void test_restarts(const void *by_reset)
{
	struct sender sender;
	struct sink sink;

	use_moving_clock();
	sink_open(&sink, SOCK_STREAM, "127.0.0.1", 0);
	sender_init(&sender, TRANSPORT_TCP, sink.port);
	sender_start(&sender);
	for (int i = 0; i < 20; i++) {
		uint64_t before = sink.n_messages;

		sender_give(&sender, 37);
		WORK_UNTIL(&sender, &sink, sink.n_messages > before);
		read_all(&sink);
		sink_close(&sink, by_reset != NULL);
		sender_give(&sender, 11);
		WORK_UNTIL(&sender, NULL, !sender_stats(&sender)->up);
		sink_reopen(&sink);
		move_clock(&sender, 70 * NSEC_PER_SEC);
	}
	WORK_UNTIL(&sender, &sink, sink.n_records >= sender.n_records);
	WORK_UNTIL(&sender, &sink, sender_stats(&sender)->queued_messages == 0);
	g_assert_cmpuint(sender_lost(&sender), ==, 0);
	g_assert_cmpuint(sink.n_missing, ==, 0);
	g_assert_cmpuint(sink.n_templates, ==, sink.n_sessions);
	assert_conserved(&sender, &sink);
	sender_clear(&sender);
	sink_clear(&sink);
	clock_set_source(NULL);
}

/* The peer takes some octets and resets, at every kind of place in a message. */
static void test_reset_after(void)
{
	struct sender sender;
	struct sink sink;
	unsigned n_torn;

	use_moving_clock();
	sink_open(&sink, SOCK_STREAM, "127.0.0.1", 0);
	sender_init(&sender, TRANSPORT_TCP, sink.port);
	/* messages larger than what a small window takes at once */
	sender_start(&sender);
	for (int i = 0; i < 24; i++) {
		int small = 4096 + 97 * i;
		uint64_t had = 0;

		setsockopt(sink.listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
		sender_give(&sender, 60);
		WORK_UNTIL(&sender, NULL, sender_stats(&sender)->session_start_ns);
		while (sink.fd < 0)
			sink_accept(&sink);
		for (int n = 0; n < 3 + i % 5; n++) {
			work(&sender, NULL);
			read_all(&sink);
			had = sink.stream->len;
		}
		n_torn = sink.n_torn;
		sink_end_session(&sink, true);
		g_assert_cmpuint(sink.n_torn, ==, n_torn + (had > 0));
		WORK_UNTIL(&sender, NULL, !sender_stats(&sender)->up);
		move_clock(&sender, 70 * NSEC_PER_SEC);
	}
	WORK_UNTIL(&sender, &sink, sink.n_records >= sender.n_records);
	WORK_UNTIL(&sender, &sink, sender_stats(&sender)->queued_messages == 0);
	g_assert_cmpuint(sender_lost(&sender), ==, 0);
	assert_conserved(&sender, &sink);
	sender_clear(&sender);
	sink_clear(&sink);
	clock_set_source(NULL);
}

static bool window_is_closed(const struct sender *sender)
{
	struct tcp_info info = {0};
	socklen_t length = sizeof(info);

	getsockopt(sender->collector->transport->fd, IPPROTO_TCP, TCP_INFO, &info, &length);
	return info.tcpi_unacked == 0;
}

/* The reader sleeps: the queue stays within its bound, what goes is counted, and is the gap. */
static void test_never_reads(void)
{
	struct sender sender;
	struct sink sink;
	int small = 4096;

	use_moving_clock();
	sink_open(&sink, SOCK_STREAM, "127.0.0.1", 0);
	setsockopt(sink.listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	sender_init(&sender, TRANSPORT_TCP, sink.port);
	sender.settings.queue_size = 2 << 20;
	sender_start(&sender);
	WORK_UNTIL(&sender, NULL, sender_stats(&sender)->up);
	for (int i = 0; i < 500; i++) {
		sender_give(&sender, 10);
		work(&sender, NULL);
		g_assert_cmpuint(sender_stats(&sender)->queued_bytes, <=, 2 << 20);
	}
	g_assert_cmpuint(sender_lost(&sender), >, 0);
	/* a closed window is no dead peer: the kernel asks it every two minutes */
	WORK_UNTIL(&sender, NULL, window_is_closed(&sender));
	for (int i = 0; i < 28; i++) {
		move_clock(&sender, 10 * NSEC_PER_SEC);
		/* options that wait make way for newer ones, and the gap behind them stays */
		sender_give(&sender, 10);
		g_assert_true(sender_stats(&sender)->up);
	}
	/* it wakes up after all */
	WORK_UNTIL(&sender, &sink, sender_stats(&sender)->queued_messages == 0);
	assert_conserved(&sender, &sink);
	g_assert_cmpuint(sink.n_missing, ==, sender_lost(&sender));
	g_assert_cmpuint(sink.n_sessions, ==, 1);
	sender_clear(&sender);
	sink_clear(&sink);
	clock_set_source(NULL);
}

static void test_dawdles(void)
{
	struct sender sender;
	struct sink sink;
	int small = 1;

	sink_open(&sink, SOCK_STREAM, "127.0.0.1", 0);
	setsockopt(sink.listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	sender_init(&sender, TRANSPORT_TCP, sink.port);
	sender.settings.queue_size = 256 << 10;
	sender_start(&sender);
	WORK_UNTIL(&sender, NULL, sender_stats(&sender)->up);
	for (int i = 0; i < 3000; i++) {
		if (i % 3 == 0)
			sender_give(&sender, 1);
		work(&sender, NULL);
		sink_accept(&sink);
		sink_read(&sink, 1);
	}
	g_assert_cmpuint(sender_lost(&sender), >, 0);
	WORK_UNTIL(&sender, &sink, sender_stats(&sender)->queued_messages == 0);
	g_assert_cmpuint(sink.n_torn, ==, 0);
	g_assert_cmpuint(sink.n_missing, ==, sender_lost(&sender));
	assert_conserved(&sender, &sink);
	sender_clear(&sender);
	sink_clear(&sink);
}

/* The first never reads, the second is not there; the third sees every record. */
static void test_three(void)
{
	struct sender sender[3];
	struct sink sink[3];

	for (int i = 0; i < 3; i++) {
		sink_open(&sink[i], SOCK_STREAM, "127.0.0.1", 0);
		sender_init(&sender[i], TRANSPORT_TCP, sink[i].port);
		sender[i].settings.queue_size = 1 << 20;
		sender_start(&sender[i]);
	}
	sink_close(&sink[1], false);
	for (int i = 0; i < 3000; i++) {
		for (int j = 0; j < 3; j++)
			sender_give(&sender[j], 1);
		work(&sender[2], &sink[2]);
	}
	WORK_UNTIL(&sender[2], &sink[2], sink[2].n_records == sender[2].n_records);
	WORK_UNTIL(&sender[2], &sink[2], sender_stats(&sender[2])->queued_messages == 0);
	g_assert_cmpuint(sender_lost(&sender[2]), ==, 0);
	g_assert_cmpuint(sender_lost(&sender[1]), >, 0);
	assert_conserved(&sender[2], &sink[2]);
	for (int i = 0; i < 3; i++) {
		sender_clear(&sender[i]);
		sink_clear(&sink[i]);
	}
}

static void test_max_rate(void)
{
	struct sender sender;
	struct sink sink;
	uint64_t begin, end;

	sink_open(&sink, SOCK_STREAM, "127.0.0.1", 0);
	sender_init(&sender, TRANSPORT_TCP, sink.port);
	sender.settings.max_rate = 20000;
	sender_start(&sender);
	WORK_UNTIL(&sender, &sink, sink.n_templates == 1);
	begin = g_get_monotonic_time();
	sender_give(&sender, 200); /* 10,000 records: half a second */
	WORK_UNTIL(&sender, &sink, sink.n_records == sender.n_records);
	end = g_get_monotonic_time();
	g_assert_cmpuint(end - begin, >, 400000);
	g_assert_cmpuint(end - begin, <, 5000000);
	sender_clear(&sender);
	sink_clear(&sink);
}

/* SIGTERM: what is queued goes out, up to a limit in time. */
static void test_drain(void)
{
	struct sender sender;
	struct sink sink;
	uint64_t now_us;

	sink_open(&sink, SOCK_STREAM, "127.0.0.1", 0);
	sender_init(&sender, TRANSPORT_TCP, sink.port);
	sender_start(&sender);
	sender_give(&sender, 20);
	/* not even connected yet; the kernel accepts and acknowledges for the sink */
	g_assert_true(collector_drain(sender.collector,
				      (g_get_monotonic_time() + 5 * G_USEC_PER_SEC) * 1000));
	WORK_UNTIL(NULL, &sink, sink.n_records == sender.n_records);
	assert_conserved(&sender, &sink);
	/* those at the start, and the last, which tell of all records */
	WORK_UNTIL(NULL, &sink, sink.n_options == 2);

	/* more than the kernels hold, and nobody reads */
	sender_give(&sender, 9000);
	now_us = g_get_monotonic_time();
	g_assert_false(collector_drain(sender.collector, (now_us + 200000) * 1000));
	g_assert_cmpuint(g_get_monotonic_time() - now_us, <, 1000000);
	WORK_UNTIL(&sender, &sink, sender_stats(&sender)->queued_messages == 0);
	assert_conserved(&sender, &sink);
	sender_clear(&sender);
	sink_clear(&sink);
}

static gboolean count_turn(void *user)
{
	++*(unsigned *)user;
	return G_SOURCE_CONTINUE;
}

/* Also a collector whose name is still asked for; what else waits in the main loop must not run. */
static void test_drain_by_name(void)
{
	struct sender sender;
	struct sink sink;
	unsigned n_turns = 0;
	guint idle;

	sink_open(&sink, SOCK_STREAM, "127.0.0.1", 0);
	sender_init(&sender, TRANSPORT_TCP, sink.port);
	sender.settings.address = (char *)"localhost";
	sender_start(&sender);
	sender_give(&sender, 20);
	idle = g_idle_add_full(G_PRIORITY_DEFAULT, count_turn, &n_turns, NULL);
	g_assert_true(collector_drain(sender.collector,
				      (g_get_monotonic_time() + 5 * G_USEC_PER_SEC) * 1000));
	g_assert_cmpuint(n_turns, ==, 0);
	g_source_remove(idle);
	WORK_UNTIL(NULL, &sink, sink.n_records == sender.n_records);
	assert_conserved(&sender, &sink);
	sender_clear(&sender);
	sink_clear(&sink);
}

/* RFC 7011 3.1: modulo 2^32 */
static void test_sequence_wraps(void)
{
	struct sender sender;
	struct sink sink;

	sink_open(&sink, SOCK_STREAM, "127.0.0.1", 0);
	sender_init(&sender, TRANSPORT_TCP, sink.port);
	sender_start(&sender);
	WORK_UNTIL(&sender, &sink, sink.n_options == 1);
	sender.collector->stats.sequence = sink.sequence = UINT32_MAX - 2;
	sender_give(&sender, 10);
	WORK_UNTIL(&sender, &sink, sink.n_records == sender.n_records);
	g_assert_cmpuint(sink.n_missing, ==, 0);
	g_assert_cmpuint(sink.sequence, ==, 10 * RECORDS_PER_MESSAGE - 3);
	sender_clear(&sender);
	sink_clear(&sink);
}

/* A collector that talks: what it says is thrown away, as fast as it comes. */
static void test_talks_back(void)
{
	static const uint8_t words[65536];
	uint64_t said = 0;
	struct sender sender;
	struct sink sink;

	sink_open(&sink, SOCK_STREAM, "127.0.0.1", 0);
	sender_init(&sender, TRANSPORT_TCP, sink.port);
	sender_start(&sender);
	WORK_UNTIL(&sender, &sink, sink.n_templates == 1);
	for (int i = 0; said < 20 << 20 && i < 100000; i++) {
		ssize_t size = send(sink.fd, words, sizeof(words), MSG_DONTWAIT);

		said += MAX(size, 0);
		if (i % 100 == 0)
			sender_give(&sender, 1);
		work(&sender, &sink);
	}
	g_assert_cmpuint(said, >=, 20 << 20);
	WORK_UNTIL(&sender, &sink, sender_stats(&sender)->queued_messages == 0);
	g_assert_cmpuint(sink.n_sessions, ==, 1);
	g_assert_cmpuint(sender_lost(&sender), ==, 0);
	assert_conserved(&sender, &sink);
	sender_clear(&sender);
	sink_clear(&sink);
}

/* The configuration is replaced: the same session if it says the same, else a new one. */
static void test_set_settings(void)
{
	struct settings_collector other;
	struct sender sender;
	struct sink sink;

	sink_open(&sink, SOCK_STREAM, "127.0.0.1", 0);
	sender_init(&sender, TRANSPORT_TCP, sink.port);
	sender_start(&sender);
	WORK_UNTIL(&sender, &sink, sink.n_templates == 1);
	other = sender.settings;
	other.queue_size = 1 << 20;
	collector_set_settings(sender.collector, &other);
	sender_give(&sender, 10);
	WORK_UNTIL(&sender, &sink, sink.n_records == sender.n_records);
	g_assert_cmpuint(sink.n_sessions, ==, 1);
	other.source = (char *)"127.0.0.2";
	collector_set_settings(sender.collector, &sender.settings);
	collector_set_settings(sender.collector, &other);
	sender_give(&sender, 10);
	WORK_UNTIL(&sender, &sink, sink.n_records == sender.n_records);
	g_assert_cmpuint(sink.n_sessions, ==, 2);
	WORK_UNTIL(&sender, &sink, sender_stats(&sender)->queued_messages == 0);
	assert_conserved(&sender, &sink);
	sender_clear(&sender);
	sink_clear(&sink);
}

/* Options change by the hundred: they go once in a while, and no template goes twice. */
static void test_options_change(void)
{
	struct sender sender;
	uint64_t n_options;
	struct sink sink;

	use_moving_clock();
	sink_open(&sink, SOCK_STREAM, "127.0.0.1", 0);
	sender_init(&sender, TRANSPORT_TCP, sink.port);
	sender_start(&sender);
	WORK_UNTIL(&sender, &sink, sink.n_options == 1);
	for (int turn = 0; turn < 3; turn++) {
		n_options = sink.n_options;
		for (int i = 0; i < 100; i++)
			collector_refresh(sender.collector);
		work(&sender, &sink);
		move_clock(&sender, 2 * NSEC_PER_SEC);
		WORK_UNTIL(&sender, &sink, sink.n_options > n_options);
		for (int i = 0; i < 20; i++)
			work(&sender, &sink);
		g_assert_cmpuint(sink.n_options, ==, n_options + 1);
	}
	g_assert_cmpuint(sink.n_templates, ==, 1);
	sender_clear(&sender);
	sink_clear(&sink);
	clock_set_source(NULL);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_data_func("/tcp/templates-first/v4", "127.0.0.1", test_templates_first);
	g_test_add_data_func("/tcp/templates-first/v6", "::1", test_templates_first);
	g_test_add_func("/tcp/absent-at-start", test_absent_at_start);
	g_test_add_data_func("/tcp/restarts/fin", NULL, test_restarts);
	g_test_add_data_func("/tcp/restarts/rst", "rst", test_restarts);
	g_test_add_func("/tcp/reset-after", test_reset_after);
	g_test_add_func("/tcp/never-reads", test_never_reads);
	g_test_add_func("/tcp/dawdles", test_dawdles);
	g_test_add_func("/tcp/three", test_three);
	g_test_add_func("/tcp/max-rate", test_max_rate);
	g_test_add_func("/tcp/drain", test_drain);
	g_test_add_func("/tcp/drain-by-name", test_drain_by_name);
	g_test_add_func("/tcp/talks-back", test_talks_back);
	g_test_add_func("/tcp/sequence-wraps", test_sequence_wraps);
	g_test_add_func("/tcp/set-settings", test_set_settings);
	g_test_add_func("/tcp/options-change", test_options_change);
	return g_test_run();
}

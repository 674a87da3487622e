/* SPDX-License-Identifier: MIT */
/* UDP sessions of collector.c against a socket of our own on loopback. */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "collector_private.h"
#include "harness.h"

#define MANY 2000 /* messages */

struct arrival_case {
	const char *path, *address;
	enum encoder_format format;
};

static const struct arrival_case arrival_cases[] = {
	{"/udp/arrives/v4", "127.0.0.1", ENCODER_IPFIX},
	{"/udp/arrives/v6", "::1", ENCODER_IPFIX},
	{"/udp/arrives/netflow9", "127.0.0.1", ENCODER_NETFLOW9},
	{"/udp/arrives/netflow9-v6", "::1", ENCODER_NETFLOW9},
};

static void test_arrives(const void *data)
{
	const struct arrival_case *c = data;
	struct sender sender;
	struct sink sink;

	sink_open(&sink, SOCK_DGRAM, c->address, 0);
	sender_init(&sender, TRANSPORT_UDP, sink.port);
	sender.settings.address = (char *)c->address;
	sender.settings.protocol = c->format;
	sender.settings.max_rate = 10000000; /* no time to spread */
	sender_start(&sender);
	for (int i = 0; i < MANY / 100; i++) {
		sender_give(&sender, 100);
		WORK_UNTIL(&sender, &sink, sink.n_records == sender.n_records);
	}
	g_assert_cmpuint(sink.n_missing, ==, 0);
	/* RFC 7011 8.4: several copies before the first use */
	g_assert_cmpuint(sink.n_templates, >=, 2);
	assert_conserved(&sender, &sink);
	g_assert_true(sender_stats(&sender)->up);
	sender_clear(&sender);
	sink_clear(&sink);
}

static void test_template_refresh(const void *data)
{
	struct sender sender;
	struct sink sink;
	uint64_t before;

	use_moving_clock();
	sink_open(&sink, SOCK_DGRAM, "127.0.0.1", 0);
	sender_init(&sender, TRANSPORT_UDP, sink.port);
	sender.settings.protocol = GPOINTER_TO_INT(data);
	sender.settings.template_refresh_messages = 20;
	sender_start(&sender);
	WORK_UNTIL(&sender, &sink, sink.n_templates == 2);
	/* the early copies */
	for (int i = 0; i < 2; i++) {
		move_clock(&sender, 2 * NSEC_PER_SEC);
		WORK_UNTIL(&sender, &sink, sink.n_templates == 3 + (uint64_t)i);
	}
	before = sink.n_templates;
	for (int i = 0; i < 100; i++) {
		move_clock(&sender, 59 * NSEC_PER_SEC);
		work(&sender, &sink);
		g_assert_cmpuint(sink.n_templates, ==, before + i);
		move_clock(&sender, NSEC_PER_SEC);
		WORK_UNTIL(&sender, &sink, sink.n_templates == before + i + 1);
	}
	before = sink.n_templates;
	sender_give(&sender, 205);
	WORK_UNTIL(&sender, &sink, sink.n_records == sender.n_records);
	g_assert_cmpuint(sink.n_templates, >=, before + 3);
	g_assert_cmpuint(sink.n_missing, ==, 0);
	assert_conserved(&sender, &sink);
	sender_clear(&sender);
	sink_clear(&sink);
	clock_set_source(NULL);
}

/* What comes at once without max_rate: 0.8 s, a few datagrams at a time, evenly; an
 * ordinary socket buffer (212,992 octets: some 90 datagrams) has room for many of these portions.
 */
static void test_spread(void)
{
	uint64_t before, most = 0, took_ms = 0, half_ms = 0;
	struct sender sender;
	struct sink sink;

	use_frozen_clock();
	sink_open(&sink, SOCK_DGRAM, "127.0.0.1", 0);
	sender_init(&sender, TRANSPORT_UDP, sink.port);
	sender_start(&sender);
	WORK_UNTIL(&sender, &sink, (move_clock(&sender, NSEC_PER_MSEC), sink.n_templates == 2));
	sender_give(&sender, 100000 / RECORDS_PER_MESSAGE);
	while (sink.n_records < sender.n_records) {
		before = sink.n_messages;
		move_clock(&sender, NSEC_PER_MSEC);
		for (int i = 0; i < 4; i++)
			work(NULL, &sink);
		most = MAX(most, sink.n_messages - before);
		took_ms++;
		if (sink.n_records * 2 < sender.n_records)
			half_ms = took_ms;
		g_assert_cmpuint(took_ms, <, 1000);
	}
	g_assert_cmpuint(took_ms, >, 700);
	g_assert_cmpuint(took_ms, <, 900);
	g_assert_cmpuint(half_ms, >, 300);
	g_assert_cmpuint(half_ms, <, 500);
	/* 2,000 messages in 800 ms are less than three in each; those of two ticks, and what an
	 * earlier one left over */
	g_assert_cmpuint(most, <=, 18);
	g_assert_cmpuint(sink.n_missing, ==, 0);
	assert_conserved(&sender, &sink);
	sender_clear(&sender);
	sink_clear(&sink);
	clock_set_source(NULL);
}

/* Not a record more than configured, in any second. */
static void test_max_rate(void)
{
	struct sender sender;
	struct sink sink;
	uint64_t before;

	use_frozen_clock();
	sink_open(&sink, SOCK_DGRAM, "127.0.0.1", 0);
	sender_init(&sender, TRANSPORT_UDP, sink.port);
	sender.settings.max_rate = 1000;
	sender_start(&sender);
	WORK_UNTIL(&sender, &sink, (move_clock(&sender, NSEC_PER_MSEC), sink.n_templates == 2));
	sender_give(&sender, 200); /* 10,000 records */
	before = sink.n_records;
	for (int i = 0; i < 10; i++) {
		for (int j = 0; j < 100; j++) {
			move_clock(&sender, 10 * NSEC_PER_MSEC);
			work(NULL, &sink);
		}
		/* to the message */
		g_assert_cmpuint(sink.n_records - before, <=, 1000 + RECORDS_PER_MESSAGE);
		g_assert_cmpuint(sink.n_records - before, >=, 1000 - RECORDS_PER_MESSAGE);
		before = sink.n_records;
	}
	WORK_UNTIL(NULL, &sink,
		   (move_clock(&sender, 10 * NSEC_PER_MSEC), sink.n_records == sender.n_records));
	assert_conserved(&sender, &sink);
	sender_clear(&sender);
	sink_clear(&sink);
	clock_set_source(NULL);
}

static uint16_t source_port(const struct sender *sender)
{
	struct sockaddr_in address;
	socklen_t length = sizeof(address);

	g_assert_cmpint(
		getsockname(sender->collector->transport->fd, (struct sockaddr *)&address, &length),
		==, 0);
	return ntohs(address.sin_port);
}

/* A collector knows us by it: the port outlives the socket. And datagrams have checksums. */
static void test_socket(void)
{
	int no_check = -1;
	struct sender sender;
	struct sink sink;
	socklen_t length = sizeof(no_check);
	uint16_t port;

	sink_open(&sink, SOCK_DGRAM, "127.0.0.1", 0);
	sender_init(&sender, TRANSPORT_UDP, sink.port);
	sender_start(&sender);
	WORK_UNTIL(&sender, &sink, sink.n_templates == 2);
	port = source_port(&sender);
	session_renew(sender.collector, 0);
	WORK_UNTIL(&sender, &sink, sender_stats(&sender)->sessions == 2);
	g_assert_cmpuint(source_port(&sender), ==, port);
	g_assert_cmpint(getsockopt(sender.collector->transport->fd, SOL_SOCKET, SO_NO_CHECK,
				   &no_check, &length),
			==, 0);
	g_assert_cmpint(no_check, ==, 0);
	sender_clear(&sender);
	sink_clear(&sink);
}

/* Nobody waits for company (RFC 7011 10.4.3), and templates before each message leave room for
 * messages (RFC 5153 6.2). */
static void test_lone(void)
{
	struct sender sender;
	struct sink sink;

	use_frozen_clock();
	sink_open(&sink, SOCK_DGRAM, "127.0.0.1", 0);
	sender_init(&sender, TRANSPORT_UDP, sink.port);
	sender.settings.template_refresh_messages = 1;
	sender_start(&sender);
	WORK_UNTIL(&sender, &sink, (move_clock(&sender, NSEC_PER_MSEC), sink.n_templates == 2));
	for (int i = 0; i < 50; i++) {
		move_clock(&sender, 10 * NSEC_PER_MSEC);
		sender_give(&sender, 1);
		/* the clock stands still */
		WORK_UNTIL(&sender, &sink, sink.n_records == sender.n_records);
	}
	g_assert_cmpuint(sink.n_templates, >=, 49);
	assert_conserved(&sender, &sink);
	sender_clear(&sender);
	sink_clear(&sink);
	clock_set_source(NULL);
}

/* Every datagram that an ICMP error says was refused is counted, and none twice. */
static void test_refused(void)
{
	struct sender sender;
	struct sink sink;
	bool rose = false;
	uint64_t n_sent;
	uint16_t port;

	sink_open(&sink, SOCK_DGRAM, "127.0.0.1", 0);
	port = sink.port;
	sink_close(&sink, false);
	sender_init(&sender, TRANSPORT_UDP, port);
	sender_start(&sender);
	for (int i = 0; i < 20; i++) {
		sender_give(&sender, 10);
		WORK_UNTIL(&sender, NULL, sender_stats(&sender)->queued_messages == 0);
	}
	WORK_UNTIL(&sender, NULL, sender_lost(&sender) == sender.n_records);
	g_assert_false(sender_stats(&sender)->up);
	assert_conserved(&sender, &sink);
	/* what is in doubt is counted when it is known */
	n_sent = sender_stats(&sender)->sent_flows;
	for (int i = 0; i < 20; i++) {
		sender_give(&sender, 10);
		WORK_UNTIL(&sender, NULL,
			   (rose |= sender_stats(&sender)->sent_flows != n_sent,
			    sender_stats(&sender)->queued_messages == 0));
	}
	WORK_UNTIL(&sender, NULL, sender_lost(&sender) == sender.n_records);
	assert_conserved(&sender, &sink);
	g_assert_false(rose);

	sink_reopen(&sink);
	sink.n_missing = 0;
	/* whoever comes back gets templates within a second, unasked */
	WORK_UNTIL(&sender, &sink, sink.know_template);
	sender_give(&sender, 10);
	WORK_UNTIL(&sender, &sink, sink.n_records == 10 * RECORDS_PER_MESSAGE);
	WORK_UNTIL(&sender, &sink, sender_stats(&sender)->up);
	assert_conserved(&sender, &sink);
	sender_clear(&sender);
	sink_clear(&sink);
}

enum doubt_end { DOUBT_ENDS, DOUBT_REFUSED_AGAIN, DOUBT_TOO_LARGE, DOUBT_BACK };

/* The last one that went with data in it; *n_flows: those of its packet. */
static const struct sent_datagram *last_sent(const struct collector *collector, uint64_t *n_flows)
{
	const struct sent_datagram *last, *sent;
	uint32_t i = collector->next_sent;

	do {
		last = &collector->sent[--i % COLLECTOR_SENT];
	} while (!last->message.n_flows);
	sent = last;
	for (*n_flows = last->message.n_flows; sent->joined; *n_flows += sent->message.n_flows)
		sent = &collector->sent[--i % COLLECTOR_SENT];
	return last;
}

/* The session ends, and the log says how many flows that costs. */
static void end_and_tell(struct sender *sender, uint64_t n_flows)
{
	g_autofree char *path = NULL, *text = NULL;
	g_autofree char *expected = g_strdup_printf("test: %" PRIu64 " flows, ", n_flows);
	int fd = g_file_open_tmp("udp-XXXXXX", &path, NULL), saved = dup(STDERR_FILENO);

	g_assert_cmpint(fd, >=, 0);
	dup2(fd, STDERR_FILENO);
	session_end(sender->collector);
	dup2(saved, STDERR_FILENO);
	g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
	g_assert_nonnull(strstr(text, expected));
	close(saved);
	close(fd);
	g_unlink(path);
}

/* What is in doubt, more than is remembered one by one, until one more is refused, one was too
 * large, the collector is back, or the session ends. */
static void test_in_doubt(const void *data)
{
	const uint64_t n = 2 * COLLECTOR_SENT * RECORDS_PER_MESSAGE;
	const enum doubt_end end_by = GPOINTER_TO_INT(data);
	const struct collector_stats *stats;
	const struct sent_datagram *last;
	uint64_t n_last;
	struct sender sender;
	struct sink sink;

	use_frozen_clock();
	sink_open(&sink, SOCK_DGRAM, "127.0.0.1", 0);
	sender_init(&sender, TRANSPORT_UDP, sink.port);
	sender_start(&sender);
	stats = sender_stats(&sender);
	WORK_UNTIL(&sender, &sink, stats->up);
	account_refused(sender.collector, ECONNREFUSED, NULL, 0);
	while (sender.n_records < n) {
		sender_give(&sender, 8);
		WORK_UNTIL(&sender, &sink,
			   (move_clock(&sender, NSEC_PER_MSEC), stats->queued_messages == 0));
		account_refused(sender.collector, ECONNREFUSED, NULL, 0);
	}
	g_assert_cmpuint(stats->queued_flows, ==, n);
	g_assert_cmpuint(stats->sent_flows, ==, 0);
	/* what comes now is spread as if nothing were in doubt */
	g_assert_cmpuint(sender.collector->rate, <=, COLLECTOR_SPREAD_RATE_MIN);
	last = last_sent(sender.collector, &n_last);
	switch (end_by) {
	case DOUBT_TOO_LARGE:
		account_refused(sender.collector, EMSGSIZE, last->header, last->header_size);
		g_assert_cmpuint(stats->queued_flows, ==, n - n_last);
		g_assert_cmpuint(stats->lost[COLLECTOR_LOST_SEND].flows, ==, n_last);
		end_and_tell(&sender, n - n_last);
		break;
	case DOUBT_ENDS:
		end_and_tell(&sender, n);
		break;
	case DOUBT_REFUSED_AGAIN:
		account_refused(sender.collector, ECONNREFUSED, last->header, last->header_size);
		break;
	case DOUBT_BACK:
		WORK_UNTIL(&sender, &sink, (move_clock(&sender, NSEC_PER_SEC), stats->up));
	}
	g_assert_cmpuint(stats->queued_flows, ==, 0);
	g_assert_cmpuint(stats->queued_packets, ==, 0);
	g_assert_cmpuint(stats->sent_flows, ==, end_by == DOUBT_BACK ? n : 0);
	g_assert_cmpuint(stats->lost[COLLECTOR_LOST_SEND].flows + stats->sent_flows, ==, n);
	g_assert_cmpuint(stats->lost[COLLECTOR_LOST_SEND].octets + stats->sent_octets, ==,
			 n * OCTETS_PER_RECORD);
	sender_clear(&sender);
	sink_clear(&sink);
	clock_set_source(NULL);
}

/* Turns of the state of a collector whose errors come so far apart, within an hour. */
static int count_turns(struct sender *sender, int every_s)
{
	bool up = sender_stats(sender)->up;
	int n_turns = 0;

	for (int i = 1; i <= 3600; i++) {
		if (i % every_s == 0)
			account_refused(sender->collector, ECONNREFUSED, NULL, 0);
		move_clock(sender, NSEC_PER_SEC);
		n_turns += sender_stats(sender)->up != up;
		up = sender_stats(sender)->up;
	}
	return n_turns;
}

/* Hosts limit their ICMP errors: silence for some seconds is no return. */
static void test_rarely_refused(void)
{
	static const int intervals_s[] = {1, 4, 7, 20, 60, 100};
	struct sender sender;
	struct sink sink;

	for (size_t i = 0; i < G_N_ELEMENTS(intervals_s); i++) {
		use_frozen_clock();
		sink_open(&sink, SOCK_DGRAM, "127.0.0.1", 0);
		sender_init(&sender, TRANSPORT_UDP, sink.port);
		sender_start(&sender);
		WORK_UNTIL(&sender, &sink, sender_stats(&sender)->up);
		g_assert_cmpint(count_turns(&sender, intervals_s[i]), <=, 12);
		g_assert_false(sender_stats(&sender)->up);
		for (int j = 0; j < 180; j++)
			move_clock(&sender, NSEC_PER_SEC);
		g_assert_true(sender_stats(&sender)->up);
		sender_clear(&sender);
		sink_clear(&sink);
		clock_set_source(NULL);
	}
}

/* What one drain ends is four times what the queue holds, and the collector is idle. */
static void test_small_queue(void)
{
	struct sender sender;
	struct sink sink;

	sink_open(&sink, SOCK_DGRAM, "127.0.0.1", 0);
	sender_init(&sender, TRANSPORT_UDP, sink.port);
	sender.settings.queue_size = 64 << 10;
	sender_start(&sender);
	WORK_UNTIL(&sender, &sink, sink.n_templates > 0);
	sender_give(&sender, 200);
	WORK_UNTIL(&sender, &sink, sender_stats(&sender)->queued_messages == 0);
	g_assert_cmpuint(sender_lost(&sender), ==, 0);
	g_assert_cmpuint(sender_stats(&sender)->sent_flows, ==, sender.n_records);
	sender_clear(&sender);
	sink_clear(&sink);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(arrival_cases); i++)
		g_test_add_data_func(arrival_cases[i].path, &arrival_cases[i], test_arrives);
	g_test_add_data_func("/udp/template-refresh/ipfix", GINT_TO_POINTER(ENCODER_IPFIX),
			     test_template_refresh);
	g_test_add_data_func("/udp/template-refresh/netflow9", GINT_TO_POINTER(ENCODER_NETFLOW9),
			     test_template_refresh);
	g_test_add_func("/udp/socket", test_socket);
	g_test_add_func("/udp/lone", test_lone);
	g_test_add_func("/udp/spread", test_spread);
	g_test_add_func("/udp/small-queue", test_small_queue);
	g_test_add_func("/udp/max-rate", test_max_rate);
	g_test_add_func("/udp/refused", test_refused);
	g_test_add_data_func("/udp/in-doubt/session-ends", GINT_TO_POINTER(DOUBT_ENDS),
			     test_in_doubt);
	g_test_add_data_func("/udp/in-doubt/refused-again", GINT_TO_POINTER(DOUBT_REFUSED_AGAIN),
			     test_in_doubt);
	g_test_add_data_func("/udp/in-doubt/too-large", GINT_TO_POINTER(DOUBT_TOO_LARGE),
			     test_in_doubt);
	g_test_add_data_func("/udp/in-doubt/back", GINT_TO_POINTER(DOUBT_BACK), test_in_doubt);
	g_test_add_func("/udp/rarely-refused", test_rarely_refused);
	return g_test_run();
}

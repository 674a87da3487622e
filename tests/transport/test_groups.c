/* SPDX-License-Identifier: MIT */
/*
 * Which member of a group gets which flow: outputs.c with collectors over UDP on loopback, in a
 * network namespace without name servers. What goes out is read with a template of three fields.
 */
#include "config.h"

#include <arpa/inet.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "outputs.h"

#define N_MEMBERS   3
#define N_FLOWS	    3000
#define RECORD_SIZE 14
#define NOBODY	    (-1)

struct member {
	int fd;
	uint16_t port;
	uint16_t template_id; /* 0: not told yet */
	unsigned n_records;
};

struct site {
	struct member member[N_MEMBERS];
	struct settings *settings;
	struct outputs *outputs;
	unsigned n_sent;
	int owner[N_FLOWS]; /* who got it in this round */
};

static char *template_path;
static uint64_t clock_offset_ns;

static void read_clock(struct clock_now *now)
{
	now->mono_ns = g_get_monotonic_time() * 1000 + clock_offset_ns;
	now->boot_ns = now->mono_ns;
	now->real_ns = g_get_real_time() * 1000 + clock_offset_ns;
}

static void member_open(struct member *member)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(member->port)};
	socklen_t length = sizeof(address);
	int size = 8 << 20;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	member->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	setsockopt(member->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	g_assert_cmpint(bind(member->fd, (struct sockaddr *)&address, length), ==, 0);
	g_assert_cmpint(getsockname(member->fd, (struct sockaddr *)&address, &length), ==, 0);
	member->port = ntohs(address.sin_port);
	member->template_id = 0;
}

static void member_close(struct member *member)
{
	close(member->fd);
	member->fd = -1;
}

static uint32_t get(const uint8_t *at, int n_octets)
{
	uint32_t value = 0;

	while (n_octets--)
		value = value << 8 | *at++;
	return value;
}

static void take_record(struct site *site, int m, const uint8_t *at)
{
	uint32_t flow = get(at, 4) - 0x0a000000;

	g_assert_cmpuint(flow, <, N_FLOWS);
	g_assert_cmpint(site->owner[flow], ==, NOBODY);
	site->owner[flow] = m;
	site->member[m].n_records++;
}

static void take_message(struct site *site, int m, const uint8_t *message, size_t size)
{
	struct member *member = &site->member[m];

	g_assert_cmpuint(get(message, 2), ==, 10);
	for (size_t at = 16; at < size; at += get(message + at + 2, 2)) {
		uint16_t id = get(message + at, 2);
		size_t end = at + get(message + at + 2, 2);

		if (id == 2)
			member->template_id = get(message + at + 4, 2);
		/* options are not of interest */
		if (id < 256 || id != member->template_id)
			continue;
		for (size_t record = at + 4; record + RECORD_SIZE <= end; record += RECORD_SIZE)
			take_record(site, m, message + record);
	}
}

static void turn(struct site *site)
{
	uint8_t data[2048];
	ssize_t size;

	g_main_context_iteration(NULL, false);
	for (int m = 0; m < N_MEMBERS; m++)
		while (site->member[m].fd >= 0 &&
		       (size = recv(site->member[m].fd, data, sizeof(data), 0)) > 0)
			take_message(site, m, data, size);
}

struct sums {
	unsigned up; /* a bit for each member, in the order of the file */
	unsigned n;
	uint64_t sent, lost, queued, failures;
};

static void add(void *user, const struct collector *collector, const struct template *template,
		const struct output_skipped *skipped)
{
	const struct collector_stats *stats = collector_stats(collector);
	struct sums *sums = user;

	sums->up |= stats->up << sums->n++;
	sums->sent += stats->sent_flows;
	sums->queued += stats->queued_flows;
	sums->failures += stats->failures;
	for (int i = 0; i < COLLECTOR_N_LOSSES; i++)
		sums->lost += stats->lost[i].flows;
}

static struct sums sums_of(const struct site *site)
{
	struct sums sums = {0};

	outputs_foreach(site->outputs, add, &sums);
	return sums;
}

#define TURN_UNTIL(site, condition)                                             \
	do {                                                                    \
		uint64_t limit_ = g_get_monotonic_time() + 10 * G_USEC_PER_SEC; \
		while (!(condition)) {                                          \
			turn(site);                                             \
			g_assert_cmpuint(g_get_monotonic_time(), <, limit_);    \
		}                                                               \
	} while (0)

static unsigned n_received(const struct site *site)
{
	unsigned n = 0;

	for (int m = 0; m < N_MEMBERS; m++)
		n += site->member[m].n_records;
	return n;
}

static void fill_options(void *user, struct options *options)
{
}

/* first: what the first member is in place of a collector here, or NULL. */
static void begin(struct site *site, const char *mode, const char *first)
{
	const struct outputs_callbacks callbacks = {fill_options, NULL};
	g_autoptr(GString) text = g_string_new("collectors:\n");
	g_autoptr(GError) error = NULL;
	struct yaml_errors errors;

	memset(site, 0, sizeof(*site));
	clock_offset_ns = 0;
	clock_set_source(read_clock);
	for (int m = 0; m < N_MEMBERS; m++) {
		g_autofree char *target = NULL;

		member_open(&site->member[m]);
		target = g_strdup_printf("address: 127.0.0.1, port: %u", site->member[m].port);
		g_string_append_printf(text,
				       "  - {name: c%d, %s, template: %s, group: g, "
				       "group_mode: %s, max_rate: 1000000, "
				       "max_message_size: 1400}\n",
				       m, !m && first ? first : target, template_path, mode);
	}
	yaml_errors_init(&errors, "test");
	site->settings = settings_parse("test", text->str, text->len, &errors);
	g_assert_cmpuint(errors.messages->len, ==, 0);
	yaml_errors_clear(&errors);
	site->outputs = outputs_new(site->settings, 0, &callbacks, &error);
	g_assert_no_error(error);
}

/* What went in came out once, is counted, or waits for one that takes nothing. */
static void end(struct site *site, unsigned n_stuck)
{
	struct sums sums = sums_of(site);

	g_assert_cmpuint(sums.queued, ==, n_stuck);
	g_assert_cmpuint(sums.sent, ==, n_received(site));
	g_assert_cmpuint(site->n_sent, ==, n_received(site) + sums.lost + n_stuck);
	outputs_free(site->outputs);
	settings_free(site->settings);
	for (int m = 0; m < N_MEMBERS; m++)
		if (site->member[m].fd >= 0)
			member_close(&site->member[m]);
	clock_set_source(NULL);
}

static void send_round(struct site *site)
{
	struct flow_record record = {0};

	for (int i = 0; i < N_FLOWS; i++)
		site->owner[i] = NOBODY;
	record.ip_version = 4;
	record.id.eth_proto = 0x0800;
	record.id.protocol = IPPROTO_TCP;
	record.id.src_addr[0] = 10;
	for (int i = 0; i < N_FLOWS; i++) {
		record.id.src_addr[2] = i >> 8;
		record.id.src_addr[3] = i;
		record.metrics.packets = 1 + site->n_sent++;
		record.metrics.bytes = 40 * record.metrics.packets;
		outputs_append(site->outputs, &record);
	}
	outputs_flush(site->outputs);
}

static void send_and_receive(struct site *site)
{
	unsigned before = n_received(site);

	send_round(site);
	TURN_UNTIL(site, n_received(site) == before + N_FLOWS);
}

static unsigned n_owned(const struct site *site, int m)
{
	unsigned n = 0;

	for (int i = 0; i < N_FLOWS; i++)
		n += site->owner[i] == m;
	return n;
}

static void kill_member(struct site *site, int m)
{
	member_close(&site->member[m]);
	send_round(site);
	TURN_UNTIL(site, !(sums_of(site).up & 1 << m) && !sums_of(site).queued);
}

static void revive_member(struct site *site, int m)
{
	member_open(&site->member[m]);
	clock_offset_ns += 4 * NSEC_PER_SEC;
	/* two of them: the first is what the collector does not refuse */
	outputs_options_changed(site->outputs);
	TURN_UNTIL(site, site->member[m].template_id);
	outputs_options_changed(site->outputs);
	TURN_UNTIL(site, sums_of(site).up & 1 << m);
}

static void test_failover(void)
{
	struct site site;

	begin(&site, "failover", NULL);
	TURN_UNTIL(&site, sums_of(&site).up == 7);
	send_and_receive(&site);
	g_assert_cmpuint(n_owned(&site, 0), ==, N_FLOWS);
	kill_member(&site, 0);
	send_and_receive(&site);
	g_assert_cmpuint(n_owned(&site, 1), ==, N_FLOWS);
	kill_member(&site, 1);
	send_and_receive(&site);
	g_assert_cmpuint(n_owned(&site, 2), ==, N_FLOWS);
	revive_member(&site, 1);
	send_and_receive(&site);
	g_assert_cmpuint(n_owned(&site, 1), ==, N_FLOWS);
	revive_member(&site, 0);
	send_and_receive(&site);
	g_assert_cmpuint(n_owned(&site, 0), ==, N_FLOWS);
	end(&site, 0);
}

/* A name that does not resolve: the first never comes up, and gets nothing to keep. */
static void test_failover_name(void)
{
	struct site site;

	begin(&site, "failover", "address: collector.test");
	TURN_UNTIL(&site, sums_of(&site).up == 6);
	send_and_receive(&site);
	g_assert_cmpuint(n_owned(&site, 1), ==, N_FLOWS);
	g_assert_cmpuint(sums_of(&site).lost, ==, 0);
	end(&site, 0);
}

/* A file on a full disk: it gets what comes until it is clear that it takes nothing. */
static void test_failover_full(void)
{
	struct site site;

	begin(&site, "failover", "file: /dev/full");
	TURN_UNTIL(&site, sums_of(&site).up == 7);
	send_round(&site);
	TURN_UNTIL(&site, sums_of(&site).failures);
	g_assert_cmpuint(sums_of(&site).up, ==, 7);
	clock_offset_ns += 6 * NSEC_PER_SEC;
	outputs_options_changed(site.outputs);
	TURN_UNTIL(&site, sums_of(&site).up == 6);
	send_and_receive(&site);
	g_assert_cmpuint(n_owned(&site, 1), ==, N_FLOWS);
	g_assert_cmpuint(sums_of(&site).lost, ==, 0);
	end(&site, N_FLOWS);
}

static void check_even(const struct site *site, int m, double share)
{
	g_assert_cmpuint(n_owned(site, m), >, N_FLOWS * share * 0.85);
	g_assert_cmpuint(n_owned(site, m), <, N_FLOWS * share * 1.15);
}

/* A flow stays with its member; only the flows of one that dies move, and move back. */
static void test_balance(void)
{
	int home[N_FLOWS];
	struct site site;

	begin(&site, "balance", NULL);
	TURN_UNTIL(&site, sums_of(&site).up == 7);
	send_and_receive(&site);
	memcpy(home, site.owner, sizeof(home));
	for (int m = 0; m < N_MEMBERS; m++)
		check_even(&site, m, 1.0 / N_MEMBERS);
	send_and_receive(&site);
	g_assert_cmpmem(home, sizeof(home), site.owner, sizeof(home));
	kill_member(&site, 1);
	send_and_receive(&site);
	for (int i = 0; i < N_FLOWS; i++)
		g_assert_true(site.owner[i] != 1 && (home[i] == 1 || site.owner[i] == home[i]));
	check_even(&site, 0, 0.5);
	check_even(&site, 2, 0.5);
	revive_member(&site, 1);
	send_and_receive(&site);
	g_assert_cmpmem(home, sizeof(home), site.owner, sizeof(home));
	end(&site, 0);
}

static bool write_template(void)
{
	static const char text[] =
		"description: test\ndrops: inline\ntype_records: false\nrecords:\n"
		"  - name: ipv4\n    match: [ipv4]\n    fields: [sourceIPv4Address, "
		"sourceTransportPort, packetDeltaCount]\n";
	int fd = g_file_open_tmp("bpflowd-groups-XXXXXX.yaml", &template_path, NULL);

	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && !close(fd);
}

int main(int argc, char **argv)
{
	int status;

	g_test_init(&argc, &argv, NULL);
	if (unshare(CLONE_NEWNET) || system("ip link set lo up")) {
		printf("1..0 # SKIP needs the right to make namespaces\n");
		return 77;
	}
	g_assert_true(write_template());
	g_test_add_func("/groups/failover", test_failover);
	g_test_add_func("/groups/failover-name", test_failover_name);
	g_test_add_func("/groups/failover-full", test_failover_full);
	g_test_add_func("/groups/balance", test_balance);
	status = g_test_run();
	g_unlink(template_path);
	return status;
}

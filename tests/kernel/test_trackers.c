/* SPDX-License-Identifier: MIT */
/*
 * DNS and RTT in the loaded metering programs: crafted packets in, events out (BPF_PROG_TEST_RUN).
 * Clients are 10.0.0.1 and fd00::1, servers 10.0.0.2 and fd00::2; requests come in, replies go out.
 * What leaves and was counted where it came in, by interface COVERED, is observed; NAT makes
 * 10.0.0.3 and fd00::3 of the client.
 */
#include "config.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <glib.h>

#include "cache.h"
#include "clock.h"
#include "fetcher_private.h"

#define SYN 0x02
#define RST 0x04
#define ACK 0x10

#define COVERED 7
#define DEVICE	"tracked0"
#define PRIVATE 1
#define PUBLIC	3

struct frame {
	uint8_t data[1600];
	size_t size;
	bool from_server;
};

static struct flow_fetcher *fetcher;
static GArray *dns;   /* struct flow_event_dns */
static GArray *rtt;   /* struct flow_event_rtt */
static uint16_t port; /* of the client; each case has its own */
static uint8_t client_host = PRIVATE;
static uint32_t came_in;	      /* 0 or COVERED: observed */
static uint32_t leaves_by;	      /* 0: loopback */
static void (*when_unanswered)(void); /* called once */

static uint32_t on_flow(void *user, const struct flow_id *id, const struct flow_metrics *delta,
			uint32_t slot, uint32_t hint)
{
	return CACHE_NO_HINT;
}

static void on_prefetch(void *user, const struct flow_id *id, uint32_t hint)
{
}

static void on_event(void *user, const struct flow_event *event, size_t size)
{
	struct flow_event_dns copy = {0};

	if (event->type == FLOW_EVENT_RTT) {
		g_array_append_vals(rtt, event, 1);
	} else if (event->type == FLOW_EVENT_DNS) {
		g_assert_cmpuint(size, <=, sizeof(copy));
		memcpy(&copy, event, size);
		g_array_append_val(dns, copy);
		if (copy.kind == FLOW_DNS_UNANSWERED && when_unanswered) {
			void (*call)(void) = g_steal_pointer(&when_unanswered);

			call();
		}
	}
}

static uint64_t now_ns(void)
{
	struct clock_now now;

	clock_read(&now);
	return now.mono_ns;
}

static void drain(void)
{
	g_array_set_size(dns, 0);
	g_array_set_size(rtt, 0);
	flow_fetcher_read_ringbuf(fetcher, now_ns());
}

static void run(const struct frame *f)
{
	struct bpf_program *program = f->from_server ? fetcher->flows[0]->progs.egress_flow_parse
						     : fetcher->flows[0]->progs.ingress_flow_parse;
	struct __sk_buff context = {.ingress_ifindex = came_in, .ifindex = leaves_by};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = f->data, .data_size_in = f->size,
		    .ctx_in = &context, .ctx_size_in = sizeof(context));

	if (came_in)
		program = fetcher->flows[0]->progs.egress_flow_parse;
	g_assert_cmpint(bpf_prog_test_run_opts(bpf_program__fd(program), &opts), ==, 0);
}

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value);
}

/* Returns where the transport header goes. */
static uint8_t *start_ip(struct frame *f, int version, bool from_server, uint8_t protocol,
			 size_t size)
{
	uint8_t *ip = f->data + 14;
	uint8_t here = from_server ? 2 : client_host, there = from_server ? client_host : 2;

	memset(f, 0, sizeof(*f));
	f->from_server = from_server;
	put16(f->data + 12, version == 4 ? 0x0800 : 0x86dd);
	if (version == 4) {
		ip[0] = 0x45;
		put16(ip + 2, (uint32_t)size + 20);
		ip[8] = 64;
		ip[9] = protocol;
		memcpy(ip + 12, (uint8_t[]){10, 0, 0, here, 10, 0, 0, there}, 8);
		f->size = 14 + 20 + size;
		return ip + 20;
	}
	ip[0] = 0x60;
	put16(ip + 4, (uint32_t)size);
	ip[6] = protocol;
	ip[7] = 64;
	ip[8] = ip[24] = 0xfd;
	ip[23] = here;
	ip[39] = there;
	f->size = 14 + 40 + size;
	return ip + 40;
}

static void put_ports(uint8_t *at, bool from_server, uint16_t server_port)
{
	put16(at, from_server ? server_port : port);
	put16(at + 2, from_server ? port : server_port);
}

static void udp(int version, bool from_server, uint16_t server_port, const void *data, size_t size)
{
	struct frame f;
	uint8_t *at = start_ip(&f, version, from_server, 17, size + 8);

	put_ports(at, from_server, server_port);
	put16(at + 4, (uint32_t)size + 8);
	memcpy(at + 8, data, size);
	run(&f);
}

static void tcp(bool from_server, uint16_t server_port, uint8_t flags, uint32_t seq, uint32_t ack,
		const void *data, size_t size)
{
	struct frame f;
	uint8_t *at = start_ip(&f, 4, from_server, 6, size + 20);

	put_ports(at, from_server, server_port);
	put32(at + 4, seq);
	put32(at + 8, ack);
	at[12] = 0x50;
	at[13] = flags;
	if (size)
		memcpy(at + 20, data, size);
	run(&f);
}

/* A message with one question of the wire-form name. */
static size_t message(uint8_t *m, uint16_t id, bool answer, const char *name, size_t name_size)
{
	memset(m, 0, 12);
	put16(m, id);
	put16(m + 2, answer ? 0x8180 : 0x0100);
	m[5] = 1;
	memcpy(m + 12, name, name_size);
	memcpy(m + 12 + name_size, "\0\1\0\1", 4);
	return 12 + name_size + 4;
}

static void say(bool answer, uint16_t id, const char *name)
{
	uint8_t m[600];

	udp(4, answer, 53, m, message(m, id, answer, name, strlen(name) + 1));
}

#define ask(id, name)  say(false, id, name)
#define tell(id, name) say(true, id, name)

/* The kinds of the events since the last drain, and nothing else. */
static void expect_dns(const char *kinds)
{
	static const char letter[] = "?QAMUNX"; /* enum flow_dns_kind */
	g_autoptr(GString) got = g_string_new(NULL);

	drain();
	for (guint i = 0; i < dns->len; i++)
		g_string_append_c(got, letter[g_array_index(dns, struct flow_event_dns, i).kind]);
	g_assert_cmpstr(got->str, ==, kinds);
}

static const struct flow_event_dns *event_at(guint i)
{
	return &g_array_index(dns, struct flow_event_dns, i);
}

static void test_answer(void)
{
	uint64_t before, after;
	struct flow_id id;

	port++;
	before = now_ns();
	ask(1, "\3www\2de");
	tell(1, "\3www\2de");
	after = now_ns();
	expect_dns("QA");
	g_assert_cmpuint(event_at(1)->latency_us, >=, 1);
	g_assert_cmpuint(event_at(1)->latency_us, <=, (after - before) / 1000 + 1);
	flow_id_from_key(&id, &event_at(1)->flow);
	g_assert_cmpuint(id.src_port, ==, 53);
	g_assert_cmpuint(id.direction, ==, FLOW_EGRESS);
	flow_id_from_key(&id, &event_at(1)->query_flow);
	g_assert_cmpuint(id.src_port, ==, port);
	g_assert_cmpuint(id.direction, ==, FLOW_INGRESS);
	g_assert_cmpuint(event_at(1)->message_len, ==, 12 + 8 + 4);
	/* the answer once more */
	tell(1, "\3www\2de");
	expect_dns("U");
}

static void test_sent_again(void)
{
	port++;
	ask(2, "\1a");
	ask(2, "\1a");
	tell(2, "\1a");
	expect_dns("QM");
	g_assert_cmpuint(event_at(1)->latency_us, ==, 0);
}

static void test_unasked(void)
{
	port++;
	tell(3, "\1a");
	expect_dns("U");
}

/* Only the answer with id, ports and question of the query counts. */
static void test_spoofed(void)
{
	port++;
	ask(4, "\4bank");
	tell(5, "\4bank");
	tell(4, "\4bonk");
	expect_dns("QUU");
	tell(4, "\4BANK"); /* without regard to case: RFC 4343 */
	expect_dns("A");
}

static void test_id_reused(void)
{
	port++;
	ask(6, "\3old");
	ask(6, "\3new");
	expect_dns("QNQ");
	tell(6, "\3old");
	tell(6, "\3new");
	expect_dns("UA");
}

static void test_late(void)
{
	uint64_t timeout_ns = 5 * NSEC_PER_SEC;
	struct flow_id id;

	port++;
	ask(7, "\1a");
	expect_dns("Q");
	g_assert_cmpuint(flow_fetcher_delete_stale_entries(fetcher, now_ns(), timeout_ns), ==, 0);
	g_assert_cmpuint(dns->len, ==, 1);
	g_array_set_size(dns, 0);
	g_assert_cmpuint(
		flow_fetcher_delete_stale_entries(fetcher, now_ns() + timeout_ns, timeout_ns), >=,
		1);
	g_assert_cmpuint(dns->len, >=, 1);
	flow_id_from_key(&id, &event_at(dns->len - 1)->query_flow);
	g_assert_cmpint(event_at(dns->len - 1)->kind, ==, FLOW_DNS_UNANSWERED);
	tell(7, "\1a");
	expect_dns("U");
}

static void ask_both(void)
{
	static int n;
	const char *name = n++ ? "\1b" : "\1a";

	ask(1, name);
	ask(2, name);
}

/* While those that waited too long are dropped their ids come back: the new ones stay. */
static void test_late_and_reused(void)
{
	uint64_t timeout_ns = 5 * NSEC_PER_SEC;

	flow_fetcher_delete_stale_entries(fetcher, now_ns() + timeout_ns, 0);
	port++;
	ask_both();
	expect_dns("QQ");
	g_array_set_size(dns, 0);
	when_unanswered = ask_both;
	/* the other one was found by the new query, which says so through the ring */
	g_assert_cmpuint(
		flow_fetcher_delete_stale_entries(fetcher, now_ns() + timeout_ns, timeout_ns), ==,
		1);
	g_assert_cmpuint(dns->len, ==, 1);
	tell(1, "\1b");
	tell(2, "\1b");
	drain();
	g_assert_cmpuint(dns->len, ==, 5);
	g_assert_cmpint(event_at(3)->kind, ==, FLOW_DNS_ANSWER);
	g_assert_cmpint(event_at(4)->kind, ==, FLOW_DNS_ANSWER);
}

static void test_malformed(void)
{
	uint8_t m[600];
	size_t size = message(m, 8, false, "\3www\2de", 8);

	port++;
	for (size_t n = 1; n < size; n++)
		udp(4, false, 53, m, n);
	drain();
	g_assert_cmpuint(dns->len, ==, size - 1);
	for (guint i = 0; i < dns->len; i++) {
		g_assert_cmpint(event_at(i)->kind, ==, FLOW_DNS_UNREADABLE);
		g_assert_cmpuint(event_at(i)->message_len, ==, i + 1);
		/* what an earlier packet left is not shown */
		for (size_t k = i + 1; k < sizeof(event_at(i)->message); k++)
			g_assert_cmpuint(event_at(i)->message[k], ==, 0);
	}
	udp(4, false, 53, m, 0);
	m[12] = 0xc0;
	m[13] = 12;
	udp(4, false, 53, m, size);
	m[12] = 64;
	udp(4, false, 53, m, size);
	expect_dns("XX");
}

static void test_lengths(void)
{
	uint8_t m[1400] = {0};
	size_t size = message(m, 9, true, "\1a", 3);

	port++;
	for (size_t n = size; n <= sizeof(m); n += 37) {
		ask(9, "\1a");
		udp(4, true, 53, m, n);
		expect_dns("QA");
		g_assert_cmpuint(event_at(1)->message_len, ==, MIN(n, FLOW_DNS_MESSAGE_MAX));
	}
}

static void test_names(void)
{
	char name[257];
	uint8_t m[600];
	size_t size;

	port++;
	ask(10, "");
	tell(10, "");
	expect_dns("QA");
	for (int i = 0; i < 3; i++) {
		name[i * 64] = 63;
		memset(name + i * 64 + 1, 'a' + i, 63);
	}
	name[192] = 61;
	memset(name + 193, 'z', 61);
	name[254] = 0;
	size = message(m, 11, false, name, 255);
	udp(4, false, 53, m, size);
	udp(4, true, 53, m, message(m, 11, true, name, 255));
	expect_dns("QA");
	g_assert_cmpmem(event_at(0)->message + 12, 255, name, 255);
	name[192] = 62;
	name[255] = 0;
	udp(4, false, 53, m, message(m, 12, false, name, 256));
	expect_dns("X");
}

static void test_edns_and_no_question(void)
{
	uint8_t m[600];
	size_t size;

	port++;
	size = message(m, 13, false, "\1a", 3);
	m[11] = 1;
	memcpy(m + size, "\0\0\x29\x10\0\0\0\0\0\0\0", 11);
	udp(4, false, 53, m, size + 11);
	message(m, 13, true, "\1a", 3);
	m[5] = 0; /* FORMERR without question */
	udp(4, true, 53, m, 12);
	expect_dns("QA");
}

static void test_ipv6_and_ports(void)
{
	uint8_t m[600];

	port++;
	udp(6, false, 53, m, message(m, 14, false, "\1a", 3));
	udp(6, true, 53, m, message(m, 14, true, "\1a", 3));
	udp(4, false, 54, m, message(m, 14, false, "\1a", 3));
	udp(4, false, 5353, m, message(m, 14, false, "\1a", 3));
	expect_dns("QAQ");
}

/* A message with its length in front. */
static size_t framed(uint8_t *at, uint16_t id, bool answer, const char *name)
{
	size_t size = message(at + 2, id, answer, name, strlen(name) + 1);

	put16(at, (uint32_t)size);
	return size + 2;
}

static void test_tcp(void)
{
	uint8_t m[1400];
	size_t one, both;

	port++;
	tcp(false, 53, ACK, 1, 1, m, framed(m, 15, false, "\1a"));
	tcp(true, 53, ACK, 1, 1, m, framed(m, 15, true, "\1a"));
	expect_dns("QA");
	/* the length alone in a segment */
	one = framed(m, 16, false, "\1b");
	tcp(false, 53, ACK, 1, 1, m, 2);
	tcp(false, 53, ACK, 3, 1, m + 2, one - 2);
	framed(m, 16, true, "\1b");
	tcp(true, 53, ACK, 1, 1, m, 2);
	tcp(true, 53, ACK, 3, 1, m + 2, one - 2);
	expect_dns("QA");
	/* two in one segment */
	one = framed(m, 17, false, "\1c");
	both = one + framed(m + one, 18, false, "\1d");
	tcp(false, 53, ACK, 1, 1, m, both);
	one = framed(m, 17, true, "\1c");
	both = one + framed(m + one, 18, true, "\1d");
	tcp(true, 53, ACK, 1, 1, m, both);
	expect_dns("QQAA");
	/* the first segment of a long answer, then data from its middle */
	one = framed(m, 19, false, "\1e");
	tcp(false, 53, ACK, 1, 1, m, one);
	framed(m, 19, true, "\1e");
	memset(m + one, 0x37, sizeof(m) - one);
	put16(m, 4000);
	tcp(true, 53, ACK, 1, 1, m, sizeof(m));
	tcp(true, 53, ACK, 1, 1, m + one, sizeof(m) - one);
	tcp(true, 53, ACK, 1, 1, NULL, 0);
	expect_dns("QA");
}

static void expect_rtt(guint n_server, guint n_client)
{
	guint server = 0, client = 0;

	drain();
	for (guint i = 0; i < rtt->len; i++) {
		const struct flow_event_rtt *e = &g_array_index(rtt, struct flow_event_rtt, i);
		struct flow_id id;

		server += e->rtt.server_us != 0;
		client += e->rtt.client_us != 0;
		flow_id_from_key(&id, &e->from_client);
		g_assert_cmpuint(id.dst_port, ==, 443);
		flow_id_from_key(&id, &e->from_server);
		g_assert_cmpuint(id.src_port, ==, 443);
	}
	g_assert_cmpuint(server, ==, n_server);
	g_assert_cmpuint(client, ==, n_client);
}

static void test_handshake(void)
{
	port++;
	tcp(false, 443, SYN, 100, 0, NULL, 0);
	tcp(true, 443, SYN | ACK, 900, 101, NULL, 0);
	expect_rtt(1, 0);
	tcp(false, 443, ACK, 101, 901, NULL, 0);
	expect_rtt(0, 1);
	tcp(false, 443, ACK, 101, 901, NULL, 0);
	tcp(true, 443, ACK, 901, 101, "x", 1);
	expect_rtt(0, 0);
}

/* Karn: what was sent twice is not measured. */
static void test_retransmitted(void)
{
	port++;
	tcp(false, 443, SYN, 100, 0, NULL, 0);
	tcp(false, 443, SYN, 100, 0, NULL, 0);
	tcp(true, 443, SYN | ACK, 900, 101, NULL, 0);
	tcp(false, 443, ACK, 101, 901, NULL, 0);
	expect_rtt(0, 1);
	port++;
	tcp(false, 443, SYN, 100, 0, NULL, 0);
	tcp(true, 443, SYN | ACK, 900, 101, NULL, 0);
	tcp(true, 443, SYN | ACK, 900, 101, NULL, 0);
	tcp(false, 443, ACK, 101, 901, NULL, 0);
	expect_rtt(1, 0);
	/* the ports anew, by another connection */
	tcp(false, 443, SYN, 5000, 0, NULL, 0);
	tcp(true, 443, SYN | ACK, 7000, 5001, NULL, 0);
	tcp(false, 443, ACK, 5001, 7001, NULL, 0);
	expect_rtt(1, 1);
}

/* Answers to something else, and data that waited for the application. */
static void test_not_measured(void)
{
	port++;
	tcp(true, 443, SYN | ACK, 900, 101, NULL, 0);
	tcp(false, 443, SYN, 100, 0, NULL, 0);
	tcp(true, 443, SYN | ACK, 900, 555, NULL, 0);
	tcp(true, 443, RST | ACK, 0, 101, NULL, 0);
	expect_rtt(0, 0);
	tcp(true, 443, SYN | ACK, 900, 101, NULL, 0);
	tcp(false, 443, ACK, 101, 901, "late", 4);
	expect_rtt(1, 0);
}

/* Both open (RFC 9293 3.5): nothing false, nothing lost. */
static void test_simultaneous(void)
{
	port++;
	tcp(false, 443, SYN, 100, 0, NULL, 0);
	tcp(true, 443, SYN, 900, 0, NULL, 0);
	tcp(false, 443, SYN | ACK, 100, 901, NULL, 0);
	tcp(true, 443, SYN | ACK, 900, 101, NULL, 0);
	drain();
	g_assert_cmpuint(rtt->len, ==, 2);
	for (guint i = 0; i < rtt->len; i++)
		g_assert_cmpuint(g_array_index(rtt, struct flow_event_rtt, i).rtt.server_us, <,
				 1000000);
}

/* The packets that follow: of this client, counted or observed. */
static void at(uint8_t host, uint32_t from)
{
	client_host = host;
	came_in = from;
}

static bool is_counted(const struct flow_key6 *key)
{
	return FLOW_IFACE_IFINDEX(key->iface) != 0;
}

static void test_nat_dns(void)
{
	port++;
	at(PRIVATE, 0);
	ask(1, "\3www\2de");
	at(PUBLIC, COVERED);
	ask(1, "\3www\2de");
	expect_dns("Q");
	at(PUBLIC, 0);
	tell(1, "\3www\2de");
	at(PRIVATE, COVERED);
	tell(1, "\3www\2de");
	expect_dns("AA");
	g_assert_true(is_counted(&event_at(0)->flow));
	g_assert_cmpuint(event_at(0)->flow.dst_addr[3], ==, PUBLIC);
	g_assert_false(is_counted(&event_at(0)->query_flow));
	g_assert_true(event_at(0)->observed);
	g_assert_false(is_counted(&event_at(1)->flow));
	g_assert_true(is_counted(&event_at(1)->query_flow));
	g_assert_cmpuint(event_at(1)->query_flow.src_addr[3], ==, PRIVATE);
	g_assert_false(event_at(1)->observed);
	g_assert_cmpuint(event_at(1)->latency_us, >=, event_at(0)->latency_us);
	/* once more: told only where it is counted */
	tell(1, "\3www\2de");
	at(PUBLIC, 0);
	tell(1, "\3www\2de");
	expect_dns("U");
}

/* IPv6, and TCP with its handshake. */
static void test_nat_dns_forms(void)
{
	uint8_t m[600];
	size_t size;

	port++;
	for (int i = 0; i < 4; i++) {
		at(i == 0 || i == 3 ? PRIVATE : PUBLIC, i % 2 ? COVERED : 0);
		udp(6, i >= 2, 53, m, message(m, 14, i >= 2, "\1a", 3));
	}
	expect_dns("QAA");
	for (int i = 0; i < 4; i++) {
		at(i == 0 || i == 3 ? PRIVATE : PUBLIC, i % 2 ? COVERED : 0);
		size = framed(m, 15, i >= 2, "\1a");
		tcp(i >= 2, 53, ACK, 1, 1, m, size);
	}
	expect_dns("QAA");
}

/* Without translation the same packet passes twice, and is one. */
static void test_covered_dns(void)
{
	uint8_t m[600];

	port++;
	for (int i = 0; i < 4; i++) {
		at(PRIVATE, i % 2 ? COVERED : 0);
		say(i >= 2, 2, "\1a");
	}
	expect_dns("QA");
	g_assert_false(event_at(1)->observed);
	g_assert_true(is_counted(&event_at(1)->flow));
	g_assert_true(is_counted(&event_at(1)->query_flow));
	at(PRIVATE, COVERED);
	udp(4, false, 53, m, message(m, 8, false, "\3www\2de", 8) - 3);
	tell(9, "\1a");
	expect_dns("");
	/* of two copies of a query each passes twice */
	for (int i = 0; i < 6; i++) {
		at(PRIVATE, i % 2 ? COVERED : 0);
		say(i >= 4, 3, "\1a");
	}
	expect_dns("QM");
}

static void test_nat_sent_again(void)
{
	port++;
	for (int i = 0; i < 4; i++) {
		at(i % 2 ? PUBLIC : PRIVATE, i % 2 ? COVERED : 0);
		ask(2, "\1a");
	}
	at(PUBLIC, 0);
	tell(2, "\1a");
	at(PRIVATE, COVERED);
	tell(2, "\1a");
	expect_dns("QMM");
}

/* A VLAN device over its port, both hooked: one packet. */
static void test_nat_devices(void)
{
	unsigned index = if_nametoindex(DEVICE);

	g_assert_cmpuint(index, >, 1);
	port++;
	at(PRIVATE, 0);
	ask(3, "\1a");
	tcp(false, 443, SYN, 100, 0, NULL, 0);
	at(PUBLIC, COVERED);
	for (leaves_by = index;; leaves_by = 0) {
		ask(3, "\1a");
		tcp(false, 443, SYN, 100, 0, NULL, 0);
		if (!leaves_by)
			break;
	}
	at(PUBLIC, 0);
	tell(3, "\1a");
	expect_dns("QA");
	tcp(true, 443, SYN | ACK, 900, 101, NULL, 0);
	expect_rtt(1, 0);
}

static void test_nat_unanswered(void)
{
	uint64_t timeout_ns = 5 * NSEC_PER_SEC;

	flow_fetcher_delete_stale_entries(fetcher, now_ns() + timeout_ns, 0);
	port++;
	at(PRIVATE, 0);
	ask(7, "\1a");
	at(PUBLIC, COVERED);
	ask(7, "\1a");
	expect_dns("Q");
	g_array_set_size(dns, 0);
	g_assert_cmpuint(
		flow_fetcher_delete_stale_entries(fetcher, now_ns() + timeout_ns, timeout_ns), ==,
		2);
	g_assert_cmpuint(dns->len, ==, 1);
	g_assert_cmpuint(event_at(0)->query_flow.src_addr[3], ==, PRIVATE);
	/* id reused: of the translated one nothing is told either */
	for (int i = 0; i < 4; i++) {
		at(i % 2 ? PUBLIC : PRIVATE, i % 2 ? COVERED : 0);
		ask(8, i < 2 ? "\1a" : "\1b");
	}
	expect_dns("QNQ");
	g_assert_cmpuint(event_at(1)->query_flow.src_addr[3], ==, PRIVATE);
}

static void expect_sides(bool from_client, bool from_server)
{
	const struct flow_event_rtt *e = &g_array_index(rtt, struct flow_event_rtt, 0);

	g_assert_cmpint(is_counted(&e->from_client), ==, from_client);
	g_assert_cmpint(is_counted(&e->from_server), ==, from_server);
}

static void test_nat_handshake(void)
{
	port++;
	at(PRIVATE, 0);
	tcp(false, 443, SYN, 100, 0, NULL, 0);
	at(PUBLIC, COVERED);
	tcp(false, 443, SYN, 100, 0, NULL, 0);
	at(PUBLIC, 0);
	tcp(true, 443, SYN | ACK, 900, 101, NULL, 0);
	expect_rtt(1, 0);
	expect_sides(false, true);
	at(PRIVATE, COVERED);
	tcp(true, 443, SYN | ACK, 900, 101, NULL, 0);
	expect_rtt(1, 0);
	expect_sides(true, false);
	at(PRIVATE, 0);
	tcp(false, 443, ACK, 101, 901, NULL, 0);
	expect_rtt(0, 1);
	expect_sides(true, false);
	at(PUBLIC, COVERED);
	tcp(false, 443, ACK, 101, 901, NULL, 0);
	expect_rtt(0, 1);
	expect_sides(false, true);
	tcp(false, 443, ACK, 101, 901, "x", 1);
	expect_rtt(0, 0);
}

/* Karn on both sides of the translation. */
static void test_nat_retransmitted(void)
{
	port++;
	for (int i = 0; i < 4; i++) {
		at(i % 2 ? PUBLIC : PRIVATE, i % 2 ? COVERED : 0);
		tcp(false, 443, SYN, 100, 0, NULL, 0);
	}
	for (int i = 0; i < 4; i++) {
		at(i % 2 ? PRIVATE : PUBLIC, i % 2 ? COVERED : 0);
		tcp(true, 443, SYN | ACK, 900, 101, NULL, 0);
	}
	for (int i = 0; i < 2; i++) {
		at(i % 2 ? PUBLIC : PRIVATE, i % 2 ? COVERED : 0);
		tcp(false, 443, ACK, 101, 901, NULL, 0);
	}
	expect_rtt(0, 0);
}

static void test_covered_handshake(void)
{
	port++;
	for (int i = 0; i < 2; i++) {
		at(PRIVATE, i % 2 ? COVERED : 0);
		tcp(false, 443, SYN, 100, 0, NULL, 0);
	}
	for (int i = 0; i < 2; i++) {
		at(PRIVATE, i % 2 ? COVERED : 0);
		tcp(true, 443, SYN | ACK, 900, 101, NULL, 0);
	}
	expect_rtt(1, 0);
	expect_sides(true, true);
	for (int i = 0; i < 4; i++) {
		at(PRIVATE, i % 2 ? COVERED : 0);
		tcp(false, 443, ACK, 101, 901, NULL, 0);
	}
	expect_rtt(0, 1);
	expect_sides(true, true);
}

static struct flow_counters counters(void)
{
	struct flow_counters c;

	flow_fetcher_counters(fetcher, &c);
	return c;
}

static void flood(uint32_t n)
{
	uint8_t m[64];

	for (uint32_t i = 0; i < n; i++) {
		port = 20000 + i;
		tcp(false, 443, SYN, 1, 0, NULL, 0);
		udp(4, false, 53, m, message(m, 1, false, "\1x", 3));
		if (i % 256 == 0)
			drain();
	}
	drain();
}

/* Queries and SYNs that nobody answers fill the tables: what is asked after them is measured, the
 * oldest go and are counted. */
static void test_flood(void)
{
	const uint32_t n = 2 * FLOW_WAITING;
	struct flow_counters before, after;
	size_t n_left;

	at(PRIVATE, 0);
	flow_fetcher_delete_stale_entries(fetcher, now_ns() + 60 * NSEC_PER_SEC, NSEC_PER_SEC);
	before = counters();
	flood(n);
	port = 1;
	ask(1, "\1a");
	tcp(false, 443, SYN, 100, 0, NULL, 0);
	tcp(true, 443, SYN | ACK, 900, 101, NULL, 0);
	tell(1, "\1a");
	drain();
	g_assert_cmpuint(dns->len, ==, 2);
	g_assert_cmpint(event_at(1)->kind, ==, FLOW_DNS_ANSWER);
	g_assert_cmpuint(rtt->len, ==, 1);
	/* answered when the flood is over */
	port = 20000 + n - 1;
	tell(1, "\1x");
	expect_dns("A");
	n_left = flow_fetcher_delete_stale_entries(fetcher, now_ns() + 60 * NSEC_PER_SEC,
						   NSEC_PER_SEC);
	after = counters();
	g_assert_cmpuint(n_left, >, FLOW_WAITING);
	g_assert_cmpuint(after.dns_overflow + after.rtt_overflow, ==,
			 before.dns_overflow + before.rtt_overflow + 2 * n - n_left);
	g_assert_cmpuint(after.dns_overflow, >=, before.dns_overflow + n - FLOW_WAITING);
	g_assert_cmpuint(after.rtt_overflow, >=, before.rtt_overflow + n - FLOW_WAITING);
	g_assert_cmpuint(after.lost_events, ==, before.lost_events);
}

static gpointer ask_and_tell(void *cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(GPOINTER_TO_INT(cpu), &cpus);
	g_assert_cmpint(sched_setaffinity(0, sizeof(cpus), &cpus), ==, 0);
	for (int i = 0; i < 30000; i++) {
		ask(1, "\1a");
		tell(1, "\1a");
		tcp(false, 443, SYN, 1, 0, NULL, 0);
		tcp(true, 443, SYN | ACK, 9, 2, NULL, 0);
		tcp(false, 443, ACK, 2, 10, NULL, 0);
	}
	return NULL;
}

/* Of two CPUs that begin the same pair at the same moment one finds it there: nothing is lost. */
static void test_same_moment(void)
{
	struct flow_counters before, after;
	GThread *other;
	size_t n_left;

	if (g_get_num_processors() < 2) {
		g_test_skip("kernel: one processor");
		return;
	}
	at(PRIVATE, 0);
	port = 2;
	before = counters();
	other = g_thread_new("other", ask_and_tell, GINT_TO_POINTER(1));
	ask_and_tell(GINT_TO_POINTER(0));
	g_thread_join(other);
	n_left = flow_fetcher_delete_stale_entries(fetcher, now_ns() + 60 * NSEC_PER_SEC,
						   NSEC_PER_SEC);
	after = counters();
	g_assert_cmpuint(after.dns_overflow, ==, before.dns_overflow);
	g_assert_cmpuint(after.rtt_overflow, ==, before.rtt_overflow);
	g_assert_cmpuint(
		after.dns_began + after.rtt_began - before.dns_began - before.rtt_began, ==,
		after.dns_ended + after.rtt_ended - before.dns_ended - before.rtt_ended + n_left);
	drain();
}

int main(int argc, char **argv)
{
	static const uint16_t ports[] = {53, 5353};
	const struct flow_fetcher_config config = {.max_flows = 65536,
						   .sampling = 1,
						   .count_once = true,
						   .dns = true,
						   .rtt = true,
						   .dns_ports = ports,
						   .n_dns_ports = G_N_ELEMENTS(ports)};
	const struct flow_fetcher_callbacks callbacks = {
		.flow = on_flow, .prefetch = on_prefetch, .event = on_event};
	g_autoptr(GError) error = NULL;
	int status;

	g_test_init(&argc, &argv, NULL);
	if (geteuid()) {
		g_print("1..0 # SKIP needs root\n");
		return 0;
	}
	if (unshare(CLONE_NEWNET) || system("ip link add " DEVICE " type veth peer name tracked1"))
		g_error("no namespace with a device");
	fetcher = flow_fetcher_new(&config, &callbacks, &error);
	g_assert_no_error(error);
	flow_fetcher_set_interface_flag(fetcher, 0, COVERED, FLOW_IFACE_COVERED, true, &error);
	g_assert_no_error(error);
	dns = g_array_new(FALSE, FALSE, sizeof(struct flow_event_dns));
	rtt = g_array_new(FALSE, FALSE, sizeof(struct flow_event_rtt));
	port = 1000;
	g_test_add_func("/dns/answer", test_answer);
	g_test_add_func("/dns/sent-again", test_sent_again);
	g_test_add_func("/dns/unasked", test_unasked);
	g_test_add_func("/dns/spoofed", test_spoofed);
	g_test_add_func("/dns/id-reused", test_id_reused);
	g_test_add_func("/dns/late", test_late);
	g_test_add_func("/dns/late-and-reused", test_late_and_reused);
	g_test_add_func("/dns/malformed", test_malformed);
	g_test_add_func("/dns/lengths", test_lengths);
	g_test_add_func("/dns/names", test_names);
	g_test_add_func("/dns/edns-and-no-question", test_edns_and_no_question);
	g_test_add_func("/dns/ipv6-and-ports", test_ipv6_and_ports);
	g_test_add_func("/dns/tcp", test_tcp);
	g_test_add_func("/rtt/handshake", test_handshake);
	g_test_add_func("/rtt/retransmitted", test_retransmitted);
	g_test_add_func("/rtt/not-measured", test_not_measured);
	g_test_add_func("/rtt/simultaneous", test_simultaneous);
	g_test_add_func("/covered/dns", test_covered_dns);
	g_test_add_func("/covered/handshake", test_covered_handshake);
	g_test_add_func("/nat/dns", test_nat_dns);
	g_test_add_func("/nat/dns-forms", test_nat_dns_forms);
	g_test_add_func("/nat/dns-sent-again", test_nat_sent_again);
	g_test_add_func("/nat/devices", test_nat_devices);
	g_test_add_func("/nat/unanswered", test_nat_unanswered);
	g_test_add_func("/nat/handshake", test_nat_handshake);
	g_test_add_func("/nat/retransmitted", test_nat_retransmitted);
	g_test_add_func("/same-moment", test_same_moment);
	g_test_add_func("/flood", test_flood);
	status = g_test_run();
	flow_fetcher_close(fetcher);
	g_array_unref(dns);
	g_array_unref(rtt);
	return status;
}

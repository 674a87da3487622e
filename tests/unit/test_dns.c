/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <string.h>

#include <glib.h>

#include "dns.h"

#define HEADER(qdcount)		"\x12\x34\x81\x83\0" qdcount "\0\0\0\0\0\0"
#define DECODE(literal, record) dns_decode((const uint8_t *)(literal), sizeof(literal) - 1, record)

static void assert_no_name(const struct dns_record *record)
{
	static const uint8_t zero[sizeof(record->name)];

	g_assert_cmpuint(record->name_len, ==, 0);
	g_assert_cmpuint(record->query_type, ==, 0);
	g_assert_cmpmem(record->name, sizeof(record->name), zero, sizeof(zero));
}

static void test_question(void)
{
	struct dns_record r;

	memset(&r, 0xff, sizeof(r));
	g_assert_true(DECODE(HEADER("\1") "\3www\7example\3com\0\0\x1c\0\1", &r));
	g_assert_cmphex(r.id, ==, 0x1234);
	g_assert_cmphex(r.flags, ==, 0x8183);
	g_assert_cmpuint(r.query_type, ==, 28);
	g_assert_cmpmem(r.name, r.name_len, "\3www\7example\3com", 17);
	g_assert_cmpuint(r.responses, ==, 0);
	g_assert_cmpuint(r.latency_sum_us, ==, 0);
}

static void test_root(void)
{
	struct dns_record r;

	g_assert_true(DECODE(HEADER("\1") "\0\0\2\0\1", &r));
	g_assert_cmpmem(r.name, r.name_len, "", 1);
	g_assert_cmpuint(r.query_type, ==, 2);
}

/* Answers that follow, compressed or not, EDNS (RFC 6891), what is cut off behind the question. */
static void test_what_follows(void)
{
	struct dns_record r;

	g_assert_true(
		DECODE(HEADER("\1") "\1a\0\0\1\0\1\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\1\2\3\4", &r));
	g_assert_cmpmem(r.name, r.name_len, "\1a", 3);
	g_assert_true(DECODE(HEADER("\1") "\1a\0\0\1\0\1\0\0\x29\x10\0\0\0\0\0\0\0", &r));
	g_assert_cmpmem(r.name, r.name_len, "\1a", 3);
	g_assert_true(DECODE(HEADER("\1") "\1a\0\0\1\0\1\xc0", &r));
	g_assert_true(DECODE(HEADER("\2") "\1a\0\0\1\0\1\1b\0\0\1\0\1", &r));
	g_assert_cmpmem(r.name, r.name_len, "\1a", 3);
}

/* A name of labels of 63 octets and one of `last`, in a question. */
static size_t long_question(uint8_t *message, uint8_t last)
{
	size_t at = 12;

	memcpy(message, HEADER("\1"), 12);
	for (int i = 0; i < 3; i++) {
		message[at] = 63;
		memset(message + at + 1, 'a' + i, 63);
		at += 64;
	}
	message[at] = last;
	memset(message + at + 1, 'z', last);
	at += 1u + last;
	message[at++] = 0;
	memcpy(message + at, "\0\1\0\1", 4);
	return at + 4;
}

static void test_longest(void)
{
	uint8_t message[400];
	struct dns_record r;
	size_t size = long_question(message, 61);

	g_assert_true(dns_decode(message, size, &r));
	g_assert_cmpuint(r.name_len, ==, 255);
	g_assert_cmpmem(r.name, r.name_len, message + 12, 255);
	size = long_question(message, 62);
	g_assert_false(dns_decode(message, size, &r));
	assert_no_name(&r);
}

/* Wherever it is cut: never a part of a name. */
static void test_cut(void)
{
	static const char whole[] = HEADER("\1") "\3www\7example\3com\0\0\1\0\1";
	struct dns_record r;

	for (size_t n = 0; n < sizeof(whole) - 1; n++) {
		g_autofree uint8_t *exact = g_memdup2(whole, n ? n : 1);

		g_assert_false(dns_decode(exact, n, &r));
		assert_no_name(&r);
		g_assert_cmphex(r.id, ==, n < 12 ? 0 : 0x1234);
	}
}

static void test_malformed(void)
{
	struct dns_record r;

	/* a pointer to itself, forward, into the header; reserved label types (RFC 6891 5) */
	g_assert_false(DECODE(HEADER("\1") "\xc0\x0c\0\1\0\1", &r));
	assert_no_name(&r);
	g_assert_false(DECODE(HEADER("\1") "\1a\xc0\x20\0\1\0\1", &r));
	assert_no_name(&r);
	g_assert_false(DECODE(HEADER("\1") "\1a\xc0\x00\0\1\0\1", &r));
	g_assert_false(DECODE(HEADER("\1") "\x40\1\0\1\0\1", &r));
	g_assert_false(DECODE(HEADER("\1") "\x80zz\0\0\1\0\1", &r));
	/* a label that goes on behind the end */
	g_assert_false(DECODE(HEADER("\1") "\3ab", &r));
	assert_no_name(&r);
}

static void test_no_question(void)
{
	struct dns_record r;

	g_assert_true(DECODE(HEADER("\0"), &r));
	g_assert_cmphex(r.flags, ==, 0x8183);
	assert_no_name(&r);
	/* a query without question asks nothing */
	g_assert_false(DECODE("\x12\x34\x01\0\0\0\0\0\0\0\0\0", &r));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/dns/question", test_question);
	g_test_add_func("/dns/root", test_root);
	g_test_add_func("/dns/what-follows", test_what_follows);
	g_test_add_func("/dns/longest", test_longest);
	g_test_add_func("/dns/cut", test_cut);
	g_test_add_func("/dns/malformed", test_malformed);
	g_test_add_func("/dns/no-question", test_no_question);
	return g_test_run();
}

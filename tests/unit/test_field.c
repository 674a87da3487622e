/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "field.h"

/* Rows that lie in [begin, end) of struct flow_record, by octet: how many merge it. */
static void count_merges(uint8_t *merges, size_t begin, size_t end)
{
	for (size_t i = 0; i < field_count; i++) {
		const struct field *field = &field_table[i];

		if (field->merge == FIELD_MERGE_NONE || field_is_key(field))
			continue;
		if (field->offset < begin || field->offset >= end)
			continue;
		for (size_t j = 0; j < field->size; j++)
			merges[field->offset - begin + j]++;
	}
}

#define CHECK_COVERED(type, base, ...)                                                    \
	do {                                                                              \
		static const struct {                                                     \
			size_t offset, size;                                              \
		} padding[] = {__VA_ARGS__};                                              \
		uint8_t merges[sizeof(type)] = {0};                                       \
                                                                                          \
		for (size_t i = 0; i < G_N_ELEMENTS(padding); i++)                        \
			memset(merges + padding[i].offset, 1, padding[i].size);           \
		count_merges(merges, base, (base) + sizeof(type));                        \
		for (size_t i = 0; i < sizeof(type); i++)                                 \
			if (merges[i] != 1)                                               \
				g_error("octet %zu of " #type " is merged by %u rows", i, \
					merges[i]);                                       \
	} while (0)

/* A member of the kernel's metrics without a row would be lost, one with two rows counted twice. */
static void every_octet_is_merged_once(void)
{
	CHECK_COVERED(
		struct flow_metrics, offsetof(struct flow_record, metrics),
		{offsetof(struct flow_metrics, drops.pad), 3},
		{offsetof(struct flow_metrics, pad), sizeof(((struct flow_metrics *)0)->pad)});
	CHECK_COVERED(struct dns_record, offsetof(struct flow_record, dns), {0, 0});
}

static void every_octet_of_the_key_has_a_row(void)
{
	uint8_t rows[sizeof(struct flow_id)] = {0};

	memset(rows + offsetof(struct flow_id, pad), 1, sizeof(((struct flow_id *)0)->pad));
	for (size_t i = 0; i < field_count; i++)
		if (field_table[i].group == FIELD_GROUP_ID)
			memset(rows + field_table[i].offset, 1, field_table[i].size);
	for (size_t i = 0; i < sizeof(rows); i++)
		g_assert_cmpuint(rows[i], ==, 1);
}

static void names_and_ids(void)
{
	g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
	g_autoptr(GHashTable) ids = g_hash_table_new(g_int64_hash, g_int64_equal);
	g_autoptr(GHashTable) v9s = g_hash_table_new(NULL, NULL);
	g_autofree gint64 *keys = g_new(gint64, field_count);

	for (size_t i = 0; i < field_count; i++) {
		const struct field *field = &field_table[i];

		if (*field->name == '\0') {
			g_assert_true(field->id == 0 && field->v9 == 0);
			continue;
		}
		g_assert_true(field->id || field->v9);
		g_assert_cmpint(*field->description, !=, '\0');
		g_assert_true(g_hash_table_add(names, (char *)field->name));
		g_assert_true(field_by_name(field->name) == field);
		g_assert_cmpuint(field->id, <, field->pen == FIELD_OWN ? 16384 : 32768);
		keys[i] = (gint64)field->pen << 16 | field->id;
		if (field->id)
			g_assert_true(g_hash_table_add(ids, &keys[i]));
		/* ICMP and ICMPv6 share theirs; no record holds both, for they ask for a family */
		if (field->v9 && strcmp(field->name, "icmpTypeCodeIPv6") != 0)
			g_assert_true(g_hash_table_add(v9s, GUINT_TO_POINTER(field->v9)));
	}
	g_assert_null(field_by_name(""));
	g_assert_null(field_by_name("sourceipv4address"));
}

/* What plan.c and ipfix.c rely on. */
static void lengths_and_sizes(void)
{
	for (size_t i = 0; i < field_count; i++) {
		const struct field *field = &field_table[i];
		uint16_t size = field_type_size(field);

		if (*field->name == '\0')
			continue;
		if (field_is_number(field)) {
			g_assert_true(field->size == 1 || field->size == 2 || field->size == 4 ||
				      field->size == 8);
			g_assert_cmpuint(field->length, >=, 1);
			g_assert_cmpuint(field->length, <=, size);
		} else if (field->type == FIELD_STRING) {
			g_assert_cmpuint(field->length, ==, 0);
			g_assert_cmpuint(field->size, >, 1);
		} else {
			g_assert_cmpuint(field->length, >, 0);
			g_assert_true(size == 0 || size == field->length);
			g_assert_cmpuint(field->size, >=, field->length);
		}
	}
}

static void nearest(void)
{
	g_assert_cmpstr(field_nearest("sourceIPv4Adress")->name, ==, "sourceIPv4Address");
	g_assert_cmpstr(field_nearest("packetDeltacount")->name, ==, "packetDeltaCount");
	g_assert_null(field_nearest("zebra"));
}

static void in_v9(void)
{
	g_assert_cmpuint(field_in_v9(field_by_name("flowStartMilliseconds"))->v9, ==, 22);
	g_assert_cmpuint(field_in_v9(field_by_name("flowEndMilliseconds"))->v9, ==, 21);
	g_assert_cmpuint(field_in_v9(field_by_name("destinationTransportPort"))->v9, ==, 11);
	g_assert_cmpuint(field_in_v9(field_by_name("vlanId"))->v9, ==, 58);
	g_assert_null(field_in_v9(field_by_name("flowEndNanoseconds")));
	for (size_t i = 0; i < field_count; i++)
		if (field_table[i].pen == FIELD_OWN)
			g_assert_null(field_in_v9(&field_table[i]));
}

static void check_format(const struct flow_record *record, const char *name, const char *expected)
{
	char buf[64];

	g_assert_cmpstr(field_format(field_by_name(name), record, buf, sizeof(buf)), ==, expected);
}

static void format(void)
{
	struct flow_record record = {0};

	memcpy(record.id.src_addr, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16);
	memcpy(record.metrics.src_mac, "\x02\0\0\0\xab\xcd", 6);
	memcpy(record.mpls_label1, "\x12\x34\x51", 3);
	record.metrics.packets = UINT64_MAX;
	record.metrics.tcp_flags = 0x12;
	record.dns.id = 0xffff;
	strcpy(record.interface_name, "e\xff\n\xc3\xa4");
	check_format(&record, "sourceIPv6Address", "2001:db8::1");
	check_format(&record, "sourceIPv4Address", "32.1.13.184");
	check_format(&record, "sourceMacAddress", "02:00:00:00:ab:cd");
	check_format(&record, "mplsTopLabelStackSection", "123451");
	check_format(&record, "packetDeltaCount", "18446744073709551615");
	check_format(&record, "tcpControlBits", "18");
	check_format(&record, "interfaceName", "e??\xc3\xa4");
	check_format(&record, "dnsMessageId", "0"); /* has no DNS */
	record.has_dns = true;
	check_format(&record, "dnsMessageId", "65535");
}

/* Text that doesn't fit the buffer is cut, and stays text. */
static void format_short(void)
{
	struct flow_record record = {0};
	char buf[6];

	strcpy(record.dns_name, "www\xc3\xa4.example");
	g_assert_cmpstr(field_format(field_by_name("dnsQuestionName"), &record, buf, sizeof(buf)),
			==, "www\xc3\xa4");
	g_assert_cmpstr(field_format(field_by_name("dnsQuestionName"), &record, buf, 5), ==,
			"www?");
}

static void list(void)
{
	g_autofree char *text = NULL;
	g_auto(GStrv) lines = NULL;
	size_t size, n_names = 0;
	FILE *out = open_memstream(&text, &size);

	field_list(out, 4711);
	fclose(out);
	lines = g_strsplit(text, "\n", -1);
	for (size_t i = 0; i < field_count; i++)
		n_names += *field_table[i].name != '\0';
	g_assert_cmpuint(g_strv_length(lines), ==, n_names + 2);
	g_assert_true(g_regex_match_simple("^flowStartMilliseconds +- +152 +22 "
					   "+dateTimeMilliseconds +milliseconds +derived +first",
					   text, G_REGEX_MULTILINE, 0));
	g_assert_true(g_regex_match_simple("^dropCause +4711 +1 +- +unsigned32 +- +latest +reason",
					   text, G_REGEX_MULTILINE, 0));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/field/every_octet_is_merged_once", every_octet_is_merged_once);
	g_test_add_func("/field/every_octet_of_the_key_has_a_row",
			every_octet_of_the_key_has_a_row);
	g_test_add_func("/field/names_and_ids", names_and_ids);
	g_test_add_func("/field/lengths_and_sizes", lengths_and_sizes);
	g_test_add_func("/field/nearest", nearest);
	g_test_add_func("/field/in_v9", in_v9);
	g_test_add_func("/field/format", format);
	g_test_add_func("/field/format_short", format_short);
	g_test_add_func("/field/list", list);
	return g_test_run();
}

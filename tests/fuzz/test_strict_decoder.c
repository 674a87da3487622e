/* SPDX-License-Identifier: MIT */
/*
 * The decoder that judges the encoders notices what is wrong: the inputs of RFC 5471 3.6.4 to 3.6.7
 * (malformed templates and records, unknown sets), and every other rule that it holds a message to.
 */
#include "config.h"

#include <glib.h>
#include <string.h>

#include "strict_decoder.h"

#define MESSAGES_MAX 4

/* Messages are in hexadecimal, spaces don't matter. "10:" and "9:": a right header stands before.
 */
static const struct {
	const char *name;
	const char *messages[MESSAGES_MAX];
	const char *error; /* begins so, behind the number of the message; NULL: all is right */
} cases[] = {
	/* right ones first */
	{"ipfix", {"10:0 0002 000c 0100 0001 0008 0004 0100 0008 c0000201"}, NULL},
	{"ipfix-sequence",
	 {"10:0 0002 000c 0100 0001 0008 0004", "10:0 0100 000c c0000201 c0000202", "10:2"},
	 NULL},
	{"ipfix-variable",
	 {"10:0 0002 000c 0100 0001 0052 ffff 0100 0007 026162", "10:1 0100 0009 ff000161 00"},
	 NULL},
	{"ipfix-padding", {"10:0 0002 000c 0100 0001 0008 0004 0100 000b c0000201 000000"}, NULL},
	{"ipfix-options", {"10:0 0003 0012 0100 0002 0001 0095 0004 0022 0004"}, NULL},
	{"ipfix-withdrawal", {"10:0 0002 000c 0100 0001 0008 0004 0002 0008 0100 0000"}, NULL},
	{"netflow9", {"9:0:2 0000 000c 0100 0001 0008 0004 0100 0008 c0000201", "9:1:0"}, NULL},
	{"netflow9-padding",
	 {"9:0:2 0000 000e 0100 0001 0004 0001 0000 0100 0008 06000000"},
	 NULL},
	{"netflow9-options", {"9:0:1 0001 0014 0100 0004 0004 0001 0004 0022 0004 0000"}, NULL},

	/* RFC 5471 3.6.4: malformed templates */
	{"template-id", {"10:0 0002 000c 00ff 0001 0008 0004"}, "template id 255"},
	{"template-cut", {"10:0 0002 000c 0100 0002 0008 0004"}, "2 octets wanted, 0 left"},
	{"template-cut-enterprise", {"10:0 0002 000c 0100 0001 8008 0004"}, "4 octets wanted"},
	{"template-set-empty", {"10:0 0002 0004"}, "template set without template"},
	{"template-changed",
	 {"10:0 0002 000c 0100 0001 0008 0004", "10:0 0002 000c 0100 0001 000c 0004"},
	 "template 256 changed its meaning"},
	{"template-field-empty", {"10:0 0002 000c 0100 0001 0008 0000"}, "element 8: length 0"},
	{"template-no-field", {"9:0:1 0000 0008 0100 0000"}, "template 256: its records are empty"},
	{"template-too-long", {"10:0 0002 000c 0100 0001 0004 0002"}, "element 4: length 2"},
	{"template-reduced-address", {"10:0 0002 000c 0100 0001 0008 0003"}, "element 8: length 3"},
	{"template-variable-number", {"10:0 0002 000c 0100 0001 0001 ffff"}, "element 1: length"},
	{"template-variable-v9",
	 {"9:0:1 0000 000c 0100 0001 0052 ffff"},
	 "element 82: length 65535"},
	{"options-no-scope",
	 {"10:0 0003 000e 0100 0001 0000 0022 0004"},
	 "options template 256: 0 scope fields of 1"},
	{"options-too-many-scopes",
	 {"10:0 0003 000e 0100 0001 0002 0022 0004"},
	 "options template 256: 2 scope fields of 1"},
	{"options-no-scope-v9",
	 {"9:0:1 0001 000e 0100 0000 0004 0022 0004"},
	 "options template 256"},

	/* 3.6.5: malformed records and padding */
	{"data-empty", {"10:0 0002 000c 0100 0001 0008 0004 0100 0004"}, "data set 256 without"},
	{"data-short", {"10:0 0002 000c 0100 0001 0008 0004 0100 0007 c00002"}, "padding is not"},
	{"data-variable-cut",
	 {"10:0 0002 000c 0100 0001 0052 ffff 0100 0006 0361"},
	 "3 octets wanted, 1 left"},
	{"data-no-text",
	 {"10:0 0002 000c 0100 0001 0052 0002 0100 0006 ff61"},
	 "element 82: no UTF-8"},
	{"data-text-with-zero",
	 {"10:0 0002 000c 0100 0001 0052 0003 0100 0007 610062"},
	 "element 82"},
	{"padding-long-v9",
	 {"9:0:2 0000 000c 0100 0001 0004 0008 0100 0011 00000000 00000001 0000000000"},
	 "element 4: length 8"},
	{"padding-not-zero",
	 {"10:0 0002 000c 0100 0001 0008 0004 0100 000a c0000201 0001"},
	 "padding"},
	{"flow-backwards",
	 {"10:0 0002 0010 0100 0002 0098 0008 0099 0008 0100 0014 0000000000000002 "
	  "0000000000000001"},
	 "flow from 2 to 1"},
	{"flow-of-the-future",
	 {"10:0 0002 0010 0100 0002 0098 0008 0099 0008 0100 0014 0000000000000002 "
	  "0000ffffffffffff"},
	 "flow from 2 to"},
	{"octets-without-packets",
	 {"10:0 0002 0010 0100 0002 0001 0004 0002 0004 0100 000c 00000001 00000000"},
	 "octets without packets"},

	/* 3.6.6, 3.6.7: unknown and reserved sets */
	{"data-without-template", {"10:0 0100 0008 c0000201"}, "data set 256 before its template"},
	{"data-after-withdrawal",
	 {"10:0 0002 000c 0100 0001 0008 0004 0002 0008 0100 0000 0100 0008 c0000201"},
	 "data set 256 before its template"},
	{"set-reserved", {"10:0 0004 0008 c0000201"}, "set id 4 is reserved"},
	{"set-of-v9", {"10:0 0000 000c 0100 0001 0008 0004"}, "set id 0 is reserved"},
	{"set-of-ipfix", {"9:0:0 0002 000c 0100 0001 0008 0004"}, "set id 2 is reserved"},
	{"set-short", {"10:0 0100 0003"}, "set 256 of length 3"},
	{"set-long", {"10:0 0002 0010 0100 0001 0008 0004"}, "12 octets wanted, 8 left"},

	/* the message */
	{"empty", {""}, "2 octets wanted, 0 left"},
	{"version", {"0005 0010 00000000 00000000 00000001"}, "version 5"},
	{"header-cut", {"000a 000c 00000000 00000000"}, "4 octets wanted, 0 left"},
	{"length", {"000a 0011 00000000 00000000 00000001"}, "length 17, but 16 octets came"},
	{"sequence-gap", {"10:0", "10:1"}, "sequence 1, expected 0"},
	{"sequence-counts-templates",
	 {"10:0 0002 000c 0100 0001 0008 0004", "10:1"},
	 "sequence 1, expected 0"},
	{"sequence-v9", {"9:0:0", "9:0:0"}, "sequence 0, expected 1"},
	{"count-v9", {"9:0:1 0000 000c 0100 0001 0008 0004 0100 0008 c0000201"}, "count 1, but 2"},
};

static void put(GByteArray *out, uint64_t value, size_t size)
{
	while (size-- > 0) {
		uint8_t octet = (uint8_t)(value >> 8 * size);

		g_byte_array_append(out, &octet, 1);
	}
}

static void put_hex(GByteArray *out, const char *text)
{
	for (; *text; text++) {
		if (*text == ' ')
			continue;
		put(out, g_ascii_xdigit_value(text[0]) << 4 | g_ascii_xdigit_value(text[1]), 1);
		text++;
	}
}

/* "10:SEQUENCE BODY", "9:SEQUENCE:COUNT BODY", or all of it in hexadecimal */
static GByteArray *make_message(const char *text)
{
	GByteArray *out = g_byte_array_new();
	bool ipfix = g_str_has_prefix(text, "10:");
	const char *body = ipfix || g_str_has_prefix(text, "9:") ? strchr(text, ' ') : text;
	const char *sequence = strchr(text, ':');

	if (sequence) {
		put(out, ipfix ? 10 : 9, 2);
		put(out, ipfix ? 0 : strtoul(strrchr(text, ':') + 1, NULL, 10), 2);
		put(out, 1000, ipfix ? 4 : 8); /* export time; v9: uptime of 0 before it */
		put(out, strtoul(sequence + 1, NULL, 10), 4);
		put(out, 1, 4);
	}
	if (body)
		put_hex(out, body);
	if (ipfix) {
		out->data[2] = (uint8_t)(out->len >> 8);
		out->data[3] = (uint8_t)out->len;
	}
	return out;
}

static void test_case(const void *data)
{
	size_t i = GPOINTER_TO_SIZE(data);
	struct strict_decoder *decoder = strict_decoder_new(NULL, NULL);
	const char *error = cases[i].error;
	bool right = true;

	for (size_t m = 0; m < MESSAGES_MAX && cases[i].messages[m]; m++) {
		g_autoptr(GByteArray) message = make_message(cases[i].messages[m]);

		g_assert_true(right); /* only the last one is wrong */
		right = strict_decoder_message(decoder, message->data, message->len);
	}
	g_test_message("%s", strict_decoder_error(decoder));
	g_assert_true(right == (error == NULL));
	if (error) {
		const char *got = strstr(strict_decoder_error(decoder), ": ");

		g_assert_nonnull(got);
		g_assert_true(g_str_has_prefix(got + 2, error));
	}
	strict_decoder_free(decoder);
}

static void take_values(void *user, const struct strict_record *record)
{
	GString *text = user;

	g_string_append_printf(text, "%u%s", record->template_id, record->options ? "o" : "");
	for (unsigned int i = 0; i < record->n_values; i++) {
		const struct strict_value *v = &record->values[i];

		g_string_append_printf(text, " %u/%u%s=", v->enterprise, v->element,
				       v->scope ? "s" : "");
		for (size_t at = 0; at < v->length; at++)
			g_string_append_printf(text, "%02x", v->octets[at]);
	}
	g_string_append(text, "\n");
}

static void test_values(void)
{
	g_autoptr(GString) text = g_string_new(NULL);
	struct strict_decoder *decoder = strict_decoder_new(take_values, text);
	g_autoptr(GByteArray) message = make_message(
		"10:0 0002 0014 0100 0002 0008 0004 8001 ffff 00007ed9 0100 000d c0000201 03414243 "
		"00"
		" 0003 0012 0101 0002 0001 0095 0004 0022 0002 0101 000a 00000007 0001");

	g_assert_true(strict_decoder_message(decoder, message->data, message->len));
	g_assert_cmpstr(text->str, ==,
			"256 0/8=c0000201 32473/1=414243\n"
			"257o 0/149s=00000007 0/34=0001\n");
	g_assert_cmpuint(strict_decoder_counts(decoder)->records, ==, 2);
	g_assert_cmpuint(strict_decoder_counts(decoder)->options_records, ==, 1);
	g_assert_cmpuint(strict_decoder_counts(decoder)->templates, ==, 2);
	strict_decoder_free(decoder);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *path = g_strconcat("/strict-decoder/", cases[i].name, NULL);

		g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_case);
	}
	g_test_add_func("/strict-decoder/values", test_values);
	return g_test_run();
}

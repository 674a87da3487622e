/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <string.h>

#include "fixbuf.h"
#include "wire_fixture.h"

static const char *const templates[] = {"standard",   "minimal", "nfdump", "ntopng",
					"elastiflow", "cert",	 "full"};

/* Templates, options and a flow of each kind, as they go out. */
static void golden(gconstpointer data)
{
	g_autofree char *text = fixture_everything(data, ENCODER_IPFIX);
	g_autofree char *name = g_strdup_printf("ipfix-%s.hex", (const char *)data);

	fixture_golden(name, text);
}

/* libfixbuf writes the same octets for whole messages of any records of any template. */
static void same_as_libfixbuf(gconstpointer data)
{
	GRand *rand = g_rand_new_with_seed(20240229);
	g_autofree struct flow_record *records = g_new(struct flow_record, 3000);
	unsigned int n = 0, n_compared = 0;
	struct fixture fixture;
	struct fixbuf *fixbuf;

	fixture_init(&fixture, data, ENCODER_IPFIX, 1420);
	fixbuf = fixbuf_new(fixture.template, FIXTURE_PEN, 1420);
	for (int i = 0; i < 3000; i++) {
		struct flow_record *record = &records[n];

		fixture_random(record, rand);
		if (fixture.template->drops == TEMPLATE_DROPS_RECORD)
			record->metrics.drops.packets = 0; /* they would make two */
		n += encoder_append(fixture.encoder, record);
	}
	encoder_flush(fixture.encoder);
	g_assert_cmpuint(n, >, 2000);
	g_assert_cmpuint(fixture.messages->len, >, 50);
	for (unsigned int i = 0; i < fixture.messages->len; i++) {
		const struct message *message = fixture.messages->pdata[i];
		size_t size;
		const uint8_t *expected =
			fixbuf_encode(fixbuf, records + n_compared, message->n_records, &size);

		g_assert_cmpmem(message->body, message->size, expected, size);
		n_compared += message->n_records;
	}
	g_assert_cmpuint(n_compared, ==, n);
	fixbuf_free(fixbuf);
	fixture_clear(&fixture);
	g_rand_free(rand);
}

static const struct message *encode_one(struct fixture *fixture, const char *template,
					const struct flow_record *record)
{
	fixture_init(fixture, template, ENCODER_IPFIX, 1420);
	encoder_append(fixture->encoder, record);
	encoder_flush(fixture->encoder);
	g_assert_cmpuint(fixture->messages->len, ==, 1);
	return fixture->messages->pdata[0];
}

/* RFC 7011 6.2: what doesn't fit becomes the largest number, flags lose their high bits, more
 * octets than the value has are filled with zeros. */
static void reduced(void)
{
	static const char template[] = "records:\n"
				       "  - name: t\n"
				       "    fields:\n"
				       "      - {name: packetDeltaCount, length: 4}\n"
				       "      - {name: octetDeltaCount, length: 3}\n"
				       "      - {name: tcpControlBits, length: 1}\n"
				       "      - {name: minimumIpTotalLength, length: 8}\n";
	struct flow_record record;
	struct fixture fixture;
	const struct message *message;

	fixture_tcp4(&record);
	record.metrics.packets = (1ull << 32) + 5;
	record.metrics.bytes = 0x00fffffe;
	message = encode_one(&fixture, template, &record);
	g_assert_cmpmem(message->body + 4, message->size - 4,
			"\xff\xff\xff\xff\xff\xff\xfe\x1b\0\0\0\0\0\0\0\x28", 16);
	g_assert_cmpuint(message->n_packets, ==, (1ull << 32) + 5);
	fixture_clear(&fixture);
}

/* RFC 7011 6.1.10: NTP format. 1700003594.999000500 s after 1970. */
static void nanoseconds(void)
{
	static const char template[] = "records:\n"
				       "  - name: t\n"
				       "    fields: [flowStartNanoseconds]\n";
	struct flow_record record;
	struct fixture fixture;
	const struct message *message;
	uint64_t ntp = 0;

	fixture_tcp4(&record);
	message = encode_one(&fixture, template, &record);
	for (int i = 4; i < 12; i++)
		ntp = ntp << 8 | message->body[i];
	g_assert_cmpuint(ntp >> 32, ==, record.start_ns / NSEC_PER_SEC + 2208988800);
	/* the fraction, back to nanoseconds */
	ntp = (ntp & UINT32_MAX) * NSEC_PER_SEC >> 32;
	g_assert_cmpuint(ntp, ==, record.start_ns % NSEC_PER_SEC);
	fixture_clear(&fixture);
}

/* Strings: both forms of the length, valid UTF-8, cut between characters, never too long for the
 * message. */
static void strings(void)
{
	static const char template[] = "records:\n"
				       "  - name: t\n"
				       "    fields: [dnsQuestionName]\n";
	static const char fixed[] = "records:\n"
				    "  - name: t\n"
				    "    fields: [{name: dnsQuestionName, length: 4}]\n";
	static const unsigned int lengths[] = {0, 1, 254, 255, 256, 1023};
	struct flow_record record;
	struct fixture fixture;
	const struct message *message;

	fixture_dns6(&record);
	for (size_t i = 0; i < G_N_ELEMENTS(lengths); i++) {
		unsigned int prefix = lengths[i] < 255 ? 1 : 3;

		memset(record.dns_name, 'x', lengths[i]);
		record.dns_name[lengths[i]] = '\0';
		message = encode_one(&fixture, template, &record);
		g_assert_cmpuint(message->size, ==, 4 + prefix + lengths[i]);
		g_assert_cmpuint(message->body[4], ==, MIN(lengths[i], 255));
		fixture_clear(&fixture);
	}
	strcpy(record.dns_name, "a\xff\xc3\xa4");
	message = encode_one(&fixture, template, &record);
	g_assert_cmpmem(message->body + 4, message->size - 4,
			"\x04"
			"a?\xc3\xa4",
			5);
	fixture_clear(&fixture);
	strcpy(record.dns_name, "abc\xc3\xa4");
	message = encode_one(&fixture, fixed, &record);
	g_assert_cmpmem(message->body + 4, message->size - 4, "abc\0", 4);
	fixture_clear(&fixture);
}

/* DNS fields of a flow without DNS are zeros, whatever lies there. */
static void no_dns(void)
{
	static const char template[] = "records:\n"
				       "  - name: t\n"
				       "    fields: [dnsMessageId, dnsLatencySumMicroseconds]\n";
	struct flow_record record;
	struct fixture fixture;
	const struct message *message;

	fixture_tcp4(&record);
	memset(&record.dns, 0xaa, sizeof(record.dns));
	message = encode_one(&fixture, template, &record);
	g_assert_cmpmem(message->body + 4, message->size - 4, "\0\0\0\0\0\0\0\0\0\0", 10);
	fixture_clear(&fixture);
}

/* drops: record: the flow by its own counters and status, then what was dropped of it. */
static void drop_records(void)
{
	static const char template[] =
		"drops: record\n"
		"records:\n"
		"  - name: drop\n"
		"    match: [drop]\n"
		"    fields: [{name: packetDeltaCount, length: 2}, forwardingStatus]\n"
		"  - name: flow\n"
		"    fields: [{name: packetDeltaCount, length: 2}, forwardingStatus]\n";
	struct flow_record record;
	struct fixture fixture;
	const struct message *message;

	fixture_tcp4(&record);
	message = encode_one(&fixture, template, &record);
	g_assert_cmpmem(message->body, message->size,
			"\x01\x01\0\x07\0\x05\x40"
			"\x01\0\0\x07\0\x02\x82",
			14);
	g_assert_cmpuint(message->n_records, ==, 2);
	g_assert_cmpuint(message->n_flows, ==, 1);
	g_assert_cmpuint(message->n_packets, ==, 5);
	g_assert_cmpuint(message->n_octets, ==, 1234);
	fixture_clear(&fixture);

	/* a flow of which nothing passed has no record of its own */
	record.metrics.packets = record.metrics.bytes = 0;
	message = encode_one(&fixture, template, &record);
	g_assert_cmpmem(message->body, message->size, "\x01\0\0\x07\0\x02\x82", 7);
	g_assert_cmpuint(message->n_flows, ==, 1);
	fixture_clear(&fixture);
}

/* Messages of every size are full as far as records go, whole, and none is empty. */
static void fill(void)
{
	GRand *rand = g_rand_new_with_seed(7);

	for (uint32_t size = 600; size < 700; size += 7) {
		uint64_t n_packets = 0, packets = 0;
		struct fixture fixture;
		char *text;

		fixture_init(&fixture, "full", ENCODER_IPFIX, size);
		for (int i = 0; i < 200; i++) {
			struct flow_record record;

			fixture_random(&record, rand);
			record.metrics.packets >>= 1; /* the top bit is not counted */
			packets += record.metrics.packets;
			g_assert_true(encoder_append(fixture.encoder, &record));
		}
		encoder_flush(fixture.encoder);
		encoder_flush(fixture.encoder);
		for (unsigned int i = 0; i < fixture.messages->len; i++) {
			const struct message *message = fixture.messages->pdata[i];

			g_assert_cmpuint(message->size + 16, <=, size);
			g_assert_cmpuint(message->n_records, >, 0);
			n_packets += message->n_packets;
		}
		g_assert_cmpuint(n_packets, ==, packets);
		for (unsigned int i = 0; i < encoder_templates(fixture.encoder)->len; i++) {
			struct message *message = encoder_templates(fixture.encoder)->pdata[i];

			g_assert_cmpuint(message->size + 16, <=, size);
			g_ptr_array_insert(fixture.messages, i, message_ref(message));
		}
		text = fixture_dump(&fixture, fixture.messages);
		g_free(text);
		fixture_clear(&fixture);
	}
	g_rand_free(rand);
}

/* Long tables are spread over messages; every row is there, and counted. */
static void many_options(gconstpointer data)
{
	enum encoder_format format = GPOINTER_TO_INT(data);
	const char *template = format == ENCODER_IPFIX ? "full" : "standard";
	/* IPFIX: 2 x sampling, 3 x statistics, boot, flow keys of each record; NetFlow v9: 2 x
	 * sampling, statistics */
	unsigned int expected = format == ENCODER_IPFIX ? 6 + 203 + 500 : 3 + 202;
	unsigned int n_records = 0;
	g_autoptr(GPtrArray) messages = NULL;
	struct options options;
	struct fixture fixture;

	fixture_init(&fixture, template, format, 600);
	if (format == ENCODER_IPFIX)
		expected += fixture.template->records->len;
	fixture_options(&options);
	for (unsigned int i = 0; i < 200; i++) {
		struct options_interface interface = {.ifindex = 1000 + i};

		g_snprintf(interface.name, sizeof(interface.name), "ppp%u", i);
		g_array_append_val(options.interfaces, interface);
	}
	for (unsigned int i = options.drop_reasons->len; i < 500; i++) {
		struct options_drop_reason reason = {.cause = i, .name = "REASON"};

		g_array_append_val(options.drop_reasons, reason);
	}
	messages = encoder_options(fixture.encoder, &options);
	for (unsigned int i = 0; i < messages->len; i++) {
		const struct message *message = messages->pdata[i];

		g_assert_cmpint(message->kind, ==, MESSAGE_OPTIONS);
		g_assert_cmpuint(message->size + (format == ENCODER_IPFIX ? 16 : 20), <=, 600);
		g_assert_cmpuint(message->n_sequence, ==,
				 format == ENCODER_IPFIX ? message->n_records : 1);
		g_assert_cmpuint(message->n_flows, ==, 0);
		n_records += message->n_records;
	}
	g_assert_cmpuint(n_records, ==, expected);
	options_clear(&options);
	fixture_clear(&fixture);
}

/* RFC 7011 4.4: which fields of each template are the key. */
static void flow_keys(void)
{
	static const char template[] =
		"common: [flowStartMilliseconds, flowEndMilliseconds, protocolIdentifier]\n"
		"records:\n"
		"  - {name: a, match: [ipv4], fields: [sourceIPv4Address, packetDeltaCount, "
		"destinationTransportPort]}\n"
		"  - {name: b, fields: [octetDeltaCount, tcpControlBits, ethernetType]}\n";
	g_autoptr(GPtrArray) messages = NULL;
	struct options options;
	struct fixture fixture;
	const struct message *last;

	fixture_init(&fixture, template, ENCODER_IPFIX, 1420);
	options_init(&options);
	messages = encoder_options(fixture.encoder, &options);
	last = messages->pdata[messages->len - 1];
	g_assert_cmpuint(last->size, >, 20);
	g_assert_cmpmem(last->body + last->size - 20, 20,
			"\x01\x00\0\0\0\0\0\0\0\x25"
			"\x01\x01\0\0\0\0\0\0\0\x24",
			20);
	options_clear(&options);
	fixture_clear(&fixture);
}

/* RFC 5610: the types of our elements come before the first template that has them. */
static void types_come_first(void)
{
	struct fixture fixture;
	bool seen_template = false;
	unsigned int n_types = 0, n_own = 0;

	fixture_init(&fixture, "full", ENCODER_IPFIX, 1420);
	for (unsigned int i = 0; i < encoder_templates(fixture.encoder)->len; i++) {
		const struct message *message = encoder_templates(fixture.encoder)->pdata[i];

		seen_template |= message->kind == MESSAGE_TEMPLATES;
		if (message->kind != MESSAGE_OPTIONS)
			continue;
		g_assert_false(seen_template);
		n_types += message->n_sequence;
	}
	for (size_t i = 0; i < field_count; i++)
		n_own += field_table[i].pen == FIELD_OWN;
	g_assert_cmpuint(n_types, ==, n_own);
	fixture_clear(&fixture);
}

/* A record that can't fit is refused when the encoder is made. */
static void too_large(void)
{
	struct template *template = fixture_template("full", ENCODER_IPFIX, 0);
	struct encoder_config config = {.format = ENCODER_IPFIX,
					.template = template,
					.enterprise_number = FIXTURE_PEN,
					.max_message_size = 200};
	g_autoptr(GError) error = NULL;

	g_assert_null(encoder_new(&config, &error));
	g_assert_nonnull(strstr(error->message, "room for 180"));
	template_free(template);
}

static void add(const char *what, const char *template, GTestDataFunc func)
{
	g_autofree char *path = g_strdup_printf("/ipfix/%s/%s", what, template);

	g_test_add_data_func(path, template, func);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(templates); i++) {
		add("golden", templates[i], golden);
		add("same_as_libfixbuf", templates[i], same_as_libfixbuf);
	}
	g_test_add_func("/ipfix/reduced", reduced);
	g_test_add_func("/ipfix/nanoseconds", nanoseconds);
	g_test_add_func("/ipfix/strings", strings);
	g_test_add_func("/ipfix/no_dns", no_dns);
	g_test_add_func("/ipfix/drop_records", drop_records);
	g_test_add_func("/ipfix/fill", fill);
	g_test_add_func("/ipfix/too_large", too_large);
	g_test_add_func("/ipfix/types_come_first", types_come_first);
	g_test_add_func("/ipfix/flow_keys", flow_keys);
	g_test_add_data_func("/ipfix/many_options", GINT_TO_POINTER(ENCODER_IPFIX), many_options);
	g_test_add_data_func("/netflow9/many_options", GINT_TO_POINTER(ENCODER_NETFLOW9),
			     many_options);
	return g_test_run();
}

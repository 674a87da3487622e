/* SPDX-License-Identifier: MIT */
/*
 * Flows with any content, encoded by a template of the source tree, through the strict decoder:
 * every value comes back, in order, and nothing else. The input chooses template, format, size of
 * messages, and octets of key, metrics and DNS as the kernel would give them.
 */
#include "config.h"

#include <glib.h>

#include "encoder.h"
#include "fuzz.h"
#include "options.h"
#include "session.h"
#include "template.h"

#define PEN	    32473u
#define EXPORT_S    1700000000u
#define UP_S	    10000000ull /* 115 days: more milliseconds than 32 bits hold */
#define DAY_NS	    (86400 * NSEC_PER_SEC)
#define NTP_OFFSET  2208988800u
#define RECORDS_MAX 64

static const char *const names[] = {"cert",   "elastiflow", "full",    "minimal",
				    "nfdump", "ntopng",	    "standard"};
static const uint16_t sizes[] = {1420, 512, 1500, 9000, 65535};

/* A record that must come back. */
struct expected {
	const struct template_record *form;
	struct flow_record record;
};

struct world {
	struct session session;
	struct template *template;
	struct encoder *encoder;
	GQueue expected; /* struct expected, owned */
	char interface[RECORD_INTERFACE_NAME_MAX];
	char drop_cause[RECORD_DROP_NAME_MAX];
	struct record_drop_cause cause;
};

static uint64_t read_number(const struct strict_value *value)
{
	uint64_t number = 0;

	for (size_t i = 0; i < value->length; i++)
		number = number << 8 | value->octets[i];
	return number;
}

static uint64_t fitting(uint64_t number, size_t length, bool flags)
{
	uint64_t max = length < 8 ? (1ull << 8 * length) - 1 : UINT64_MAX;

	return flags ? number & max : MIN(number, max);
}

/* As much of the text as there is room for; ASCII comes through as it is. */
static void check_text(const struct strict_value *value, const char *text, size_t size)
{
	size_t length = strnlen(text, size);
	size_t got = strnlen((const char *)value->octets, value->length);

	g_assert_true(g_utf8_validate_len((const char *)value->octets, got, NULL));
	for (size_t i = got; i < value->length; i++)
		g_assert_cmpint(value->octets[i], ==, 0);
	g_assert_cmpuint(got, <=, length);
	if (!value->variable && length <= value->length)
		g_assert_cmpuint(got, ==, length);
	for (size_t i = 0; i < got; i++)
		if (g_ascii_isprint(text[i]))
			g_assert_cmpint(value->octets[i], ==, text[i]);
}

static void check_value(const struct strict_record *got, const struct strict_value *value,
			const struct field *field, const struct flow_record *record)
{
	const uint8_t *at = (const uint8_t *)record + field->offset;
	uint64_t number = value->length <= 8 ? read_number(value) : 0;

	switch (field->type) {
	case FIELD_IPV4:
	case FIELD_IPV6:
	case FIELD_MAC:
	case FIELD_OCTETS:
		g_assert_cmpmem(value->octets, value->length, at,
				field->size < value->length ? field->size : value->length);
		break;
	case FIELD_STRING:
		check_text(value, (const char *)at, field->size);
		break;
	case FIELD_UPTIME:
		g_assert_cmpint(got->boot_ms + (int64_t)number, ==, field_number(field, record));
		break;
	case FIELD_NSEC: {
		uint64_t ns = ((number >> 32) - NTP_OFFSET) * NSEC_PER_SEC +
			      (((number & UINT32_MAX) * NSEC_PER_SEC) >> 32);

		g_assert_cmpuint(ns, ==, field_number(field, record));
		break;
	}
	default:
		g_assert_cmpuint(number, ==,
				 fitting(field_number(field, record), value->length,
					 field->merge == FIELD_MERGE_OR));
	}
}

static void take_record(void *user, const struct strict_record *got)
{
	struct world *world = user;
	g_autofree struct expected *expected = NULL;
	bool v9 = world->session.format == ENCODER_NETFLOW9;

	if (got->options)
		return;
	expected = g_queue_pop_head(&world->expected);
	g_assert_nonnull(expected);
	g_assert_cmpuint(got->template_id, ==, expected->form->id);
	g_assert_cmpuint(got->n_values, ==, expected->form->n_fields);
	for (unsigned int i = 0; i < got->n_values; i++) {
		const struct strict_value *value = &got->values[i];
		const struct template_field *wanted = &expected->form->fields[i];

		g_assert_cmpuint(value->element, ==, v9 ? wanted->field->v9 : wanted->field->id);
		g_assert_cmpuint(value->enterprise, ==, v9 ? 0 : field_pen(wanted->field, PEN));
		if (wanted->length != FIELD_VARIABLE)
			g_assert_cmpuint(value->length, ==, wanted->length);
		check_value(got, value, wanted->field, &expected->record);
	}
}

static void expect(struct world *world, const struct template_record *form,
		   const struct flow_record *record)
{
	struct expected *expected = g_new(struct expected, 1);

	expected->form = form;
	expected->record = *record;
	g_queue_push_tail(&world->expected, expected);
}

/* Where drops are records of their own (template.h) a flow may make two. */
static void expect_records(struct world *world, const struct flow_record *record)
{
	const struct template_record *form = template_match_flow(world->template, record);
	const struct template_record *drops = template_match_drops(world->template, record);
	struct flow_record part = *record;

	if (world->template->drops == TEMPLATE_DROPS_RECORD && record->metrics.drops.packets) {
		part.metrics.drops = (struct pkt_drops){0};
		part.drop_cause_name[0] = '\0';
		part.forwarding_status = FORWARDING_STATUS_FORWARDED;
		part.flow_verdict = FLOW_VERDICT_PASSED;
		if (!record->metrics.packets && !record->has_dns && drops)
			form = NULL;
	}
	if (form)
		expect(world, form, &part);
	part = *record;
	part.metrics.packets = record->metrics.drops.packets;
	part.metrics.bytes = record->metrics.drops.bytes;
	if (drops)
		expect(world, drops, &part);
}

static uint32_t interface_name(void *user, uint8_t netns, uint32_t ifindex, uint16_t vlan,
			       uint16_t inner_vlan, char *name)
{
	const struct world *world = user;

	if (name)
		memcpy(name, world->interface, sizeof(world->interface));
	return ifindex;
}

static const struct record_drop_cause *drop_cause(void *user, uint32_t cause)
{
	struct world *world = user;

	world->cause.name = world->drop_cause;
	world->cause.forwarding_status = record_forwarding_status(world->drop_cause);
	return &world->cause;
}

/* What no metering gives: flows of the future, that end before they begin, octets of no packet. */
static void make_possible(struct flow_record *record, uint64_t now_ns)
{
	struct flow_metrics *m = &record->metrics;

	m->end_ns = now_ns - m->end_ns % (10 * DAY_NS);
	m->start_ns = m->end_ns - m->start_ns % (10 * DAY_NS);
	if (!m->packets)
		m->bytes = 0;
	if (!m->drops.packets)
		m->drops.bytes = 0;
}

/* Octets into places of the record, as long as there are any. */
static void read_record(struct input *in, struct flow_record *record)
{
	unsigned int n = input_u8(in) % 16;
	struct {
		struct flow_id id;
		struct flow_metrics metrics;
		struct dns_record dns;
	} raw = {.id = {.eth_proto = 0x800, .protocol = 6}, .metrics = {.packets = 1, .bytes = 40}};

	memset(record, 0, sizeof(*record));
	record->has_dns = input_u8(in) & 1;
	record->end_reason = input_u8(in) % 6;
	while (n-- > 0) {
		size_t at = input_u16(in) % sizeof(raw);
		size_t size = input_u8(in);

		input_octets(in, (uint8_t *)&raw + at, MIN(size, sizeof(raw) - at));
	}
	record->id = raw.id;
	record->metrics = raw.metrics;
	record->dns = raw.dns;
}

static void send_options(struct world *world, struct input *in)
{
	struct options_interface interface = {.ifindex = input_u8(in), .netns = input_u8(in) & 1};
	struct options_drop_reason reason = {.cause = input_u8(in)};
	g_autoptr(GPtrArray) messages = NULL;
	struct options options;

	input_octets(in, world->interface, sizeof(world->interface) - 1);
	input_octets(in, world->drop_cause, input_u8(in) % sizeof(world->drop_cause));
	options_init(&options);
	options.domain = world->session.header.domain;
	memcpy(interface.name, world->interface, sizeof(world->interface));
	memcpy(interface.description, world->drop_cause, sizeof(interface.description));
	memcpy(reason.name, world->drop_cause, sizeof(reason.name));
	g_array_append_val(options.interfaces, interface);
	g_array_append_val(options.drop_reasons, reason);
	messages = encoder_options(world->encoder, &options);
	session_send_all(&world->session, messages);
	options_clear(&options);
}

static void send_records(struct world *world, struct input *in)
{
	const struct record_resolver resolver = {interface_name, drop_cause, world};
	const struct clock_now now = {UP_S * NSEC_PER_SEC, UP_S * NSEC_PER_SEC,
				      EXPORT_S * NSEC_PER_SEC};
	struct flow_record record;

	for (unsigned int i = 0; in->left > 0 && i < RECORDS_MAX; i++) {
		read_record(in, &record);
		make_possible(&record, now.mono_ns);
		record_derive(&record, &now, &resolver);
		expect_records(world, &record);
		encoder_append(world->encoder, &record);
	}
	encoder_flush(world->encoder);
	g_assert_true(g_queue_is_empty(&world->expected));
}

/* Read once each. NULL: not for this format or size. */
static struct template *find_template(unsigned int which, enum encoder_format format,
				      unsigned int size)
{
	static struct template *templates[G_N_ELEMENTS(names)][2][G_N_ELEMENTS(sizes)];
	static bool tried[G_N_ELEMENTS(names)][2][G_N_ELEMENTS(sizes)];
	const char *source = g_getenv("BPFLOWD_SRC");
	g_autofree char *path = NULL;
	struct yaml_errors errors;

	if (tried[which][format][size])
		return templates[which][format][size];
	tried[which][format][size] = true;
	path = g_strdup_printf("%s/templates/%s.yaml", source ? source : ".", names[which]);
	g_assert_true(g_file_test(path, G_FILE_TEST_EXISTS));
	yaml_errors_init(&errors, path);
	templates[which][format][size] = template_load(path, format, sizes[size], &errors);
	yaml_errors_clear(&errors);
	return templates[which][format][size];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct world world = {.expected = G_QUEUE_INIT};
	unsigned int which = input_u8(&in) % G_N_ELEMENTS(names);
	uint8_t choice = input_u8(&in);
	unsigned int chosen_size = (choice >> 1) % G_N_ELEMENTS(sizes);
	struct encoder_config config = {.enterprise_number = PEN,
					.max_message_size = sizes[chosen_size],
					.boot_real_ms = (EXPORT_S - UP_S) * 1000,
					.emit = session_send,
					.user = &world.session};
	GError *error = NULL;

	world.session.format = config.format = choice & 1 ? ENCODER_NETFLOW9 : ENCODER_IPFIX;
	world.session.max_size = config.max_message_size;
	world.session.header = (struct message_header){
		.export_time_s = EXPORT_S,
		.sequence = UINT32_MAX - 3, /* wraps */
		.domain = input_u8(&in),
		.uptime_ms = (uint32_t)(UP_S * 1000),
	};
	world.template = find_template(which, config.format, chosen_size);
	if (!world.template)
		return 0;
	config.template = world.template;
	world.encoder = encoder_new(&config, &error);
	g_assert_no_error(error);
	world.session.decoder = strict_decoder_new(take_record, &world);
	session_send_all(&world.session, encoder_templates(world.encoder));
	send_options(&world, &in);
	send_records(&world, &in);
	strict_decoder_free(world.session.decoder);
	encoder_free(world.encoder);
	return 0;
}

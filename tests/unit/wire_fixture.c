/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "wire_fixture.h"

#include <glib/gstdio.h>
#include <string.h>

#include "log.h"
#include "yaml.h"

static char *source_path(const char *folder, const char *name)
{
	const char *top = g_getenv("BPFLOWD_SRC");

	return g_build_filename(top ? top : TOP_SRCDIR, folder, name, NULL);
}

static char *write_text(const char *text)
{
	char *path = NULL;
	int fd = g_file_open_tmp("template-XXXXXX.yaml", &path, NULL);

	g_assert_cmpint(fd, >=, 0);
	g_assert_true(g_file_set_contents(path, text, -1, NULL));
	g_close(fd, NULL);
	return path;
}

struct template *fixture_template(const char *name, enum encoder_format format,
				  uint32_t max_message_size)
{
	bool is_text = strchr(name, '\n');
	g_autofree char *file = g_strconcat(name, ".yaml", NULL);
	g_autofree char *path = is_text ? write_text(name) : source_path("templates", file);
	struct template *template;
	struct yaml_errors errors;

	yaml_errors_init(&errors, path);
	template = template_load(path, format, max_message_size, &errors);
	for (unsigned int i = 0; i < errors.messages->len; i++)
		g_test_message("%s", (char *)errors.messages->pdata[i]);
	g_assert_nonnull(template);
	yaml_errors_clear(&errors);
	if (is_text)
		g_remove(path);
	return template;
}

static void take(void *user, struct message *message)
{
	g_ptr_array_add(user, message);
}

void fixture_init(struct fixture *fixture, const char *template, enum encoder_format format,
		  uint32_t max_message_size)
{
	struct encoder_config config = {
		.format = format,
		.enterprise_number = FIXTURE_PEN,
		.max_message_size = max_message_size,
		.boot_real_ms = FIXTURE_BOOT_MS,
		.emit = take,
	};
	GError *error = NULL;

	fixture->template = fixture_template(template, format, max_message_size);
	fixture->format = format;
	fixture->messages = g_ptr_array_new_with_free_func((GDestroyNotify)message_unref);
	config.template = fixture->template;
	config.user = fixture->messages;
	fixture->encoder = encoder_new(&config, &error);
	g_assert_no_error(error);
}

void fixture_clear(struct fixture *fixture)
{
	encoder_free(fixture->encoder);
	template_free(fixture->template);
	g_ptr_array_unref(fixture->messages);
}

static void fill_common(struct flow_record *record)
{
	memset(record, 0, sizeof(*record));
	record->id.ifindex = 3;
	record->id.vlan = 100;
	record->metrics.packets = 5;
	record->metrics.bytes = 1234;
	record->metrics.src_mac[0] = 2;
	record->metrics.src_mac[5] = 1;
	record->metrics.dst_mac[0] = 2;
	record->metrics.dst_mac[5] = 2;
	record->start_ms = FIXTURE_EXPORT_S * 1000ull - 5001;
	record->end_ms = FIXTURE_EXPORT_S * 1000ull - 1002;
	record->start_ns = record->start_ms * NSEC_PER_MSEC + 500;
	record->end_ns = record->end_ms * NSEC_PER_MSEC + 999999;
	record->ingress_ifindex = 3;
	record->egress_ifindex = 4;
	record->end_reason = FLOW_END_IDLE;
	record->forwarding_status = FORWARDING_STATUS_FORWARDED;
	record->flow_verdict = FLOW_VERDICT_PASSED;
	g_strlcpy(record->interface_name, "eth0", sizeof(record->interface_name));
}

static void fill_ip(struct flow_record *record, uint8_t version, uint8_t protocol)
{
	record->ip_version = version;
	record->id.eth_proto = version == 4 ? 0x0800 : 0x86dd;
	record->id.protocol = protocol;
	record->metrics.min_ttl = 63;
	record->metrics.max_ttl = 64;
	record->metrics.min_len = 40;
	record->metrics.max_len = 1000;
}

void fixture_tcp4(struct flow_record *record)
{
	fill_common(record);
	fill_ip(record, 4, 6);
	memcpy(record->id.src_addr, "\xc0\x00\x02\x01", 4);
	memcpy(record->id.dst_addr, "\xc6\x33\x64\x02", 4);
	record->id.src_port = 40000;
	record->id.dst_port = record->dst_port = 443;
	record->metrics.tcp_flags = 0x11b; /* NS, ACK, PSH, SYN, FIN: more than 8 bits */
	record->metrics.rtt = (struct flow_rtt){2500, 300, 2700, 2400};
	record->client_latency_ms = 1;
	record->server_latency_ms = 2;
	record->client_latency_us = 300;
	record->server_latency_us = 2500;
	record->reverse_delta_ms = 3;
	record->metrics.drops = (struct pkt_drops){2, 80, 6, 1};
	record->forwarding_status = 130;
	record->flow_verdict = FLOW_VERDICT_DROPPED;
	g_strlcpy(record->drop_cause_name, "NETFILTER_DROP", sizeof(record->drop_cause_name));
	record->metrics.mpls[0] = 0x12345140;
	memcpy(record->mpls_label1, "\x12\x34\x51", 3);
}

void fixture_dns6(struct flow_record *record)
{
	fill_common(record);
	fill_ip(record, 6, 17);
	memcpy(record->id.src_addr, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16);
	memcpy(record->id.dst_addr, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02", 16);
	record->id.src_port = 53535;
	record->id.dst_port = record->dst_port = 53;
	record->id.direction = FLOW_EGRESS;
	record->has_dns = true;
	record->dns = (struct dns_record){
		.latency_sum_us = 12345,
		.latency_us = 12345,
		.latency_min_us = 12345,
		.latency_max_us = 12345,
		.responses = 1,
		.id = 0xbeef,
		.flags = 0x8183,
		.query_type = 28,
	};
	record->dns_rcode = 3;
	record->dns_type8 = 28;
	record->appl_latency_ms = 13;
	record->appl_latency_us = 12345;
	g_strlcpy(record->dns_name, "www.example.org", sizeof(record->dns_name));
}

void fixture_icmp4(struct flow_record *record)
{
	fill_common(record);
	fill_ip(record, 4, 1);
	memcpy(record->id.src_addr, "\xc0\x00\x02\x01", 4);
	memcpy(record->id.dst_addr, "\xc6\x33\x64\x02", 4);
	record->id.dst_port = record->icmp_type_code4 = 3 * 256 + 4;
}

void fixture_arp(struct flow_record *record)
{
	fill_common(record);
	record->id.eth_proto = 0x0806;
}

/* Any bytes at all, as far as a record may hold them. */
void fixture_random(struct flow_record *record, GRand *rand)
{
	static const uint8_t versions[] = {4, 4, 6, 6, 0};
	static const uint8_t protocols[] = {1, 6, 17, 58, 132};
	uint8_t *bytes = (uint8_t *)record;
	size_t name_length = g_rand_int_range(rand, 0, 300);

	for (size_t i = 0; i < sizeof(*record); i++)
		bytes[i] = g_rand_int(rand);
	record->ip_version = versions[g_rand_int_range(rand, 0, G_N_ELEMENTS(versions))];
	record->id.protocol = protocols[g_rand_int_range(rand, 0, G_N_ELEMENTS(protocols))];
	record->has_dns = g_rand_boolean(rand);
	record->start_ms = FIXTURE_BOOT_MS + g_rand_int(rand) / 2;
	record->end_ms = record->start_ms + g_rand_int_range(rand, 0, 100000);
	record->start_ns = record->start_ms * NSEC_PER_MSEC;
	record->end_ns = record->end_ms * NSEC_PER_MSEC;
	for (size_t i = 0; i < name_length; i++)
		record->dns_name[i] = g_rand_int_range(rand, 1, 256);
	record->dns_name[name_length] = '\0';
	if (g_rand_boolean(rand))
		record->metrics.drops.packets = 0;
}

void fixture_options(struct options *options)
{
	struct options_interface interfaces[] = {
		{3, 0, "eth0", "uplink"},
		{4, 0, "eth1", ""},
		{3, 1, "veth0", "of a namespace"},
	};
	struct options_drop_reason reasons[] = {{2, "NOT_SPECIFIED"}, {6, "NETFILTER_DROP"}};

	options_init(options);
	options->domain = FIXTURE_DOMAIN;
	options->sampling_interval = 100;
	options->boot_real_ms = FIXTURE_BOOT_MS;
	options->exported_messages = 11;
	options->exported_octets = 12;
	options->exported_flows = 13;
	options->observed_flows = 14;
	options->ignored_packets = 15;
	options->ignored_octets = 16;
	options->not_sent_flows = 17;
	options->not_sent_packets = 18;
	options->not_sent_octets = 19;
	g_array_append_vals(options->interfaces, interfaces, G_N_ELEMENTS(interfaces));
	g_array_append_vals(options->drop_reasons, reasons, G_N_ELEMENTS(reasons));
}

/* What a reader knows of one template. */
struct known {
	unsigned int n_fields;
	struct {
		uint16_t id, length;
		uint32_t pen;
		bool scope;
	} fields[64];
};

struct dump {
	GString *out;
	const uint8_t *at, *end;
	GHashTable *known; /* id -> struct known */
	bool v9;
};

static uint64_t number(const uint8_t *at, size_t length)
{
	uint64_t value = 0;

	for (size_t i = 0; i < length; i++)
		value = value << 8 | at[i];
	return value;
}

G_GNUC_PRINTF(3, 4)
static uint64_t line(struct dump *dump, size_t length, const char *format, ...)
{
	const uint8_t *at = dump->at;
	size_t start = dump->out->len;
	va_list args;

	g_assert_cmpuint(dump->end - at, >=, length);
	for (size_t i = 0; i < length; i++)
		g_string_append_printf(dump->out, "%02x", at[i]);
	while (dump->out->len - start < 34)
		g_string_append_c(dump->out, ' ');
	g_string_append(dump->out, " # ");
	va_start(args, format);
	g_string_append_vprintf(dump->out, format, args);
	va_end(args);
	g_string_append_c(dump->out, '\n');
	dump->at += length;
	return number(at, MIN(length, 8));
}

static const char *element_name(const struct dump *dump, uint16_t id, uint32_t pen)
{
	uint32_t field_pen_is = pen == FIXTURE_PEN ? FIELD_OWN : pen;

	for (size_t i = 0; i < field_count; i++) {
		const struct field *field = &field_table[i];

		if (dump->v9 ? field->v9 == id : field->id == id && field->pen == field_pen_is)
			return field->name;
	}
	return "-";
}

static void dump_template(struct dump *dump, bool options)
{
	struct known *known = g_new0(struct known, 1);
	uint16_t id = line(dump, 2, "template id");
	unsigned int n_scope = 0;

	if (dump->v9 && options) {
		n_scope = line(dump, 2, "octets of scope") / 4;
		known->n_fields = n_scope + line(dump, 2, "octets of options") / 4;
	} else {
		known->n_fields = line(dump, 2, "fields");
		if (options)
			n_scope = line(dump, 2, "of them scope");
	}
	g_assert_cmpuint(known->n_fields, <=, G_N_ELEMENTS(known->fields));
	for (unsigned int i = 0; i < known->n_fields; i++) {
		bool own = !dump->v9 && dump->at[0] & 0x80;

		known->fields[i].id = number(dump->at, 2) & (dump->v9 ? 0xffff : 0x7fff);
		known->fields[i].length = number(dump->at + 2, 2);
		known->fields[i].pen = own ? number(dump->at + 4, 4) : 0;
		known->fields[i].scope = i < n_scope;
		line(dump, own ? 8 : 4, "%s%u %s, %u octets", i < n_scope ? "scope " : "",
		     known->fields[i].id,
		     dump->v9 && i < n_scope
			     ? "system"
			     : element_name(dump, known->fields[i].id, known->fields[i].pen),
		     known->fields[i].length);
	}
	g_hash_table_insert(dump->known, GUINT_TO_POINTER(id), known);
}

static void dump_record(struct dump *dump, const struct known *known)
{
	for (unsigned int i = 0; i < known->n_fields; i++) {
		uint16_t id = known->fields[i].id;
		size_t length = known->fields[i].length;

		if (length == FIELD_VARIABLE) {
			length = 1 + dump->at[0];
			if (dump->at[0] == 255)
				length = 3 + number(dump->at + 1, 2);
		}
		line(dump, length, "%u %s", id,
		     dump->v9 && known->fields[i].scope
			     ? "system"
			     : element_name(dump, id, known->fields[i].pen));
	}
}

static size_t least_size(const struct known *known)
{
	size_t size = 0;

	for (unsigned int i = 0; i < known->n_fields; i++)
		size += known->fields[i].length == FIELD_VARIABLE ? 1 : known->fields[i].length;
	return size;
}

static void dump_set(struct dump *dump)
{
	uint16_t id = line(dump, 2, "set");
	uint16_t length = number(dump->at, 2);
	const uint8_t *end = dump->at - 2 + length;
	const struct known *known;

	g_assert_true(length > 4 && end <= dump->end);
	line(dump, 2, "%u octets", length);
	if (id < 256) {
		g_assert_true(dump->v9 ? id < 2 : id == 2 || id == 3);
		while (end - dump->at >= 4)
			dump_template(dump, dump->v9 ? id == 1 : id == 3);
	} else {
		known = g_hash_table_lookup(dump->known, GUINT_TO_POINTER(id));
		g_assert_nonnull(known);
		while ((size_t)(end - dump->at) >= least_size(known))
			dump_record(dump, known);
	}
	g_assert_true(dump->at <= end);
	if (dump->at < end)
		g_assert_cmpuint(line(dump, end - dump->at, "padding"), ==, 0);
}

char *fixture_dump(struct fixture *fixture, GPtrArray *messages)
{
	struct message_header header = {.export_time_s = FIXTURE_EXPORT_S,
					.domain = FIXTURE_DOMAIN,
					.uptime_ms = FIXTURE_EXPORT_S * 1000ull - FIXTURE_BOOT_MS};
	struct dump dump = {.out = g_string_new(NULL),
			    .known = g_hash_table_new_full(NULL, NULL, NULL, g_free),
			    .v9 = fixture->format == ENCODER_NETFLOW9};

	for (unsigned int i = 0; i < messages->len; i++) {
		const struct message *message = messages->pdata[i];
		uint8_t head[MESSAGE_HEADER_MAX];
		size_t head_size = encoder_write_header(fixture->format, message, &header, head);

		g_string_append_printf(dump.out, "# message %u: %u records, %u in the sequence\n",
				       i + 1, message->n_records, message->n_sequence);
		dump.at = head;
		dump.end = head + head_size;
		line(&dump, head_size, "header");
		dump.at = message->body;
		dump.end = message->body + message->size;
		while (dump.at < dump.end)
			dump_set(&dump);
		header.sequence += message->n_sequence;
	}
	g_hash_table_unref(dump.known);
	return g_string_free(dump.out, FALSE);
}

char *fixture_everything(const char *template, enum encoder_format format)
{
	void (*const fill[])(struct flow_record *) = {fixture_tcp4, fixture_dns6, fixture_icmp4,
						      fixture_arp};
	g_autoptr(GPtrArray) all = g_ptr_array_new();
	g_autoptr(GPtrArray) options_messages = NULL;
	struct options options;
	struct fixture fixture;
	char *text;

	fixture_init(&fixture, template, format, 1420);
	fixture_options(&options);
	g_ptr_array_extend(all, encoder_templates(fixture.encoder), NULL, NULL);
	options_messages = encoder_options(fixture.encoder, &options);
	g_ptr_array_extend(all, options_messages, NULL, NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(fill); i++) {
		struct flow_record record;

		fill[i](&record);
		g_assert_true(encoder_append(fixture.encoder, &record));
	}
	encoder_flush(fixture.encoder);
	g_ptr_array_extend(all, fixture.messages, NULL, NULL);
	text = fixture_dump(&fixture, all);
	options_clear(&options);
	fixture_clear(&fixture);
	return text;
}

void fixture_golden(const char *name, const char *text)
{
	g_autofree char *path = source_path("tests/golden", name);
	g_autofree char *expected = NULL;
	GError *error = NULL;

	if (g_getenv("UPDATE_GOLDEN"))
		g_assert_true(g_file_set_contents(path, text, -1, NULL));
	g_file_get_contents(path, &expected, NULL, &error);
	g_assert_no_error(error);
	g_assert_cmpstr(text, ==, expected);
}

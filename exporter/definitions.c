/* SPDX-License-Identifier: MIT */
/*
 * A row per collector: what stands before, for each element, and after. conf/collectors/ holds what
 * this prints and says what to do with it; a test compares the two.
 */
#include "config.h"

#include "definitions.h"

#include <inttypes.h>
#include <string.h>

#include "field.h"

struct definitions {
	FILE *out;
	uint32_t pen;
	unsigned int n_printed;
};

struct element {
	const struct field *field;
	char *snake; /* tcp_server_rtt_microseconds */
	char *upper; /* TCP_SERVER_RTT_MICROSECONDS */
};

struct form {
	const char *name;
	const uint16_t *iana; /* ids that this collector doesn't know either, ends with 0 */
	void (*begin)(const struct definitions *d);
	void (*element)(const struct definitions *d, const struct element *element);
	void (*end)(const struct definitions *d);
};

static bool is_text(const struct field *field)
{
	return field->type == FIELD_STRING;
}

static void comment(const struct definitions *d)
{
	fprintf(d->out,
		"# Made by bpflowd --print-definitions; the elements of enterprise %" PRIu32 "\n",
		d->pen);
}

/* libfixbuf's readers (ipfixDump -e, super_mediator): IANA's registry with CERT's additions */

static void ipfixdump_begin(const struct definitions *d)
{
	fputs("<?xml version='1.0' encoding='UTF-8'?>\n"
	      "<registry xmlns=\"http://www.iana.org/assignments\"\n"
	      "          xmlns:cert=\"http://www.cert.org/ipfix\" id=\"ipfix\">\n"
	      "  <registry id=\"ipfix-information-elements\">\n",
	      d->out);
}

static void ipfixdump_element(const struct definitions *d, const struct element *element)
{
	const struct field *field = element->field;
	g_autofree char *text = g_markup_escape_text(field->description, -1);

	fprintf(d->out,
		"    <record>\n"
		"      <cert:enterpriseId>%" PRIu32 "</cert:enterpriseId>\n"
		"      <name>%s</name>\n"
		"      <dataType>%s</dataType>\n"
		"      <elementId>%u</elementId>\n",
		d->pen, field->name, field_type_name(field), field->id);
	if (*field->units)
		fprintf(d->out, "      <units>%s</units>\n", field->units);
	fprintf(d->out,
		"      <description><paragraph>%s</paragraph></description>\n"
		"    </record>\n",
		text);
}

static void ipfixdump_end(const struct definitions *d)
{
	fputs("  </registry>\n</registry>\n", d->out);
}

/* libfds: a file in /etc/libfds/user/elements/ */

static void ipfixcol2_begin(const struct definitions *d)
{
	fprintf(d->out,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<ipfix-elements>\n"
		"  <scope>\n"
		"    <pen>%" PRIu32 "</pen>\n"
		"    <name>bpflowd</name>\n"
		"    <biflow mode=\"none\"/>\n"
		"  </scope>\n",
		d->pen);
}

static void ipfixcol2_element(const struct definitions *d, const struct element *element)
{
	const struct field *field = element->field;

	fprintf(d->out,
		"  <element>\n"
		"    <id>%u</id>\n"
		"    <name>%s</name>\n"
		"    <dataType>%s</dataType>\n",
		field->id, field->name, field_type_name(field));
	if (*field->units)
		fprintf(d->out, "    <units>%s</units>\n", field->units);
	fputs("  </element>\n", d->out);
}

static void ipfixcol2_end(const struct definitions *d)
{
	fputs("</ipfix-elements>\n", d->out);
}

/* nfacctd: aggregate_primitives */

static void pmacct_begin(const struct definitions *d)
{
	fputs("! Made by bpflowd --print-definitions\n", d->out);
}

static void pmacct_element(const struct definitions *d, const struct element *element)
{
	const struct field *field = element->field;

	fprintf(d->out, "name=%s field_type=", element->snake);
	if (field->pen)
		fprintf(d->out, "%" PRIu32 ":", d->pen);
	if (is_text(field))
		fprintf(d->out, "%u len=vlen semantics=str\n", field->id);
	else
		fprintf(d->out, "%u len=%u semantics=u_int\n", field->id, field->length);
}

/* goflow2 -mapping; the fields before ours are those that it shows without a mapping */

static void goflow2_begin(const struct definitions *d)
{
	comment(d);
	fputs("formatter:\n"
	      "  fields: [type, time_received_ns, sequence_num, sampling_rate, sampler_address,\n"
	      "    time_flow_start_ns, time_flow_end_ns, bytes, packets, src_addr, dst_addr, "
	      "etype, "
	      "proto,\n"
	      "    src_port, dst_port, in_if, out_if, src_mac, dst_mac, vlan_id, ip_tos, ip_ttl, "
	      "tcp_flags,\n"
	      "    forwarding_status, icmp_type, icmp_code, observation_domain_id",
	      d->out);
}

static void goflow2_field(const struct definitions *d, const struct element *element)
{
	fprintf(d->out, ",\n    %s", element->snake);
}

static void goflow2_protobuf(const struct definitions *d, const struct element *element)
{
	/* numbers that stay when elements are added */
	unsigned int index = (element->field->pen ? 1000 : 2000) + element->field->id;

	fprintf(d->out, "    - {name: %s, index: %u, type: %s}\n", element->snake, index,
		is_text(element->field) ? "string" : "varint");
}

static void goflow2_mapping(const struct definitions *d, const struct element *element)
{
	if (element->field->pen)
		fprintf(d->out,
			"    - {field: %u, penprovided: true, pen: %" PRIu32 ", destination: %s}\n",
			element->field->id, d->pen, element->snake);
	else
		fprintf(d->out, "    - {field: %u, destination: %s}\n", element->field->id,
			element->snake);
}

/* Logstash's codec (ipfix_definitions), Filebeat (custom_definitions): the same file */

static void logstash_begin(const struct definitions *d)
{
	comment(d);
	fprintf(d->out, "%" PRIu32 ":\n", d->pen);
}

static void logstash_element(const struct definitions *d, const struct element *element)
{
	const struct field *field = element->field;

	fprintf(d->out, "  %u:\n", field->id);
	if (is_text(field))
		fputs("  - :string\n", d->out);
	else
		fprintf(d->out, "  - :uint%u\n", 8u * field_type_size(field));
	fprintf(d->out, "  - :%s\n", element->snake);
}

/* inputs.netflow: private_enterprise_number_files */

static void telegraf_element(const struct definitions *d, const struct element *element)
{
	fprintf(d->out, "%" PRIu32 ".%u,%s,%s\n", d->pen, element->field->id, element->snake,
		is_text(element->field) ? "string" : "uint");
}

/* --load-custom-fields */

static void nprobe_begin(const struct definitions *d)
{
	fputs("# Name STANDARD_ALIAS PEN FieldId Len Format\n", d->out);
}

static void nprobe_element(const struct definitions *d, const struct element *element)
{
	const struct field *field = element->field;

	fprintf(d->out, "%s NONE %" PRIu32 " %u %u %s\n", element->upper, d->pen, field->id,
		is_text(field) ? FIELD_V9_STRING : field->length,
		is_text(field) ? "dump_as_ascii" : "dump_as_uint");
}

static void graylog_begin(const struct definitions *d)
{
	fprintf(d->out, "{\n  \"enterprise_number\": %" PRIu32 ",\n  \"information_elements\": [",
		d->pen);
}

static void graylog_element(const struct definitions *d, const struct element *element)
{
	fprintf(d->out, "%s\n    {\"element_id\": %u, \"name\": \"%s\", \"data_type\": \"%s\"}",
		d->n_printed ? "," : "", element->field->id, element->field->name,
		field_type_name(element->field));
}

static void graylog_end(const struct definitions *d)
{
	fputs("\n  ]\n}\n", d->out);
}

/* python-ipfix */

static void iespec_element(const struct definitions *d, const struct element *element)
{
	const struct field *field = element->field;

	fprintf(d->out, "%s(%" PRIu32 "/%u)<%s>[%u]\n", field->name, d->pen, field->id,
		field_type_name(field), is_text(field) ? FIELD_VARIABLE : field->length);
}

static void goflow2_protobuf_begin(const struct definitions *d)
{
	fputs("]\n  protobuf:\n", d->out);
}

static void goflow2_mapping_begin(const struct definitions *d)
{
	fputs("ipfix:\n  mapping:\n", d->out);
}

/* nfacctd 1.7.7 (measured) */
static const uint16_t pmacct_iana[] = {25, 26, 32, 52, 53, 89, 132, 133, 136, 139, 0};
static const uint16_t goflow2_iana[] = {132, 133, 0};

/* A format with several rows goes over the elements several times. */
static const struct form forms[] = {
	{"ipfixdump", NULL, ipfixdump_begin, ipfixdump_element, ipfixdump_end},
	{"ipfixcol2", NULL, ipfixcol2_begin, ipfixcol2_element, ipfixcol2_end},
	{"pmacct", pmacct_iana, pmacct_begin, pmacct_element, NULL},
	{"goflow2", goflow2_iana, goflow2_begin, goflow2_field, NULL},
	{"goflow2", goflow2_iana, goflow2_protobuf_begin, goflow2_protobuf, NULL},
	{"goflow2", goflow2_iana, goflow2_mapping_begin, goflow2_mapping, NULL},
	{"filebeat", NULL, logstash_begin, logstash_element, NULL},
	{"logstash", NULL, logstash_begin, logstash_element, NULL},
	{"telegraf", NULL, NULL, telegraf_element, NULL},
	{"nprobe", NULL, nprobe_begin, nprobe_element, NULL},
	{"graylog", NULL, graylog_begin, graylog_element, graylog_end},
	{"iespec", NULL, NULL, iespec_element, NULL},
};

static char *to_snake(const char *name)
{
	GString *snake = g_string_new(NULL);

	for (const char *at = name; *at; at++) {
		/* IPv4 is one word */
		if (g_ascii_isupper(*at) && at > name && !g_ascii_isupper(at[-1]))
			g_string_append_c(snake, '_');
		g_string_append_c(snake, g_ascii_tolower(*at));
	}
	return g_string_free(snake, FALSE);
}

static bool is_wanted(const struct form *form, const struct field *field)
{
	if (field->pen == FIELD_OWN)
		return true;
	for (const uint16_t *id = form->iana; id && *id && field->pen == 0; id++)
		if (field->id == *id)
			return true;
	return false;
}

static void print_form(struct definitions *d, const struct form *form)
{
	d->n_printed = 0;
	if (form->begin)
		form->begin(d);
	for (size_t i = 0; i < field_count; i++) {
		struct element element = {.field = &field_table[i]};

		if (!is_wanted(form, &field_table[i]))
			continue;
		element.snake = to_snake(field_table[i].name);
		element.upper = g_ascii_strup(element.snake, -1);
		form->element(d, &element);
		d->n_printed++;
		g_free(element.snake);
		g_free(element.upper);
	}
	if (form->end)
		form->end(d);
}

static char *format_names(void)
{
	GString *names = g_string_new(forms[0].name);

	for (size_t i = 1; i < G_N_ELEMENTS(forms); i++)
		if (strcmp(forms[i].name, forms[i - 1].name) != 0)
			g_string_append_printf(names, ", %s", forms[i].name);
	return g_string_free(names, FALSE);
}

bool definitions_print(FILE *out, const char *format, uint32_t enterprise_number, GError **error)
{
	struct definitions d = {.out = out, .pen = enterprise_number};
	g_autofree char *names = NULL;
	bool found = false;

	for (size_t i = 0; i < G_N_ELEMENTS(forms); i++) {
		if (strcmp(forms[i].name, format) != 0)
			continue;
		print_form(&d, &forms[i]);
		found = true;
	}
	if (found)
		return true;
	names = format_names();
	g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "no definitions for '%s'; one of: %s",
		    format, names);
	return false;
}

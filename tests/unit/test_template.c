/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>

#include "encoder.h"
#include "template.h"
#include "wire_fixture.h"

#define R "records:\n  - name: r\n    "

struct bad {
	const char *text;
	const char *message; /* after the file's name */
	int format;
	uint32_t max_message_size;
};

static const struct bad bads[] = {
	{"records: []\n", ":1:10: records: no records; a template has at least one"},
	{"description: x\n", ":1:1: records: no records; a template has at least one"},
	{"records: 1\n", ":1:10: records: a single value where a list must stand"},
	{"[1]\n", ":1:1: a list; the file must be made of KEY: VALUE"},
	{"recods: []\n" R "fields: [vlanId]\n", ":1:1: recods: unknown key; did you mean records?"},
	{R "match: [ipv4]\n    field: []\n",
	 ":4:5: records[0].field: unknown key; did you mean fields?"},
	{R "fields: []\n", ":2:5: records[0]: record r has no fields"},
	{R "fields: [sourceTransportPrt]\n",
	 ":3:14: records[0].fields[0]: no element is called sourceTransportPrt; did you mean "
	 "sourceTransportPort?"},
	{R "fields: [quux]\n",
	 ":3:14: records[0].fields[0]: no element is called quux; bpflowd --list-elements shows "
	 "them"},
	{R "fields: [natEvent]\n",
	 ":3:14: records[0].fields[0]: natEvent is not offered: pmacct drops packets and octets of "
	 "records that have it"},
	{R "fields: [reverseOctetDeltaCount]\n",
	 ":3:14: records[0].fields[0]: reverseOctetDeltaCount is not offered: flows are exported "
	 "one way each; nfdump lets reverse elements overwrite the forward ones"},
	{R "fields: [octetTotalCount]\n",
	 ":3:14: records[0].fields[0]: octetTotalCount is not offered: nfdump lets it overwrite "
	 "octetDeltaCount"},
	{R "fields: [vlanId, flowDirection, vlanId]\n",
	 ":3:37: records[0].fields[2]: vlanId is in record r already; an element may stand there "
	 "once"},
	{"common: [vlanId]\n" R "fields: [vlanId]\n",
	 ":1:10: common[0]: vlanId is in record r already; an element may stand there once"},
	/* two names, one field of NetFlow v9 */
	{R "fields: [flowStartMilliseconds, flowStartSysUpTime]\n",
	 ":3:37: records[0].fields[1]: flowStartSysUpTime is in record r already; an element may "
	 "stand there once",
	 ENCODER_NETFLOW9},
	{R "fields: [flowStartSysUpTime]\n",
	 ":3:14: records[0].fields[0]: flowStartSysUpTime is not available in IPFIX; "
	 "flowStartMilliseconds is"},
	{R "fields: [dnsMessageId]\n",
	 ":3:14: records[0].fields[0]: dnsMessageId is not available in NetFlow v9; DNS_QUERY_ID "
	 "is",
	 ENCODER_NETFLOW9},
	{R "fields: [tcpStateAtDrop]\n",
	 ":3:14: records[0].fields[0]: tcpStateAtDrop is not available in NetFlow v9; leave it out",
	 ENCODER_NETFLOW9},
	{R "fields: [{name: vlanId, length: 3}]\n",
	 ":3:37: records[0].fields[0]: vlanId is unsigned16: 1 to 2 octets (RFC 7011 6.2)"},
	{R "fields: [{name: vlanId, length: 0}]\n",
	 ":3:37: records[0].fields[0]: '0' is not a length; a number of octets"},
	{R "fields: [{name: flowStartMilliseconds, length: 4}]\n",
	 ":3:52: records[0].fields[0]: flowStartMilliseconds is dateTimeMilliseconds and takes 8 "
	 "octets, no other length (RFC 7011 6.2)"},
	{R "fields: [{name: interfaceName, length: 17}]\n",
	 ":3:44: records[0].fields[0]: interfaceName is never longer than 16 octets"},
	{R "fields: [{length: 4}]\n", ":3:14: records[0].fields[0]: the field has no name"},
	{R "fields: [{name: vlanId, size: 4}]\n", ":3:29: records[0].fields[0].size: unknown key"},
	{R "fields: [{name: vlanId, only: sflow}]\n",
	 ":3:35: records[0].fields[0]: 'sflow' is unknown; one of: ipfix, netflow9"},
	{R "fields: [[vlanId]]\n",
	 ":3:14: records[0].fields[0]: a list where a single value must stand"},
	{R "match: [ipv4]\n    fields: [sourceIPv6Address]\n",
	 ":4:14: records[0].fields[0]: sourceIPv6Address needs ipv6 in the match of record r"},
	{R "match: [ipv6]\n    fields: [icmpTypeCodeIPv4]\n",
	 ":4:14: records[0].fields[0]: icmpTypeCodeIPv4 needs ipv4 in the match of record r"},
	{R "fields: [sourceIPv4Address]\n",
	 ":3:14: records[0].fields[0]: sourceIPv4Address needs ipv4 in the match of record r"},
	{R "match: [ipv4, ipv6]\n    fields: [vlanId]\n",
	 ":2:5: records[0]: no flow is of two families; name one of ipv4, ipv6, non_ip, or make a "
	 "record for each"},
	{R "match: [non_ip, tcp]\n    fields: [vlanId]\n",
	 ":2:5: records[0]: no flow matches: non_ip excludes icmp, tcp, dns and rtt"},
	{R "match: [icmp, rtt]\n    fields: [vlanId]\n",
	 ":2:5: records[0]: no flow matches: icmp excludes tcp, dns and rtt"},
	{R "match: [ipv5]\n    fields: [vlanId]\n",
	 ":3:13: records[0].match: 'ipv5' is unknown; one of: ipv4, ipv6, non_ip, icmp, dns, rtt, "
	 "drop, tcp"},
	{R "fields: [vlanId]\n  - name: r\n    fields: [vlanId]\n",
	 ":4:11: records[1]: another record is called r already"},
	{"records:\n  - fields: [vlanId]\n", ":2:5: records[0]: the record has no name"},
	{"drops: both\n" R "fields: [vlanId]\n",
	 ":1:8: drops: 'both' is unknown; one of: inline, record"},
	{"type_records: yes\n" R "fields: [vlanId]\n",
	 ":1:15: type_records: 'yes' is unknown; one of: false, true"},
	{"drops: record\n" R "fields: [vlanId]\n",
	 ":1:1: drops: record needs a record that matches drop, for each family whose drops are to "
	 "be seen"},
	{"drops: record\n" R "match: [drop]\n    fields: [packetDeltaCount, forwardingStatus]\n",
	 ":1:1: records: all records match drop; one for the flows themselves is missing"},
	{"drops: record\n" R "match: [drop]\n    fields: [packetDeltaCount]\n",
	 ":3:5: records[0]: record r holds drops and must say so: forwardingStatus is missing"},
	{"drops: record\n" R "match: [drop]\n    fields: [forwardingStatus]\n",
	 ":3:5: records[0]: record r holds drops and must count them: packetDeltaCount is missing"},
	{"drops: record\n" R "fields: [droppedPacketDeltaCount]\n",
	 ":4:14: records[0].fields[0]: droppedPacketDeltaCount would count drops twice: with "
	 "drops: record they are the packets and octets of the record that matches drop"},
	{R "fields: [protocolIdentifier]\n",
	 ":2:5: records[0]: record r takes 1 octets; NetFlow v9 can't tell less than 4 from "
	 "padding",
	 ENCODER_NETFLOW9},
	{R "fields: [packetDeltaCount, octetDeltaCount]\n",
	 ":2:5: records[0]: record r takes 16 octets, a message of 35 has room for 15; fewer "
	 "fields, or a larger max_message_size",
	 ENCODER_IPFIX, 35},
	{R "fields: [dnsQuestionName]\n",
	 ":2:5: records[0]: record r takes 67 octets, a message of 86 has room for 66; fewer "
	 "fields, or a larger max_message_size",
	 ENCODER_IPFIX, 86},
	{R "fields: [protocolIdentifier, flowDirection, ipVersion, flowEndReason]\n",
	 ":2:5: records[0]: the template of record r takes 36 octets, more than a message of 50 "
	 "holds",
	 ENCODER_IPFIX, 50},
};

static char *write_template(const char *text)
{
	char *path = NULL;
	int fd = g_file_open_tmp("template-XXXXXX.yaml", &path, NULL);

	g_assert_cmpint(fd, >=, 0);
	g_close(fd, NULL);
	g_assert_true(g_file_set_contents(path, text, -1, NULL));
	return path;
}

static void check_bad(const struct bad *bad)
{
	g_autofree char *path = write_template(bad->text);
	g_autofree char *expected = g_strconcat(path, bad->message, NULL);
	struct yaml_errors errors;

	yaml_errors_init(&errors, "other.yaml");
	g_assert_null(template_load(path, bad->format, bad->max_message_size, &errors));
	g_assert_cmpuint(errors.messages->len, >, 0);
	g_assert_cmpstr(errors.messages->pdata[0], ==, expected);
	g_assert_cmpuint(errors.messages->len, ==, 1);
	yaml_errors_clear(&errors);
	g_unlink(path);
}

static void errors(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(bads); i++)
		check_bad(&bads[i]);
}

/* All errors of a file at once, in the caller's list. */
static void all_errors(void)
{
	g_autofree char *path =
		write_template(R "fields: [one, two]\n  - name: s\n    fields: []\n");
	struct yaml_errors errors;

	yaml_errors_init(&errors, "other.yaml");
	g_assert_null(template_load(path, ENCODER_IPFIX, 0, &errors));
	g_assert_cmpuint(errors.messages->len, ==, 3);
	yaml_errors_clear(&errors);
	g_unlink(path);
}

static void missing_file(void)
{
	struct yaml_errors errors;

	yaml_errors_init(&errors, "other.yaml");
	g_assert_null(template_load("/nowhere/t.yaml", ENCODER_IPFIX, 0, &errors));
	g_assert_cmpuint(errors.messages->len, ==, 1);
	g_assert_true(g_str_has_prefix(errors.messages->pdata[0], "/nowhere/t.yaml"));
	yaml_errors_clear(&errors);
}

static void too_many_fields(void)
{
	GString *text = g_string_new(R "match: [ipv4]\n    fields:\n");
	g_autofree char *path = NULL;
	struct yaml_errors errors;
	unsigned int n_fields = 0;

	for (size_t i = 0; i < field_count && n_fields <= TEMPLATE_MAX_FIELDS; i++) {
		const struct field *field = &field_table[i];

		if (!field->id || field->type == FIELD_IPV6 || strstr(field->name, "IPv6"))
			continue;
		g_string_append_printf(text, "    - %s\n", field->name);
		n_fields++;
	}
	g_assert_cmpuint(n_fields, ==, TEMPLATE_MAX_FIELDS + 1);
	path = write_template(text->str);
	yaml_errors_init(&errors, path);
	g_assert_null(template_load(path, ENCODER_IPFIX, 0, &errors));
	g_assert_cmpuint(errors.messages->len, ==, 1);
	g_assert_nonnull(strstr(errors.messages->pdata[0],
				":65:7: records[0].fields[60]: record r has more than 60 fields; "
				"tshark decodes no more"));
	yaml_errors_clear(&errors);
	g_unlink(path);
	g_string_free(text, TRUE);
}

static void good(void)
{
	static const char text[] =
		"description: a test\n"
		"drops: inline\n"
		"type_records: true\n"
		"common: [vlanId, {name: packetDeltaCount, length: 4}]\n"
		"records:\n"
		"  - name: one\n"
		"    match: [ipv4, tcp]\n"
		"    fields:\n"
		"      - {name: nfdumpServerLatencySeconds, only: netflow9}\n"
		"      - {name: dnsQuestionName, only: ipfix}\n"
		"      - flowStartMilliseconds\n"
		"  - name: two\n"
		"    common: false\n"
		"    fields: [flowStartMilliseconds, {name: interfaceName, length: "
		"8}]\n";
	struct template *template = fixture_template(text, ENCODER_IPFIX, 1420);
	const struct template_record *one = template->records->pdata[0];
	const struct template_record *two = template->records->pdata[1];

	g_assert_cmpstr(template->description, ==, "a test");
	g_assert_true(template->type_records);
	g_assert_true(template_uses_own(template));
	g_assert_cmpuint(template->options_id, ==, 258);
	g_assert_cmpuint(one->id, ==, 256);
	g_assert_cmpuint(one->match, ==, TEMPLATE_MATCH_IPV4 | TEMPLATE_MATCH_TCP);
	g_assert_cmpuint(one->n_fields, ==, 4);
	g_assert_cmpstr(one->fields[0].field->name, ==, "dnsQuestionName");
	g_assert_cmpuint(one->fields[0].length, ==, FIELD_VARIABLE);
	g_assert_cmpuint(one->fields[3].length, ==, 4);
	g_assert_cmpuint(two->id, ==, 257);
	g_assert_cmpuint(two->n_fields, ==, 2);
	g_assert_cmpuint(two->fields[1].length, ==, 8);
	template_free(template);

	template = fixture_template(text, ENCODER_NETFLOW9, 1420);
	one = template->records->pdata[0];
	g_assert_cmpuint(one->fields[0].field->v9, ==, 57556);
	g_assert_cmpuint(one->fields[1].field->v9, ==, 22);
	g_assert_cmpuint(one->fields[1].length, ==, 4);
	g_assert_false(template_uses_own(template));
	template_free(template);
}

static const char *flow_form(const struct template *template, const struct flow_record *record)
{
	const struct template_record *form = template_match_flow(template, record);

	return form ? form->name : "-";
}

static const char *drop_form(const struct template *template, const struct flow_record *record)
{
	const struct template_record *form = template_match_drops(template, record);

	return form ? form->name : "-";
}

static void match_inline(void)
{
	struct template *template = fixture_template("standard", ENCODER_IPFIX, 1420);
	struct flow_record record;

	fixture_tcp4(&record);
	g_assert_cmpstr(flow_form(template, &record), ==, "ipv4");
	g_assert_cmpstr(drop_form(template, &record), ==, "-");
	fixture_dns6(&record);
	g_assert_cmpstr(flow_form(template, &record), ==, "ipv6");
	record.id.protocol = 58;
	g_assert_cmpstr(flow_form(template, &record), ==, "icmp6");
	record.id.protocol = 1; /* ICMP for IPv4 in IPv6: no ICMP */
	g_assert_cmpstr(flow_form(template, &record), ==, "ipv6");
	fixture_icmp4(&record);
	g_assert_cmpstr(flow_form(template, &record), ==, "icmp4");
	fixture_arp(&record);
	g_assert_cmpstr(flow_form(template, &record), ==, "other");
	template_free(template);
}

static void match_record(void)
{
	struct template *template = fixture_template("nfdump", ENCODER_NETFLOW9, 1420);
	struct flow_record record;

	fixture_tcp4(&record);
	g_assert_cmpstr(flow_form(template, &record), ==, "rtt4");
	g_assert_cmpstr(drop_form(template, &record), ==, "drop4");
	record.metrics.drops.packets = 0;
	g_assert_cmpstr(drop_form(template, &record), ==, "-");
	fixture_dns6(&record);
	g_assert_cmpstr(flow_form(template, &record), ==, "dns6");
	g_assert_cmpstr(drop_form(template, &record), ==, "-");
	fixture_arp(&record);
	record.metrics.drops.packets = 1;
	g_assert_cmpstr(drop_form(template, &record), ==, "dropother");
	template_free(template);
}

static void match_nothing(void)
{
	struct template *template = fixture_template(R "match: [ipv4]\n    fields: "
						       "[flowStartMilliseconds]\n",
						     ENCODER_IPFIX, 1420);
	struct flow_record record;

	fixture_arp(&record);
	g_assert_cmpstr(flow_form(template, &record), ==, "-");
	template_free(template);
}

static void equal(void)
{
	static const char *const others[] = {
		"drops: record\nrecords:\n  - {name: a, match: [ipv4], fields: "
		"[packetDeltaCount]}\n"
		"  - {name: b, match: [drop], fields: [packetDeltaCount, forwardingStatus]}\n",
		"type_records: true\nrecords: [{name: a, match: [ipv4], fields: "
		"[packetDeltaCount]}]\n",
		"records: [{name: a, match: [ipv6], fields: [packetDeltaCount]}]\n",
		"records: [{name: a, match: [ipv4], fields: [octetDeltaCount]}]\n",
		"records: [{name: a, match: [ipv4], fields: [{name: packetDeltaCount, length: "
		"4}]}]\n",
		"records: [{name: a, match: [ipv4], fields: [packetDeltaCount, "
		"octetDeltaCount]}]\n",
	};
	struct template *one =
		fixture_template("description: one\nrecords:\n"
				 "  - {name: a, match: [ipv4], fields: [packetDeltaCount]}\n",
				 ENCODER_IPFIX, 1420);
	struct template *same = fixture_template(
		"records: [{name: b, match: [ipv4], fields: [packetDeltaCount]}]\n", ENCODER_IPFIX,
		1420);

	g_assert_true(template_equal(one, same));
	for (size_t i = 0; i < G_N_ELEMENTS(others); i++) {
		struct template *other = fixture_template(others[i], ENCODER_IPFIX, 1420);

		g_assert_false(template_equal(one, other));
		template_free(other);
	}
	template_free(template_ref(one));
	g_assert_cmpstr(one->name, !=, NULL); /* still there */
	template_free(same);
	template_free(one);
}

static uint32_t record_size(const char *name, const char *record)
{
	struct template *template = fixture_template(name, ENCODER_IPFIX, 1420);
	uint32_t size = 0;

	for (unsigned int i = 0; i < template->records->len; i++) {
		const struct template_record *form = template->records->pdata[i];

		if (strcmp(form->name, record) == 0)
			for (uint32_t j = 0; j < form->n_fields; j++)
				size += form->fields[j].length;
	}
	template_free(template);
	return size;
}

/* What 1400 octets hold was promised: 22 IPv4 flows of minimal, 14 of standard. */
static void sizes(void)
{
	g_assert_cmpuint((1400 - 20) / record_size("minimal", "ipv4"), >=, 22);
	g_assert_cmpuint((1400 - 20) / record_size("standard", "ipv4"), >=, 14);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/template/errors", errors);
	g_test_add_func("/template/all_errors", all_errors);
	g_test_add_func("/template/missing_file", missing_file);
	g_test_add_func("/template/too_many_fields", too_many_fields);
	g_test_add_func("/template/good", good);
	g_test_add_func("/template/match_inline", match_inline);
	g_test_add_func("/template/match_record", match_record);
	g_test_add_func("/template/match_nothing", match_nothing);
	g_test_add_func("/template/equal", equal);
	g_test_add_func("/template/sizes", sizes);
	return g_test_run();
}

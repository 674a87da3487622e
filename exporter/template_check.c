/* SPDX-License-Identifier: MIT */
/* What is legal on the wire, and what collectors were seen to misread. */
#include "config.h"

#include "template_check.h"

#include <string.h>

#include "encoder.h"
#include "log.h"
#include "plan.h"
#include "sets.h"

static const struct {
	const char *name;
	const char *reason;
} refused[] = {
	{"postOctetDeltaCount", "collectors add it to octetDeltaCount or put it in its place"},
	{"postPacketDeltaCount", "collectors add it to packetDeltaCount or put it in its place"},
	{"octetTotalCount", "nfdump lets it overwrite octetDeltaCount"},
	{"packetTotalCount", "nfdump lets it overwrite packetDeltaCount"},
	{"natEvent", "pmacct drops packets and octets of records that have it"},
	{"observationTimeMilliseconds", "nfdump takes the flow for a NAT event"},
	{"biflowDirection", "flows are exported one way each"},
};

const char *template_check_refused(const char *name)
{
	for (size_t i = 0; i < G_N_ELEMENTS(refused); i++)
		if (strcmp(refused[i].name, name) == 0)
			return refused[i].reason;
	if (g_str_has_prefix(name, "reverse"))
		return "flows are exported one way each; nfdump lets reverse elements overwrite "
		       "the forward ones";
	return NULL;
}

static bool same_element(const struct template_check *check, const struct field *one,
			 const struct field *other)
{
	if (check->format == ENCODER_NETFLOW9)
		return one->v9 == other->v9;
	return one->pen == other->pen && one->id == other->id;
}

/* Address family that an element belongs to, 0: any. */
static uint32_t family_of(const struct field *field)
{
	if (field->type == FIELD_IPV4 || strcmp(field->name, "icmpTypeCodeIPv4") == 0)
		return TEMPLATE_MATCH_IPV4;
	if (field->type == FIELD_IPV6 || strcmp(field->name, "icmpTypeCodeIPv6") == 0)
		return TEMPLATE_MATCH_IPV6;
	return 0;
}

static bool is_drop_record(const struct template_check *check, const struct template_record *record)
{
	return check->template->drops == TEMPLATE_DROPS_RECORD &&
	       record->match & TEMPLATE_MATCH_DROP;
}

static bool counts_drops(const struct field *field)
{
	return field->pen == 0 && (field->id == 132 || field->id == 133);
}

void template_check_field(const struct template_check *check, const struct template_record *record,
			  const struct template_field *field, const struct yaml_node *node,
			  const char *path)
{
	uint32_t family = family_of(field->field);

	for (uint32_t i = 0; i < record->n_fields; i++) {
		if (!same_element(check, record->fields[i].field, field->field))
			continue;
		yaml_error_at(check->errors, node, path,
			      "%s is in record %s already; an element may stand there once",
			      field->field->name, record->name);
		break;
	}
	if (family && !(record->match & family))
		yaml_error_at(check->errors, node, path, "%s needs %s in the match of record %s",
			      field->field->name, family == TEMPLATE_MATCH_IPV4 ? "ipv4" : "ipv6",
			      record->name);
	if (check->template->drops == TEMPLATE_DROPS_RECORD && counts_drops(field->field))
		yaml_error_at(check->errors, node, path,
			      "%s would count drops twice: with drops: record they are the packets "
			      "and octets of the record that matches drop",
			      field->field->name);
	if (record->n_fields == TEMPLATE_MAX_FIELDS)
		yaml_error_at(check->errors, node, path,
			      "record %s has more than %d fields; tshark decodes no more",
			      record->name, TEMPLATE_MAX_FIELDS);
}

static bool has_element(const struct template_record *record, const char *name)
{
	for (uint32_t i = 0; i < record->n_fields; i++)
		if (strcmp(record->fields[i].field->name, name) == 0)
			return true;
	return false;
}

static void check_match(const struct template_check *check, const struct template_record *record,
			const struct yaml_node *node, const char *path)
{
	uint32_t families =
		record->match & (TEMPLATE_MATCH_IPV4 | TEMPLATE_MATCH_IPV6 | TEMPLATE_MATCH_NON_IP);
	bool of_ip = record->match & (TEMPLATE_MATCH_ICMP | TEMPLATE_MATCH_DNS |
				      TEMPLATE_MATCH_RTT | TEMPLATE_MATCH_TCP);

	if (families & (families - 1))
		yaml_error_at(check->errors, node, path,
			      "no flow is of two families; name one of ipv4, ipv6, non_ip, or make "
			      "a record for each");
	else if (families == TEMPLATE_MATCH_NON_IP && of_ip)
		yaml_error_at(check->errors, node, path,
			      "no flow matches: non_ip excludes icmp, tcp, dns and rtt");
	else if (record->match & TEMPLATE_MATCH_ICMP &&
		 record->match & (TEMPLATE_MATCH_TCP | TEMPLATE_MATCH_DNS | TEMPLATE_MATCH_RTT))
		yaml_error_at(check->errors, node, path,
			      "no flow matches: icmp excludes tcp, dns and rtt");
}

static uint32_t record_size(const struct template_record *record)
{
	uint32_t size = 0;

	for (uint32_t i = 0; i < record->n_fields; i++)
		size += record->fields[i].length == FIELD_VARIABLE ? 3 + PLAN_TEXT_MIN
								   : record->fields[i].length;
	return size;
}

static void check_size(const struct template_check *check, const struct template_record *record,
		       const struct yaml_node *node, const char *path)
{
	uint32_t around = sets_message_header(check->format) + SET_HEADER;
	uint32_t size = record_size(record);
	uint32_t template_size = 4 + record->n_fields * 8;

	if (check->format == ENCODER_NETFLOW9) {
		around += 3; /* padding */
		template_size = 4 + record->n_fields * 4;
		if (size < 4)
			yaml_error_at(check->errors, node, path,
				      "record %s takes %u octets; NetFlow v9 can't tell less than "
				      "4 from padding",
				      record->name, size);
	}
	if (check->max_message_size == 0)
		return;
	if (size + around > check->max_message_size)
		yaml_error_at(check->errors, node, path,
			      "record %s takes %u octets, a message of %u has room for %d; fewer "
			      "fields, or a larger max_message_size",
			      record->name, size, check->max_message_size,
			      (int)check->max_message_size - (int)around);
	else if (template_size + around > check->max_message_size)
		yaml_error_at(check->errors, node, path,
			      "the template of record %s takes %u octets, more than a message of "
			      "%u holds",
			      record->name, template_size, check->max_message_size);
}

static void warn(const struct template_check *check, const struct template_record *record,
		 const char *text)
{
	log_warning("%s: record %s: %s", check->template->path, record->name, text);
}

/* Legal, but some collector shows it wrong (measured). */
static void warn_of_collectors(const struct template_check *check,
			       const struct template_record *record)
{
	bool has_times = has_element(record, "flowStartMilliseconds") ||
			 has_element(record, "flowStartSysUpTime");

	if (!has_times)
		warn(check, record,
		     "without flowStartMilliseconds and flowEndMilliseconds nfdump shows 1970 and "
		     "nProbe drops the flow");
	if (has_element(record, "dot1qVlanId") && !has_element(record, "vlanId"))
		warn(check, record, "nfdump 1.7 doesn't show dot1qVlanId; vlanId is shown by all");
	for (uint32_t i = 0; i < record->n_fields; i++)
		if (strcmp(record->fields[i].field->name, "tcpControlBits") == 0 &&
		    record->fields[i].length > 1)
			warn(check, record,
			     "pmacct before 1.7.8 shows no tcpControlBits of length 2");
}

void template_check_record(const struct template_check *check, const struct template_record *record,
			   const struct yaml_node *node, const char *path)
{
	check_match(check, record, node, path);
	check_size(check, record, node, path);
	if (is_drop_record(check, record) && !has_element(record, "forwardingStatus"))
		yaml_error_at(check->errors, node, path,
			      "record %s holds drops and must say so: forwardingStatus is missing",
			      record->name);
	if (is_drop_record(check, record) && !has_element(record, "packetDeltaCount"))
		yaml_error_at(check->errors, node, path,
			      "record %s holds drops and must count them: packetDeltaCount is "
			      "missing",
			      record->name);
	warn_of_collectors(check, record);
}

void template_check_all(const struct template_check *check, const struct yaml_node *node)
{
	const GPtrArray *records = check->template->records;
	bool has_drop_record = false;
	bool has_flow_record = false;

	for (unsigned int i = 0; i < records->len; i++) {
		bool drop = is_drop_record(check, records->pdata[i]);

		has_drop_record |= drop;
		has_flow_record |= !drop;
	}
	if (check->template->drops == TEMPLATE_DROPS_RECORD && !has_drop_record)
		yaml_error_at(check->errors, node, "drops",
			      "record needs a record that matches drop, for each family whose "
			      "drops are to be seen");
	if (records->len && !has_flow_record)
		yaml_error_at(check->errors, node, "records",
			      "all records match drop; one for the flows themselves is missing");
}

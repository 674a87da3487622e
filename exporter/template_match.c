/* SPDX-License-Identifier: MIT */
/* Which record of a template a flow makes; whether two templates make the same ones. */
#include "config.h"

#include "template.h"

#define PROTOCOL_ICMP	1
#define PROTOCOL_TCP	6
#define PROTOCOL_ICMPV6 58

static uint32_t match_of(const struct flow_record *record)
{
	const struct flow_rtt *rtt = &record->metrics.rtt;
	uint8_t protocol = record->id.protocol;
	uint32_t match = TEMPLATE_MATCH_NON_IP;

	if (record->ip_version)
		match = record->ip_version == 4 ? TEMPLATE_MATCH_IPV4 : TEMPLATE_MATCH_IPV6;
	if (match != TEMPLATE_MATCH_NON_IP) {
		if (protocol == PROTOCOL_TCP)
			match |= TEMPLATE_MATCH_TCP;
		if (protocol == (record->ip_version == 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6))
			match |= TEMPLATE_MATCH_ICMP;
	}
	if (record->has_dns)
		match |= TEMPLATE_MATCH_DNS;
	if (rtt->server_us || rtt->client_us || rtt->smoothed_us || rtt->min_us)
		match |= TEMPLATE_MATCH_RTT;
	if (record->metrics.drops.packets)
		match |= TEMPLATE_MATCH_DROP;
	return match;
}

static const struct template_record *first_match(const struct template *template, uint32_t match,
						 bool drop_records)
{
	for (unsigned int i = 0; i < template->records->len; i++) {
		const struct template_record *record = template->records->pdata[i];
		bool is_drop_record = template->drops == TEMPLATE_DROPS_RECORD &&
				      record->match & TEMPLATE_MATCH_DROP;

		if (is_drop_record == drop_records && (record->match & match) == record->match)
			return record;
	}
	return NULL;
}

const struct template_record *template_match_flow(const struct template *template,
						  const struct flow_record *record)
{
	return first_match(template, match_of(record), false);
}

const struct template_record *template_match_drops(const struct template *template,
						   const struct flow_record *record)
{
	if (template->drops != TEMPLATE_DROPS_RECORD || !record->metrics.drops.packets)
		return NULL;
	return first_match(template, match_of(record), true);
}

bool template_uses_own(const struct template *template)
{
	for (unsigned int i = 0; i < template->records->len; i++) {
		const struct template_record *record = template->records->pdata[i];

		for (uint32_t j = 0; j < record->n_fields; j++)
			if (record->fields[j].field->pen == FIELD_OWN)
				return true;
	}
	return false;
}

static bool equal_record(const struct template_record *a, const struct template_record *b)
{
	if (a->match != b->match || a->n_fields != b->n_fields)
		return false;
	for (uint32_t i = 0; i < a->n_fields; i++)
		if (a->fields[i].field != b->fields[i].field ||
		    a->fields[i].length != b->fields[i].length)
			return false;
	return true;
}

bool template_equal(const struct template *a, const struct template *b)
{
	if (a->drops != b->drops || a->type_records != b->type_records ||
	    a->records->len != b->records->len)
		return false;
	for (unsigned int i = 0; i < a->records->len; i++)
		if (!equal_record(a->records->pdata[i], b->records->pdata[i]))
			return false;
	return true;
}

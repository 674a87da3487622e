/* SPDX-License-Identifier: MIT */
/*
 * Templates as data: templates/NAME.yaml says which fields make a record, in which order, for which
 * flows. Checked at load with file, line and column. Above: record.c; below: ipfix.c, netflow9.c.
 */
#ifndef BPFLOWD_TEMPLATE_H
#define BPFLOWD_TEMPLATE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "field.h"
#include "yaml.h"

#define TEMPLATE_MAX_FIELDS 60	/* tshark decodes no more */
#define TEMPLATE_FIRST_ID   256 /* RFC 7011 3.4.1 */

/* What a record asks of a flow; bits of template_record.match, all must hold. */
enum template_match {
	TEMPLATE_MATCH_IPV4 = 1 << 0,
	TEMPLATE_MATCH_IPV6 = 1 << 1,
	TEMPLATE_MATCH_NON_IP = 1 << 2,
	TEMPLATE_MATCH_ICMP = 1 << 3, /* ICMP or ICMPv6 */
	TEMPLATE_MATCH_DNS = 1 << 4,  /* has DNS */
	TEMPLATE_MATCH_RTT = 1 << 5,  /* has a round trip time */
	TEMPLATE_MATCH_DROP = 1 << 6, /* has drops */
	TEMPLATE_MATCH_TCP = 1 << 7,
};

struct template_field {
	const struct field *field;
	uint16_t length; /* on the wire; FIELD_VARIABLE for a variable-length string (IPFIX only) */
};

struct template_record {
	char *name;
	uint32_t match;
	uint32_t n_fields;
	uint16_t id; /* template id, 256 and up, in the order of the file */
	struct template_field fields[TEMPLATE_MAX_FIELDS];
};

struct template
{
	unsigned int n_refs;
	char *name;
	char *path;
	char *description;
	/* drops: inline: droppedPacketDeltaCount and its kin ride in the flow's own record; record:
	 * a flow with drops makes a second record of the first match that asks for drop, whose
	 * packets and octets are the dropped ones. */
	enum { TEMPLATE_DROPS_INLINE, TEMPLATE_DROPS_RECORD } drops;
	bool type_records;   /* RFC 5610 records of our elements before their first use (IPFIX) */
	uint16_t options_id; /* first template id for options templates */
	GPtrArray *records;  /* struct template_record *, the first that matches is taken */
};

/* format: an enum encoder_format (encoder.h), as int to keep this header below it. max_message_size
 * 0: not checked. */
struct template *template_load(const char *path, int format, uint32_t max_message_size,
			       struct yaml_errors *errors);
/* As template_load from memory; name stands in messages. */
struct template *template_parse(const char *name, const char *text, size_t length, int format,
				uint32_t max_message_size, struct yaml_errors *errors);
/* Another owner, who frees it too. */
struct template *template_ref(struct template *template);
void template_free(struct template *template); /* NULL is fine */

/* A copy whose ids begin at first_id: encoders that one session may meet must not share any. */
struct template *template_renumbered(const struct template *template, uint16_t first_id);

/* Both make the same records of the same flows; name and description don't matter. */
bool template_equal(const struct template *a, const struct template *b);

/* The first record that fits the flow (drop records aside when drops are records of their own), or
 * NULL. */
const struct template_record *template_match_flow(const struct template *template,
						  const struct flow_record *record);

/* drops: record: the record for the flow's drops, or NULL if it has none or the template has no
 * such record. */
const struct template_record *template_match_drops(const struct template *template,
						   const struct flow_record *record);

/* True if a record uses one of our own enterprise elements. */
bool template_uses_own(const struct template *template);

#endif

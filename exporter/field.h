/* SPDX-License-Identifier: MIT */
/*
 * The table of exportable fields (fields.def), as an array. Every stage reads the same rows: cache
 * (merge), template (names), ipfix and netflow9 (layout), bpflowctl, --list-elements, type records,
 * collector definition files.
 */
#ifndef BPFLOWD_FIELD_H
#define BPFLOWD_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "record.h"

#define FIELD_OWN	0xffffffffu /* pen of a row: the configured enterprise number */
#define FIELD_V9_STRING 64 /* octets of a string in NetFlow v9 when the template names no width */
#define FIELD_VARIABLE	65535 /* length of a variable-length field on the wire (RFC 7011 7) */

enum field_type {
	FIELD_IPV4,
	FIELD_IPV6,
	FIELD_MAC,
	FIELD_U8,
	FIELD_U16,
	FIELD_U32,
	FIELD_U64,
	FIELD_MSEC,
	FIELD_NSEC,
	FIELD_UPTIME,
	FIELD_STRING,
	FIELD_OCTETS,
};

enum field_group { FIELD_GROUP_ID, FIELD_GROUP_METRICS, FIELD_GROUP_DNS, FIELD_GROUP_RECORD };
enum field_merge {
	FIELD_MERGE_KEY,
	FIELD_MERGE_SUM,
	FIELD_MERGE_MIN,
	FIELD_MERGE_LOW,
	FIELD_MERGE_MAX,
	FIELD_MERGE_OR,
	FIELD_MERGE_FIRST,
	FIELD_MERGE_LAST,
	FIELD_MERGE_ALONG,
	FIELD_MERGE_KEYED,
	FIELD_MERGE_NONE,
};

struct field {
	const char *name;
	const char *units;
	const char *description;
	uint32_t pen;
	uint16_t id;	 /* IPFIX, 0: not available */
	uint16_t v9;	 /* NetFlow v9, 0: not available */
	uint16_t offset; /* in struct flow_record */
	uint16_t size;	 /* in struct flow_record */
	uint16_t length; /* default on the wire; 0: variable */
	uint8_t type;	 /* enum field_type */
	uint8_t group;	 /* enum field_group */
	uint8_t merge;	 /* enum field_merge */
};

extern const struct field field_table[];
extern const size_t field_count;

/* The row of that name (exact, as in the registry), or NULL. */
const struct field *field_by_name(const char *name);

/* The row whose name is nearest, for "did you mean"; NULL if none is near. */
const struct field *field_nearest(const char *name);

/* The row that carries the field in NetFlow v9: itself, or the form that v9 has for it
 * (fields.def); NULL: there is none. */
const struct field *field_in_v9(const struct field *field);

/* The enterprise number of the field, 0: IANA's. */
static inline uint32_t field_pen(const struct field *field, uint32_t enterprise_number)
{
	return field->pen == FIELD_OWN ? enterprise_number : field->pen;
}

/* Abstract data type by its name in RFC 7012, and its octets (0: any). */
const char *field_type_name(const struct field *field);
uint16_t field_type_size(const struct field *field);

/* Unsigned number, which may be sent in fewer octets (RFC 7011 6.2). */
bool field_is_number(const struct field *field);

/* Two flows of the same key have the same value. */
bool field_is_key(const struct field *field);

/* Value of a field of a number or time type as it stands in the record. */
uint64_t field_number(const struct field *field, const struct flow_record *record);

/* Text of the field's value for people and JSON (no quotes); returns buf. */
const char *field_format(const struct field *field, const struct flow_record *record, char *buf,
			 size_t size);

/* bpflowd --list-elements */
void field_list(FILE *out, uint32_t enterprise_number);

#endif

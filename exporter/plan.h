/* SPDX-License-Identifier: MIT */
/*
 * A template record made ready for encoding: where each field lies in struct flow_record and what
 * is done to it on its way to the wire. Above: template.c; below: ipfix.c lays values out in host
 * order for libfixbuf, netflow9.c writes them itself.
 */
#ifndef BPFLOWD_PLAN_H
#define BPFLOWD_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "encoder.h"
#include "template.h"
#include "wire.h"

enum plan_op {
	PLAN_COPY, /* octets as they are */
	PLAN_8,	   /* numbers that have the same size on both sides */
	PLAN_16,
	PLAN_32,
	PLAN_64,
	PLAN_NUMBER,   /* any other number: saturates when its octets can't hold it */
	PLAN_FLAGS,    /* bits: the low ones are kept */
	PLAN_NTP,      /* dateTimeNanoseconds, RFC 7011 6.1.10 */
	PLAN_UPTIME,   /* milliseconds since boot, RFC 3954 8 */
	PLAN_TEXT,     /* string of fixed length, filled up with zeros */
	PLAN_VARIABLE, /* string with its length before it, RFC 7011 7 */
};

struct plan_field {
	const struct field *field;
	uint16_t offset; /* in struct flow_record */
	uint16_t length; /* on the wire; PLAN_VARIABLE: the most octets of text */
	uint8_t op;	 /* enum plan_op */
	bool swap;	 /* octets that libfixbuf takes for a number (IPv4 address) */
};

struct plan {
	uint16_t id;
	uint16_t n_fields;
	uint16_t n_variable;
	uint16_t fixed_size; /* octets of all fields but the variable ones */
	uint16_t min_size;   /* of a record on the wire */
	struct plan_field fields[TEMPLATE_MAX_FIELDS];
};

/* room: octets for one record in an empty message; variable strings are cut so that a record always
 * fits. Fails if there is no room for PLAN_TEXT_MIN octets of each. */
#define PLAN_TEXT_MIN 64
bool plan_init(struct plan *plan, const struct template_record *record, uint32_t room,
	       GError **error);

/* Octets of the record on the wire; what a later plan_write takes. */
uint32_t plan_size(const struct plan *plan, const struct flow_record *record);

/* Value of a field that is a number on the wire. base_ms: PLAN_UPTIME counts from there. */
uint64_t plan_number(const struct plan_field *field, const struct flow_record *record,
		     uint64_t base_ms);

/* The same, quick for what needs no care. */
static inline uint64_t plan_value(const struct plan_field *field, const struct flow_record *record,
				  uint64_t base_ms)
{
	const uint8_t *at = (const uint8_t *)record + field->offset;
	uint64_t u64;
	uint32_t u32;
	uint16_t u16;

	switch (field->op) {
	case PLAN_8:
		return *at;
	case PLAN_16:
		memcpy(&u16, at, sizeof(u16));
		return u16;
	case PLAN_32:
		memcpy(&u32, at, sizeof(u32));
		return u32;
	case PLAN_64:
		memcpy(&u64, at, sizeof(u64));
		return u64;
	default:
		return plan_number(field, record, base_ms);
	}
}

/* Text of a PLAN_TEXT or PLAN_VARIABLE field, at most field->length octets into out; returns them.
 */
size_t plan_text(const struct plan_field *field, const struct flow_record *record, char *out);

/* Writes the record as it stands on the wire. */
void plan_write(const struct plan *plan, const struct flow_record *record, uint64_t base_ms,
		struct wire *wire);

#endif

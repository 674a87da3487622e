/* SPDX-License-Identifier: MIT */
/*
 * A template record made ready for encoding: where each field lies in struct flow_record and what
 * is done to it on its way to the wire. Both formats have the same records. Above: template.c;
 * below: encoder.c.
 */
#ifndef BPFLOWD_PLAN_H
#define BPFLOWD_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "encoder.h"
#include "template.h"

enum plan_op {
	PLAN_COPY,   /* octets as they are */
	PLAN_COPY_4, /* IPv4 address */
	PLAN_COPY_6, /* MAC address */
	PLAN_COPY_16,
	PLAN_8, /* numbers that have the same size on both sides */
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
};

struct plan {
	uint16_t id;
	uint16_t n_fields;
	uint16_t n_variable;
	uint16_t fixed_size; /* octets of all fields but the variable ones */
	struct plan_field fields[TEMPLATE_MAX_FIELDS];
};

/* room: octets for one record in an empty message; variable strings are cut so that a record always
 * fits. Fails if there is no room for PLAN_TEXT_MIN octets of each. */
#define PLAN_TEXT_MIN 64
bool plan_init(struct plan *plan, const struct template_record *record, uint32_t room,
	       GError **error);

/* Octets of the record on the wire; what a later plan_write takes. */
uint32_t plan_size(const struct plan *plan, const struct flow_record *record);

/* Writes the record as it stands on the wire: plan_size octets, for which `at` has room. Returns
 * the end. base_ms: PLAN_UPTIME counts from there. */
uint8_t *plan_write(const struct plan *plan, const struct flow_record *record, uint64_t base_ms,
		    uint8_t *at);

#endif

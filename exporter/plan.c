/* SPDX-License-Identifier: MIT */
/* Values on their way from struct flow_record to the wire. */
#include "config.h"

#include "plan.h"

#include <string.h>

#include "text.h"
#include "wire.h"

#define NTP_UNIX_OFFSET 2208988800ull /* seconds from 1900 to 1970 (RFC 5905 6) */

static bool is_plain_number(const struct field *field)
{
	return (field_is_number(field) || field->type == FIELD_MSEC) &&
	       field->group != FIELD_GROUP_DNS;
}

static enum plan_op choose_op(const struct field *field, uint16_t length)
{
	switch (field->type) {
	case FIELD_IPV4:
	case FIELD_IPV6:
	case FIELD_MAC:
	case FIELD_OCTETS:
		return length == 4    ? PLAN_COPY_4
		       : length == 6  ? PLAN_COPY_6
		       : length == 16 ? PLAN_COPY_16
				      : PLAN_COPY;
	case FIELD_NSEC:
		return PLAN_NTP;
	case FIELD_UPTIME:
		return PLAN_UPTIME;
	case FIELD_STRING:
		return length == FIELD_VARIABLE ? PLAN_VARIABLE : PLAN_TEXT;
	default:
		break;
	}
	if (field->merge == FIELD_MERGE_OR)
		return PLAN_FLAGS;
	if (!is_plain_number(field) || field->size != length)
		return PLAN_NUMBER;
	return length == 1 ? PLAN_8 : length == 2 ? PLAN_16 : length == 4 ? PLAN_32 : PLAN_64;
}

/* Shares what is left of the message among the variable strings. */
static bool limit_texts(struct plan *plan, uint32_t room, GError **error)
{
	uint32_t prefixes = 3 * plan->n_variable;
	uint32_t left = room > plan->fixed_size + prefixes ? room - plan->fixed_size - prefixes : 0;
	uint32_t needed = plan->fixed_size + plan->n_variable * (3 + PLAN_TEXT_MIN);

	if (needed > room) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOSPC,
			    "a record takes %u octets, a message has room for %u", needed, room);
		return false;
	}
	for (unsigned int i = 0; i < plan->n_fields; i++) {
		struct plan_field *field = &plan->fields[i];

		if (field->op == PLAN_VARIABLE)
			field->length = MIN(field->field->size - 1u, left / plan->n_variable);
	}
	return true;
}

bool plan_init(struct plan *plan, const struct template_record *record, uint32_t room,
	       GError **error)
{
	memset(plan, 0, sizeof(*plan));
	plan->id = record->id;
	plan->n_fields = record->n_fields;
	for (unsigned int i = 0; i < record->n_fields; i++) {
		const struct template_field *from = &record->fields[i];

		plan->fields[i] = (struct plan_field){
			.field = from->field,
			.offset = from->field->offset,
			.length = from->length,
			.op = choose_op(from->field, from->length),
		};
		if (from->length == FIELD_VARIABLE)
			plan->n_variable++;
		else
			plan->fixed_size += from->length;
	}
	return limit_texts(plan, room, error);
}

/* At most field->length octets. */
static size_t copy_text(const struct plan_field *field, const struct flow_record *record, char *out)
{
	const char *text = (const char *)record + field->offset;

	return text_copy(out, field->length, text, field->field->size);
}

uint32_t plan_size(const struct plan *plan, const struct flow_record *record)
{
	uint32_t size = plan->fixed_size;
	char text[RECORD_DNS_NAME_MAX];

	if (plan->n_variable == 0)
		return size;
	for (unsigned int i = 0; i < plan->n_fields; i++) {
		const struct plan_field *field = &plan->fields[i];
		size_t length;

		if (field->op != PLAN_VARIABLE)
			continue;
		length = copy_text(field, record, text);
		size += length + (length < 255 ? 1 : 3);
	}
	return size;
}

/* dateTimeNanoseconds is the 64-bit NTP format: seconds since 1900 and a binary fraction. */
static uint64_t to_ntp(uint64_t unix_ns)
{
	uint64_t seconds = unix_ns / NSEC_PER_SEC + NTP_UNIX_OFFSET;
	/* rounded up: readers round down */
	uint64_t fraction = (((unix_ns % NSEC_PER_SEC) << 32) + NSEC_PER_SEC - 1) / NSEC_PER_SEC;

	return seconds << 32 | fraction;
}

/* Numbers that need care. */
static uint64_t number(const struct plan_field *field, const struct flow_record *record,
		       uint64_t base_ms)
{
	uint64_t value = field_number(field->field, record);
	uint64_t max = field->length < 8 ? (1ull << 8 * field->length) - 1 : UINT64_MAX;

	switch (field->op) {
	case PLAN_FLAGS:
		return value & max;
	case PLAN_NTP:
		return to_ntp(value);
	case PLAN_UPTIME:
		/* what began before the boot that the header tells can't be said */
		return value > base_ms ? (uint32_t)(value - base_ms) : 0;
	default:
		/* RFC 7011 6.2 allows fewer octets only for what fits; the largest number at least
		 * doesn't look like a small one */
		return MIN(value, max);
	}
}

static uint8_t *write_text(const struct plan_field *field, const struct flow_record *record,
			   uint8_t *at)
{
	size_t used = copy_text(field, record, (char *)at);

	memset(at + used, 0, field->length - used);
	return at + field->length;
}

static uint8_t *write_variable(const struct plan_field *field, const struct flow_record *record,
			       uint8_t *at)
{
	char text[RECORD_DNS_NAME_MAX];
	size_t length = copy_text(field, record, text);

	if (length < 255) {
		*at++ = length;
	} else {
		*at++ = 255;
		wire_store(at, length, 2);
		at += 2;
	}
	memcpy(at, text, length);
	return at + length;
}

static uint8_t *write_field(const struct plan_field *field, const struct flow_record *record,
			    uint64_t base_ms, uint8_t *at)
{
	switch (field->op) {
	case PLAN_TEXT:
		return write_text(field, record, at);
	case PLAN_VARIABLE:
		return write_variable(field, record, at);
	case PLAN_COPY:
		memcpy(at, (const uint8_t *)record + field->offset, field->length);
		break;
	default:
		wire_store(at, number(field, record, base_ms), field->length);
	}
	return at + field->length;
}

/* What nearly every field is, in line. */
uint8_t *plan_write(const struct plan *plan, const struct flow_record *record, uint64_t base_ms,
		    uint8_t *at)
{
	const struct plan_field *end = plan->fields + plan->n_fields;

	for (const struct plan_field *field = plan->fields; field < end; field++) {
		const uint8_t *from = (const uint8_t *)record + field->offset;
		uint64_t u64;
		uint32_t u32;
		uint16_t u16;

		switch ((enum plan_op)field->op) {
		case PLAN_8:
			*at++ = *from;
			continue;
		case PLAN_16:
			memcpy(&u16, from, sizeof(u16));
			u16 = GUINT16_TO_BE(u16);
			at = mempcpy(at, &u16, sizeof(u16));
			continue;
		case PLAN_32:
			memcpy(&u32, from, sizeof(u32));
			u32 = GUINT32_TO_BE(u32);
			at = mempcpy(at, &u32, sizeof(u32));
			continue;
		case PLAN_64:
			memcpy(&u64, from, sizeof(u64));
			u64 = GUINT64_TO_BE(u64);
			at = mempcpy(at, &u64, sizeof(u64));
			continue;
		case PLAN_COPY_4:
			at = mempcpy(at, from, 4);
			continue;
		case PLAN_COPY_6:
			at = mempcpy(at, from, 6);
			continue;
		case PLAN_COPY_16:
			at = mempcpy(at, from, 16);
			continue;
		case PLAN_COPY:
		case PLAN_NUMBER:
		case PLAN_FLAGS:
		case PLAN_NTP:
		case PLAN_UPTIME:
		case PLAN_TEXT:
		case PLAN_VARIABLE:
			at = write_field(field, record, base_ms, at);
		}
	}
	return at;
}

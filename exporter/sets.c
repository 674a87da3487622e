/* SPDX-License-Identifier: MIT */
/*
 * Records into sets, sets into bodies, and the padding between them. Above: encoder.c,
 * netflow9.c, options_encode.c, type_records.c.
 */
#include "config.h"

#include "sets.h"

#include <string.h>

size_t sets_message_header(enum encoder_format format)
{
	return format == ENCODER_NETFLOW9 ? 20 : 16;
}

void sets_init(struct sets *sets, enum encoder_format format, uint32_t max_message_size)
{
	memset(sets, 0, sizeof(*sets));
	sets->format = format;
	sets->room = max_message_size - sets_message_header(format);
	wire_init(&sets->wire, g_malloc(sets->room), sets->room);
}

void sets_clear(struct sets *sets)
{
	g_clear_pointer(&sets->wire.start, g_free);
}

/* NetFlow v9 fills FlowSets up to 32 bits (RFC 3954 5.3); in IPFIX it is optional and nfcapd 1.7.1
 * complains of it. */
static size_t padded(const struct sets *sets, size_t size)
{
	return sets->format == ENCODER_NETFLOW9 ? (size + 3) & ~(size_t)3 : size;
}

void sets_close(struct sets *sets)
{
	size_t used = wire_used(&sets->wire);

	if (!sets->set)
		return;
	wire_put_zeros(&sets->wire, padded(sets, used) - used);
	wire_store(sets->set + 2, sets->wire.at - sets->set, 2);
	sets->set = NULL;
}

static bool is_template_set(uint16_t set_id)
{
	return set_id <= SET_OPTIONS_TEMPLATES;
}

bool sets_record(struct sets *sets, uint16_t set_id, size_t size)
{
	bool same_set = sets->set && sets->set_id == set_id;
	size_t used = wire_used(&sets->wire);

	if (!same_set)
		used = padded(sets, used) + SET_HEADER;
	if (padded(sets, used + size) > sets->room)
		return false;
	if (!same_set) {
		sets_close(sets);
		sets->set = sets->wire.at;
		sets->set_id = set_id;
		wire_put(&sets->wire, set_id, 2);
		wire_put(&sets->wire, 0, 2); /* length, by sets_close */
	}
	sets->n_records++;
	sets->n_templates += is_template_set(set_id);
	return true;
}

struct message *sets_take(struct sets *sets, enum message_kind kind)
{
	struct message *message;

	if (sets->n_records == 0)
		return NULL;
	sets_close(sets);
	g_assert(!sets->wire.overflow);
	message = message_new(kind, sets->wire.start, wire_used(&sets->wire));
	message->n_records = sets->n_records;
	message->n_sequence =
		sets->format == ENCODER_NETFLOW9 ? 1 : sets->n_records - sets->n_templates;
	sets->wire.at = sets->wire.start;
	sets->n_records = sets->n_templates = 0;
	return message;
}

void sets_take_into(struct sets *sets, enum message_kind kind, GPtrArray *messages)
{
	struct message *message = sets_take(sets, kind);

	if (message)
		g_ptr_array_add(messages, message);
}

void sets_record_into(struct sets *sets, uint16_t set_id, size_t size, enum message_kind kind,
		      GPtrArray *messages)
{
	if (sets_record(sets, set_id, size))
		return;
	sets_take_into(sets, kind, messages);
	/* plan_init and template_check_size saw to it */
	if (!sets_record(sets, set_id, size))
		g_error("a record of %zu octets in a message for %zu", size, sets->room);
}

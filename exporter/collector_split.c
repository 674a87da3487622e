/* SPDX-License-Identifier: MIT */
/*
 * A message that the path no longer takes, cut into smaller ones between its records. Where a
 * record ends its template says, as for any collector. Above: collector_send.c.
 */
#include "config.h"

#include <string.h>

#include "collector_private.h"
#include "sets.h"

#define VARIABLE   65535
#define ENTERPRISE 0x8000

/* What the two formats write differently. */
struct dialect {
	uint16_t templates; /* set ids */
	uint16_t options_templates;
	bool enterprise; /* element numbers may carry the bit */
	bool octets;	 /* options templates tell octets of field specifiers, not how many */
	uint32_t align;
};

/* RFC 7011 3.3.2; RFC 3954 5.2, 5.3, 6.1 */
static const struct dialect dialects[] = {
	[ENCODER_IPFIX] = {SET_TEMPLATES, SET_OPTIONS_TEMPLATES, true, false, 1},
	[ENCODER_NETFLOW9] = {SET_V9_TEMPLATES, SET_V9_OPTIONS_TEMPLATES, false, true, 4},
};

/* A template record: its field specifiers. */
struct shape {
	const uint8_t *fields;
	uint32_t n_fields;
};

/* What the sets of a message are read with. */
struct grammar {
	const struct dialect *dialect;
	GHashTable *shapes; /* by template id */
};

/* What has been cut off so far. */
struct cut {
	struct grammar grammar;
	const struct message *message;
	uint32_t max_size;
	uint32_t n_done; /* records in finished pieces */
	GByteArray *body;
	uint32_t set;	 /* where the open set begins */
	bool set_opened; /* there is one */
	uint32_t n_records;
	uint32_t n_templates; /* of n_records */
	GPtrArray *pieces;
};

static uint16_t get16(const uint8_t *at)
{
	return at[0] << 8 | at[1];
}

static void put16(uint8_t *at, uint16_t value)
{
	at[0] = value >> 8;
	at[1] = value;
}

static bool is_enterprise(const struct dialect *dialect, const uint8_t *field)
{
	return dialect->enterprise && get16(field) & ENTERPRISE;
}

static bool holds_templates(const struct dialect *dialect, uint16_t set_id)
{
	return set_id == dialect->templates || set_id == dialect->options_templates;
}

/* Octets of the template record at `at`, 0 if it is not whole. */
static uint32_t template_size(const struct dialect *dialect, uint16_t set_id, const uint8_t *at,
			      uint32_t left, struct shape *shape)
{
	uint32_t size = set_id == dialect->templates ? 4 : 6;

	if (left < size)
		return 0;
	shape->n_fields = get16(at + 2);
	if (dialect->octets && set_id == dialect->options_templates)
		shape->n_fields = (get16(at + 2) + get16(at + 4)) / 4;
	shape->fields = at + size;
	for (uint32_t i = 0; i < shape->n_fields; i++) {
		if (left < size + 4)
			return 0;
		size += is_enterprise(dialect, at + size) ? 8 : 4;
	}
	/* a template without fields is padding */
	return shape->n_fields && size <= left ? size : 0;
}

/* Octets of the data record at `at`, 0 if it is not whole. */
static uint32_t record_size(const struct dialect *dialect, const struct shape *shape,
			    const uint8_t *at, uint32_t left)
{
	const uint8_t *field = shape->fields;
	uint32_t size = 0;

	for (uint32_t i = 0; i < shape->n_fields; i++) {
		uint32_t length = get16(field + 2);

		if (length == VARIABLE) {
			if (left < size + 1)
				return 0;
			length = 1 + at[size];
			if (length == 1 + 255) {
				if (left < size + 3)
					return 0;
				length = 3 + get16(at + size + 1);
			}
		}
		size += length;
		field += is_enterprise(dialect, field) ? 8 : 4;
	}
	return size <= left ? size : 0;
}

/* Calls fn for every set of a body; stops when it returns false. */
static bool each_set(const struct message *message,
		     bool (*fn)(void *user, uint16_t id, const uint8_t *at, uint32_t size),
		     void *user)
{
	uint32_t offset = 0;

	while (offset + SET_HEADER <= message->size) {
		const uint8_t *set = message->body + offset;
		uint16_t size = get16(set + 2);

		if (size < SET_HEADER || offset + size > message->size)
			return false;
		if (!fn(user, get16(set), set + SET_HEADER, size - SET_HEADER))
			return false;
		offset += size;
	}
	return true;
}

static bool learn_set(void *user, uint16_t id, const uint8_t *at, uint32_t left)
{
	const struct grammar *grammar = user;
	struct shape shape;
	uint32_t size;

	if (!holds_templates(grammar->dialect, id))
		return true;
	while ((size = template_size(grammar->dialect, id, at, left, &shape))) {
		g_hash_table_insert(grammar->shapes, GINT_TO_POINTER(get16(at)),
				    g_memdup2(&shape, sizeof(shape)));
		at += size;
		left -= size;
	}
	return true;
}

static uint32_t padded(const struct cut *cut, uint32_t size)
{
	uint32_t align = cut->grammar.dialect->align;

	return (size + align - 1) / align * align;
}

static void close_set(struct cut *cut)
{
	static const uint8_t zeros[4];
	uint32_t size = cut->body->len;

	if (!cut->set_opened)
		return;
	g_byte_array_append(cut->body, zeros, padded(cut, size) - size);
	put16(cut->body->data + cut->set + 2, cut->body->len - cut->set);
	cut->set_opened = false;
}

static void finish_piece(struct cut *cut)
{
	const struct message *whole = cut->message;
	struct message *piece;

	if (!cut->n_records)
		return;
	close_set(cut);
	piece = message_new(whole->kind, cut->body->data, cut->body->len);
	piece->n_records = cut->n_records;
	/* IPFIX numbers data records, NetFlow v9 messages */
	piece->n_sequence = cut->grammar.dialect == &dialects[ENCODER_IPFIX]
				    ? cut->n_records - cut->n_templates
				    : 1;
	if (whole->shares)
		message_set_shares(piece, whole->shares + cut->n_done);
	piece->uptime_skip_ms = whole->uptime_skip_ms;
	g_ptr_array_add(cut->pieces, piece);
	cut->n_done += cut->n_records;
	cut->n_records = cut->n_templates = 0;
	g_byte_array_set_size(cut->body, 0);
}

static bool add_record(struct cut *cut, uint16_t set_id, const uint8_t *at, uint32_t size)
{
	uint8_t header[SET_HEADER] = {set_id >> 8, set_id};
	uint32_t need = size + (cut->set_opened ? 0 : SET_HEADER);

	if (padded(cut, SET_HEADER + size) > cut->max_size ||
	    cut->n_done + cut->n_records == cut->message->n_records)
		return false;
	if (padded(cut, cut->body->len + need) > cut->max_size)
		finish_piece(cut);
	if (!cut->set_opened) {
		cut->set = cut->body->len;
		cut->set_opened = true;
		g_byte_array_append(cut->body, header, sizeof(header));
	}
	g_byte_array_append(cut->body, at, size);
	cut->n_records++;
	cut->n_templates += holds_templates(cut->grammar.dialect, set_id);
	return true;
}

static bool cut_set(void *user, uint16_t id, const uint8_t *at, uint32_t left)
{
	struct cut *cut = user;
	const struct dialect *dialect = cut->grammar.dialect;
	const struct shape *known = g_hash_table_lookup(cut->grammar.shapes, GINT_TO_POINTER(id));
	bool templates = holds_templates(dialect, id);
	struct shape shape;

	if (!templates && !known)
		return false;
	/* a set of its own stays one: there are readers that take just the first of several */
	close_set(cut);
	for (;;) {
		uint32_t size = templates ? template_size(dialect, id, at, left, &shape)
					  : record_size(dialect, known, at, left);

		if (size == 0)
			return true;
		if (!add_record(cut, id, at, size))
			return false;
		at += size;
		left -= size;
	}
}

GPtrArray *message_split(const struct message *message, enum encoder_format format,
			 const GPtrArray *templates, uint32_t max_size)
{
	g_autoptr(GPtrArray) pieces = g_ptr_array_new_with_free_func((GDestroyNotify)message_unref);
	g_autoptr(GHashTable) shapes = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	g_autoptr(GByteArray) body = g_byte_array_new();
	struct cut cut = {
		.grammar = {&dialects[format], shapes},
		.message = message,
		.max_size = max_size,
		.body = body,
		.pieces = pieces,
	};

	for (guint i = 0; templates && i < templates->len; i++)
		each_set(g_ptr_array_index(templates, i), learn_set, &cut.grammar);
	if (!message->n_records || !each_set(message, cut_set, &cut))
		return NULL;
	finish_piece(&cut);
	if (cut.n_done != message->n_records)
		return NULL;
	return g_steal_pointer(&pieces);
}

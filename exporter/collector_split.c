/* SPDX-License-Identifier: MIT */
/*
 * A message that the path no longer takes, cut into smaller ones between its records. Where a
 * record ends its template says, as for any collector. Above: collector_send.c.
 */
#include "config.h"

#include <string.h>

#include "collector_private.h"

#define SET_HEADER	     4
#define SET_TEMPLATES	     2
#define SET_OPTION_TEMPLATES 3
#define VARIABLE	     65535
#define ENTERPRISE	     0x8000

/* A template record: its field specifiers. */
struct shape {
	const uint8_t *fields;
	uint16_t n_fields;
};

/* What has been cut off so far. */
struct cut {
	const struct message *message;
	uint32_t max_size;
	uint32_t n_done; /* records in finished pieces */
	GByteArray *body;
	uint32_t set;	 /* where the open set begins */
	uint16_t set_id; /* 0: none is open */
	uint32_t n_records;
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

/* Octets of the template record at `at`, 0 if it is not whole. */
static uint32_t template_size(uint16_t set_id, const uint8_t *at, uint32_t left,
			      struct shape *shape)
{
	uint32_t size = set_id == SET_TEMPLATES ? 4 : 6;

	if (left < size)
		return 0;
	shape->n_fields = get16(at + 2);
	shape->fields = at + size;
	for (int i = 0; i < shape->n_fields; i++) {
		if (left < size + 4)
			return 0;
		size += get16(at + size) & ENTERPRISE ? 8 : 4;
	}
	return size <= left ? size : 0;
}

/* Octets of the data record at `at`, 0 if it is not whole. */
static uint32_t record_size(const struct shape *shape, const uint8_t *at, uint32_t left)
{
	const uint8_t *field = shape->fields;
	uint32_t size = 0;

	for (int i = 0; i < shape->n_fields; i++) {
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
		field += get16(field) & ENTERPRISE ? 8 : 4;
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
	GHashTable *shapes = user;
	struct shape shape;
	uint32_t size;

	if (id != SET_TEMPLATES && id != SET_OPTION_TEMPLATES)
		return true;
	while ((size = template_size(id, at, left, &shape))) {
		g_hash_table_insert(shapes, GINT_TO_POINTER(get16(at)),
				    g_memdup2(&shape, sizeof(shape)));
		at += size;
		left -= size;
	}
	return true;
}

static uint64_t share(uint64_t total, const struct cut *cut)
{
	uint32_t n = cut->message->n_records;
	__uint128_t end = (__uint128_t)total * (cut->n_done + cut->n_records);

	/* shares of all pieces make up the whole */
	return (uint64_t)(end / n) - (uint64_t)((__uint128_t)total * cut->n_done / n);
}

static void finish_piece(struct cut *cut)
{
	const struct message *whole = cut->message;
	struct message *piece;

	if (!cut->n_records)
		return;
	put16(cut->body->data + cut->set + 2, cut->body->len - cut->set);
	piece = g_malloc0(sizeof(*piece) + cut->body->len);
	piece->refs = 1;
	piece->kind = whole->kind;
	piece->size = cut->body->len;
	memcpy(piece->body, cut->body->data, cut->body->len);
	piece->n_records = cut->n_records;
	piece->n_sequence = share(whole->n_sequence, cut);
	piece->n_flows = share(whole->n_flows, cut);
	piece->n_packets = share(whole->n_packets, cut);
	piece->n_octets = share(whole->n_octets, cut);
	g_ptr_array_add(cut->pieces, piece);
	cut->n_done += cut->n_records;
	cut->n_records = 0;
	cut->set_id = 0;
	g_byte_array_set_size(cut->body, 0);
}

static bool add_record(struct cut *cut, uint16_t set_id, const uint8_t *at, uint32_t size)
{
	uint8_t header[SET_HEADER] = {set_id >> 8, set_id};
	uint32_t need = size + (set_id == cut->set_id ? 0 : SET_HEADER);

	if (SET_HEADER + size > cut->max_size)
		return false;
	if (cut->body->len + need > cut->max_size)
		finish_piece(cut);
	if (cut->set_id != set_id) {
		if (cut->set_id)
			put16(cut->body->data + cut->set + 2, cut->body->len - cut->set);
		cut->set = cut->body->len;
		cut->set_id = set_id;
		g_byte_array_append(cut->body, header, sizeof(header));
	}
	g_byte_array_append(cut->body, at, size);
	cut->n_records++;
	return true;
}

struct cut_and_shapes {
	struct cut cut;
	GHashTable *shapes;
};

static bool cut_set(void *user, uint16_t id, const uint8_t *at, uint32_t left)
{
	struct cut_and_shapes *work = user;
	const struct shape *known = g_hash_table_lookup(work->shapes, GINT_TO_POINTER(id));
	bool templates = id == SET_TEMPLATES || id == SET_OPTION_TEMPLATES;
	struct shape shape;

	if (!templates && !known)
		return false;
	for (;;) {
		uint32_t size = templates ? template_size(id, at, left, &shape)
					  : record_size(known, at, left);

		if (size == 0)
			return true;
		if (!add_record(&work->cut, id, at, size))
			return false;
		at += size;
		left -= size;
	}
}

GPtrArray *message_split(const struct message *message, const GPtrArray *templates,
			 uint32_t max_size)
{
	g_autoptr(GPtrArray) pieces = g_ptr_array_new_with_free_func((GDestroyNotify)message_unref);
	g_autoptr(GHashTable) shapes = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	g_autoptr(GByteArray) body = g_byte_array_new();
	struct cut_and_shapes work = {
		.cut = {.message = message, .max_size = max_size, .body = body, .pieces = pieces},
		.shapes = shapes,
	};

	for (guint i = 0; templates && i < templates->len; i++)
		each_set(g_ptr_array_index(templates, i), learn_set, shapes);
	if (!message->n_records || !each_set(message, cut_set, &work))
		return NULL;
	finish_piece(&work.cut);
	if (work.cut.n_done != message->n_records)
		return NULL;
	return g_steal_pointer(&pieces);
}

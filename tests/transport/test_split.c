/* SPDX-License-Identifier: MIT */
/* message_split: whatever the sets hold, the pieces hold it all, whole records in order; and the
 * queue they come from. */
#include "config.h"

#include <glib.h>
#include <string.h>

#include "collector_private.h"
#include "encoder_format.h"
#include "transport.h"
#include "tests/unit/wire_fixture.h"

/* Unlike from record to record, and now and then none: drops beside their flow. */
static void fill_shares(struct message *message)
{
	message->shares = g_new(struct record_share, message->n_records);
	for (uint32_t i = 0; i < message->n_records; i++) {
		struct record_share *share = &message->shares[i];

		*share = (struct record_share){i % 5 != 4, i % 5 == 4 ? 0 : 1 + i * i,
					       i % 5 == 4 ? 0 : UINT64_C(1) << i % 50};
		message->n_flows += share->n_flows;
		message->n_packets += share->n_packets;
		message->n_octets += share->n_octets;
	}
}

static struct message *message_of(enum message_kind kind, const GByteArray *body,
				  uint32_t n_records)
{
	struct message *message = g_malloc0(sizeof(*message) + body->len);

	message->refs = 1;
	message->kind = kind;
	message->size = body->len;
	message->n_records = message->n_sequence = n_records;
	if (kind == MESSAGE_DATA)
		fill_shares(message);
	memcpy(message->body, body->data, body->len);
	return message;
}

static void append16(GByteArray *body, uint16_t value)
{
	uint8_t octets[2] = {value >> 8, value};

	g_byte_array_append(body, octets, 2);
}

static void set_length(GByteArray *body, guint set)
{
	body->data[set + 2] = (body->len - set) >> 8;
	body->data[set + 3] = body->len - set;
}

/* 256: 4 and 2 octets; 257: 8, a variable one, an enterprise one of 4; 258: options. */
static GPtrArray *templates(void)
{
	static const uint16_t fields[] = {
		2,   36, 256, 2, 8,  4,	    7,	    2,	      /* a set of two templates */
		257, 3,	 148, 8, 82, 65535, 0x8001, 4,	0, 9, /* 9 is the enterprise */
		3,   18, 258, 2, 1,  144,   4,	    42, 8,    /* options template */
	};
	g_autoptr(GByteArray) body = g_byte_array_new();
	GPtrArray *all = g_ptr_array_new_with_free_func((GDestroyNotify)message_unref);

	for (size_t i = 0; i < G_N_ELEMENTS(fields); i++)
		append16(body, fields[i]);
	g_ptr_array_add(all, message_of(MESSAGE_TEMPLATES, body, 3));
	return all;
}

static void append_record(GByteArray *body, uint16_t set_id, unsigned seed)
{
	uint8_t fill[700];
	guint variable = seed % 3 ? seed * 7 % 250 : 255 + seed * 13 % 300;

	memset(fill, seed, sizeof(fill));
	if (set_id == 256) {
		g_byte_array_append(body, fill, 6);
		return;
	}
	if (set_id == 258) {
		g_byte_array_append(body, fill, 12);
		return;
	}
	g_byte_array_append(body, fill, 8);
	if (variable < 255) {
		g_byte_array_append(body, &(uint8_t){variable}, 1);
	} else {
		g_byte_array_append(body, &(uint8_t){255}, 1);
		append16(body, variable);
	}
	g_byte_array_append(body, fill, variable + 4);
}

static struct message *mixed(uint32_t n_records)
{
	g_autoptr(GByteArray) body = g_byte_array_new();
	uint16_t open = 0;
	guint set = 0;

	for (unsigned i = 0; i < n_records; i++) {
		uint16_t id = 256 + i / 5 % 3;

		if (id != open) {
			if (open)
				set_length(body, set);
			set = body->len;
			append16(body, id);
			append16(body, 0);
			open = id;
		}
		append_record(body, id, i);
	}
	set_length(body, set);
	return message_of(MESSAGE_DATA, body, n_records);
}

/* Contents without set headers, for comparison: an id where it changes. */
static void flatten(GByteArray *out, const struct message *message, uint16_t *open)
{
	uint32_t offset = 0;

	while (offset < message->size) {
		uint16_t id = message->body[offset] << 8 | message->body[offset + 1];
		uint32_t size = message->body[offset + 2] << 8 | message->body[offset + 3];

		g_assert_cmpuint(size, >, 4);
		g_assert_cmpuint(offset + size, <=, message->size);
		if (id != *open)
			append16(out, id);
		*open = id;
		g_byte_array_append(out, message->body + offset + 4, size - 4);
		offset += size;
	}
}

/* A piece counts its own records, so that its loss is counted exactly. */
static void count_own(const struct message *piece, const struct record_share *shares)
{
	uint64_t n_flows = 0, n_packets = 0, n_octets = 0;

	for (uint32_t i = 0; i < piece->n_records; i++) {
		n_flows += shares[i].n_flows;
		n_packets += shares[i].n_packets;
		n_octets += shares[i].n_octets;
	}
	g_assert_cmpuint(piece->n_flows, ==, n_flows);
	g_assert_cmpuint(piece->n_packets, ==, n_packets);
	g_assert_cmpuint(piece->n_octets, ==, n_octets);
}

static void count_records(const GPtrArray *pieces, const struct message *whole)
{
	uint64_t n_records = 0, n_packets = 0, n_octets = 0, n_sequence = 0;

	for (guint i = 0; i < pieces->len; i++) {
		const struct message *piece = g_ptr_array_index(pieces, i);

		if (whole->shares)
			count_own(piece, whole->shares + n_records);
		n_records += piece->n_records;
		n_sequence += piece->n_sequence;
		n_packets += piece->n_packets;
		n_octets += piece->n_octets;
	}
	g_assert_cmpuint(n_records, ==, whole->n_records);
	g_assert_cmpuint(n_sequence, ==, whole->n_sequence);
	g_assert_cmpuint(n_packets, ==, whole->n_packets);
	g_assert_cmpuint(n_octets, ==, whole->n_octets);
}

static void test_all_sizes(void)
{
	g_autoptr(GPtrArray) known = templates();
	struct message *whole = mixed(40);

	for (uint32_t size = 700; size < whole->size + 10; size += 13) {
		g_autoptr(GPtrArray) pieces = message_split(whole, ENCODER_IPFIX, known, size);

		g_assert_nonnull(pieces);
		for (guint i = 0; i < pieces->len; i++)
			g_assert_cmpuint(((struct message *)pieces->pdata[i])->size, <=, size);
		count_records(pieces, whole);
		if (size >= whole->size) {
			const struct message *one = pieces->pdata[0];

			g_assert_cmpuint(pieces->len, ==, 1);
			g_assert_cmpmem(one->body, one->size, whole->body, whole->size);
		}
	}
	message_unref(whole);
}

/* Nothing is invented and nothing left out: the pieces one behind the other are the whole, but for
 * the headers of sets that were cut. */
static void test_same_contents(void)
{
	g_autoptr(GPtrArray) known = templates(), pieces = NULL;
	g_autoptr(GByteArray) before = g_byte_array_new(), after = g_byte_array_new();
	struct message *whole = mixed(40);
	uint16_t open = 0;

	pieces = message_split(whole, ENCODER_IPFIX, known, 800);
	g_assert_cmpuint(pieces->len, >, 3);
	flatten(before, whole, &open);
	open = 0;
	for (guint i = 0; i < pieces->len; i++)
		flatten(after, g_ptr_array_index(pieces, i), &open);
	g_assert_cmpmem(before->data, before->len, after->data, after->len);
	message_unref(whole);
}

static void test_templates(void)
{
	g_autoptr(GPtrArray) known = templates(), pieces = NULL;
	struct message *whole = g_ptr_array_index(known, 0);

	/* templates have no sequence number (RFC 7011 3.1) */
	whole->n_sequence = 0;
	pieces = message_split(whole, ENCODER_IPFIX, known, 30);
	g_assert_cmpuint(pieces->len, ==, 3);
	count_records(pieces, whole);
}

static unsigned count_sets(const struct message *message)
{
	unsigned n = 0;

	for (uint32_t at = 0; at < message->size;
	     at += message->body[at + 2] << 8 | message->body[at + 3])
		n++;
	return n;
}

/* Every piece can be read alone: it holds what its count says, and to a reader of its own it is
 * the same again. */
static void check_pieces(const GPtrArray *pieces, const struct message *whole,
			 enum encoder_format format, const GPtrArray *known, uint32_t size)
{
	uint64_t n_records = 0, n_flows = 0;

	g_assert_nonnull(pieces);
	for (guint i = 0; i < pieces->len; i++) {
		const struct message *piece = pieces->pdata[i];
		g_autoptr(GPtrArray) again = message_split(piece, format, known, piece->size);

		g_assert_cmpuint(piece->size, <=, size);
		g_assert_cmpuint(again->len, ==, 1);
		g_assert_cmpmem(((struct message *)again->pdata[0])->body,
				((struct message *)again->pdata[0])->size, piece->body,
				piece->size);
		g_assert_cmpint(piece->kind, ==, whole->kind);
		g_assert_cmpuint(piece->uptime_skip_ms, ==, whole->uptime_skip_ms);
		if (format == ENCODER_NETFLOW9) {
			g_assert_cmpuint(piece->size % 4, ==, 0);
			g_assert_cmpuint(piece->n_sequence, ==, 1);
		}
		if (whole->shares)
			count_own(piece, whole->shares + n_records);
		n_records += piece->n_records;
		n_flows += piece->n_flows;
	}
	g_assert_cmpuint(n_records, ==, whole->n_records);
	g_assert_cmpuint(n_flows, ==, whole->n_flows);
}

static void split_all(const GPtrArray *messages, enum encoder_format format, const GPtrArray *known,
		      uint32_t least)
{
	for (guint i = 0; i < messages->len; i++) {
		struct message *whole = messages->pdata[i];

		whole->uptime_skip_ms = 1 << 30;
		for (uint32_t size = least; size <= whole->size + 4; size += 4) {
			g_autoptr(GPtrArray) pieces = message_split(whole, format, known, size);

			check_pieces(pieces, whole, format, known, size);
			if (size < whole->size)
				continue;
			g_assert_cmpuint(pieces->len, ==, 1);
			g_assert_cmpuint(count_sets(pieces->pdata[0]), ==, count_sets(whole));
		}
	}
}

/* What the encoders write with the templates that come along: flows, options, templates. */
static void test_encoded(const void *data)
{
	const char *const *what = data;
	enum encoder_format format =
		g_str_equal(what[1], "netflow9") ? ENCODER_NETFLOW9 : ENCODER_IPFIX;
	g_autoptr(GPtrArray) told = NULL;
	GRand *rand = g_rand_new_with_seed(3);
	struct flow_record record;
	struct fixture fixture;
	struct options options;
	GPtrArray *known;

	fixture_init(&fixture, what[0], format, 1420);
	known = encoder_templates(fixture.encoder);
	for (int i = 0; i < 40; i++) {
		fixture_random(&record, rand);
		encoder_append(fixture.encoder, &record);
	}
	encoder_flush(fixture.encoder);
	fixture_options(&options);
	told = encoder_options(fixture.encoder, &options);
	g_assert_cmpuint(fixture.messages->len, >, 0);
	split_all(fixture.messages, format, known, 700);
	split_all(told, format, known, 300);
	split_all(known, format, known, 400);
	options_clear(&options);
	fixture_clear(&fixture);
	g_rand_free(rand);
}

static void test_impossible(void)
{
	g_autoptr(GPtrArray) known = templates();
	g_autoptr(GPtrArray) nothing = g_ptr_array_new();
	struct message *whole = mixed(40);

	/* a record that does not fit, a template that is not known, a body that is cut */
	g_assert_null(message_split(whole, ENCODER_IPFIX, known, 100));
	g_assert_null(message_split(whole, ENCODER_IPFIX, nothing, 1000));
	for (uint32_t size = 0; size < whole->size; size++) {
		struct message *cut = g_memdup2(whole, sizeof(*whole) + whole->size);

		cut->size = size;
		cut = g_realloc(cut, sizeof(*cut) + size);
		g_assert_null(message_split(cut, ENCODER_IPFIX, known, 1000));
		g_free(cut);
	}
	message_unref(whole);
}

static struct message *numbered(uint32_t number)
{
	struct message *message = g_malloc0(sizeof(*message) + 4);

	message->refs = 1;
	message->size = 4;
	message->n_records = number;
	return message;
}

/* Against a naive list: pushes, inserts near the front, takes. */
static void test_queue(void)
{
	g_autoptr(GArray) list = g_array_new(false, false, sizeof(uint32_t));
	struct queue queue = {0};
	GRand *random = g_rand_new_with_seed(7);

	for (uint32_t i = 0; i < 200000; i++) {
		uint32_t at = queue.n ? g_rand_int_range(random, 0, MIN(queue.n, 5)) : 0;

		switch (g_rand_int_range(random, 0, i / 1000 % 2 ? 3 : 6)) {
		case 0:
			queue_insert(&queue, at, numbered(i));
			g_array_insert_val(list, at, i);
			break;
		case 1:
		case 2:
			if (!queue.n)
				break;
			{
				struct message *message = queue_take(&queue, at);

				g_assert_cmpuint(message->n_records, ==,
						 g_array_index(list, uint32_t, at));
				message_unref(message);
				g_array_remove_index(list, at);
			}
			break;
		default:
			queue_push(&queue, numbered(i));
			g_array_append_val(list, i);
		}
		g_assert_cmpuint(queue.n, ==, list->len);
		g_assert_cmpuint(queue.bytes, ==, list->len * (4 + MESSAGE_HEADER_MAX));
	}
	for (uint32_t i = 0; i < queue.n; i++)
		g_assert_cmpuint(queue_at(&queue, i)->message->n_records, ==,
				 g_array_index(list, uint32_t, i));
	queue_clear(&queue);
	g_rand_free(random);
}

/* A ring that an outage has made large is given back when it is empty, and made anew. */
static void test_queue_gives_back(void)
{
	struct queue queue = {0};

	for (uint32_t round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < 3000; i++)
			queue_push(&queue, numbered(i));
		g_assert_cmpuint(queue.mask, ==, 4095);
		for (uint32_t i = 0; i < 3000; i++) {
			struct message *message = queue_take(&queue, 0);

			g_assert_cmpuint(message->n_records, ==, i);
			message_unref(message);
		}
		g_assert_null(queue.entry);
		g_assert_cmpuint(queue.bytes, ==, 0);
		queue_insert(&queue, 0, numbered(round));
		g_assert_nonnull(queue.entry);
		message_unref(queue_take(&queue, 0));
		g_assert_nonnull(queue.entry);
	}
	queue_clear(&queue);
}

/* What a message holds beside its octets counts, too: 16 of them for each record. */
static void test_queue_shares(void)
{
	const struct record_share shares[100] = {{.n_flows = 1, .n_packets = 2, .n_octets = 3}};
	struct message *message = numbered(G_N_ELEMENTS(shares));
	struct queue queue = {0};

	message_set_shares(message, shares);
	queue_push(&queue, message_ref(message));
	g_assert_cmpuint(queue.bytes, ==,
			 4 + MESSAGE_HEADER_MAX + G_N_ELEMENTS(shares) * sizeof(*shares));
	message_unref(queue_take(&queue, 0));
	g_assert_cmpuint(queue.bytes, ==, 0);
	queue_clear(&queue);
	message_unref(message);
}

/* A kernel without SCTP: said with the remedy, and no other transport in its place. */
static void test_sctp_refused(void)
{
	struct settings_collector settings = {
		.transport = TRANSPORT_SCTP, .address = (char *)"127.0.0.1", .source = (char *)""};
	struct sockaddr_storage address = {.ss_family = AF_INET};
	g_autoptr(GError) error = NULL;

	if (transport_available(TRANSPORT_SCTP, NULL)) {
		g_test_skip("kernel: has SCTP");
		return;
	}
	g_assert_false(transport_check(&settings, &error));
	g_assert_nonnull(strstr(error->message, "load the module sctp"));
	g_clear_error(&error);
	g_assert_null(
		transport_ops(TRANSPORT_SCTP)
			->open(&settings, (struct sockaddr *)&address, sizeof(address), &error));
	g_assert_nonnull(strstr(error->message, "load the module sctp"));
}

static const char *const encoded[][3] = {
	{"standard", "ipfix", "/split/encoded/ipfix-standard"},
	{"full", "ipfix", "/split/encoded/ipfix-full"},
	{"nfdump", "ipfix", "/split/encoded/ipfix-nfdump"},
	{"standard", "netflow9", "/split/encoded/netflow9-standard"},
	{"nfdump", "netflow9", "/split/encoded/netflow9-nfdump"},
	/* element numbers beyond 32767 */
	{"ntopng", "netflow9", "/split/encoded/netflow9-ntopng"},
};

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/split/all-sizes", test_all_sizes);
	g_test_add_func("/split/same-contents", test_same_contents);
	g_test_add_func("/split/templates", test_templates);
	for (size_t i = 0; i < G_N_ELEMENTS(encoded); i++)
		g_test_add_data_func(encoded[i][2], encoded[i], test_encoded);
	g_test_add_func("/split/impossible", test_impossible);
	g_test_add_func("/queue/against-a-list", test_queue);
	g_test_add_func("/queue/against-a-list-shares", test_queue_shares);
	g_test_add_func("/queue/gives-back", test_queue_gives_back);
	g_test_add_func("/sctp/refused", test_sctp_refused);
	return g_test_run();
}

/* SPDX-License-Identifier: MIT */
/* Messages of IPFIX and NetFlow v9 into sums; above: tally.c. */
#include "config.h"

#include "tests/tools/tally.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define VARIABLE  65535
#define BUCKET_NS (100 * 1000000ull) /* ten of them are a second */
#define N_BUCKETS 10

enum known { OCTETS, PACKETS, SRC4, SRC6, SRC_PORT, DST_PORT, PROTOCOL, START, END, N_KNOWN };

/* IANA's numbers. */
static const uint16_t known_ids[N_KNOWN] = {1, 2, 8, 27, 7, 11, 4, 152, 153};

struct field {
	uint16_t offset; /* 0xffff: not there */
	uint16_t size;
};

/* A template of fixed length is read by offsets; one of variable length field by field. */
struct template
{
	uint16_t n_fields;
	uint16_t *size;	 /* of each field */
	uint16_t *known; /* enum known of each field, or N_KNOWN */
	bool options;
	bool fixed;
	uint32_t length; /* fixed: of a record; else: at least */
	struct field at[N_KNOWN];
};

struct value {
	const uint8_t *data;
	uint16_t size;
};

static struct {
	uint64_t bucket;
	uint64_t records[N_BUCKETS];
} rate;

struct net nets[MAX_NETS];
int n_nets;
int64_t active_ms, idle_ms;
struct tally total;
static uint64_t now_ns; /* when the message arrived, CLOCK_REALTIME */

void error(const char *what)
{
	if (!total.errors++)
		snprintf(total.first_error, sizeof(total.first_error), "message %lu: %s",
			 total.messages, what);
}

uint64_t number(const uint8_t *data, size_t size)
{
	uint64_t n = 0;

	for (size_t i = 0; i < size; i++)
		n = n << 8 | data[i];
	return n;
}

/* ---- templates */

static void template_free(gpointer data)
{
	struct template *t = data;

	g_free(t->size);
	g_free(t->known);
	g_free(t);
}

static uint16_t known_of(uint16_t id)
{
	uint16_t i = 0;

	while (i < N_KNOWN && known_ids[i] != id)
		i++;
	return i;
}

static void add_field(struct template *t, uint16_t i, uint16_t id, uint16_t size)
{
	uint16_t known = known_of(id);

	t->size[i] = size;
	t->known[i] = known;
	if (size == VARIABLE)
		t->fixed = false;
	if (t->fixed && known < N_KNOWN)
		t->at[known] = (struct field){t->length, size};
	t->length += size == VARIABLE ? 1 : size;
}

/* Octets of the specifiers that were read, 0: they are cut short. */
static size_t read_fields(struct template *t, const uint8_t *data, size_t size, bool v9)
{
	size_t at = 0;

	for (uint16_t i = 0; i < t->n_fields; i++) {
		uint16_t id, length;

		if (size - at < 4)
			return 0;
		id = number(data + at, 2);
		length = number(data + at + 2, 2);
		at += 4;
		if (!v9 && id & 0x8000) {
			if (size - at < 4)
				return 0;
			at += 4;
			id = 0xffff;
		}
		add_field(t, i, id, length);
	}
	return at;
}

static void read_templates(struct session *s, const uint8_t *data, size_t size, bool v9,
			   bool options)
{
	size_t at = 0, head = options ? 6 : 4;

	while (size - at >= head && number(data + at, 2) >= 256) {
		struct template *t = g_new0(struct template, 1);
		uint16_t id = number(data + at, 2);
		size_t used;

		t->n_fields = number(data + at + 2, 2);
		if (v9 && options)
			t->n_fields = (t->n_fields + number(data + at + 4, 2)) / 4;
		t->options = options;
		t->fixed = true;
		t->size = g_new(uint16_t, t->n_fields + 1);
		t->known = g_new(uint16_t, t->n_fields + 1);
		memset(t->at, 0xff, sizeof(t->at));
		used = read_fields(t, data + at + head, size - at - head, v9);
		at += head + used;
		g_hash_table_replace(s->templates, GUINT_TO_POINTER(id), t);
		total.templates++;
		if (!used) {
			error("a template is cut short");
			return;
		}
	}
}

/* ---- records */

static bool in_net(const struct net *net, const struct value *values)
{
	const struct value *src = &values[net->family == AF_INET ? SRC4 : SRC6];
	int octets = net->bits / 8, rest = net->bits % 8;

	if (!src->data || memcmp(src->data, net->address, octets))
		return false;
	return !rest || !((src->data[octets] ^ net->address[octets]) >> (8 - rest));
}

static uint64_t value_of(const struct value *values, enum known known)
{
	return values[known].data ? number(values[known].data, values[known].size) : 0;
}

/* When the flow has to be told of at the latest, in ms; one that gave way, or was over, is early.
 */
static int64_t due_of(const struct value *values)
{
	int64_t start = value_of(values, START), end = value_of(values, END);

	return MAX(end, MIN(start + active_ms, end + idle_ms));
}

static void count_in(struct net *net, const struct value *values, uint64_t packets, uint64_t octets)
{
	struct flow_key key = {.src_port = value_of(values, SRC_PORT),
			       .dst_port = value_of(values, DST_PORT),
			       .protocol = value_of(values, PROTOCOL)};
	const struct value *src = &values[net->family == AF_INET ? SRC4 : SRC6];
	struct flow *flow;

	memcpy(key.src, src->data, MIN(src->size, sizeof(key.src)));
	flow = g_hash_table_lookup(net->flows, &key);
	if (!flow) {
		flow = g_new0(struct flow, 1);
		flow->key = key;
		g_hash_table_add(net->flows, flow);
	}
	flow->packets += packets;
	flow->octets += octets;
	net->records++;
	net->packets += packets;
	net->octets += octets;
	net->late_ms = MAX(net->late_ms, (int64_t)(now_ns / 1000000) - due_of(values));
	if (net->last_ns)
		net->pause_ns = MAX(net->pause_ns, now_ns - MIN(net->last_ns, now_ns));
	net->last_ns = now_ns;
}

static void count_rate(void)
{
	uint64_t bucket = now_ns / BUCKET_NS, sum = 0;

	if (bucket > rate.bucket + N_BUCKETS)
		rate.bucket = bucket - N_BUCKETS;
	while (rate.bucket < bucket)
		rate.records[++rate.bucket % N_BUCKETS] = 0;
	rate.records[bucket % N_BUCKETS]++;
	for (int i = 0; i < N_BUCKETS; i++)
		sum += rate.records[i];
	total.most_per_second = MAX(total.most_per_second, sum);
}

static void count(const struct template *t, const struct value *values)
{
	uint64_t packets, octets;

	total.records++;
	if (t->options)
		return;
	packets = value_of(values, PACKETS);
	octets = value_of(values, OCTETS);
	total.flows++;
	total.packets += packets;
	total.octets += octets;
	count_rate();
	for (int i = 0; i < n_nets; i++)
		if (in_net(&nets[i], values))
			count_in(&nets[i], values, packets, octets);
}

/* Octets of the record, 0: it is cut short. */
static size_t read_record(const struct template *t, const uint8_t *data, size_t size)
{
	struct value values[N_KNOWN + 1] = {0};
	size_t at = 0;

	for (uint16_t i = 0; !t->fixed && i < t->n_fields; i++) {
		size_t length = t->size[i];

		if (length == VARIABLE) {
			if (size == at)
				return 0;
			length = data[at++];
			if (length == 255 && size - at >= 2) {
				length = number(data + at, 2);
				at += 2;
			}
		}
		if (size - at < length)
			return 0;
		values[t->known[i]] = (struct value){data + at, length};
		at += length;
	}
	for (int i = 0; t->fixed && i < N_KNOWN; i++)
		if (t->at[i].offset != 0xffff)
			values[i] = (struct value){data + t->at[i].offset, t->at[i].size};
	count(t, values);
	return t->fixed ? t->length : at;
}

/* Records of a data set. */
static uint32_t read_data(const struct template *t, const uint8_t *data, size_t size)
{
	uint32_t n = 0;
	size_t at = 0;

	while (t->length && size - at >= t->length) {
		size_t used = read_record(t, data + at, size - at);

		if (!used) {
			error("a record is cut short");
			return n;
		}
		at += used;
		n++;
	}
	return n;
}

/* ---- messages */

static void follow(struct session *s, uint32_t domain, uint32_t sequence, uint32_t n)
{
	gpointer expected;

	if (g_hash_table_lookup_extended(s->expected, GUINT_TO_POINTER(domain), NULL, &expected) &&
	    sequence != GPOINTER_TO_UINT(expected)) {
		total.gaps++;
		total.missing += sequence - GPOINTER_TO_UINT(expected);
	}
	g_hash_table_insert(s->expected, GUINT_TO_POINTER(domain), GUINT_TO_POINTER(sequence + n));
}

static uint32_t read_set(struct session *s, uint16_t id, const uint8_t *data, size_t size, bool v9)
{
	const struct template *t;

	if (id < 4) {
		read_templates(s, data, size, v9, id == (v9 ? 1 : 3));
		return 0;
	}
	t = g_hash_table_lookup(s->templates, GUINT_TO_POINTER(id));
	if (!t) {
		error("data without template");
		return 0;
	}
	return read_data(t, data, size);
}

void read_message(struct session *s, const uint8_t *data, size_t size)
{
	bool v9 = size >= 2 && number(data, 2) == 9;
	size_t at = v9 ? 20 : 16;
	uint32_t n = 0, sequence, domain;

	total.messages++;
	if (size < at || (!v9 && (number(data, 2) != 10 || number(data + 2, 2) != size))) {
		error("no message");
		return;
	}
	sequence = number(data + (v9 ? 12 : 8), 4);
	domain = number(data + (v9 ? 16 : 12), 4);
	while (size - at >= 4) {
		size_t length = number(data + at + 2, 2);

		if (length < 4 || length > size - at) {
			error("a set is cut short");
			return;
		}
		n += read_set(s, number(data + at, 2), data + at + 4, length - 4, v9);
		at += length;
	}
	follow(s, domain, sequence, v9 ? 1 : n);
}

void arrived(uint64_t ns)
{
	now_ns = ns;
	total.last_ns = ns;
	if (!total.first_ns)
		total.first_ns = ns;
}

struct session *session_new(const struct sockaddr_storage *peer, int fd)
{
	struct session *s = g_new0(struct session, 1);

	s->peer = *peer;
	s->fd = fd;
	s->templates = g_hash_table_new_full(NULL, NULL, NULL, template_free);
	s->expected = g_hash_table_new(NULL, NULL);
	s->held = g_malloc(fd < 0 ? 1 : 2 * MESSAGE_MAX);
	total.sessions++;
	return s;
}

void session_free(gpointer data)
{
	struct session *s = data;

	if (s->n_held)
		error("the session ends in a message");
	g_hash_table_unref(s->templates);
	g_hash_table_unref(s->expected);
	g_free(s->held);
	if (s->fd >= 0)
		close(s->fd);
	g_free(s);
}

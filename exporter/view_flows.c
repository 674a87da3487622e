/* SPDX-License-Identifier: MIT */
/*
 * Survey, then choice: the flows that `show flows` asks for. Above: daemon_flows.c; below: field.c.
 */
#include "config.h"

#include "view_flows.h"

#include <arpa/inet.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdlib.h>
#include <string.h>

#define LIMIT_DEFAULT 1000

#define PIECE_OCTETS (32 * 1024)
#define KEPT_MAX     5000 /* flows whose memory may stay with the allocator */

/* All of a record that can't be derived. */
struct snapshot {
	uint64_t key;
	uint32_t dns; /* its place in view->dns, counted from 1; 0: none */
	struct flow_id id;
	struct flow_metrics metrics;
};

struct view_flows {
	struct view_names names;
	view_derive *derive;
	uint64_t (*key)(const struct flow_record *record, uint64_t now_ns);
	uint64_t now_ns;
	uint64_t limit; /* 0: all */
	int port;	/* -1: any */
	int protocol;
	char *interface; /* NULL: any */
	uint8_t address[16];
	int address_version; /* 0: any */
	int address_bits;
	uint64_t total;
	uint64_t matched;
	GArray *surveyed; /* keys; NULL after the first walk */
	GArray *taken;	  /* struct snapshot */
	GArray *dns;	  /* struct dns_record */
	guint *order;	  /* places in taken; NULL before the first piece */
	guint n_shown;
	uint64_t threshold;	 /* keys above are taken */
	uint64_t n_at_threshold; /* so many that equal it are taken too */
};

static bool read_address(struct view_flows *view, const json_t *args, GError **error);
static bool read_sort(struct view_flows *view, const json_t *args, GError **error);
static bool read_number(const json_t *args, const char *key, int64_t max, int64_t *value,
			GError **error);
static bool matches(const struct view_flows *view, const struct flow_record *record);
static void give_back(void);
static void end_survey(struct view_flows *view);
static void find_threshold(struct view_flows *view);
static void sort_taken(struct view_flows *view);
static void append_flow(struct view_flows *view, const struct snapshot *snapshot, GString *text);

struct view_flows *view_flows_new(const json_t *args, const struct view_names *names,
				  view_derive *derive, uint64_t now_mono_ns, GError **error)
{
	struct view_flows *view = g_new0(struct view_flows, 1);
	int64_t limit = LIMIT_DEFAULT;
	int64_t protocol = -1;
	int64_t port = -1;

	view->names = *names;
	view->derive = derive;
	view->now_ns = now_mono_ns;
	view->surveyed = g_array_new(FALSE, FALSE, sizeof(uint64_t));
	view->dns = g_array_new(FALSE, FALSE, sizeof(struct dns_record));
	view->interface = g_strdup(json_string_value(json_object_get(args, "interface")));
	if (!read_number(args, "limit", INT32_MAX, &limit, error) ||
	    !read_number(args, "port", UINT16_MAX, &port, error) ||
	    !read_number(args, "protocol", UINT8_MAX, &protocol, error) ||
	    !read_sort(view, args, error) || !read_address(view, args, error)) {
		view_flows_free(view);
		return NULL;
	}
	view->limit = limit;
	view->port = port;
	view->protocol = protocol;
	return view;
}

void view_flows_free(struct view_flows *view)
{
	bool large = view->taken && view->taken->len > KEPT_MAX;

	g_clear_pointer(&view->surveyed, g_array_unref);
	g_clear_pointer(&view->taken, g_array_unref);
	g_array_unref(view->dns);
	g_free(view->order);
	g_free(view->interface);
	g_free(view);
	if (large)
		give_back();
}

void view_flows_survey(struct view_flows *view, struct flow_record *record)
{
	uint64_t key;

	view->total++;
	view->derive(view->names.user, record);
	if (!matches(view, record))
		return;
	view->matched++;
	key = view->key(record, view->now_ns);
	g_array_append_val(view->surveyed, key);
}

void view_flows_take(struct view_flows *view, struct flow_record *record)
{
	struct snapshot snapshot = {.id = record->id, .metrics = record->metrics};

	if (view->surveyed)
		end_survey(view);
	view->derive(view->names.user, record);
	if (!matches(view, record))
		return;
	snapshot.key = view->key(record, view->now_ns);
	if (snapshot.key < view->threshold)
		return;
	if (snapshot.key == view->threshold) {
		if (view->n_at_threshold == 0)
			return;
		view->n_at_threshold--;
	}
	if (record->has_dns) {
		g_array_append_val(view->dns, record->dns);
		snapshot.dns = view->dns->len;
	}
	g_array_append_val(view->taken, snapshot);
}

bool view_flows_next(struct view_flows *view, GString *text)
{
	guint n = view->taken ? view->taken->len : 0;
	gsize end = text->len + PIECE_OCTETS;

	if (!view->order) {
		sort_taken(view);
		g_string_append(text, "{\"flows\":[");
	}
	for (; view->n_shown < n && text->len < end; view->n_shown++) {
		if (view->n_shown > 0)
			g_string_append_c(text, ',');
		append_flow(
			view,
			&g_array_index(view->taken, struct snapshot, view->order[view->n_shown]),
			text);
	}
	if (view->n_shown < n)
		return true;
	g_string_append_printf(
		text, "],\"matched\":%" G_GUINT64_FORMAT ",\"total\":%" G_GUINT64_FORMAT "}",
		view->matched, view->total);
	return false;
}

/* A daemon that was once asked for all flows shall not have their memory for ever. */
static void give_back(void)
{
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}

static uint64_t key_octets(const struct flow_record *record, uint64_t now_ns)
{
	return record->metrics.bytes;
}

static uint64_t key_packets(const struct flow_record *record, uint64_t now_ns)
{
	return record->metrics.packets;
}

/* Oldest first, the only one. */
static uint64_t key_start(const struct flow_record *record, uint64_t now_ns)
{
	return UINT64_MAX - record->metrics.start_ns;
}

static uint64_t key_end(const struct flow_record *record, uint64_t now_ns)
{
	return record->metrics.end_ns;
}

static uint64_t key_drops(const struct flow_record *record, uint64_t now_ns)
{
	return record->metrics.drops.packets;
}

/* Octets per second since the flow began; one that is younger than a second has not shown its rate
 * yet. */
static uint64_t key_rate(const struct flow_record *record, uint64_t now_ns)
{
	uint64_t start_ns = record->metrics.start_ns;
	uint64_t age_ns = now_ns > start_ns ? now_ns - start_ns : 0;

	return record->metrics.bytes / (MAX(age_ns, NSEC_PER_SEC) / 1e9);
}

static bool read_sort(struct view_flows *view, const json_t *args, GError **error)
{
	static const struct {
		const char *name;
		uint64_t (*key)(const struct flow_record *record, uint64_t now_ns);
	} keys[] = {
		{"octets", key_octets},	  {"bytes", key_octets}, {"rate", key_rate},
		{"packets", key_packets}, {"start", key_start},	 {"end", key_end},
		{"drops", key_drops},
	};
	const char *sort = json_string_value(json_object_get(args, "sort"));

	if (!sort)
		sort = keys[0].name;
	for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
		view->key = keys[i].key;
		if (strcmp(keys[i].name, sort) == 0)
			return true;
	}
	g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
		    "can't sort by \"%s\"; rate, bytes, packets, start, end or drops is right",
		    sort);
	return false;
}

static bool read_number(const json_t *args, const char *key, int64_t max, int64_t *value,
			GError **error)
{
	const json_t *arg = json_object_get(args, key);

	if (!arg)
		return true;
	*value = json_integer_value(arg);
	if (json_is_integer(arg) && *value >= 0 && *value <= max)
		return true;
	g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
		    "%s: a number from 0 to %" G_GINT64_FORMAT " is right", key, max);
	return false;
}

static bool read_address(struct view_flows *view, const json_t *args, GError **error)
{
	const char *text = json_string_value(json_object_get(args, "address"));
	g_auto(GStrv) parts = text ? g_strsplit(text, "/", 2) : NULL;
	guint64 bits;

	if (!text)
		return true;
	if (parts[0] && inet_pton(AF_INET, parts[0], view->address) == 1)
		view->address_version = 4;
	else if (parts[0] && inet_pton(AF_INET6, parts[0], view->address) == 1)
		view->address_version = 6;
	bits = view->address_version == 4 ? 32 : 128;
	if (view->address_version != 0 &&
	    (!parts[1] || g_ascii_string_to_unsigned(parts[1], 10, 0, bits, &bits, NULL))) {
		view->address_bits = bits;
		return true;
	}
	g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
		    "address \"%s\": an IPv4 or IPv6 address, or ADDRESS/PREFIX, is right", text);
	return false;
}

static bool within(const struct view_flows *view, const uint8_t address[16])
{
	int whole = view->address_bits / 8;
	int rest = view->address_bits % 8;

	if (memcmp(address, view->address, whole) != 0)
		return false;
	return rest == 0 || (address[whole] ^ view->address[whole]) >> (8 - rest) == 0;
}

static bool is_at(const struct view_flows *view, const struct flow_record *record)
{
	const uint32_t interfaces[] = {record->ingress_ifindex, record->egress_ifindex,
				       record->id.ifindex};

	for (size_t i = 0; i < G_N_ELEMENTS(interfaces); i++) {
		const char *name =
			view->names.interface(view->names.user, record->id.netns, interfaces[i]);

		if (strcmp(name, view->interface) == 0)
			return true;
	}
	return false;
}

static bool matches(const struct view_flows *view, const struct flow_record *record)
{
	const struct flow_id *id = &record->id;

	if (view->protocol >= 0 && (record->ip_version == 0 || id->protocol != view->protocol))
		return false;
	if (view->port >= 0 && id->src_port != view->port && record->dst_port != view->port)
		return false;
	if (view->address_version != 0 &&
	    (record->ip_version != view->address_version ||
	     (!within(view, id->src_addr) && !within(view, id->dst_addr))))
		return false;
	return !view->interface || is_at(view, record);
}

/* Largest first. */
static int compare_keys(const void *a, const void *b)
{
	uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;

	return (one < other) - (one > other);
}

static void find_threshold(struct view_flows *view)
{
	guint n = view->surveyed->len;
	guint i;

	view->n_at_threshold = n;
	if (view->limit == 0 || view->limit >= n)
		return;
	g_array_sort(view->surveyed, compare_keys);
	view->threshold = g_array_index(view->surveyed, uint64_t, view->limit - 1);
	for (i = view->limit; i > 0; i--) {
		if (g_array_index(view->surveyed, uint64_t, i - 1) != view->threshold)
			break;
	}
	view->n_at_threshold = view->limit - i;
}

/* Nothing is larger than it has to be. */
static void end_survey(struct view_flows *view)
{
	guint n = view->limit == 0 ? view->matched : MIN(view->limit, view->matched);

	find_threshold(view);
	g_clear_pointer(&view->surveyed, g_array_unref);
	view->taken = g_array_sized_new(FALSE, FALSE, sizeof(struct snapshot), n);
}

static int compare_taken(const void *a, const void *b, void *taken)
{
	const guint one = *(const guint *)a, other = *(const guint *)b;

	return compare_keys(&g_array_index((GArray *)taken, struct snapshot, one).key,
			    &g_array_index((GArray *)taken, struct snapshot, other).key);
}

/* Places are sorted, not what lies there: that is large. */
static void sort_taken(struct view_flows *view)
{
	guint n = view->taken ? view->taken->len : 0;

	view->order = g_new(guint, n + 1);
	for (guint i = 0; i < n; i++)
		view->order[i] = i;
	g_qsort_with_data(view->order, n, sizeof(*view->order), compare_taken, view->taken);
}

static void append_flow(struct view_flows *view, const struct snapshot *snapshot, GString *text)
{
	struct flow_record record = {.id = snapshot->id, .metrics = snapshot->metrics};
	json_t *flow;
	char *line;

	if (snapshot->dns) {
		record.has_dns = true;
		record.dns = g_array_index(view->dns, struct dns_record, snapshot->dns - 1);
	}
	view->derive(view->names.user, &record);
	flow = view_flow(&record, &view->names);
	line = json_dumps(flow, JSON_COMPACT);
	json_decref(flow);
	g_string_append(text, line);
	free(line);
}

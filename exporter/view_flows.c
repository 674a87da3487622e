/* SPDX-License-Identifier: MIT */
/*
 * Survey, then choice: the flows that `show flows` asks for. Above: daemon_flows.c; below: field.c.
 */
#include "config.h"

#include "view_flows.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_DEFAULT 1000

struct entry {
	uint64_t key;
	json_t *flow; /* NULL in the first walk */
};

struct view_flows {
	struct view_names names;
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
	GArray *surveyed; /* struct entry */
	GArray *taken;
	bool has_threshold;
	uint64_t threshold;	 /* keys above are taken */
	uint64_t n_at_threshold; /* so many that equal it are taken too */
};

static bool read_address(struct view_flows *view, const json_t *args, GError **error);
static bool read_sort(struct view_flows *view, const json_t *args, GError **error);
static bool read_number(const json_t *args, const char *key, int64_t max, int64_t *value,
			GError **error);
static bool matches(const struct view_flows *view, const struct flow_record *record);
static void find_threshold(struct view_flows *view);
static int compare(const void *a, const void *b);

static void clear_entry(void *data)
{
	struct entry *entry = data;

	json_decref(entry->flow);
}

static void view_flows_free(struct view_flows *view)
{
	g_array_unref(view->surveyed);
	g_array_unref(view->taken);
	g_free(view->interface);
	g_free(view);
}

struct view_flows *view_flows_new(const json_t *args, const struct view_names *names,
				  uint64_t now_mono_ns, GError **error)
{
	struct view_flows *view = g_new0(struct view_flows, 1);
	int64_t limit = LIMIT_DEFAULT;
	int64_t protocol = -1;
	int64_t port = -1;

	view->names = *names;
	view->now_ns = now_mono_ns;
	view->surveyed = g_array_new(FALSE, FALSE, sizeof(struct entry));
	view->taken = g_array_new(FALSE, FALSE, sizeof(struct entry));
	g_array_set_clear_func(view->taken, clear_entry);
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

void view_flows_survey(struct view_flows *view, const struct flow_record *record)
{
	struct entry entry = {0};

	view->total++;
	if (!matches(view, record))
		return;
	entry.key = view->key(record, view->now_ns);
	g_array_append_val(view->surveyed, entry);
}

void view_flows_take(struct view_flows *view, const struct flow_record *record)
{
	struct entry entry;

	if (!view->has_threshold)
		find_threshold(view);
	if (!matches(view, record))
		return;
	entry.key = view->key(record, view->now_ns);
	if (entry.key < view->threshold)
		return;
	if (entry.key == view->threshold) {
		if (view->n_at_threshold == 0)
			return;
		view->n_at_threshold--;
	}
	entry.flow = view_flow(record, &view->names);
	g_array_append_val(view->taken, entry);
}

json_t *view_flows_end(struct view_flows *view)
{
	json_t *flows = json_array();
	json_t *answer;

	g_array_sort(view->taken, compare);
	for (guint i = 0; i < view->taken->len; i++)
		json_array_append(flows, g_array_index(view->taken, struct entry, i).flow);
	answer = json_pack("{s:o, s:I, s:I}", "flows", flows, "matched",
			   (json_int_t)view->surveyed->len, "total", (json_int_t)view->total);
	view_flows_free(view);
	return answer;
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

/* Largest key first. */
static int compare(const void *a, const void *b)
{
	const struct entry *one = a, *other = b;

	return (one->key < other->key) - (one->key > other->key);
}

static void find_threshold(struct view_flows *view)
{
	guint n = view->surveyed->len;
	guint i;

	view->has_threshold = true;
	view->n_at_threshold = n;
	if (view->limit == 0 || view->limit >= n)
		return;
	g_array_sort(view->surveyed, compare);
	view->threshold = g_array_index(view->surveyed, struct entry, view->limit - 1).key;
	for (i = view->limit; i > 0; i--) {
		if (g_array_index(view->surveyed, struct entry, i - 1).key != view->threshold)
			break;
	}
	view->n_at_threshold = view->limit - i;
}

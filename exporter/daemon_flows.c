/* SPDX-License-Identifier: MIT */
/* `bpflowctl show flows`: which flows of the cache match, sorted, the first of them as JSON. */
#include "config.h"

#include "daemon_private.h"

#include <arpa/inet.h>
#include <string.h>

#include "views.h"

#define DEFAULT_LIMIT 1000

/* A flow that matched, and where it stands in the order. */
struct found {
	uint64_t rank;
	json_t *flow;
};

struct search {
	struct daemon *daemon;
	struct view_names names;
	const char *interface; /* NULL: any */
	uint8_t address[16];
	size_t address_size; /* 0: any */
	int protocol;	     /* -1: any */
	int port;	     /* -1: any */
	size_t offset;	     /* of the uint64_t in struct flow_record to sort by */
	bool ascending;
	size_t limit; /* 0: all */
	size_t matched;
	GArray *found; /* struct found */
};

static const struct {
	const char *name;
	size_t offset;
	bool ascending;
} orders[] = {
	{"bytes", offsetof(struct flow_record, metrics.bytes), false},
	{"octets", offsetof(struct flow_record, metrics.bytes), false},
	{"packets", offsetof(struct flow_record, metrics.packets), false},
	{"drops", offsetof(struct flow_record, metrics.drops.packets), false},
	{"start", offsetof(struct flow_record, start_ns), true},
	{"end", offsetof(struct flow_record, end_ns), false},
};

static const char *interface_name(void *user, uint8_t netns, uint32_t ifindex)
{
	struct daemon *d = user;
	const struct interface *interface = interfaces_get(d->interfaces, netns, ifindex);

	return interface ? interface->name : "";
}

static int compare(gconstpointer a, gconstpointer b)
{
	const struct found *x = a, *y = b;

	return x->rank < y->rank ? -1 : x->rank > y->rank;
}

static void clear_found(gpointer data)
{
	json_decref(((struct found *)data)->flow);
}

static bool has_address(const struct search *s, const struct flow_id *id)
{
	return !memcmp(id->src_addr, s->address, s->address_size) ||
	       !memcmp(id->dst_addr, s->address, s->address_size);
}

static bool is_at(const struct search *s, const struct flow_record *r)
{
	const uint32_t indexes[] = {r->id.ifindex, r->ingress_ifindex, r->egress_ifindex};

	for (size_t i = 0; i < G_N_ELEMENTS(indexes); i++)
		if (!strcmp(interface_name(s->daemon, r->id.netns, indexes[i]), s->interface))
			return true;
	return false;
}

static bool matches(const struct search *s, const struct flow_record *r)
{
	bool is_ipv4 = r->id.eth_proto == 0x0800;

	if (s->address_size && (is_ipv4 != (s->address_size == 4) || !has_address(s, &r->id)))
		return false;
	if (s->protocol >= 0 && r->id.protocol != s->protocol)
		return false;
	if (s->port >= 0 && r->id.src_port != s->port && r->dst_port != s->port)
		return false;
	return !s->interface || is_at(s, r);
}

/* Keeps the best `limit`, now and then, so that a million flows don't become a million objects. */
static void trim(struct search *s)
{
	g_array_sort(s->found, compare);
	if (s->limit && s->found->len > s->limit)
		g_array_set_size(s->found, s->limit);
}

static bool look_at(void *user, struct flow_record *record)
{
	struct search *s = user;
	struct found found;

	record_derive(record, &s->daemon->now, &s->daemon->resolver);
	if (!matches(s, record))
		return true;
	s->matched++;
	memcpy(&found.rank, (const uint8_t *)record + s->offset, sizeof(found.rank));
	if (!s->ascending)
		found.rank = UINT64_MAX - found.rank;
	found.flow = view_flow(record, &s->names);
	g_array_append_val(s->found, found);
	if (s->limit && s->found->len >= 2 * s->limit + 1000)
		trim(s);
	return true;
}

static bool read_order(struct search *s, const json_t *args, GError **error)
{
	const char *sort = json_string_value(json_object_get(args, "sort"));

	sort = sort ? sort : "bytes";
	for (size_t i = 0; i < G_N_ELEMENTS(orders); i++) {
		if (strcmp(orders[i].name, sort))
			continue;
		s->offset = orders[i].offset;
		s->ascending = orders[i].ascending;
		return true;
	}
	g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
		    "cannot sort by \"%s\"; bytes, packets, drops, start and end would be right",
		    sort);
	return false;
}

static int read_integer(const json_t *args, const char *key, int missing)
{
	const json_t *value = json_object_get(args, key);

	return json_is_integer(value) ? (int)CLAMP(json_integer_value(value), 0, INT32_MAX)
				      : missing;
}

static bool read_search(struct search *s, const json_t *args, GError **error)
{
	const char *address = json_string_value(json_object_get(args, "address"));

	s->interface = json_string_value(json_object_get(args, "interface"));
	s->protocol = read_integer(args, "protocol", -1);
	s->port = read_integer(args, "port", -1);
	s->limit = read_integer(args, "limit", DEFAULT_LIMIT);
	if (address && inet_pton(AF_INET, address, s->address) == 1) {
		s->address_size = 4;
	} else if (address && inet_pton(AF_INET6, address, s->address) == 1) {
		s->address_size = 16;
	} else if (address) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
			    "\"%s\" is no IPv4 or IPv6 address", address);
		return false;
	}
	return read_order(s, args, error);
}

json_t *daemon_answer_flows(void *user, const json_t *args, GError **error)
{
	struct daemon *d = user;
	struct search s = {.daemon = d, .names = {interface_name, d}};
	json_t *list = json_array();

	if (!read_search(&s, args, error)) {
		json_decref(list);
		return NULL;
	}
	daemon_drain(d);
	s.found = g_array_new(FALSE, FALSE, sizeof(struct found));
	g_array_set_clear_func(s.found, clear_found);
	cache_foreach(d->cache, look_at, &s);
	trim(&s);
	for (guint i = 0; i < s.found->len; i++)
		json_array_append(list, g_array_index(s.found, struct found, i).flow);
	g_array_unref(s.found);
	return json_pack("{s:I,s:o}", "matched", (json_int_t)s.matched, "flows", list);
}

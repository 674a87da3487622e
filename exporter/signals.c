/* SPDX-License-Identifier: MIT */
/*
 * Events wait for the packets that came before them, then find their flows. Above:
 * daemon_signals.c; below: cache.c, dns.c.
 */
#include "config.h"

#include "signals.h"

#include <glib.h>
#include <string.h>

#include "dns.h"

#define WAITING_MAX (8u << 20) /* octets; then events are applied before their drain ends */
#define EARLY_MAX   16384      /* 1 MiB */
#define DROPS_MAX   4096       /* interfaces and causes by name; then under none */
#define PLACES_MAX  64

/* A handshake whose flow is not there yet. */
struct early_rtt {
	struct flow_id id;
	struct flow_rtt rtt;
};

struct signals {
	struct cache *cache;
	struct signals_callbacks callbacks;
	struct signals_stats stats;
	GByteArray *waiting; /* per event: size as uint64_t, event, up to a multiple of 8 */
	GArray *early;	     /* struct early_rtt; both have all their memory from the start */
	guint n_early;	     /* of them, those whose drain is over */
	GHashTable *drops;   /* set of struct signals_drops */
};

static void apply_waiting(struct signals *s);

static unsigned int drops_hash(const void *p)
{
	const struct signals_drops *d = p;

	return g_str_hash(d->interface) ^ (d->cause << 8 ^ d->netns) * 2654435761u;
}

static int drops_equal(const void *p, const void *q)
{
	const struct signals_drops *a = p, *b = q;

	return a->cause == b->cause && a->netns == b->netns &&
	       g_str_equal(a->interface, b->interface);
}

struct signals *signals_new(struct cache *cache, const struct signals_callbacks *callbacks)
{
	struct signals *s = g_new0(struct signals, 1);

	s->cache = cache;
	s->callbacks = *callbacks;
	s->waiting = g_byte_array_sized_new(WAITING_MAX);
	s->early = g_array_sized_new(false, false, sizeof(struct early_rtt), EARLY_MAX);
	s->drops = g_hash_table_new_full(drops_hash, drops_equal, g_free, NULL);
	histogram_init(&s->stats.dns_latency);
	histogram_init(&s->stats.server_rtt);
	histogram_init(&s->stats.client_rtt);
	return s;
}

void signals_free(struct signals *s)
{
	if (!s)
		return;
	g_byte_array_unref(s->waiting);
	g_array_unref(s->early);
	g_hash_table_unref(s->drops);
	g_free(s);
}

/* Of a kind that is for us, and all there. */
static bool is_whole(const struct flow_event *event, size_t size)
{
	switch (event->type) {
	case FLOW_EVENT_DROP:
		return size >= sizeof(struct flow_event_drop);
	case FLOW_EVENT_DNS:
		return size >= offsetof(struct flow_event_dns, message);
	case FLOW_EVENT_RTT:
		return size >= sizeof(struct flow_event_rtt);
	default:
		return false;
	}
}

void signals_event(void *user, const struct flow_event *event, size_t size)
{
	static const uint8_t zero[8];
	struct signals *s = user;
	uint64_t head = size;

	if (!is_whole(event, size))
		return;
	if (s->waiting->len + sizeof(head) + size + sizeof(zero) > WAITING_MAX)
		apply_waiting(s);
	g_byte_array_append(s->waiting, (const uint8_t *)&head, sizeof(head));
	g_byte_array_append(s->waiting, (const uint8_t *)event, size);
	g_byte_array_append(s->waiting, zero, -size & 7);
}

static void count_drops(struct signals *s, const struct flow_id *id, const struct pkt_drops *drops)
{
	struct signals_drops key = {.netns = id->netns, .cause = drops->latest_cause}, *total;

	if (s->callbacks.name)
		g_strlcpy(key.interface,
			  s->callbacks.name(s->callbacks.user, id->netns, id->ifindex),
			  sizeof(key.interface));
	total = g_hash_table_lookup(s->drops, &key);
	if (!total && g_hash_table_size(s->drops) >= DROPS_MAX) {
		key.interface[0] = '\0';
		total = g_hash_table_lookup(s->drops, &key);
	}
	if (!total) {
		total = g_memdup2(&key, sizeof(key));
		g_hash_table_add(s->drops, total);
	}
	total->packets += drops->packets;
	total->bytes += drops->bytes;
}

/* Tags that the packet has at the place, over those that it has here. */
static void add_tags(struct flow_id *at, const struct flow_id *id,
		     const struct signals_place *place)
{
	at->vlan = place->vlan ? place->vlan : id->vlan;
	if (place->inner_vlan)
		at->inner_vlan = place->inner_vlan;
	else
		at->inner_vlan = place->vlan ? id->vlan : id->inner_vlan;
}

/* The flow that has these packets where the device that they were met at, or none, does not count
 * them itself. Changes id to it. */
static bool find_place(struct signals *s, struct flow_id *id, const struct flow_metrics *delta)
{
	struct signals_place places[PLACES_MAX];
	struct flow_id at = *id;
	size_t n = 0;

	if (s->callbacks.places)
		n = s->callbacks.places(s->callbacks.user, id->netns, id->ifindex, places,
					PLACES_MAX);
	for (size_t i = 0; i < n; i++) {
		at.ifindex = places[i].ifindex;
		add_tags(&at, id, &places[i]);
		if (cache_update(s->cache, &at, delta)) {
			*id = at;
			return true;
		}
	}
	if (n == 1)
		*id = at;
	return false;
}

/* Nothing told the namespace: the flow that exists is its witness. */
static bool find_namespace(struct signals *s, struct flow_id *id, const struct flow_metrics *delta)
{
	for (int netns = 0; netns < FLOW_MAX_NETNS; netns++) {
		/* afresh: find_place changes it also where it finds nothing */
		struct flow_id at = *id;

		at.netns = (uint8_t)netns;
		if (cache_update(s->cache, &at, delta) || find_place(s, &at, delta)) {
			*id = at;
			return true;
		}
	}
	return false;
}

static void apply_drop(struct signals *s, const struct flow_event_drop *e)
{
	struct flow_metrics delta = {
		.drops = e->drops, .start_ns = e->start_ns, .end_ns = e->end_ns};
	struct flow_id id = e->id;

	if (e->unsure && !find_namespace(s, &id, &delta)) {
		s->stats.drops_unplaced += e->drops.packets;
		return;
	}
	if (!e->unsure && !cache_update(s->cache, &id, &delta) && !find_place(s, &id, &delta))
		cache_merge(s->cache, &id, &delta, CACHE_NO_SLOT, CACHE_NO_HINT);
	count_drops(s, &id, &e->drops);
}

static void merge_dns(struct signals *s, const struct flow_key6 *key,
		      const struct dns_record *record, uint64_t now_ns, bool create)
{
	struct flow_id id;

	flow_id_from_key(&id, key);
	if (id.ifindex)
		cache_merge_dns(s->cache, &id, record, now_ns, create);
}

static void set_latency(struct dns_record *record, uint32_t latency_us)
{
	record->responses = 1;
	record->latency_us = latency_us;
	record->latency_sum_us = latency_us;
	record->latency_min_us = latency_us;
	record->latency_max_us = latency_us;
}

/* A transaction stands in the records of both directions. */
static void apply_dns(struct signals *s, const struct flow_event_dns *e, size_t size)
{
	size_t length = MIN(e->message_len, size - offsetof(struct flow_event_dns, message));
	struct dns_record record = {0};

	if (e->kind == FLOW_DNS_UNANSWERED) {
		record.unanswered = 1;
		s->stats.dns_unanswered++;
		merge_dns(s, &e->query_flow, &record, e->now_ns, true);
		return;
	}
	if (!dns_decode(e->message, length, &record) || e->kind == FLOW_DNS_UNREADABLE) {
		record.errors = 1;
		s->stats.dns_errors++;
	}
	if (e->kind == FLOW_DNS_ANSWER)
		set_latency(&record, e->latency_us);
	/* behind NAT two events tell a transaction: one for the flow on each side */
	if (e->kind == FLOW_DNS_ANSWER && !e->observed)
		histogram_observe(&s->stats.dns_latency, e->latency_us / 1e6);
	merge_dns(s, &e->flow, &record, e->now_ns, true);
	if (e->kind == FLOW_DNS_ANSWER || e->kind == FLOW_DNS_AMBIGUOUS) {
		record.errors = 0;
		merge_dns(s, &e->query_flow, &record, e->now_ns, false);
	}
}

static bool merge_rtt(struct signals *s, const struct early_rtt *e)
{
	/* not a packet: the times of the flow stay as they are */
	const struct flow_metrics delta = {.rtt = e->rtt};
	struct flow_id id = e->id;

	return cache_update(s->cache, &id, &delta) || find_place(s, &id, &delta);
}

/* A handshake may pass while the table is read: its flow comes with the next drain. What local
 * sockets measure comes again, and need not be of a flow that is counted. */
static void merge_or_keep_rtt(struct signals *s, const struct flow_key6 *key,
			      const struct flow_rtt *rtt, bool handshake)
{
	struct early_rtt e = {.rtt = *rtt};

	flow_id_from_key(&e.id, key);
	if (merge_rtt(s, &e) || !handshake)
		return;
	if (s->early->len < EARLY_MAX)
		g_array_append_val(s->early, e);
	else
		s->stats.rtt_unplaced++;
}

static void apply_rtt(struct signals *s, const struct flow_event_rtt *e)
{
	bool handshake = e->rtt.server_us || e->rtt.client_us;
	bool client = FLOW_IFACE_IFINDEX(e->from_client.iface) != 0;
	bool server = FLOW_IFACE_IFINDEX(e->from_server.iface) != 0;

	/* as with DNS: two handshakes of one, and the client's flow stands for it */
	if (e->rtt.server_us && client)
		histogram_observe(&s->stats.server_rtt, e->rtt.server_us / 1e6);
	if (e->rtt.client_us && client)
		histogram_observe(&s->stats.client_rtt, e->rtt.client_us / 1e6);
	if (client || !handshake)
		merge_or_keep_rtt(s, &e->from_client, &e->rtt, handshake);
	if (server || !handshake)
		merge_or_keep_rtt(s, &e->from_server, &e->rtt, handshake);
}

static void apply_waiting(struct signals *s)
{
	size_t at = 0;

	while (at < s->waiting->len) {
		const struct flow_event *e = (const void *)(s->waiting->data + at + 8);
		uint64_t size;

		memcpy(&size, s->waiting->data + at, sizeof(size));
		if (e->type == FLOW_EVENT_DROP)
			apply_drop(s, (const void *)e);
		else if (e->type == FLOW_EVENT_DNS)
			apply_dns(s, (const void *)e, size);
		else if (e->type == FLOW_EVENT_RTT)
			apply_rtt(s, (const void *)e);
		at += 8 + ((size + 7) & ~7ull);
	}
	g_byte_array_set_size(s->waiting, 0);
}

void signals_apply(struct signals *s)
{
	guint n = s->n_early;

	apply_waiting(s);
	for (guint i = 0; i < n; i++) {
		const struct early_rtt *e = &g_array_index(s->early, struct early_rtt, i);

		s->stats.rtt_unplaced += !merge_rtt(s, e);
	}
	g_array_remove_range(s->early, 0, n);
	s->n_early = s->early->len;
}

void signals_foreach_drops(const struct signals *s,
			   void (*fn)(void *user, const struct signals_drops *drops), void *user)
{
	GHashTableIter iter;
	gpointer drops;

	g_hash_table_iter_init(&iter, s->drops);
	while (g_hash_table_iter_next(&iter, &drops, NULL))
		fn(user, drops);
}

const struct signals_stats *signals_stats(const struct signals *s)
{
	return &s->stats;
}

/* SPDX-License-Identifier: MIT */
/*
 * Reading the flow table while the kernel writes it (kernel/flow.h has the protocol): counters only
 * grow during a tenancy, a shadow per slot remembers what was taken, the difference goes up. A slot
 * that changed hands is left alone until the ring record that closes its last tenancy has been
 * read, so that order holds and nothing is taken twice.
 */
#include "config.h"

#include "fetcher_private.h"

#include <errno.h>
#include <string.h>

#include "cache.h"
#include "clock.h"

#define LOOK_AHEAD	12   /* slots: what will be merged is fetched, */
#define READ_AHEAD	48   /* and what will be looked at */
#define READ_RING_EVERY 2048 /* slots of a scan: it must not fill meanwhile */
#define SCAN_RINGS	64   /* contents of the ring that a drain reads meanwhile at most */
#define STASH_RINGS	16   /* contents of the ring that the stash may hold */

/* Slot of either family while it is being read. */
struct view {
	const struct flow_hot *hot;
	const struct flow_cold *cold;
	struct shadow *shadow;
	uint32_t slot;
};

static void id_from_key4(struct flow_id *id, const struct flow_key4 *key)
{
	memset(id, 0, sizeof(*id));
	memcpy(id->src_addr, &key->src_addr, 4);
	memcpy(id->dst_addr, &key->dst_addr, 4);
	id->src_port = GUINT16_FROM_BE(key->src_port);
	id->dst_port = GUINT16_FROM_BE(key->dst_port);
	id->ifindex = FLOW_IFACE_IFINDEX(key->iface);
	id->eth_proto = 0x0800;
	id->vlan = key->vlan;
	id->inner_vlan = key->inner_vlan;
	id->protocol = key->protocol;
	id->tos = key->tos;
	id->direction = FLOW_IFACE_DIRECTION(key->iface);
	id->netns = FLOW_IFACE_NETNS(key->iface);
}

static void take_cold(struct flow_metrics *m, const struct flow_cold *cold)
{
	memcpy(m->src_mac, cold->src_mac, sizeof(m->src_mac));
	memcpy(m->dst_mac, cold->dst_mac, sizeof(m->dst_mac));
	memcpy(m->mpls, cold->mpls, sizeof(m->mpls));
	m->far_ifindex = cold->far_ifindex;
	m->far_vlan = cold->far_vlan;
}

/* What the slot holds beyond its shadow. */
static void make_delta(const struct flow_fetcher *f, const struct view *v, struct flow_metrics *m)
{
	const struct flow_hot *h = v->hot;
	struct shadow *s = v->shadow;
	uint32_t first = s->packets ? s->last : h->first;

	memset(m, 0, sizeof(*m));
	m->packets = h->packets - s->packets;
	m->bytes = h->bytes - s->bytes;
	m->start_ns = clock_from_tick(&f->ticks, first);
	m->end_ns = clock_from_tick(&f->ticks, h->last);
	m->tcp_flags = h->tcp_flags & FLOW_TCP_FLAGS;
	m->fragment = !!(h->tcp_flags & FLOW_FRAGMENT);
	m->min_len = h->min_len;
	m->max_len = h->max_len;
	m->min_ttl = h->min_ttl;
	m->max_ttl = h->max_ttl;
	if (!s->cold_done)
		take_cold(m, v->cold);
}

static void hand_up(struct flow_fetcher *f, const struct view *v, const struct flow_id *id)
{
	const struct flow_hot *h = v->hot;
	struct shadow *s = v->shadow;
	struct flow_metrics delta;

	make_delta(f, v, &delta);
	s->hint = f->callbacks.flow(f->callbacks.user, id, &delta, v->slot, s->hint);
	s->packets = h->packets;
	s->bytes = h->bytes;
	s->last = h->last;
	f->n_deltas++;
}

static void reset_shadow(struct shadow *s, uint32_t gen)
{
	*s = (struct shadow){.gen = gen, .hint = CACHE_NO_HINT};
}

/* A slot that gave way: the rest of its tenancy, then the shadow waits for the next one. */
static void close_tenancy(struct flow_fetcher *f, const struct view *v, const struct flow_id *id)
{
	struct shadow *s = v->shadow;
	uint32_t next = v->hot->gen + 2;

	if (s->gen != v->hot->gen)
		reset_shadow(s, v->hot->gen);
	if (v->hot->packets != s->packets || v->hot->bytes != s->bytes)
		hand_up(f, v, id);
	reset_shadow(s, next ? next : 2);
}

static void ring_slot4(struct flow_fetcher *f, const struct flow_event_slot4 *e)
{
	struct view v = {&e->slot.hot, &e->cold, &f->shadow4[e->event.index], e->event.index};
	struct flow_id id;

	id_from_key4(&id, &e->slot.key);
	close_tenancy(f, &v, &id);
}

static void ring_slot6(struct flow_fetcher *f, const struct flow_event_slot6 *e)
{
	struct view v = {&e->slot.hot, &e->slot.cold, &f->shadow6[e->event.index],
			 e->event.index | SLOT_IPV6};
	struct flow_id id;

	flow_id_from_key(&id, &e->slot.key);
	close_tenancy(f, &v, &id);
}

static void take_record(struct flow_fetcher *f, const void *data, size_t size)
{
	const struct flow_event *e = data;

	if (e->type == FLOW_EVENT_SLOT4 && size >= sizeof(struct flow_event_slot4) &&
	    e->index < f->n_slots4)
		ring_slot4(f, data);
	else if (e->type == FLOW_EVENT_SLOT6 && size >= sizeof(struct flow_event_slot6) &&
		 e->index < f->n_slots6)
		ring_slot6(f, data);
	else if (e->type == FLOW_EVENT_DROP && size >= sizeof(struct flow_event_drop_slot))
		fetcher_drops_slot(f, data);
	else if (f->callbacks.event)
		f->callbacks.event(f->callbacks.user, e, size);
}

/* Keeps a record for later. */
static void stash_record(struct flow_fetcher *f, const void *data, uint32_t size)
{
	static const uint8_t padding[8];
	const uint64_t head = size;

	g_byte_array_append(f->stash, (const guint8 *)&head, sizeof(head));
	g_byte_array_append(f->stash, data, size);
	g_byte_array_append(f->stash, padding, -size & 7);
}

/* The record behind this one: its slot may be anywhere. If there is none, what lies there is old,
 * or is being written. */
static void look_behind(const struct flow_fetcher *f, const void *data, size_t size)
{
	const struct flow_event *next =
		(const void *)((const char *)data + ((size + 7) & ~7ull) + BPF_RINGBUF_HDR_SZ);

	if (next->type == FLOW_EVENT_SLOT4 && next->index < f->n_slots4)
		__builtin_prefetch(&f->shadow4[next->index], 1);
	else if (next->type == FLOW_EVENT_SLOT6 && next->index < f->n_slots6)
		__builtin_prefetch(&f->shadow6[next->index], 1);
}

/* One record of the ring. -EAGAIN ends this read: a producer faster than we are must not keep us
 * for ever. */
int fetcher_ring_record(void *user, void *data, size_t size)
{
	struct flow_fetcher *f = user;

	if (f->stashing)
		stash_record(f, data, size);
	else
		take_record(f, data, size);
	return --f->ring_budget ? 0 : -EAGAIN;
}

int fetcher_ring_callback(void *user, void *data, size_t size)
{
	look_behind(user, data, size);
	return fetcher_ring_record(user, data, size);
}

void flow_fetcher_stash_ringbuf(struct flow_fetcher *f)
{
	/* a flow that ends while the ring is being read is no case for this; bounded by several
	 * times what the ring holds, what finds no room stays there */
	if (f->reading || f->stash->len > STASH_RINGS * f->config.ring_bytes)
		return;
	f->stashing = true;
	f->ring_budget = f->config.ring_bytes / 32;
	ring_buffer__consume(f->ring);
	f->stashing = false;
}

/* Its memory goes with it: bursts are rare. */
static size_t read_stash(struct flow_fetcher *f)
{
	size_t n = 0, at = 0;

	if (!f->stash->len)
		return 0;

	while (at < f->stash->len) {
		uint64_t size;

		memcpy(&size, f->stash->data + at, sizeof(size));
		take_record(f, f->stash->data + at + sizeof(size), size);
		at += sizeof(size) + ((size + 7) & ~7ull);
		n++;
	}
	g_byte_array_unref(f->stash);
	f->stash = g_byte_array_new();
	return n;
}

static size_t read_ring(struct flow_fetcher *f)
{
	size_t budget = f->config.ring_bytes / 32;

	f->ring_budget = budget;
	ring_buffer__consume(f->ring);
	return budget - f->ring_budget;
}

/* Amid a scan. Where many CPUs are faster than we are, each of its thousands of reads would be as
 * long as one may be, and the drain take minutes: then the ring may fill, as it would later. */
static void read_ring_meanwhile(struct flow_fetcher *f)
{
	size_t n = f->scan_budget ? read_ring(f) : 0;

	f->scan_budget -= MIN(n, f->scan_budget);
}

size_t flow_fetcher_read_ringbuf(struct flow_fetcher *f, uint64_t now_mono_ns)
{
	size_t n;

	f->now_mono_ns = now_mono_ns;
	fetcher_sample_clock(f);
	f->reading = true;
	n = read_stash(f);
	n += read_ring(f);
	f->reading = false;
	return n;
}

int flow_fetcher_ringbuf_fd(const struct flow_fetcher *f)
{
	return ring_buffer__epoll_fd(f->ring);
}

/* Whether the slot can be read: stable, and its earlier tenancy closed. */
static bool is_readable(struct shadow *s, uint32_t gen)
{
	if (gen & 1)
		return false;
	if (s->gen == gen)
		return true;
	if (s->gen || gen != 2)
		return false;
	reset_shadow(s, gen);
	return true;
}

static bool is_changed(const struct flow_hot *hot, const struct shadow *s)
{
	return __atomic_load_n(&hot->packets, __ATOMIC_RELAXED) != s->packets ||
	       __atomic_load_n(&hot->bytes, __ATOMIC_RELAXED) != s->bytes;
}

/* The cold part is complete once the far interface is known: at egress with the first packet. */
static bool is_cold_done(const struct flow_hot *hot, uint32_t iface)
{
	return (hot->tcp_flags & FLOW_FAR_KNOWN) || FLOW_IFACE_DIRECTION(iface) == FLOW_EGRESS;
}

/* ipv6 is constant where it is called, and nothing of the other family is left. */
static __always_inline void scan_slot(struct flow_fetcher *f, uint32_t i, const bool ipv6)
{
	const struct flow_hot *hot = ipv6 ? &f->slots6[i].hot : &f->slots4[i].hot;
	uint32_t gen = __atomic_load_n(&hot->gen, __ATOMIC_ACQUIRE);
	struct shadow *s = ipv6 ? &f->shadow6[i] : &f->shadow4[i];
	struct flow_slot4 copy4;
	struct flow_slot6 copy6;
	struct flow_cold cold4;
	struct view v = {ipv6 ? &copy6.hot : &copy4.hot, ipv6 ? &copy6.cold : &cold4, s,
			 ipv6 ? i | SLOT_IPV6 : i};
	struct flow_id id;

	if (!gen)
		return;
	f->n_used++;
	if (!is_readable(s, gen) || !is_changed(hot, s))
		return;
	if (ipv6)
		copy6 = f->slots6[i];
	else
		copy4 = f->slots4[i];
	if (!ipv6 && !s->cold_done)
		cold4 = f->cold4[i];
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (__atomic_load_n(&hot->gen, __ATOMIC_RELAXED) != gen)
		return;
	if (ipv6)
		flow_id_from_key(&id, &copy6.key);
	else
		id_from_key4(&id, &copy4.key);
	hand_up(f, &v, &id);
	s->cold_done = is_cold_done(v.hot, ipv6 ? copy6.key.iface : copy4.key.iface);
}

/* A partition whose CPU has seen nothing since the last scan holds nothing new. */
static bool is_at_rest(struct flow_fetcher *f, uint32_t cpu)
{
	const struct flow_counters *c = &f->counters[cpu];
	uint64_t seen = __atomic_load_n(&c->observed_packets[0], __ATOMIC_RELAXED) +
			__atomic_load_n(&c->observed_packets[1], __ATOMIC_RELAXED);
	struct partition *part = &f->partitions[cpu];
	bool rest = seen == part->seen && !part->scan_again;

	/* a packet is observed before it is counted: look once more after the last one */
	part->scan_again = seen != part->seen;
	part->seen = seen;
	return rest;
}

/* What lies some slots ahead will be merged soon: the wait for its memory goes on meanwhile. The
 * processor's own look ahead ends with each page. */
static __always_inline void look_ahead(const struct flow_fetcher *f, uint32_t i, const bool ipv6)
{
	const struct flow_hot *hot = ipv6 ? &f->slots6[i].hot : &f->slots4[i].hot;
	const struct shadow *s = ipv6 ? &f->shadow6[i] : &f->shadow4[i];
	size_t slot_size = ipv6 ? sizeof(*f->slots6) : sizeof(*f->slots4);
	struct flow_id id;

	__builtin_prefetch((const char *)hot + (READ_AHEAD - LOOK_AHEAD) * slot_size);
	__builtin_prefetch(s + READ_AHEAD - LOOK_AHEAD);
	if (!f->callbacks.prefetch || hot->gen & 1 || (s->gen && s->gen != hot->gen) ||
	    !is_changed(hot, s))
		return;
	if (s->gen && s->hint != CACHE_NO_HINT) {
		f->callbacks.prefetch(f->callbacks.user, NULL, s->hint);
		return;
	}
	if (ipv6)
		flow_id_from_key(&id, &f->slots6[i].key);
	else
		id_from_key4(&id, &f->slots4[i].key);
	f->callbacks.prefetch(f->callbacks.user, &id, CACHE_NO_HINT);
}

static __always_inline void scan_family(struct flow_fetcher *f, uint32_t cpu, const bool ipv6)
{
	uint32_t n = (ipv6 ? f->groups6 : f->groups4) * FLOW_WAYS, end = (cpu + 1) * n;

	for (uint32_t i = cpu * n; i < end; i++) {
		uint32_t ahead = i + LOOK_AHEAD;

		if (i % READ_RING_EVERY == 0)
			read_ring_meanwhile(f);
		if (ahead < end)
			look_ahead(f, ahead, ipv6);
		scan_slot(f, i, ipv6);
	}
}

/* A family of which this CPU has never seen a flow has nothing to look through. */
static void scan_partition(struct flow_fetcher *f, uint32_t cpu)
{
	const struct flow_counters *c = &f->counters[cpu];
	uint64_t created6 = __atomic_load_n(&c->created_flows6, __ATOMIC_RELAXED);

	f->n_used = 0;
	if (__atomic_load_n(&c->created_flows, __ATOMIC_RELAXED) != created6)
		scan_family(f, cpu, false);
	if (created6)
		scan_family(f, cpu, true);
	f->partitions[cpu].slots_used = f->n_used;
}

size_t flow_fetcher_lookup_and_delete_map(struct flow_fetcher *f, uint64_t now_mono_ns)
{
	f->n_deltas = 0;
	f->scan_budget = SCAN_RINGS * (f->config.ring_bytes / sizeof(struct flow_event_slot4));
	fetcher_flags_tell_again(f);
	fetcher_netdev_update(f);
	flow_fetcher_read_ringbuf(f, now_mono_ns);
	fetcher_attach_look(f);
	f->reading = true;
	for (uint32_t cpu = 0; cpu < f->n_cpus; cpu++)
		if (!is_at_rest(f, cpu))
			scan_partition(f, cpu);
	fetcher_drops_scan(f);
	f->reading = false;
	flow_fetcher_read_ringbuf(f, now_mono_ns);
	return f->n_deltas;
}

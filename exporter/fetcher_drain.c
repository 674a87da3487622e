/* SPDX-License-Identifier: MIT */
/*
 * Reading the flow table while the kernel writes it (kernel/flow.h has the protocol): counters only
 * grow during a tenancy, a shadow per slot remembers what was taken, the difference goes up. A slot
 * that changed hands is left alone until the ring record that closes its last tenancy has been
 * read, so that order holds and nothing is taken twice.
 */
#include "config.h"

#include "fetcher_private.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "cache.h"
#include "clock.h"

#define TIE_TICKS    4
#define TIE_AGAIN_NS (3600 * NSEC_PER_SEC)

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

/* One look at both clocks: when jiffies were 0, as far as this look can tell; late by its place in
 * the tick. */
static bool look_at_jiffies(struct flow_fetcher *f, uint64_t *now_ns, int64_t *origin_ns)
{
	const volatile __u64 *jiffies = &f->flows[0]->bss->sampled_jiffies;
	const volatile __u64 *ns = &f->flows[0]->bss->sampled_ns;
	uint8_t frame[64] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame));

	if (bpf_prog_test_run_opts(bpf_program__fd(f->flows[0]->progs.sample_clock), &opts))
		return false;
	*now_ns = *ns;
	*origin_ns = *ns - *jiffies * f->ticks.length_ns;
	return true;
}

/* The kernel's tick is a timer of CLOCK_MONOTONIC (tick_do_update_jiffies64), so that jiffies keep
 * their distance from it. A single look is late by up to a tick, or by more while the CPU is away;
 * the earliest of a few ticks is right. */
bool fetcher_tie_jiffies(struct flow_fetcher *f)
{
	uint64_t length_ns = f->ticks.length_ns, end_ns = 0, now_ns;
	int64_t earliest = INT64_MAX, origin_ns;

	do {
		if (!look_at_jiffies(f, &now_ns, &origin_ns))
			return false;
		if (!end_ns)
			end_ns = now_ns + TIE_TICKS * length_ns;
		earliest = MIN(earliest, origin_ns);
	} while (now_ns < end_ns);
	f->jiffies_origin_ns = earliest;
	f->tie_jiffies_ns = now_ns + TIE_AGAIN_NS;
	return true;
}

/* Ties the ticks of slots to CLOCK_MONOTONIC for a drain. */
static void sample_clock(struct flow_fetcher *f)
{
	uint64_t jiffies, looked_ns;
	int64_t origin_ns;

	if (f->config.precise) {
		f->ticks.now_ns = f->now_mono_ns;
		f->ticks.now = f->now_mono_ns >> FLOW_TICK_SHIFT;
		return;
	}
	/* not allowed once privileges are gone: then what is known stays */
	if (f->now_mono_ns > f->tie_jiffies_ns && !fetcher_tie_jiffies(f))
		f->tie_jiffies_ns = f->now_mono_ns + TIE_AGAIN_NS;
	/* on a busy machine the first looks all came late */
	if (look_at_jiffies(f, &looked_ns, &origin_ns))
		f->jiffies_origin_ns = MIN(f->jiffies_origin_ns, origin_ns);
	jiffies = (f->now_mono_ns - f->jiffies_origin_ns) / f->ticks.length_ns;
	f->ticks.now = jiffies;
	f->ticks.now_ns = f->jiffies_origin_ns + jiffies * f->ticks.length_ns;
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
	sample_clock(f);
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
	f->reading = true;
	for (uint32_t cpu = 0; cpu < f->n_cpus; cpu++)
		if (!is_at_rest(f, cpu))
			scan_partition(f, cpu);
	fetcher_drops_scan(f);
	f->reading = false;
	flow_fetcher_read_ringbuf(f, now_mono_ns);
	return f->n_deltas;
}

void flow_fetcher_retire(struct flow_fetcher *f, uint32_t slot)
{
	uint32_t i = slot & ~SLOT_IPV6;
	struct flow_hot *hot;
	uint32_t gen;

	if (slot & SLOT_IPV6) {
		hot = &f->slots6[i].hot;
		gen = f->shadow6[i].gen;
	} else {
		hot = &f->slots4[i].hot;
		gen = f->shadow4[i].gen;
	}
	__atomic_store_n(&hot->retire, gen, __ATOMIC_RELAXED);
}

void flow_fetcher_prefetch_slot(const struct flow_fetcher *f, uint32_t slot)
{
	uint32_t i = slot & ~SLOT_IPV6;

	if (slot & SLOT_IPV6) {
		__builtin_prefetch(&f->slots6[i].hot, 1);
		__builtin_prefetch(&f->shadow6[i]);
	} else {
		__builtin_prefetch(&f->slots4[i].hot, 1);
		__builtin_prefetch(&f->shadow4[i]);
	}
}

/* Whether two keys are of one flow: their octets without the ECN bits. */
static bool is_same_key(const void *a, const void *b, size_t size)
{
	const uint64_t *x = a, *y = b;
	size_t last = size / sizeof(*x) - 1;

	return !memcmp(a, b, last * sizeof(*x)) && !((x[last] ^ y[last]) & ~FLOW_ECN);
}

/* The slots of a flow in a group, but for the one that is known. */
static void retire_in(struct flow_fetcher *f, uint32_t group, const __u64 *key, uint32_t slot)
{
	uint32_t family = slot & SLOT_IPV6;

	for (uint32_t i = group * FLOW_WAYS; i < (group + 1) * FLOW_WAYS; i++) {
		bool same = family ? is_same_key(key, &f->slots6[i].key, sizeof(struct flow_key6))
				   : is_same_key(key, &f->slots4[i].key, sizeof(struct flow_key4));

		if (same && (i | family) != slot)
			flow_fetcher_retire(f, i | family);
	}
}

void flow_fetcher_retire_others(struct flow_fetcher *f, uint32_t slot)
{
	uint32_t i = slot & ~SLOT_IPV6, groups = slot & SLOT_IPV6 ? f->groups6 : f->groups4;
	__u64 key[sizeof(struct flow_key6) / sizeof(__u64)], hash;

	if (slot & SLOT_IPV6) {
		memcpy(key, &f->slots6[i].key, sizeof(struct flow_key6));
		hash = flow_hash6(f->hash_seed, key);
	} else {
		memcpy(key, &f->slots4[i].key, sizeof(struct flow_key4));
		hash = flow_hash4(f->hash_seed, key[0], key[1], key[2]);
	}
	for (uint32_t cpu = 0; cpu < f->n_cpus; cpu++) {
		retire_in(f, flow_group(hash, groups, cpu), key, slot);
		retire_in(f, flow_second_group(hash, groups, cpu), key, slot);
	}
}

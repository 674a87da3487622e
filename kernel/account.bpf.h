/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The flow table: one look-up-or-insert. A flow lies in one of the four slots of its first or its
 * second group, in the partition of the CPU that sees it, so that no packet needs an atomic
 * (guard.bpf.h sees to it that there is one writer at a time); the slot that rested longest gives
 * way through the ring. Above: parse.bpf.h; user space's side of the protocol: fetcher_drain.c.
 */
#ifndef BPFLOWD_ACCOUNT_BPF_H
#define BPFLOWD_ACCOUNT_BPF_H

#include "kernel/hint.bpf.h"
#include "kernel/parse.bpf.h"
#include "kernel/slot.bpf.h"

/* Set before load. */
extern const volatile u32 groups4; /* groups of one partition */
extern const volatile u32 groups6;
extern const volatile u32 n_partitions; /* CPUs */
extern const volatile u32 ring_high;	/* octets in the ring at which user space is woken */
extern const volatile u64 hash_seed[4];
extern const volatile u8 precise;
extern const volatile u32 one_packet_handicap; /* ticks: flows of one packet give way first */

/* Sizes are set at load. The tables are mapped by user space, which only ever writes `retire`. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct flow_group4);
} aggregated_flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct flow_group6);
} aggregated_v6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct flow_cold_group);
} flow_details SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} direct_flows SEC(".maps");

/* What one skb adds to its flow. */
struct sample {
	u32 packets;
	u32 bytes;
	u32 now;
	u16 min_len;
	u16 max_len;
	u16 flags;
	u8 ttl;
	u8 ethernet;
	u32 cpu;
};

/*
 * Room for the packets that take the long way: the stack has 512 octets for a whole chain of calls.
 * One per CPU is enough, since the hooks never run inside each other (guard.bpf.h).
 */
struct scratch {
	struct packet packet;
	struct sample sample;
	u32 ranks[2 * FLOW_WAYS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FLOW_MAX_CPUS);
	__type(key, u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

/*
 * Time of a slot. Coarse: jiffies, which the verifier makes one load (2e2b0ef1, 5.5); the coarse
 * clock has the same resolution and costs more than all the rest of the hot path.
 */
static __always_inline u32 now_ticks(void)
{
	return precise ? bpf_ktime_get_ns() >> FLOW_TICK_SHIFT : bpf_jiffies64();
}

#define FLOW_IS_NEW 0xffffffffu /* in the place of a slot's number */

/* Of a flow on a CPU. */
struct place {
	u32 group;
	u32 second;
	u32 way; /* where the search begins in both */
};

static __always_inline struct place place_of(u64 hash, u32 groups, u32 cpu)
{
	return (struct place){
		.group = flow_group(hash, groups, cpu),
		.second = flow_second_group(hash, groups, cpu),
		.way = flow_way(hash),
	};
}

static __always_inline bool hit(const struct flow_hot *h)
{
	return h->retire != h->gen;
}

static __always_inline void touch(struct flow_hot *h, const struct sample *s)
{
	h->packets += s->packets;
	h->bytes += s->bytes;
	h->last = s->now;
	if (s->flags & ~h->tcp_flags)
		h->tcp_flags |= s->flags;
	if (s->min_len < h->min_len)
		h->min_len = s->min_len;
	if (s->max_len > h->max_len)
		h->max_len = s->max_len;
	if (s->ttl < h->min_ttl)
		h->min_ttl = s->ttl;
	if (s->ttl > h->max_ttl)
		h->max_ttl = s->ttl;
}

static __always_inline void begin(struct flow_hot *h, const struct sample *s)
{
	h->packets = s->packets;
	h->bytes = s->bytes;
	h->first = s->now;
	h->last = s->now;
	h->tcp_flags = s->flags;
	h->min_len = s->min_len;
	h->max_len = s->max_len;
	h->min_ttl = s->ttl;
	h->max_ttl = s->ttl;
}

#define SLOT_OWN     0xffffffffu /* ranks of a slot that may give way; else its age in ticks */
#define SLOT_UNUSED  0xfffffffeu
#define SLOT_RETIRED 0xfffffffdu

/* How willingly a slot gives way: the highest does. A flow that goes on keeps its slot, though it
 * is retired: in a flood there would be no other. */
static __always_inline u32 rank(const struct flow_hot *h, u32 now)
{
	u32 age = now - h->last;

	if (age >= SLOT_RETIRED - one_packet_handicap)
		age = 0; /* another CPU's clock tick */
	if (h->retire == h->gen && age >= one_packet_handicap)
		return SLOT_RETIRED;
	return h->packets == 1 && !(h->tcp_flags & FLOW_GOES_ON) ? age + one_packet_handicap : age;
}

/* Looks at the ring only now and then: records come by the dozen before it fills. */
static __always_inline u64 ring_wakeup(u64 n_records)
{
	if (n_records & 15)
		return BPF_RB_NO_WAKEUP;
	return bpf_ringbuf_query(&direct_flows, BPF_RB_AVAIL_DATA) > ring_high ? BPF_RB_FORCE_WAKEUP
									       : BPF_RB_NO_WAKEUP;
}

static __always_inline void count_ring_loss(struct flow_counters *c, const struct sample *s)
{
	c->lost_ring_packets += s->packets;
	c->lost_ring_bytes += s->bytes;
}

static __always_inline void fill_cold(struct __sk_buff *skb, struct flow_cold *cold,
				      const struct packet *p, const struct sample *s, u32 iface)
{
	__builtin_memset(cold, 0, sizeof(*cold));
	if (s->ethernet)
		bpf_skb_load_bytes(skb, 0, cold->dst_mac, 12); /* and src_mac */
	__builtin_memcpy(cold->mpls, p->mpls, sizeof(cold->mpls));
	if (FLOW_IFACE_DIRECTION(iface) == FLOW_EGRESS)
		cold->far_ifindex = skb->ingress_ifindex;
}

static __always_inline struct flow_hot *hot_of(void *slot, const bool ipv6)
{
	return slot + (ipv6 ? offsetof(struct flow_slot6, hot) : offsetof(struct flow_slot4, hot));
}

/* Whether a slot is this very flow's, as find4 and find6 have it. */
static __always_inline bool is_flow_of(const void *slot, const struct packet *p, const bool ipv6)
{
	const u64 *k = slot, *w = ipv6 ? (const u64 *)&p->key6 : p->w;

	if (ipv6)
		return !((k[0] ^ w[0]) | (k[1] ^ w[1]) | (k[2] ^ w[2]) | (k[3] ^ w[3]) |
			 (k[4] ^ w[4]) | ((k[5] ^ w[5]) & ~FLOW_ECN));
	return !((k[0] ^ w[0]) | (k[1] ^ w[1]) | ((k[2] ^ w[2]) & ~FLOW_ECN));
}

static __always_inline void *group_at(u32 group, const bool ipv6)
{
	return ipv6 ? (void *)bpf_map_lookup_elem(&aggregated_v6, &group)
		    : (void *)bpf_map_lookup_elem(&aggregated_flows, &group);
}

/* Ranks the slots of a group for the packet in room, in the order of the search, which ends with
 * one that was never used. */
static __always_inline void rank_group(struct scratch *room, u32 group, u32 way, u32 first,
				       const bool ipv6)
{
	u32 size = ipv6 ? sizeof(struct flow_slot6) : sizeof(struct flow_slot4);
	void *g = group_at(group, ipv6);

	if (!g)
		return;
#pragma unroll
	for (u32 i = 0; i < FLOW_WAYS; i++) {
		void *slot = g + ((way + i) & 3) * size;

		if (!hot_of(slot, ipv6)->gen) {
			room->ranks[first + i] = SLOT_UNUSED;
			return;
		}
		/* its own, retired, must not be found again */
		room->ranks[first + i] = is_flow_of(slot, &room->packet, ipv6)
						 ? SLOT_OWN
						 : rank(hot_of(slot, ipv6), room->sample.now);
	}
}

/* Of two numbers below 2^63, without a branch. */
static __always_inline u64 max_of(u64 a, u64 b)
{
	__s64 less = a - b;

	barrier_var(less);
	return a ^ ((a ^ b) & less >> 63);
}

/* The highest rank; turn decides between equals, which are many in a tick of the clock, so that no
 * two flows push out each other for ever. Through memory, and without branches, as the verifier
 * would walk all paths that lead to each. */
static __always_inline u32 choose_slot(const struct scratch *room, u32 turn)
{
	u64 best = 0;

	_Static_assert(2 * FLOW_WAYS == 8, "3 bits tell the slots apart");
#pragma unroll
	for (u32 i = 0; i < 2 * FLOW_WAYS; i++)
		best = max_of(best, (u64)room->ranks[i] << 3 | ((turn ^ i) & 7));
	return (turn ^ best) & 7;
}

/* Ends the tenancy of a slot in use: it leaves through the ring. details: IPv4's cold part. False:
 * the ring has no room. */
static __always_inline bool push_out(void *slot, const struct flow_cold *details, u32 index,
				     struct flow_counters *c, const bool ipv6)
{
	struct flow_event_slot4 *e4 = NULL;
	struct flow_event_slot6 *e6 = NULL;
	struct flow_event *e;

	if (ipv6)
		e6 = bpf_ringbuf_reserve(&direct_flows, sizeof(*e6), 0);
	else
		e4 = bpf_ringbuf_reserve(&direct_flows, sizeof(*e4), 0);
	if (ipv6 ? !e6 : !e4)
		return false;
	if (ipv6) {
		e = &e6->event;
		e6->slot = *(struct flow_slot6 *)slot;
	} else {
		e = &e4->event;
		e4->slot = *(struct flow_slot4 *)slot;
		e4->cold = *details;
	}
	e->type = ipv6 ? FLOW_EVENT_SLOT6 : FLOW_EVENT_SLOT4;
	e->index = index;
	c->evicted_flows++;
	gen_step(&hot_of(slot, ipv6)->gen);
	bpf_ringbuf_submit(e, ring_wakeup(c->evicted_flows));
	return true;
}

/* Gives the packet in room a slot of its own: of both groups the one that gives way most willingly.
 * Who had it looks at both with its next packet, so that flows make room for each other until each
 * has a slot. */
static __always_inline int insert(struct __sk_buff *skb, struct scratch *room,
				  const struct place *place, bool is_new, const bool ipv6)
{
	struct flow_counters *c = bpf_map_lookup_elem(&counters, &room->sample.cpu);
	struct flow_cold_group *details = NULL;
	struct sample *s = &room->sample;
	struct packet *p = &room->packet;
	u32 group, way, index, iface;
	struct flow_slot4 *v4;
	struct flow_slot6 *v6;
	struct flow_cold *cold;
	struct flow_hot *hot;
	void *g, *slot;
	bool goes_on;

	if (!c)
		return 0;
	__builtin_memset(room->ranks, 0, sizeof(room->ranks));
	rank_group(room, place->group, place->way, 0, ipv6);
	if (!is_new)
		rank_group(room, place->second, place->way, FLOW_WAYS, ipv6);
	way = choose_slot(room, (u32)c->evicted_flows * 0x9e3779b1u >> 29);
	group = way < FLOW_WAYS ? place->group : place->second;
	way = (place->way + way) & 3;
	g = group_at(group, ipv6);
	if (!ipv6)
		details = bpf_map_lookup_elem(&flow_details, &group);
	if (!g || (!ipv6 && !details))
		return 0;
	index = group * FLOW_WAYS + way;
	v4 = slot = g + way * (ipv6 ? sizeof(*v6) : sizeof(*v4));
	v6 = slot;
	cold = ipv6 ? &v6->cold : &details->way[way];
	hot = hot_of(slot, ipv6);
	goes_on = is_flow_of(slot, p, ipv6);
	if (!hot->gen) {
		gen_step(&hot->gen);
	} else if (!push_out(slot, cold, index, c, ipv6)) {
		/* a flow that user space wanted to begin anew goes on for now */
		if (goes_on)
			touch(hot, s);
		else
			count_ring_loss(c, s);
		return 0;
	}
	if (ipv6)
		v6->key = p->key6;
	else
		v4->key = p->key4;
	iface = ipv6 ? p->key6.iface : p->key4.iface;
	begin(hot, s);
	if (goes_on)
		hot->tcp_flags |= FLOW_GOES_ON;
	fill_cold(skb, cold, p, s, iface);
	gen_settle(&hot->gen);
	c->created_flows++;
	if (ipv6)
		c->created_flows6++;
	if (FLOW_IFACE_DIRECTION(iface) == FLOW_INGRESS)
		leave_far_hint(skb, s->cpu, ipv6 ? FAR_IPV6 | index : index, hot->gen,
			       ipv6 ? far_l3(p) : p->l3);
	return 0;
}

/* The hot path. Null: the flow has no slot in this group; nor in another if *at is then
 * FLOW_IS_NEW, as a slot of this one was never used. */
static __always_inline struct flow_slot4 *find4(u64 w0, u64 w1, u64 w2, u32 group, u32 way, u32 *at)
{
	struct flow_group4 *g = bpf_map_lookup_elem(&aggregated_flows, &group);

	if (!g)
		return NULL;
#pragma unroll
	for (u32 i = 0; i < FLOW_WAYS; i++) {
		u32 n = (way + i) & 3;
		struct flow_slot4 *v = &g->way[n];
		const u64 *w = (const u64 *)&v->key;

		if (w[0] == w0 && w[1] == w1 && !((w[2] ^ w2) & ~FLOW_ECN) &&
		    likely(hit(&v->hot))) {
			*at = group * FLOW_WAYS + n;
			return v;
		}
		if (!v->hot.gen) {
			*at = FLOW_IS_NEW;
			return NULL;
		}
	}
	return NULL;
}

static __always_inline struct flow_slot6 *find6(const struct flow_key6 *k, u32 group, u32 way,
						u32 *at)
{
	struct flow_group6 *g = bpf_map_lookup_elem(&aggregated_v6, &group);
	const u64 *kw = (const u64 *)k;

	if (!g)
		return NULL;
#pragma unroll
	for (u32 i = 0; i < FLOW_WAYS; i++) {
		u32 n = (way + i) & 3;
		struct flow_slot6 *v = &g->way[n];
		const u64 *w = (const u64 *)&v->key;

		if (w[4] == kw[4] && w[1] == kw[1] && w[3] == kw[3] && w[0] == kw[0] &&
		    w[2] == kw[2] && !((w[5] ^ kw[5]) & ~FLOW_ECN) && likely(hit(&v->hot))) {
			*at = group * FLOW_WAYS + n;
			return v;
		}
		if (!v->hot.gen) {
			*at = FLOW_IS_NEW;
			return NULL;
		}
	}
	return NULL;
}

static __always_inline struct flow_slot4 *slot4_at(u32 at)
{
	u32 group = at / FLOW_WAYS;
	struct flow_group4 *g = bpf_map_lookup_elem(&aggregated_flows, &group);

	if (!g)
		return NULL;
	barrier_var(g); /* no arithmetic before that look */
	return &g->way[at % FLOW_WAYS];
}

static __always_inline struct flow_slot6 *slot6_at(u32 at)
{
	u32 group = at / FLOW_WAYS;
	struct flow_group6 *g = bpf_map_lookup_elem(&aggregated_v6, &group);

	if (!g)
		return NULL;
	barrier_var(g); /* no arithmetic before that look */
	return &g->way[at % FLOW_WAYS];
}

/* A new flow waits for its second group and for a cold part, lines that nothing else has touched
 * lately: asked for at once, they come together. */
static __always_inline void fetch_cold(u32 group)
{
	const struct flow_cold_group *details = bpf_map_lookup_elem(&flow_details, &group);

	if (details) {
		(void)*(const volatile u32 *)&details->way[0];
		(void)*(const volatile u32 *)&details->way[2];
	}
}

/*
 * For the packet of a flow that isn't in its first group (said: its *at); the CPU's scratch has it.
 * Returns where the flow lies in the second, + 1 (slots have 31 bits, see FAR_IPV6); else it gets a
 * slot, with the packet, and 0 is returned. Global: see dns_message.
 */
__noinline int find_or_insert4(struct __sk_buff *skb, u64 hash, u32 cpu, u32 said)
{
	struct scratch *room = bpf_map_lookup_elem(&scratch, &cpu);
	struct place place = place_of(hash, groups4, cpu);
	bool is_new = said == FLOW_IS_NEW;
	const u64 *w;
	u32 at;

	if (!room)
		return 0;
	fetch_cold(place.group);
	if (!is_new)
		fetch_cold(place.second);
	w = room->packet.w;
	if (!is_new && find4(w[0], w[1], w[2], place.second, place.way, &at))
		return at + 1;
	insert(skb, room, &place, is_new, false);
	return 0;
}

/* IPv6 and non-IP. */
__noinline int find_or_insert6(struct __sk_buff *skb, u64 hash, u32 cpu, u32 said)
{
	struct scratch *room = bpf_map_lookup_elem(&scratch, &cpu);
	struct place place = place_of(hash, groups6, cpu);
	bool is_new = said == FLOW_IS_NEW;
	u32 at;

	if (!room)
		return 0;
	if (!is_new && find6(&room->packet.key6, place.second, place.way, &at))
		return at + 1;
	insert(skb, room, &place, is_new, true);
	return 0;
}

#endif

/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Every packet that the kernel frees as dropped passes kfree_skb. It is counted in drop_table under
 * the key of the flow under which the packet was, or would have been, counted: where it came in if
 * that is metered, else where it was to leave. A table of the same kind as the flow table, one
 * partition per CPU, a slot per flow and cause; user space takes differences, and ties the slots to
 * flows (exporter/signals.c). Next: fetcher_drops.c.
 */
#include "kernel/core.bpf.h"
#include "kernel/guard.bpf.h"
#include "kernel/skb.bpf.h"
#include "kernel/slot.bpf.h"

char _license[] SEC("license") = "Dual MIT/GPL";

/* Set before load. Places among the tracepoint's arguments differ by kernel: 5.17 brought the
 * reason (c504e5c2f964), 6.11 rx_sk (c53795d48ee8); 0: not there. */
const volatile __u8 reason_argument = 2;
const volatile __u8 rx_sk_argument = 3;
const volatile __u8 precise = 0;
const volatile __u32 groups = 1; /* of one partition */
const volatile __u32 n_partitions = 1;
const volatile __u32 ring_high = 1 << 19;
const volatile __u32 no_socket_reason = 0; /* 0: this kernel has none */
const volatile __u32 queue_purge_reason = 0;
const volatile __u32 unspecified_reason = 0;
const volatile __u64 hash_seed[4] = {1, 2, 3, 4};

#define ICMP_ECHOREPLY	  0
#define ICMPV6_ECHO_REPLY 129
#define TCP_CLOSE	  7

/* By subsystem (upper 16 bits of the reason) and number. */
const volatile __u64 ignored[FLOW_DROP_SUBSYSTEMS * FLOW_DROP_NUMBERS / 64] = {};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct drop_group);
} drop_table SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, FLOW_MAX_CPUS);
	__type(key, u32);
	__type(value, struct drop_counters);
} drop_counters SEC(".maps");

/* flows.bpf.c's */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} direct_flows SEC(".maps");

static __always_inline bool is_ignored(u32 reason)
{
	u32 bit = (reason >> 16) * FLOW_DROP_NUMBERS + (reason & 0xffff);

	if (reason >> 16 >= FLOW_DROP_SUBSYSTEMS || (reason & 0xffff) >= FLOW_DROP_NUMBERS)
		return false;
	return ignored[(bit >> 6) & (FLOW_DROP_SUBSYSTEMS * FLOW_DROP_NUMBERS / 64 - 1)] >>
		       (bit & 63) &
	       1;
}

static __always_inline bool is_metered_somewhere(u32 ifindex)
{
	for (u32 i = 0; i < FLOW_MAX_NETNS; i++) {
		if (i >= n_netns)
			break;
		if (interface_flags(i, ifindex) & (FLOW_IFACE_INGRESS | FLOW_IFACE_COVERED))
			return true;
	}
	return false;
}

/* Where the packet is counted; false: on no metered interface. A covered one stands for those below
 * it: user space knows them. */
static __always_inline bool counted_at(struct sk_buff *skb, const struct skb_way *way, u32 *iface,
				       const bool direct)
{
	u32 out = way->out;

	if (way->unsure) {
		*iface = FLOW_IFACE(0, FLOW_INGRESS, way->in);
		return is_metered_somewhere(way->in);
	}
	if (interface_flags(way->netns, way->in) & (FLOW_IFACE_INGRESS | FLOW_IFACE_COVERED)) {
		*iface = FLOW_IFACE(way->netns, FLOW_INGRESS, way->in);
		return true;
	}
	if (way->in)
		out = skb_forwarded_to(skb, way, direct);
	if (interface_flags(way->netns, out) & (FLOW_IFACE_EGRESS | FLOW_IFACE_COVERED)) {
		*iface = FLOW_IFACE(way->netns, FLOW_EGRESS, out);
		return true;
	}
	*iface = FLOW_IFACE(way->netns, FLOW_EGRESS, 0);
	return !way->in && !out;
}

static __always_inline u64 hash_drop(const struct flow_key6 *k, u32 cause)
{
	const u64 *w = (const u64 *)k;
	u64 h = flow_mix(hash_seed[0] ^ cause, w[0], hash_seed[1] | 1);

	h = flow_mix(h, w[1], hash_seed[2] | 1);
	h = flow_mix(h, w[2], hash_seed[3] | 1);
	h = flow_mix(h, w[3], hash_seed[1] | 1);
	return flow_mix(h, w[4] ^ w[5] << 24, hash_seed[2] | 1);
}

static __always_inline bool is_slot_of(const struct drop_slot *s, const struct flow_key6 *k,
				       u32 cause, u8 unsure)
{
	const u64 *a = (const u64 *)&s->key, *b = (const u64 *)k;

	return a[4] == b[4] && a[1] == b[1] && a[3] == b[3] && a[0] == b[0] && a[2] == b[2] &&
	       a[5] == b[5] && s->cause == cause && s->unsure == unsure;
}

/* Makes room in the group: an unused slot, else the one that rested longest, which leaves through
 * the ring. Null: the ring has no room. */
static __always_inline struct drop_slot *take_slot(struct drop_group *g, u32 group, u32 way,
						   u32 now)
{
	struct flow_event_drop_slot *e;
	u32 oldest = 0, age = 0;
	struct drop_slot *s;

	for (u32 i = 0; i < FLOW_WAYS; i++) {
		s = &g->way[(way + i) & (FLOW_WAYS - 1)];
		if (!s->gen) {
			gen_step(&s->gen);
			return s;
		}
		if (now - s->last >= age) {
			age = now - s->last;
			oldest = way + i;
		}
	}
	s = &g->way[oldest & (FLOW_WAYS - 1)];
	e = bpf_ringbuf_reserve(&direct_flows, sizeof(*e), 0);
	if (!e)
		return NULL;
	e->event.type = FLOW_EVENT_DROP;
	e->event.index = group * FLOW_WAYS + (oldest & (FLOW_WAYS - 1));
	e->slot = *s;
	gen_step(&s->gen);
	bpf_ringbuf_submit(e, bpf_ringbuf_query(&direct_flows, BPF_RB_AVAIL_DATA) > ring_high
				      ? BPF_RB_FORCE_WAKEUP
				      : BPF_RB_NO_WAKEUP);
	return s;
}

static __always_inline void count_drop(struct skb_headers *h, u32 cause, u8 state, u8 unsure,
				       u32 cpu, struct drop_counters *c)
{
	u32 now = precise ? bpf_ktime_get_ns() >> FLOW_TICK_SHIFT : bpf_jiffies64();
	u64 hash = hash_drop(&h->key, cause);
	u32 group = flow_group(hash, groups, cpu), way = flow_way(hash);
	struct drop_group *g = bpf_map_lookup_elem(&drop_table, &group);
	struct drop_slot *s;

	if (!g)
		return;
	c->packets += h->packets;
	for (u32 i = 0; i < FLOW_WAYS; i++) {
		s = &g->way[(way + i) & (FLOW_WAYS - 1)];
		if (!s->gen)
			break;
		if (!is_slot_of(s, &h->key, cause, unsure))
			continue;
		s->packets += h->packets;
		s->bytes += h->bytes;
		s->last = now;
		s->state = state;
		return;
	}
	s = take_slot(g, group, way, now);
	if (!s) {
		c->lost_ring_packets += h->packets;
		return;
	}
	s->key = h->key;
	s->cause = cause;
	s->packets = h->packets;
	s->bytes = h->bytes;
	s->first = now;
	s->last = now;
	s->state = state;
	s->unsure = unsure;
	gen_settle(&s->gen);
}

/* What no list of reasons can tell: an echo reply that finds no ping socket was taken by the raw
 * socket that asked; a closed connection lets go of what it holds. */
static __always_inline bool is_harmless(const struct skb_headers *h, u32 reason, u8 state)
{
	if (reason == no_socket_reason && reason)
		return (h->key.protocol == IPPROTO_ICMP &&
			h->key.dst_port == bpf_htons(ICMP_ECHOREPLY << 8)) ||
		       (h->key.protocol == IPPROTO_ICMPV6 &&
			h->key.dst_port == bpf_htons(ICMPV6_ECHO_REPLY << 8));
	return state == TCP_CLOSE && (reason == queue_purge_reason || reason == unspecified_reason);
}

static __always_inline void identify(struct sk_buff *skb, struct sock *rx_sk, u32 reason, u32 cpu,
				     struct drop_counters *c, const bool direct)
{
	struct skb_headers h = {};
	struct skb_way way;
	u8 state = 0;

	skb_way(skb, rx_sk, &way, direct);
	if (way.netns < 0 || !counted_at(skb, &way, &h.key.iface, direct))
		return;
	if (!skb_parse(skb, &way, &h, direct)) {
		c->unread_packets++;
		return;
	}
	/* goes with the datagram that it was put together to, which has been counted as a whole */
	if (way.unsure && h.is_later_fragment)
		return;
	if (way.sk && h.key.protocol == IPPROTO_TCP)
		state = SKB_READ(way.sk, __sk_common.skc_state);
	if (is_harmless(&h, reason, state))
		return;
	count_drop(&h, reason, state, way.unsure, cpu, c);
}

/* An interrupt ends before what it interrupted goes on, so that looking and marking need not be one
 * step; of threads that preempt each other that is not so. */
static __always_inline bool enter_drop(struct drop_counters *c)
{
	if (realtime)
		return enter_cpu(&c->busy);
	if (*(volatile u32 *)&c->busy)
		return false;
	*(volatile u32 *)&c->busy = 1;
	return true;
}

/* Drops happen in any context: one in an interrupt that comes while another is being counted on
 * this CPU must not touch the same slot. (From 6.1 on the kernel itself doesn't let it come here
 * and counts it as a recursion miss of the program: 05b24ff9b2cf.) */
static __always_inline int drop(struct sk_buff *skb, struct sock *rx_sk, u32 reason,
				const bool direct)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct drop_counters *c;

	if (is_ignored(reason) || cpu >= n_partitions)
		return 0;
	c = bpf_map_lookup_elem(&drop_counters, &cpu);
	if (!c)
		return 0;
	if (!enter_drop(c)) {
		__sync_fetch_and_add(&c->lost_busy_packets, 1);
		return 0;
	}
	identify(skb, rx_sk, reason, cpu, c, direct);
	if (realtime)
		leave_cpu(&c->busy);
	else
		*(volatile u32 *)&c->busy = 0;
	return 0;
}

SEC("tp_btf/kfree_skb")
int kfree_skb(u64 *ctx)
{
	struct sk_buff *skb = (struct sk_buff *)ctx[0];
	struct sock *rx_sk = rx_sk_argument == 3 ? (struct sock *)ctx[3] : NULL;
	u32 reason = reason_argument == 2 ? (u32)ctx[2] : 0;

	return drop(skb, rx_sk, reason, true);
}

/* Where the kernel has no typed tracepoints. */
SEC("raw_tp/kfree_skb")
int kfree_skb_raw(u64 *ctx)
{
	struct sk_buff *skb = (struct sk_buff *)ctx[0];
	struct sock *rx_sk = rx_sk_argument == 3 ? (struct sock *)ctx[3] : NULL;
	u32 reason = reason_argument == 2 ? (u32)ctx[2] : 0;

	return drop(skb, rx_sk, reason, false);
}

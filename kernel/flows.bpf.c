/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The metering hooks: every packet of a metered interface passes ingress_flow_parse or
 * egress_flow_parse (tcx, or tc clsact) and is counted in the flow table. They never touch the
 * packet. One copy of this object is loaded per namespace; all copies share the maps of the first.
 * Next: fetcher.c.
 */
#include "kernel/core.bpf.h"

const volatile __u8 netns = 0;
const volatile __u8 precise = 0;
const volatile __u8 count_once = 1;
const volatile __u32 sampling = 1;
const volatile __u32 groups4 = 1;
const volatile __u32 groups6 = 1;
const volatile __u32 n_partitions = 1;
const volatile __u32 ring_high = 1 << 19;
const volatile __u32 one_packet_handicap = 1000;
const volatile __u64 hash_seed[4] = {1, 2, 3, 4};
const volatile __u8 rtt_enabled = 0;
const volatile __u8 dns_enabled = 0;

/* By the low 16 bits of the interface index: index << 8, enum flow_iface_flag; user space writes.
 */
__u32 iface_flags[1 << 16];
__u64 sampled_jiffies; /* by sample_clock, */
__u64 sampled_ns;      /* which reads this second */
__u32 ppp_metered;     /* PPP devices of this namespace are metered */

#include "kernel/account.bpf.h"
#include "kernel/far.bpf.h"
#include "kernel/guard.bpf.h"
#include "kernel/observe.bpf.h"
#include "kernel/segment.bpf.h"

char _license[] SEC("license") = "Dual MIT/GPL";

static __always_inline u8 flags_of(u32 ifindex)
{
	u32 known = iface_flags[ifindex & 0xffff];

	return known >> 8 == ifindex ? known : 0;
}

static __always_inline void observe(struct flow_counters *c, u32 direction, const struct sample *s)
{
	c->observed_packets[direction] += s->packets;
	c->observed_bytes[direction] += s->bytes;
}

/* Whether the packet follows a SYN of its flow: looked at once, then the mark is taken off. */
static __always_inline bool end_handshake(struct flow_hot *h, u16 flags)
{
	if (likely(!rtt_enabled || !(h->tcp_flags & FLOW_HANDSHAKE)) || (flags & TCP_SYN))
		return false;
	h->tcp_flags &= ~FLOW_HANDSHAKE;
	return true;
}

/* p and s are the CPU's scratch. Returns whether the flow is new or in its handshake. */
static __always_inline int count4(struct __sk_buff *skb, struct packet *p, struct sample *s)
{
	u64 h = flow_hash4(hash_seed, p->w[0], p->w[1], p->w[2]);
	u32 group = flow_group(h, groups4, s->cpu), way = flow_way(h), at = 0;
	struct flow_slot4 *slot = find4(p->w[0], p->w[1], p->w[2], group, way, &at);

	if (!slot) {
		at = find_or_insert4(skb, h, s->cpu, at);
		slot = at ? slot4_at(--at) : NULL;
	}
	if (!slot)
		return 1;
	touch(&slot->hot, s);
	if (unlikely(wants_far_hint(&slot->hot, p->key4.iface)))
		leave_far_hint(skb, s->cpu, at, slot->hot.gen, p->l3);
	return end_handshake(&slot->hot, s->flags);
}

static __always_inline int count6(struct __sk_buff *skb, struct packet *p, struct sample *s)
{
	u64 h = flow_hash6(hash_seed, (const u64 *)&p->key6);
	u32 group = flow_group(h, groups6, s->cpu), way = flow_way(h), at = 0;
	struct flow_slot6 *slot = find6(&p->key6, group, way, &at);

	if (!slot) {
		at = find_or_insert6(skb, h, s->cpu, at);
		slot = at ? slot6_at(--at) : NULL;
	}
	if (!slot)
		return 1;
	touch(&slot->hot, s);
	if (unlikely(wants_far_hint(&slot->hot, p->key6.iface)))
		leave_far_hint(skb, s->cpu, at | FAR_IPV6, slot->hot.gen, far_l3(p));
	return end_handshake(&slot->hot, s->flags);
}

/*
 * Any packet that is not plain; also the ones that a tracker wants to see. Global, so that the
 * verifier looks at it once and not for each call: before 6.6 it would lose patience.
 */
__noinline int meter_any(struct __sk_buff *skb, u32 iface, u32 ethernet, u32 cpu)
{
	struct flow_counters *c = bpf_map_lookup_elem(&counters, &cpu);
	struct scratch *room = bpf_map_lookup_elem(&scratch, &cpu);
	struct packet *p;
	struct sample *s;
	int family, opening;

	if (!c || !room)
		return 0;
	p = &room->packet;
	s = &room->sample;
	__builtin_memset(p, 0, sizeof(*p));
	family = parse_any(skb, p, iface, ethernet, ppp_metered);
	if (family == PARSE_SKIP)
		return 0;
	segment(skb, p, s);
	s->now = now_ticks();
	s->flags = p->flags;
	if (rtt_enabled && (p->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
		s->flags |= FLOW_HANDSHAKE;
	s->ttl = p->ttl;
	s->ethernet = ethernet;
	s->cpu = cpu;
	observe(c, FLOW_IFACE_DIRECTION(iface), s);
	c->malformed_packets += p->malformed;
	if (cpu >= n_partitions) {
		c->lost_table_packets += s->packets;
		c->lost_table_bytes += s->bytes;
		return 0;
	}
	opening = family == PARSE_IPV4 ? count4(skb, p, s) : count6(skb, p, s);
	track(skb, p, opening, cpu);
	return 0;
}

static __always_inline void plain_sample(struct sample *s, const struct packet *p, u32 cpu)
{
	s->packets = 1;
	s->bytes = p->len;
	s->min_len = p->len;
	s->max_len = p->len;
	s->flags = p->flags;
	s->ttl = p->ttl;
	s->ethernet = 1;
	s->cpu = cpu;
	s->now = now_ticks();
}

/* Whether a tracker wants more than the counters of this packet. */
static __always_inline bool is_tracked(u32 ports, u8 protocol, u16 flags)
{
	if (rtt_enabled && protocol == IPPROTO_TCP && (flags & 0x02))
		return true;
	return dns_enabled && is_dns(ports);
}

static __always_inline int meter_plain4(struct __sk_buff *skb, struct packet *p, u32 iface, u32 cpu,
					struct flow_counters *c)
{
	struct flow_slot4 *slot;
	u32 group, way, at = 0;
	struct sample s;
	u64 h;

	if (is_tracked((u32)p->w[1], (u8)p->w[2], p->flags))
		return meter_any(skb, iface, 1, cpu);
	plain_sample(&s, p, cpu);
	observe(c, FLOW_IFACE_DIRECTION(iface), &s);
	h = flow_hash4(hash_seed, p->w[0], p->w[1], p->w[2]);
	group = flow_group(h, groups4, cpu);
	way = flow_way(h);
	slot = find4(p->w[0], p->w[1], p->w[2], group, way, &at);
	if (unlikely(!slot)) {
		struct scratch *room = bpf_map_lookup_elem(&scratch, &cpu);

		if (!room)
			return 0;
		__builtin_memset(room->packet.mpls, 0, sizeof(room->packet.mpls));
		room->packet.l3 = ETH_HLEN;
		room->packet.w[0] = p->w[0];
		room->packet.w[1] = p->w[1];
		room->packet.w[2] = p->w[2];
		room->sample = s;
		at = find_or_insert4(skb, h, cpu, at);
		slot = at ? slot4_at(--at) : NULL;
		if (!slot)
			return rtt_enabled && (u8)p->w[2] == IPPROTO_TCP
				       ? track_ack(skb, iface, cpu)
				       : 0;
	}
	touch(&slot->hot, &s);
	if (unlikely(wants_far_hint(&slot->hot, iface)))
		leave_far_hint(skb, cpu, at, slot->hot.gen, ETH_HLEN);
	if (end_handshake(&slot->hot, 0))
		track_ack(skb, iface, cpu);
	return 0;
}

static __always_inline int meter_plain6(struct __sk_buff *skb, struct packet *p, u32 iface, u32 cpu,
					struct flow_counters *c)
{
	struct flow_slot6 *slot;
	u32 group, way, at = 0;
	struct sample s;
	u64 h;

	if (is_tracked(*(u32 *)&p->key6.src_port, p->key6.protocol, p->flags))
		return meter_any(skb, iface, 1, cpu);
	plain_sample(&s, p, cpu);
	observe(c, FLOW_IFACE_DIRECTION(iface), &s);
	h = flow_hash6(hash_seed, (const u64 *)&p->key6);
	group = flow_group(h, groups6, cpu);
	way = flow_way(h);
	slot = find6(&p->key6, group, way, &at);
	if (unlikely(!slot)) {
		struct scratch *room = bpf_map_lookup_elem(&scratch, &cpu);

		if (!room)
			return 0;
		__builtin_memset(room->packet.mpls, 0, sizeof(room->packet.mpls));
		room->packet.l3 = ETH_HLEN;
		room->packet.key6 = p->key6;
		room->sample = s;
		at = find_or_insert6(skb, h, cpu, at);
		slot = at ? slot6_at(--at) : NULL;
		if (!slot)
			return rtt_enabled && p->key6.protocol == IPPROTO_TCP
				       ? track_ack(skb, iface, cpu)
				       : 0;
	}
	touch(&slot->hot, &s);
	if (unlikely(wants_far_hint(&slot->hot, iface)))
		leave_far_hint(skb, cpu, at | FAR_IPV6, slot->hot.gen, ETH_HLEN);
	if (end_handshake(&slot->hot, 0))
		track_ack(skb, iface, cpu);
	return 0;
}

/* Whether the packet is counted elsewhere: where it came in, or where it leaves. */
static __always_inline bool is_foreign(struct __sk_buff *skb, u32 direction, u8 flags)
{
	u32 from = skb->ingress_ifindex;

	if (direction == FLOW_INGRESS)
		return flags & FLOW_IFACE_HELD;
	return from && count_once && (flags_of(from) & FLOW_IFACE_COVERED);
}

/* Not counted in a flow (guard.bpf.h). Octets are those of the skb. */
static __noinline int count_busy(struct __sk_buff *skb, struct flow_counters *c, u32 direction,
				 u8 flags)
{
	u32 headers = flags & FLOW_IFACE_NO_ETHERNET ? 0 : ETH_HLEN, n = 1;

	if (is_foreign(skb, direction, flags))
		return 0;
	if (sampling > 1 && bpf_get_prandom_u32() % sampling) {
		__sync_fetch_and_add(&c->busy_unsampled, 1);
		return 0;
	}
	if (skb->gso_size && skb->gso_segs)
		n = skb->gso_segs;
	__sync_fetch_and_add(&c->busy_packets[direction & 1], n);
	__sync_fetch_and_add(&c->busy_bytes[direction & 1],
			     skb->len > headers ? skb->len - headers : 0);
	return 0;
}

static __always_inline void meter_ours(struct __sk_buff *skb, u32 direction, u8 flags, u32 cpu,
				       struct flow_counters *c)
{
	const u8 *data = (const u8 *)(long)skb->data, *end = (const u8 *)(long)skb->data_end;
	u32 iface = FLOW_IFACE(netns, direction, skb->ifindex), vlan = 0;
	struct packet p;

	if (direction == FLOW_EGRESS && skb->ingress_ifindex)
		tell_far(skb, c, cpu, !(flags & FLOW_IFACE_NO_ETHERNET));
	if (is_foreign(skb, direction, flags)) {
		if (direction == FLOW_EGRESS)
			observe_forwarded(skb, c, cpu, !(flags & FLOW_IFACE_NO_ETHERNET),
					  ppp_metered);
		return;
	}
	if (sampling > 1 && bpf_get_prandom_u32() % sampling) {
		c->unsampled_packets++;
		return;
	}
	if (unlikely(cpu >= n_partitions) || skb->gso_size || (flags & FLOW_IFACE_NO_ETHERNET) ||
	    data + ETH_HLEN > end)
		goto any;
	if (skb->vlan_present)
		vlan = skb->vlan_tci & 0xfff;
	if (load_half(data + 12) == bpf_htons(ETH_P_IP)) {
		if (parse_plain4(data, end, &p, iface, vlan, skb->len - ETH_HLEN)) {
			meter_plain4(skb, &p, iface, cpu, c);
			return;
		}
	} else if (load_half(data + 12) == bpf_htons(ETH_P_IPV6)) {
		if (parse_plain6(data, end, &p, iface, vlan, skb->len - ETH_HLEN)) {
			meter_plain6(skb, &p, iface, cpu, c);
			return;
		}
	}
any:
	meter_any(skb, iface, !(flags & FLOW_IFACE_NO_ETHERNET), cpu);
}

static __always_inline int meter(struct __sk_buff *skb, u32 direction)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct flow_counters *c = bpf_map_lookup_elem(&counters, &cpu);
	u8 flags = flags_of(skb->ifindex);

	if (!c)
		return TC_ACT_UNSPEC;
	if (!enter_cpu(&c->busy)) {
		count_busy(skb, c, direction, flags);
		return TC_ACT_UNSPEC;
	}
	meter_ours(skb, direction, flags, cpu, c);
	leave_cpu(&c->busy);
	return TC_ACT_UNSPEC;
}

SEC("tc")
int ingress_flow_parse(struct __sk_buff *skb)
{
	return meter(skb, FLOW_INGRESS);
}

SEC("tc")
int egress_flow_parse(struct __sk_buff *skb)
{
	return meter(skb, FLOW_EGRESS);
}

/* Run by user space: ties jiffies to CLOCK_MONOTONIC. Of a type that every kernel can run without an
 * skb: tc's would be freed as a drop on lo each time. */
SEC("flow_dissector")
int sample_clock(struct __sk_buff *skb)
{
	sampled_jiffies = bpf_jiffies64();
	sampled_ns = bpf_ktime_get_ns();
	return 0;
}

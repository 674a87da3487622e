/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The far side of a flow that is counted where it comes in: the egress hook sees by which interface
 * it really leaves, behind routing, policy rules and NAT, and tells the flow. A new flow leaves a
 * hint under the skb's hash, which stays with the skb on its way; the egress hook of the same CPU
 * finds it.
 */
#ifndef BPFLOWD_FAR_BPF_H
#define BPFLOWD_FAR_BPF_H

#include "kernel/account.bpf.h"

/* NAT changes one end of a flow; a hash that two flows share changes both. Never name a wrong
 * interface. */
static __always_inline bool same_end(u32 src_differs, u32 dst_differs, u32 ports_a, u32 ports_b)
{
	u32 differ = ports_a ^ ports_b;

	return (!src_differs && !(differ & bpf_htonl(0xffff0000))) ||
	       (!dst_differs && !(differ & bpf_htonl(0x0000ffff)));
}

static __noinline int tell4(struct packet *p, struct far_hint *hint, u32 ifindex)
{
	u32 group = hint->index / FLOW_WAYS, way = hint->index % FLOW_WAYS;
	struct flow_group4 *g = bpf_map_lookup_elem(&aggregated_flows, &group);
	struct flow_cold_group *details = bpf_map_lookup_elem(&flow_details, &group);
	struct flow_slot4 *v;

	if (!g || !details)
		return 0;
	v = &g->way[way];
	if (v->hot.gen != hint->gen || v->key.protocol != p->key4.protocol ||
	    !same_end(v->key.src_addr ^ p->key4.src_addr, v->key.dst_addr ^ p->key4.dst_addr,
		      *(u32 *)&v->key.src_port, *(u32 *)&p->key4.src_port))
		return 0;
	details->way[way].far_ifindex = ifindex;
	details->way[way].far_vlan = p->key4.vlan;
	v->hot.tcp_flags |= FLOW_FAR_KNOWN;
	return 0;
}

static __always_inline u32 differ16(const u8 *a, const u8 *b)
{
	const u32 *x = (const u32 *)a, *y = (const u32 *)b;

	return (x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]);
}

static __noinline int tell6(struct packet *p, struct far_hint *hint, u32 ifindex)
{
	u32 group = hint->index / FLOW_WAYS, way = hint->index % FLOW_WAYS;
	struct flow_group6 *g = bpf_map_lookup_elem(&aggregated_v6, &group);
	struct flow_slot6 *v;

	if (!g)
		return 0;
	v = &g->way[way];
	if (v->hot.gen != hint->gen || v->key.protocol != p->key6.protocol ||
	    !same_end(differ16(v->key.src_addr, p->key6.src_addr),
		      differ16(v->key.dst_addr, p->key6.dst_addr), *(u32 *)&v->key.src_port,
		      *(u32 *)&p->key6.src_port))
		return 0;
	v->cold.far_ifindex = ifindex;
	v->cold.far_vlan = p->key6.vlan;
	v->hot.tcp_flags |= FLOW_FAR_KNOWN;
	return 0;
}

static __noinline int follow_far_hint(struct __sk_buff *skb, u32 cpu, u32 hash, u32 ethernet)
{
	u32 k = cpu * FAR_HINTS + (hash & (FAR_HINTS - 1));
	struct far_hint *hint = bpf_map_lookup_elem(&far_hints, &k), copy;
	struct scratch *room = bpf_map_lookup_elem(&scratch, &cpu);
	struct packet *p;
	int family;

	if (!hint || !room)
		return 0;
	p = &room->packet;
	__builtin_memset(p, 0, sizeof(*p));
	copy = *hint;
	hint->hash = 0;
	family = parse_any(skb, p, FLOW_IFACE(netns, FLOW_EGRESS, skb->ifindex), ethernet, 0);
	if (family == PARSE_IPV4 && !copy.is_ipv6)
		return tell4(p, &copy, skb->ifindex);
	if (family != PARSE_IPV4 && copy.is_ipv6)
		return tell6(p, &copy, skb->ifindex);
	return 0;
}

/* For each packet that came in elsewhere: nearly always one look at a cached line. */
static __always_inline void tell_far(struct __sk_buff *skb, u32 cpu, u32 ethernet)
{
	u32 hash = skb->hash, k = cpu * FAR_HINTS + (hash & (FAR_HINTS - 1));
	struct far_hint *hint;

	if (!hash)
		return;
	hint = bpf_map_lookup_elem(&far_hints, &k);
	if (hint && unlikely(hint->hash == hash))
		follow_far_hint(skb, cpu, hash, ethernet);
}

#endif

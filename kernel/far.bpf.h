/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The far side of a flow that is counted where it comes in: the egress hook sees by which interface
 * it really leaves, behind routing, policy rules and NAT, and tells the flow. A new flow leaves a
 * hint (hint.bpf.h); the egress hook of the same CPU finds it by what the packet still is. Whatever
 * leaves a doubt makes the far interface unknown: never a wrong one.
 */
#ifndef BPFLOWD_FAR_BPF_H
#define BPFLOWD_FAR_BPF_H

#include "kernel/account.bpf.h"

/* Ticks that a packet may take from hook to hook. A hint whose packet never came out (dropped,
 * delivered) must not be taken for that of a later one; one that waited longer for its neighbour's
 * address leaves the answer to the next packets. */
#define FAR_FRESH_TICKS 8

extern const volatile u8 netns;

/* NAT gives one end another address; with another port alone it is another flow. */
static __always_inline bool is_same_flow(u32 src_differs, u32 dst_differs, u32 ports_a, u32 ports_b)
{
	u32 differ = ports_a ^ ports_b;
	bool same_src = !src_differs && !(differ & bpf_htonl(0xffff0000));
	bool same_dst = !dst_differs && !(differ & bpf_htonl(0x0000ffff));

	return (same_src && (same_dst || dst_differs)) || (same_dst && src_differs);
}

/* A second answer is a copy, a flood, or a redirection behind our hook: which way is the flow's own
 * can't be told. */
static __always_inline void answer(struct flow_hot *hot, struct flow_cold *cold,
				   struct far_hint *hint, u32 ifindex, u16 vlan)
{
	bool again = hint->told;

	hint->told = ifindex;
	if (again) {
		hint->tag = 0;
		cold->far_ifindex = 0;
		cold->far_vlan = 0;
		hot->tcp_flags &= ~FLOW_FAR_KNOWN;
		return;
	}
	cold->far_ifindex = ifindex;
	cold->far_vlan = vlan;
	hot->tcp_flags |= FLOW_FAR_KNOWN;
}

/* A router may change DSCP; where a packet has no number of its own, another class is another flow.
 */
static __always_inline bool is_other_class(u8 a, u8 b)
{
	return (a ^ b) & 0xfc;
}

/* IPv4 without identification, IPv6 without flow label. */
static __always_inline bool is_anonymous(const u8 *data, const u8 *end, u32 l3, bool ipv6)
{
	const u8 *ip = data + (l3 & 0xff);

	if ((l3 & FAR_NON_IP) || ip + 8 > end)
		return true;
	return ipv6 ? !(load_word(ip) & bpf_htonl(0xfffff)) : !load_half(ip + 4);
}

static __noinline int tell4(struct packet *p, struct far_hint *hint, u32 ifindex, u32 anonymous)
{
	u32 slot = hint->slot, group = slot / FLOW_WAYS, way = slot % FLOW_WAYS;
	struct flow_group4 *g = bpf_map_lookup_elem(&aggregated_flows, &group);
	struct flow_cold_group *details = bpf_map_lookup_elem(&flow_details, &group);
	struct flow_slot4 *v;

	if (!g || !details)
		return 0;
	v = &g->way[way];
	if ((u16)v->hot.gen != hint->gen || v->key.protocol != p->key4.protocol ||
	    (anonymous && is_other_class(v->key.tos, p->key4.tos)) ||
	    FLOW_IFACE_NETNS(v->key.iface) != netns ||
	    !is_same_flow(v->key.src_addr ^ p->key4.src_addr, v->key.dst_addr ^ p->key4.dst_addr,
			  *(u32 *)&v->key.src_port, *(u32 *)&p->key4.src_port))
		return 0;
	answer(&v->hot, &details->way[way], hint, ifindex, p->key4.vlan);
	return 0;
}

static __always_inline u32 differ16(const u8 *a, const u8 *b)
{
	const u32 *x = (const u32 *)a, *y = (const u32 *)b;

	return (x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]);
}

static __noinline int tell6(struct packet *p, struct far_hint *hint, u32 ifindex, u32 anonymous)
{
	u32 slot = hint->slot & ~FAR_IPV6, group = slot / FLOW_WAYS, way = slot % FLOW_WAYS;
	struct flow_group6 *g = bpf_map_lookup_elem(&aggregated_v6, &group);
	struct flow_slot6 *v;

	if (!g)
		return 0;
	v = &g->way[way];
	if ((u16)v->hot.gen != hint->gen || v->key.protocol != p->key6.protocol ||
	    (anonymous && is_other_class(v->key.tos, p->key6.tos)) ||
	    v->key.eth_proto != p->key6.eth_proto || FLOW_IFACE_NETNS(v->key.iface) != netns ||
	    !is_same_flow(differ16(v->key.src_addr, p->key6.src_addr),
			  differ16(v->key.dst_addr, p->key6.dst_addr), *(u32 *)&v->key.src_port,
			  *(u32 *)&p->key6.src_port))
		return 0;
	answer(&v->hot, &v->cold, hint, ifindex, p->key6.vlan);
	return 0;
}

static __noinline int follow_far_hint(struct __sk_buff *skb, u32 cpu, u32 ethernet)
{
	const u8 *data = (const u8 *)(long)skb->data, *end = (const u8 *)(long)skb->data_end;
	u16 proto = skb->protocol;
	struct scratch *room;
	struct far_hint *hint;
	u32 l3 = 0, tag, k, anonymous;
	struct packet *p;
	int family;

	if (ethernet) {
		if (data + ETH_HLEN + 4 > end)
			return 0;
		l3 = ETH_HLEN;
		proto = load_half(data + 12);
		if (proto == bpf_htons(ETH_P_8021Q) || proto == bpf_htons(ETH_P_8021AD)) {
			proto = load_half(data + 16);
			l3 = ETH_HLEN + 4;
		}
	}
	if (proto != bpf_htons(ETH_P_IP) && proto != bpf_htons(ETH_P_IPV6))
		l3 = FAR_NON_IP;
	tag = far_tag(data, end, l3, proto != bpf_htons(ETH_P_IP));
	k = far_place(cpu, tag);
	hint = bpf_map_lookup_elem(&far_hints, &k);
	room = bpf_map_lookup_elem(&scratch, &cpu);
	if (!hint || !room || !tag || hint->tag != tag || hint->told == skb->ifindex)
		return 0;
	if ((u16)((u16)bpf_jiffies64() - hint->tick) > FAR_FRESH_TICKS)
		return 0;
	anonymous = is_anonymous(data, end, l3, proto != bpf_htons(ETH_P_IP));
	p = &room->packet;
	__builtin_memset(p, 0, sizeof(*p));
	family = parse_any(skb, p, FLOW_IFACE(netns, FLOW_EGRESS, skb->ifindex), ethernet, 0);
	if (family == PARSE_IPV4 && !(hint->slot & FAR_IPV6))
		return tell4(p, hint, skb->ifindex, anonymous);
	if (family != PARSE_IPV4 && (hint->slot & FAR_IPV6))
		return tell6(p, hint, skb->ifindex, anonymous);
	return 0;
}

/* For each packet that came in elsewhere; while no flow begins on this CPU, one comparison. */
static __always_inline void tell_far(struct __sk_buff *skb, const struct flow_counters *c, u32 cpu,
				     u32 ethernet)
{
	if (unlikely(bpf_jiffies64() - c->far_tick <= FAR_FRESH_TICKS))
		follow_far_hint(skb, cpu, ethernet);
}

#endif

/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Hints: what the ingress hook leaves of a packet whose flow doesn't know its far interface yet.
 * Keyed by a tag of what no router changes in a packet. Not by skb->hash: to have it computed would
 * change which of several next hops the kernel takes. Below: far.bpf.h, where the egress hook finds
 * them.
 */
#ifndef BPFLOWD_HINT_BPF_H
#define BPFLOWD_HINT_BPF_H

#include "kernel/parse.bpf.h"

#define FAR_HINTS 256  /* per CPU */
#define FAR_TRIES 8    /* packets that ask the egress hook for the far interface, */
#define FAR_AGAIN 1024 /* in each so many of a flow that got no answer yet */

#define FAR_IPV6   0x80000000u /* in far_hint.slot: of the IPv6 table */
#define FAR_NON_IP 0x80000000u /* beside an offset: there is no IP header */

struct far_hint {
	u32 tag; /* 0: none */
	u32 slot;
	u32 told; /* interface that has answered, 0: none */
	u16 gen;  /* low bits */
	u16 tick; /* low bits of jiffies when it was left */
};

_Static_assert(sizeof(struct far_hint) == 16, "four hints in a cache line");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FAR_HINTS);
	__type(key, u32);
	__type(value, struct far_hint);
} far_hints SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, FLOW_MAX_CPUS);
	__type(key, u32);
	__type(value, struct flow_counters);
} counters SEC(".maps");

static __always_inline u32 far_l3(const struct packet *p)
{
	return p->key6.eth_proto == ETH_P_IPV6 ? p->l3 : FAR_NON_IP;
}

/*
 * Forwarding leaves IPv4's identification and IPv6's flow label alone, NAT one of the ends and what
 * lies behind the ports and the checksum; a bridge leaves the MAC addresses. l3: where IP begins,
 * or FAR_NON_IP. Never 0, unless the packet is too short.
 */
static __always_inline u32 far_tag(const u8 *data, const u8 *end, u32 l3, bool ipv6)
{
	const u8 *ip = data + (l3 & 0xff);
	u32 tag, behind = 0;

	if (l3 & FAR_NON_IP) {
		if (data + ETH_HLEN > end)
			return 0;
		tag = load_word(data + 2) ^ load_word(data + 8);
	} else if (ipv6) {
		if (ip + 40 > end)
			return 0;
		tag = (load_word(ip) & bpf_htonl(0xfffff)) ^ ip[6];
		if (ip + 52 <= end)
			behind = load_word(ip + 48);
	} else {
		if (ip + 20 > end)
			return 0;
		tag = (u32)load_half(ip + 4) << 8 ^ ip[9];
		if (ip + 32 <= end && ip[0] == 0x45)
			behind = load_word(ip + 28);
	}
	tag = (tag ^ behind) * 0x9e3779b1u ^ behind;
	return tag | 1;
}

static __always_inline u32 far_place(u32 cpu, u32 tag)
{
	return cpu * FAR_HINTS + (tag >> 24);
}

_Static_assert(FAR_HINTS == 256, "far_place takes 8 bits");

/* Leaves word for the egress hook, which meets this packet next on the same CPU. slot: FAR_IPV6. */
static __noinline int leave_far_hint(struct __sk_buff *skb, u32 cpu, u32 slot, u32 gen, u32 l3)
{
	const u8 *data = (const u8 *)(long)skb->data, *end = (const u8 *)(long)skb->data_end;
	u32 tag = far_tag(data, end, l3, slot & FAR_IPV6), k = far_place(cpu, tag);
	struct flow_counters *c = bpf_map_lookup_elem(&counters, &cpu);
	struct far_hint *hint = bpf_map_lookup_elem(&far_hints, &k);

	if (!hint || !c || !tag)
		return 0;
	c->far_tick = bpf_jiffies64();
	hint->tag = tag;
	hint->slot = slot;
	hint->told = 0;
	hint->gen = gen;
	hint->tick = c->far_tick;
	return 0;
}

static __always_inline bool wants_far_hint(const struct flow_hot *h, u32 iface)
{
	return h->packets % FAR_AGAIN < FAR_TRIES && !(h->tcp_flags & FLOW_FAR_KNOWN) &&
	       FLOW_IFACE_DIRECTION(iface) == FLOW_INGRESS;
}

#endif

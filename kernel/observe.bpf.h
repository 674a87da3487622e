/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Packets that leave and were counted where they came in: NAT may have translated them since, and
 * their answers come back to what they are now. DNS and handshakes among them are observed, not
 * counted: a query or SYN of its own tuple waits without a flow, an answer may find what waits
 * since it came in. The rest pays for a look at its headers. Above: flows.bpf.c; below:
 * track.bpf.h.
 */
#ifndef BPFLOWD_OBSERVE_BPF_H
#define BPFLOWD_OBSERVE_BPF_H

#include "kernel/track.bpf.h"

#define OBSERVE_HANDSHAKE 1
#define OBSERVE_DNS	  2

/* Whether this ACK has just ended a handshake: told once, since all data that a client sends to a
 * silent server carries the same number. */
static __always_inline bool is_opening_ack(struct flow_counters *c, u32 ack)
{
	u32 *expected = &c->opening_acks[ack % ACKS];

	if (likely(*expected != ack || !ack))
		return false;
	*expected = 0;
	return true;
}

/* Of the transport header behind one of IP without options. */
static __always_inline u32 wanted_transport(const u8 *l4, const u8 *end, u8 protocol,
					    struct flow_counters *c)
{
	u32 wanted = 0;

	if (l4 + 8 > end)
		return 0;
	if (rtt_enabled && protocol == IPPROTO_TCP && l4 + 20 <= end) {
		u8 flags = l4[13] & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN);

		if (unlikely(flags & TCP_SYN) ||
		    (flags == TCP_ACK && is_opening_ack(c, bpf_ntohl(load_word(l4 + 8)))))
			wanted = OBSERVE_HANDSHAKE;
	}
	if (dns_enabled && (protocol == IPPROTO_UDP || protocol == IPPROTO_TCP) &&
	    unlikely(is_dns(load_word(l4))))
		wanted |= OBSERVE_DNS;
	return wanted;
}

static __always_inline u32 wanted_ip(const u8 *ip, const u8 *end, struct flow_counters *c)
{
	u32 size = 20;
	u8 protocol;

	if (ip + 20 > end)
		return 0;
	protocol = ip[9];
	if (ip[0] != 0x45) {
		if (ip[0] >> 4 != 6)
			return 0;
		protocol = ip[6];
		size = 40;
	}
	return wanted_transport(ip + size, end, protocol, c);
}

/* Where IP begins behind a VLAN tag or PPPoE, as it does on a device under the one that routes; 0:
 * elsewhere. */
static __noinline u32 tagged_l3(struct __sk_buff *skb)
{
	const u8 *data = (const u8 *)(long)skb->data, *end = (const u8 *)(long)skb->data_end;
	u16 proto;

	if (data + ETH_HLEN + 4 > end)
		return 0;
	proto = load_half(data + 12);
	if (proto == bpf_htons(ETH_P_PPP_SES))
		return ETH_HLEN + 8;
	if (proto != bpf_htons(ETH_P_8021Q) && proto != bpf_htons(ETH_P_8021AD))
		return 0;
	return load_half(data + 16) == bpf_htons(ETH_P_PPP_SES) ? ETH_HLEN + 4 + 8 : ETH_HLEN + 4;
}

/* Global: see dns_message. */
__noinline int observe_wanted(struct __sk_buff *skb, u32 wanted, u32 ethernet, u32 cpu,
			      u32 ppp_is_metered)
{
	struct scratch *room = bpf_map_lookup_elem(&scratch, &cpu);
	struct packet *p;
	int family;

	if (!room)
		return 0;
	p = &room->packet;
	__builtin_memset(p, 0, sizeof(*p));
	family = parse_any(skb, p, FLOW_IFACE(netns, FLOW_EGRESS, 0), ethernet, ppp_is_metered);
	if (family != PARSE_IPV4 && family != PARSE_IPV6)
		return 0;
	if (wanted & OBSERVE_HANDSHAKE)
		track_handshake(skb, cpu, skb->ifindex);
	if (wanted & OBSERVE_DNS)
		track_dns(skb, cpu, skb->ifindex);
	return 0;
}

static __always_inline void observe_forwarded(struct __sk_buff *skb, struct flow_counters *c,
					      u32 cpu, u32 ethernet, u32 ppp_is_metered)
{
	const u8 *data = (const u8 *)(long)skb->data, *end = (const u8 *)(long)skb->data_end;
	u32 l3 = ethernet ? ETH_HLEN : 0, wanted;

	if (!rtt_enabled && !dns_enabled)
		return;
	if (ethernet) {
		u16 proto;

		if (data + ETH_HLEN > end)
			return;
		proto = load_half(data + 12);
		if (unlikely(proto != bpf_htons(ETH_P_IP) && proto != bpf_htons(ETH_P_IPV6)))
			l3 = tagged_l3(skb) & 31;
		if (!l3)
			return;
	}
	wanted = wanted_ip(data + l3, end, c);
	if (unlikely(wanted))
		observe_wanted(skb, wanted, ethernet, cpu, ppp_is_metered);
}

#endif

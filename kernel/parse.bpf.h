/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The parser: from a packet to the key of its flow and what the packet adds to it. parse_plain4 and
 * parse_plain6 read the packets that make up nearly all traffic (Ethernet, at most the hardware
 * VLAN tag, no options, no fragment) straight from the linear area; parse_any, out of line, reads
 * everything else with one cursor. Above: flows.bpf.c; below: account.bpf.h.
 */
#ifndef BPFLOWD_PARSE_BPF_H
#define BPFLOWD_PARSE_BPF_H

#include "kernel/core.bpf.h"
#include "kernel/fragment.bpf.h"

#define PARSE_MAX_VLAN_TAGS	    4 /* in band; the outer two are kept */
#define PARSE_MAX_MPLS_LABELS	    8
#define PARSE_MAX_EXTENSION_HEADERS 8
#define BARE_OFFSET_MAX		    256 /* outer headers in front of a packet without Ethernet header */

enum parse_family { PARSE_IPV4, PARSE_IPV6, PARSE_NON_IP, PARSE_SKIP };

struct packet {
	union {
		struct flow_key4 key4;
		u64 w[3]; /* key4 in words */
	};
	struct flow_key6 key6;
	u32 mpls[FLOW_MPLS_LABELS];
	u32 len;     /* IP-layer octets of the skb, as its header says */
	u32 l3;	     /* offset of the network header */
	u32 headers; /* octets of IP and transport header: what each GSO segment repeats */
	u32 l4;	     /* offset of the transport header, 0: none was read */
	u32 blurred; /* by blur */
	u16 flags;   /* FLOW_TCP_FLAGS, FLOW_FRAGMENT */
	u8 ttl;
	u8 malformed;
};

extern const volatile u8 netns;

static __always_inline u32 load_word(const void *p)
{
	return *(const u32 *)p;
}

static __always_inline u16 load_half(const void *p)
{
	return *(const u16 *)p;
}

/* Ports in network order as one word, ICMP's type and code in the place of the destination port. */
static __always_inline u32 icmp_ports(u16 type_code)
{
	return (u32)type_code << 16;
}

static __always_inline u16 tcp_flags(const u8 *tcp)
{
	return (tcp[12] & 0x0f) << 8 | tcp[13];
}

/*
 * Parses the usual IPv4 packet. False: let parse_any have it. Fills w, len, headers, l3, l4, flags,
 * ttl; the caller has set w[1]'s interface and w[2]'s VLAN id.
 */
static __always_inline bool parse_plain4(const u8 *data, const u8 *end, struct packet *p, u32 iface,
					 u32 vlan, u32 room)
{
	const u8 *ip = data + ETH_HLEN;
	u32 ports, protocol, len, addr;

	if (data + ETH_HLEN + 20 + 8 > end)
		return false;
	/* version 4, no options; no fragment */
	if (ip[0] != 0x45 || (load_half(ip + 6) & bpf_htons(0x3fff)))
		return false;
	protocol = ip[9];
	len = bpf_ntohs(load_half(ip + 2));
	ports = load_word(ip + 20);
	if (protocol == IPPROTO_TCP) {
		/* the length lies, or is BIG TCP's 0 */
		if (ip + 40 > end || len - 40 > room - 40)
			return false;
		p->flags = tcp_flags(ip + 20);
		p->headers = 20 + (ip[32] >> 4) * 4;
	} else if (protocol == IPPROTO_UDP) {
		if (len - 28 > room - 28)
			return false;
		p->flags = 0;
		p->headers = 28;
	} else {
		return false;
	}
	addr = load_word(ip + 12);
	p->w[0] = (u64)load_word(ip + 16) << 32 | addr;
	p->w[1] = (u64)iface << 32 | ports;
	p->w[2] = (u64)vlan << 16 | (u32)ip[1] << 8 | protocol;
	p->ttl = ip[8];
	p->len = len;
	p->l3 = ETH_HLEN;
	p->l4 = ETH_HLEN + 20;
	return true;
}

/* The usual IPv6 packet, likewise; fills key6. */
static __always_inline bool parse_plain6(const u8 *data, const u8 *end, struct packet *p, u32 iface,
					 u32 vlan, u32 room)
{
	const u8 *ip = data + ETH_HLEN;
	struct flow_key6 *k = &p->key6;
	u32 len, first;

	if (data + ETH_HLEN + 40 + 8 > end)
		return false;
	first = bpf_ntohl(load_word(ip));
	len = bpf_ntohs(load_half(ip + 4)) + 40;
	if (first >> 28 != 6)
		return false;
	if (ip[6] == IPPROTO_TCP) {
		if (ip + 60 > end || len - 60 > room - 60)
			return false;
		p->flags = tcp_flags(ip + 40);
		p->headers = 40 + (ip[52] >> 4) * 4;
	} else if (ip[6] == IPPROTO_UDP) {
		if (len - 48 > room - 48)
			return false;
		p->flags = 0;
		p->headers = 48;
	} else {
		return false;
	}
#pragma unroll
	for (int i = 0; i < 4; i++) {
		*(u32 *)(k->src_addr + 4 * i) = load_word(ip + 8 + 4 * i);
		*(u32 *)(k->dst_addr + 4 * i) = load_word(ip + 24 + 4 * i);
	}
	*(u32 *)&k->src_port = load_word(ip + 40);
	k->iface = iface;
	k->protocol = ip[6];
	k->tos = first >> 20;
	k->vlan = vlan;
	k->inner_vlan = 0;
	k->eth_proto = ETH_P_IPV6;
	p->ttl = ip[7];
	p->len = len;
	p->l3 = ETH_HLEN;
	p->l4 = ETH_HLEN + 40;
	return true;
}

/* The cursor of parse_any: what is behind off has been read. */
struct cursor {
	struct __sk_buff *skb;
	u32 off;
	u32 len; /* of the skb; behind an IP header: where its packet ends, before any padding */
};

/* Copies n octets at the cursor; false if the packet ends before. */
#define cursor_read(c, to, n) \
	((c)->off + (n) <= (c)->len && bpf_skb_load_bytes((c)->skb, (c)->off, (to), (n)) == 0)

/*
 * The same number through memory that the verifier does not follow: ways that differ in nothing
 * else are one for it. Without that, the verifiers before 6.6 walk every combination of headers.
 * p is in a map.
 */
static __always_inline u32 blur(struct packet *p, u32 number)
{
	*(volatile u32 *)&p->blurred = number;
	return *(volatile u32 *)&p->blurred;
}

static __always_inline void set_vlan(struct packet *p, u16 id)
{
	if (!p->key6.vlan)
		p->key6.vlan = id;
	else if (!p->key6.inner_vlan)
		p->key6.inner_vlan = id;
}

/* Walks link-layer tags to the network header; returns the ethertype found there, host order. */
static __always_inline u16 parse_link(struct cursor *c, struct packet *p, u16 proto, bool *pppoe)
{
	u16 tag[4];

#pragma unroll
	for (int i = 0; i < PARSE_MAX_VLAN_TAGS; i++) {
		if (proto != ETH_P_8021Q && proto != ETH_P_8021AD)
			break;
		if (!cursor_read(c, tag, 4))
			return proto;
		set_vlan(p, bpf_ntohs(tag[0]) & 0xfff);
		proto = bpf_ntohs(tag[1]);
		c->off += 4;
	}
	if (proto == ETH_P_PPP_SES && cursor_read(c, tag, 8)) {
		u16 ppp = bpf_ntohs(tag[3]);

		if (ppp == PPP_IP || ppp == PPP_IPV6) {
			proto = ppp == PPP_IP ? ETH_P_IP : ETH_P_IPV6;
			c->off += 8;
			*pppoe = true;
		}
	}
	return proto;
}

/* Keeps the top labels, finds IP behind the last one (RFC 3032; RFC 4928 for the guess by version).
 */
static __always_inline u16 parse_mpls(struct cursor *c, struct packet *p, u16 proto)
{
	u32 start = c->off, label;
	u8 version;

	for (int i = 0; i < PARSE_MAX_MPLS_LABELS; i++) {
		if (!cursor_read(c, &label, 4))
			break;
		c->off += 4;
		label = bpf_ntohl(label);
		if (i < FLOW_MPLS_LABELS)
			p->mpls[i] = label;
		if (!(label & 0x100))
			continue;
		if (cursor_read(c, &version, 1)) {
			if (version >> 4 == 4)
				return ETH_P_IP;
			if (version >> 4 == 6)
				return ETH_P_IPV6;
		}
		break;
	}
	c->off = start;
	return proto;
}

/* Ports of a fragment: the first one leaves them, the later ones find them or stay at 0. */
static __noinline void join_fragment(struct packet *p, u32 id, u32 first)
{
	struct fragment_id key = {};
	struct fragment_head own = {}, *head;

	fragment_key(&key, &p->key6, id, netns);
	if (first) {
		own.ports = *(u32 *)&p->key6.src_port;
		own.protocol = p->key6.protocol;
		bpf_map_update_elem(&fragments, &key, &own, BPF_ANY);
		return;
	}
	head = bpf_map_lookup_elem(&fragments, &key);
	if (!head)
		return;
	*(u32 *)&p->key6.src_port = head->ports;
	p->key6.protocol = head->protocol;
}

/* Transport header at the cursor. Ports go to key6, where both families keep them until the end. */
static __always_inline void parse_transport(struct cursor *c, struct packet *p)
{
	u8 protocol = p->key6.protocol, tcp[14];
	u32 ip_header = c->off - p->l3, ports = 0;
	u16 type_code;

	p->headers = ip_header;
	if (protocol == IPPROTO_TCP && cursor_read(c, tcp, 14)) {
		ports = *(u32 *)tcp;
		p->flags |= tcp_flags(tcp);
		p->headers = ip_header + (tcp[12] >> 4) * 4;
	} else if (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP) {
		if (!cursor_read(c, &ports, 4)) {
			p->malformed = 1;
			ports = 0;
		}
		p->malformed |= protocol == IPPROTO_TCP;
		p->headers = ip_header + (protocol == IPPROTO_SCTP ? 12 : 8);
	} else if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6) {
		if (!cursor_read(c, &type_code, 2)) {
			p->malformed = 1;
			return;
		}
		ports = icmp_ports(type_code);
	} else {
		return;
	}
	p->l4 = c->off;
	*(u32 *)&p->key6.src_port = ports;
}

static __always_inline bool parse_ipv4(struct cursor *c, struct packet *p)
{
	struct flow_key6 *k = &p->key6;
	u16 fragment, id;
	u32 header, len;
	u8 ip[20];

	if (!cursor_read(c, ip, 20) || ip[0] >> 4 != 4 || (ip[0] & 0xf) < 5)
		return false;
	header = (ip[0] & 0xf) * 4;
	len = bpf_ntohs(*(u16 *)(ip + 2));
	p->l3 = c->off;
	p->len = c->len - c->off;
	if (len >= header && len <= p->len)
		p->len = len;
	else if (len || !c->skb->gso_size) /* length 0 is BIG TCP's */
		p->malformed = 1;
	c->len = p->l3 + p->len;
	k->protocol = ip[9];
	k->tos = ip[1];
	p->ttl = ip[8];
	*(u32 *)k->src_addr = *(u32 *)(ip + 12);
	*(u32 *)k->dst_addr = *(u32 *)(ip + 16);
	k->eth_proto = ETH_P_IP;
	fragment = bpf_ntohs(*(u16 *)(ip + 6));
	id = *(u16 *)(ip + 4);
	c->off += header;
	if (!(fragment & 0x3fff)) {
		parse_transport(c, p);
		return true;
	}
	p->flags = FLOW_FRAGMENT;
	p->headers = header;
	if (!(fragment & 0x1fff))
		parse_transport(c, p);
	join_fragment(p, id, !(fragment & 0x1fff));
	return true;
}

/* One step along the chain of extension headers (RFC 8200 4.1); false at its end. */
static __always_inline bool parse_extension(struct cursor *c, struct packet *p, u32 *fragment,
					    u32 *id)
{
	u8 h[8];

	switch (p->key6.protocol) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_DSTOPTS:
	case IPPROTO_MH:
	case IPPROTO_AH:
	case IPPROTO_FRAGMENT:
		break;
	default:
		return false;
	}
	if (!cursor_read(c, h, 8)) {
		p->malformed = 1;
		return false;
	}
	if (p->key6.protocol == IPPROTO_MH && h[0] == 59) /* mobility header ends the chain */
		return false;
	if (p->key6.protocol == IPPROTO_FRAGMENT) {
		*fragment = bpf_ntohs(*(u16 *)(h + 2)) | 0x10000;
		*id = *(u32 *)(h + 4);
		c->off += 8;
	} else if (p->key6.protocol == IPPROTO_AH) {
		c->off += (h[1] + 2) * 4;
	} else {
		c->off += (h[1] + 1) * 8;
	}
	c->off = blur(p, c->off);
	*fragment = blur(p, *fragment);
	*id = blur(p, *id);
	p->key6.protocol = h[0];
	/* behind a later fragment's header lies payload */
	return !(*fragment & 0xfff8);
}

/* The jumbo option that BIG TCP carries inside of this host; no segment on the wire has it. */
static __always_inline bool is_big_tcp(struct cursor *c, const u8 *ip)
{
	u8 hop[4];

	return !load_half(ip + 4) && ip[6] == IPPROTO_HOPOPTS && c->skb->gso_size &&
	       cursor_read(c, hop, 4) && !hop[1] && hop[2] == IPV6_TLV_JUMBO;
}

static __always_inline bool parse_ipv6(struct cursor *c, struct packet *p)
{
	struct flow_key6 *k = &p->key6;
	u32 fragment = 0, id = 0, len;
	bool big_tcp;
	u8 ip[40];

	if (!cursor_read(c, ip, 40) || ip[0] >> 4 != 6)
		return false;
	len = bpf_ntohs(*(u16 *)(ip + 4)) + 40;
	p->l3 = c->off;
	p->len = c->len - c->off;
	if (len > 40 && len <= p->len)
		p->len = len;
	else if (len != 40) /* payload length 0 is a jumbogram's (RFC 2675) or an empty packet's */
		p->malformed = 1;
	else if (!c->skb->gso_size && ip[6] != IPPROTO_HOPOPTS)
		p->len = 40;
	c->len = p->l3 + p->len;
	__builtin_memcpy(k->src_addr, ip + 8, 16);
	__builtin_memcpy(k->dst_addr, ip + 24, 16);
	k->tos = ip[0] << 4 | ip[1] >> 4;
	k->protocol = ip[6];
	k->eth_proto = ETH_P_IPV6;
	p->ttl = ip[7];
	c->off += 40;
	big_tcp = is_big_tcp(c, ip);
	for (int i = 0; i < PARSE_MAX_EXTENSION_HEADERS; i++)
		if (!parse_extension(c, p, &fragment, &id))
			break;
	p->headers = c->off - p->l3;
	if (fragment & 0xfff9) /* else there is none, or an atomic one (RFC 6946) */
		p->flags = FLOW_FRAGMENT;
	if (!(fragment & 0xfff8))
		parse_transport(c, p);
	if (fragment & 0xfff9)
		join_fragment(p, id, !(fragment & 0xfff8));
	if (big_tcp) {
		p->len -= 8;
		p->headers -= 8;
	}
	return true;
}

/* Non-IP, or so broken that it can't be told: ethertype and MAC addresses are the key. */
static __always_inline void parse_non_ip(struct cursor *c, struct packet *p, u16 proto,
					 bool ethernet)
{
	u8 mac[12];

	if (ethernet && proto < ETH_P_802_3_MIN) /* the length of an 802.3 frame */
		proto = ETH_P_802_2;
	p->key6.eth_proto = proto;
	p->l3 = c->off;
	p->len = c->off < c->len ? c->len - c->off : 0;
	if (ethernet && bpf_skb_load_bytes(c->skb, 0, mac, 12) == 0) {
		__builtin_memcpy(p->key6.dst_addr, mac, 6);
		__builtin_memcpy(p->key6.src_addr, mac + 6, 6);
	}
}

/* Copies what an IPv4 key needs out of key6, where the parser of both families put it. */
static __always_inline void make_key4(struct packet *p)
{
	p->key4.src_addr = *(u32 *)p->key6.src_addr;
	p->key4.dst_addr = *(u32 *)p->key6.dst_addr;
	p->key4.src_port = p->key6.src_port;
	p->key4.dst_port = p->key6.dst_port;
	p->key4.iface = p->key6.iface;
	p->key4.protocol = p->key6.protocol;
	p->key4.tos = p->key6.tos;
	p->key4.vlan = p->key6.vlan;
	p->key4.inner_vlan = p->key6.inner_vlan;
	p->key4.pad = 0;
}

/* What of a PPPoE frame this host ends or begins is counted at its PPP device: not here too. */
static __always_inline bool is_own_pppoe(struct __sk_buff *skb, u32 iface)
{
	u32 type = skb->pkt_type, from = skb->ingress_ifindex;

	/* both loads stay where they are: the verifier refuses a computed offset into the context
	 */
	asm volatile("" : "+r"(type), "+r"(from));
	return FLOW_IFACE_DIRECTION(iface) == FLOW_INGRESS ? type == PACKET_HOST : from == 0;
}

/*
 * Where a packet begins that has no Ethernet header. Before Linux 5.14 the headers that a tunnel
 * took off are still in front of it when tc sees it: then the packet's end tells.
 */
static __always_inline u32 bare_offset(struct __sk_buff *skb)
{
	u8 shown[8], ip[8];
	u32 offset;

	if (bpf_skb_load_bytes(skb, 0, shown, 8) ||
	    bpf_skb_load_bytes_relative(skb, 0, ip, 8, BPF_HDR_START_NET) ||
	    *(u64 *)shown == *(u64 *)ip)
		return 0;
	offset = skb->len -
		 (ip[0] >> 4 == 4 ? bpf_ntohs(*(u16 *)(ip + 2)) : bpf_ntohs(*(u16 *)(ip + 4)) + 40);
	if (offset > BARE_OFFSET_MAX || bpf_skb_load_bytes(skb, offset, shown, 8) ||
	    *(u64 *)shown != *(u64 *)ip)
		return 0;
	return offset;
}

/*
 * Parses any packet. ethernet: it begins with an Ethernet header, else with the network header
 * (tun, ppp, wireguard). ppp_metered: PPP devices are metered in this namespace. p was zeroed.
 */
static __noinline int parse_any(struct __sk_buff *skb, struct packet *p, u32 iface, u32 ethernet,
				u32 ppp_metered)
{
	struct cursor c = {.skb = skb, .len = skb->len};
	u16 proto = bpf_ntohs(skb->protocol);
	bool pppoe = false, is_ip = false;
	u16 link_proto;
	u32 link_end;

	p->key6.iface = iface;
	if (skb->vlan_present)
		set_vlan(p, skb->vlan_tci & 0xfff);
	if (ethernet) {
		u16 type;

		c.off = ETH_HLEN;
		if (bpf_skb_load_bytes(skb, 12, &type, 2) == 0)
			proto = bpf_ntohs(type);
		else
			p->malformed = 1;
	} else {
		c.off = bare_offset(skb);
	}
	proto = parse_link(&c, p, proto, &pppoe);
	if (pppoe && ppp_metered && is_own_pppoe(skb, iface))
		return PARSE_SKIP;
	c.off = blur(p, c.off);
	proto = blur(p, proto);
	link_proto = proto;
	link_end = c.off;
	if (proto == ETH_P_MPLS_UC || proto == ETH_P_MPLS_MC)
		proto = parse_mpls(&c, p, proto);
	c.off = blur(p, c.off);
	proto = blur(p, proto);
	if (proto == ETH_P_IP)
		is_ip = parse_ipv4(&c, p);
	else if (proto == ETH_P_IPV6)
		is_ip = parse_ipv6(&c, p);
	if (!is_ip) {
		/* what only looked like IP behind MPLS is a pseudowire's frame (RFC 4928) */
		p->malformed |= link_proto == ETH_P_IP || link_proto == ETH_P_IPV6;
		c.off = link_end;
		parse_non_ip(&c, p, link_proto, ethernet);
		return PARSE_NON_IP;
	}
	if (proto == ETH_P_IPV6)
		return PARSE_IPV6;
	make_key4(p);
	return PARSE_IPV4;
}

#endif

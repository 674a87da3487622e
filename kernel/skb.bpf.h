/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A packet as the tracing programs meet it: a struct sk_buff anywhere in the stack, on any CPU, in
 * any namespace, headers read or not yet written. Finds whose it is, by which interfaces it goes,
 * and its flow. Used by drops.bpf.c, netdev.bpf.c and probe.bpf.c.
 *
 * `direct`: constant; the pointers are typed (tp_btf) and load as in C, faults read 0. Otherwise
 * (raw_tp) each load is a helper call.
 */
#ifndef BPFLOWD_SKB_BPF_H
#define BPFLOWD_SKB_BPF_H

#include <bpf/bpf_core_read.h>

#include "kernel/core.bpf.h"
#include "kernel/fragment.bpf.h"

#define SKB_MAX_EXTENSION_HEADERS 4
#define SKB_HEADER_READ		  48 /* an IPv6 header and the ports */

/* inode numbers of namespaces begin here (PROC_DYNAMIC_FIRST): what is below is no namespace, and
 * what it was read from no device */
#define NETNS_INUM_MIN 0xf0000000u

#define AF_INET	 2
#define AF_INET6 10

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct ns_common {
	unsigned int inum;
};
struct net {
	struct ns_common ns;
};
typedef struct {
	struct net *net;
} possible_net_t;
struct net_device {
	int ifindex;
	possible_net_t nd_net;
};
struct dst_entry {
	struct net_device *dev;
};
struct in6_addr {
	union {
		__u8 u6_addr8[16];
	} in6_u;
};
struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned int skc_hash;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
};
struct sock {
	struct sock_common __sk_common;
	u16 sk_protocol;
	struct dst_entry *sk_dst_cache;
};
struct skb_shared_info {
	unsigned short gso_size;
	unsigned short gso_segs;
	unsigned int gso_type;
};
struct sk_buff {
	struct net_device *dev;
	struct sock *sk;
	unsigned long _skb_refdst;
	unsigned int len;
	__u8 vlan_present : 1; /* before 6.2 */
	__u8 encapsulation : 1;
	int skb_iif;
	__u32 hash;
	__be16 vlan_proto;
	__u16 vlan_tci;
	__be16 protocol;
	__u16 transport_header;
	__u16 inner_transport_header;
	__u16 network_header;
	__u16 mac_header;
	unsigned int tail;
	unsigned int end;
	unsigned char *head;
	unsigned char *data;
};
#pragma clang attribute pop

#define SKB_READ(p, member)                                                  \
	({                                                                   \
		typeof(p) p_ = (p);                                          \
		typeof(p_->member) v_;                                       \
		if (direct)                                                  \
			v_ = p_->member;                                     \
		else                                                         \
			bpf_core_read((void *)&v_, sizeof(v_), &p_->member); \
		v_;                                                          \
	})

/* Metered namespaces by number; user space writes before the number grows. */
__u32 netns_inums[FLOW_MAX_NETNS];
__u32 n_netns;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, u32);  /* FLOW_IFACE(netns, 0, ifindex) */
	__type(value, u8); /* enum flow_iface_flag: COVERED, INGRESS, EGRESS */
} metered_interfaces SEC(".maps");

static __always_inline u8 interface_flags(u32 netns, u32 ifindex)
{
	u32 key = FLOW_IFACE(netns, 0, ifindex);
	u8 *flags = ifindex ? bpf_map_lookup_elem(&metered_interfaces, &key) : NULL;

	return flags ? *flags : 0;
}

/* What is known of a packet's way. */
struct skb_way {
	s32 netns;   /* number, -1: not metered */
	u32 in;	     /* 0: sent by this host */
	u32 out;     /* of what this host sends; 0: not known (yet) */
	u32 ifindex; /* of the device that the packet names, 0: none */
	bool unsure; /* nothing tells the namespace; netns is 0 */
	struct sock *sk;
};

static __always_inline u32 device_netns(struct net_device *dev, const bool direct)
{
	struct net *net = SKB_READ(dev, nd_net.net);

	return SKB_READ(net, ns.inum);
}

static __always_inline s32 netns_number(u32 inum)
{
	for (u32 i = 0; i < FLOW_MAX_NETNS; i++) {
		if (i >= n_netns)
			break;
		if (netns_inums[i] == inum)
			return i;
	}
	return -1;
}

static __always_inline struct net_device *route_device(struct sk_buff *skb, const bool direct)
{
	unsigned long ref = SKB_READ(skb, _skb_refdst) & ~7ul;
	struct net_device *dev = NULL;

	if (ref)
		bpf_core_read(&dev, sizeof(dev), &((struct dst_entry *)ref)->dev);
	return dev;
}

static __always_inline u32 device_index(struct net_device *dev)
{
	int ifindex = 0;

	bpf_core_read(&ifindex, sizeof(ifindex), &dev->ifindex);
	return ifindex;
}

/*
 * skb->dev is overlaid by other things while the packet lies in a socket's queue, and the socket
 * may be the sender's in another namespace until ip_rcv: a device that proves to be one decides,
 * then the socket, then the route.
 */
static __always_inline void skb_way(struct sk_buff *skb, struct sock *rx_sk, struct skb_way *way,
				    const bool direct)
{
	struct net_device *dev = SKB_READ(skb, dev), *route;
	struct sock *sk = SKB_READ(skb, sk);
	u32 inum = dev ? device_netns(dev, direct) : 0, ifindex = 0, family = 0;

	way->in = SKB_READ(skb, skb_iif);
	way->out = 0;
	way->ifindex = 0;
	way->sk = NULL;
	if (inum >= NETNS_INUM_MIN)
		ifindex = SKB_READ(dev, ifindex);
	if (!sk)
		sk = rx_sk;
	if (sk)
		family = SKB_READ(sk, __sk_common.skc_family);
	if (family == AF_INET || family == AF_INET6)
		way->sk = sk;
	if (inum < NETNS_INUM_MIN && way->sk) {
		struct net *net = SKB_READ(sk, __sk_common.skc_net.net);

		inum = SKB_READ(net, ns.inum);
	}
	way->ifindex = ifindex;
	route = inum < NETNS_INUM_MIN || !way->in ? route_device(skb, direct) : NULL;
	if (inum < NETNS_INUM_MIN && route) {
		struct net *net = NULL;

		bpf_core_read(&net, sizeof(net), &route->nd_net.net);
		bpf_core_read(&inum, sizeof(inum), &net->ns.inum);
	}
	/* a datagram in a socket's queue has neither device nor socket nor route */
	way->unsure = inum < NETNS_INUM_MIN && way->in && !rx_sk;
	way->netns = inum >= NETNS_INUM_MIN ? netns_number(inum) : way->unsure ? 0 : -1;
	if (way->netns < 0)
		return;
	if (way->in) {
		way->out = ifindex && ifindex != way->in ? ifindex
			   : route			 ? device_index(route)
							 : 0;
		return;
	}
	/* just come in (no route, no socket, nothing in front of the network header), or sent here
	 */
	if (ifindex && !route && !sk &&
	    SKB_READ(skb, data) - SKB_READ(skb, head) >= SKB_READ(skb, network_header)) {
		way->in = ifindex;
		return;
	}
	way->out = ifindex ? ifindex : route ? device_index(route) : 0;
}

/* Where a packet that came in is to leave, as far as that is known; apart, since it is asked for
 * only where its input is not metered. */
static __always_inline u32 skb_forwarded_to(struct sk_buff *skb, const struct skb_way *way,
					    const bool direct)
{
	struct net_device *route;

	if (way->ifindex && way->ifindex != way->in)
		return way->ifindex;
	route = route_device(skb, direct);
	return route ? device_index(route) : 0;
}

/* Outermost VLAN id where the tag lies beside the packet. */
static __always_inline u16 skb_vlan(struct sk_buff *skb, const bool direct)
{
	if (!SKB_READ(skb, vlan_proto))
		return 0;
	if (direct && bpf_core_field_exists(skb->vlan_present) &&
	    !BPF_CORE_READ_BITFIELD(skb, vlan_present))
		return 0;
	return SKB_READ(skb, vlan_tci) & 0xfff;
}

/* Headers of a packet. */
struct skb_headers {
	struct flow_key6 key; /* but for iface */
	u32 bytes;	      /* IP-layer octets, of all segments of a GSO packet */
	u32 packets;
	u32 l4; /* offset of the transport header in the buffer, 0: none */
	bool is_later_fragment;
};

/* near: they have been read with the header, else NULL. */
static __always_inline void skb_ports(struct skb_headers *h, const u8 *head, u32 tail,
				      const u8 *near)
{
	u8 protocol = h->key.protocol;
	u32 ports = 0;

	if (h->l4 + 4 > tail)
		return;
	if (near)
		ports = *(const u32 *)near;
	else
		bpf_probe_read_kernel(&ports, 4, head + h->l4);
	if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6)
		ports <<= 16; /* type and code in the place of the destination port */
	else if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP && protocol != IPPROTO_SCTP)
		return;
	*(u32 *)&h->key.src_port = ports;
}

static __always_inline void skb_fragment_ports(struct skb_headers *h, u32 id, u8 netns)
{
	struct fragment_id key = {};
	struct fragment_head *head;

	h->is_later_fragment = true;
	fragment_key(&key, &h->key, id, netns);
	head = bpf_map_lookup_elem(&fragments, &key);
	if (!head)
		return;
	*(u32 *)&h->key.src_port = head->ports;
	h->key.protocol = head->protocol;
}

static __always_inline void skb_ipv4(struct skb_headers *h, const u8 *ip, const u8 *head, u32 nh,
				     u32 tail, u8 netns)
{
	u32 fragment = bpf_ntohs(*(u16 *)(ip + 6)) & 0x3fff;

	h->key.protocol = ip[9];
	h->key.tos = ip[1];
	h->key.eth_proto = ETH_P_IP;
	*(u32 *)h->key.src_addr = *(u32 *)(ip + 12);
	*(u32 *)h->key.dst_addr = *(u32 *)(ip + 16);
	h->bytes = bpf_ntohs(*(u16 *)(ip + 2));
	h->l4 = nh + (ip[0] & 0xf) * 4;
	if (fragment & 0x1fff) {
		h->l4 = 0;
		skb_fragment_ports(h, *(u16 *)(ip + 4), netns);
		return;
	}
	skb_ports(h, head, tail, ip[0] == 0x45 ? ip + 20 : NULL);
}

static __always_inline void skb_ipv6(struct skb_headers *h, const u8 *ip, const u8 *head, u32 nh,
				     u32 tail, u8 netns)
{
	u32 off = nh + 40, len = bpf_ntohs(*(u16 *)(ip + 4));
	u8 next = ip[6], x[8];

	h->key.tos = ip[0] << 4 | ip[1] >> 4;
	h->key.eth_proto = ETH_P_IPV6;
	__builtin_memcpy(h->key.src_addr, ip + 8, 16);
	__builtin_memcpy(h->key.dst_addr, ip + 24, 16);
	h->bytes = len ? len + 40 : 0;
	for (int i = 0; i < SKB_MAX_EXTENSION_HEADERS; i++) {
		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS &&
		    next != IPPROTO_FRAGMENT && next != IPPROTO_AH)
			break;
		if (off + 8 > tail || bpf_probe_read_kernel(x, 8, head + off))
			break;
		if (next == IPPROTO_FRAGMENT && (x[2] || x[3] & 0xf8)) {
			h->key.protocol = x[0];
			skb_fragment_ports(h, *(u32 *)(x + 4), netns);
			return;
		}
		off += next == IPPROTO_FRAGMENT ? 8
		       : next == IPPROTO_AH	? (x[1] + 2) * 4
						: (x[1] + 1) * 8;
		next = x[0];
	}
	h->key.protocol = next;
	h->l4 = off;
	skb_ports(h, head, tail, off == nh + 40 ? ip + 40 : NULL);
}

static __always_inline u32 skb_tcp_end(const u8 *head, u32 l4)
{
	u8 offset = 0;

	bpf_probe_read_kernel(&offset, 1, head + l4 + 12);
	return l4 + (offset >> 4) * 4;
}

/* Where the inner transport header of a tunnel's skb ends; `outer`: not known. */
static __always_inline u32 skb_inner_end(struct sk_buff *skb, struct skb_shared_info *info,
					 const u8 *head, u32 outer, const bool direct)
{
	u32 l4 = SKB_READ(skb, inner_transport_header), type = 0;

	if (l4 < outer || l4 >= SKB_READ(skb, tail))
		return outer;
	bpf_core_read(&type, sizeof(type), &info->gso_type);
	return type & (SKB_GSO_TCPV4 | SKB_GSO_TCPV6) ? skb_tcp_end(head, l4) : l4 + 8;
}

/* Wire packets of a GSO skb, and the headers that each repeats. */
static __always_inline void skb_segments(struct sk_buff *skb, struct skb_headers *h, u32 nh,
					 const u8 *head, const bool direct)
{
	struct skb_shared_info *info = (void *)head + SKB_READ(skb, end);
	u32 headers, payload, n, l4 = h->l4;
	u16 size = 0;

	bpf_core_read(&size, sizeof(size), &info->gso_size);
	if (!size || !l4)
		return;
	headers = l4 - nh + 8;
	if (h->key.protocol == IPPROTO_TCP)
		headers = skb_tcp_end(head, l4) - nh;
	else if (BPF_CORE_READ_BITFIELD_PROBED(skb, encapsulation))
		headers = skb_inner_end(skb, info, head, headers + nh, direct) - nh;
	if (h->bytes <= headers)
		return;
	payload = h->bytes - headers;
	if (size == 0xffff) { /* SCTP: by fragments of any size */
		bpf_core_read(&size, sizeof(size), &info->gso_segs);
		n = size;
	} else {
		n = (payload + size - 1) / size;
	}
	if (n < 2)
		return;
	h->packets = n;
	h->bytes = payload + n * headers;
}

/* Sent by a socket and dropped before it had an IP header: the socket tells. */
static __always_inline bool skb_from_socket(struct sk_buff *skb, struct sock *sk,
					    struct skb_headers *h, const bool direct)
{
	u16 family = SKB_READ(sk, __sk_common.skc_family);

	h->key.protocol = SKB_READ(sk, sk_protocol);
	h->key.src_port = bpf_htons(SKB_READ(sk, __sk_common.skc_num));
	h->key.dst_port = SKB_READ(sk, __sk_common.skc_dport);
	if (!h->key.dst_port)
		return false;
	if (family == AF_INET) {
		*(u32 *)h->key.src_addr = SKB_READ(sk, __sk_common.skc_rcv_saddr);
		*(u32 *)h->key.dst_addr = SKB_READ(sk, __sk_common.skc_daddr);
		h->key.eth_proto = ETH_P_IP;
		h->bytes = SKB_READ(skb, len) + 20;
	} else {
		bpf_core_read(h->key.src_addr, 16, &sk->__sk_common.skc_v6_rcv_saddr);
		bpf_core_read(h->key.dst_addr, 16, &sk->__sk_common.skc_v6_daddr);
		h->key.eth_proto = ETH_P_IPV6;
		h->bytes = SKB_READ(skb, len) + 40;
	}
	return true;
}

static __always_inline bool skb_non_ip(struct sk_buff *skb, struct skb_headers *h, const u8 *head,
				       u32 nh, const bool direct)
{
	u16 mac = SKB_READ(skb, mac_header);
	u8 macs[12] = {};

	h->key.eth_proto = bpf_ntohs(SKB_READ(skb, protocol));
	if (!h->key.eth_proto)
		return false;
	if (mac && mac != 0xffff && mac + ETH_HLEN <= nh) {
		bpf_probe_read_kernel(macs, 12, head + mac);
		__builtin_memcpy(h->key.dst_addr, macs, 6);
		__builtin_memcpy(h->key.src_addr, macs + 6, 6);
	}
	h->bytes = SKB_READ(skb, len) + (u32)(SKB_READ(skb, data) - head) - nh;
	return true;
}

/* False: nothing tells the flow. h was zeroed. */
static __always_inline bool skb_parse(struct sk_buff *skb, struct skb_way *way,
				      struct skb_headers *h, const bool direct)
{
	u32 nh = SKB_READ(skb, network_header), tail = SKB_READ(skb, tail), proto;
	const u8 *head = SKB_READ(skb, head), *data = SKB_READ(skb, data);
	u8 ip[SKB_HEADER_READ];

	h->packets = 1;
	h->key.vlan = skb_vlan(skb, direct);
	if (!nh && !way->in && way->sk)
		return skb_from_socket(skb, way->sk, h, direct);
	if (!nh)
		nh = data - head;
	proto = bpf_ntohs(SKB_READ(skb, protocol));
	if (nh + 20 > tail || bpf_probe_read_kernel(ip, sizeof(ip), head + nh))
		return false;
	if (ip[0] >> 4 == 4 && (ip[0] & 0xf) >= 5 && (proto == ETH_P_IP || !proto))
		skb_ipv4(h, ip, head, nh, tail, way->netns);
	else if (ip[0] >> 4 == 6 && nh + 40 <= tail && (proto == ETH_P_IPV6 || !proto))
		skb_ipv6(h, ip, head, nh, tail, way->netns);
	else
		return skb_non_ip(skb, h, head, nh, direct);
	if (!h->bytes) /* BIG TCP, or not written yet */
		h->bytes = SKB_READ(skb, len) + (u32)(data - head) - nh;
	skb_segments(skb, h, nh, head, direct);
	return true;
}

#endif

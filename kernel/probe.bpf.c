/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Smoothed and minimum RTT of local TCP sockets: tcp_probe passes with each segment that a socket
 * takes, and once in a while per socket the kernel's own estimate goes to user space. Next:
 * fetcher_netdev.c.
 */
#include "kernel/core.bpf.h"
#include "kernel/skb.bpf.h"

char _license[] SEC("license") = "Dual MIT/GPL";

#define SOCKETS 4096 /* remembered; two that share a place are asked more often */

const volatile __u32 interval = 250;	  /* ticks between two looks at a socket */
const volatile __u32 ring_high = 1 << 19; /* octets in the ring: from there on it is for others */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct minmax_sample {
	u32 v;
};
struct minmax {
	struct minmax_sample s[3];
};
struct inet_sock {
	u8 tos;
};
struct tcp_sock {
	u32 srtt_us; /* eighths */
	struct minmax rtt_min;
};
#pragma clang attribute pop

struct probed {
	u64 socket; /* hash and ports: one socket's as long as it lives */
	u64 asked;  /* jiffies */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SOCKETS);
	__type(key, u32);
	__type(value, struct probed);
} probed_sockets SEC(".maps");

/* flows.bpf.c's */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} direct_flows SEC(".maps");

/* The other direction: what the socket sends. */
static __always_inline void set_sent(struct flow_key6 *sent, const struct flow_key6 *received,
				     struct sock *sk, u32 netns)
{
	struct dst_entry *route = sk->sk_dst_cache;
	u32 ifindex = route ? route->dev->ifindex : 0;

	*sent = *received;
	__builtin_memcpy(sent->src_addr, received->dst_addr, 16);
	__builtin_memcpy(sent->dst_addr, received->src_addr, 16);
	sent->src_port = received->dst_port;
	sent->dst_port = received->src_port;
	sent->vlan = 0;
	sent->iface = FLOW_IFACE(netns, FLOW_EGRESS, ifindex);
	bpf_core_read(&sent->tos, 1, &((struct inet_sock *)(void *)sk)->tos);
}

static __noinline int report(struct sock *sk, struct sk_buff *skb)
{
	u32 inum = sk->__sk_common.skc_net.net->ns.inum;
	struct skb_way way = {.netns = netns_number(inum), .in = skb->skb_iif, .sk = sk};
	struct flow_event_rtt *e;
	struct skb_headers h = {};
	u32 srtt = 0, min = 0;

	if (way.netns < 0 || !way.in || !skb_parse(skb, &way, &h, true))
		return 0;
	bpf_core_read(&srtt, sizeof(srtt), &((struct tcp_sock *)(void *)sk)->srtt_us);
	bpf_core_read(&min, sizeof(min), &((struct tcp_sock *)(void *)sk)->rtt_min.s[0].v);
	if (!srtt)
		return 0;
	e = bpf_ringbuf_reserve(&direct_flows, sizeof(*e), 0);
	if (!e)
		return 0;
	__builtin_memset(e, 0, sizeof(*e));
	e->event.type = FLOW_EVENT_RTT;
	e->now_ns = bpf_ktime_get_ns();
	e->rtt.smoothed_us = srtt >> 3 ? srtt >> 3 : 1;
	e->rtt.min_us = min != ~0u ? min : 0;
	h.key.iface = FLOW_IFACE(way.netns, FLOW_INGRESS, way.in);
	e->from_client = h.key;
	set_sent(&e->from_server, &h.key, sk, way.netns);
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	return 0;
}

SEC("tp_btf/tcp_probe")
int tcp_probe(u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	u64 now = bpf_jiffies64();
	u64 socket = (u64)sk->__sk_common.skc_hash << 32 | (u32)sk->__sk_common.skc_num << 16 |
		     sk->__sk_common.skc_dport;
	u32 place = (socket * 0x9e3779b97f4a7c15ull >> 32) & (SOCKETS - 1);
	struct probed *p = bpf_map_lookup_elem(&probed_sockets, &place);

	if (!p || now - p->asked < (p->socket == socket ? interval : interval / 8))
		return 0;
	if (bpf_ringbuf_query(&direct_flows, BPF_RB_AVAIL_DATA) > ring_high)
		return 0;
	p->socket = socket;
	p->asked = now;
	return report(sk, (struct sk_buff *)ctx[1]);
}

/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The trackers' door in the packet path: takes DNS messages and handshakes out of packets that have
 * been parsed. Above: flows.bpf.c, observe.bpf.h; below: dns.bpf.h, rtt.bpf.h. */
#ifndef BPFLOWD_TRACK_BPF_H
#define BPFLOWD_TRACK_BPF_H

#include "kernel/account.bpf.h"
#include "kernel/dns.bpf.h"
#include "kernel/rtt.bpf.h"

#define DNS_MESSAGES_MAX 4 /* that one TCP segment may carry */

/* Loads a message and hands it on. */
static __noinline int track_message(struct __sk_buff *skb, struct dns_room *room, u32 off, u32 len)
{
	u32 n = len < FLOW_DNS_MESSAGE_MAX ? len : FLOW_DNS_MESSAGE_MAX;
	u32 last = n - 1;

	/* what an earlier message left must not be taken for this one's */
	__builtin_memset(room->event.message, 0, DNS_HEADER);
	if (n) {
		/* a size is at least 1, which the verifiers of 5.10 and 6.1 don't learn from n !=
		 * 0; bounds of what the compiler holds in another register they forget */
		asm volatile("" : "+r"(last));
		if (last >= FLOW_DNS_MESSAGE_MAX ||
		    bpf_skb_load_bytes(skb, off, room->event.message, last + 1))
			return 0;
	}
	return dns_message(room->cpu, n, count_once ? 0 : skb->ifindex);
}

/*
 * TCP: a length in front of each message (RFC 7766 8), which may have come alone in the segment
 * before. Without the stream it can't be known where in it a segment lies, so that only what reads
 * as a message is taken for one.
 */
static __always_inline void track_segment(struct __sk_buff *skb, struct dns_room *room, u32 off,
					  u32 len)
{
	u16 size;

	for (int i = 0; i < DNS_MESSAGES_MAX; i++) {
		u32 left;

		if (len < 2 + DNS_HEADER || bpf_skb_load_bytes(skb, off, &size, 2))
			return;
		size = bpf_ntohs(size);
		left = len - 2;
		if (size < DNS_HEADER)
			break;
		room->strict = i == 0 && size == left;
		track_message(skb, room, off + 2, size < left ? size : left);
		if (size >= left)
			break;
		off += 2 + size;
		len = left - size;
	}
}

/* The packet lies in the CPU's scratch. observer: see dns_room. Global: see dns_message. */
__noinline int track_dns(struct __sk_buff *skb, u32 cpu, u32 observer)
{
	struct dns_room *room = bpf_map_lookup_elem(&dns_rooms, &cpu);
	struct scratch *scratch_room = bpf_map_lookup_elem(&scratch, &cpu);
	const struct packet *p;
	u32 off, len;
	u16 size = 0;

	if (!room || !scratch_room)
		return 0;
	p = &scratch_room->packet;
	if (!p->l4 || p->len <= p->headers)
		return 0;
	off = p->l3 + p->headers;
	len = p->len - p->headers;
	room->event.flow = p->key6;
	room->cpu = cpu;
	room->observer = observer;
	room->strict = p->key6.protocol == IPPROTO_UDP;
	if (p->key6.protocol == IPPROTO_UDP)
		return track_message(skb, room, off, len);
	if (p->key6.protocol != IPPROTO_TCP || len < DNS_HEADER)
		return 0;
	if (bpf_skb_load_bytes(skb, off, &size, 2))
		return 0;
	/* the length may have come before: then the id stands here */
	if (bpf_ntohs(size) != len - 2 && track_message(skb, room, off, len))
		return 0;
	track_segment(skb, room, off, len);
	return 0;
}

/* Likewise. */
__noinline int track_handshake(struct __sk_buff *skb, u32 cpu, u32 observer)
{
	struct rtt_room *room = bpf_map_lookup_elem(&rtt_rooms, &cpu);
	struct scratch *scratch_room = bpf_map_lookup_elem(&scratch, &cpu);
	u64 now = bpf_ktime_get_ns();
	const struct packet *p;
	u32 sequence[2], flags;

	if (!room || !scratch_room)
		return 0;
	p = &scratch_room->packet;
	flags = p->flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN);
	if (!p->l4 || bpf_skb_load_bytes(skb, p->l4 + 4, sequence, sizeof(sequence)))
		return 0;
	room->seq = bpf_ntohl(sequence[0]);
	room->ack = bpf_ntohl(sequence[1]);
	room->observer = observer;
	set_pair(&room->pair, &p->key6, flags != (TCP_SYN | TCP_ACK),
		 count_once ? 0 : skb->ifindex);
	if (flags == TCP_SYN)
		return rtt_syn(room, &p->key6, now, cpu);
	if (flags == (TCP_SYN | TCP_ACK))
		return rtt_syn_ack(room, &p->key6, now, cpu);
	if (flags == TCP_ACK)
		return rtt_ack(room, now, p->len == p->headers, cpu);
	return 0;
}

/* What trackers want of a packet that parse_any has read. opening: its slot is new, or marked. */
static __always_inline void track(struct __sk_buff *skb, const struct packet *p, u32 opening,
				  u32 cpu)
{
	if (rtt_enabled && p->key6.protocol == IPPROTO_TCP && (opening || (p->flags & TCP_SYN)))
		track_handshake(skb, cpu, 0);
	if (dns_enabled && is_dns(*(u32 *)&p->key6.src_port))
		track_dns(skb, cpu, 0);
}

/* A plain packet that may be the last of a handshake: read it again, with all it has. Global: see
 * dns_message. */
__noinline int track_ack(struct __sk_buff *skb, u32 iface, u32 cpu)
{
	struct scratch *room = bpf_map_lookup_elem(&scratch, &cpu);
	struct packet *p;

	if (!room)
		return 0;
	p = &room->packet;
	__builtin_memset(p, 0, sizeof(*p));
	parse_any(skb, p, iface, 1, 0);
	return track_handshake(skb, cpu, 0);
}

#endif

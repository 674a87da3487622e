/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * GSO and GRO: one skb that is many packets on the wire. Above: flows.bpf.c; beside it:
 * parse.bpf.h.
 */
#ifndef BPFLOWD_SEGMENT_BPF_H
#define BPFLOWD_SEGMENT_BPF_H

#include <bpf/bpf_core_read.h>

#include "kernel/account.bpf.h"

#define GSO_BY_FRAGS 0xffff /* gso_size of SCTP: fragments of any size */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct skb_shared_info___gso {
	unsigned int gso_type;
};
struct sk_buff___gso {
	__u8 encapsulation : 1;
	__u16 inner_transport_header;
	unsigned int end;
	unsigned char *head;
	unsigned char *data;
};
#pragma clang attribute pop

/*
 * Octets from the network header to the end of the inner transport header when the skb is a
 * tunnel's: its segments repeat all of them. 0: none, or not known. __sk_buff doesn't have these
 * members, but its address is the skb's.
 */
static __noinline u32 tunnel_headers(struct __sk_buff *ctx, u32 l3)
{
	struct sk_buff___gso *skb = (void *)ctx;
	struct skb_shared_info___gso *info;
	u32 type = 0, end = 0, off;
	u8 *head = NULL, *data = NULL, offset;
	u16 inner = 0;

	if (!BPF_CORE_READ_BITFIELD_PROBED(skb, encapsulation))
		return 0;
	bpf_core_read(&head, sizeof(head), &skb->head);
	bpf_core_read(&data, sizeof(data), &skb->data);
	bpf_core_read(&end, sizeof(end), &skb->end);
	bpf_core_read(&inner, sizeof(inner), &skb->inner_transport_header);
	info = (void *)head + end;
	bpf_core_read(&type, sizeof(type), &info->gso_type);
	off = (u32)(head - data) + inner;
	if (off <= l3 || off >= ctx->len)
		return 0;
	if (!(type & (SKB_GSO_TCPV4 | SKB_GSO_TCPV6)))
		return off - l3 + 8;
	if (bpf_skb_load_bytes(ctx, off + 12, &offset, 1))
		return 0;
	return off - l3 + (offset >> 4) * 4;
}

/* Wire packets and octets of an skb: its segments, and the headers that they repeat. */
static __always_inline void segment(struct __sk_buff *skb, const struct packet *p, struct sample *s)
{
	u32 size = skb->gso_size, n = skb->gso_segs, headers = p->headers, payload, last;

	s->packets = 1;
	s->bytes = p->len;
	s->min_len = s->max_len = p->len < 0xffff ? p->len : 0xffff;
	if (!size || !headers)
		return;
	if (p->key6.protocol != IPPROTO_TCP) {
		u32 all = tunnel_headers(skb, p->l3);

		headers = all ? all : headers;
	}
	if (p->len <= headers)
		return;
	payload = p->len - headers;
	if (size == GSO_BY_FRAGS)
		n = n <= payload ? n : 1; /* untrue */
	else if (!n || (u64)n * size < payload || (u64)(n - 1) * size >= payload)
		n = (payload + size - 1) / size; /* absent or untrue */
	if (n < 2)
		return;
	if (size == GSO_BY_FRAGS)
		size = payload / n;
	s->packets = n;
	s->bytes = payload + n * headers;
	last = payload - (n - 1) * size;
	s->max_len = headers + (last > size ? last : size);
	s->min_len = headers + (last < size ? last : size);
}

#endif

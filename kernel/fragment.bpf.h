/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Where the first fragment of a packet leaves its ports for the later ones. Used by parse.bpf.h and
 * drops.bpf.c; shared by all namespaces. */
#ifndef BPFLOWD_FRAGMENT_BPF_H
#define BPFLOWD_FRAGMENT_BPF_H

#include "kernel/core.bpf.h"

/* First fragments remember their ports here for the later ones (RFC 791 3.2, RFC 8200 4.5). */
struct fragment_id {
	u8 src_addr[16];
	u8 dst_addr[16];
	u32 id;
	u8 protocol; /* IPv4; an id of IPv6 is one of its addresses alone (RFC 8200 4.5) */
	u8 netns;
	u16 vlan;
};

/* What the first fragment has and the later ones lack. IPv6: extension headers may lie between the
 * fragment header and the transport header. */
struct fragment_head {
	u32 ports;
	u8 protocol;
	u8 pad[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 2048);
	__type(key, struct fragment_id);
	__type(value, struct fragment_head);
} fragments SEC(".maps");

static __always_inline void fragment_key(struct fragment_id *id, const struct flow_key6 *key,
					 u32 number, u8 netns)
{
	__builtin_memcpy(id->src_addr, key->src_addr, 16);
	__builtin_memcpy(id->dst_addr, key->dst_addr, 16);
	id->id = number;
	id->protocol = key->eth_proto == ETH_P_IP ? key->protocol : 0;
	id->netns = netns;
	id->vlan = key->vlan;
}

#endif

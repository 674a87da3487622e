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
	u8 protocol;
	u8 netns;
	u16 vlan;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct fragment_id);
	__type(value, u32);
} fragments SEC(".maps");

#endif

/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What every program of this folder needs of the kernel: short types, constants that live in no
 * uapi header, and, for the tracing programs, the few members of kernel structs that they read
 * (CO-RE: the loader finds their offsets in the running kernel's BTF).
 */
#ifndef BPFLOWD_CORE_BPF_H
#define BPFLOWD_CORE_BPF_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <stdbool.h>
#include <stddef.h>

#include "kernel/flow.h"

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define TC_ACT_UNSPEC \
	(-1)	      /* also TCX_NEXT: the next program decides, the packet goes on untouched */
#define PACKET_HOST 0 /* skb->pkt_type: addressed to this host */

#define SKB_GSO_TCPV4 (1 << 0) /* gso_type */
#define SKB_GSO_TCPV6 (1 << 4)

#define EEXIST 17

#define ETH_HLEN	14
#define ETH_P_IP	0x0800
#define ETH_P_IPV6	0x86dd
#define ETH_P_8021Q	0x8100
#define ETH_P_8021AD	0x88a8
#define ETH_P_MPLS_UC	0x8847
#define ETH_P_MPLS_MC	0x8848
#define ETH_P_PPP_SES	0x8864
#define ETH_P_802_3_MIN 0x0600 /* below: a length */
#define ETH_P_802_2	0x0004
#define PPP_IP		0x0021
#define PPP_IPV6	0x0057

#define IPPROTO_HOPOPTS	 0
#define IPPROTO_ICMP	 1
#define IPPROTO_TCP	 6
#define IPPROTO_UDP	 17
#define IPPROTO_ROUTING	 43
#define IPPROTO_FRAGMENT 44
#define IPPROTO_AH	 51
#define IPPROTO_ICMPV6	 58
#define IPPROTO_DSTOPTS	 60
#define IPPROTO_SCTP	 132
#define IPPROTO_MH	 135
#define IPV6_TLV_JUMBO	 0xc2 /* RFC 2675 */

#endif

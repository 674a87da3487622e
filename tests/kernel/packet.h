/* SPDX-License-Identifier: MIT */
/*
 * Crafted frames for the kernel tests: a list of layers becomes octets, each header's next-protocol
 * field and length filled in from what follows it. SET8 and SET16 then make it lie.
 */
#ifndef BPFLOWD_TESTS_PACKET_H
#define BPFLOWD_TESTS_PACKET_H

#include <stddef.h>
#include <stdint.h>

#define PACKET_MAX	  3700 /* what BPF_PROG_TEST_RUN takes of an skb fits in a page */
#define PACKET_MAX_LAYERS 24

enum layer_type {
	LAYER_END,
	LAYER_ETHERNET,
	LAYER_VLAN,
	LAYER_PPPOE,
	LAYER_MPLS,
	LAYER_IPV4,
	LAYER_IPV6,
	LAYER_EXTENSION,
	LAYER_FRAGMENT6,
	LAYER_TCP,
	LAYER_UDP,
	LAYER_SCTP,
	LAYER_ICMP,
	LAYER_PROTOCOL,
	LAYER_ETHERTYPE,
	LAYER_PPP,
	LAYER_DATA,
	LAYER_PAD,
	LAYER_CUT,
	LAYER_SET8,
	LAYER_SET16,
};

struct layer {
	enum layer_type type;
	uint32_t a, b, c, d;
};

/* clang-format off */
#define ETH			{LAYER_ETHERNET}
#define VLAN(tpid, id)		{LAYER_VLAN, tpid, id}
#define PPPOE			{LAYER_PPPOE}
#define MPLS(label)		{LAYER_MPLS, label}
#define IP4(tos, ttl)		{LAYER_IPV4, tos, ttl}
#define IP4_OPTIONS(words)	{LAYER_IPV4, 0, 64, words}
/* offset in units of 8 octets */
#define IP4_FRAGMENT(id, offset, more) {LAYER_IPV4, 0, 64, 0, (uint32_t)(id) << 16 | (more) << 13 | (offset)}
#define IP6(tc, hops)		{LAYER_IPV6, tc, hops}
#define EXT(number, units)	{LAYER_EXTENSION, number, units} /* hop-by-hop, routing, AH ... */
#define FRAGMENT6(id, offset, more) {LAYER_FRAGMENT6, id, offset, more}
#define TCP(from, to, flags)	{LAYER_TCP, from, to, flags}
#define TCP_OPTIONS(from, to, flags, words) {LAYER_TCP, from, to, flags, words}
#define UDP(from, to)		{LAYER_UDP, from, to}
#define SCTP(from, to)		{LAYER_SCTP, from, to}
#define ICMP(type, code)	{LAYER_ICMP, 1, type, code}
#define ICMP6(type, code)	{LAYER_ICMP, 58, type, code}
#define PROTOCOL(number)	{LAYER_PROTOCOL, number} /* says what follows; no octets */
#define ETHERTYPE(number)	{LAYER_ETHERTYPE, number}
#define PPP(number)		{LAYER_PPP, number}
#define DATA(n)			{LAYER_DATA, n}
#define PAD(len)		{LAYER_PAD, len} /* to so many octets of frame, outside of all lengths */
#define CUT(len)		{LAYER_CUT, len} /* the frame ends here, whatever lengths say */
#define SET8(offset, value)	{LAYER_SET8, offset, value} /* in the header before it */
#define SET16(offset, value)	{LAYER_SET16, offset, value}
/* clang-format on */

struct frame {
	size_t len;
	uint8_t data[PACKET_MAX];
};

/* Addresses of every crafted packet. */
#define PACKET_SRC_MAC                 \
	{                              \
		0x02, 0, 0, 0, 0, 0x01 \
	}
#define PACKET_DST_MAC                 \
	{                              \
		0x02, 0, 0, 0, 0, 0x02 \
	}
#define PACKET_SRC4         \
	{                   \
		10, 0, 0, 1 \
	}
#define PACKET_DST4           \
	{                     \
		198, 18, 0, 1 \
	}
#define PACKET_SRC6                                                        \
	{                                                                  \
		0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 \
	}
#define PACKET_DST6                                                        \
	{                                                                  \
		0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2 \
	}

/* layers ends with LAYER_END or after PACKET_MAX_LAYERS. */
void packet_build(struct frame *frame, const struct layer *layers);
void packet_put16(uint8_t *to, uint32_t value);
void packet_put32(uint8_t *to, uint32_t value);

#endif

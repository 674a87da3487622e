/* SPDX-License-Identifier: MIT */
/*
 * Truth table of the parser: one case a row, a crafted frame through the hook, and the whole record
 * that must come of it.
 */
#include "config.h"

#include <glib.h>
#include <stdio.h>
#include <string.h>

#include "fetcher_private.h"
#include "tests/kernel/meter.h"
#include "tests/kernel/packet.h"

#define SYN 0x02
#define ACK 0x10

enum { V4, V6, NON_IP };

/* What is expected; what a row leaves out is 0. */
struct expected {
	int family;
	uint8_t protocol;
	uint16_t src_port, dst_port;
	uint32_t bytes;	    /* 0: len */
	uint32_t len;	    /* of the shortest packet and the longest */
	uint32_t min_len;   /* if not len */
	uint32_t packets;   /* 0: 1 */
	uint16_t eth_proto; /* of non-IP */
	uint16_t vlan, inner_vlan;
	uint16_t flags;
	uint8_t tos;
	uint8_t ttl; /* 0: 64 */
	uint8_t fragment;
	uint8_t malformed;
	uint32_t mpls[3];
	uint32_t far_ifindex;
};

struct row {
	const char *name;
	struct layer layers[PACKET_MAX_LAYERS];
	struct expected expected;
	struct packet_context context;
};

#define LABEL(n, bottom) ((n) << 12 | (bottom) << 8 | 64)

static const struct row rows[] = {
	/* what nearly every packet is */
	{"TCP over IPv4",
	 {ETH, IP4(0, 64), TCP(1000, 443, ACK), DATA(10)},
	 {V4, 6, 1000, 443, .len = 50, .flags = ACK}},
	{"TCP over IPv6",
	 {ETH, IP6(0, 64), TCP(1000, 443, ACK), DATA(10)},
	 {V6, 6, 1000, 443, .len = 70, .flags = ACK}},
	{"UDP over IPv4",
	 {ETH, IP4(0, 64), UDP(1000, 53), DATA(10)},
	 {V4, 17, 1000, 53, .len = 38}},
	{"UDP over IPv6",
	 {ETH, IP6(0, 64), UDP(1000, 53), DATA(10)},
	 {V6, 17, 1000, 53, .len = 58}},
	{"UDP without payload over IPv4", {ETH, IP4(0, 64), UDP(1, 2)}, {V4, 17, 1, 2, .len = 28}},
	{"UDP without payload over IPv6", {ETH, IP6(0, 64), UDP(1, 2)}, {V6, 17, 1, 2, .len = 48}},
	{"all twelve TCP flag bits",
	 {ETH, IP4(0, 64), TCP(1, 2, 0xfff)},
	 {V4, 6, 1, 2, .len = 40, .flags = 0xfff}},
	{"all twelve TCP flag bits, IPv6",
	 {ETH, IP6(0, 64), TCP(1, 2, 0xfff)},
	 {V6, 6, 1, 2, .len = 60, .flags = 0xfff}},
	{"no TCP flag", {ETH, IP4(0, 64), TCP(1, 2, 0)}, {V4, 6, 1, 2, .len = 40}},
	{"TCP options are no flags",
	 {ETH, IP4(0, 64), TCP_OPTIONS(1, 2, SYN, 10), DATA(3)},
	 {V4, 6, 1, 2, .len = 83, .flags = SYN}},
	{"DSCP and ECN of IPv4",
	 {ETH, IP4(0xbb, 1), UDP(1, 2)},
	 {V4, 17, 1, 2, .len = 28, .tos = 0xbb, .ttl = 1}},
	{"traffic class of IPv6",
	 {ETH, IP6(0xbb, 255), UDP(1, 2)},
	 {V6, 17, 1, 2, .len = 48, .tos = 0xbb, .ttl = 255}},
	{"egress", {ETH, IP4(0, 64), UDP(1, 2)}, {V4, 17, 1, 2, .len = 28}, {.direction = 1}},
	{"egress of what came in elsewhere",
	 {ETH, IP6(0, 64), UDP(1, 2)},
	 {V6, 17, 1, 2, .len = 48, .far_ifindex = 7},
	 {.direction = 1, .ingress_ifindex = 7}},

	/* tags */
	{"802.1Q in band",
	 {ETH, VLAN(0x8100, 100), IP4(0, 64), UDP(1, 2)},
	 {V4, 17, 1, 2, .len = 28, .vlan = 100}},
	{"802.1Q in band, IPv6",
	 {ETH, VLAN(0x8100, 4095), IP6(0, 64), TCP(1, 2, SYN)},
	 {V6, 6, 1, 2, .len = 60, .flags = SYN, .vlan = 4095}},
	{"priority and DEI are no part of the VLAN id",
	 {ETH, VLAN(0x8100, 0xf064), IP4(0, 64), UDP(1, 2)},
	 {V4, 17, 1, 2, .len = 28, .vlan = 100}},
	{"priority tag",
	 {ETH, VLAN(0x8100, 0xa000), IP4(0, 64), UDP(1, 2)},
	 {V4, 17, 1, 2, .len = 28}},
	{"QinQ, 88a8 and 8100",
	 {ETH, VLAN(0x88a8, 200), VLAN(0x8100, 100), IP4(0, 64), UDP(1, 2)},
	 {V4, 17, 1, 2, .len = 28, .vlan = 200, .inner_vlan = 100}},
	{"QinQ, 8100 twice",
	 {ETH, VLAN(0x8100, 200), VLAN(0x8100, 100), IP6(0, 64), UDP(1, 2)},
	 {V6, 17, 1, 2, .len = 48, .vlan = 200, .inner_vlan = 100}},
	{"three tags",
	 {ETH, VLAN(0x88a8, 3), VLAN(0x8100, 2), VLAN(0x8100, 1), IP4(0, 64), UDP(1, 2)},
	 {V4, 17, 1, 2, .len = 28, .vlan = 3, .inner_vlan = 2}},
	{"five tags: too many to find IP",
	 {ETH, VLAN(0x88a8, 5), VLAN(0x8100, 4), VLAN(0x8100, 3), VLAN(0x8100, 2), VLAN(0x8100, 1),
	  IP4(0, 64), UDP(1, 2)},
	 {NON_IP, .eth_proto = 0x8100, .len = 32, .vlan = 5, .inner_vlan = 4}},
	{"ARP behind a tag",
	 {ETH, VLAN(0x8100, 9), ETHERTYPE(0x806), DATA(28)},
	 {NON_IP, .eth_proto = 0x806, .len = 28, .vlan = 9}},
	{"MPLS, one label",
	 {ETH, MPLS(16), IP4(0, 64), TCP(1, 2, SYN)},
	 {V4, 6, 1, 2, .len = 40, .flags = SYN, .mpls = {LABEL(16, 1)}}},
	{"MPLS, two labels, IPv6",
	 {ETH, MPLS(16), MPLS(17), IP6(0, 64), UDP(1, 2)},
	 {V6, 17, 1, 2, .len = 48, .mpls = {LABEL(16, 0), LABEL(17, 1)}}},
	{"MPLS, three labels behind a tag",
	 {ETH, VLAN(0x8100, 7), MPLS(16), MPLS(17), MPLS(18), IP4(0, 64), UDP(1, 2)},
	 {V4, 17, 1, 2, .len = 28, .vlan = 7, .mpls = {LABEL(16, 0), LABEL(17, 0), LABEL(18, 1)}}},
	{"MPLS, four labels: the top three are kept",
	 {ETH, MPLS(0xfffff), MPLS(17), MPLS(18), MPLS(19), IP4(0, 64), UDP(1, 2)},
	 {V4, 17, 1, 2, .len = 28, .mpls = {LABEL(0xfffffu, 0), LABEL(17, 0), LABEL(18, 0)}}},
	{"MPLS, eight labels",
	 {ETH, MPLS(16), MPLS(17), MPLS(18), MPLS(19), MPLS(20), MPLS(21), MPLS(22), MPLS(23),
	  IP6(0, 64), UDP(1, 2)},
	 {V6, 17, 1, 2, .len = 48, .mpls = {LABEL(16, 0), LABEL(17, 0), LABEL(18, 0)}}},
	{"MPLS, a pseudowire with its control word",
	 {ETH, MPLS(16), DATA(64)},
	 {NON_IP, .eth_proto = 0x8847, .len = 68, .mpls = {LABEL(16, 1)}}},
	{"MPLS, a pseudowire that looks like IPv4 at first sight",
	 {ETH, MPLS(16), DATA(60), SET8(4, 0x40)},
	 {NON_IP, .eth_proto = 0x8847, .len = 64, .mpls = {LABEL(16, 1)}}},
	{"MPLS without bottom",
	 {ETH, MPLS(16), MPLS(17)},
	 {NON_IP, .eth_proto = 0x8847, .len = 8, .mpls = {LABEL(16, 0), LABEL(17, 0)}}},
	{"PPPoE session, IPv4",
	 {ETH, PPPOE, IP4(0, 64), TCP(1, 2, ACK), DATA(5)},
	 {V4, 6, 1, 2, .len = 45, .flags = ACK}},
	{"PPPoE session, IPv6, tagged",
	 {ETH, VLAN(0x8100, 7), PPPOE, IP6(0, 64), UDP(1, 2)},
	 {V6, 17, 1, 2, .len = 48, .vlan = 7}},
	{"PPPoE session, LCP",
	 {ETH, PPPOE, PPP(0xc021), DATA(12)},
	 {NON_IP, .eth_proto = 0x8864, .len = 20}},
	{"PPPoE discovery",
	 {ETH, ETHERTYPE(0x8863), DATA(46)},
	 {NON_IP, .eth_proto = 0x8863, .len = 46}},

	/* options and extension headers */
	{"IPv4 options", {ETH, IP4_OPTIONS(3), UDP(1, 2), DATA(4)}, {V4, 17, 1, 2, .len = 44}},
	{"IPv4 options, all forty octets",
	 {ETH, IP4_OPTIONS(10), TCP(1, 2, SYN)},
	 {V4, 6, 1, 2, .len = 80, .flags = SYN}},
	{"hop-by-hop", {ETH, IP6(0, 64), EXT(0, 0), UDP(1, 2)}, {V6, 17, 1, 2, .len = 56}},
	{"routing",
	 {ETH, IP6(0, 64), EXT(43, 4), TCP(1, 2, SYN)},
	 {V6, 6, 1, 2, .len = 100, .flags = SYN}},
	{"destination options",
	 {ETH, IP6(0, 64), EXT(60, 1), UDP(1, 2)},
	 {V6, 17, 1, 2, .len = 64}},
	{"authentication header counts in words",
	 {ETH, IP6(0, 64), EXT(51, 4), UDP(1, 2)},
	 {V6, 17, 1, 2, .len = 72}},
	{"mobility header ends the chain", {ETH, IP6(0, 64), EXT(135, 1)}, {V6, 135, .len = 56}},
	{"mobility header before another",
	 {ETH, IP6(0, 64), EXT(135, 1), UDP(1, 2)},
	 {V6, 17, 1, 2, .len = 64}},
	{"no next header", {ETH, IP6(0, 64), EXT(60, 0), DATA(8)}, {V6, 59, .len = 56}},
	{"six extension headers",
	 {ETH, IP6(0, 64), EXT(0, 0), EXT(60, 0), EXT(43, 0), EXT(51, 1), EXT(60, 2), EXT(60, 0),
	  TCP(1, 2, ACK)},
	 {V6, 6, 1, 2, .len = 60 + 8 + 8 + 8 + 12 + 24 + 8, .flags = ACK}},
	{"eight extension headers, atomic fragment among them",
	 {ETH, IP6(0, 64), EXT(0, 0), EXT(60, 0), EXT(43, 0), FRAGMENT6(9, 0, 0), EXT(51, 1),
	  EXT(60, 2), EXT(60, 0), EXT(60, 0), UDP(1, 2)},
	 {V6, 17, 1, 2, .len = 48 + 8 * 4 + 12 + 24 + 16}},
	{"nine extension headers: too many",
	 {ETH, IP6(0, 64), EXT(60, 0), EXT(60, 0), EXT(60, 0), EXT(60, 0), EXT(60, 0), EXT(60, 0),
	  EXT(60, 0), EXT(60, 0), EXT(43, 0), UDP(1, 2)},
	 {V6, 43, .len = 48 + 72}},
	{"extension header of 2048 octets",
	 {ETH, IP6(0, 64), EXT(60, 255), UDP(1, 2)},
	 {V6, 17, 1, 2, .len = 48 + 2048}},

	/* protocols */
	{"ICMP", {ETH, IP4(0, 64), ICMP(8, 0), DATA(8)}, {V4, 1, 0, 0x0800, .len = 36}},
	{"ICMP code", {ETH, IP4(0, 64), ICMP(3, 13), DATA(28)}, {V4, 1, 0, 0x030d, .len = 56}},
	{"ICMPv6", {ETH, IP6(0, 255), ICMP6(135, 0)}, {V6, 58, 0, 0x8700, .len = 48, .ttl = 255}},
	{"IGMP behind router alert",
	 {ETH, IP4_OPTIONS(1), PROTOCOL(2), DATA(8), PAD(60)},
	 {V4, 2, .len = 32}},
	{"MLD behind hop-by-hop",
	 {ETH, IP6(0, 1), EXT(0, 0), ICMP6(143, 0)},
	 {V6, 58, 0, 0x8f00, .len = 56, .ttl = 1}},
	{"ESP", {ETH, IP4(0, 64), PROTOCOL(50), DATA(40)}, {V4, 50, .len = 60}},
	{"ESP over IPv6", {ETH, IP6(0, 64), PROTOCOL(50), DATA(40)}, {V6, 50, .len = 80}},
	{"GRE", {ETH, IP4(0, 64), PROTOCOL(47), DATA(40)}, {V4, 47, .len = 60}},
	{"IPv4 in IPv4", {ETH, IP4(0, 64), IP4(0, 9), UDP(1, 2)}, {V4, 4, .len = 48}},
	{"IPv6 in IPv4", {ETH, IP4(0, 64), IP6(0, 9), UDP(1, 2)}, {V4, 41, .len = 68}},
	{"SCTP", {ETH, IP4(0, 64), SCTP(3868, 2905), DATA(16)}, {V4, 132, 3868, 2905, .len = 48}},
	{"SCTP over IPv6", {ETH, IP6(0, 64), SCTP(1, 2), DATA(16)}, {V6, 132, 1, 2, .len = 68}},
	{"UDP-Lite", {ETH, IP4(0, 64), PROTOCOL(136), DATA(12)}, {V4, 136, .len = 32}},
	{"DCCP", {ETH, IP6(0, 64), PROTOCOL(33), DATA(12)}, {V6, 33, .len = 52}},
	{"AH over IPv4", {ETH, IP4(0, 64), PROTOCOL(51), DATA(24)}, {V4, 51, .len = 44}},
	{"protocol 0 over IPv4", {ETH, IP4(0, 64), DATA(24)}, {V4, 0, .len = 44}},

	/* no IP */
	{"ARP",
	 {ETH, ETHERTYPE(0x806), DATA(28), PAD(60)},
	 {NON_IP, .eth_proto = 0x806, .len = 46}},
	{"LLDP", {ETH, ETHERTYPE(0x88cc), DATA(100)}, {NON_IP, .eth_proto = 0x88cc, .len = 100}},
	{"ethertype nobody knows",
	 {ETH, ETHERTYPE(0xfffe), DATA(1)},
	 {NON_IP, .eth_proto = 0xfffe, .len = 1}},
	{"802.3 with LLC: a length is no ethertype",
	 {ETH, ETHERTYPE(38), DATA(46)},
	 {NON_IP, .eth_proto = 0x0004, .len = 46}},
	{"802.3 frame of 1500 octets",
	 {ETH, ETHERTYPE(1500), DATA(1500)},
	 {NON_IP, .eth_proto = 0x0004, .len = 1500}},

	/* lies */
	{"padding is no part of the packet",
	 {ETH, IP4(0, 64), UDP(1, 2), PAD(60)},
	 {V4, 17, 1, 2, .len = 28}},
	{"padding is no part of the packet, IPv6",
	 {ETH, IP6(0, 64), UDP(1, 2), PAD(100)},
	 {V6, 17, 1, 2, .len = 48}},
	{"ports are not read from padding",
	 {ETH, IP4(0, 64), PROTOCOL(17), PAD(60)},
	 {V4, 17, .len = 20, .malformed = 1}},
	{"TCP flags are not read from padding",
	 {ETH, IP4(0, 64), PROTOCOL(6), DATA(8), PAD(60)},
	 {V4, 6, 0xc0c1, 0xc2c3, .len = 28, .malformed = 1}},
	{"TCP flags are not read from padding, IPv6",
	 {ETH, IP6(0, 64), PROTOCOL(6), DATA(8), PAD(80)},
	 {V6, 6, 0xc0c1, 0xc2c3, .len = 48, .malformed = 1}},
	{"ICMP type is not read from padding",
	 {ETH, IP4(0, 64), PROTOCOL(1), PAD(60)},
	 {V4, 1, .len = 20, .malformed = 1}},
	{"extension header is not read from padding",
	 {ETH, IP6(0, 64), PROTOCOL(60), PAD(100)},
	 {V6, 60, .len = 40, .malformed = 1}},
	{"total length 0",
	 {ETH, IP4(0, 64), SET16(2, 0), UDP(1, 2), DATA(4)},
	 {V4, 17, 1, 2, .len = 32, .malformed = 1}},
	{"total length below the header's",
	 {ETH, IP4(0, 64), SET16(2, 19), UDP(1, 2), DATA(4)},
	 {V4, 17, 1, 2, .len = 32, .malformed = 1}},
	{"total length beyond the frame",
	 {ETH, IP4(0, 64), SET16(2, 1500), UDP(1, 2), DATA(4)},
	 {V4, 17, 1, 2, .len = 32, .malformed = 1}},
	{"payload length beyond the frame",
	 {ETH, IP6(0, 64), SET16(4, 1500), UDP(1, 2), DATA(4)},
	 {V6, 17, 1, 2, .len = 52, .malformed = 1}},
	{"payload length 0: nothing follows",
	 {ETH, IP6(0, 64), SET16(4, 0), UDP(1, 2), DATA(4)},
	 {V6, 17, .len = 40, .malformed = 1}},
	{"header length below five words",
	 {ETH, IP4(0, 64), SET8(0, 0x44), UDP(1, 2)},
	 {NON_IP, .eth_proto = 0x800, .len = 28, .malformed = 1}},
	{"header length beyond the frame",
	 {ETH, IP4(0, 64), SET8(0, 0x4f), UDP(1, 2)},
	 {V4, 17, .len = 28, .malformed = 1}},
	{"version 6 behind ethertype 0800",
	 {ETH, IP4(0, 64), SET8(0, 0x65), UDP(1, 2)},
	 {NON_IP, .eth_proto = 0x800, .len = 28, .malformed = 1}},
	{"version 4 behind ethertype 86dd",
	 {ETH, IP6(0, 64), SET8(0, 0x45), UDP(1, 2)},
	 {NON_IP, .eth_proto = 0x86dd, .len = 48, .malformed = 1}},
	{"TCP header length 0",
	 {ETH, IP4(0, 64), TCP(1, 2, SYN), SET8(12, 0)},
	 {V4, 6, 1, 2, .len = 40, .flags = SYN}},
	{"TCP header length beyond the frame",
	 {ETH, IP4(0, 64), TCP(1, 2, SYN), SET8(12, 0xf0)},
	 {V4, 6, 1, 2, .len = 40, .flags = SYN}},
	{"frame with one octet of a network header",
	 {ETH, VLAN(0x8100, 7), ETHERTYPE(0x800), DATA(1)},
	 {NON_IP, .eth_proto = 0x800, .len = 1, .vlan = 7, .malformed = 1}},
	{"frame that ends in its tag",
	 {ETH, VLAN(0x8100, 7), CUT(16)},
	 {NON_IP, .eth_proto = 0x8100, .len = 2}},
	{"frame of a page", {ETH, IP4(0, 64), UDP(1, 2), DATA(3600)}, {V4, 17, 1, 2, .len = 3628}},

	/* segments */
	{"GSO, TCP over IPv4",
	 {ETH, IP4(0, 64), TCP(1, 2, ACK), DATA(2500)},
	 {V4, 6, 1, 2, .flags = ACK, .packets = 3, .bytes = 2500 + 3 * 40, .len = 1040,
	  .min_len = 540},
	 {.gso_size = 1000, .gso_segs = 3}},
	{"GSO, TCP over IPv6 with options",
	 {ETH, IP6(0, 64), TCP_OPTIONS(1, 2, ACK, 3), DATA(2000)},
	 {V6, 6, 1, 2, .flags = ACK, .packets = 2, .bytes = 2000 + 2 * 72, .len = 1072},
	 {.gso_size = 1000, .gso_segs = 2}},
	{"GSO, tagged, IPv4 options",
	 {ETH, VLAN(0x8100, 7), IP4_OPTIONS(2), TCP(1, 2, ACK), DATA(2001)},
	 {V4, 6, 1, 2, .flags = ACK, .packets = 3, .bytes = 2001 + 3 * 48, .len = 1048,
	  .min_len = 49, .vlan = 7},
	 {.gso_size = 1000, .gso_segs = 3}},
	{"GSO, extension headers repeat",
	 {ETH, IP6(0, 64), EXT(60, 0), TCP(1, 2, ACK), DATA(2000)},
	 {V6, 6, 1, 2, .flags = ACK, .packets = 2, .bytes = 2000 + 2 * 68, .len = 1068},
	 {.gso_size = 1000, .gso_segs = 2}},
	{"GSO, number of segments not said",
	 {ETH, IP4(0, 64), TCP(1, 2, ACK), DATA(2500)},
	 {V4, 6, 1, 2, .flags = ACK, .packets = 3, .bytes = 2500 + 3 * 40, .len = 1040,
	  .min_len = 540},
	 {.gso_size = 1000}},
	{"GSO, number of segments too high",
	 {ETH, IP4(0, 64), TCP(1, 2, ACK), DATA(2500)},
	 {V4, 6, 1, 2, .flags = ACK, .packets = 3, .bytes = 2500 + 3 * 40, .len = 1040,
	  .min_len = 540},
	 {.gso_size = 1000, .gso_segs = 40}},
	{"GSO, number of segments too low",
	 {ETH, IP4(0, 64), TCP(1, 2, ACK), DATA(2500)},
	 {V4, 6, 1, 2, .flags = ACK, .packets = 3, .bytes = 2500 + 3 * 40, .len = 1040,
	  .min_len = 540},
	 {.gso_size = 1000, .gso_segs = 1}},
	{"GSO of one segment",
	 {ETH, IP4(0, 64), TCP(1, 2, ACK), DATA(500)},
	 {V4, 6, 1, 2, .flags = ACK, .len = 540},
	 {.gso_size = 1000, .gso_segs = 1}},
	{"GSO, UDP",
	 {ETH, IP4(0, 64), UDP(1, 2), DATA(2500)},
	 {V4, 17, 1, 2, .packets = 3, .bytes = 2500 + 3 * 28, .len = 1028, .min_len = 528},
	 {.gso_size = 1000, .gso_segs = 3}},
	{"GSO, UDP over IPv6",
	 {ETH, IP6(0, 64), UDP(1, 2), DATA(2500)},
	 {V6, 17, 1, 2, .packets = 3, .bytes = 2500 + 3 * 48, .len = 1048, .min_len = 548},
	 {.gso_size = 1000, .gso_segs = 3}},
	{"GSO, SCTP by fragments",
	 {ETH, IP4(0, 64), SCTP(1, 2), DATA(2000)},
	 {V4, 132, 1, 2, .packets = 2, .bytes = 2000 + 2 * 32, .len = 1032},
	 {.gso_size = 0xffff, .gso_segs = 2}},
	{"GSO, SCTP by fragments that don't come out even",
	 {ETH, IP4(0, 64), SCTP(1, 2), DATA(1001)},
	 {V4, 132, 1, 2, .packets = 3, .bytes = 1001 + 3 * 32, .len = 367, .min_len = 365},
	 {.gso_size = 0xffff, .gso_segs = 3}},
	{"GSO, SCTP by more fragments than octets",
	 {ETH, IP4(0, 64), SCTP(1, 2), DATA(4)},
	 {V4, 132, 1, 2, .len = 36},
	 {.gso_size = 0xffff, .gso_segs = 3000}},
	{"BIG TCP over IPv4: total length 0",
	 {ETH, IP4(0, 64), SET16(2, 0), TCP(1, 2, ACK), DATA(2500)},
	 {V4, 6, 1, 2, .flags = ACK, .packets = 3, .bytes = 2500 + 3 * 40, .len = 1040,
	  .min_len = 540},
	 {.gso_size = 1000, .gso_segs = 3}},
	{"BIG TCP over IPv6 without its jumbo option",
	 {ETH, IP6(0, 64), SET16(4, 0), TCP(1, 2, ACK), DATA(2500)},
	 {V6, 6, 1, 2, .flags = ACK, .packets = 3, .bytes = 2500 + 3 * 60, .len = 1060,
	  .min_len = 560},
	 {.gso_size = 1000, .gso_segs = 3}},
	{"BIG TCP over IPv6: no segment has the jumbo option",
	 {ETH, IP6(0, 64), SET16(4, 0), EXT(0, 0), SET16(2, 0xc204), TCP(1, 2, ACK), DATA(2500)},
	 {V6, 6, 1, 2, .flags = ACK, .packets = 3, .bytes = 2500 + 3 * 60, .len = 1060,
	  .min_len = 560},
	 {.gso_size = 1000, .gso_segs = 3}},
};

static void expect_id(struct flow_id *id, const struct row *row)
{
	static const uint8_t src4[4] = PACKET_SRC4, dst4[4] = PACKET_DST4;
	static const uint8_t src6[16] = PACKET_SRC6, dst6[16] = PACKET_DST6;
	static const uint8_t src_mac[6] = PACKET_SRC_MAC, dst_mac[6] = PACKET_DST_MAC;
	const struct expected *e = &row->expected;

	memset(id, 0, sizeof(*id));
	if (e->family == V4) {
		memcpy(id->src_addr, src4, 4);
		memcpy(id->dst_addr, dst4, 4);
	} else if (e->family == V6) {
		memcpy(id->src_addr, src6, 16);
		memcpy(id->dst_addr, dst6, 16);
	} else {
		memcpy(id->src_addr, src_mac, 6);
		memcpy(id->dst_addr, dst_mac, 6);
	}
	id->eth_proto = e->family == V4 ? 0x800 : e->family == V6 ? 0x86dd : e->eth_proto;
	id->src_port = e->src_port;
	id->dst_port = e->dst_port;
	id->ifindex = 1;
	id->vlan = e->vlan;
	id->inner_vlan = e->inner_vlan;
	id->protocol = e->protocol;
	id->tos = e->tos;
	id->direction = row->context.direction;
}

static void expect_metrics(struct flow_metrics *m, const struct expected *e)
{
	static const uint8_t src_mac[6] = PACKET_SRC_MAC, dst_mac[6] = PACKET_DST_MAC;

	memset(m, 0, sizeof(*m));
	m->packets = e->packets ? e->packets : 1;
	m->bytes = e->bytes ? e->bytes : e->len;
	m->max_len = e->len;
	m->min_len = e->min_len ? e->min_len : e->len;
	if (e->family != NON_IP)
		m->min_ttl = m->max_ttl = e->ttl ? e->ttl : 64;
	m->tcp_flags = e->flags;
	m->fragment = e->fragment;
	m->far_ifindex = e->far_ifindex;
	memcpy(m->mpls, e->mpls, sizeof(m->mpls));
	memcpy(m->src_mac, src_mac, 6);
	memcpy(m->dst_mac, dst_mac, 6);
}

/* The only flow there is, times checked and removed. */
static const struct meter_flow *only_flow(struct meter *meter)
{
	GHashTableIter iter;
	struct meter_flow *flow = NULL;
	void *p;

	meter_drain(meter);
	g_hash_table_iter_init(&iter, meter->flows);
	while (g_hash_table_iter_next(&iter, &p, NULL))
		flow = p;
	g_assert_cmpuint(g_hash_table_size(meter->flows), ==, 1);
	g_assert_cmpuint(flow->metrics.start_ns, <=, flow->metrics.end_ns);
	g_assert_cmpuint(flow->metrics.end_ns, <=, g_get_monotonic_time() * 1000 + 1000000);
	g_assert_cmpuint(flow->metrics.end_ns + 5000000000, >, g_get_monotonic_time() * 1000);
	flow->metrics.start_ns = flow->metrics.end_ns = 0;
	return flow;
}

static void compare(const struct meter_flow *flow, const struct flow_id *id,
		    const struct flow_metrics *metrics)
{
	if (!memcmp(&flow->id, id, sizeof(*id)) &&
	    !memcmp(&flow->metrics, metrics, sizeof(*metrics)))
		return;
	g_test_fail();
	g_test_message("got    %s", meter_describe(&flow->id, &flow->metrics));
	g_test_message("wanted %s", meter_describe(id, metrics));
}

static void test_row(const void *data)
{
	struct flow_fetcher_config config = meter_config(64);
	const struct row *row = data;
	struct meter *meter = meter_new(&config);
	struct flow_counters counters;
	struct flow_metrics metrics;
	struct frame frame;
	struct flow_id id;

	packet_build(&frame, row->layers);
	meter_run(meter, &frame, &row->context, 1);
	expect_id(&id, row);
	expect_metrics(&metrics, &row->expected);
	compare(only_flow(meter), &id, &metrics);
	flow_fetcher_counters(meter->fetcher, &counters);
	g_assert_cmpuint(counters.observed_packets[id.direction], ==, metrics.packets);
	g_assert_cmpuint(counters.observed_bytes[id.direction], ==, metrics.bytes);
	g_assert_cmpuint(counters.observed_packets[!id.direction], ==, 0);
	g_assert_cmpuint(counters.malformed_packets, ==, row->expected.malformed);
	g_assert_cmpuint(counters.created_flows, ==, 1);
	meter_free(meter);
}

static void add_rows(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *name = g_strdelimit(g_strdup(rows[i].name), "/", '-');
		g_autofree char *path = g_strdup_printf("/parse/%s", name);

		g_test_add_data_func(path, &rows[i], test_row);
	}
}

int main(int argc, char **argv)
{
	meter_enter_namespace();
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	add_rows();
	return g_test_run();
}

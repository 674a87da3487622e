/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/kernel/packet.h"

#include <glib.h>
#include <string.h>

#define ETHERTYPE_IPV4	0x0800
#define ETHERTYPE_IPV6	0x86dd
#define ETHERTYPE_MPLS	0x8847
#define ETHERTYPE_PPPOE 0x8864

/* Where the header before names what follows it. */
enum next_kind { NEXT_NONE, NEXT_ETHERTYPE, NEXT_PPP, NEXT_MPLS, NEXT_IP };

struct builder {
	struct frame *frame;
	enum next_kind next_kind;
	size_t next;
	size_t header; /* latest */
	size_t end;    /* of what lengths count */
};

void packet_put16(uint8_t *to, uint32_t value)
{
	to[0] = value >> 8;
	to[1] = value;
}

void packet_put32(uint8_t *to, uint32_t value)
{
	packet_put16(to, value >> 16);
	packet_put16(to + 2, value);
}

static uint8_t *add(struct builder *b, size_t n)
{
	uint8_t *at = b->frame->data + b->frame->len;

	g_assert_cmpuint(b->frame->len + n, <=, PACKET_MAX);
	memset(at, 0, n);
	b->header = b->frame->len;
	b->frame->len += n;
	return at;
}

static void say_next(struct builder *b, uint32_t number)
{
	uint8_t *to = b->frame->data + b->next;

	if (b->next_kind == NEXT_ETHERTYPE || b->next_kind == NEXT_PPP)
		packet_put16(to, number);
	else if (b->next_kind == NEXT_IP)
		*to = number;
	else if (b->next_kind == NEXT_MPLS)
		*to |= 1; /* bottom of the stack */
}

static void expect_next(struct builder *b, enum next_kind kind, size_t offset)
{
	b->next_kind = kind;
	b->next = b->header + offset;
}

static void add_ethernet(struct builder *b)
{
	static const uint8_t macs[2][6] = {PACKET_DST_MAC, PACKET_SRC_MAC};

	memcpy(add(b, 14), macs, 12);
	expect_next(b, NEXT_ETHERTYPE, 12);
}

static void add_vlan(struct builder *b, const struct layer *l)
{
	say_next(b, l->a);
	packet_put16(add(b, 4), l->b);
	expect_next(b, NEXT_ETHERTYPE, 2);
}

static void add_pppoe(struct builder *b)
{
	say_next(b, ETHERTYPE_PPPOE);
	add(b, 8)[0] = 0x11;
	expect_next(b, NEXT_PPP, 6);
}

static void add_mpls(struct builder *b, const struct layer *l)
{
	if (b->next_kind != NEXT_MPLS)
		say_next(b, ETHERTYPE_MPLS);
	packet_put32(add(b, 4), l->a << 12 | 64);
	expect_next(b, NEXT_MPLS, 2);
}

static void add_ipv4(struct builder *b, const struct layer *l)
{
	static const uint8_t addresses[2][4] = {PACKET_SRC4, PACKET_DST4};
	uint8_t *ip;

	say_next(b, b->next_kind == NEXT_PPP ? 0x21 : b->next_kind == NEXT_IP ? 4 : ETHERTYPE_IPV4);
	ip = add(b, 20 + 4 * l->c);
	ip[0] = 0x45 + l->c;
	ip[1] = l->a;
	packet_put32(ip + 4, l->d);
	ip[8] = l->b;
	memcpy(ip + 12, addresses, 8);
	memset(ip + 20, 1, 4 * l->c); /* no-operation */
	expect_next(b, NEXT_IP, 9);
}

static void add_ipv6(struct builder *b, const struct layer *l)
{
	static const uint8_t addresses[2][16] = {PACKET_SRC6, PACKET_DST6};
	uint8_t *ip;

	say_next(b, b->next_kind == NEXT_PPP  ? 0x57
		    : b->next_kind == NEXT_IP ? 41
					      : ETHERTYPE_IPV6);
	ip = add(b, 40);
	packet_put32(ip, 6u << 28 | l->a << 20 | 0x12345);
	ip[7] = l->b;
	memcpy(ip + 8, addresses, 32);
	expect_next(b, NEXT_IP, 6);
}

static void add_extension(struct builder *b, const struct layer *l)
{
	uint8_t *h;

	say_next(b, l->a);
	h = add(b, l->a == 51 ? (l->b + 2) * 4 : (l->b + 1) * 8);
	h[0] = 59; /* none, unless something follows */
	h[1] = l->b;
	expect_next(b, NEXT_IP, 0);
}

static void add_fragment6(struct builder *b, const struct layer *l)
{
	uint8_t *h;

	say_next(b, 44);
	h = add(b, 8);
	packet_put16(h + 2, l->b << 3 | l->c);
	packet_put32(h + 4, l->a);
	expect_next(b, NEXT_IP, 0);
}

static void add_transport(struct builder *b, const struct layer *l)
{
	uint8_t number = l->type == LAYER_TCP ? 6 : l->type == LAYER_UDP ? 17 : 132, *h;

	say_next(b, number);
	b->next_kind = NEXT_NONE;
	h = add(b, l->type == LAYER_TCP ? 20 + 4 * l->d : l->type == LAYER_UDP ? 8 : 12);
	packet_put16(h, l->a);
	packet_put16(h + 2, l->b);
	if (l->type == LAYER_TCP)
		packet_put16(h + 12, (5 + l->d) << 12 | l->c);
}

static void add_icmp(struct builder *b, const struct layer *l)
{
	uint8_t *h;

	say_next(b, l->a);
	h = add(b, 8);
	h[0] = l->b;
	h[1] = l->c;
	b->next_kind = NEXT_NONE;
}

static void add_data(struct builder *b, size_t n)
{
	size_t header = b->header;
	uint8_t *to = add(b, n);

	for (size_t i = 0; i < n; i++)
		to[i] = 0xc0 + i % 61;
	b->header = header;
}

static void add_layer(struct builder *b, const struct layer *l)
{
	switch (l->type) {
	case LAYER_ETHERNET:
		return add_ethernet(b);
	case LAYER_VLAN:
		return add_vlan(b, l);
	case LAYER_PPPOE:
		return add_pppoe(b);
	case LAYER_MPLS:
		return add_mpls(b, l);
	case LAYER_IPV4:
		return add_ipv4(b, l);
	case LAYER_IPV6:
		return add_ipv6(b, l);
	case LAYER_EXTENSION:
		return add_extension(b, l);
	case LAYER_FRAGMENT6:
		return add_fragment6(b, l);
	case LAYER_TCP:
	case LAYER_UDP:
	case LAYER_SCTP:
		return add_transport(b, l);
	case LAYER_ICMP:
		return add_icmp(b, l);
	case LAYER_PROTOCOL:
	case LAYER_ETHERTYPE:
	case LAYER_PPP:
		return say_next(b, l->a);
	case LAYER_DATA:
		say_next(b, 0); /* only MPLS has something to say of that */
		return add_data(b, l->a);
	default:
		return;
	}
}

/* Fills in lengths, from the header at `at` to the end of the packet; then what shall not be true.
 */
static void finish_layer(struct builder *b, const struct layer *l, size_t at)
{
	uint8_t *h = b->frame->data + at;

	if (l->type == LAYER_IPV4)
		packet_put16(h + 2, b->end - at);
	else if (l->type == LAYER_IPV6)
		packet_put16(h + 4, b->end - at - 40);
	else if (l->type == LAYER_PPPOE)
		packet_put16(h + 4, b->end - at - 6);
	else if (l->type == LAYER_UDP)
		packet_put16(h + 4, b->end - at);
	else if (l->type == LAYER_SET8)
		h[l->a] = l->b;
	else if (l->type == LAYER_SET16)
		packet_put16(h + l->a, l->b);
	else if (l->type == LAYER_PAD && l->a > b->frame->len)
		add_data(b, l->a - b->frame->len);
	else if (l->type == LAYER_CUT && l->a < b->frame->len)
		b->frame->len = l->a;
}

void packet_build(struct frame *frame, const struct layer *layers)
{
	struct builder b = {.frame = frame};
	size_t at[PACKET_MAX_LAYERS];
	int n;

	frame->len = 0;
	for (n = 0; n < PACKET_MAX_LAYERS && layers[n].type != LAYER_END; n++) {
		/* PROTOCOL and data after a protocol number are not to overwrite it */
		if (layers[n].type == LAYER_DATA && b.next_kind != NEXT_MPLS)
			b.next_kind = NEXT_NONE;
		add_layer(&b, &layers[n]);
		at[n] = b.header;
	}
	b.end = frame->len;
	for (int i = 0; i < n; i++)
		finish_layer(&b, &layers[i], at[i]);
}

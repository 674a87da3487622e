/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/kernel/reference.h"

#include <string.h>

#define MAX_TAGS       4
#define MAX_LABELS     8
#define MAX_EXTENSIONS 8

struct reference {
	GHashTable *fragments; /* text of their identity -> what the first had */
};

struct first_fragment {
	uint16_t src_port, dst_port;
	uint8_t protocol;
};

/* The packet on the dissecting table. */
struct dissection {
	struct reference *reference;
	const struct packet_context *context;
	const uint8_t *octets;
	size_t end; /* nothing is read from here on */
	struct flow_id *id;
	struct flow_metrics *metrics;
	size_t length;	 /* of the packet */
	size_t repeated; /* octets that each segment has again, 0: can't be segmented */
	bool broken;
};

struct reference *reference_new(void)
{
	struct reference *r = g_new0(struct reference, 1);

	r->fragments = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	return r;
}

void reference_free(struct reference *r)
{
	g_hash_table_unref(r->fragments);
	g_free(r);
}

void reference_reset(struct reference *r)
{
	g_hash_table_remove_all(r->fragments);
}

static bool has(const struct dissection *d, size_t at, size_t n)
{
	return at + n <= d->end;
}

static unsigned get8(const struct dissection *d, size_t at)
{
	g_assert_true(has(d, at, 1));
	return d->octets[at];
}

static unsigned get16(const struct dissection *d, size_t at)
{
	return get8(d, at) * 256 + get8(d, at + 1);
}

static uint32_t get32(const struct dissection *d, size_t at)
{
	return (uint32_t)get16(d, at) * 65536 + get16(d, at + 2);
}

/* Fragments of one packet share this (RFC 791 3.2; RFC 8200 4.5: no protocol there). */
static char *packet_identity(const struct dissection *d, uint32_t number)
{
	g_autofree char *src = meter_hex(d->id->src_addr, 16);
	g_autofree char *dst = meter_hex(d->id->dst_addr, 16);

	return g_strdup_printf("%x/%s/%s/%u/%u/%d", d->id->eth_proto, src, dst, number, d->id->vlan,
			       d->id->eth_proto == 0x0800 ? d->id->protocol : -1);
}

static void remember_first_fragment(struct dissection *d, uint32_t number)
{
	struct first_fragment *first = g_new0(struct first_fragment, 1);

	first->src_port = d->id->src_port;
	first->dst_port = d->id->dst_port;
	first->protocol = d->id->protocol;
	g_hash_table_insert(d->reference->fragments, packet_identity(d, number), first);
}

static void recall_first_fragment(struct dissection *d, uint32_t number)
{
	g_autofree char *identity = packet_identity(d, number);
	const struct first_fragment *first = g_hash_table_lookup(d->reference->fragments, identity);

	if (!first)
		return;
	d->id->src_port = first->src_port;
	d->id->dst_port = first->dst_port;
	d->id->protocol = first->protocol;
}

/* RFC 9293 3.1. The flags need octet 13. */
static void dissect_tcp(struct dissection *d, size_t at)
{
	d->broken |= !has(d, at, 14);
	d->repeated += has(d, at, 14) ? get8(d, at + 12) / 16 * 4 : 8;
	if (!has(d, at, 4))
		return;
	d->id->src_port = get16(d, at);
	d->id->dst_port = get16(d, at + 2);
	if (has(d, at, 14))
		d->metrics->tcp_flags = get16(d, at + 12) % 4096;
}

/* RFC 768, RFC 9260 3.1: both begin with the ports. */
static void dissect_ports(struct dissection *d, size_t at, size_t header)
{
	d->repeated += header;
	d->broken |= !has(d, at, 4);
	if (!has(d, at, 4))
		return;
	d->id->src_port = get16(d, at);
	d->id->dst_port = get16(d, at + 2);
}

/* RFC 792, RFC 4443: type and code. */
static void dissect_icmp(struct dissection *d, size_t at)
{
	d->broken |= !has(d, at, 2);
	if (has(d, at, 2))
		d->id->dst_port = get16(d, at);
}

static void dissect_transport(struct dissection *d, size_t at)
{
	if (d->id->protocol == 6)
		dissect_tcp(d, at);
	else if (d->id->protocol == 17)
		dissect_ports(d, at, 8);
	else if (d->id->protocol == 132)
		dissect_ports(d, at, 12);
	else if (d->id->protocol == 1 || d->id->protocol == 58)
		dissect_icmp(d, at);
}

/* RFC 791 3.1. */
static bool dissect_ipv4(struct dissection *d, size_t at)
{
	size_t header, total, rest = d->end - at;
	unsigned fragment;

	if (!has(d, at, 20) || get8(d, at) / 16 != 4 || get8(d, at) % 16 < 5)
		return false;
	header = get8(d, at) % 16 * 4;
	total = get16(d, at + 2);
	d->length = total;
	if (total < header || total > rest) {
		bool big_tcp = total == 0 && d->context->gso_size;

		d->length = rest;
		d->broken |= !big_tcp;
	}
	d->end = at + d->length;
	d->id->eth_proto = 0x0800;
	d->id->tos = get8(d, at + 1);
	d->id->protocol = get8(d, at + 9);
	memcpy(d->id->src_addr, d->octets + at + 12, 4);
	memcpy(d->id->dst_addr, d->octets + at + 16, 4);
	d->metrics->min_ttl = d->metrics->max_ttl = get8(d, at + 8);
	d->repeated = header;
	fragment = get16(d, at + 6);
	d->metrics->fragment = fragment % 0x2000 || (fragment & 0x2000);
	if (fragment % 0x2000) {
		recall_first_fragment(d, get16(d, at + 4));
		return true;
	}
	dissect_transport(d, at + header);
	if (fragment & 0x2000)
		remember_first_fragment(d, get16(d, at + 4));
	return true;
}

static bool is_extension(unsigned number)
{
	return number == 0 || number == 43 || number == 44 || number == 51 || number == 60 ||
	       number == 135;
}

/* RFC 8200 4, RFC 4302 2.2 (AH), RFC 6275 6.1 (mobility). Returns where the chain ends. */
static size_t walk_extensions(struct dissection *d, size_t at, unsigned *fragment, uint32_t *number)
{
	for (int n = 0; n < MAX_EXTENSIONS && is_extension(d->id->protocol); n++) {
		unsigned type = d->id->protocol;

		if (!has(d, at, 8)) {
			d->broken = true;
			return at;
		}
		if (type == 135 && get8(d, at) == 59)
			return at;
		d->id->protocol = get8(d, at);
		if (type == 44) {
			*fragment = get16(d, at + 2);
			*number = get32(d, at + 4);
			at += 8;
			if (*fragment / 8)
				return at;
		} else if (type == 51) {
			at += (get8(d, at + 1) + 2) * 4;
		} else {
			at += (get8(d, at + 1) + 1) * 8;
		}
	}
	return at;
}

/* RFC 8200 3; RFC 2675 for what is longer than its length field can say. */
static void measure_ipv6(struct dissection *d, size_t at)
{
	size_t rest = d->end - at, payload = get16(d, at + 4);
	bool may_be_jumbo = get8(d, at + 6) == 0 || d->context->gso_size;

	d->length = 40 + payload;
	if (payload == 0 && may_be_jumbo)
		d->length = rest;
	if (d->length > rest) {
		d->length = rest;
		d->broken = true;
	}
	d->end = at + d->length;
}

static bool dissect_ipv6(struct dissection *d, size_t at)
{
	unsigned fragment = 0;
	uint32_t number = 0;
	bool big_tcp;
	size_t transport;

	if (!has(d, at, 40) || get8(d, at) / 16 != 6)
		return false;
	measure_ipv6(d, at);
	d->id->eth_proto = 0x86dd;
	d->id->tos = get16(d, at) / 16 % 256;
	d->id->protocol = get8(d, at + 6);
	memcpy(d->id->src_addr, d->octets + at + 8, 16);
	memcpy(d->id->dst_addr, d->octets + at + 24, 16);
	d->metrics->min_ttl = d->metrics->max_ttl = get8(d, at + 7);
	big_tcp = d->context->gso_size && get16(d, at + 4) == 0 && d->id->protocol == 0 &&
		  has(d, at + 40, 4) && get8(d, at + 41) == 0 && get8(d, at + 42) == 0xc2;
	transport = walk_extensions(d, at + 40, &fragment, &number);
	d->repeated = transport - at;
	if (fragment / 8 == 0)
		dissect_transport(d, transport);
	if (fragment / 8) {
		d->metrics->fragment = 1;
		recall_first_fragment(d, number);
	} else if (fragment % 2) {
		d->metrics->fragment = 1;
		remember_first_fragment(d, number);
	}
	if (big_tcp) {
		d->length -= 8;
		d->repeated -= 8;
	}
	return true;
}

/* RFC 3032; the first nibble behind the labels tells IP (RFC 4928). */
static bool dissect_mpls(struct dissection *d, size_t at)
{
	for (int n = 0; n < MAX_LABELS && has(d, at, 4); n++, at += 4) {
		uint32_t entry = get32(d, at);

		if (n < FLOW_MPLS_LABELS)
			d->metrics->mpls[n] = entry;
		if (!(entry & 0x100))
			continue;
		if (!has(d, at + 4, 1))
			return false;
		if (get8(d, at + 4) / 16 == 4)
			return dissect_ipv4(d, at + 4);
		return get8(d, at + 4) / 16 == 6 && dissect_ipv6(d, at + 4);
	}
	return false;
}

/* IEEE 802.1Q: one tag after the other, an id of 0 is none. Returns the offset behind them. */
static size_t dissect_tags(struct dissection *d, size_t at, unsigned *type)
{
	for (int n = 0; n < MAX_TAGS && (*type == 0x8100 || *type == 0x88a8); n++) {
		unsigned id;

		if (!has(d, at, 4))
			return at;
		id = get16(d, at) % 4096;
		if (!d->id->vlan)
			d->id->vlan = id;
		else if (!d->id->inner_vlan)
			d->id->inner_vlan = id;
		*type = get16(d, at + 2);
		at += 4;
	}
	return at;
}

/* False: the frame is none of IP's, *type says what it is and d->length how long. */
static bool dissect_network(struct dissection *d, size_t at, unsigned *type)
{
	/* RFC 2516 4, RFC 1661 2 */
	if (*type == 0x8864 && has(d, at, 8)) {
		unsigned ppp = get16(d, at + 6);

		if (ppp == 0x0021 || ppp == 0x0057) {
			*type = ppp == 0x0021 ? 0x0800 : 0x86dd;
			at += 8;
		}
	}
	d->length = d->end - at;
	if (*type == 0x8847 || *type == 0x8848)
		return dissect_mpls(d, at);
	if (*type == 0x0800 && dissect_ipv4(d, at))
		return true;
	if (*type == 0x86dd && dissect_ipv6(d, at))
		return true;
	d->broken = *type == 0x0800 || *type == 0x86dd;
	return false;
}

/* Cuts the payload into segments as the sender's device will. */
static void segment(struct dissection *d)
{
	struct flow_metrics *m = d->metrics;
	size_t size = d->context->gso_size, payload;

	m->packets = 1;
	m->bytes = m->min_len = m->max_len = d->length;
	if (!size || !d->repeated || d->length <= d->repeated)
		return;
	payload = d->length - d->repeated;
	if (payload <= size)
		return;
	m->packets = m->bytes = 0;
	m->min_len = 0xffff;
	m->max_len = 0;
	for (size_t done = 0; done < payload; done += size) {
		size_t len = d->repeated + MIN(size, payload - done);

		m->packets++;
		m->bytes += len;
		m->min_len = MIN(m->min_len, len);
		m->max_len = MAX(m->max_len, len);
	}
}

bool reference_parse(struct reference *r, const struct frame *frame,
		     const struct packet_context *context, struct flow_id *id,
		     struct flow_metrics *metrics)
{
	struct dissection d = {.reference = r,
			       .context = context,
			       .octets = frame->data,
			       .end = frame->len,
			       .id = id,
			       .metrics = metrics};
	unsigned type;
	size_t at;

	memset(id, 0, sizeof(*id));
	memset(metrics, 0, sizeof(*metrics));
	id->ifindex = context->ifindex ? context->ifindex : 1;
	id->direction = context->direction;
	memcpy(metrics->dst_mac, frame->data, 6);
	memcpy(metrics->src_mac, frame->data + 6, 6);
	if (context->direction == FLOW_EGRESS)
		metrics->far_ifindex = context->ingress_ifindex;
	type = get16(&d, 12);
	at = dissect_tags(&d, 14, &type);
	if (!dissect_network(&d, at, &type)) {
		memcpy(id->src_addr, metrics->src_mac, 6);
		memcpy(id->dst_addr, metrics->dst_mac, 6);
		id->eth_proto = type < 0x600 ? 0x0004 : type;
	}
	segment(&d);
	return d.broken;
}

/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/kernel/generate.h"

#include <string.h>

/* Layers on the way to becoming a frame; room is left for two lies. */
struct plan {
	GRand *random;
	struct layer layers[PACKET_MAX_LAYERS];
	int n;
};

/* 0 ... n - 1 */
static uint32_t pick(GRand *random, uint32_t n)
{
	return g_rand_int_range(random, 0, n);
}

static bool one_in(GRand *random, uint32_t n)
{
	return pick(random, n) == 0;
}

static void add(struct plan *plan, struct layer layer)
{
	if (plan->n < PACKET_MAX_LAYERS - 2)
		plan->layers[plan->n++] = layer;
}

#define ADD(plan, ...) add(plan, (struct layer)__VA_ARGS__)

/* Few enough to meet again. */
static uint32_t port(GRand *random)
{
	return one_in(random, 4) ? pick(random, 65536) : 1000 + pick(random, 8);
}

static void plan_link(struct plan *plan)
{
	GRand *r = plan->random;

	ADD(plan, ETH);
	if (one_in(r, 4))
		ADD(plan, SET8(pick(r, 12), pick(r, 256)));
	for (int n = one_in(r, 3) ? 1 + pick(r, 3) : 0; n > 0; n--)
		ADD(plan, VLAN(one_in(r, 2) ? 0x88a8 : 0x8100,
			       one_in(r, 8) ? pick(r, 65536) : pick(r, 5)));
	if (one_in(r, 10))
		ADD(plan, PPPOE);
	for (int n = one_in(r, 10) ? 1 + pick(r, 9) : 0; n > 0; n--)
		ADD(plan, MPLS(pick(r, 1 << 20)));
}

static void plan_extensions(struct plan *plan)
{
	static const uint8_t types[] = {0, 43, 51, 60, 60, 135};
	GRand *r = plan->random;

	for (int n = one_in(r, 2) ? pick(r, 10) : 0; n > 0; n--) {
		if (one_in(r, 8))
			ADD(plan,
			    FRAGMENT6(pick(r, 64), one_in(r, 2) ? 0 : pick(r, 8192), pick(r, 2)));
		else
			ADD(plan, EXT(types[pick(r, G_N_ELEMENTS(types))],
				      one_in(r, 20) ? pick(r, 40) : pick(r, 4)));
	}
}

static void plan_network(struct plan *plan)
{
	GRand *r = plan->random;

	if (one_in(r, 2)) {
		ADD(plan, IP6(one_in(r, 4) ? pick(r, 256) : 0, pick(r, 256)));
		ADD(plan, SET8(8 + pick(r, 32), pick(r, 64)));
		plan_extensions(plan);
		return;
	}
	if (one_in(r, 6))
		ADD(plan, IP4_FRAGMENT(pick(r, 64), one_in(r, 2) ? 0 : pick(r, 8192), pick(r, 2)));
	else if (one_in(r, 6))
		ADD(plan, IP4_OPTIONS(pick(r, 11)));
	else
		ADD(plan, IP4(one_in(r, 4) ? pick(r, 256) : 0, pick(r, 256)));
	ADD(plan, SET8(12 + pick(r, 8), pick(r, 64)));
}

static void plan_transport(struct plan *plan)
{
	GRand *r = plan->random;

	switch (pick(r, 8)) {
	case 0:
	case 1:
		return ADD(plan, TCP_OPTIONS(port(r), port(r), pick(r, 4096), pick(r, 11)));
	case 2:
		return ADD(plan, TCP(port(r), port(r), pick(r, 4096)));
	case 3:
	case 4:
		return ADD(plan, UDP(port(r), port(r)));
	case 5:
		return ADD(plan, SCTP(port(r), port(r)));
	case 6:
		return one_in(r, 2) ? ADD(plan, ICMP(pick(r, 256), pick(r, 256)))
				    : ADD(plan, ICMP6(pick(r, 256), pick(r, 256)));
	default:
		return ADD(plan, PROTOCOL(pick(r, 256)));
	}
}

static void plan_payload(struct plan *plan)
{
	GRand *r = plan->random;

	ADD(plan, DATA(one_in(r, 3) ? pick(r, 1500) : pick(r, 64)));
	if (one_in(r, 4))
		ADD(plan, PAD(60 + pick(r, 40)));
}

static void plan_non_ip(struct plan *plan)
{
	static const uint16_t types[] = {0x0806, 0x88cc, 0x8863, 0x8864,
					 0x8847, 0x8035, 0x86dd, 0x0800};
	GRand *r = plan->random;

	if (one_in(r, 3))
		ADD(plan, ETHERTYPE(pick(r, 65536)));
	else
		ADD(plan, ETHERTYPE(types[pick(r, G_N_ELEMENTS(types))]));
}

/* Headers where nobody expects them. */
static void shuffle(struct plan *plan)
{
	for (int n = 1 + pick(plan->random, 3); n > 0 && plan->n > 2; n--) {
		int a = 1 + pick(plan->random, plan->n - 1),
		    b = 1 + pick(plan->random, plan->n - 1);
		struct layer layer = plan->layers[a];

		plan->layers[a] = plan->layers[b];
		plan->layers[b] = layer;
	}
}

/* A lie behind a random layer: SET writes into the header before it. */
static void lie(struct plan *plan)
{
	GRand *r = plan->random;
	int at = 1 + pick(r, plan->n);
	struct layer value = one_in(r, 2) ? (struct layer)SET8(pick(r, 8), pick(r, 256))
					  : (struct layer)SET16(pick(r, 7), pick(r, 100));

	memmove(&plan->layers[at + 1], &plan->layers[at], (plan->n - at) * sizeof(value));
	plan->layers[at] = value;
	plan->n++;
}

static void damage(GRand *r, struct frame *frame)
{
	if (one_in(r, 2))
		for (int n = 1 + pick(r, 4); n > 0; n--)
			frame->data[12 + pick(r, MIN(frame->len, 120) - 12)] = pick(r, 256);
	if (one_in(r, 3))
		frame->len = 15 + pick(r, frame->len - 14);
}

static void choose_context(GRand *r, struct packet_context *context)
{
	memset(context, 0, sizeof(*context));
	context->direction = pick(r, 2);
	if (context->direction && one_in(r, 2))
		context->ingress_ifindex = 1 + pick(r, 5);
	if (!one_in(r, 8))
		return;
	context->gso_size = 1 + pick(r, 600);
	context->gso_segs = one_in(r, 2) ? pick(r, 8) : 0;
}

void generate_packet(GRand *r, struct frame *frame, struct packet_context *context)
{
	struct plan plan = {.random = r};

	plan_link(&plan);
	if (one_in(r, 12)) {
		plan_non_ip(&plan);
	} else {
		plan_network(&plan);
		if (one_in(r, 20))
			plan_network(&plan); /* a tunnel */
		plan_transport(&plan);
	}
	plan_payload(&plan);
	if (one_in(r, 10))
		shuffle(&plan);
	if (one_in(r, 5))
		lie(&plan);
	packet_build(frame, plan.layers);
	if (frame->len < 15) {
		memset(frame->data + frame->len, 0, 15 - frame->len);
		frame->len = 15;
	}
	if (one_in(r, 4))
		damage(r, frame);
	choose_context(r, context);
}

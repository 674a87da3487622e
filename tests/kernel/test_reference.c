/* SPDX-License-Identifier: MIT */
/*
 * The parser of kernel/ against a plain one in user space: random frames, batch after batch, what
 * the flow table holds afterwards against what the reference adds up, record by record, octet by
 * octet. Usage: test_reference [--packets=N] [--seed=N], for long searches; make check-fuzz runs a
 * million with a new seed.
 */
#include "config.h"

#include <glib.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetcher_private.h"
#include "tests/kernel/generate.h"
#include "tests/kernel/meter.h"
#include "tests/kernel/reference.h"

#define BATCH	  20000
#define MAX_FLOWS 131072

static uint32_t n_packets = 100000;
static uint32_t seed = 20261122;

struct totals {
	uint64_t run;
	uint64_t refused; /* by BPF_PROG_TEST_RUN: IP, and too short for its header */
	uint64_t malformed;
	uint64_t flows;
	uint64_t by_type[3]; /* IPv4, IPv6, else */
};

/* Adds a packet to the reference's own table. */
static void sum_up(GHashTable *flows, const struct flow_id *id, const struct flow_metrics *m)
{
	struct meter_flow *flow = g_hash_table_lookup(flows, id);

	if (!flow) {
		flow = g_new0(struct meter_flow, 1);
		flow->id = *id;
		flow->metrics = *m;
		g_hash_table_add(flows, flow);
		return;
	}
	flow->metrics.packets += m->packets;
	flow->metrics.bytes += m->bytes;
	flow->metrics.tcp_flags |= m->tcp_flags;
	flow->metrics.fragment |= m->fragment;
	flow->metrics.min_len = MIN(flow->metrics.min_len, m->min_len);
	flow->metrics.max_len = MAX(flow->metrics.max_len, m->max_len);
	flow->metrics.min_ttl = MIN(flow->metrics.min_ttl, m->min_ttl);
	flow->metrics.max_ttl = MAX(flow->metrics.max_ttl, m->max_ttl);
}

static bool is_equal(const struct meter_flow *got, const struct meter_flow *wanted)
{
	struct flow_metrics m;

	if (!got)
		return false;
	m = got->metrics;
	m.start_ns = m.end_ns = 0;
	/* one flow's packets may come from several interfaces here, and leave by any */
	m.far_ifindex = wanted->metrics.far_ifindex;
	m.far_vlan = wanted->metrics.far_vlan;
	return !memcmp(&got->id, &wanted->id, sizeof(got->id)) &&
	       !memcmp(&m, &wanted->metrics, sizeof(m));
}

static unsigned count_differences(GHashTable *got, GHashTable *wanted)
{
	unsigned n = 0;
	GHashTableIter iter;
	void *p;

	g_hash_table_iter_init(&iter, wanted);
	while (g_hash_table_iter_next(&iter, &p, NULL))
		n += !is_equal(g_hash_table_lookup(got, p), p);
	g_hash_table_iter_init(&iter, got);
	while (g_hash_table_iter_next(&iter, &p, NULL))
		n += !g_hash_table_contains(wanted, p);
	return n;
}

static uint64_t malformed_so_far(struct meter *meter)
{
	struct flow_counters counters;

	flow_fetcher_counters(meter->fetcher, &counters);
	return counters.malformed_packets;
}

static void count_type(struct totals *totals, const struct flow_id *id)
{
	totals->by_type[id->eth_proto == 0x0800 ? 0 : id->eth_proto == 0x86dd ? 1 : 2]++;
}

/* n packets; returns the number of flows that differ, or 1 if malformed packets were counted
 * otherwise. */
static unsigned run_batch(struct meter *meter, struct reference *reference, GRand *random,
			  uint32_t n, struct totals *totals)
{
	g_autoptr(GHashTable) wanted =
		g_hash_table_new_full(meter_id_hash, meter_id_equal, g_free, NULL);
	uint64_t malformed = malformed_so_far(meter), broken = 0;
	struct packet_context context;
	struct flow_metrics metrics;
	struct frame frame;
	struct flow_id id;
	unsigned differ;

	reference_reset(reference);
	meter_retire_all(meter);
	for (uint32_t i = 0; i < n; i++) {
		generate_packet(random, &frame, &context);
		if (!meter_try(meter, &frame, &context)) {
			totals->refused++;
			continue;
		}
		broken += reference_parse(reference, &frame, &context, &id, &metrics);
		sum_up(wanted, &id, &metrics);
		count_type(totals, &id);
		totals->run++;
	}
	meter_drain(meter);
	differ = count_differences(meter->flows, wanted);
	malformed = malformed_so_far(meter) - malformed;
	totals->malformed += broken;
	totals->flows += g_hash_table_size(wanted);
	return differ ? differ : malformed != broken;
}

static struct meter *new_meter(void)
{
	struct flow_fetcher_config config = meter_config(MAX_FLOWS);

	config.ring_bytes = 1 << 24;
	return meter_new(&config);
}

static const struct meter_flow *any_flow(GHashTable *flows)
{
	GHashTableIter iter;
	void *p = NULL;

	g_hash_table_iter_init(&iter, flows);
	g_hash_table_iter_next(&iter, &p, NULL);
	return p;
}

/* The batch again, packet by packet, until one differs. */
static void show_first_difference(uint32_t batch_seed, uint32_t n)
{
	g_autoptr(GRand) random = g_rand_new_with_seed(batch_seed);
	struct reference *reference = reference_new();
	struct meter *meter = new_meter();
	struct packet_context context;
	struct meter_flow wanted = {0};
	struct frame frame;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t malformed = malformed_so_far(meter), broken;
		const struct meter_flow *got;
		g_autofree char *hex = NULL;

		generate_packet(random, &frame, &context);
		if (!meter_try(meter, &frame, &context))
			continue;
		broken = reference_parse(reference, &frame, &context, &wanted.id, &wanted.metrics);
		meter_drain(meter);
		got = any_flow(meter->flows);
		malformed = malformed_so_far(meter) - malformed;
		if (is_equal(got, &wanted) && malformed == broken) {
			flow_fetcher_retire(meter->fetcher, got->slot);
			g_hash_table_remove_all(meter->flows);
			continue;
		}
		hex = meter_hex(frame.data, frame.len);
		g_test_message("packet %u of batch seed %u: %s", i, batch_seed, hex);
		g_test_message("direction %u from %u gso %u x %u", context.direction,
			       context.ingress_ifindex, context.gso_segs, context.gso_size);
		if (got)
			g_test_message("got    %s malformed %u",
				       meter_describe(&got->id, &got->metrics), (int)malformed);
		g_test_message("wanted %s malformed %u",
			       meter_describe(&wanted.id, &wanted.metrics), (int)broken);
		break;
	}
	meter_free(meter);
	reference_free(reference);
}

static void test_reference(void)
{
	struct reference *reference = reference_new();
	struct meter *meter = new_meter();
	struct totals totals = {0};
	uint32_t batch = 0;

	for (; totals.run < n_packets; batch++) {
		g_autoptr(GRand) random = g_rand_new_with_seed(seed + batch);
		unsigned differ = run_batch(meter, reference, random, BATCH, &totals);

		if (!differ)
			continue;
		g_test_message("seed %u: %u flows differ", seed + batch, differ);
		g_test_fail();
		show_first_difference(seed + batch, BATCH);
		break;
	}
	g_test_message("seed %u: %" G_GUINT64_FORMAT " packets (IPv4 %" G_GUINT64_FORMAT
		       ", IPv6 %" G_GUINT64_FORMAT ", else %" G_GUINT64_FORMAT
		       "; malformed %" G_GUINT64_FORMAT ") in %" G_GUINT64_FORMAT
		       " flows; refused %" G_GUINT64_FORMAT,
		       seed, totals.run, totals.by_type[0], totals.by_type[1], totals.by_type[2],
		       totals.malformed, totals.flows, totals.refused);
	/* a generator that makes only one kind of packet finds nothing */
	for (int i = 0; i < 3; i++)
		g_assert_cmpuint(totals.by_type[i], >, totals.run / 20);
	g_assert_cmpuint(totals.malformed, >, totals.run / 20);
	g_assert_cmpuint(totals.malformed, <, totals.run / 2);
	g_assert_cmpuint(totals.refused, <, totals.run / 5);
	meter_free(meter);
	reference_free(reference);
}

/* Which packet of a flow is its first is known on one CPU only. */
static void stay_on_one_cpu(void)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu(), &cpus);
	g_assert_cmpint(sched_setaffinity(0, sizeof(cpus), &cpus), ==, 0);
}

int main(int argc, char **argv)
{
	const char *packets = g_getenv("BPFLOWD_FUZZ_PACKETS"), *start = g_getenv("BPFLOWD_SEED");

	meter_enter_namespace();
	stay_on_one_cpu();
	if (packets)
		n_packets = strtoul(packets, NULL, 10);
	if (start)
		seed = strtoul(start, NULL, 10);
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/reference/random-packets", test_reference);
	return g_test_run();
}

/* SPDX-License-Identifier: MIT */
/*
 * Cost of the flow cache: nanoseconds per merge into flows that exist (with and without hint), per
 * new flow, per ended flow, and octets per flow, for three sizes. Deltas come in the order of the
 * kernel's table, the flows lie in the cache in random order, so that most of 1 M flows miss the
 * processor's caches. The best of some rounds.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <glib.h>

#include "cache.h"
#include "cache_private.h"

#define N_ROUNDS 5
#define AHEAD	 8
#define START	 (1000 * NSEC_PER_SEC)
#define IDLE	 (15 * NSEC_PER_SEC)

struct costs {
	double begin_ns;
	double merge_ns;
	double hint_ns;
	double expire_ns;
};

static uint64_t n_exported;

static void count_export(void *user, struct flow_record *record)
{
	n_exported += record->has_dns == 0;
}

static void ignore_slot(void *user, uint32_t slot)
{
}

static double clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static struct flow_id *make_ids(uint32_t n_flows)
{
	struct flow_id *ids = g_new0(struct flow_id, n_flows);

	for (uint32_t i = 0; i < n_flows; i++) {
		memcpy(ids[i].src_addr, &i, sizeof(i));
		ids[i].dst_addr[0] = 10;
		ids[i].dst_port = 443;
		ids[i].ifindex = 2;
		ids[i].eth_proto = 0x0800;
		ids[i].protocol = 17;
	}
	return ids;
}

/* Lets flows begin and end in a random order, so that the places that become free lie scattered. */
static void scatter(struct cache *cache, const struct flow_id *ids, uint32_t n_flows)
{
	for (uint32_t i = 0; i < n_flows; i++) {
		struct flow_metrics delta = {.packets = 1, .start_ns = START};

		delta.end_ns = START + (uint64_t)g_random_int() * 10;
		cache_merge(cache, &ids[i], &delta, CACHE_NO_SLOT, CACHE_NO_HINT);
	}
	cache_expire(cache, START + 60 * NSEC_PER_SEC);
}

/* One pass of merges over all flows; deltas as a drain makes them. */
static double pass(struct cache *cache, const struct flow_id *ids, uint32_t n_flows,
		   uint32_t *hints, uint64_t now_ns)
{
	struct flow_metrics delta = {
		.packets = 3,
		.bytes = 300,
		.start_ns = now_ns,
		.end_ns = now_ns,
		.min_len = 60,
		.max_len = 140,
		.min_ttl = 63,
		.max_ttl = 63,
		.far_ifindex = 3,
		.src_mac = {2, 0, 0, 0, 0, 1},
	};
	double start = clock_ns();

	for (uint32_t i = 0; i < n_flows; i++) {
		uint32_t hint = hints ? hints[i] : CACHE_NO_HINT;

		if (i + AHEAD < n_flows)
			cache_prefetch(cache, &ids[i + AHEAD],
				       hints ? hints[i + AHEAD] : CACHE_NO_HINT);
		delta.end_ns += 100;
		hint = cache_merge(cache, &ids[i], &delta, i, hint);
		if (hints)
			hints[i] = hint;
	}
	return (clock_ns() - start) / n_flows;
}

static void keep_least(double *least, double value)
{
	if (value < *least)
		*least = value;
}

static void measure(uint32_t n_flows, struct costs *best)
{
	struct cache_config config = {n_flows, 60 * NSEC_PER_SEC, IDLE};
	struct cache_callbacks callbacks = {.export_flow = count_export,
					    .retire_slot = ignore_slot,
					    .retire_others = ignore_slot,
					    .user = NULL};
	struct cache *cache = cache_new(&config, &callbacks);
	struct flow_id *ids = make_ids(n_flows);
	uint32_t *hints = g_new(uint32_t, n_flows);
	uint64_t now_ns = START + 60 * NSEC_PER_SEC;

	scatter(cache, ids, n_flows);
	*best = (struct costs){1e9, 1e9, 1e9, 1e9};
	for (unsigned int round = 0; round < N_ROUNDS; round++) {
		double start;

		memset(hints, 0xff, n_flows * sizeof(*hints));
		cache_expire(cache, now_ns);
		keep_least(&best->begin_ns, pass(cache, ids, n_flows, hints, now_ns));
		now_ns += NSEC_PER_SEC;
		keep_least(&best->merge_ns, pass(cache, ids, n_flows, NULL, now_ns));
		now_ns += NSEC_PER_SEC;
		keep_least(&best->hint_ns, pass(cache, ids, n_flows, hints, now_ns));
		now_ns += 2 * IDLE;
		n_exported = 0;
		start = clock_ns();
		cache_expire(cache, now_ns);
		keep_least(&best->expire_ns, (clock_ns() - start) / n_flows);
		g_assert_cmpuint(n_exported, ==, n_flows);
	}
	cache_free(cache);
	g_free(ids);
	g_free(hints);
}

static double octets_per_flow(uint32_t n_flows)
{
	struct cache_config config = {n_flows, 60 * NSEC_PER_SEC, IDLE};
	struct cache_callbacks callbacks = {.export_flow = count_export,
					    .retire_slot = ignore_slot,
					    .retire_others = ignore_slot,
					    .user = NULL};
	struct cache *cache = cache_new(&config, &callbacks);
	double octets = (double)sizeof(struct cache_entry) * n_flows +
			(double)sizeof(struct cache_line) * cache->n_lines +
			(double)sizeof(uint32_t) * 4 * (cache->closing_mask + 1.0) +
			(double)sizeof(struct cache_wheel);

	cache_free(cache);
	return octets / n_flows;
}

int main(void)
{
	static const uint32_t sizes[] = {10000, 100000, 1000000};

	printf("%10s %10s %10s %10s %10s %12s\n", "flows", "new ns", "merge ns", "hint ns",
	       "end ns", "octets/flow");
	for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
		struct costs costs;

		measure(sizes[i], &costs);
		printf("%10u %10.0f %10.0f %10.0f %10.0f %12.1f\n", sizes[i], costs.begin_ns,
		       costs.merge_ns, costs.hint_ns, costs.expire_ns, octets_per_flow(sizes[i]));
	}
	return 0;
}

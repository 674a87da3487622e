/* SPDX-License-Identifier: MIT */
/*
 * The flow cache beside a naive one: the same random operations, the same flows end at the same
 * moments for the same reasons with the same counts, and nothing is lost on the way.
 */
#include "config.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include <glib.h>

#include "cache.h"
#include "cache_private.h"

#define START	 (100 * NSEC_PER_SEC)
#define ACTIVE	 (20 * NSEC_PER_SEC)
#define IDLE	 (5 * NSEC_PER_SEC)
#define N_FLOWS	 300
#define N_ROUNDS 200000

struct model_flow {
	bool live;
	bool ended;
	uint64_t packets;
	uint64_t bytes;
	uint64_t start_ns;
	uint64_t end_ns;
	uint16_t tcp_flags;
};

struct model {
	struct cache *cache;
	struct model_flow flows[N_FLOWS];
	uint64_t now_ns;
	uint64_t in_packets, in_bytes;
	uint64_t out_packets, out_bytes;
	uint32_t n_exported;
	uint32_t n_by_reason[FLOW_END_RESOURCES + 1];
};

/* Flow 2n and 2n+1 are the directions of a conversation; few of them speak TCP, so that the small
 * table of closing flows can't overflow. */
static struct flow_id make_id(uint32_t number)
{
	bool back = number & 1;
	struct flow_id id = {
		.src_port = back ? 80 : 1000,
		.dst_port = back ? 1000 : 80,
		.ifindex = 1 + back,
		.eth_proto = 0x86dd,
		.protocol = number < 8 ? IPPROTO_TCP : IPPROTO_UDP,
		.direction = (uint8_t)(number % 3 == 0),
	};
	uint8_t *inner = back ? id.dst_addr : id.src_addr;

	(back ? id.src_addr : id.dst_addr)[0] = 0xfd;
	inner[0] = 0xfe;
	inner[14] = (uint8_t)(number >> 9);
	inner[15] = (uint8_t)(number >> 1);
	return id;
}

static uint32_t number_of(const struct flow_id *id)
{
	bool back = id->src_port == 80;
	const uint8_t *inner = back ? id->dst_addr : id->src_addr;

	return ((uint32_t)inner[14] << 8 | inner[15]) << 1 | back;
}

static uint64_t model_deadline(const struct model_flow *flow, enum flow_end_reason *reason)
{
	uint64_t rest_ns = flow->end_ns + (flow->ended ? MIN(CACHE_LINGER_NS, IDLE) : IDLE);
	uint64_t active_ns = flow->start_ns + ACTIVE;

	*reason = flow->ended		? FLOW_END_DETECTED
		  : active_ns < rest_ns ? FLOW_END_ACTIVE
					: FLOW_END_IDLE;
	return MIN(rest_ns, active_ns);
}

static void account(struct model *model, const struct flow_record *record)
{
	model->out_packets += record->metrics.packets;
	model->out_bytes += record->metrics.bytes;
	model->n_exported++;
	model->n_by_reason[record->end_reason]++;
}

static void check_exported(void *user, struct flow_record *record)
{
	struct model *model = user;
	struct model_flow *flow = &model->flows[number_of(&record->id)];
	enum flow_end_reason reason;

	g_assert_true(flow->live);
	g_assert_cmpuint(model_deadline(flow, &reason), <=, model->now_ns);
	g_assert_cmpuint(record->end_reason, ==, reason);
	g_assert_cmpuint(record->metrics.packets, ==, flow->packets);
	g_assert_cmpuint(record->metrics.bytes, ==, flow->bytes);
	g_assert_cmpuint(record->metrics.start_ns, ==, flow->start_ns);
	g_assert_cmpuint(record->metrics.end_ns, ==, flow->end_ns);
	g_assert_cmphex(record->metrics.tcp_flags, ==, flow->tcp_flags);
	memset(flow, 0, sizeof(*flow));
	account(model, record);
}

static void account_exported(void *user, struct flow_record *record)
{
	account(user, record);
}

static void ignore_slot(void *user, uint32_t slot)
{
}

static void model_merge(struct model *model, uint32_t number, const struct flow_metrics *delta)
{
	struct model_flow *flow = &model->flows[number];
	struct model_flow *other = &model->flows[number ^ 1];

	if (!flow->live)
		flow->start_ns = delta->start_ns;
	flow->live = true;
	flow->packets += delta->packets;
	flow->bytes += delta->bytes;
	flow->start_ns = MIN(flow->start_ns, delta->start_ns);
	flow->end_ns = MAX(flow->end_ns, delta->end_ns);
	flow->tcp_flags |= delta->tcp_flags;
	if (number >= 8)
		return;
	if (flow->tcp_flags & TH_RST)
		flow->ended = true;
	if (other->live && flow->tcp_flags & (TH_FIN | TH_RST) &&
	    other->tcp_flags & (TH_FIN | TH_RST))
		flow->ended = other->ended = true;
}

static void random_merge(struct model *model, uint32_t hints[N_FLOWS])
{
	uint32_t number = (uint32_t)g_test_rand_int_range(0, N_FLOWS);
	struct flow_id id = make_id(number);
	struct flow_metrics delta = {
		.packets = (uint64_t)g_test_rand_int_range(1, 100),
		.bytes = (uint64_t)g_test_rand_int_range(0, 100000),
		.end_ns = model->now_ns - (uint64_t)g_test_rand_int_range(0, 1000000000),
	};
	int flags = g_test_rand_int_range(0, 40);

	delta.start_ns = delta.end_ns - (uint64_t)g_test_rand_int_range(0, 1000000000);
	if (flags == 0)
		delta.tcp_flags = TH_RST;
	else if (flags < 8)
		delta.tcp_flags = TH_FIN;
	if (g_test_rand_int_range(0, 20) == 0)
		hints[number] = g_test_rand_int_range(0, 3) ? hints[(number + 1) % N_FLOWS]
							    : (uint32_t)g_test_rand_int();
	hints[number] = cache_merge(model->cache, &id, &delta, number, hints[number]);
	model->in_packets += delta.packets;
	model->in_bytes += delta.bytes;
	model_merge(model, number, &delta);
}

/* After an expiry nothing that is due is left, and the sums are those of what is held. */
static void check_held(struct model *model)
{
	const struct cache_stats *stats = cache_stats(model->cache);
	uint64_t packets = 0, bytes = 0;
	uint32_t n_live = 0;

	for (uint32_t i = 0; i < N_FLOWS; i++) {
		enum flow_end_reason reason;

		if (!model->flows[i].live)
			continue;
		g_assert_cmpuint(model_deadline(&model->flows[i], &reason), >, model->now_ns);
		n_live++;
		packets += model->flows[i].packets;
		bytes += model->flows[i].bytes;
	}
	g_assert_cmpuint(stats->flows, ==, n_live);
	g_assert_cmpuint(stats->packets, ==, packets);
	g_assert_cmpuint(stats->bytes, ==, bytes);
	g_assert_cmpuint(model->in_packets, ==, model->out_packets + packets);
	g_assert_cmpuint(model->in_bytes, ==, model->out_bytes + bytes);
}

static void test_model(void)
{
	struct cache_config config = {4096, ACTIVE, IDLE};
	struct model model = {.now_ns = START};
	struct cache_callbacks callbacks = {.export_flow = check_exported,
					    .retire_slot = ignore_slot,
					    .retire_others = ignore_slot,
					    .user = &model};
	uint32_t hints[N_FLOWS] = {0};

	model.cache = cache_new(&config, &callbacks);
	/* the same key each time: which flows share a place in the table of closing flows matters
	 */
	model.cache->hash_key = (struct siphash_key){1, 2};
	for (unsigned int i = 0; i < N_ROUNDS; i++) {
		random_merge(&model, hints);
		if (g_test_rand_int_range(0, 8))
			continue;
		/* mostly small steps, now and then one that passes every timeout */
		model.now_ns += (uint64_t)g_test_rand_int_range(0, 200000000);
		if (g_test_rand_int_range(0, 500) == 0)
			model.now_ns += (uint64_t)g_test_rand_int_range(0, 60) * NSEC_PER_SEC;
		cache_expire(model.cache, model.now_ns);
		check_held(&model);
	}
	/* every way to end was taken */
	g_assert_cmpuint(model.n_by_reason[FLOW_END_IDLE], >, 100);
	g_assert_cmpuint(model.n_by_reason[FLOW_END_ACTIVE], >, 100);
	g_assert_cmpuint(model.n_by_reason[FLOW_END_DETECTED], >, 100);
	cache_free(model.cache);
}

/* More flows than there is room for: whatever ends early, each packet is exported once. */
static void test_conservation_when_full(void)
{
	struct cache_config config = {100, ACTIVE, IDLE};
	struct model model = {.now_ns = START};
	struct cache_callbacks callbacks = {.export_flow = account_exported,
					    .retire_slot = ignore_slot,
					    .retire_others = ignore_slot,
					    .user = &model};
	uint32_t hints[N_FLOWS] = {0};
	const struct cache_stats *stats;
	uint64_t ended = 0;

	model.cache = cache_new(&config, &callbacks);
	stats = cache_stats(model.cache);
	for (unsigned int i = 0; i < N_ROUNDS; i++) {
		struct dns_record dns = {.responses = 1};
		struct flow_id id = make_id((uint32_t)g_test_rand_int_range(0, N_FLOWS));

		random_merge(&model, hints);
		if (g_test_rand_int_range(0, 8) == 0)
			cache_merge_dns(model.cache, &id, &dns, model.now_ns, true);
		if (g_test_rand_int_range(0, 8) == 0) {
			model.now_ns += (uint64_t)g_test_rand_int_range(0, 100000000);
			cache_expire(model.cache, model.now_ns);
		}
		if (g_test_rand_int_range(0, 5000) == 0)
			cache_set_timeouts(model.cache,
					   (uint64_t)g_test_rand_int_range(0, 300) * NSEC_PER_SEC,
					   (uint64_t)g_test_rand_int_range(1, 60) * NSEC_PER_SEC);
		g_assert_cmpuint(stats->flows, <=, config.max_flows);
		g_assert_cmpuint(model.in_packets, ==, model.out_packets + stats->packets);
		g_assert_cmpuint(model.in_bytes, ==, model.out_bytes + stats->bytes);
	}
	cache_flush(model.cache, FLOW_END_FORCED);
	g_assert_cmpuint(stats->flows, ==, 0);
	g_assert_cmpuint(model.in_packets, ==, model.out_packets);
	g_assert_cmpuint(model.n_by_reason[FLOW_END_RESOURCES], >, 1000);
	for (unsigned int i = 0; i <= FLOW_END_RESOURCES; i++)
		ended += stats->ended[i];
	g_assert_cmpuint(ended, ==, stats->created);
	g_assert_cmpuint(ended, ==, model.n_exported);
	cache_free(model.cache);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/cache-model/same-ends", test_model);
	g_test_add_func("/cache-model/conservation-when-full", test_conservation_when_full);
	return g_test_run();
}

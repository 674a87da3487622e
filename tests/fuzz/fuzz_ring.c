/* SPDX-License-Identifier: MIT */
/*
 * What the kernel side leaves in ring and table, read by fetcher_drain.c, on through signals and
 * cache to records. Two players: one writes any octets, and nothing may break; the other keeps to
 * the protocol of kernel/flow.h with its own choice of moments, and every packet must come out
 * once. No kernel: the ring's reader is replaced by ours.
 */
#include "config.h"

#include <glib.h>

#include "cache.h"
#include "fetcher_private.h"
#include "fuzz.h"
#include "signals.h"

#define N_CPUS	2
#define N_SLOTS (N_CPUS * 2 * FLOW_WAYS) /* two groups to a CPU */
#define N_FLOWS 16

struct world {
	struct flow_fetcher fetcher;
	struct flow_slot4 slots4[N_SLOTS];
	struct flow_slot6 slots6[N_SLOTS];
	struct flow_cold cold4[N_SLOTS];
	struct shadow shadow4[N_SLOTS];
	struct shadow shadow6[N_SLOTS];
	struct flow_counters counters[N_CPUS];
	struct partition partitions[N_CPUS];
	struct cache *cache;
	struct signals *signals;
	GPtrArray *ring; /* GBytes */
	struct clock_now now;
	uint64_t merged[2]; /* packets and octets handed to the cache */
	uint64_t exported[2];
	uint64_t
		sent[N_FLOWS]; /* honest player: packets of each flow, as played and as handed up */
	uint64_t got[N_FLOWS];
};

static struct world *world;

/* Stands in for libbpf's. */
int ring_buffer__consume(struct ring_buffer *ring)
{
	while (world->ring->len > 0) {
		GBytes *record = g_ptr_array_steal_index(world->ring, 0);
		gsize size = g_bytes_get_size(record);
		g_autofree void *copy = g_memdup2(g_bytes_get_data(record, NULL), size);
		int err = fetcher_ring_record(&world->fetcher, copy, size);

		g_bytes_unref(record);
		if (err)
			return err;
	}
	return 0;
}

static uint32_t merge(void *user, const struct flow_id *id, const struct flow_metrics *delta,
		      uint32_t slot, uint32_t hint)
{
	world->merged[0] += delta->packets;
	world->merged[1] += delta->bytes;
	world->got[id->src_port % N_FLOWS] += delta->packets;
	return cache_merge(world->cache, id, delta, slot, hint);
}

static void prefetch(void *user, const struct flow_id *id, uint32_t hint)
{
	cache_prefetch(world->cache, id, hint);
}

static void on_event(void *user, const struct flow_event *event, size_t size)
{
	signals_event(world->signals, event, size);
}

static void export_flow(void *user, struct flow_record *record)
{
	static const struct record_resolver resolver;

	world->exported[0] += record->metrics.packets;
	world->exported[1] += record->metrics.bytes;
	record_derive(record, &world->now, &resolver);
	g_assert_nonnull(memchr(record->dns_name, 0, sizeof(record->dns_name)));
}

static void retire(void *user, uint32_t slot)
{
	g_assert_cmpuint(slot & ~SLOT_IPV6, <, N_SLOTS);
	flow_fetcher_retire(&world->fetcher, slot);
}

static void prefetch_slot(void *user, uint32_t slot)
{
	flow_fetcher_prefetch_slot(&world->fetcher, slot);
}

static void retire_others(void *user, uint32_t slot)
{
	flow_fetcher_retire_others(&world->fetcher, slot);
}

static void start(void)
{
	const struct cache_config config = {8, 60 * NSEC_PER_SEC, 10 * NSEC_PER_SEC};
	const struct cache_callbacks callbacks = {
		.export_flow = export_flow,
		.retire_slot = retire,
		.retire_others = retire_others,
		.prefetch_slot = prefetch_slot,
	};

	world = g_new0(struct world, 1);
	world->cache = cache_new(&config, &callbacks);
	world->signals = signals_new(world->cache, &(struct signals_callbacks){0});
	world->ring = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
	world->now = (struct clock_now){1000 * NSEC_PER_SEC, 1000 * NSEC_PER_SEC,
					1700000000 * NSEC_PER_SEC};
	world->fetcher = (struct flow_fetcher){
		.config = {.precise = true, .ring_bytes = 1 << 20},
		.callbacks = {.flow = merge, .prefetch = prefetch, .event = on_event},
		.n_cpus = N_CPUS,
		.groups4 = 2,
		.groups6 = 2,
		.hash_seed = {1, 2, 3, 4},
		.n_slots4 = N_SLOTS,
		.n_slots6 = N_SLOTS,
		.slots4 = world->slots4,
		.slots6 = world->slots6,
		.cold4 = world->cold4,
		.counters = world->counters,
		.shadow4 = world->shadow4,
		.shadow6 = world->shadow6,
		.partitions = world->partitions,
		.ticks = {.length_ns = 1 << FLOW_TICK_SHIFT},
		.stash = g_byte_array_new(),
		.untold = g_hash_table_new(NULL, NULL),
	};
	for (uint32_t cpu = 0; cpu < N_CPUS; cpu++) { /* each has seen both families */
		world->counters[cpu].created_flows = 2;
		world->counters[cpu].created_flows6 = 1;
	}
	fetcher_netdev_open(&world->fetcher);
}

static void drain(void)
{
	flow_fetcher_lookup_and_delete_map(&world->fetcher, world->now.mono_ns);
	signals_apply(world->signals);
	cache_expire(world->cache, world->now.mono_ns);
}

static void stop(void)
{
	/* a partition rests only when the counters did since the last look */
	for (int i = 0; i < N_CPUS; i++)
		world->partitions[i].scan_again = true;
	drain();
	cache_flush(world->cache, FLOW_END_FORCED);
	g_assert_cmpuint(world->merged[0], ==, world->exported[0]);
	g_assert_cmpuint(world->merged[1], ==, world->exported[1]);
	g_assert_cmpuint(world->ring->len, ==, 0);
	fetcher_netdev_close(&world->fetcher);
	g_byte_array_unref(world->fetcher.stash);
	g_hash_table_unref(world->fetcher.untold);
	g_ptr_array_unref(world->ring);
	signals_free(world->signals);
	cache_free(world->cache);
	g_free(world);
}

static void push(const void *record, size_t size)
{
	g_ptr_array_add(world->ring, g_bytes_new(record, size));
}

/* ---- any octets */

static void push_anything(struct input *in)
{
	union {
		struct flow_event event;
		uint8_t octets[sizeof(struct flow_event_dns)];
	} record = {0};
	uint8_t type = input_u8(in);
	size_t size = input_size(in, sizeof(record) - sizeof(record.event));

	record.event.index = input_u8(in);
	input_octets(in, &record.octets[sizeof(record.event)], size);
	record.event.type = type % (FLOW_EVENT_DROP + 2);
	push(&record, sizeof(record.event) + size);
}

static void write_slot(struct input *in)
{
	uint8_t index = input_u8(in);
	uint8_t at = input_u8(in);
	uint8_t octets[32] = {0};
	uint8_t *slot = index & 0x80 ? (uint8_t *)&world->slots6[index % N_SLOTS]
				     : (uint8_t *)&world->slots4[index % N_SLOTS];
	size_t size = index & 0x80 ? sizeof(*world->slots6) : sizeof(*world->slots4);
	size_t n = input_octets(in, octets, sizeof(octets));

	at %= size;
	memcpy(slot + at, octets, MIN(n, size - at));
	world->counters[0].observed_packets[0]++;
	world->counters[1].observed_packets[0]++;
}

static void play_anything(struct input *in)
{
	uint8_t step = input_u8(in);

	world->now.mono_ns += (step >> 4) * NSEC_PER_SEC;
	if (step % 4 == 0)
		drain();
	else if (step % 4 == 1)
		write_slot(in);
	else
		push_anything(in);
}

/* ---- by the protocol */

static void turn_over4(uint32_t index, uint32_t flow)
{
	struct flow_slot4 *slot = &world->slots4[index];
	struct flow_event_slot4 event = {{FLOW_EVENT_SLOT4, index}, *slot, world->cold4[index]};

	if (slot->hot.gen)
		push(&event, sizeof(event));
	*slot = (struct flow_slot4){.key = {.src_port = GUINT16_TO_BE(flow), .iface = 1},
				    .hot = {.gen = slot->hot.gen + 2,
					    .retire = slot->hot.retire,
					    .first = world->now.mono_ns >> FLOW_TICK_SHIFT}};
}

static void turn_over6(uint32_t index, uint32_t flow)
{
	struct flow_slot6 *slot = &world->slots6[index];
	struct flow_event_slot6 event = {{FLOW_EVENT_SLOT6, index}, *slot};

	if (slot->hot.gen)
		push(&event, sizeof(event));
	*slot = (struct flow_slot6){
		.key = {.src_port = GUINT16_TO_BE(flow), .iface = 1, .eth_proto = 0x86dd},
		.hot = {.gen = slot->hot.gen + 2,
			.retire = slot->hot.retire,
			.first = world->now.mono_ns >> FLOW_TICK_SHIFT}};
}

static void count(struct flow_hot *hot, uint32_t flow, uint32_t cpu)
{
	hot->packets++;
	hot->bytes += 100;
	hot->last = world->now.mono_ns >> FLOW_TICK_SHIFT;
	world->counters[cpu].observed_packets[0]++;
	world->sent[flow]++;
}

/* A packet at a slot: of the flow that lies there, or of another one that takes it. */
static void play_packet(struct input *in)
{
	uint8_t place = input_u8(in);
	uint32_t flow = input_u8(in) % N_FLOWS;
	uint32_t index = place % N_SLOTS;
	bool ipv6 = place & 0x80;
	struct flow_hot *hot = ipv6 ? &world->slots6[index].hot : &world->slots4[index].hot;
	uint16_t port =
		ipv6 ? world->slots6[index].key.src_port : world->slots4[index].key.src_port;

	if (!hot->gen || GUINT16_FROM_BE(port) != flow || hot->retire == hot->gen) {
		if (ipv6)
			turn_over6(index, flow);
		else
			turn_over4(index, flow);
	}
	count(hot, flow, index / (2 * FLOW_WAYS));
}

static void play_honest(struct input *in)
{
	uint8_t step = input_u8(in);

	world->now.mono_ns += (step >> 4) * (NSEC_PER_SEC / 2);
	if (step % 8 == 0)
		drain();
	else if (step % 8 == 1)
		flow_fetcher_read_ringbuf(&world->fetcher, world->now.mono_ns);
	else if (step % 8 == 2)
		flow_fetcher_stash_ringbuf(&world->fetcher);
	else
		play_packet(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	bool honest = input_u8(&in) & 1;

	start();
	while (in.left > 0) {
		if (honest)
			play_honest(&in);
		else
			play_anything(&in);
	}
	if (honest) {
		for (int i = 0; i < N_CPUS; i++)
			world->partitions[i].scan_again = true;
		drain();
		g_assert_cmpmem(world->sent, sizeof(world->sent), world->got, sizeof(world->got));
	}
	stop();
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Life of the flow cache: makes flows of deltas, ends them in time, counts what it holds. Above:
 * fetcher.c; below: cache_table.c finds flows, cache_wheel.c knows when, cache_tcp.c tells the end
 * of TCP.
 */
#include "config.h"

#include "cache.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include <glib.h>

#include "cache_private.h"
#include "merge.h"

#define FLUSH_AHEAD 4 /* flows */

static uint32_t begin_flow(struct cache *cache, struct cache_spot spot, const struct flow_id *id,
			   const struct flow_metrics *delta);
static void move_to_slot(struct cache_entry *entry, uint32_t slot);
static void join(struct cache *cache, uint32_t index, const struct flow_metrics *delta);
static struct dns_record *dns_of(struct cache *cache, uint32_t index);
static void fill_record(const struct cache *cache, const struct cache_entry *entry,
			enum flow_end_reason reason, struct flow_record *record);

struct cache *cache_new(const struct cache_config *config, const struct cache_callbacks *callbacks)
{
	struct cache *cache = g_new0(struct cache, 1);

	cache->config = *config;
	cache->callbacks = *callbacks;
	table_init(cache);
	tcp_init(cache);
	wheel_init(cache);
	return cache;
}

void cache_free(struct cache *cache)
{
	if (!cache)
		return;
	tcp_clear(cache);
	table_clear(cache);
	g_free(cache);
}

void cache_set_timeouts(struct cache *cache, uint64_t active_timeout_ns, uint64_t idle_timeout_ns)
{
	uint64_t now_ns = cache->wheel.tick << cache->wheel.shift;

	cache->config.active_timeout_ns = active_timeout_ns;
	cache->config.idle_timeout_ns = idle_timeout_ns;
	wheel_rebuild(cache, now_ns);
}

uint32_t cache_merge(struct cache *cache, const struct flow_id *id,
		     const struct flow_metrics *delta, uint32_t slot, uint32_t hint)
{
	struct cache_key key = cache_key(cache, id);
	uint32_t index = hint;

	if (!table_is(cache, index, &key)) {
		struct cache_spot spot = table_spot_announced(cache, &key);

		index = table_find(cache, spot, &key);
		if (index == CACHE_NO_SLOT)
			index = begin_flow(cache, spot, id, delta);
	}
	join(cache, index, delta);
	if (slot != CACHE_NO_SLOT)
		move_to_slot(&cache->entries[index], slot);
	return index;
}

void cache_prefetch(struct cache *cache, const struct flow_id *id, uint32_t hint)
{
	struct cache_key key;

	if (hint < cache->n_touched) {
		cache_prefetch_entry(cache, hint);
		return;
	}
	if (!id)
		return;
	key = cache_key(cache, id);
	table_announce(cache, &key);
}

bool cache_merge_dns(struct cache *cache, const struct flow_id *id, const struct dns_record *delta,
		     uint64_t now_mono_ns, bool create)
{
	struct cache_key key = cache_key(cache, id);
	struct cache_spot spot = table_spot(cache, &key);
	uint32_t index = table_find(cache, spot, &key);
	bool found = index != CACHE_NO_SLOT;

	if (!found) {
		struct flow_metrics seen = {.start_ns = now_mono_ns, .end_ns = now_mono_ns};

		if (!create)
			return false;
		index = begin_flow(cache, spot, id, &seen);
	}
	merge_dns(dns_of(cache, index), delta);
	return found;
}

bool cache_update(struct cache *cache, const struct flow_id *id, const struct flow_metrics *delta)
{
	struct cache_key key = cache_key(cache, id);
	struct cache_spot spot = table_spot(cache, &key);
	uint32_t index = table_find(cache, spot, &key);

	if (index == CACHE_NO_SLOT)
		return false;
	join(cache, index, delta);
	return true;
}

void cache_flush(struct cache *cache, enum flow_end_reason reason)
{
	for (uint32_t i = 0; i < cache->n_touched; i++) {
		/* flows lie one behind the other, their lines of the index anywhere */
		if (cache_is_live(cache, i + FLUSH_AHEAD))
			table_prefetch(cache, i + FLUSH_AHEAD);
		if (cache_is_live(cache, i))
			cache_end(cache, i, reason);
	}
}

void cache_foreach(struct cache *cache, bool (*fn)(void *user, struct flow_record *record),
		   void *user)
{
	struct flow_record record = {0};

	for (uint32_t i = 0; i < cache->n_touched; i++) {
		if (!cache_is_live(cache, i))
			continue;
		fill_record(cache, &cache->entries[i], 0, &record);
		if (!fn(user, &record))
			return;
	}
}

const struct cache_stats *cache_stats(const struct cache *cache)
{
	return &cache->stats;
}

/* A connection that is over ends whatever comes first, so that the reason tells what happened. */
struct cache_deadline cache_deadline(const struct cache *cache, const struct cache_entry *entry)
{
	const struct cache_config *config = &cache->config;
	const struct flow_metrics *metrics = &entry->metrics;
	uint64_t rest_ns = config->idle_timeout_ns;
	struct cache_deadline deadline = {.reason = FLOW_END_IDLE};

	if (entry->tcp_ended) {
		rest_ns = MIN(rest_ns, CACHE_LINGER_NS);
		deadline.reason = FLOW_END_DETECTED;
	}
	deadline.ns = metrics->end_ns + rest_ns;
	if (entry->own && !entry->tcp_ended)
		deadline.ns = UINT64_MAX;
	if (config->active_timeout_ns &&
	    metrics->start_ns + config->active_timeout_ns < deadline.ns) {
		deadline.ns = metrics->start_ns + config->active_timeout_ns;
		if (!entry->tcp_ended)
			deadline.reason = FLOW_END_ACTIVE;
	}
	return deadline;
}

void cache_end(struct cache *cache, uint32_t index, enum flow_end_reason reason)
{
	struct cache_entry *entry = &cache->entries[index];
	bool scattered = entry->scattered;
	uint32_t slot = entry->slot;

	fill_record(cache, entry, reason, &cache->record);
	cache->stats.flows--;
	cache->stats.packets -= entry->metrics.packets;
	cache->stats.bytes -= entry->metrics.bytes;
	cache->stats.ended[reason]++;
	wheel_disarm(cache, index);
	table_remove(cache, index);
	cache->callbacks.export_flow(cache->callbacks.user, &cache->record);
	if (scattered)
		cache->callbacks.retire_others(cache->callbacks.user, slot);
	if (slot != CACHE_NO_SLOT)
		cache->callbacks.retire_slot(cache->callbacks.user, slot);
}

static void move_to_slot(struct cache_entry *entry, uint32_t slot)
{
	if (entry->slot != slot && entry->slot != CACHE_NO_SLOT)
		entry->scattered = true;
	entry->slot = slot;
}

/* A flow with the times of its first delta and nothing else yet. */
static uint32_t begin_flow(struct cache *cache, struct cache_spot spot, const struct flow_id *id,
			   const struct flow_metrics *delta)
{
	struct cache_entry *entry;
	uint32_t index;

	if (cache->stats.flows == cache->config.max_flows) {
		index = wheel_soonest(cache);
		wheel_look_ahead(cache, index);
		cache_end(cache, index, FLOW_END_RESOURCES);
	}
	if (cache->stats.flows == 0)
		wheel_start(cache, delta->end_ns);
	index = table_add(cache, spot, id);
	entry = &cache->entries[index];
	entry->metrics.start_ns = delta->start_ns;
	entry->metrics.end_ns = delta->end_ns;
	entry->own = cache->callbacks.is_own && cache->callbacks.is_own(cache->callbacks.user, id);
	wheel_arm(cache, index, cache_deadline(cache, entry).ns);
	cache->stats.flows++;
	cache->stats.created++;
	return index;
}

static void join(struct cache *cache, uint32_t index, const struct flow_metrics *delta)
{
	struct cache_entry *entry = &cache->entries[index];
	struct flow_metrics *metrics = &entry->metrics;
	uint16_t new_flags = delta->tcp_flags & ~metrics->tcp_flags;
	uint64_t armed_ns = cache_deadline(cache, entry).ns;
	uint64_t deadline_ns;

	/* a flow that DNS made has the time of the message until its packets come */
	if (!metrics->packets && !metrics->drops.packets &&
	    (delta->packets || delta->drops.packets)) {
		metrics->start_ns = 0;
		metrics->end_ns = 0;
	}
	merge_metrics(metrics, delta);
	cache->stats.packets += delta->packets;
	cache->stats.bytes += delta->bytes;
	deadline_ns = cache_deadline(cache, entry).ns;
	if (deadline_ns < armed_ns)
		wheel_move(cache, index, deadline_ns);
	if (new_flags & (TH_FIN | TH_RST) && entry->id.protocol == IPPROTO_TCP)
		tcp_closing(cache, index);
}

static struct dns_record *dns_of(struct cache *cache, uint32_t index)
{
	struct cache_entry *entry = &cache->entries[index];

	if (!entry->dns) {
		/* the one that has it for longest gives way, and is exported with all it has */
		if (table_dns_is_full(cache))
			cache_end(cache, table_dns_oldest(cache), FLOW_END_RESOURCES);
		table_add_dns(cache, index);
	}
	return &cache->dns[entry->dns - 1].record;
}

static void fill_record(const struct cache *cache, const struct cache_entry *entry,
			enum flow_end_reason reason, struct flow_record *record)
{
	record->id = entry->id;
	record->metrics = entry->metrics;
	record->end_reason = reason;
	record->has_dns = entry->dns != 0;
	if (entry->dns)
		record->dns = cache->dns[entry->dns - 1].record;
	else
		memset(&record->dns, 0, sizeof(record->dns));
}

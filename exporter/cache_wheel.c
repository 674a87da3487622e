/* SPDX-License-Identifier: MIT */
/*
 * Timers of the flow cache: a hashed timing wheel over lists. Ending what is due costs what is due,
 * plus one look at each other flow per timeout.
 */
#include "config.h"

#include <glib.h>

#include "cache_private.h"

#define WHEEL_MIN_SHIFT 20 /* 1 ms */

static void choose_tick(struct cache *cache, uint64_t now_ns);
static struct cache_links *links_of(struct cache *cache, uint32_t ref);
static uint64_t place_of(const struct cache_wheel *wheel, uint64_t deadline_ns);
static void pass_slot(struct cache *cache, uint64_t tick, uint64_t now_mono_ns);

void wheel_init(struct cache *cache)
{
	choose_tick(cache, 0);
}

void wheel_start(struct cache *cache, uint64_t now_ns)
{
	struct cache_wheel *wheel = &cache->wheel;

	wheel->tick = MAX(wheel->tick, now_ns >> wheel->shift);
	wheel->soonest = wheel->tick;
}

void wheel_rebuild(struct cache *cache, uint64_t now_ns)
{
	choose_tick(cache, now_ns);
	for (uint32_t i = 0; i < cache->n_touched; i++)
		if (cache_is_live(cache, i))
			wheel_arm(cache, i, cache_deadline(cache, &cache->entries[i]).ns);
}

void wheel_arm(struct cache *cache, uint32_t index, uint64_t deadline_ns)
{
	struct cache_wheel *wheel = &cache->wheel;
	uint64_t tick = place_of(wheel, deadline_ns);
	uint32_t ref = WHEEL_BASE + (uint32_t)(tick % WHEEL_SLOTS);
	struct cache_links *slot = &wheel->slot[ref - WHEEL_BASE];
	struct cache_links *links = &cache->entries[index].links;

	links->prev = slot->prev;
	links->next = ref;
	links_of(cache, slot->prev)->next = index;
	slot->prev = index;
	wheel->soonest = MIN(wheel->soonest, tick);
}

void wheel_disarm(struct cache *cache, uint32_t index)
{
	struct cache_links *links = &cache->entries[index].links;

	links_of(cache, links->prev)->next = links->next;
	links_of(cache, links->next)->prev = links->prev;
}

void wheel_move(struct cache *cache, uint32_t index, uint64_t deadline_ns)
{
	wheel_disarm(cache, index);
	wheel_arm(cache, index, deadline_ns);
}

uint32_t wheel_soonest(struct cache *cache)
{
	struct cache_wheel *wheel = &cache->wheel;

	for (;;) {
		uint32_t first = wheel->slot[wheel->soonest % WHEEL_SLOTS].next;
		uint64_t deadline_ns;

		if (first >= WHEEL_BASE) {
			wheel->soonest++;
			continue;
		}
		deadline_ns = cache_deadline(cache, &cache->entries[first]).ns;
		if (place_of(wheel, deadline_ns) <= wheel->soonest)
			return first;
		wheel_move(cache, first, deadline_ns);
	}
}

void cache_expire(struct cache *cache, uint64_t now_mono_ns)
{
	struct cache_wheel *wheel = &cache->wheel;
	uint64_t now_tick = now_mono_ns >> wheel->shift;
	uint64_t tick = wheel->tick;

	if (now_tick < tick) {
		/* a packet from the future moved the wheel */
		wheel_rebuild(cache, now_mono_ns);
		tick = now_tick;
	}
	if (now_tick - tick >= WHEEL_SLOTS)
		tick = now_tick - (WHEEL_SLOTS - 1);
	wheel->tick = now_tick;
	wheel->soonest = MAX(wheel->soonest, now_tick);
	for (; tick <= now_tick; tick++)
		pass_slot(cache, tick, now_mono_ns);
}

/* Ends the flows of a slot that are due and moves the others on; those that come back to the same
 * slot go behind the last one. */
static void pass_slot(struct cache *cache, uint64_t tick, uint64_t now_mono_ns)
{
	struct cache_links *slot = &cache->wheel.slot[tick % WHEEL_SLOTS];
	uint32_t last = slot->prev;
	uint32_t index;

	if (last >= WHEEL_BASE)
		return;
	do {
		struct cache_deadline deadline;

		index = slot->next;
		wheel_look_ahead(cache, index);
		deadline = cache_deadline(cache, &cache->entries[index]);
		if (deadline.ns <= now_mono_ns)
			cache_end(cache, index, deadline.reason);
		else
			wheel_move(cache, index, deadline.ns);
	} while (index != last);
}

/* Who is next needs its line of the index and its slot, and the one behind it must be on its way.
 */
void wheel_look_ahead(struct cache *cache, uint32_t index)
{
	uint32_t next = cache->entries[index].links.next;
	const struct cache_entry *entry;

	if (next >= WHEEL_BASE)
		return;
	entry = &cache->entries[next];
	table_prefetch(cache, next);
	if (cache->callbacks.prefetch_slot && entry->slot != CACHE_NO_SLOT)
		cache->callbacks.prefetch_slot(cache->callbacks.user, entry->slot);
	cache_prefetch_entry(cache, entry->links.next);
}

/* The wheel goes round in twice the longest timeout. */
static void choose_tick(struct cache *cache, uint64_t now_ns)
{
	struct cache_wheel *wheel = &cache->wheel;
	uint64_t longest = MAX(cache->config.active_timeout_ns, cache->config.idle_timeout_ns);

	wheel->shift = WHEEL_MIN_SHIFT;
	while (longest >> wheel->shift >= WHEEL_SLOTS / 2)
		wheel->shift++;
	wheel->tick = now_ns >> wheel->shift;
	wheel->soonest = wheel->tick;
	for (uint32_t i = 0; i < WHEEL_SLOTS; i++)
		wheel->slot[i].next = wheel->slot[i].prev = WHEEL_BASE + i;
}

static struct cache_links *links_of(struct cache *cache, uint32_t ref)
{
	if (ref >= WHEEL_BASE)
		return &cache->wheel.slot[ref - WHEEL_BASE];
	return &cache->entries[ref].links;
}

/* The tick of a deadline, as far as the wheel reaches. */
static uint64_t place_of(const struct cache_wheel *wheel, uint64_t deadline_ns)
{
	return CLAMP(deadline_ns >> wheel->shift, wheel->tick, wheel->tick + WHEEL_SLOTS - 1);
}

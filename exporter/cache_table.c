/* SPDX-License-Identifier: MIT */
/*
 * Memory and hash index of the flow cache, and its pool of DNS records. Everything is allocated at
 * the start; but for the index, what was never used stays untouched, so an idle daemon doesn't pay
 * for it. A bucket of the index is a cache line of places with some bits of the hash, so that a
 * look-up waits for the line and, if the flow is there, for its entry, but for no other.
 */
#include "config.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include <glib.h>

#include "cache_private.h"

#ifndef MADV_POPULATE_WRITE /* glibc before 2.35 */
#define MADV_POPULATE_WRITE 23
#endif

#define DNS_MIN	  1024
#define HUGE_PAGE ((size_t)2 << 20)

/* 9.1 flows in a full cache: one line in 50 overflows */
#define LINE_OCTETS_PER_FLOW 7

static void *allocate(size_t n, size_t size);
static void populate(void *memory, size_t length);
static void release(void *memory, size_t n, size_t size);
static size_t round_up(size_t length);
static void unlink_overflow(struct cache *cache, uint32_t index);

void table_init(struct cache *cache)
{
	uint32_t max_flows = cache->config.max_flows;
	struct flow_id mask;

	g_assert(max_flows > 0 && max_flows < WHEEL_BASE / 2);
	if (getrandom(&cache->hash_key, sizeof(cache->hash_key), 0) != sizeof(cache->hash_key))
		g_error("getrandom: the kernel gives no random numbers");

	memset(&mask, 0xff, sizeof(mask));
	mask.tos = 0xfc; /* ECN is the first packet's, not key */
	memset(mask.pad, 0, sizeof(mask.pad));
	memcpy(cache->key_mask.word, &mask, sizeof(mask));

	cache->entries = allocate(max_flows, sizeof(*cache->entries));
	cache->place_mask = UINT32_MAX >> __builtin_clz(max_flows);
	cache->n_lines = 1 + (uint32_t)((uint64_t)max_flows * LINE_OCTETS_PER_FLOW /
					sizeof(struct cache_line));
	cache->lines = allocate(cache->n_lines, sizeof(*cache->lines));
	populate(cache->lines, cache->n_lines * sizeof(*cache->lines));
	cache->n_dns = MIN(MAX(max_flows / 8, DNS_MIN), max_flows);
	cache->dns = allocate(cache->n_dns, sizeof(*cache->dns));
}

void table_clear(struct cache *cache)
{
	release(cache->entries, cache->config.max_flows, sizeof(*cache->entries));
	release(cache->lines, cache->n_lines, sizeof(*cache->lines));
	release(cache->dns, cache->n_dns, sizeof(*cache->dns));
}

/* Spreads the upper half of the hash over a number of lines that is no power of two. */
struct cache_spot table_spot(struct cache *cache, const struct cache_key *key)
{
	uint64_t hash = siphash_words(&cache->hash_key, key->word, CACHE_KEY_WORDS, 1, 3);
	struct cache_spot spot = {
		.line = &cache->lines[((hash >> 32) * cache->n_lines) >> 32],
		.tag = (uint32_t)hash & ~cache->place_mask,
	};

	return spot;
}

static struct cache_ahead *ahead_of(struct cache *cache, const struct cache_key *key)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < CACHE_KEY_WORDS; i++)
		sum += key->word[i];
	return &cache->ahead[sum * 0x9e3779b97f4a7c15ull >> 32 & (CACHE_AHEAD - 1)];
}

void table_announce(struct cache *cache, const struct cache_key *key)
{
	struct cache_ahead *ahead = ahead_of(cache, key);

	ahead->key = *key;
	ahead->spot = table_spot(cache, key);
	__builtin_prefetch(ahead->spot.line, 1);
}

struct cache_spot table_spot_announced(struct cache *cache, const struct cache_key *key)
{
	const struct cache_ahead *ahead = ahead_of(cache, key);

	return ahead->spot.line && memcmp(&ahead->key, key, sizeof(*key)) == 0
		       ? ahead->spot
		       : table_spot(cache, key);
}

uint32_t table_find(struct cache *cache, struct cache_spot spot, const struct cache_key *key)
{
	uint32_t place;

	for (unsigned int i = 0; i < CACHE_LINE_WAYS; i++) {
		place = spot.line->ways[i] ^ spot.tag;
		/* what is more than a place has another tag; an empty way is never live */
		if (place <= cache->place_mask && table_is(cache, place - 1, key))
			return place - 1;
	}
	for (place = spot.line->overflow; place; place = cache->entries[place - 1].hash_next)
		if (table_is(cache, place - 1, key))
			return place - 1;
	return CACHE_NO_SLOT;
}

uint32_t table_add(struct cache *cache, struct cache_spot spot, const struct flow_id *id)
{
	uint32_t index = cache->free_head - 1;
	struct cache_entry *entry;
	unsigned int way = 0;

	if (cache->free_head) {
		cache->free_head = cache->entries[index].hash_next;
		cache_prefetch_entry(cache, cache->free_head - 1);
	} else {
		index = cache->n_touched++;
	}
	entry = &cache->entries[index];
	memset(entry, 0, sizeof(*entry));
	entry->id = *id;
	entry->slot = CACHE_NO_SLOT;

	while (way < CACHE_LINE_WAYS && spot.line->ways[way])
		way++;
	if (way < CACHE_LINE_WAYS) {
		spot.line->ways[way] = spot.tag | (index + 1);
		entry->way = (uint32_t)(spot.line - cache->lines) * CACHE_LINE_WORDS + way;
		entry->in_way = true;
	} else {
		entry->hash_next = spot.line->overflow;
		spot.line->overflow = index + 1;
	}
	return index;
}

void table_remove(struct cache *cache, uint32_t index)
{
	struct cache_entry *entry = &cache->entries[index];

	if (entry->in_way)
		cache->lines[entry->way / CACHE_LINE_WORDS].ways[entry->way % CACHE_LINE_WORDS] = 0;
	else
		unlink_overflow(cache, index);
	if (entry->dns) {
		cache->dns[entry->dns - 1].free_next = cache->dns_free_head;
		cache->dns_free_head = entry->dns;
	}
	entry->links.prev = CACHE_FREE;
	entry->hash_next = cache->free_head;
	cache->free_head = index + 1;
}

static void unlink_overflow(struct cache *cache, uint32_t index)
{
	struct cache_key key = cache_key(cache, &cache->entries[index].id);
	uint32_t *link = &table_spot(cache, &key).line->overflow;

	while (*link != index + 1)
		link = &cache->entries[*link - 1].hash_next;
	*link = cache->entries[index].hash_next;
}

bool table_dns_is_full(const struct cache *cache)
{
	return !cache->dns_free_head && cache->n_dns_touched == cache->n_dns;
}

uint32_t table_dns_oldest(struct cache *cache)
{
	uint32_t place = cache->dns_hand;

	cache->dns_hand = (place + 1) % cache->n_dns;
	return cache->dns[place].owner;
}

void table_add_dns(struct cache *cache, uint32_t index)
{
	uint32_t place = cache->dns_free_head - 1;

	if (cache->dns_free_head)
		cache->dns_free_head = cache->dns[place].free_next;
	else
		place = cache->n_dns_touched++;
	memset(&cache->dns[place], 0, sizeof(cache->dns[place]));
	cache->dns[place].owner = index;
	cache->entries[index].dns = place + 1;
}

/* Zeros. Huge pages where the system grants them: flows lie in random order, and looking up a small
 * page costs as much as the flow. Only whole aligned ones can be had, so what is mapped too much is
 * given back. */
static void *allocate(size_t n, size_t size)
{
	size_t length = round_up(n * size);
	char *mapped = mmap(NULL, length + HUGE_PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *memory = (char *)round_up((uintptr_t)mapped);

	if (mapped == MAP_FAILED)
		g_error("no memory for a flow cache of %zu octets", n * size);
	if (memory > mapped)
		munmap(mapped, (size_t)(memory - mapped));
	munmap(memory + length, (size_t)(mapped + HUGE_PAGE - memory));
	madvise(memory, length, MADV_HUGEPAGE);
	return memory;
}

/* Memory that is looked at before it is written would be mapped twice: a page of zeros first. Where
 * the kernel can't do this (before 5.14), that is what it does. */
static void populate(void *memory, size_t length)
{
	madvise(memory, length, MADV_POPULATE_WRITE);
}

static void release(void *memory, size_t n, size_t size)
{
	munmap(memory, round_up(n * size));
}

static size_t round_up(size_t length)
{
	return (length + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
}

/* SPDX-License-Identifier: MIT */
/*
 * Memory and hash index of the flow cache, and its pool of DNS records. Everything is allocated at
 * the start; what was never used stays untouched, so an idle daemon doesn't pay for it.
 */
#include "config.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include <glib.h>

#include "cache_private.h"

#define DNS_MIN 1024

static void *allocate(size_t n, size_t size);
static void release(void *memory, size_t n, size_t size);
static uint32_t *bucket_of(struct cache *cache, const struct cache_key *key);

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
	cache->n_buckets = max_flows + max_flows / 2;
	cache->buckets = allocate(cache->n_buckets, sizeof(*cache->buckets));
	cache->n_dns = MIN(MAX(max_flows / 8, DNS_MIN), max_flows);
	cache->dns = allocate(cache->n_dns, sizeof(*cache->dns));
}

void table_clear(struct cache *cache)
{
	release(cache->entries, cache->config.max_flows, sizeof(*cache->entries));
	release(cache->buckets, cache->n_buckets, sizeof(*cache->buckets));
	release(cache->dns, cache->n_dns, sizeof(*cache->dns));
}

uint32_t table_find(struct cache *cache, const struct cache_key *key)
{
	uint32_t place = *bucket_of(cache, key);

	while (place && !table_is(cache, place - 1, key))
		place = cache->entries[place - 1].hash_next;
	return place - 1;
}

uint32_t table_add(struct cache *cache, const struct flow_id *id, const struct cache_key *key)
{
	uint32_t *bucket = bucket_of(cache, key);
	uint32_t index = cache->free_head - 1;
	struct cache_entry *entry;

	if (cache->free_head)
		cache->free_head = cache->entries[index].hash_next;
	else
		index = cache->n_touched++;
	entry = &cache->entries[index];
	memset(entry, 0, sizeof(*entry));
	entry->id = *id;
	entry->slot = CACHE_NO_SLOT;
	entry->hash_next = *bucket;
	*bucket = index + 1;
	return index;
}

void table_remove(struct cache *cache, uint32_t index)
{
	struct cache_entry *entry = &cache->entries[index];
	struct cache_key key = cache_key(cache, &entry->id);
	uint32_t *place = bucket_of(cache, &key);

	while (*place != index + 1)
		place = &cache->entries[*place - 1].hash_next;
	*place = entry->hash_next;
	if (entry->dns) {
		cache->dns[entry->dns - 1].free_next = cache->dns_free_head;
		cache->dns_free_head = entry->dns;
	}
	entry->links.prev = CACHE_FREE;
	entry->hash_next = cache->free_head;
	cache->free_head = index + 1;
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
 * page costs as much as the flow. */
static void *allocate(size_t n, size_t size)
{
	void *memory =
		mmap(NULL, n * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		g_error("no memory for a flow cache of %zu octets", n * size);
	madvise(memory, n * size, MADV_HUGEPAGE);
	return memory;
}

static void release(void *memory, size_t n, size_t size)
{
	munmap(memory, n * size);
}

/* Spreads the hash over a number of buckets that is no power of two. */
static uint32_t *bucket_of(struct cache *cache, const struct cache_key *key)
{
	uint64_t hash = siphash_words(&cache->hash_key, key->word, CACHE_KEY_WORDS, 1, 3);

	return &cache->buckets[((hash >> 32) * cache->n_buckets) >> 32];
}

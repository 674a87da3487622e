/* SPDX-License-Identifier: MIT */
/*
 * Inside of the flow cache: cache.c (merge and end), cache_wheel.c (timers), cache_tcp.c (end of
 * TCP). Entries lie in one array and are named by their place in it; 192 octets per flow, index and
 * timer included, DNS aside.
 */
#ifndef BPFLOWD_CACHE_PRIVATE_H
#define BPFLOWD_CACHE_PRIVATE_H

#include <string.h>

#include "cache.h"
#include "siphash.h"

#define CACHE_FREE UINT32_MAX /* links.prev of an entry that holds no flow */

#define WHEEL_SLOTS 4096
#define WHEEL_BASE  0x80000000u /* links from here on name slots of the wheel, below: entries */

/* Flows whose TCP connection is over end when no packet came for so long: two default drains, so
 * that the last ACK, or what a drain finds late, still joins. */
#define CACHE_LINGER_NS (2 * NSEC_PER_SEC)

struct cache_links {
	uint32_t next;
	uint32_t prev;
};

struct cache_entry {
	struct flow_id id;
	union {
		uint32_t way;	    /* that names it: CACHE_LINE_WORDS for each line before it */
		uint32_t hash_next; /* place + 1 of the next in the overflow or the free list, 0:
				       none */
	};
	struct flow_metrics metrics;
	struct cache_links links; /* in the list of a wheel slot */
	uint32_t slot;
	uint32_t dns : 28;	/* place + 1 in the pool, 0: none */
	uint32_t in_way : 1;	/* of the index, not in its overflow */
	uint32_t own : 1;	/* carries our own export */
	uint32_t scattered : 1; /* merged from several slots */
	uint32_t tcp_ended : 1;
};

_Static_assert(sizeof(struct cache_entry) == 184, "with 7.5 octets of index 192 per flow");

/* A bucket of the hash index. */
#define CACHE_LINE_WAYS	 15
#define CACHE_LINE_WORDS 16
struct cache_line {
	uint32_t ways[CACHE_LINE_WAYS]; /* place + 1, bits of the hash above; 0: empty */
	uint32_t overflow;		/* place + 1 of the first that found no way */
};

_Static_assert(sizeof(struct cache_line) == 4 * CACHE_LINE_WORDS && sizeof(struct cache_line) == 64,
	       "a look-up reads one cache line");

/* Where in the index a flow belongs. */
struct cache_spot {
	struct cache_line *line;
	uint32_t tag;
};

struct cache_dns {
	struct dns_record record;
	uint32_t owner;	    /* entry */
	uint32_t free_next; /* place + 1 */
};

/* What of a flow_id tells flows apart, as words. */
#define CACHE_KEY_WORDS ((sizeof(struct flow_id) + 7) / 8)
struct cache_key {
	uint64_t word[CACHE_KEY_WORDS];
};

/* Spots of flows that were announced (cache_prefetch): a key is hashed once. */
#define CACHE_AHEAD 32
struct cache_ahead {
	struct cache_key key;
	struct cache_spot spot; /* line NULL: none */
};

/* A hashed timing wheel of lists. A flow lies in the slot of a tick not after its deadline: packets
 * that push the deadline out don't touch it, it moves on when the slot comes round. */
struct cache_wheel {
	unsigned int shift; /* a tick is 2^shift ns */
	uint64_t tick;	    /* nothing lies before */
	uint64_t soonest;   /* slots from tick to before this one are empty */
	struct cache_links slot[WHEEL_SLOTS];
};

struct cache_deadline {
	uint64_t ns;
	enum flow_end_reason reason;
};

struct cache {
	struct cache_config config;
	struct cache_callbacks callbacks;
	struct cache_stats stats;
	struct siphash_key hash_key;
	struct cache_key key_mask;
	struct cache_entry *entries;
	uint32_t n_touched; /* entries from here on were never used */
	uint32_t free_head; /* place + 1 */
	struct cache_line *lines;
	uint32_t n_lines;
	uint32_t place_mask; /* bits of a way that are the place */
	struct cache_dns *dns;
	uint32_t n_dns;
	uint32_t n_dns_touched;
	uint32_t dns_free_head; /* place + 1 */
	uint32_t dns_hand;	/* the next to give way when the pool is full */
	uint32_t *closing;	/* cache_tcp.c: place + 1 */
	uint32_t closing_mask;	/* in buckets of CLOSING_WAYS */
	struct cache_wheel wheel;
	struct cache_ahead ahead[CACHE_AHEAD];
	struct flow_record record; /* given to export_flow */
};

static inline bool cache_is_live(const struct cache *cache, uint32_t index)
{
	return index < cache->n_touched && cache->entries[index].links.prev != CACHE_FREE;
}

/* Zero where the octets of id don't tell flows apart. */
static inline struct cache_key cache_key(const struct cache *cache, const struct flow_id *id)
{
	struct cache_key key = {0};

	memcpy(key.word, id, sizeof(*id));
	for (size_t i = 0; i < CACHE_KEY_WORDS; i++)
		key.word[i] &= cache->key_mask.word[i];
	return key;
}

/* Whether that flow lies there; index may be anything. */
static inline bool table_is(const struct cache *cache, uint32_t index, const struct cache_key *key)
{
	struct cache_key other;

	if (!cache_is_live(cache, index))
		return false;
	other = cache_key(cache, &cache->entries[index].id);
	return memcmp(&other, key, sizeof(other)) == 0;
}

/* GCC leaves out calls of a function that only prefetches: it takes it for pure. */
__attribute__((always_inline)) static inline void cache_prefetch_entry(const struct cache *cache,
								       uint32_t index)
{
	const char *entry = (const char *)&cache->entries[index];

	if (index >= cache->n_touched)
		return;
	__builtin_prefetch(entry, 1);
	__builtin_prefetch(entry + 64, 1);
	__builtin_prefetch(entry + 128, 1);
	__builtin_prefetch(entry + sizeof(struct cache_entry) - 1, 1);
}

/* What table_remove will touch beside the entry, which is here already. */
__attribute__((always_inline)) static inline void table_prefetch(const struct cache *cache,
								 uint32_t index)
{
	const struct cache_entry *entry = &cache->entries[index];

	if (entry->in_way)
		__builtin_prefetch(&cache->lines[entry->way / CACHE_LINE_WORDS], 1);
}

struct cache_deadline cache_deadline(const struct cache *cache, const struct cache_entry *entry);

/* Takes a flow out and exports it. */
void cache_end(struct cache *cache, uint32_t index, enum flow_end_reason reason);

/* cache_table.c */
void table_init(struct cache *cache);
void table_clear(struct cache *cache);
struct cache_spot table_spot(struct cache *cache, const struct cache_key *key);
/* Fetches the line of a flow that comes soon and keeps the spot, for as long as few others come. */
void table_announce(struct cache *cache, const struct cache_key *key);
/* Spot of a flow that may have been announced. */
struct cache_spot table_spot_announced(struct cache *cache, const struct cache_key *key);
/* The flow of that key, or CACHE_NO_SLOT. */
uint32_t table_find(struct cache *cache, struct cache_spot spot, const struct cache_key *key);
/* There must be room, see stats.flows; the new flow isn't in the wheel yet. */
uint32_t table_add(struct cache *cache, struct cache_spot spot, const struct flow_id *id);
void table_remove(struct cache *cache, uint32_t index);
bool table_dns_is_full(const struct cache *cache);
uint32_t table_dns_oldest(struct cache *cache); /* the flow that should give way */
void table_add_dns(struct cache *cache, uint32_t index);

/* cache_wheel.c */
void wheel_init(struct cache *cache);
void wheel_start(struct cache *cache, uint64_t now_ns); /* an empty wheel */
/* Chooses the length of a tick for the timeouts and puts every flow where it belongs. */
void wheel_rebuild(struct cache *cache, uint64_t now_ns);
void wheel_arm(struct cache *cache, uint32_t index, uint64_t deadline_ns);
void wheel_disarm(struct cache *cache, uint32_t index);
void wheel_move(struct cache *cache, uint32_t index, uint64_t deadline_ns);
/* The flow that ends first, to the tick; there must be one. */
uint32_t wheel_soonest(struct cache *cache);
/* Fetches what the end of the flow behind this one will touch. */
void wheel_look_ahead(struct cache *cache, uint32_t index);

/* cache_tcp.c */
void tcp_init(struct cache *cache);
void tcp_clear(struct cache *cache);
/* FIN or RST was seen for the first time: marks this flow, and those of the other direction, as
 * ended where that is so. */
void tcp_closing(struct cache *cache, uint32_t index);

#endif

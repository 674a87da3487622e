/* SPDX-License-Identifier: MIT */
/*
 * End of TCP for the flow cache: RST ends a flow, FIN ends it when the other direction closed too.
 * The other direction may be counted at another interface, in another namespace and with another
 * DSCP, so its key can't be guessed: flows that close are put in a small table by addresses and
 * ports alone. It is not exact, it forgets under pressure (then the idle timeout ends the flow) and
 * is verified at each use, so nothing has to be taken out.
 */
#include "config.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include <glib.h>

#include "cache_private.h"

#define CLOSING_WAYS 4
#define CLOSE_FLAGS  (TH_FIN | TH_RST)

static uint32_t *closing_bucket(struct cache *cache, const struct flow_id *id, uint64_t *hash);
static bool is_reverse(const struct flow_id *a, const struct flow_id *b);
static void mark_ended(struct cache *cache, uint32_t index);

void tcp_init(struct cache *cache)
{
	uint32_t n_buckets = 16;

	/* at most half an octet per flow */
	while (n_buckets * 2 * CLOSING_WAYS <= cache->config.max_flows / 8)
		n_buckets *= 2;
	cache->closing = g_new0(uint32_t, (size_t)n_buckets * CLOSING_WAYS);
	cache->closing_mask = n_buckets - 1;
}

void tcp_clear(struct cache *cache)
{
	g_free(cache->closing);
}

void tcp_closing(struct cache *cache, uint32_t index)
{
	struct cache_entry *entry = &cache->entries[index];
	uint64_t hash;
	uint32_t *ways = closing_bucket(cache, &entry->id, &hash);
	uint32_t *place = &ways[hash >> 62];
	bool ended = entry->metrics.tcp_flags & TH_RST;

	for (unsigned int i = 0; i < CLOSING_WAYS; i++) {
		uint32_t other = ways[i] - 1; /* an empty way is never live */

		if (other == index || !cache_is_live(cache, other) ||
		    !(cache->entries[other].metrics.tcp_flags & CLOSE_FLAGS)) {
			place = &ways[i];
			continue;
		}
		if (is_reverse(&entry->id, &cache->entries[other].id)) {
			mark_ended(cache, other);
			ended = true;
		}
	}
	*place = index + 1;
	if (ended)
		mark_ended(cache, index);
}

/* The same for both directions: the lower end first. */
static uint32_t *closing_bucket(struct cache *cache, const struct flow_id *id, uint64_t *hash)
{
	bool swap = memcmp(id->src_addr, id->dst_addr, sizeof(id->src_addr)) > 0 ||
		    (memcmp(id->src_addr, id->dst_addr, sizeof(id->src_addr)) == 0 &&
		     id->src_port > id->dst_port);
	uint64_t words[5] = {0};

	memcpy(&words[0], swap ? id->dst_addr : id->src_addr, sizeof(id->src_addr));
	memcpy(&words[2], swap ? id->src_addr : id->dst_addr, sizeof(id->src_addr));
	words[4] = (uint64_t)(swap ? id->dst_port : id->src_port) << 16 |
		   (swap ? id->src_port : id->dst_port);
	*hash = siphash_words(&cache->hash_key, words, G_N_ELEMENTS(words), 1, 3);
	return &cache->closing[(size_t)(*hash & cache->closing_mask) * CLOSING_WAYS];
}

static bool is_reverse(const struct flow_id *a, const struct flow_id *b)
{
	return a->src_port == b->dst_port && a->dst_port == b->src_port &&
	       a->eth_proto == b->eth_proto && a->protocol == b->protocol &&
	       memcmp(a->src_addr, b->dst_addr, sizeof(a->src_addr)) == 0 &&
	       memcmp(a->dst_addr, b->src_addr, sizeof(a->dst_addr)) == 0;
}

static void mark_ended(struct cache *cache, uint32_t index)
{
	struct cache_entry *entry = &cache->entries[index];

	if (entry->tcp_ended)
		return;
	entry->tcp_ended = 1;
	wheel_move(cache, index, cache_deadline(cache, entry).ns);
}

/* SPDX-License-Identifier: MIT */
/*
 * The flow cache: merges what the fetcher takes from the kernel into flows, and ends them (RFC 7011
 * terms): active and idle timeout, end of TCP, forced end, lack of resources. Pure: time is an
 * argument. Memory is taken once, in cache_new. Above: fetcher.c; below: record.c.
 */
#ifndef BPFLOWD_CACHE_H
#define BPFLOWD_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "record.h"

#define CACHE_NO_SLOT UINT32_MAX
#define CACHE_NO_HINT UINT32_MAX

struct cache;

struct cache_config {
	uint32_t max_flows; /* flows held; when full, the one that ends soonest is exported early
			       (reason 5) */
	uint64_t active_timeout_ns; /* 0: off */
	uint64_t idle_timeout_ns;
};

struct cache_callbacks {
	/* A flow ended. id, metrics, end_reason, has_dns and dns are set, the derived part is not.
	 */
	void (*export_flow)(void *user, struct flow_record *record);
	/* The kernel slot (as given to cache_merge) of a flow that ended: the next packet should
	 * begin a new tenancy. */
	void (*retire_slot)(void *user, uint32_t slot);
	/* The flow lay in other slots too (other CPUs saw its packets): the same for these. */
	void (*retire_others)(void *user, uint32_t slot);
	/* Whether a flow that begins carries our own export. Such a flow doesn't end for idleness:
	 * a record about it is traffic of it, and would be answered by the next one. NULL: none
	 * does. */
	bool (*is_own)(void *user, const struct flow_id *id);
	/* The slot of a flow that may end soon: retire_slot will touch it. NULL: no need. */
	void (*prefetch_slot)(void *user, uint32_t slot);
	void *user;
};

struct cache_stats {
	uint32_t flows;	  /* held now */
	uint64_t packets; /* in flows held now */
	uint64_t bytes;
	uint64_t created;
	uint64_t ended[FLOW_END_RESOURCES + 1]; /* by enum flow_end_reason */
};

/* callbacks is copied. */
struct cache *cache_new(const struct cache_config *config, const struct cache_callbacks *callbacks);
void cache_free(struct cache *cache); /* flows still held are dropped: cache_flush first */

/* New limits apply from the next cache_expire on; max_flows can't change. */
void cache_set_timeouts(struct cache *cache, uint64_t active_timeout_ns, uint64_t idle_timeout_ns);

/* Adds a delta to its flow, by the merge rules of fields.def; makes the flow if there is none.
 * slot: where it lies in the kernel, or CACHE_NO_SLOT. hint: in, what an earlier merge of the same
 * slot returned, or CACHE_NO_HINT; a wrong hint costs a look-up, nothing else. Returns the hint for
 * the next time. */
uint32_t cache_merge(struct cache *cache, const struct flow_id *id,
		     const struct flow_metrics *delta, uint32_t slot, uint32_t hint);

/* Says that this merge comes soon: some deltas ahead it saves the wait for memory. Changes nothing,
 * whatever the hint. id may be NULL: then only the hint helps. */
void cache_prefetch(struct cache *cache, const struct flow_id *id, uint32_t hint);

/* Adds a DNS transaction. With create false only to a flow that exists; returns whether it found
 * one. */
bool cache_merge_dns(struct cache *cache, const struct flow_id *id, const struct dns_record *delta,
		     uint64_t now_mono_ns, bool create);

/* Adds to a flow that exists (RTT); returns whether it does. */
bool cache_update(struct cache *cache, const struct flow_id *id, const struct flow_metrics *delta);

/* Ends what is due at now_mono_ns. Call it after each drain. */
void cache_expire(struct cache *cache, uint64_t now_mono_ns);

/* Ends every flow now. */
void cache_flush(struct cache *cache, enum flow_end_reason reason);

/* Calls fn for every flow held, with a record as in export_flow (end_reason 0); fn returns false to
 * stop. */
void cache_foreach(struct cache *cache, bool (*fn)(void *user, struct flow_record *record),
		   void *user);

const struct cache_stats *cache_stats(const struct cache *cache);

#endif

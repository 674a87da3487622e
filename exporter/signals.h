/* SPDX-License-Identifier: MIT */
/*
 * Drops, DNS and RTT on their way from the fetcher's events into the flows of the cache, and into
 * totals for /metrics. Events wait until the drain has brought the packets that came before them:
 * then their flows exist. Pure. Above: fetcher.c; below: cache.c.
 */
#ifndef BPFLOWD_SIGNALS_H
#define BPFLOWD_SIGNALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache.h"
#include "metrics.h"

struct signals;

/* Where packets that pass a device may be counted. */
struct signals_place {
	uint32_t ifindex;
	uint16_t vlan;
	uint16_t inner_vlan;
};

struct signals_callbacks {
	/*
	 * The devices at or under ifindex (VLAN device, bond, bridge) that are hooked, with the
	 * VLAN ids that packets of ifindex have there; with ifindex 0 every hooked device of the
	 * namespace. Returns how many were written. May be NULL.
	 */
	size_t (*places)(void *user, uint8_t netns, uint32_t ifindex, struct signals_place *places,
			 size_t max);
	/* What the interface is called, "" if unknown. May be NULL. */
	const char *(*name)(void *user, uint8_t netns, uint32_t ifindex);
	void *user;
};

struct signals *signals_new(struct cache *cache, const struct signals_callbacks *callbacks);
void signals_free(struct signals *signals); /* NULL is fine */

/* For flow_fetcher_callbacks.event: user is the struct signals. Keeps a copy. */
void signals_event(void *user, const struct flow_event *event, size_t size);

/* Brings what waits into the cache: after each drain, before cache_expire. */
void signals_apply(struct signals *signals);

/* By name: indices of sessions that come and go are without end. */
struct signals_drops {
	uint8_t netns;
	char interface[RECORD_INTERFACE_NAME_MAX]; /* where the flow is counted, "": unknown, or one
						      more than we list */
	uint32_t cause;
	uint64_t packets;
	uint64_t bytes;
};

/* Totals since the start, in no order. */
void signals_foreach_drops(const struct signals *signals,
			   void (*fn)(void *user, const struct signals_drops *drops), void *user);

struct signals_stats {
	struct histogram dns_latency;
	struct histogram server_rtt; /* handshakes */
	struct histogram client_rtt;
	uint64_t dns_unanswered;
	uint64_t dns_errors;
	uint64_t drops_unplaced; /* packets of no known flow whose namespace nothing told */
	uint64_t rtt_unplaced;	 /* handshakes, per direction, whose flow never came */
};
const struct signals_stats *signals_stats(const struct signals *signals);

#endif

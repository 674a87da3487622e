/* SPDX-License-Identifier: MIT */
/*
 * From the actors' own counters to metrics: one function per struct, so that daemon.c only loops.
 * Below: metrics.c.
 */
#ifndef BPFLOWD_REPORT_H
#define BPFLOWD_REPORT_H

#include <stdint.h>

#include "cache.h"
#include "collector.h"
#include "fetcher.h"
#include "interfaces.h"
#include "metrics.h"

/* What daemon.c counts for an interface as deltas come by. By enum flow_direction. */
struct report_traffic {
	uint64_t packets[2];
	uint64_t octets[2];
	const char *attached[2]; /* flow_fetcher_attached */
	const char *netns;	 /* interfaces_netns_name */
};

/* What daemon.c counts as flows end and events come by; histogram_init the three. */
struct report_process {
	uint64_t start_real_ns;
	uint64_t reloads;
	uint64_t failed_reloads;
	uint64_t dns_unanswered;
	uint64_t dns_errors;
	struct histogram drain_duration;
	struct histogram dns_latency;
	struct histogram server_rtt;
	struct histogram client_rtt;
};

void report_process(struct metrics *metrics, const struct report_process *process);
void report_fetcher(struct metrics *metrics, const struct flow_counters *counters,
		    const struct flow_fetcher_usage *usage);
void report_interface(struct metrics *metrics, const struct interface *interface,
		      const struct report_traffic *traffic);
void report_cache(struct metrics *metrics, const struct cache_stats *stats);

/* skipped: see METRIC_SKIPPED_PACKETS in metrics.def. */
void report_collector(struct metrics *metrics, const struct settings_collector *settings,
		      const struct collector_stats *stats, uint64_t skipped_packets,
		      uint64_t skipped_octets);
void report_drops(struct metrics *metrics, const char *reason, const char *interface,
		  const char *netns, uint64_t packets, uint64_t octets);

#endif

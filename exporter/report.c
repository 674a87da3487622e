/* SPDX-License-Identifier: MIT */
/* One function per struct of counters. Above: daemon_report.c; below: metrics.c. */
#include "config.h"

#include "report.h"

#include <sys/utsname.h>

static const char *const direction_names[] = {"ingress", "egress"};
static const char *const end_reasons[] = {
	[FLOW_END_IDLE] = "idle_timeout",	    [FLOW_END_ACTIVE] = "active_timeout",
	[FLOW_END_DETECTED] = "end_of_flow",	    [FLOW_END_FORCED] = "forced_end",
	[FLOW_END_RESOURCES] = "lack_of_resources",
};

void report_process(struct metrics *metrics, const struct report_process *process)
{
	struct utsname system = {0};

	uname(&system);
	metrics_add(metrics, METRIC_BUILD_INFO, 1, "version", PACKAGE_VERSION, "kernel",
		    system.release, "machine", system.machine, NULL);
	metrics_add_real(metrics, METRIC_START_TIME, process->start_real_ns / 1e9, NULL);
	metrics_add(metrics, METRIC_RELOADS, process->reloads, "result", "done", NULL);
	metrics_add(metrics, METRIC_RELOADS, process->failed_reloads, "result", "refused", NULL);
	metrics_add(metrics, METRIC_DNS_UNANSWERED, process->dns_unanswered, NULL);
	metrics_add(metrics, METRIC_DNS_ERRORS, process->dns_errors, NULL);
	metrics_add_histogram(metrics, METRIC_DRAIN_DURATION, &process->drain_duration, NULL);
	metrics_add_histogram(metrics, METRIC_DNS_LATENCY, &process->dns_latency, NULL);
	metrics_add_histogram(metrics, METRIC_RTT, &process->server_rtt, "side", "server", NULL);
	metrics_add_histogram(metrics, METRIC_RTT, &process->client_rtt, "side", "client", NULL);
}

static void report_place(struct metrics *metrics, const char *place, uint64_t packets,
			 uint64_t octets)
{
	metrics_add(metrics, METRIC_LOST_PACKETS, packets, "place", place, NULL);
	metrics_add(metrics, METRIC_LOST_OCTETS, octets, "place", place, NULL);
}

void report_fetcher(struct metrics *metrics, const struct flow_counters *counters,
		    const struct flow_fetcher_usage *usage)
{
	for (int i = 0; i < 2; i++) {
		metrics_add(metrics, METRIC_OBSERVED_PACKETS, counters->observed_packets[i],
			    "direction", direction_names[i], NULL);
		metrics_add(metrics, METRIC_OBSERVED_OCTETS, counters->observed_bytes[i],
			    "direction", direction_names[i], NULL);
	}
	report_place(metrics, "flow_table", counters->lost_table_packets,
		     counters->lost_table_bytes);
	report_place(metrics, "ring_buffer", counters->lost_ring_packets,
		     counters->lost_ring_bytes);
	metrics_add(metrics, METRIC_UNSAMPLED_PACKETS, counters->unsampled_packets, NULL);
	metrics_add(metrics, METRIC_MALFORMED_PACKETS, counters->malformed_packets, NULL);
	metrics_add(metrics, METRIC_TABLE_CREATED, counters->created_flows, NULL);
	metrics_add(metrics, METRIC_TABLE_EVICTED, counters->evicted_flows, NULL);
	metrics_add(metrics, METRIC_TABLE_SLOTS, usage->slots, NULL);
	metrics_add(metrics, METRIC_TABLE_SLOTS_USED, usage->slots_used, NULL);
	metrics_add(metrics, METRIC_KERNEL_BYTES, usage->kernel_bytes, NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(usage->programs); i++) {
		metrics_add(metrics, METRIC_PROGRAM_RUNS, usage->programs[i].run_count, "program",
			    usage->programs[i].name, NULL);
		metrics_add_real(metrics, METRIC_PROGRAM_SECONDS,
				 usage->programs[i].run_time_ns / 1e9, "program",
				 usage->programs[i].name, NULL);
	}
}

void report_interface(struct metrics *metrics, const struct interface *interface,
		      const struct report_traffic *traffic)
{
	for (int i = 0; i < 2; i++) {
		const char *direction = direction_names[i];

		if (traffic->packets[i] || interface->metered) {
			metrics_add(metrics, METRIC_INTERFACE_PACKETS, traffic->packets[i], "netns",
				    traffic->netns, "interface", interface->name, "direction",
				    direction, NULL);
			metrics_add(metrics, METRIC_INTERFACE_OCTETS, traffic->octets[i], "netns",
				    traffic->netns, "interface", interface->name, "direction",
				    direction, NULL);
		}
		if (traffic->attached[i])
			metrics_add(metrics, METRIC_INTERFACE_ATTACHED, 1, "netns", traffic->netns,
				    "interface", interface->name, "direction", direction, "mode",
				    traffic->attached[i], NULL);
	}
	if (interface->error[0])
		metrics_add(metrics, METRIC_INTERFACE_FAILED, 1, "netns", traffic->netns,
			    "interface", interface->name, NULL);
}

void report_cache(struct metrics *metrics, const struct cache_stats *stats)
{
	metrics_add(metrics, METRIC_FLOWS_ACTIVE, stats->flows, NULL);
	metrics_add(metrics, METRIC_FLOWS_CREATED, stats->created, NULL);
	for (int i = FLOW_END_IDLE; i <= FLOW_END_RESOURCES; i++)
		metrics_add(metrics, METRIC_FLOWS_ENDED, stats->ended[i], "reason", end_reasons[i],
			    NULL);
	metrics_add(metrics, METRIC_CACHED_PACKETS, stats->packets, NULL);
	metrics_add(metrics, METRIC_CACHED_OCTETS, stats->bytes, NULL);
	/* when it is full, its oldest flows are exported early: it never loses any */
	report_place(metrics, "flow_cache", 0, 0);
}

static void report_losses(struct metrics *metrics, const char *name,
			  const struct collector_stats *stats)
{
	for (int i = 0; i < COLLECTOR_N_LOSSES; i++) {
		const char *place = collector_loss_names[i];

		metrics_add(metrics, METRIC_LOST_FLOWS, stats->lost[i].flows, "place", place,
			    "collector", name, NULL);
		metrics_add(metrics, METRIC_LOST_PACKETS, stats->lost[i].packets, "place", place,
			    "collector", name, NULL);
		metrics_add(metrics, METRIC_LOST_OCTETS, stats->lost[i].octets, "place", place,
			    "collector", name, NULL);
	}
}

void report_collector(struct metrics *metrics, const struct settings_collector *settings,
		      const struct collector_stats *stats, uint64_t skipped_packets,
		      uint64_t skipped_octets)
{
	const struct {
		enum metric metric;
		uint64_t value;
	} rows[] = {
		{METRIC_COLLECTOR_UP, stats->up},
		{METRIC_COLLECTOR_RECONNECTS, stats->sessions ? stats->sessions - 1 : 0},
		{METRIC_COLLECTOR_FAILURES, stats->failures},
		{METRIC_EXPORTED_FLOWS, stats->sent_flows},
		{METRIC_EXPORTED_PACKETS, stats->sent_packets},
		{METRIC_EXPORTED_OCTETS, stats->sent_octets},
		{METRIC_SKIPPED_PACKETS, skipped_packets},
		{METRIC_SKIPPED_OCTETS, skipped_octets},
		{METRIC_SENT_RECORDS, stats->sent_records},
		{METRIC_SENT_MESSAGES, stats->sent_messages},
		{METRIC_SENT_BYTES, stats->sent_bytes},
		{METRIC_SENT_TEMPLATES, stats->sent_templates},
		{METRIC_QUEUED_FLOWS, stats->queued_flows},
		{METRIC_QUEUED_PACKETS, stats->queued_packets},
		{METRIC_QUEUED_OCTETS, stats->queued_octets},
		{METRIC_QUEUE_BYTES, stats->queued_bytes},
		{METRIC_QUEUE_CAPACITY, settings->queue_size},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
		metrics_add(metrics, rows[i].metric, rows[i].value, "collector", settings->name,
			    NULL);
	report_losses(metrics, settings->name, stats);
}

void report_drops(struct metrics *metrics, const char *reason, const char *interface,
		  const char *netns, uint64_t packets, uint64_t octets)
{
	metrics_add(metrics, METRIC_DROPPED_PACKETS, packets, "reason", reason, "interface",
		    interface, "netns", netns, NULL);
	metrics_add(metrics, METRIC_DROPPED_OCTETS, octets, "reason", reason, "interface",
		    interface, "netns", netns, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Asks all actors for their counters: what /metrics, `bpflowctl show stats` and /healthz tell. */
#include "config.h"

#include "daemon_private.h"

#include <inttypes.h>

struct collection {
	struct daemon *daemon;
	struct metrics *metrics;
};

static void fill_traffic(const struct daemon *d, const struct interface *interface, int direction,
			 struct report_traffic *traffic)
{
	uint32_t iface = FLOW_IFACE(interface->netns, direction, interface->ifindex);
	const struct observed *o = g_hash_table_lookup(d->observed, GUINT_TO_POINTER(iface));

	if (o) {
		traffic->packets[direction] = o->packets;
		traffic->octets[direction] = o->octets;
	}
	traffic->attached[direction] =
		flow_fetcher_attached(d->fetcher, interface->netns, interface->ifindex, direction);
}

void daemon_traffic(const struct daemon *d, const struct interface *interface,
		    struct report_traffic *traffic)
{
	*traffic = (struct report_traffic){
		.netns = interfaces_netns_name(d->interfaces, interface->netns)};
	fill_traffic(d, interface, FLOW_INGRESS, traffic);
	fill_traffic(d, interface, FLOW_EGRESS, traffic);
}

static void collect_interface(void *user, const struct interface *interface)
{
	struct collection *c = user;
	struct report_traffic traffic;

	daemon_traffic(c->daemon, interface, &traffic);
	report_interface(c->metrics, interface, &traffic);
}

static void collect_collector(void *user, const struct collector *collector,
			      const struct template *template, const struct output_skipped *skipped)
{
	struct collection *c = user;

	report_collector(c->metrics, collector_settings(collector), collector_stats(collector),
			 skipped->packets, skipped->octets);
}

struct metrics *daemon_collect(struct daemon *d)
{
	struct collection c = {d, metrics_new()};
	struct flow_counters counters;
	struct flow_fetcher_usage usage;

	flow_fetcher_counters(d->fetcher, &counters);
	flow_fetcher_usage(d->fetcher, &usage);
	report_process(c.metrics, &d->process);
	report_fetcher(c.metrics, &counters, &usage);
	interfaces_foreach(d->interfaces, collect_interface, &c);
	daemon_signals_collect(d, c.metrics);
	report_cache(c.metrics, cache_stats(d->cache));
	outputs_foreach(d->outputs, collect_collector, &c);
	return c.metrics;
}

static void log_collector(void *user, const struct collector *collector,
			  const struct template *template, const struct output_skipped *skipped)
{
	const struct collector_stats *s = collector_stats(collector);

	log_info("statistics: collector %s: %s; %" PRIu64 " flows with %" PRIu64 " packets sent in "
		 "%" PRIu64 " messages, %" PRIu64 " flows with %" PRIu64 " packets queued; packets "
		 "lost: %" PRIu64 " in the queue, %" PRIu64 " in sending; %" PRIu64
		 " not meant for it",
		 collector_settings(collector)->name, s->up ? "up" : "down", s->sent_flows,
		 s->sent_packets, s->sent_messages, s->queued_flows, s->queued_packets,
		 s->lost[COLLECTOR_LOST_QUEUE].packets, s->lost[COLLECTOR_LOST_SEND].packets,
		 skipped->packets);
}

/* A line for each thing; all of it is on /metrics in more detail. */
void daemon_log_statistics(struct daemon *d)
{
	const struct cache_stats *flows = cache_stats(d->cache);
	struct flow_counters c;

	flow_fetcher_counters(d->fetcher, &c);
	log_info("statistics: %" PRIu64 " packets, %" PRIu64 " octets observed; packets lost: "
		 "%" PRIu64 " in the flow table, %" PRIu64 " in the ring buffer; %" PRIu64
		 " malformed, %" PRIu64 " not sampled",
		 (uint64_t)(c.observed_packets[0] + c.observed_packets[1]),
		 (uint64_t)(c.observed_bytes[0] + c.observed_bytes[1]),
		 (uint64_t)c.lost_table_packets, (uint64_t)c.lost_ring_packets,
		 (uint64_t)c.malformed_packets, (uint64_t)c.unsampled_packets);
	log_info("statistics: %" PRIu64 " flows created, %u with %" PRIu64 " packets held",
		 flows->created, flows->flows, flows->packets);
	outputs_foreach(d->outputs, log_collector, NULL);
}

#ifdef WITH_HTTP
static void write_metrics(void *user, GString *out)
{
	struct metrics *metrics = daemon_collect(user);

	metrics_write(metrics, out);
	metrics_free(metrics);
}

static void find_up(void *user, const struct collector *collector, const struct template *template,
		    const struct output_skipped *skipped)
{
	*(bool *)user |= collector_stats(collector)->up;
}

static void find_hooked(void *user, const struct interface *interface)
{
	*(bool *)user |= interface->hooked_ingress || interface->hooked_egress;
}

/* Programs attached, and at least one collector that takes data. */
static bool is_healthy(void *user, GString *why)
{
	struct daemon *d = user;
	bool up = false, hooked = false;

	outputs_foreach(d->outputs, find_up, &up);
	interfaces_foreach(d->interfaces, find_hooked, &hooked);
	if (!hooked)
		g_string_append(why, "no interface is metered\n");
	if (!up)
		g_string_append(why, "no collector takes data\n");
	return up && hooked;
}

bool daemon_http_start(struct daemon *d, GError **error)
{
	const struct http_callbacks callbacks = {write_metrics, is_healthy, d};

	if (!*d->settings->http_listen)
		return true;
	d->http = http_new(d->settings->http_listen, &callbacks, error);
	return d->http;
}

void daemon_http_stop(struct daemon *d)
{
	g_clear_pointer(&d->http, http_free);
}
#else
bool daemon_http_start(struct daemon *d, GError **error)
{
	if (*d->settings->http_listen)
		log_warning("http.listen: this bpflowd was built without HTTP");
	return true;
}

void daemon_http_stop(struct daemon *d)
{
}
#endif

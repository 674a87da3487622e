/* SPDX-License-Identifier: MIT */
/* Connects drops, DNS and RTT: fetcher -> signals -> cache, names of drop reasons, totals for
 * /metrics. */
#include "config.h"

#include "daemon_private.h"
#include "views.h"

struct drops_report {
	struct daemon *daemon;
	struct metrics *metrics;
	json_t *list;
};

struct place_search {
	struct daemon *daemon;
	uint8_t netns;
	uint32_t ifindex; /* 0: any */
	struct signals_place *places;
	size_t n;
	size_t max;
};

/* Adds the VLAN ids that packets of upper have at the device lower under it; false: it is not under
 * it. A bond or bridge shows the packets of its ports. */
static bool is_under(const struct daemon *d, const struct interface *lower, uint32_t upper,
		     struct signals_place *place)
{
	const struct interface *i;

	for (int depth = 0; depth < 4 && upper; depth++) {
		if (lower->ifindex == upper || lower->master == upper)
			return true;
		i = interfaces_get(d->interfaces, lower->netns, upper);
		if (!i)
			return false;
		if (i->vlan) {
			place->inner_vlan = place->vlan;
			place->vlan = i->vlan;
		}
		upper = i->lower;
	}
	return false;
}

static void find_place(void *user, const struct interface *interface)
{
	struct place_search *search = user;
	struct signals_place place = {.ifindex = interface->ifindex};

	if (interface->netns != search->netns || search->n == search->max ||
	    !(interface->hooked_ingress || interface->hooked_egress))
		return;
	if (search->ifindex && !is_under(search->daemon, interface, search->ifindex, &place))
		return;
	search->places[search->n++] = place;
}

static size_t places(void *user, uint8_t netns, uint32_t ifindex, struct signals_place *places,
		     size_t max)
{
	struct place_search search = {user, netns, ifindex, places, 0, max};
	struct daemon *d = user;

	interfaces_foreach(d->interfaces, find_place, &search);
	return search.n;
}

static const char *interface_name(void *user, uint8_t netns, uint32_t ifindex)
{
	const struct daemon *d = user;
	const struct interface *i = interfaces_get(d->interfaces, netns, ifindex);

	return i ? i->name : "";
}

static const struct record_drop_cause *drop_cause(void *user, uint32_t cause)
{
	struct daemon *d = user;

	return reasons_get(d->reasons, cause);
}

void daemon_signals_prepare(struct daemon *d)
{
	d->reasons = reasons_new();
	flow_fetcher_drop_reasons(reasons_add, d->reasons);
	d->ignored_reasons = reasons_numbers(d->reasons, d->settings->ignored_drop_reasons);
	d->resolver.drop_cause = drop_cause;
}

void daemon_signals_start(struct daemon *d)
{
	const struct signals_callbacks callbacks = {places, interface_name, d};

	d->signals = signals_new(d->cache, &callbacks);
}

void daemon_signals_clear(struct daemon *d)
{
	signals_free(d->signals);
	reasons_free(d->reasons);
	if (d->ignored_reasons)
		g_array_unref(d->ignored_reasons);
}

void daemon_signals_event(void *user, const struct flow_event *event, size_t size)
{
	struct daemon *d = user;

	signals_event(d->signals, event, size);
}

void daemon_signals_drain(struct daemon *d)
{
	/* the walk takes a moment, and nobody needs it at each of many short drains */
	if (d->now.mono_ns - d->stale_looked_ns >= NSEC_PER_SEC) {
		flow_fetcher_delete_stale_entries(d->fetcher, d->now.mono_ns,
						  FLOW_FETCHER_SIGNAL_TIMEOUT_NS);
		d->stale_looked_ns = d->now.mono_ns;
	}
	signals_apply(d->signals);
}

/* Reason as a name, or a number where this kernel's BTF has no name for it. */
static char *reason_text(const struct daemon *d, uint32_t cause)
{
	const char *name = reasons_get(d->reasons, cause)->name;

	return *name ? g_strdup(name) : g_strdup_printf("%u", cause);
}

static void add_drops(void *user, const struct signals_drops *drops)
{
	struct drops_report *report = user;
	const struct daemon *d = report->daemon;
	g_autofree char *reason = reason_text(d, drops->cause);

	report_drops(report->metrics, reason, drops->interface,
		     interfaces_netns_name(d->interfaces, drops->netns), drops->packets,
		     drops->bytes);
}

static void add_losses(const struct daemon *d, struct metrics *metrics)
{
	struct drop_counters drops;
	struct flow_counters flows;

	flow_fetcher_drop_counters(d->fetcher, &drops);
	flow_fetcher_counters(d->fetcher, &flows);
	const struct {
		const char *place;
		uint64_t value;
	} rows[] = {
		{"dns_flows", flows.dns_overflow},
		{"flow_sequences", flows.rtt_overflow},
		{"ring_buffer", flows.lost_events},
		{"drop_table", drops.lost_ring_packets},
		{"drop_nested", drops.lost_busy_packets},
		{"drop_header", drops.unread_packets},
		{"drop_namespace", signals_stats(d->signals)->drops_unplaced},
		{"rtt_flow", signals_stats(d->signals)->rtt_unplaced},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
		metrics_add(metrics, METRIC_LOST_SIGNALS, rows[i].value, "place", rows[i].place,
			    NULL);
}

void daemon_signals_collect(struct daemon *d, struct metrics *metrics)
{
	const struct signals_stats *stats = signals_stats(d->signals);
	struct drops_report report = {d, metrics, NULL};

	d->process.dns_latency = stats->dns_latency;
	d->process.server_rtt = stats->server_rtt;
	d->process.client_rtt = stats->client_rtt;
	d->process.dns_unanswered = stats->dns_unanswered;
	d->process.dns_errors = stats->dns_errors;
	add_losses(d, metrics);
	signals_foreach_drops(d->signals, add_drops, &report);
}

static void list_drops(void *user, const struct signals_drops *drops)
{
	struct drops_report *report = user;
	const struct daemon *d = report->daemon;
	g_autofree char *reason = reason_text(d, drops->cause);

	json_array_append_new(report->list,
			      view_drop(drops->cause, reason, drops->interface,
					interfaces_netns_name(d->interfaces, drops->netns),
					drops->packets, drops->bytes));
}

json_t *daemon_answer_drops(void *user, const json_t *args, GError **error)
{
	struct drops_report report = {user, NULL, json_array()};

	signals_foreach_drops(report.daemon->signals, list_drops, &report);
	return json_pack("{s:o}", "drops", report.list);
}

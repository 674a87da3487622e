/* SPDX-License-Identifier: MIT */
/*
 * The lines of the live screen, made of two answers one after the other. Above: ctl_top.c; below:
 * ctl_table.c, ctl_format.c.
 */
#include "config.h"

#include "ctl_page.h"

#include <string.h>

#include "ctl_table.h"

#define FADE	       0.9 /* of what latencies weigh, per refresh: the last ten seconds count most */
#define BUCKETS_MAX    32
#define DROPS_MAX      5
#define COLLECTORS_MAX 4

/* A latency histogram in which older observations fade. */
struct latency {
	double weight[BUCKETS_MAX];
	double seen[BUCKETS_MAX]; /* counts of the daemon at the last refresh */
	double up_to[BUCKETS_MAX];
	size_t n;
	double per_s;
};

struct page {
	json_t *flows; /* array; rows with added rates */
	json_t *stats;
	json_t *collectors;
	json_t *drops;
	GHashTable
		*octets; /* flow -> octets and packets at the last refresh, of flows and others */
	double flows_active;
	double created_per_s, packets_per_s, octets_per_s;
	double queries_unanswered;
	struct latency dns, server, client;
	GString *losses;
	uint64_t updated_us;
};

/* Sum of the samples of a metric that carry the label (NULL: all). */
static double sum(const json_t *stats, const char *name, const char *label, const char *value)
{
	const json_t *metric, *sample;
	double total = 0;
	size_t i, j;

	json_array_foreach(json_object_get(stats, "metrics"), i, metric)
	{
		if (g_strcmp0(json_string_value(json_object_get(metric, "name")), name) != 0)
			continue;
		json_array_foreach(json_object_get(metric, "samples"), j, sample)
		{
			const json_t *labels = json_object_get(sample, "labels");

			if (!label || g_strcmp0(json_string_value(json_object_get(labels, label)),
						value) == 0)
				total += ctl_number(sample, "value");
		}
	}
	return total;
}

static const json_t *samples_of(const json_t *stats, const char *name)
{
	const json_t *metric;
	size_t i;

	json_array_foreach(json_object_get(stats, "metrics"), i, metric)
	{
		if (g_strcmp0(json_string_value(json_object_get(metric, "name")), name) == 0)
			return json_object_get(metric, "samples");
	}
	return NULL;
}

struct page *page_new(void)
{
	struct page *page = g_new0(struct page, 1);

	page->octets = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	page->losses = g_string_new(NULL);
	return page;
}

void page_free(struct page *page)
{
	json_decref(page->flows);
	json_decref(page->stats);
	json_decref(page->collectors);
	json_decref(page->drops);
	g_hash_table_unref(page->octets);
	g_string_free(page->losses, TRUE);
	g_free(page);
}

/* Difference to the value under that name at the last refresh, per second; first is what a name
 * that is new, or began anew, counts. The new values go to next. */
static double rate(struct page *page, GHashTable *next, const char *name, double value,
		   double first, double seconds)
{
	const double *last = g_hash_table_lookup(page->octets, name);
	double result = first;

	if (last && *last <= value && seconds > 0)
		result = (value - *last) / seconds;
	g_hash_table_replace(next, g_strdup(name), g_memdup2(&value, sizeof(value)));
	return result;
}

static void update_flows(struct page *page, GHashTable *next, double seconds)
{
	json_t *flow;
	size_t i;

	json_array_foreach(page->flows, i, flow)
	{
		double age_s = (ctl_number(flow, "flowEndMilliseconds") -
				ctl_number(flow, "flowStartMilliseconds")) /
			       1000;
		g_autoptr(GString) name = g_string_new("octets ");
		double octets = ctl_number(flow, "octetDeltaCount");
		double packets = ctl_number(flow, "packetDeltaCount");

		ctl_source(name, flow, NULL);
		g_string_append_c(name, ' ');
		ctl_destination(name, flow, NULL);
		g_string_append_printf(name, " %g %g %g", ctl_number(flow, "protocolIdentifier"),
				       ctl_number(flow, "ingressInterface"),
				       ctl_number(flow, "flowDirection"));
		json_object_set_new(flow, "octets_per_s",
				    json_real(rate(page, next, name->str, octets,
						   octets / MAX(age_s, 1), seconds)));
		g_string_overwrite(name, 0, "packet");
		json_object_set_new(flow, "packets_per_s",
				    json_real(rate(page, next, name->str, packets,
						   packets / MAX(age_s, 1), seconds)));
	}
}

static void update_latency(struct latency *latency, const json_t *histogram, double seconds)
{
	const json_t *bucket;
	double arrived = 0;
	size_t i;

	json_array_foreach(json_object_get(histogram, "buckets"), i, bucket)
	{
		double count = ctl_number(bucket, "count");

		if (i >= BUCKETS_MAX)
			break;
		latency->weight[i] = latency->weight[i] * FADE + count - latency->seen[i];
		arrived += count - latency->seen[i];
		latency->seen[i] = count;
		latency->up_to[i] = ctl_number(bucket, "up_to");
		latency->n = i + 1;
	}
	latency->per_s = seconds > 0 ? arrived / seconds : 0;
}

static void update_latencies(struct page *page, double seconds)
{
	const json_t *sample;
	size_t i;

	update_latency(&page->dns,
		       json_array_get(samples_of(page->stats, "dns_latency_seconds"), 0), seconds);
	page->queries_unanswered = sum(page->stats, "dns_unanswered_total", NULL, NULL);
	json_array_foreach(samples_of(page->stats, "rtt_seconds"), i, sample)
	{
		const char *side = json_string_value(
			json_object_get(json_object_get(sample, "labels"), "side"));

		update_latency(g_strcmp0(side, "server") == 0 ? &page->server : &page->client,
			       sample, seconds);
	}
}

/* The sum over all interfaces joins the row of the reason. */
static void add_drop(json_t *drops, const char *reason, double packets)
{
	json_t *row;
	size_t i;

	json_array_foreach(drops, i, row)
	{
		if (strcmp(json_string_value(json_object_get(row, "reason")), reason) != 0)
			continue;
		json_object_set_new(row, "packets",
				    json_real(ctl_number(row, "packets") + packets));
		return;
	}
	json_array_append_new(drops, json_pack("{s:s, s:f}", "reason", reason, "packets", packets));
}

static void update_drops(struct page *page, GHashTable *next, double seconds)
{
	const json_t *sample;
	json_t *row;
	size_t i;

	json_decref(page->drops);
	page->drops = json_array();
	json_array_foreach(samples_of(page->stats, "dropped_packets_total"), i, sample)
	{
		const char *reason = json_string_value(
			json_object_get(json_object_get(sample, "labels"), "reason"));

		if (reason)
			add_drop(page->drops, reason, ctl_number(sample, "value"));
	}
	json_array_foreach(page->drops, i, row)
	{
		g_autofree char *name = g_strconcat(
			"drop ", json_string_value(json_object_get(row, "reason")), NULL);
		double packets = ctl_number(row, "packets");

		json_object_set_new(row, "packets_per_s",
				    json_real(rate(page, next, name, packets, 0, seconds)));
	}
}

static void update_losses(struct page *page)
{
	g_autoptr(GPtrArray) places = g_ptr_array_new();
	const json_t *sample;
	size_t i;

	g_string_truncate(page->losses, 0);
	json_array_foreach(samples_of(page->stats, "lost_packets_total"), i, sample)
	{
		const char *place = json_string_value(
			json_object_get(json_object_get(sample, "labels"), "place"));
		double packets;

		/* one that collectors share comes once for each of them */
		if (!place || g_ptr_array_find_with_equal_func(places, place, g_str_equal, NULL))
			continue;
		g_ptr_array_add(places, (char *)place);
		packets = sum(page->stats, "lost_packets_total", "place", place);
		if (packets > 0)
			g_string_append_printf(page->losses, "  %s %.0f packets", place, packets);
	}
	if (page->losses->len == 0)
		g_string_append(page->losses, "  none");
}

static void update_collectors(struct page *page, GHashTable *next, double seconds)
{
	json_t *collector;
	size_t i;

	json_array_foreach(page->collectors, i, collector)
	{
		g_autofree char *name = g_strconcat(
			"collector ", json_string_value(json_object_get(collector, "name")), NULL);

		json_object_set_new(
			collector, "flows_per_s",
			json_real(rate(page, next, name, ctl_number(collector, "sent_flows"), 0,
				       seconds)));
	}
}

void page_update(struct page *page, json_t *flows, json_t *stats, json_t *collectors,
		 uint64_t now_us)
{
	double seconds = page->updated_us ? (now_us - page->updated_us) / 1e6 : 0;
	GHashTable *next = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);

	json_decref(page->flows);
	json_decref(page->stats);
	json_decref(page->collectors);
	page->flows = json_incref(json_object_get(flows, "flows"));
	page->collectors = json_incref(json_object_get(collectors, "collectors"));
	page->stats = stats;
	json_decref(flows);
	json_decref(collectors);
	page->flows_active = sum(stats, "flows_active", NULL, NULL);
	page->created_per_s = rate(page, next, "created",
				   sum(stats, "flows_created_total", NULL, NULL), 0, seconds);
	page->packets_per_s = rate(page, next, "observed packets",
				   sum(stats, "observed_packets_total", NULL, NULL), 0, seconds);
	page->octets_per_s = rate(page, next, "observed octets",
				  sum(stats, "observed_octets_total", NULL, NULL), 0, seconds);
	update_flows(page, next, seconds);
	update_latencies(page, seconds);
	update_drops(page, next, seconds);
	update_losses(page);
	update_collectors(page, next, seconds);
	g_hash_table_unref(page->octets);
	page->octets = next;
	page->updated_us = now_us;
}

/* Upper bound of the bucket in which the share of observations is reached, in milliseconds. */
static void append_quantile(GString *out, const struct latency *latency, double share)
{
	double total = 0, below = 0;

	for (size_t i = 0; i < latency->n; i++)
		total += latency->weight[i];
	if (total < 0.5) {
		g_string_append(out, "-");
		return;
	}
	for (size_t i = 0; i < latency->n; i++) {
		below += latency->weight[i];
		if (below < share * total)
			continue;
		if (latency->up_to[i] > 0)
			g_string_append_printf(out, "<%g ms", latency->up_to[i] * 1000);
		else
			g_string_append_printf(out, ">%g ms", latency->up_to[i - 1] * 1000);
		return;
	}
}

static void append_latency(GString *out, const char *title, const struct latency *latency)
{
	g_string_append_printf(out, "  %s %.0f/s p50 ", title, latency->per_s);
	append_quantile(out, latency, 0.5);
	g_string_append(out, " p95 ");
	append_quantile(out, latency, 0.95);
}

static void add_head(const struct page *page, GPtrArray *lines)
{
	g_autoptr(GString) line = g_string_new("Flows");

	g_string_append_printf(line, "  %.0f active  %.0f new/s  ", page->flows_active,
			       page->created_per_s);
	ctl_append_scaled(line, page->packets_per_s, 1000, " packets/s  ");
	ctl_append_scaled(line, page->octets_per_s * 8, 1000, "bit/s");
	g_ptr_array_add(lines, g_strdup(line->str));
	g_ptr_array_add(lines, g_strconcat("Lost ", page->losses->str, NULL));
	g_string_assign(line, "DNS  ");
	append_latency(line, "", &page->dns);
	g_string_append_printf(line, "  unanswered %.0f", page->queries_unanswered);
	g_ptr_array_add(lines, g_strdup(line->str));
	g_string_assign(line, "TCP  ");
	append_latency(line, "client", &page->client);
	append_latency(line, "server", &page->server);
	g_ptr_array_add(lines, g_strdup(line->str));
}

static void append_rate(GString *out, const json_t *row, const char *key)
{
	ctl_append_scaled(out, ctl_number(row, key), 1000, "");
}

static void append_octet_rate(GString *out, const json_t *row, const char *key)
{
	ctl_append_scaled(out, ctl_number(row, key) * 8, 1000, "");
}

static void append_up(GString *out, const json_t *row, const char *key)
{
	g_string_append(out, json_is_true(json_object_get(row, key)) ? "up" : "DOWN");
}

static const struct ctl_column collector_columns[] = {
	{"COLLECTOR", "name", ctl_text},
	{"STATE", "up", append_up},
	{"FLOWS/S", "flows_per_s", append_rate, .right = true},
	{"QUEUE", "queued_bytes", ctl_size, .right = true},
	{"LOST", "lost_packets", ctl_count, .right = true},
	{"ERROR", "last_error", ctl_text},
};

static const struct ctl_column drop_columns[] = {
	{"DROPPED BY", "reason", ctl_text},
	{"PACKETS/S", "packets_per_s", append_rate, .right = true},
	{"PACKETS", "packets", append_rate, .right = true},
};

static const struct ctl_column flow_columns[] = {
	{"BIT/S", "octets_per_s", append_octet_rate, .right = true},
	{"PACKET/S", "packets_per_s", append_rate, .right = true},
	{"PROTO", "protocolIdentifier", ctl_protocol},
	{"SOURCE", NULL, ctl_source},
	{"DESTINATION", NULL, ctl_destination},
	{"IN", "ingressInterfaceName", ctl_text},
	{"OUT", "egressInterfaceName", ctl_text},
};

/* Adds a table of at most n_rows rows under its titles. */
static void add_table(GPtrArray *lines, const json_t *rows, size_t n_rows,
		      const struct ctl_column *columns, size_t n_columns)
{
	json_t *shown = json_array();
	g_autoptr(GString) out = g_string_new(NULL);
	g_auto(GStrv) parts = NULL;
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		if (i < n_rows)
			json_array_append(shown, (json_t *)row);
	}
	ctl_table_write(out, shown, columns, n_columns, 0);
	json_decref(shown);
	parts = g_strsplit(out->str, "\n", -1);
	for (i = 0; parts[i] && *parts[i]; i++)
		g_ptr_array_add(lines, g_strconcat(i == 0 ? "\1" : "", parts[i], NULL));
}

/* A copy with the largest value of the key first. */
static json_t *sorted(const json_t *rows, const char *key)
{
	json_t *result = json_array();
	json_t *row;
	size_t i;

	json_array_foreach((json_t *)rows, i, row)
	{
		size_t at = json_array_size(result);

		while (at > 0 &&
		       ctl_number(json_array_get(result, at - 1), key) < ctl_number(row, key))
			at--;
		json_array_insert(result, at, row);
	}
	return result;
}

GPtrArray *page_lines(const struct page *page, enum page_sort sort, int height)
{
	static const char *const keys[] = {
		[PAGE_BY_RATE] = "octets_per_s",
		[PAGE_BY_OCTETS] = "octetDeltaCount",
		[PAGE_BY_PACKETS] = "packets_per_s",
	};
	GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);
	json_t *drops = sorted(page->drops, "packets_per_s");
	json_t *flows = sorted(page->flows, keys[sort]);
	int room;

	add_head(page, lines);
	add_table(lines, page->collectors, COLLECTORS_MAX, collector_columns,
		  G_N_ELEMENTS(collector_columns));
	if (json_array_size(drops) > 0)
		add_table(lines, drops, DROPS_MAX, drop_columns, G_N_ELEMENTS(drop_columns));
	room = height - (int)lines->len - 1;
	add_table(lines, flows, MAX(room, 0), flow_columns, G_N_ELEMENTS(flow_columns));
	json_decref(drops);
	json_decref(flows);
	if ((int)lines->len > height)
		g_ptr_array_set_size(lines, height);
	return lines;
}

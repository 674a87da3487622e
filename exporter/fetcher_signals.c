/* SPDX-License-Identifier: MIT */
/* DNS and RTT on the side of user space: switches them on, sizes their tables, drops what waits in
 * them for too long. */
#include "config.h"

#include "fetcher_private.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "log.h"

#define BATCH		1024
#define KERNEL_ENOTSUPP 524 /* no errno of user space */

/* What tells one entry of a pair from another, and one that goes on from one that rests: their
 * first two words. */
#define IDENTITY 16

_Static_assert(offsetof(struct dns_query, sent_ns) == 0 &&
		       offsetof(struct dns_query, question) == 8 &&
		       offsetof(struct handshake, syn_ns) == 0 &&
		       offsetof(struct handshake, syn_ack_ns) == 8,
	       "time and question, or both times, come first");

void fetcher_signals_constants(struct flow_fetcher *f, struct flows_bpf *flows)
{
	uint32_t n = MIN(f->config.n_dns_ports, G_N_ELEMENTS(flows->rodata->dns_ports));

	flows->rodata->dns_enabled = f->config.dns;
	flows->rodata->rtt_enabled = f->config.rtt;
	flows->rodata->n_dns_ports = f->config.dns ? n : 0;
	flows->rodata->signal_timeout_ns = FLOW_FETCHER_SIGNAL_TIMEOUT_NS;
	for (uint32_t i = 0; i < n; i++)
		((uint16_t *)(void *)flows->rodata->dns_ports)[i] =
			GUINT16_TO_BE(f->config.dns_ports[i]);
}

/* What is off takes no memory. */
int fetcher_signals_sizes(struct flow_fetcher *f, struct flows_bpf *flows)
{
	int err = 0;

	if (!f->config.dns) {
		err = bpf_map__set_max_entries(flows->maps.dns_flows, 1);
		err = err ? err : bpf_map__set_max_entries(flows->maps.dns_rooms, 1);
	}
	if (!f->config.rtt) {
		err = err ? err : bpf_map__set_max_entries(flows->maps.flow_sequences, 1);
		err = err ? err : bpf_map__set_max_entries(flows->maps.rtt_rooms, 1);
	}
	return err;
}

static bool is_stale(uint64_t since_ns, uint64_t now_ns, uint64_t timeout_ns)
{
	return since_ns < now_ns && now_ns - since_ns >= timeout_ns;
}

static void tell_unanswered(struct flow_fetcher *f, const struct dns_query *query, uint64_t now_ns)
{
	struct flow_event_dns e = {.event = {.type = FLOW_EVENT_DNS},
				   .now_ns = now_ns,
				   .kind = FLOW_DNS_UNANSWERED,
				   .query_flow = query->flow};

	if (f->callbacks.event && !query->observer)
		f->callbacks.event(f->callbacks.user, &e.event,
				   offsetof(struct flow_event_dns, message));
}

/* Copies a whole table; returns a negative errno if that broke off. Deleting while walking would
 * begin the walk anew (and skip what moved). */
static int read_table(int fd, GArray *pairs, GArray *values)
{
	struct flow_pair keys[BATCH];
	g_autofree char *room = g_malloc(BATCH * g_array_get_element_size(values));
	uint32_t position = 0;
	bool first = true;
	int err;

	do {
		LIBBPF_OPTS(bpf_map_batch_opts, opts);
		uint32_t count = BATCH;

		err = bpf_map_lookup_batch(fd, first ? NULL : &position, &position, keys, room,
					   &count, &opts);
		if (err && err != -ENOENT)
			return err;
		first = false;
		g_array_append_vals(pairs, keys, count);
		g_array_append_vals(values, room, count);
	} while (!err);
	return 0;
}

/* Once, until it changes: a table is looked at each second. */
static void note_error(struct fetcher_waiting *w, const char *table, int err)
{
	if (err == w->error)
		return;
	w->error = err;
	if (err)
		log_warning("%s: can't read the table: %s; what waits in vain is told later", table,
			    strerror(-err));
	else
		log_info("%s: the table can be read again", table);
}

/* Takes an entry off the table unless the packet path has changed it, or put a newer one in its
 * place, since it was read. */
static bool take_off(int fd, const struct flow_pair *pair, const void *read, void *taken)
{
	int err;

	if (bpf_map_lookup_elem(fd, pair, taken) || memcmp(read, taken, IDENTITY) != 0)
		return false;
	err = bpf_map_lookup_and_delete_elem(fd, pair, taken);
	if (err == -EINVAL || err == -KERNEL_ENOTSUPP) /* hashes: 5.14 */
		return bpf_map_delete_elem(fd, pair) == 0;
	if (err)
		return false;
	if (memcmp(read, taken, IDENTITY) == 0)
		return true;
	/* If it can't go back (a third one may wait there by now), it began and neither ended nor
	 * waits: count_pushed_out finds it. */
	(void)bpf_map_update_elem(fd, pair, taken, BPF_NOEXIST);
	return false;
}

/*
 * What the table pushed out to make room: what began and neither ended nor waits still. Read in
 * this order it is never too much while packets pass, and exact when they rest.
 */
static void count_pushed_out(struct fetcher_waiting *w, uint64_t began, uint32_t n_waiting,
			     uint64_t ended)
{
	int64_t pushed_out = began - n_waiting - ended - w->dropped;

	if (pushed_out > (int64_t)w->pushed_out)
		w->pushed_out = pushed_out;
}

static size_t drop_queries(struct flow_fetcher *f, uint64_t now_ns, uint64_t timeout_ns)
{
	g_autoptr(GArray) pairs = g_array_new(FALSE, FALSE, sizeof(struct flow_pair));
	g_autoptr(GArray) queries = g_array_new(FALSE, FALSE, sizeof(struct dns_query));
	int fd = bpf_map__fd(f->flows[0]->maps.dns_flows);
	struct flow_counters before, after;
	size_t dropped = 0;
	int err;

	flow_fetcher_counters(f, &before);
	err = read_table(fd, pairs, queries);
	flow_fetcher_counters(f, &after);
	note_error(&f->queries, "dns_flows", err);
	if (!err)
		count_pushed_out(&f->queries, before.dns_began, pairs->len, after.dns_ended);
	for (guint i = 0; i < pairs->len; i++) {
		const struct dns_query *query = &g_array_index(queries, struct dns_query, i);
		const struct flow_pair *pair = &g_array_index(pairs, struct flow_pair, i);
		struct dns_query taken;

		/* one that is gone found its answer just now */
		if (!is_stale(query->sent_ns, now_ns, timeout_ns) ||
		    !take_off(fd, pair, query, &taken))
			continue;
		tell_unanswered(f, &taken, now_ns);
		dropped++;
	}
	f->queries.dropped += dropped;
	return dropped;
}

static size_t drop_handshakes(struct flow_fetcher *f, uint64_t now_ns, uint64_t timeout_ns)
{
	g_autoptr(GArray) pairs = g_array_new(FALSE, FALSE, sizeof(struct flow_pair));
	g_autoptr(GArray) handshakes = g_array_new(FALSE, FALSE, sizeof(struct handshake));
	int fd = bpf_map__fd(f->flows[0]->maps.flow_sequences);
	struct flow_counters before, after;
	size_t dropped = 0;
	int err;

	flow_fetcher_counters(f, &before);
	err = read_table(fd, pairs, handshakes);
	flow_fetcher_counters(f, &after);
	note_error(&f->handshakes, "flow_sequences", err);
	if (!err)
		count_pushed_out(&f->handshakes, before.rtt_began, pairs->len, after.rtt_ended);
	for (guint i = 0; i < pairs->len; i++) {
		const struct handshake *h = &g_array_index(handshakes, struct handshake, i);
		const struct flow_pair *pair = &g_array_index(pairs, struct flow_pair, i);
		struct handshake taken;

		if (is_stale(MAX(h->syn_ns, h->syn_ack_ns), now_ns, timeout_ns) &&
		    take_off(fd, pair, h, &taken))
			dropped++;
	}
	f->handshakes.dropped += dropped;
	return dropped;
}

size_t flow_fetcher_delete_stale_entries(struct flow_fetcher *f, uint64_t now_mono_ns,
					 uint64_t timeout_ns)
{
	size_t dropped = 0;

	if (f->config.dns)
		dropped += drop_queries(f, now_mono_ns, timeout_ns);
	if (f->config.rtt)
		dropped += drop_handshakes(f, now_mono_ns, timeout_ns);
	return dropped;
}

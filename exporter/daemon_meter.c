/* SPDX-License-Identifier: MIT */
/*
 * The path of the data inside the daemon: fetcher -> cache -> record -> outputs, and interfaces ->
 * fetcher. Every drain reads the kernel's table, ends what is due and sends it on its way.
 */
#include "config.h"

#include "daemon_private.h"

#include <net/if_arp.h>
#include <glib-unix.h>
#include <string.h>

#define STASH_EVERY 256 /* flows that end in one go: about 0.1 ms */

static void count_observed(struct daemon *d, const struct flow_id *id,
			   const struct flow_metrics *delta)
{
	uint32_t iface = FLOW_IFACE(id->netns, id->direction, id->ifindex);
	struct observed *o = d->last_observed;

	if (!o || o->iface != iface) {
		o = g_hash_table_lookup(d->observed, GUINT_TO_POINTER(iface));
		if (!o) {
			o = g_new0(struct observed, 1);
			o->iface = iface;
			g_hash_table_insert(d->observed, GUINT_TO_POINTER(iface), o);
		}
		d->last_observed = o;
	}
	o->packets += delta->packets;
	o->octets += delta->bytes;
}

static uint32_t merge_flow(void *user, const struct flow_id *id, const struct flow_metrics *delta,
			   uint32_t slot, uint32_t hint)
{
	struct daemon *d = user;

	count_observed(d, id, delta);
	return cache_merge(d->cache, id, delta, slot, hint);
}

static void prefetch_flow(void *user, const struct flow_id *id, uint32_t hint)
{
	struct daemon *d = user;

	cache_prefetch(d->cache, id, hint);
}

static void export_flow(void *user, struct flow_record *record)
{
	struct daemon *d = user;

	record_derive(record, &d->now, &d->resolver);
	outputs_append(d->outputs, record);
	if (++d->n_exported % STASH_EVERY == 0)
		flow_fetcher_stash_ringbuf(d->fetcher);
}

static void retire_slot(void *user, uint32_t slot)
{
	struct daemon *d = user;

	if (!d->is_stopping)
		flow_fetcher_retire(d->fetcher, slot);
}

static void prefetch_slot(void *user, uint32_t slot)
{
	struct daemon *d = user;

	if (!d->is_stopping)
		flow_fetcher_prefetch_slot(d->fetcher, slot);
}

static void retire_others(void *user, uint32_t slot)
{
	struct daemon *d = user;

	if (!d->is_stopping)
		flow_fetcher_retire_others(d->fetcher, slot);
}

struct owner {
	const struct flow_id *id;
	bool found;
};

static void find_owner(void *user, const struct collector *collector,
		       const struct template *template, const struct output_skipped *skipped)
{
	struct owner *owner = user;

	owner->found |= collector_owns(collector, owner->id);
}

static bool is_own(void *user, const struct flow_id *id)
{
	struct daemon *d = user;
	struct owner owner = {.id = id};

	if (d->outputs)
		outputs_foreach(d->outputs, find_owner, &owner);
	return owner.found;
}

static struct daemon_interface *find_interface(struct daemon *d,
					       const struct daemon_interface *wanted)
{
	uint32_t hash = (wanted->ifindex ^ wanted->vlan << 16 ^ wanted->inner_vlan << 8 ^
			 (uint32_t)wanted->netns << 28) *
			2654435761u;
	struct daemon_interface *known = &d->interface_names[hash >> (32 - DAEMON_NAMES_LOG2)];

	if (d->interfaces_generation != interfaces_generation(d->interfaces)) {
		memset(d->interface_names, 0, sizeof(d->interface_names));
		d->interfaces_generation = interfaces_generation(d->interfaces);
	}
	if (known->ifindex != wanted->ifindex || known->vlan != wanted->vlan ||
	    known->inner_vlan != wanted->inner_vlan || known->netns != wanted->netns) {
		const struct interface *i;

		*known = *wanted;
		known->logical = interfaces_logical(d->interfaces, wanted->netns, wanted->ifindex,
						    wanted->vlan, wanted->inner_vlan);
		i = interfaces_get(d->interfaces, wanted->netns, known->logical);
		g_strlcpy(known->name, i ? i->name : "", sizeof(known->name));
	}
	return known;
}

static uint32_t logical_interface(void *user, uint8_t netns, uint32_t ifindex, uint16_t vlan,
				  uint16_t inner_vlan, char *name)
{
	const struct daemon_interface wanted = {ifindex, vlan, inner_vlan, netns, 0, ""};
	const struct daemon_interface *known = ifindex ? find_interface(user, &wanted) : &wanted;

	if (name)
		memcpy(name, known->name, sizeof(known->name));
	return known->logical;
}

static bool attach(void *user, const struct interface *interface, int netns_fd, int direction,
		   GError **error)
{
	struct daemon *d = user;
	bool ethernet =
		interface->link_type == ARPHRD_ETHER || interface->link_type == ARPHRD_LOOPBACK;

	if (direction == FLOW_INGRESS && d->settings->count == COUNT_ONCE &&
	    !flow_fetcher_set_interface_flag(d->fetcher, interface->netns, interface->ifindex,
					     FLOW_IFACE_HELD, true, error))
		return false;
	return flow_fetcher_set_interface_flag(d->fetcher, interface->netns, interface->ifindex,
					       FLOW_IFACE_NO_ETHERNET, !ethernet, error) &&
	       flow_fetcher_attach(d->fetcher, interface->netns, netns_fd, interface->ifindex,
				   direction, error);
}

static void detach(void *user, const struct interface *interface, int netns_fd, int direction)
{
	struct daemon *d = user;

	flow_fetcher_detach(d->fetcher, interface->netns, netns_fd, interface->ifindex, direction);
}

static void set_covered(void *user, uint8_t netns, uint32_t ifindex, bool covered)
{
	struct daemon *d = user;
	g_autoptr(GError) error = NULL;

	if (!flow_fetcher_set_interface_flag(d->fetcher, netns, ifindex, FLOW_IFACE_COVERED,
					     covered, &error))
		log_warning("interface %u: %s", ifindex, error->message);
}

static void find_ppp(void *user, const struct interface *interface)
{
	bool *ppp = user;

	if (interface->link_type == ARPHRD_PPP &&
	    (interface->hooked_ingress || interface->hooked_egress))
		ppp[interface->netns] = true;
}

/* What was counted at an interface of which nothing is known any more. */
static gboolean is_forgotten(gpointer key, gpointer value, gpointer user)
{
	const struct observed *o = value;
	const struct daemon *d = user;

	return !interfaces_get(d->interfaces, FLOW_IFACE_NETNS(o->iface),
			       FLOW_IFACE_IFINDEX(o->iface));
}

static void interfaces_changed(void *user)
{
	struct daemon *d = user;
	bool ppp[FLOW_MAX_NETNS] = {false};

	if (!d->interfaces)
		return;
	g_hash_table_foreach_remove(d->observed, is_forgotten, d);
	d->last_observed = NULL;
	interfaces_foreach(d->interfaces, find_ppp, ppp);
	for (int i = 0; i < FLOW_MAX_NETNS; i++)
		flow_fetcher_set_ppp_metered(d->fetcher, i, ppp[i]);
	if (d->outputs)
		outputs_options_changed(d->outputs);
}

static void add_interface(void *user, const struct interface *interface)
{
	struct options *options = user;
	struct options_interface row = {.ifindex = interface->ifindex, .netns = interface->netns};

	g_strlcpy(row.name, interface->name, sizeof(row.name));
	g_strlcpy(row.description,
		  *interface->description ? interface->description : interface->name,
		  sizeof(row.description));
	g_array_append_val(options->interfaces, row);
}

static void add_drop_reason(void *user, uint32_t number, const char *name)
{
	struct options *options = user;
	struct options_drop_reason row = {.cause = number};

	g_strlcpy(row.name, name, sizeof(row.name));
	g_array_append_val(options->drop_reasons, row);
}

void daemon_drain(struct daemon *d)
{
	struct clock_now end;

	clock_read(&d->now);
	d->drained_ns = d->now.mono_ns;
	flow_fetcher_lookup_and_delete_map(d->fetcher, d->now.mono_ns);
	clock_read(&end);
	histogram_observe(&d->process.drain_duration, (end.mono_ns - d->now.mono_ns) / 1e9);
	daemon_signals_drain(d);
	cache_expire(d->cache, d->now.mono_ns);
	outputs_flush(d->outputs);
}

/* Flows of the former interface are exported under its name, and none goes on as a flow of the new
 * one. */
static void index_reused(void *user, uint8_t netns, uint32_t ifindex)
{
	struct daemon *d = user;

	daemon_drain(d);
	daemon_flush(d);
	for (int direction = FLOW_INGRESS; direction <= FLOW_EGRESS; direction++)
		g_hash_table_remove(d->observed,
				    GUINT_TO_POINTER(FLOW_IFACE(netns, direction, ifindex)));
	d->last_observed = NULL;
}

static gboolean on_drain_timer(gpointer user)
{
	daemon_drain(user);
	return G_SOURCE_CONTINUE;
}

/* The ring is half full: flows turn over faster than the drain interval. What ends then ends by
 * what the table knows, too: a packet that was not read yet is no idleness. */
static gboolean on_ring(gint fd, GIOCondition condition, gpointer user)
{
	struct daemon *d = user;

	clock_read(&d->now);
	if (d->now.mono_ns - d->drained_ns >= MIN(NSEC_PER_SEC, d->settings->idle_timeout_ns / 2)) {
		daemon_drain(d);
		return G_SOURCE_CONTINUE;
	}
	flow_fetcher_read_ringbuf(d->fetcher, d->now.mono_ns);
	outputs_flush(d->outputs);
	return G_SOURCE_CONTINUE;
}

static struct flow_fetcher *new_fetcher(struct daemon *d, GError **error)
{
	const struct settings *s = d->settings;
	const struct flow_fetcher_config config = {
		.max_flows = s->max_flows,
		.sampling = s->sampling,
		.precise = s->timestamps == TIMESTAMPS_PRECISE,
		.count_once = s->count == COUNT_ONCE,
		.drops = s->drops,
		.dns = s->dns,
		.rtt = s->rtt,
		.instance = g_str_hash(s->control_socket),
		.force_clsact = g_getenv("BPFLOWD_FORCE_CLSACT"), /* for tests */
		.dns_ports = (const uint16_t *)(void *)s->dns_ports->data,
		.n_dns_ports = s->dns_ports->len,
		.ignored_drop_reasons = (const uint32_t *)(void *)d->ignored_reasons->data,
		.n_ignored_drop_reasons = d->ignored_reasons->len,
	};
	const struct flow_fetcher_callbacks callbacks = {.flow = merge_flow,
							 .prefetch = prefetch_flow,
							 .event = daemon_signals_event,
							 .user = d};

	return flow_fetcher_new(&config, &callbacks, error);
}

static struct interfaces *new_interfaces(struct daemon *d, GError **error)
{
	const struct settings *s = d->settings;
	const struct interfaces_callbacks callbacks = {
		.attach = attach,
		.detach = detach,
		.covered = set_covered,
		.reused = index_reused,
		.changed = interfaces_changed,
		.user = d,
	};

	return interfaces_new(s->interfaces, s->netns, s->direction,
			      s->count == COUNT_PER_INTERFACE, &callbacks, error);
}

static struct cache *new_cache(struct daemon *d)
{
	const struct cache_config config = {
		/* both tables of the kernel, and as much again for what turns over between two
		   exports */
		.max_flows = MIN(d->settings->max_flows * 4ull, UINT32_MAX / 2),
		.active_timeout_ns = d->settings->active_timeout_ns,
		.idle_timeout_ns = d->settings->idle_timeout_ns,
	};
	const struct cache_callbacks callbacks = {
		.export_flow = export_flow,
		.retire_slot = retire_slot,
		.retire_others = retire_others,
		.is_own = is_own,
		.user = d,
		.prefetch_slot = prefetch_slot,
	};

	return cache_new(&config, &callbacks);
}

void daemon_fill_options(void *user, struct options *options)
{
	struct daemon *d = user;
	struct flow_counters counters;

	flow_fetcher_counters(d->fetcher, &counters);
	options->domain = d->settings->observation_domain_id;
	options->sampling_interval = d->settings->sampling;
	options->boot_real_ms = daemon_boot_real_ms(d);
	options->observed_flows = cache_stats(d->cache)->created;
	options->ignored_packets = counters.lost_table_packets + counters.lost_ring_packets;
	options->ignored_octets = counters.lost_table_bytes + counters.lost_ring_bytes;
	interfaces_foreach(d->interfaces, add_interface, options);
	reasons_foreach(d->reasons, add_drop_reason, options);
}

bool daemon_meter_prepare(struct daemon *d, GError **error)
{
	d->observed = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	d->resolver.logical_interface = logical_interface;
	d->resolver.user = d;
	daemon_signals_prepare(d);
	d->fetcher = new_fetcher(d, error);
	if (!d->fetcher)
		return false;
	d->cache = new_cache(d);
	daemon_signals_start(d);
	return true;
}

static void start_timer(struct daemon *d, const struct settings *settings)
{
	uint64_t interval_ms = settings->drain_interval_ns / NSEC_PER_MSEC;

	g_clear_handle_id(&d->drain_timer, g_source_remove);
	d->drain_timer = g_timeout_add(MAX(interval_ms, 1), on_drain_timer, d);
}

struct choice {
	char *const *patterns;
	bool any; /* interface that they choose */
};

static void find_chosen(void *user, const struct interface *interface)
{
	struct choice *choice = user;

	choice->any |= interfaces_match(choice->patterns, interface->name);
}

bool daemon_meter_check(const struct daemon *d, const struct settings *s, GError **error)
{
	struct choice choice = {s->interfaces, *s->netns};
	g_autofree char *names = NULL;

	interfaces_foreach(d->interfaces, find_chosen, &choice);
	for (char **pattern = s->interfaces; *pattern; pattern++)
		choice.any |= **pattern != '!' && strpbrk(*pattern, "*?[");
	if (choice.any)
		return true;
	names = g_strjoinv(", ", s->interfaces);
	g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NODEV,
		    "metering.interfaces: there is no interface %s; `ip link` lists those that "
		    "there are",
		    names);
	return false;
}

bool daemon_meter_start(struct daemon *d, GError **error)
{
	d->interfaces = new_interfaces(d, error);
	if (!d->interfaces || !daemon_meter_check(d, d->settings, error))
		return false;
	interfaces_changed(d);
	start_timer(d, d->settings);
	d->ring_watch = g_unix_fd_add(flow_fetcher_ringbuf_fd(d->fetcher), G_IO_IN, on_ring, d);
	return true;
}

void daemon_meter_reload(struct daemon *d, const struct settings *next)
{
	interfaces_set(d->interfaces, next->interfaces, next->netns, next->direction);
	cache_set_timeouts(d->cache, next->active_timeout_ns, next->idle_timeout_ns);
	if (next->drain_interval_ns != d->settings->drain_interval_ns)
		start_timer(d, next);
}

void daemon_meter_clear(struct daemon *d)
{
	interfaces_free(d->interfaces);
	daemon_signals_clear(d);
	cache_free(d->cache);
	flow_fetcher_close(d->fetcher);
	if (d->observed)
		g_hash_table_unref(d->observed);
}

void daemon_meter_stop(struct daemon *d)
{
	char *nothing[] = {NULL};

	g_clear_handle_id(&d->drain_timer, g_source_remove);
	g_clear_handle_id(&d->ring_watch, g_source_remove);
	/* off all interfaces first, but keep their names for the last records */
	interfaces_set(d->interfaces, nothing, nothing, DIRECTION_BOTH);
	daemon_drain(d);
	daemon_drain(d); /* a partition that was read while a program ran */
	d->is_stopping = true;
	daemon_flush(d);
}

void daemon_flush(struct daemon *d)
{
	cache_flush(d->cache, FLOW_END_FORCED);
	outputs_flush(d->outputs);
}

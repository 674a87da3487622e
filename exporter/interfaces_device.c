/* SPDX-License-Identifier: MIT */
/* Between what the kernel tells (interfaces_link.c), what is right (topology.c) and the hooks
 * (callbacks). */
#include "config.h"

#include "interfaces_device.h"

#include <net/if_arp.h>
#include <string.h>

#include "kernel/flow.h"
#include "log.h"
#include "settings.h"

/* Flows of a vanished interface still wait for their export and want its name; a host that makes
 * and destroys containers all day must not fill the memory. */
#define MAX_VANISHED	1024
#define RETRY_FIRST_US	(100 * G_TIME_SPAN_MILLISECOND)
#define RETRY_MAX_SHIFT 9 /* 51 s */

_Static_assert(DIRECTION_INGRESS == 1 << FLOW_INGRESS && DIRECTION_EGRESS == 1 << FLOW_EGRESS,
	       "settings and hooks number the directions alike");

struct device {
	struct interface interface;
	char kind[16];
	uint8_t address[32];
	uint8_t address_size;
	bool present;
	bool covered;
	uint32_t dump; /* that told of it */
	uint32_t failures;
	int64_t retry_us; /* 0: at once */
};

static void vanish(struct device_table *table, struct device *device);
static void rebuild(struct device_table *table);
static int wanted_directions(const struct device_table *table, const struct topology_device *marks);
static void detach(struct device_table *table, struct device *device, int directions);
static void attach(struct device_table *table, struct device *device, int directions);
static void cover(struct device_table *table);

static struct device *find(const struct device_table *table, uint32_t ifindex)
{
	return g_hash_table_lookup(table->devices, GUINT_TO_POINTER(ifindex));
}

void device_table_init(struct device_table *table, const struct device_policy *policy,
		       uint8_t netns, const char *netns_name)
{
	*table = (struct device_table){
		.policy = policy,
		.netns = netns,
		.netns_name = netns_name,
		.netns_fd = -1,
		.devices = g_hash_table_new_full(NULL, NULL, NULL, g_free),
		.vanished = G_QUEUE_INIT,
	};
}

void device_table_clear(struct device_table *table)
{
	device_table_remove_all(table);
	g_queue_clear(&table->vanished);
	g_hash_table_destroy(table->devices);
	topology_free(table->last);
}

/* Notifications were lost: what has the same index may be another device by now. */
static bool is_same(const struct device *device, const struct link *link)
{
	return strcmp(device->interface.name, link->name) == 0 &&
	       strcmp(device->kind, link->kind) == 0 &&
	       device->address_size == link->address_size &&
	       memcmp(device->address, link->address, link->address_size) == 0;
}

static struct device *find_or_add(struct device_table *table, const struct link *link)
{
	const struct interfaces_callbacks *callbacks = &table->policy->callbacks;
	struct device *device = find(table, link->ifindex);

	if (device != NULL && device->present) {
		if (device->dump == table->dump || is_same(device, link))
			return device;
		vanish(table, device);
	}
	if (device != NULL && callbacks->reused != NULL)
		callbacks->reused(callbacks->user, table->netns, link->ifindex);
	if (device == NULL) {
		device = g_new0(struct device, 1);
		g_hash_table_insert(table->devices, GUINT_TO_POINTER(link->ifindex), device);
	}
	g_queue_remove(&table->vanished, device);
	*device = (struct device){.present = true};
	table->renamed = true;
	return device;
}

void device_table_update(struct device_table *table, const struct link *link)
{
	struct device *device = find_or_add(table, link);
	struct interface *interface = &device->interface;

	if (strcmp(interface->name, link->name) != 0 ||
	    strcmp(interface->description, link->description) != 0)
		table->renamed = true;
	interface->ifindex = link->ifindex;
	interface->netns = table->netns;
	g_strlcpy(interface->name, link->name, sizeof(interface->name));
	g_strlcpy(interface->description, link->description, sizeof(interface->description));
	interface->master = link->master;
	/* IFLA_LINK of a veth is its peer, of a tunnel its underlay: these lie under nothing. */
	interface->lower = topology_kind(link->kind) == TOPOLOGY_OWN ? 0 : link->lower;
	interface->vlan = link->vlan;
	interface->link_type = link->link_type;
	interface->up = link->up;
	interface->metered = interfaces_match(table->policy->patterns, link->name);

	g_strlcpy(device->kind, link->kind, sizeof(device->kind));
	memcpy(device->address, link->address, link->address_size);
	device->address_size = link->address_size;
	device->dump = table->dump;
	device->retry_us = 0;
	table->stale = true;
}

void device_table_remove(struct device_table *table, uint32_t ifindex)
{
	struct device *device = find(table, ifindex);

	if (device != NULL && device->present)
		vanish(table, device);
}

static void remove_if(struct device_table *table, bool all)
{
	g_autoptr(GPtrArray) gone = g_ptr_array_new();
	GHashTableIter iter;
	void *value;

	g_hash_table_iter_init(&iter, table->devices);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		struct device *device = value;
		if (device->present && (all || device->dump != table->dump))
			g_ptr_array_add(gone, device);
	}
	for (guint i = 0; i < gone->len; i++)
		vanish(table, g_ptr_array_index(gone, i));
}

void device_table_sweep(struct device_table *table)
{
	remove_if(table, false);
}

void device_table_remove_all(struct device_table *table)
{
	remove_if(table, true);
}

void device_table_rematch(struct device_table *table)
{
	GHashTableIter iter;
	void *value;

	g_hash_table_iter_init(&iter, table->devices);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		struct device *device = value;
		device->interface.metered =
			device->present &&
			interfaces_match(table->policy->patterns, device->interface.name);
		device->retry_us = 0;
	}
	table->stale = true;
}

int64_t device_table_apply(struct device_table *table)
{
	if (!table->stale && table->again_us == 0)
		return 0;
	if (table->stale)
		rebuild(table);
	table->stale = false;
	table->again_us = 0;

	/* First all that goes: while counting moves from a bond to its ports, a packet may be
	 * missed, but never counted twice. */
	for (size_t i = 0; i < table->last->n_devices; i++) {
		const struct topology_device *marks = &table->last->devices[i];
		detach(table, find(table, marks->ifindex), ~wanted_directions(table, marks));
	}
	for (size_t i = 0; i < table->last->n_devices; i++) {
		const struct topology_device *marks = &table->last->devices[i];
		struct device *device = find(table, marks->ifindex);
		attach(table, device, wanted_directions(table, marks));
		if (device->retry_us != 0 &&
		    (table->again_us == 0 || device->retry_us < table->again_us))
			table->again_us = device->retry_us;
	}
	cover(table);
	return table->again_us;
}

const struct interface *device_table_get(const struct device_table *table, uint32_t ifindex)
{
	const struct device *device = find(table, ifindex);

	return device == NULL ? NULL : &device->interface;
}

static void set_covered(struct device_table *table, struct device *device, bool covered)
{
	const struct interfaces_callbacks *callbacks = &table->policy->callbacks;

	if (device->covered == covered)
		return;
	device->covered = covered;
	callbacks->covered(callbacks->user, table->netns, device->interface.ifindex, covered);
}

static void vanish(struct device_table *table, struct device *device)
{
	detach(table, device, DIRECTION_BOTH);
	set_covered(table, device, false); /* by what lies under it */
	device->present = false;
	device->interface.up = false;
	device->interface.metered = false;
	device->interface.error[0] = '\0';
	table->stale = true;
	table->renamed = true;

	g_queue_push_tail(&table->vanished, device);
	if (table->vanished.length > MAX_VANISHED) {
		const struct device *oldest = g_queue_pop_head(&table->vanished);
		g_hash_table_remove(table->devices, GUINT_TO_POINTER(oldest->interface.ifindex));
	}
}

static void rebuild(struct device_table *table)
{
	g_autoptr(GArray) list = g_array_new(false, false, sizeof(struct topology_device));
	GHashTableIter iter;
	void *value;

	g_hash_table_iter_init(&iter, table->devices);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		const struct device *device = value;
		const struct interface *interface = &device->interface;
		const struct topology_device entry = {
			.ifindex = interface->ifindex,
			.master = interface->master,
			.lower = interface->lower,
			.vlan = interface->vlan,
			.kind = topology_kind(device->kind),
			.metered = interface->metered && interface->ifindex <= FLOW_MAX_IFINDEX,
		};
		if (device->present)
			g_array_append_val(list, entry);
	}
	topology_free(table->last);
	table->last = topology_new((struct topology_device *)list->data, list->len);
	topology_hook(table->last, table->policy->per_interface);
}

static int wanted_directions(const struct device_table *table, const struct topology_device *marks)
{
	const struct device *device = find(table, marks->ifindex);

	if (!marks->hooked)
		return 0;
	/* what goes out by lo comes in by it at once: the same packet */
	if (device->interface.link_type == ARPHRD_LOOPBACK && !table->policy->per_interface &&
	    table->policy->directions == DIRECTION_BOTH)
		return DIRECTION_EGRESS;
	return table->policy->directions;
}

static bool *hook(struct device *device, int direction)
{
	return direction == FLOW_INGRESS ? &device->interface.hooked_ingress
					 : &device->interface.hooked_egress;
}

static void detach(struct device_table *table, struct device *device, int directions)
{
	const struct interfaces_callbacks *callbacks = &table->policy->callbacks;

	for (int direction = FLOW_INGRESS; direction <= FLOW_EGRESS; direction++) {
		bool *hooked = hook(device, direction);
		if (!*hooked || !(directions & 1 << direction))
			continue;
		/* from here on its packets are counted where they leave, and not by the hook */
		if (direction == FLOW_INGRESS)
			set_covered(table, device, false);
		*hooked = false;
		table->renamed = true;
		callbacks->detach(callbacks->user, &device->interface, table->netns_fd, direction);
	}
}

static void failed(struct device_table *table, struct device *device, const GError *error)
{
	struct interface *interface = &device->interface;
	const uint32_t shift = MIN(device->failures, RETRY_MAX_SHIFT);
	const int64_t delay_us = (int64_t)RETRY_FIRST_US << shift;
	/* It went away meanwhile; rtnetlink will say so. */
	const bool gone = g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_NOENT);

	if (!gone && strcmp(interface->error, error->message) != 0)
		log_warning("interface %s%s%s: can't attach: %s; will retry", interface->name,
			    table->netns == 0 ? "" : "@", table->netns_name, error->message);
	g_strlcpy(interface->error, error->message, sizeof(interface->error));
	device->failures++;
	device->retry_us = g_get_monotonic_time() + delay_us;
}

static bool attach_one(struct device_table *table, struct device *device, int direction,
		       GError **error)
{
	const struct interfaces_callbacks *callbacks = &table->policy->callbacks;
	bool *hooked = hook(device, direction);

	if (*hooked)
		return true;
	/* its packets are counted where they leave until cover says that the hook does it */
	if (direction == FLOW_INGRESS)
		set_covered(table, device, false);
	*hooked = callbacks->attach(callbacks->user, &device->interface, table->netns_fd, direction,
				    error);
	table->renamed |= *hooked;
	return *hooked;
}

static void attach(struct device_table *table, struct device *device, int directions)
{
	struct interface *interface = &device->interface;
	g_autoptr(GError) error = NULL;
	bool ok = true;

	if (interface->metered && interface->ifindex > FLOW_MAX_IFINDEX) {
		g_snprintf(interface->error, sizeof(interface->error),
			   "index %u is above %d, the highest that can be metered",
			   interface->ifindex, FLOW_MAX_IFINDEX);
		return;
	}
	if (directions != 0 && device->retry_us > g_get_monotonic_time())
		return;
	device->retry_us = 0;
	for (int direction = FLOW_INGRESS; direction <= FLOW_EGRESS; direction++) {
		GError **reason = error == NULL ? &error : NULL;
		if ((directions & 1 << direction) && !attach_one(table, device, direction, reason))
			ok = false;
	}
	if (!ok) {
		failed(table, device, error);
		return;
	}
	device->failures = 0;
	interface->error[0] = '\0';
}

static void cover(struct device_table *table)
{
	for (size_t i = 0; i < table->last->n_devices; i++) {
		struct topology_device *marks = &table->last->devices[i];
		marks->attached = find(table, marks->ifindex)->interface.hooked_ingress;
	}
	topology_cover(table->last, table->policy->per_interface);
	for (size_t i = 0; i < table->last->n_devices; i++) {
		const struct topology_device *marks = &table->last->devices[i];
		set_covered(table, find(table, marks->ifindex), marks->covered);
	}
}

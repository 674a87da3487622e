/* SPDX-License-Identifier: MIT */
/*
 * Follows the namespaces: finds them by name, listens to rtnetlink in each, and has the devices of
 * all brought to where they should be after each change. Below it: interfaces_netns.c,
 * interfaces_link.c, interfaces_device.c; above: daemon.c.
 */
#include "config.h"

#include "interfaces.h"

#include <glib-unix.h>
#include <string.h>
#include <unistd.h>

#include "interfaces_device.h"
#include "interfaces_link.h"
#include "interfaces_netns.h"
#include "kernel/flow.h"
#include "log.h"

#define REOPEN_US (100 * G_TIME_SPAN_MILLISECOND)

struct netns {
	struct interfaces *owner;
	char *name; /* "": the daemon's own */
	bool wanted;
	int fd; /* -1: not there */
	struct netns_id id;
	struct link_monitor *monitor; /* NULL: not there, or to be opened again */
	guint source;
	int64_t reopen_us;
	char *problem; /* as last logged */
	struct device_table table;
};

struct interfaces {
	struct device_policy policy;
	GPtrArray *namespaces; /* struct netns; the number is the position, for good */
	struct netns_watch *watch;
	guint timer;
	uint64_t generation;
};

static void set_policy(struct interfaces *interfaces, char *const *patterns, int directions);
static void set_names(struct interfaces *interfaces, char *const *names);
static struct netns *add_netns(struct interfaces *interfaces, const char *name);
static void unfollow(struct netns *netns);
static void free_netns(void *data);
static bool start(struct netns *netns, GError **error);
static void look_for_names(void *user);
static void settle(struct interfaces *interfaces);

static struct netns *netns_at(const struct interfaces *interfaces, uint32_t number)
{
	return number < interfaces->namespaces->len
		       ? g_ptr_array_index(interfaces->namespaces, number)
		       : NULL;
}

struct interfaces *interfaces_new(char *const *patterns, char *const *netns, int directions,
				  bool per_interface, const struct interfaces_callbacks *callbacks,
				  GError **error)
{
	struct interfaces *interfaces = g_new0(struct interfaces, 1);

	interfaces->namespaces = g_ptr_array_new_with_free_func(free_netns);
	interfaces->policy.callbacks = *callbacks;
	interfaces->policy.per_interface = per_interface;
	set_policy(interfaces, patterns, directions);

	struct netns *own = add_netns(interfaces, "");
	own->fd = netns_open("", &own->id, error);
	if (own->fd < 0 || !start(own, error)) {
		interfaces_free(interfaces);
		return NULL;
	}
	set_names(interfaces, netns);
	look_for_names(interfaces);
	return interfaces;
}

void interfaces_free(struct interfaces *interfaces)
{
	if (interfaces == NULL)
		return;
	netns_watch_free(interfaces->watch);
	if (interfaces->timer != 0)
		g_source_remove(interfaces->timer);
	/* Callbacks may still ask for names. */
	for (uint32_t i = 0; i < interfaces->namespaces->len; i++)
		unfollow(netns_at(interfaces, i));
	g_ptr_array_free(interfaces->namespaces, true);
	g_strfreev(interfaces->policy.patterns);
	g_free(interfaces);
}

void interfaces_set(struct interfaces *interfaces, char *const *patterns, char *const *netns,
		    int directions)
{
	set_policy(interfaces, patterns, directions);
	for (uint32_t i = 0; i < interfaces->namespaces->len; i++)
		device_table_rematch(&netns_at(interfaces, i)->table);
	set_names(interfaces, netns);
	look_for_names(interfaces);
}

const struct interface *interfaces_get(const struct interfaces *interfaces, uint8_t netns,
				       uint32_t ifindex)
{
	const struct netns *in = netns_at(interfaces, netns);

	return in == NULL ? NULL : device_table_get(&in->table, ifindex);
}

uint32_t interfaces_logical(const struct interfaces *interfaces, uint8_t netns, uint32_t ifindex,
			    uint16_t vlan, uint16_t inner_vlan)
{
	const struct netns *in = netns_at(interfaces, netns);

	if (in == NULL)
		return ifindex;
	return topology_logical(in->table.last, ifindex, vlan, inner_vlan);
}

uint64_t interfaces_generation(const struct interfaces *interfaces)
{
	return interfaces->generation;
}

void interfaces_foreach(const struct interfaces *interfaces,
			void (*fn)(void *user, const struct interface *interface), void *user)
{
	for (uint32_t i = 0; i < interfaces->namespaces->len; i++) {
		const struct device_table *table = &netns_at(interfaces, i)->table;
		for (size_t j = 0; table->last != NULL && j < table->last->n_devices; j++) {
			const struct interface *interface =
				device_table_get(table, table->last->devices[j].ifindex);
			if (interface != NULL)
				fn(user, interface);
		}
	}
}

const char *interfaces_netns_name(const struct interfaces *interfaces, uint8_t netns)
{
	const struct netns *in = netns_at(interfaces, netns);

	return in == NULL ? "" : in->name;
}

static void set_policy(struct interfaces *interfaces, char *const *patterns, int directions)
{
	g_strfreev(interfaces->policy.patterns);
	interfaces->policy.patterns = g_strdupv((char **)patterns);
	interfaces->policy.directions = directions;
}

static struct netns *find_name(const struct interfaces *interfaces, const char *name)
{
	for (uint32_t i = 0; i < interfaces->namespaces->len; i++)
		if (strcmp(netns_at(interfaces, i)->name, name) == 0)
			return netns_at(interfaces, i);
	return NULL;
}

static void set_names(struct interfaces *interfaces, char *const *names)
{
	g_autoptr(GError) error = NULL;

	for (uint32_t i = 1; i < interfaces->namespaces->len; i++)
		netns_at(interfaces, i)->wanted = false;
	for (; names != NULL && *names != NULL; names++) {
		struct netns *netns = find_name(interfaces, *names);
		if (netns == NULL)
			netns = add_netns(interfaces, *names);
		if (netns == NULL)
			log_error("netns %s: not metered: %d names since the start are the most",
				  *names, FLOW_MAX_NETNS - 1);
		else
			netns->wanted = true;
	}
	if (interfaces->namespaces->len > 1 && interfaces->watch == NULL)
		interfaces->watch = netns_watch_new(look_for_names, interfaces, &error);
	if (error != NULL)
		log_warning("metering.netns: %s; namespaces that come later aren't seen",
			    error->message);
}

static struct netns *add_netns(struct interfaces *interfaces, const char *name)
{
	const uint32_t number = interfaces->namespaces->len;
	struct netns *netns;

	if (number >= FLOW_MAX_NETNS)
		return NULL;
	netns = g_new0(struct netns, 1);
	netns->owner = interfaces;
	netns->name = g_strdup(name);
	netns->fd = -1;
	device_table_init(&netns->table, &interfaces->policy, number, netns->name);
	g_ptr_array_add(interfaces->namespaces, netns);
	return netns;
}

static const char *label(const struct netns *netns)
{
	return *netns->name == '\0' ? "own" : netns->name;
}

static void stop(struct netns *netns)
{
	if (netns->source != 0)
		g_source_remove(netns->source);
	netns->source = 0;
	g_clear_pointer(&netns->monitor, link_monitor_free);
}

/* Everything is detached while the descriptor still leads to the namespace. */
static void unfollow(struct netns *netns)
{
	stop(netns);
	device_table_remove_all(&netns->table);
	netns->owner->generation++;
	netns->table.netns_fd = -1;
	if (netns->fd >= 0)
		close(netns->fd);
	netns->fd = -1;
}

static void free_netns(void *data)
{
	struct netns *netns = data;

	device_table_clear(&netns->table);
	g_free(netns->name);
	g_free(netns->problem);
	g_free(netns);
}

/* Logs a state once, until it changes. NULL: all is well. */
static void set_problem(struct netns *netns, const char *problem)
{
	if (g_strcmp0(netns->problem, problem) == 0)
		return;
	if (problem != NULL)
		log_warning("netns %s: %s", label(netns), problem);
	g_free(netns->problem);
	netns->problem = g_strdup(problem);
}

static void link_changed(void *user, const struct link *link)
{
	struct netns *netns = user;

	device_table_update(&netns->table, link);
	netns->owner->generation++;
}

static void link_gone(void *user, uint32_t ifindex)
{
	struct netns *netns = user;

	device_table_remove(&netns->table, ifindex);
	netns->owner->generation++;
}

static void dump_complete(void *user)
{
	struct netns *netns = user;

	device_table_sweep(&netns->table);
	netns->owner->generation++;
}

static void read_or_stop(struct netns *netns)
{
	g_autoptr(GError) error = NULL;

	if (netns->monitor == NULL || link_monitor_read(netns->monitor, &error))
		return;
	log_info("netns %s: %s; listing the interfaces again", label(netns), error->message);
	stop(netns);
}

/* All sockets are read before anything is attached: a device that moves is told as gone by its old
 * namespace before it is told by the new one, and must be detached first. */
static void read_all(struct interfaces *interfaces)
{
	for (uint32_t i = 0; i < interfaces->namespaces->len; i++)
		read_or_stop(netns_at(interfaces, i));
}

static int readable(int fd, GIOCondition condition, void *user)
{
	struct netns *netns = user;

	read_all(netns->owner);
	settle(netns->owner);
	return G_SOURCE_CONTINUE;
}

static struct link_monitor *open_monitor(struct netns *netns, GError **error)
{
	const struct netns *own = netns_at(netns->owner, 0);
	const struct link_callbacks callbacks = {
		.changed = link_changed,
		.gone = link_gone,
		.complete = dump_complete,
		.user = netns,
	};
	struct link_monitor *monitor;

	if (netns == own)
		return link_monitor_new(&callbacks, error);
	if (!netns_enter(netns->fd, error))
		return NULL;
	monitor = link_monitor_new(&callbacks, error);
	netns_leave(own->fd);
	return monitor;
}

/* The kernel goes on with a dump as it is read: the first reading gets it all. If that breaks off,
 * settle opens again. */
static bool start(struct netns *netns, GError **error)
{
	netns->reopen_us = g_get_monotonic_time() + REOPEN_US;
	netns->monitor = open_monitor(netns, error);
	if (netns->monitor == NULL)
		return false;
	netns->table.dump++;
	netns->source =
		g_unix_fd_add(link_monitor_fd(netns->monitor), G_IO_IN | G_IO_ERR, readable, netns);
	read_or_stop(netns);
	return true;
}

static const struct netns *find_same(const struct interfaces *interfaces, const struct netns_id *id)
{
	for (uint32_t i = 0; i < interfaces->namespaces->len; i++) {
		const struct netns *netns = netns_at(interfaces, i);
		if (netns->fd >= 0 && netns->id.dev == id->dev && netns->id.ino == id->ino)
			return netns;
	}
	return NULL;
}

/* Takes the descriptor over. */
static void follow(struct netns *netns, int fd, const struct netns_id *id)
{
	g_autofree char *problem = NULL;
	const struct netns *same = find_same(netns->owner, id);

	if (same != NULL) {
		/* Its packets are counted under the other name already. */
		problem = g_strdup_printf("not metered: it is the same namespace as %s",
					  *same->name == '\0' ? "the daemon's own" : same->name);
		set_problem(netns, problem);
		close(fd);
		return;
	}
	netns->fd = fd;
	netns->id = *id;
	netns->table.netns_fd = fd;
	netns->reopen_us = 0;
}

/* That a namespace goes and comes is ordinary. */
static void set_missing(struct netns *netns, bool was_there)
{
	if (was_there)
		log_info("netns %s: gone", netns->name);
	else if (netns->problem == NULL)
		log_info("netns %s: isn't there yet", netns->name);
	g_free(netns->problem);
	netns->problem = g_strdup("missing");
}

static void look_for_name(struct netns *netns)
{
	g_autoptr(GError) error = NULL;
	struct netns_id id = {0};
	const int fd = netns->wanted ? netns_open(netns->name, &id, &error) : -1;

	if (fd >= 0 && netns->fd >= 0 && netns->id.dev == id.dev && netns->id.ino == id.ino) {
		close(fd);
		return;
	}
	const bool was_there = netns->fd >= 0;
	unfollow(netns);
	if (fd >= 0)
		follow(netns, fd, &id);
	else if (g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_NOENT))
		set_missing(netns, was_there);
	else
		set_problem(netns, error == NULL ? NULL : error->message);
}

static void look_for_names(void *user)
{
	struct interfaces *interfaces = user;

	for (uint32_t i = 1; i < interfaces->namespaces->len; i++)
		look_for_name(netns_at(interfaces, i));
	settle(interfaces);
}

static void start_if_due(struct netns *netns)
{
	g_autoptr(GError) error = NULL;

	if (netns->fd < 0 || netns->monitor != NULL || netns->reopen_us > g_get_monotonic_time())
		return;
	const bool started = start(netns, &error);
	if (started && netns->problem != NULL)
		log_info("netns %s: metered", label(netns));
	set_problem(netns, started ? NULL : error->message);
}

static int come_again(void *user)
{
	struct interfaces *interfaces = user;

	interfaces->timer = 0;
	settle(interfaces);
	return G_SOURCE_REMOVE;
}

static void set_timer(struct interfaces *interfaces, int64_t when_us)
{
	const int64_t delay_us = when_us - g_get_monotonic_time();

	if (interfaces->timer != 0)
		g_source_remove(interfaces->timer);
	interfaces->timer = 0;
	if (when_us != 0)
		interfaces->timer =
			g_timeout_add(MAX(delay_us, 0) / 1000 + 1, come_again, interfaces);
}

static int64_t earlier(int64_t a_us, int64_t b_us)
{
	if (a_us == 0 || b_us == 0)
		return MAX(a_us, b_us);
	return MIN(a_us, b_us);
}

/* Brings everything to where it should be, and comes again for what isn't. */
static void settle(struct interfaces *interfaces)
{
	const struct interfaces_callbacks *callbacks = &interfaces->policy.callbacks;
	int64_t again_us = 0;
	bool renamed = false;

	for (uint32_t i = 0; i < interfaces->namespaces->len; i++)
		start_if_due(netns_at(interfaces, i));
	for (uint32_t i = 0; i < interfaces->namespaces->len; i++) {
		struct netns *netns = netns_at(interfaces, i);
		again_us = earlier(again_us, device_table_apply(&netns->table));
		if (netns->fd >= 0 && netns->monitor == NULL)
			again_us = earlier(again_us, netns->reopen_us);
		renamed |= netns->table.renamed;
		netns->table.renamed = false;
	}
	interfaces->generation++;
	set_timer(interfaces, again_us);
	if (renamed)
		callbacks->changed(callbacks->user);
}

/* SPDX-License-Identifier: MIT */
/*
 * Count once: a packet that passes several devices on its way through one interface of the router
 * is counted at the lowest of them. A VLAN, macvlan or ipvlan device isn't hooked when the device
 * under it is: that one sees the same packets, and the VLAN id is in the flow key. A bond, team or
 * bridge isn't hooked when all its ports are counted.
 *
 * When only some ports are, both ways to hook them would be wrong together: what a counted port
 * hands up would be counted again at the master. So the master takes over and its ports aren't
 * hooked: no packet twice, and none missed at the master. The price: what such a bridge forwards
 * from port to port never reaches the bridge device and isn't seen. A master can't take over from a
 * port that is a VLAN device over a counted one (the hook there also serves other VLANs); then the
 * master isn't hooked, and what its other ports hand up is counted where it leaves.
 */
#include "config.h"

#include "topology.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

/* Where the packets of a device are counted. */
enum { UNKNOWN, BUSY, NOWHERE, HERE, BELOW };

/* Deeper stacks than the kernel allows (8 levels, MAX_NEST_DEV) are loops seen in half a change. */
#define MAX_DEPTH 9

static int by_ifindex(const void *a, const void *b);
static int by_lower(const void *a, const void *b);
static const struct topology_device *vlan_device(const struct topology *topology, uint32_t lower,
						 uint16_t vlan);
static void link_ports(struct topology *topology);
static void count(struct topology *topology);
static bool counted(struct topology *topology, struct topology_device *device);
static bool retake(struct topology *topology);
static bool covered(const struct topology *topology, const struct topology_device *device);

struct topology *topology_new(const struct topology_device *devices, size_t n_devices)
{
	struct topology *topology = g_new0(struct topology, 1);

	topology->n_devices = n_devices;
	topology->devices = g_new0(struct topology_device, n_devices + 1);
	topology->uppers = g_new0(struct topology_device *, n_devices + 1);
	if (n_devices > 0)
		memcpy(topology->devices, devices, n_devices * sizeof(*devices));
	qsort(topology->devices, n_devices, sizeof(*devices), by_ifindex);
	for (size_t i = 0; i < n_devices; i++) {
		struct topology_device *device = &topology->devices[i];
		if (device->lower != 0 && device->vlan != 0)
			topology->uppers[topology->n_uppers++] = device;
	}
	qsort(topology->uppers, topology->n_uppers, sizeof(*topology->uppers), by_lower);
	link_ports(topology);
	return topology;
}

void topology_free(struct topology *topology)
{
	if (topology == NULL)
		return;
	g_free(topology->devices);
	g_free(topology->uppers);
	g_free(topology);
}

void topology_hook(struct topology *topology, bool per_interface)
{
	for (size_t i = 0; i < topology->n_devices; i++)
		topology->devices[i].taken = false;

	/* Who takes over depends on what is counted below, and that on who takes over elsewhere:
	 * repeat until nothing changes. */
	count(topology);
	for (int round = 0; round < MAX_DEPTH && retake(topology); round++)
		count(topology);

	for (size_t i = 0; i < topology->n_devices; i++) {
		struct topology_device *device = &topology->devices[i];
		device->hooked = per_interface ? device->metered : device->counted == HERE;
	}
}

void topology_cover(struct topology *topology, bool per_interface)
{
	for (size_t i = 0; i < topology->n_devices; i++) {
		struct topology_device *device = &topology->devices[i];
		device->covered = !per_interface && covered(topology, device);
	}
}

struct topology_device *topology_find(const struct topology *topology, uint32_t ifindex)
{
	const struct topology_device key = {.ifindex = ifindex};

	if (topology == NULL || ifindex == 0)
		return NULL;
	return bsearch(&key, topology->devices, topology->n_devices, sizeof(key), by_ifindex);
}

uint32_t topology_logical(const struct topology *topology, uint32_t ifindex, uint16_t vlan,
			  uint16_t inner_vlan)
{
	const struct topology_device *outer, *inner;

	for (int depth = 0; topology != NULL && depth < MAX_DEPTH; depth++) {
		outer = vlan_device(topology, ifindex, vlan);
		if (outer != NULL) {
			inner = vlan_device(topology, outer->ifindex, inner_vlan);
			return inner != NULL ? inner->ifindex : outer->ifindex;
		}

		const struct topology_device *device = topology_find(topology, ifindex);
		const struct topology_device *master =
			device == NULL ? NULL : topology_find(topology, device->master);
		if (master == NULL || master->kind != TOPOLOGY_STACK)
			break;
		ifindex = master->ifindex;
	}
	return ifindex;
}

enum topology_kind topology_kind(const char *name)
{
	static const struct {
		const char *name;
		enum topology_kind kind;
	} kinds[] = {
		{"vlan", TOPOLOGY_UPPER},    {"macvlan", TOPOLOGY_UPPER},
		{"macvtap", TOPOLOGY_UPPER}, {"ipvlan", TOPOLOGY_UPPER},
		{"ipvtap", TOPOLOGY_UPPER},  {"bond", TOPOLOGY_STACK},
		{"team", TOPOLOGY_STACK},    {"bridge", TOPOLOGY_STACK},
		{"vrf", TOPOLOGY_VRF},	     {"dsa", TOPOLOGY_SWITCH},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return kinds[i].kind;
	return TOPOLOGY_OWN;
}

static int by_ifindex(const void *a, const void *b)
{
	const struct topology_device *x = a;
	const struct topology_device *y = b;

	return (x->ifindex > y->ifindex) - (x->ifindex < y->ifindex);
}

/* 802.1Q and 802.1ad devices may share an id over one device; the flow key doesn't tell them apart,
 * so any of the two will do. */
static int by_lower(const void *a, const void *b)
{
	const struct topology_device *x = *(struct topology_device *const *)a;
	const struct topology_device *y = *(struct topology_device *const *)b;

	if (x->lower != y->lower)
		return x->lower > y->lower ? 1 : -1;
	return (x->vlan > y->vlan) - (x->vlan < y->vlan);
}

static const struct topology_device *vlan_device(const struct topology *topology, uint32_t lower,
						 uint16_t vlan)
{
	const struct topology_device key = {.lower = lower, .vlan = vlan};
	const struct topology_device *wanted = &key;
	struct topology_device **upper = NULL;

	if (vlan != 0)
		upper = bsearch(&wanted, topology->uppers, topology->n_uppers, sizeof(wanted),
				by_lower);
	return upper == NULL ? NULL : *upper;
}

static void link_ports(struct topology *topology)
{
	for (size_t i = 0; i < topology->n_devices; i++) {
		struct topology_device *device = &topology->devices[i];
		struct topology_device *master = topology_find(topology, device->master);
		struct topology_device *lower = topology_find(topology, device->lower);

		if (master != NULL) {
			device->next_port = master->first_port;
			master->first_port = i + 1;
		}
		if (lower != NULL && device->kind == TOPOLOGY_SWITCH && device->metered)
			lower->wrapped = true;
	}
}

static struct topology_device *port_at(const struct topology *topology, uint32_t position)
{
	return position == 0 ? NULL : &topology->devices[position - 1];
}

/* Everything that passes the device is counted under it. */
static bool carried(struct topology *topology, const struct topology_device *device)
{
	if (device->kind == TOPOLOGY_UPPER) {
		struct topology_device *lower = topology_find(topology, device->lower);
		return lower != NULL && counted(topology, lower);
	}
	if (device->kind != TOPOLOGY_STACK && device->kind != TOPOLOGY_VRF)
		return false;
	struct topology_device *port = port_at(topology, device->first_port);
	for (; port != NULL; port = port_at(topology, port->next_port))
		if (!counted(topology, port))
			return false;
	return device->first_port != 0;
}

/* Something that reaches the device is counted under it, where a master can't have it stopped. */
static bool immovable(struct topology *topology, const struct topology_device *device, int depth)
{
	if (device->kind == TOPOLOGY_UPPER)
		return carried(topology, device);
	if (device->kind != TOPOLOGY_STACK || depth == 0)
		return false;
	struct topology_device *port = port_at(topology, device->first_port);
	for (; port != NULL; port = port_at(topology, port->next_port))
		if (immovable(topology, port, depth - 1))
			return true;
	return false;
}

static bool any_port_counted(struct topology *topology, const struct topology_device *device)
{
	struct topology_device *port = port_at(topology, device->first_port);

	for (; port != NULL; port = port_at(topology, port->next_port))
		if (counted(topology, port))
			return true;
	return false;
}

static int decide(struct topology *topology, struct topology_device *device)
{
	device->takes = false;
	if (device->taken)
		return NOWHERE;
	if (carried(topology, device))
		return BELOW;
	if (!device->metered || device->wrapped)
		return NOWHERE;
	/* Packets pass a VRF device after its port, and again on their way out: never hook both. */
	if (device->kind == TOPOLOGY_VRF && any_port_counted(topology, device))
		return NOWHERE;
	if (device->kind != TOPOLOGY_STACK || device->first_port == 0)
		return HERE;
	device->takes = !immovable(topology, device, MAX_DEPTH);
	return device->takes ? HERE : NOWHERE;
}

static bool counted(struct topology *topology, struct topology_device *device)
{
	if (device->counted == UNKNOWN) {
		device->counted = BUSY;
		device->counted = decide(topology, device);
	}
	return device->counted == HERE || device->counted == BELOW;
}

static void count(struct topology *topology)
{
	for (size_t i = 0; i < topology->n_devices; i++)
		topology->devices[i].counted = UNKNOWN;
	for (size_t i = 0; i < topology->n_devices; i++)
		counted(topology, &topology->devices[i]);
}

/* Marks the ports of masters that take over, and what lies under these ports. Returns whether a
 * mark changed. */
static bool retake(struct topology *topology)
{
	bool changed = false;

	for (size_t i = 0; i < topology->n_devices; i++) {
		struct topology_device *device = &topology->devices[i];
		const struct topology_device *master = topology_find(topology, device->master);
		bool taken = false;

		for (int depth = 0; master != NULL && depth < MAX_DEPTH && !taken; depth++) {
			if (master->kind != TOPOLOGY_STACK)
				break;
			taken = master->takes;
			master = topology_find(topology, master->master);
		}
		changed |= taken != device->taken;
		device->taken = taken;
	}
	return changed;
}

/* A hook that couldn't be attached covers nothing: then the packet is counted where it leaves. */
static bool covered(const struct topology *topology, const struct topology_device *device)
{
	if (device->counted != BELOW)
		return device->hooked && device->attached;
	if (device->kind == TOPOLOGY_UPPER) {
		const struct topology_device *lower = topology_find(topology, device->lower);
		return lower != NULL && covered(topology, lower);
	}
	const struct topology_device *port = port_at(topology, device->first_port);
	for (; port != NULL; port = port_at(topology, port->next_port))
		if (!covered(topology, port))
			return false;
	return true;
}

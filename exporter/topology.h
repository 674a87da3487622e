/* SPDX-License-Identifier: MIT */
/*
 * What lies over what in one network namespace, and at which devices packets are therefore to be
 * counted so that each is counted once. Pure: a list of devices in, marks out. Above:
 * interfaces.c, which knows the list from rtnetlink.
 */
#ifndef BPFLOWD_TOPOLOGY_H
#define BPFLOWD_TOPOLOGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum topology_kind {
	TOPOLOGY_OWN,	/* packets of its own: hardware, veth, tun; a tunnel makes new packets */
	TOPOLOGY_UPPER, /* shows packets of the device under it: VLAN, macvlan, ipvlan */
	TOPOLOGY_STACK, /* shows packets of its ports: bond, team, bridge */
	TOPOLOGY_VRF,	/* routing table that packets of its ports pass in between */
	TOPOLOGY_SWITCH /* port of a switch chip; the device under it shows its packets wrapped */
};

struct topology_device {
	uint32_t ifindex;
	uint32_t master; /* 0: none */
	uint32_t lower;	 /* UPPER, SWITCH: device under it in the same namespace, 0: none */
	uint16_t vlan;	 /* id of a VLAN device, 0: not one */
	enum topology_kind kind;
	bool metered;  /* wanted by the patterns, and possible */
	bool attached; /* its ingress hook is in place; for topology_cover */
	/* results */
	bool hooked;  /* count here */
	bool covered; /* what comes in by it is counted here or below */
	/* work of topology_hook */
	bool taken;
	bool takes;
	bool wrapped;
	uint8_t counted;     /* enum in topology.c */
	uint32_t first_port; /* position + 1, 0: none */
	uint32_t next_port;
};

struct topology {
	struct topology_device *devices; /* by ifindex */
	struct topology_device **uppers; /* by lower and vlan */
	size_t n_devices;
	size_t n_uppers;
};

/* Copies the devices, which may come in any order. */
struct topology *topology_new(const struct topology_device *devices, size_t n_devices);
void topology_free(struct topology *topology);

/* Marks where to hook. per_interface: on every metered device. */
void topology_hook(struct topology *topology, bool per_interface);

/* Marks what is covered, from what is hooked and attached. per_interface: nothing. */
void topology_cover(struct topology *topology, bool per_interface);

/* NULL if unknown. */
struct topology_device *topology_find(const struct topology *topology, uint32_t ifindex);

/* The VLAN device for (ifindex, vlan), also one over its bond or bridge, and that for inner_vlan
 * over it; else the bond or bridge; else ifindex. */
uint32_t topology_logical(const struct topology *topology, uint32_t ifindex, uint16_t vlan,
			  uint16_t inner_vlan);

/* Kind of a device by the name that rtnetlink gives it (IFLA_INFO_KIND); "" for none. */
enum topology_kind topology_kind(const char *name);

#endif

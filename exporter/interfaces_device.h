/* SPDX-License-Identifier: MIT */
/*
 * The devices of one namespace: what rtnetlink told of them, and carrying out what topology.c says
 * of them. Only interfaces.c uses it.
 */
#ifndef BPFLOWD_INTERFACES_DEVICE_H
#define BPFLOWD_INTERFACES_DEVICE_H

#include "interfaces.h"
#include "interfaces_link.h"
#include "topology.h"

/* What holds for the devices of every namespace. */
struct device_policy {
	struct interfaces_callbacks callbacks;
	char **patterns;
	int directions;
	bool per_interface;
};

struct device_table {
	const struct device_policy *policy;
	const char *netns_name;
	uint8_t netns;
	int netns_fd;	       /* -1: own namespace */
	GHashTable *devices;   /* ifindex -> struct device; owned; vanished ones stay for a while */
	GQueue vanished;       /* struct device, the oldest first */
	struct topology *last; /* as of device_table_apply */
	uint32_t dump;	       /* number of the latest dump */
	int64_t again_us;      /* when to try again what failed, 0: nothing did */
	bool stale;	       /* something changed since last */
	bool renamed;	       /* names, descriptions or set changed; the owner clears it */
};

void device_table_init(struct device_table *table, const struct device_policy *policy,
		       uint8_t netns, const char *netns_name);
void device_table_clear(struct device_table *table);

/* What rtnetlink tells. Devices that the latest dump doesn't hold vanish with sweep; a device that
 * vanishes is detached at once, while its name can still be asked for. */
void device_table_update(struct device_table *table, const struct link *link);
void device_table_remove(struct device_table *table, uint32_t ifindex);
void device_table_sweep(struct device_table *table);
void device_table_remove_all(struct device_table *table);

/* Patterns or directions changed. */
void device_table_rematch(struct device_table *table);

/* Detaches and attaches what is due. Returns when to come again for what failed (monotonic
 * microseconds), 0: nothing failed. */
int64_t device_table_apply(struct device_table *table);

const struct interface *device_table_get(const struct device_table *table, uint32_t ifindex);

#endif

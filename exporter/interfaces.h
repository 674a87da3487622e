/* SPDX-License-Identifier: MIT */
/*
 * The interfaces of every metered namespace, followed over rtnetlink (the only door to it): which
 * are metered, what they are called, what lies over what. Decides where to attach; daemon.c carries
 * the decision to the fetcher.
 */
#ifndef BPFLOWD_INTERFACES_H
#define BPFLOWD_INTERFACES_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct interfaces;

struct interface {
	uint32_t ifindex;
	uint8_t netns; /* number, 0: the daemon's own */
	char name[16];
	char description[64]; /* ifalias, "" if none */
	uint32_t master;      /* bond, bridge, VRF above it; 0: none */
	uint32_t lower;	      /* device under a VLAN, macvlan or ipvlan device; 0: none */
	uint16_t vlan;	      /* id of a VLAN device, 0: not one */
	uint16_t link_type;   /* ARPHRD_* */
	bool up;
	bool metered;	     /* chosen by the patterns */
	bool hooked_ingress; /* metered here, not on devices under it */
	bool hooked_egress;
	char error[96]; /* why attaching failed, "" */
};

struct interfaces_callbacks {
	/* Attach or detach one direction; netns_fd -1: own namespace. attach returns false with an
	 * error to be retried. detach is also called for an interface that is gone, before its name
	 * is forgotten and its index used again. */
	bool (*attach)(void *user, const struct interface *interface, int netns_fd, int direction,
		       GError **error);
	void (*detach)(void *user, const struct interface *interface, int netns_fd, int direction);
	/* Packets that come in by this interface are counted there or below it (count: once). */
	void (*covered)(void *user, uint8_t netns, uint32_t ifindex, bool covered);
	/* The index is about to mean another interface: what was counted with it and isn't exported
	 * yet belongs to the former one, which can still be asked for. NULL: nobody cares. */
	void (*reused)(void *user, uint8_t netns, uint32_t ifindex);
	void (*changed)(void *user); /* names or set changed: options data are stale */
	void *user;
};

/* patterns: globs, the last match wins, "!" excludes. netns: names as in `ip netns`; [] means the
 * daemon's own alone; they may appear later. directions: bits of enum settings_direction.
 * per_interface: count on every device. Fails if netlink can't be had. */
struct interfaces *interfaces_new(char *const *patterns, char *const *netns, int directions,
				  bool per_interface, const struct interfaces_callbacks *callbacks,
				  GError **error);
/* Detaches everything, through the callbacks. */
void interfaces_free(struct interfaces *interfaces);

/* New patterns and namespaces (reload): only the difference is attached and detached. */
void interfaces_set(struct interfaces *interfaces, char *const *patterns, char *const *netns,
		    int directions);

/* Interface by index, NULL if unknown. Names of vanished interfaces are kept until their index is
 * reused, those of the latest 1024 of a namespace. */
const struct interface *interfaces_get(const struct interfaces *interfaces, uint8_t netns,
				       uint32_t ifindex);

/* What an operator calls (ifindex, vlan, inner_vlan): the VLAN device over it, else the bond or
 * bridge above it, else itself. */
uint32_t interfaces_logical(const struct interfaces *interfaces, uint8_t netns, uint32_t ifindex,
			    uint16_t vlan, uint16_t inner_vlan);

/* Another number whenever what the two above say may have changed. */
uint64_t interfaces_generation(const struct interfaces *interfaces);

void interfaces_foreach(const struct interfaces *interfaces,
			void (*fn)(void *user, const struct interface *interface), void *user);

/* Whether a glob list chooses the name. */
bool interfaces_match(char *const *patterns, const char *name);

/* Name of a namespace number, "" for the daemon's own. */
const char *interfaces_netns_name(const struct interfaces *interfaces, uint8_t netns);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * What the programs know of interfaces and namespaces. The metering hooks find the flags in an
 * array of their own namespace; the tracing programs, which meet packets of all namespaces, in
 * hashes that are copies of one here. Above: fetcher_attach.c (what is hooked) and the daemon (the
 * rest); below: fetcher_drops.c, fetcher_netdev.c.
 */
#include "config.h"

#include "fetcher_private.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "log.h"

/* Those that tracing programs ask for. */
#define TRACED (FLOW_IFACE_COVERED | FLOW_IFACE_INGRESS | FLOW_IFACE_EGRESS)

void fetcher_flags_init(struct flow_fetcher *f)
{
	f->flag_owners = g_hash_table_new(NULL, NULL);
	f->traced = g_hash_table_new(NULL, NULL);
	f->untold = g_hash_table_new(NULL, NULL);
}

void fetcher_flags_clear(struct flow_fetcher *f)
{
	g_hash_table_unref(f->flag_owners);
	g_hash_table_unref(f->traced);
	g_hash_table_unref(f->untold);
}

/* The interface that has the flags of these low 16 bits; an index that left them behind loses them.
 */
static bool own_flags(struct flow_fetcher *f, struct flows_bpf *flows, uint8_t netns,
		      uint32_t ifindex)
{
	gpointer key = GUINT_TO_POINTER((uint32_t)netns << 16 | (ifindex & 0xffff));
	uint32_t owner = GPOINTER_TO_UINT(g_hash_table_lookup(f->flag_owners, key));

	if (owner == ifindex)
		return true;
	/* hooked, or covered by what lies under it */
	if (owner &&
	    g_hash_table_contains(f->traced, GUINT_TO_POINTER(FLOW_IFACE(netns, 0, owner))))
		return false;
	g_hash_table_insert(f->flag_owners, key, GUINT_TO_POINTER(ifindex));
	flows->bss->iface_flags[ifindex & 0xffff] = ifindex << 8;
	return true;
}

/* What a map has no room or memory for now is tried again with each drain. */
static void tell(struct flow_fetcher *f, uint32_t key, uint8_t flags)
{
	gpointer p = GUINT_TO_POINTER(key);
	int err = fetcher_drops_interface(f, key, flags);
	int err_netdev = fetcher_netdev_interface(f, key, flags);

	err = err ? err : err_netdev;
	if (err && g_hash_table_add(f->untold, p))
		log_warning("interface %u: its drops and the DNS of this host are not tracked for "
			    "now: %s",
			    FLOW_IFACE_IFINDEX(key), g_strerror(-err));
	else if (!err && g_hash_table_remove(f->untold, p))
		log_info("interface %u: its drops and the DNS of this host are tracked",
			 FLOW_IFACE_IFINDEX(key));
}

static void tell_each(struct flow_fetcher *f, GHashTable *keys)
{
	guint n;
	g_autofree gpointer *key = g_hash_table_get_keys_as_array(keys, &n);

	for (guint i = 0; i < n; i++)
		tell(f, GPOINTER_TO_UINT(key[i]),
		     GPOINTER_TO_UINT(g_hash_table_lookup(f->traced, key[i])));
}

void fetcher_flags_tell_all(struct flow_fetcher *f)
{
	tell_each(f, f->traced);
}

void fetcher_flags_tell_again(struct flow_fetcher *f)
{
	if (g_hash_table_size(f->untold))
		tell_each(f, f->untold);
}

/* One without flags is forgotten. */
static void trace(struct flow_fetcher *f, uint8_t netns, uint32_t ifindex, uint8_t flag, bool on)
{
	uint32_t key = FLOW_IFACE(netns, 0, ifindex);
	gpointer p = GUINT_TO_POINTER(key);
	uint8_t old = GPOINTER_TO_UINT(g_hash_table_lookup(f->traced, p));
	uint8_t flags = on ? old | flag : old & ~flag;

	if (flags == old)
		return;
	if (flags)
		g_hash_table_insert(f->traced, p, GUINT_TO_POINTER(flags));
	else
		g_hash_table_remove(f->traced, p);
	tell(f, key, flags);
}

bool flow_fetcher_set_interface_flag(struct flow_fetcher *f, uint8_t netns, uint32_t ifindex,
				     enum flow_iface_flag flag, bool on, GError **error)
{
	struct flows_bpf *flows = fetcher_instance(f, netns, error);
	uint32_t set = on ? flag : 0, clear = on ? 0 : flag, *known;

	if (!flows)
		return false;
	if (!own_flags(f, flows, netns, ifindex)) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED,
			    "another metered interface has an index with the same low 16 bits");
		return false;
	}
	if (flag & TRACED)
		trace(f, netns, ifindex, flag, on);
	if (flag == FLOW_IFACE_COVERED) {
		set |= on ? 0 : FLOW_IFACE_HELD;
		clear |= on ? FLOW_IFACE_HELD : 0;
	}
	known = &flows->bss->iface_flags[ifindex & 0xffff];
	__atomic_store_n(known, (*known & ~clear) | set, __ATOMIC_RELEASE);
	return true;
}

static uint8_t hook_flag(int direction)
{
	return direction == FLOW_INGRESS ? FLOW_IFACE_INGRESS : FLOW_IFACE_EGRESS;
}

void fetcher_flags_hooked(struct flow_fetcher *f, uint8_t netns, int netns_fd, uint32_t ifindex,
			  int direction)
{
	struct stat st;

	if (netns_fd >= 0 ? fstat(netns_fd, &st) : stat("/proc/self/ns/net", &st)) {
		log_warning("interface %u: drops and the DNS of this host are not tracked: %s",
			    ifindex, g_strerror(errno));
		return;
	}
	/* the kernel gives the number of one that is gone to the next that comes */
	for (uint32_t i = 0; i < f->n_netns; i++)
		if (f->netns_inums[i] == (uint32_t)st.st_ino)
			f->netns_inums[i] = 0;
	f->netns_inums[netns] = st.st_ino;
	f->n_netns = MAX(f->n_netns, netns + 1u);
	fetcher_drops_netns(f);
	fetcher_netdev_netns(f);
	trace(f, netns, ifindex, hook_flag(direction), true);
}

void fetcher_flags_unhooked(struct flow_fetcher *f, uint8_t netns, uint32_t ifindex, int direction)
{
	trace(f, netns, ifindex, hook_flag(direction), false);
}

int fetcher_flags_write(const struct bpf_map *map, uint32_t key, uint8_t flags)
{
	int err =
		flags ? bpf_map__update_elem(map, &key, sizeof(key), &flags, sizeof(flags), BPF_ANY)
		      : bpf_map__delete_elem(map, &key, sizeof(key), 0);

	return err == -ENOENT ? 0 : err;
}

void fetcher_flags_netns(const struct flow_fetcher *f, uint32_t *inums, uint32_t *n)
{
	memcpy(inums, f->netns_inums, sizeof(f->netns_inums));
	__atomic_store_n(n, f->n_netns, __ATOMIC_RELEASE);
}

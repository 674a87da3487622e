/* SPDX-License-Identifier: MIT */
/*
 * The trackers beside the packet path: trace_net_packets, attached only while a metered device has
 * no egress program, and tcp_probe. A kernel without their tracepoints does without them.
 */
#include "config.h"

#include "fetcher_private.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "kernel/netdev.skel.h"
#include "kernel/probe.skel.h"
#include "log.h"

struct fetcher_netdev {
	struct netdev_bpf *queue; /* NULL: no such device */
	struct probe_bpf *probe;  /* NULL: off, or the kernel lacks it */
	bool queue_failed;
	bool changed; /* hooks, since the last look */
};

static int load_probe(struct flow_fetcher *f, struct probe_bpf *bpf)
{
	struct timespec tick;
	int err;

	clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
	bpf->rodata->interval = NSEC_PER_SEC / tick.tv_nsec;
	bpf->rodata->ring_high = f->config.ring_bytes / 2;
	err = bpf_map__reuse_fd(bpf->maps.direct_flows,
				bpf_map__fd(f->flows[0]->maps.direct_flows));
	err = err ? err
		  : bpf_map__reuse_fd(bpf->maps.fragments,
				      bpf_map__fd(f->flows[0]->maps.fragments));
	err = err ? err : probe_bpf__load(bpf);
	return err ? err : probe_bpf__attach(bpf);
}

void fetcher_netdev_open(struct flow_fetcher *f)
{
	struct fetcher_netdev *n = f->netdev = g_new0(struct fetcher_netdev, 1);
	int err;

	if (!f->config.rtt)
		return;
	n->probe = probe_bpf__open();
	err = n->probe ? load_probe(f, n->probe) : -errno;
	if (!err)
		return;
	log_info("no RTT of local sockets: cannot run tcp_probe: %s", strerror(-err));
	probe_bpf__destroy(n->probe);
	n->probe = NULL;
}

void fetcher_netdev_close(struct flow_fetcher *f)
{
	if (!f->netdev)
		return;
	netdev_bpf__destroy(f->netdev->queue);
	probe_bpf__destroy(f->netdev->probe);
	g_free(f->netdev);
	f->netdev = NULL;
}

void fetcher_netdev_netns(struct flow_fetcher *f)
{
	struct fetcher_netdev *n = f->netdev;

	if (n->probe)
		fetcher_flags_netns(f, n->probe->bss->netns_inums, &n->probe->bss->n_netns);
	if (n->queue)
		fetcher_flags_netns(f, n->queue->bss->netns_inums, &n->queue->bss->n_netns);
}

int fetcher_netdev_interface(struct flow_fetcher *f, uint32_t key, uint8_t flags)
{
	struct fetcher_netdev *n = f->netdev;

	n->changed = true;
	return n->queue ? fetcher_flags_write(n->queue->maps.metered_interfaces, key, flags) : 0;
}

static int share_queue_maps(struct flow_fetcher *f, struct netdev_bpf *bpf)
{
	struct flows_bpf *flows = f->flows[0];
	struct {
		struct bpf_map *own, *shared;
	} maps[] = {
		{bpf->maps.direct_flows, flows->maps.direct_flows},
		{bpf->maps.counters, flows->maps.counters},
		{bpf->maps.dns_flows, flows->maps.dns_flows},
		{bpf->maps.dns_rooms, flows->maps.dns_rooms},
		{bpf->maps.fragments, flows->maps.fragments},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(maps); i++) {
		int err = bpf_map__reuse_fd(maps[i].own, bpf_map__fd(maps[i].shared));

		if (err)
			return err;
	}
	return 0;
}

static int load_queue(struct flow_fetcher *f, struct netdev_bpf *bpf)
{
	const struct flows_bpf *flows = f->flows[0];
	int err = share_queue_maps(f, bpf);

	bpf->rodata->ring_high = flows->rodata->ring_high;
	bpf->rodata->count_once = flows->rodata->count_once;
	bpf->rodata->realtime = flows->rodata->realtime;
	bpf->rodata->n_dns_ports = flows->rodata->n_dns_ports;
	bpf->rodata->signal_timeout_ns = flows->rodata->signal_timeout_ns;
	memcpy((void *)bpf->rodata->hash_seed, f->hash_seed, sizeof(f->hash_seed));
	memcpy((void *)bpf->rodata->dns_ports, (const void *)flows->rodata->dns_ports,
	       sizeof(bpf->rodata->dns_ports));
	err = err ? err : netdev_bpf__load(bpf);
	return err ? err : netdev_bpf__attach(bpf);
}

static bool is_ingress_only(gpointer flags)
{
	return (GPOINTER_TO_UINT(flags) & (FLOW_IFACE_INGRESS | FLOW_IFACE_EGRESS)) ==
	       FLOW_IFACE_INGRESS;
}

static bool needs_queue(const struct flow_fetcher *f)
{
	GHashTableIter iter;
	void *flags;

	g_hash_table_iter_init(&iter, f->traced);
	while (g_hash_table_iter_next(&iter, NULL, &flags))
		if (is_ingress_only(flags))
			return true;
	return false;
}

/* All at once, so that a device that stays is never missing. */
static void tell_devices(struct flow_fetcher *f, struct netdev_bpf *bpf)
{
	g_autofree uint8_t *devices = g_malloc0(sizeof(bpf->bss->queue_devices));
	GHashTableIter iter;
	void *key, *flags;

	g_hash_table_iter_init(&iter, f->traced);
	while (g_hash_table_iter_next(&iter, &key, &flags))
		if (is_ingress_only(flags))
			devices[FLOW_IFACE_IFINDEX(GPOINTER_TO_UINT(key)) & 0xffff] = 1;
	memcpy(bpf->bss->queue_devices, devices, sizeof(bpf->bss->queue_devices));
}

static void open_queue(struct flow_fetcher *f, struct fetcher_netdev *n)
{
	int err;

	n->queue = netdev_bpf__open();
	err = n->queue ? load_queue(f, n->queue) : -errno;
	if (err) {
		log_warning("DNS that this host sends is not seen where only ingress is metered: "
			    "cannot run trace_net_packets: %s",
			    strerror(-err));
		netdev_bpf__destroy(n->queue);
		n->queue = NULL;
		n->queue_failed = true;
		return;
	}
	fetcher_netdev_netns(f);
	fetcher_flags_tell_all(f);
}

/* Before each drain: attaching goes device by device, and only the sum tells. */
void fetcher_netdev_update(struct flow_fetcher *f)
{
	struct fetcher_netdev *n = f->netdev;

	if (!n->changed || !f->config.dns)
		return;
	if (!needs_queue(f)) {
		netdev_bpf__destroy(n->queue);
		n->queue = NULL;
	} else if (!n->queue && !n->queue_failed) {
		open_queue(f, n);
	}
	n->changed = false;
	if (n->queue)
		tell_devices(f, n->queue);
}

const struct bpf_program *fetcher_netdev_program(const struct flow_fetcher *f)
{
	return f->netdev && f->netdev->queue ? f->netdev->queue->progs.trace_net_packets : NULL;
}

const struct bpf_program *fetcher_probe_program(const struct flow_fetcher *f)
{
	return f->netdev && f->netdev->probe ? f->netdev->probe->progs.tcp_probe : NULL;
}

/* SPDX-License-Identifier: MIT */
/*
 * The trackers beside the packet path: trace_net_packets, attached only while a metered device has
 * no egress program, and tcp_probe. A kernel without their tracepoints does without them.
 */
#include "config.h"

#include "fetcher_private.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "kernel/netdev.skel.h"
#include "kernel/probe.skel.h"
#include "log.h"

struct fetcher_netdev {
	struct netdev_bpf *queue; /* NULL: no such device */
	struct probe_bpf *probe;  /* NULL: off, or the kernel lacks it */
	uint32_t netns_inums[FLOW_MAX_NETNS];
	uint32_t n_netns;
	bool queue_failed;
	bool changed; /* hooks, since the last look */
};

static int load_probe(struct flow_fetcher *f, struct probe_bpf *bpf)
{
	struct timespec tick;
	int err;

	clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
	bpf->rodata->interval = NSEC_PER_SEC / tick.tv_nsec;
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

static void tell_netns(struct fetcher_netdev *n)
{
	if (n->probe) {
		memcpy(n->probe->bss->netns_inums, n->netns_inums, sizeof(n->netns_inums));
		__atomic_store_n(&n->probe->bss->n_netns, n->n_netns, __ATOMIC_RELEASE);
	}
	if (n->queue) {
		memcpy(n->queue->bss->netns_inums, n->netns_inums, sizeof(n->netns_inums));
		__atomic_store_n(&n->queue->bss->n_netns, n->n_netns, __ATOMIC_RELEASE);
	}
}

void fetcher_netdev_hooked(struct flow_fetcher *f, uint8_t netns, int netns_fd)
{
	struct fetcher_netdev *n = f->netdev;
	struct stat st;

	n->changed = true;
	if (netns_fd >= 0 ? fstat(netns_fd, &st) : stat("/proc/self/ns/net", &st))
		return;
	n->netns_inums[netns] = st.st_ino;
	n->n_netns = MAX(n->n_netns, netns + 1u);
	tell_netns(n);
}

void fetcher_netdev_unhooked(struct flow_fetcher *f)
{
	f->netdev->changed = true;
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
	bpf->rodata->n_dns_ports = flows->rodata->n_dns_ports;
	bpf->rodata->signal_timeout_ns = flows->rodata->signal_timeout_ns;
	memcpy((void *)bpf->rodata->hash_seed, (const void *)flows->rodata->hash_seed,
	       sizeof(bpf->rodata->hash_seed));
	memcpy((void *)bpf->rodata->dns_ports, (const void *)flows->rodata->dns_ports,
	       sizeof(bpf->rodata->dns_ports));
	err = err ? err : netdev_bpf__load(bpf);
	return err ? err : netdev_bpf__attach(bpf);
}

static bool is_hooked(const struct flow_fetcher *f, const struct hook *h, int direction)
{
	return flow_fetcher_attached(f, h->netns, h->ifindex, direction);
}

static bool needs_queue(const struct flow_fetcher *f)
{
	for (guint i = 0; i < f->hooks->len; i++) {
		const struct hook *h = &g_array_index(f->hooks, struct hook, i);

		if (h->direction == FLOW_INGRESS && !is_hooked(f, h, FLOW_EGRESS))
			return true;
	}
	return false;
}

static void tell_devices(struct flow_fetcher *f, struct netdev_bpf *bpf)
{
	memset(bpf->bss->queue_devices, 0, sizeof(bpf->bss->queue_devices));
	for (guint i = 0; i < f->hooks->len; i++) {
		const struct hook *h = &g_array_index(f->hooks, struct hook, i);
		uint32_t key = FLOW_IFACE(h->netns, 0, h->ifindex);
		uint8_t flags = DROP_IFACE_INGRESS;

		if (h->direction != FLOW_INGRESS)
			continue;
		if (!is_hooked(f, h, FLOW_EGRESS)) {
			flags |= DROP_IFACE_QUEUE;
			bpf->bss->queue_devices[h->ifindex & 0xffff] = 1;
		}
		bpf_map__update_elem(bpf->maps.metered_interfaces, &key, sizeof(key), &flags,
				     sizeof(flags), BPF_ANY);
	}
}

/* Before each drain: attaching goes device by device, and only the sum tells. */
void fetcher_netdev_update(struct flow_fetcher *f)
{
	struct fetcher_netdev *n = f->netdev;
	int err;

	if (!n->changed || !f->config.dns)
		return;
	n->changed = false;
	if (!needs_queue(f)) {
		netdev_bpf__destroy(n->queue);
		n->queue = NULL;
		return;
	}
	if (!n->queue && !n->queue_failed) {
		n->queue = netdev_bpf__open();
		err = n->queue ? load_queue(f, n->queue) : -errno;
		if (err) {
			log_warning("DNS that this host sends is not seen where only ingress is "
				    "metered: cannot run trace_net_packets: %s",
				    strerror(-err));
			netdev_bpf__destroy(n->queue);
			n->queue = NULL;
			n->queue_failed = true;
		}
		tell_netns(n);
	}
	if (n->queue)
		tell_devices(f, n->queue);
}

const struct bpf_program *fetcher_netdev_program(const struct flow_fetcher *f)
{
	return f->netdev && f->netdev->queue ? f->netdev->queue->progs.trace_net_packets : NULL;
}

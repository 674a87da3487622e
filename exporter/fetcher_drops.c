/* SPDX-License-Identifier: MIT */
/*
 * Loads kernel/drops.bpf.c where drops are wanted, tells it which interfaces are metered, and reads
 * its table as fetcher_drain.c reads the flow table. A kernel that cannot run it costs a warning,
 * not the start.
 */
#include "config.h"

#include "fetcher_private.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernel/drops.skel.h"
#include "log.h"

#define GROUPS_MIN    256 /* per CPU: 128 KiB */
#define GROUPS_MAX    4096
#define PAGE_ROUND(n) (((n) + 4095ull) & ~4095ull)

/* What was taken of a slot already. */
struct drop_shadow {
	uint32_t gen;
	uint32_t last;
	uint64_t packets;
	uint64_t bytes;
};

struct fetcher_drops {
	struct fetcher_tracepoint tracepoint;
	struct drops_bpf *bpf;
	struct bpf_link *link;
	struct drop_slot *slots; /* mapped */
	const struct drop_counters *counters;
	struct drop_shadow *shadows;
	uint64_t *seen;	 /* per CPU: packets at its last scan, 0: not all could be read */
	uint32_t groups; /* of one partition */
	uint32_t n_slots;
};

static void set_constants(struct flow_fetcher *f, struct fetcher_drops *d)
{
	struct drops_bpf *bpf = d->bpf;
	const struct flow_fetcher_config *config = &f->config;
	const struct fetcher_tracepoint *args = &d->tracepoint;

	bpf->rodata->reason_argument = args->reason;
	bpf->rodata->rx_sk_argument = args->rx_sk;
	bpf->rodata->no_socket_reason = args->no_socket;
	bpf->rodata->queue_purge_reason = args->queue_purge;
	bpf->rodata->unspecified_reason = args->not_specified;
	bpf->rodata->precise = config->precise;
	bpf->rodata->realtime = config->realtime;
	bpf->rodata->ring_high = config->ring_bytes / 2;
	bpf->rodata->groups = d->groups;
	bpf->rodata->n_partitions = f->n_cpus;
	memcpy((void *)bpf->rodata->hash_seed, f->hash_seed, sizeof(f->hash_seed));
	for (uint32_t i = 0; i < config->n_ignored_drop_reasons; i++) {
		uint32_t reason = config->ignored_drop_reasons[i];
		uint32_t bit = (reason >> 16) * FLOW_DROP_NUMBERS + (reason & 0xffff);
		uint64_t *words = (uint64_t *)(void *)bpf->rodata->ignored;

		if ((reason & 0xffff) < FLOW_DROP_NUMBERS &&
		    bit / 64 < G_N_ELEMENTS(bpf->rodata->ignored))
			words[bit / 64] |= 1ull << (bit & 63);
	}
}

static int load(struct flow_fetcher *f, struct fetcher_drops *d, bool typed)
{
	struct drops_bpf *bpf = drops_bpf__open();
	int err;

	if (!bpf)
		return -errno;
	d->bpf = bpf;
	set_constants(f, d);
	bpf_program__set_autoload(bpf->progs.kfree_skb, typed);
	bpf_program__set_autoload(bpf->progs.kfree_skb_raw, !typed);
	err = bpf_map__set_max_entries(bpf->maps.drop_table, d->n_slots / FLOW_WAYS);
	err = err ? err
		  : bpf_map__reuse_fd(bpf->maps.direct_flows,
				      bpf_map__fd(f->flows[0]->maps.direct_flows));
	err = err ? err
		  : bpf_map__reuse_fd(bpf->maps.fragments,
				      bpf_map__fd(f->flows[0]->maps.fragments));
	err = err ? err : drops_bpf__load(bpf);
	if (err) {
		drops_bpf__destroy(bpf);
		d->bpf = NULL;
	}
	return err;
}

static int map_table(struct fetcher_drops *d)
{
	d->slots = mmap(NULL, PAGE_ROUND(d->n_slots * sizeof(*d->slots)), PROT_READ, MAP_SHARED,
			bpf_map__fd(d->bpf->maps.drop_table), 0);
	if (d->slots == MAP_FAILED) {
		d->slots = NULL;
		return -errno;
	}
	d->counters = mmap(NULL, FLOW_MAX_CPUS * sizeof(*d->counters), PROT_READ, MAP_SHARED,
			   bpf_map__fd(d->bpf->maps.drop_counters), 0);
	if (d->counters == MAP_FAILED) {
		d->counters = NULL;
		return -errno;
	}
	return 0;
}

static int attach(struct fetcher_drops *d, bool typed)
{
	d->link =
		bpf_program__attach(typed ? d->bpf->progs.kfree_skb : d->bpf->progs.kfree_skb_raw);
	return d->link ? 0 : -errno;
}

static int start(struct flow_fetcher *f, struct fetcher_drops *d)
{
	bool typed = true;
	int err = load(f, d, typed);

	if (err) {
		typed = false;
		err = load(f, d, typed);
	}
	err = err ? err : map_table(d);
	return err ? err : attach(d, typed);
}

void fetcher_drops_open(struct flow_fetcher *f)
{
	struct fetcher_tracepoint tracepoint;
	struct fetcher_drops *d;
	int err;

	if (!f->config.drops)
		return;
	fetcher_kfree_skb_arguments(&tracepoint);
	/* before 5.17 packets that were taken in peace, a raw socket's and others, pass here too */
	if (!tracepoint.reason) {
		log_warning("drops are not tracked: this kernel gives no reasons (5.17 does)");
		return;
	}
	d = f->drops = g_new0(struct fetcher_drops, 1);
	d->tracepoint = tracepoint;
	d->groups = CLAMP(f->groups4 / 8, GROUPS_MIN, GROUPS_MAX);
	d->n_slots = d->groups * f->n_cpus * FLOW_WAYS;
	err = start(f, d);
	if (err) {
		log_warning("drops are not tracked: cannot run kfree_skb: %s", strerror(-err));
		fetcher_drops_close(f);
		return;
	}
	d->shadows = g_new0(struct drop_shadow, d->n_slots);
	d->seen = g_new0(uint64_t, f->n_cpus);
	fetcher_count_maps(f, d->bpf->obj);
}

void fetcher_drops_close(struct flow_fetcher *f)
{
	struct fetcher_drops *d = f->drops;

	if (!d)
		return;
	bpf_link__destroy(d->link);
	if (d->slots)
		munmap(d->slots, PAGE_ROUND(d->n_slots * sizeof(*d->slots)));
	if (d->counters)
		munmap((void *)d->counters, FLOW_MAX_CPUS * sizeof(*d->counters));
	drops_bpf__destroy(d->bpf);
	g_free(d->shadows);
	g_free(d->seen);
	g_free(d);
	f->drops = NULL;
}

void fetcher_drops_netns(struct flow_fetcher *f)
{
	if (f->drops)
		fetcher_flags_netns(f, f->drops->bpf->bss->netns_inums,
				    &f->drops->bpf->bss->n_netns);
}

int fetcher_drops_interface(struct flow_fetcher *f, uint32_t key, uint8_t flags)
{
	return f->drops ? fetcher_flags_write(f->drops->bpf->maps.metered_interfaces, key, flags)
			: 0;
}

/* Octets too: a scan may have read a slot between its two counters. */
static bool is_changed(const struct drop_slot *slot, const struct drop_shadow *s)
{
	return __atomic_load_n(&slot->packets, __ATOMIC_RELAXED) != s->packets ||
	       __atomic_load_n(&slot->bytes, __ATOMIC_RELAXED) != s->bytes;
}

/* What the slot holds beyond its shadow. */
static void hand_up(struct flow_fetcher *f, const struct drop_slot *slot, struct drop_shadow *s)
{
	struct flow_event_drop e = {.event = {.type = FLOW_EVENT_DROP}};

	flow_id_from_key(&e.id, &slot->key);
	e.drops.packets = slot->packets - s->packets;
	e.drops.bytes = slot->bytes - s->bytes;
	e.drops.latest_cause = slot->cause;
	e.drops.latest_state = slot->state;
	e.unsure = slot->unsure;
	/* a slot outlives its flows: those before may have ended long ago */
	e.start_ns = clock_from_tick(&f->ticks, s->packets ? slot->last : slot->first);
	e.end_ns = clock_from_tick(&f->ticks, slot->last);
	s->packets = slot->packets;
	s->bytes = slot->bytes;
	s->last = slot->last;
	if (f->callbacks.event)
		f->callbacks.event(f->callbacks.user, &e.event, sizeof(e));
}

void fetcher_drops_slot(struct flow_fetcher *f, const struct flow_event_drop_slot *e)
{
	struct fetcher_drops *d = f->drops;
	struct drop_shadow *s;
	uint32_t next;

	if (!d || e->event.index >= d->n_slots)
		return;
	s = &d->shadows[e->event.index];
	if (s->gen != e->slot.gen)
		*s = (struct drop_shadow){.gen = e->slot.gen};
	if (is_changed(&e->slot, s))
		hand_up(f, &e->slot, s);
	next = e->slot.gen + 2;
	*s = (struct drop_shadow){.gen = next ? next : 2};
}

/* A slot that changed hands waits for the ring record of its last tenancy. */
static bool is_readable(struct drop_shadow *s, uint32_t gen)
{
	if (gen & 1)
		return false;
	if (s->gen == gen)
		return true;
	if (s->gen || gen != 2)
		return false;
	s->gen = gen;
	return true;
}

/* False: there may be more than could be read. */
static bool scan_slot(struct flow_fetcher *f, uint32_t i)
{
	const struct drop_slot *slot = &f->drops->slots[i];
	struct drop_shadow *s = &f->drops->shadows[i];
	uint32_t gen = __atomic_load_n(&slot->gen, __ATOMIC_ACQUIRE);
	struct drop_slot copy;

	if (!gen)
		return true;
	if (!is_readable(s, gen))
		return false;
	if (!is_changed(slot, s))
		return true;
	copy = *slot;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (__atomic_load_n(&slot->gen, __ATOMIC_RELAXED) != gen)
		return false;
	hand_up(f, &copy, s);
	return true;
}

void fetcher_drops_scan(struct flow_fetcher *f)
{
	struct fetcher_drops *d = f->drops;

	if (!d)
		return;
	for (uint32_t cpu = 0; cpu < f->n_cpus; cpu++) {
		uint64_t seen = __atomic_load_n(&d->counters[cpu].packets, __ATOMIC_ACQUIRE);
		/* one that is being counted now may be missed */
		bool all = !__atomic_load_n(&d->counters[cpu].busy, __ATOMIC_ACQUIRE);
		uint32_t n = d->groups * FLOW_WAYS;

		if (seen == d->seen[cpu])
			continue;
		for (uint32_t i = cpu * n; i < (cpu + 1) * n; i++)
			all &= scan_slot(f, i);
		d->seen[cpu] = all ? seen : 0;
	}
}

void flow_fetcher_drop_counters(const struct flow_fetcher *f, struct drop_counters *sum)
{
	memset(sum, 0, sizeof(*sum));
	if (!f->drops)
		return;
	for (uint32_t cpu = 0; cpu < f->n_cpus; cpu++) {
		const struct drop_counters *c = &f->drops->counters[cpu];

		sum->packets += __atomic_load_n(&c->packets, __ATOMIC_RELAXED);
		sum->lost_ring_packets += __atomic_load_n(&c->lost_ring_packets, __ATOMIC_RELAXED);
		sum->lost_busy_packets += __atomic_load_n(&c->lost_busy_packets, __ATOMIC_RELAXED);
		sum->unread_packets += __atomic_load_n(&c->unread_packets, __ATOMIC_RELAXED);
	}
}

const struct bpf_program *fetcher_drops_program(const struct flow_fetcher *f)
{
	if (!f->drops)
		return NULL;
	return bpf_program__autoload(f->drops->bpf->progs.kfree_skb)
		       ? f->drops->bpf->progs.kfree_skb
		       : f->drops->bpf->progs.kfree_skb_raw;
}

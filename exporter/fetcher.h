/* SPDX-License-Identifier: MIT */
/*
 * The door to libbpf: loads the programs of kernel/, attaches them, reads the flow table and the
 * ring. The names are those of the system that this one re-creates. Below it: kernel/; above:
 * cache.c, through callbacks.
 */
#ifndef BPFLOWD_FETCHER_H
#define BPFLOWD_FETCHER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "kernel/flow.h"

/* A query without answer, a handshake that rests: what comes later does not belong to it. */
#define FLOW_FETCHER_SIGNAL_TIMEOUT_NS 5000000000ull

struct flow_fetcher;

struct flow_fetcher_config {
	uint32_t max_flows; /* per address family, over all CPUs */
	uint32_t sampling;  /* 1-in-N, 1: every packet */
	uint32_t ring_bytes;
	bool precise; /* bpf_ktime_get_ns instead of the coarse clock */
	bool count_once;
	bool drops;
	bool dns;
	bool rtt;
	uint32_t instance; /* tells our clsact filters from those of another daemon; the same after
			      a restart */
	bool force_clsact; /* for tests: not even try tcx */
	bool realtime;	   /* for tests: as on a PREEMPT_RT kernel */
	const uint16_t *dns_ports;
	uint32_t n_dns_ports;
	const uint32_t *ignored_drop_reasons;
	uint32_t n_ignored_drop_reasons;
};

struct flow_fetcher_callbacks {
	/* A delta of one flow. Returns a hint that comes back with the next delta of the same slot.
	 */
	uint32_t (*flow)(void *user, const struct flow_id *id, const struct flow_metrics *delta,
			 uint32_t slot, uint32_t hint);
	/* A delta with this hint, or of this flow, which has none, comes soon: time to fetch what
	 * it will touch. id: NULL, or maybe torn. May be NULL itself. */
	void (*prefetch)(void *user, const struct flow_id *id, uint32_t hint);
	/* An event of the ring that isn't a slot: DNS, RTT, drop (kernel/flow.h). */
	void (*event)(void *user, const struct flow_event *event, size_t size);
	void *user;
};

/* Loads everything; error text is one sentence that names what is missing (permission, BTF, kernel
 * feature). */
struct flow_fetcher *flow_fetcher_new(const struct flow_fetcher_config *config,
				      const struct flow_fetcher_callbacks *callbacks,
				      GError **error);
void flow_fetcher_close(struct flow_fetcher *fetcher); /* detaches what is attached; NULL is fine */

/* Attaches to one interface and direction of a namespace; netns_fd is its descriptor (-1: the
 * daemon's own). tcx link where the kernel has it (6.6), else a clsact filter of our own that
 * leaves everyone else's alone. Attaching twice is fine. Fails with G_FILE_ERROR_NOENT when the
 * interface is gone. */
bool flow_fetcher_attach(struct flow_fetcher *fetcher, uint8_t netns, int netns_fd,
			 uint32_t ifindex, enum flow_direction direction, GError **error);
void flow_fetcher_detach(struct flow_fetcher *fetcher, uint8_t netns, int netns_fd,
			 uint32_t ifindex, enum flow_direction direction);
/* "tcx" or "clsact", NULL if not attached. */
const char *flow_fetcher_attached(const struct flow_fetcher *fetcher, uint8_t netns,
				  uint32_t ifindex, enum flow_direction direction);

/* The kernel side keys them by the index's low 16 bits: fails if an attached interface has them
 * already. */
bool flow_fetcher_set_interface_flag(struct flow_fetcher *fetcher, uint8_t netns, uint32_t ifindex,
				     enum flow_iface_flag flag, bool on, GError **error);
/* PPP devices of the namespace are metered: what this host itself frames in PPPoE is counted there.
 */
void flow_fetcher_set_ppp_metered(struct flow_fetcher *fetcher, uint8_t netns, bool metered);

/* Reads the ring, then the table, then the ring: every change since the last call goes to
 * callbacks.flow. Returns the number of deltas. Nothing is deleted: counters grow, the shadow
 * remembers (kernel/flow.h). */
size_t flow_fetcher_lookup_and_delete_map(struct flow_fetcher *fetcher, uint64_t now_mono_ns);

/* Only the ring. Returns the number of records. */
size_t flow_fetcher_read_ringbuf(struct flow_fetcher *fetcher, uint64_t now_mono_ns);
/* Empties the ring into memory, for callers inside a callback of the cache: the next read takes it
 * from there. Flows that all end at once turn over at once, and the ring must not fill meanwhile.
 */
void flow_fetcher_stash_ringbuf(struct flow_fetcher *fetcher);
int flow_fetcher_ringbuf_fd(const struct flow_fetcher *fetcher); /* readable when half full */

/* Drops DNS queries and handshakes that waited longer than timeout_ns. Returns how many. */
size_t flow_fetcher_delete_stale_entries(struct flow_fetcher *fetcher, uint64_t now_mono_ns,
					 uint64_t timeout_ns);

/* The next packet of the slot begins a new tenancy. slot: as given to callbacks.flow. */
void flow_fetcher_retire(struct flow_fetcher *fetcher, uint32_t slot);
/* Fetches what flow_fetcher_retire will touch. */
void flow_fetcher_prefetch_slot(const struct flow_fetcher *fetcher, uint32_t slot);
/* Retires the slots in which other CPUs count the flow that lies in this one. */
void flow_fetcher_retire_others(struct flow_fetcher *fetcher, uint32_t slot);

/* Sum over all CPUs. */
void flow_fetcher_counters(const struct flow_fetcher *fetcher, struct flow_counters *sum);

/* Of all CPUs. */
void flow_fetcher_drop_counters(const struct flow_fetcher *fetcher, struct drop_counters *sum);

/* Calls add for every drop reason of the running kernel, name without SKB_DROP_REASON_. Needs no
 * fetcher; no reason on kernels before 5.17. */
typedef void flow_fetcher_drop_reason(void *user, uint32_t number, const char *name);
void flow_fetcher_drop_reasons(flow_fetcher_drop_reason *add, void *user);

enum flow_fetcher_program {
	FLOW_FETCHER_INGRESS,
	FLOW_FETCHER_EGRESS,
	FLOW_FETCHER_DROP,
	FLOW_FETCHER_QUEUE,
	FLOW_FETCHER_PROBE,
	FLOW_FETCHER_PROGRAMS,
};

struct flow_fetcher_usage {
	uint64_t slots;	       /* both tables */
	uint64_t slots_used;   /* as of the last scan */
	uint64_t kernel_bytes; /* all maps */
	uint32_t n_cpus;       /* partitions */
	struct {	       /* BPF run statistics, if the kernel keeps them */
		const char *name;
		uint64_t run_count;
		uint64_t run_time_ns;
	} programs[FLOW_FETCHER_PROGRAMS];
};
void flow_fetcher_usage(const struct flow_fetcher *fetcher, struct flow_fetcher_usage *usage);

#endif

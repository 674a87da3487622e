/* SPDX-License-Identifier: MIT */
/* Shared by fetcher.c (load, close), fetcher_flags.c (interfaces), fetcher_attach.c (hooks),
 * fetcher_drain.c (table and ring), fetcher_clock.c, fetcher_retire.c and the trackers' files. */
#ifndef BPFLOWD_FETCHER_PRIVATE_H
#define BPFLOWD_FETCHER_PRIVATE_H

#include <bpf/libbpf.h>

#include "clock.h"
#include "fetcher.h"
#include "kernel/flows.skel.h"

#define SLOT_IPV6 0x80000000u /* in slot references: index in the IPv6 table */

/* What was taken of a slot already. */
struct shadow {
	uint32_t gen;
	uint32_t hint;
	uint64_t packets;
	uint64_t bytes;
	uint32_t last;	/* tick of the last packet taken */
	bool cold_done; /* the cold part won't change any more */
	uint8_t pad[3];
};

_Static_assert(sizeof(struct shadow) == 32, "two shadows in a cache line");

/* One attached hook. */
struct hook {
	uint32_t ifindex;
	uint8_t netns;
	uint8_t direction;
	int link_fd;  /* tcx; -1: clsact */
	int netns_fd; /* of clsact in another namespace, our own; -1: no need */
};

/* A CPU's part of the tables, to skip it while it rests. */
struct partition {
	uint64_t seen;	     /* packets observed when it was last scanned */
	uint32_t slots_used; /* in the last scan */
	bool scan_again;
};

/* What became of entries of dns_flows or flow_sequences beside the packet path. */
struct fetcher_waiting {
	uint64_t dropped;    /* stale */
	uint64_t pushed_out; /* by newer ones, as of the last look */
	int error;	     /* of the last look, 0: none */
};

struct flow_fetcher {
	struct flow_fetcher_config config;
	struct flow_fetcher_callbacks callbacks;
	struct flows_bpf *flows[FLOW_MAX_NETNS]; /* one copy per namespace, [0] owns the maps */
	struct ring_buffer *ring;
	uint32_t n_cpus;
	uint32_t groups4; /* of one partition */
	uint32_t groups6;
	__u64 hash_seed[4];
	uint32_t n_slots4; /* of all partitions */
	uint32_t n_slots6;
	struct flow_slot4 *slots4; /* mapped */
	struct flow_slot6 *slots6;
	struct flow_cold *cold4;
	const struct flow_counters *counters;
	struct shadow *shadow4;
	struct shadow *shadow6;
	struct partition *partitions; /* per CPU */
	GHashTable *map_ids;	      /* those that kernel_bytes counts */
	uint64_t kernel_bytes;
	uint64_t now_mono_ns;	   /* of the drain that is going on */
	struct clock_ticks ticks;  /* of slots */
	int64_t jiffies_origin_ns; /* CLOCK_MONOTONIC of jiffy 0 */
	uint64_t tie_jiffies_ns;   /* when to measure that next */
	uint32_t n_used;	   /* slots in use met in this scan */
	size_t n_deltas;
	size_t ring_budget; /* records that this read, */
	size_t scan_budget; /* and those amid this drain's scan may still take */
	GByteArray *stash;  /* records of the ring to be taken first: size (8 octets), record,
			       padding to 8 */
	bool stashing;
	bool reading; /* table or ring are being read */
	struct fetcher_waiting queries;
	struct fetcher_waiting handshakes;
	GHashTable *flag_owners; /* (namespace, low 16 bits of an index) -> index */
	GHashTable *traced;	 /* FLOW_IFACE(netns, 0, ifindex) -> flags */
	GHashTable *untold;	 /* those of them that a program does not have yet */
	uint32_t netns_inums[FLOW_MAX_NETNS];
	uint32_t n_netns;
	GArray *hooks;		     /* struct hook */
	struct fetcher_drops *drops; /* NULL: not tracked */
	struct fetcher_netdev *netdev;
	uint64_t looked_ns; /* fetcher_attach_look */
	uint32_t next_look; /* hook */
	int own_netns_fd;
	bool tcx_missing;
};

/* Loads the copy of a namespace if there is none yet. */
void fetcher_libbpf_log(void); /* what libbpf says goes to the log */
struct flows_bpf *fetcher_instance(struct flow_fetcher *fetcher, uint8_t netns, GError **error);

/* Adds the memory of an object's maps to kernel_bytes, of shared ones once. */
void fetcher_count_maps(struct flow_fetcher *fetcher, const struct bpf_object *object);

void fetcher_attach_init(struct flow_fetcher *fetcher);
void fetcher_attach_clear(struct flow_fetcher *fetcher);
/* Before each drain: clsact filters that others took off are put back, within seconds. */
void fetcher_attach_look(struct flow_fetcher *fetcher);

/* fetcher_clock.c: finds jiffies_origin_ns; takes a few ticks. False: not allowed. */
bool fetcher_tie_jiffies(struct flow_fetcher *fetcher);
/* Ties the ticks of slots to CLOCK_MONOTONIC for a drain. */
void fetcher_sample_clock(struct flow_fetcher *fetcher);

/* fetcher_flags.c: nothing of it fails */
void fetcher_flags_init(struct flow_fetcher *fetcher);
void fetcher_flags_clear(struct flow_fetcher *fetcher);
void fetcher_flags_hooked(struct flow_fetcher *fetcher, uint8_t netns, int netns_fd,
			  uint32_t ifindex, int direction);
void fetcher_flags_unhooked(struct flow_fetcher *fetcher, uint8_t netns, uint32_t ifindex,
			    int direction);
/* Into a program's copy of metered_interfaces; negative errno. key: FLOW_IFACE(netns, 0, ifindex).
 */
int fetcher_flags_write(const struct bpf_map *map, uint32_t key, uint8_t flags);
/* To programs that were just loaded; before each drain, what could not be told. */
void fetcher_flags_tell_all(struct flow_fetcher *fetcher);
void fetcher_flags_tell_again(struct flow_fetcher *fetcher);
/* Into a program's netns_inums and n_netns. */
void fetcher_flags_netns(const struct flow_fetcher *fetcher, uint32_t *inums, uint32_t *n);

int fetcher_ring_record(void *fetcher, void *data, size_t size);
/* The same for data that lies in the ring, which is mapped twice in a row: what is behind it can be
 * read. */
int fetcher_ring_callback(void *fetcher, void *data, size_t size);

/* fetcher_drops.c: without drops all do nothing */
void fetcher_drops_open(struct flow_fetcher *fetcher);
void fetcher_drops_close(struct flow_fetcher *fetcher);
int fetcher_drops_interface(struct flow_fetcher *fetcher, uint32_t key, uint8_t flags);
void fetcher_drops_netns(struct flow_fetcher *fetcher);
void fetcher_drops_slot(struct flow_fetcher *fetcher, const struct flow_event_drop_slot *event);
void fetcher_drops_scan(struct flow_fetcher *fetcher);
const struct bpf_program *fetcher_drops_program(const struct flow_fetcher *fetcher);

/* fetcher_netdev.c */
void fetcher_netdev_open(struct flow_fetcher *fetcher);
void fetcher_netdev_close(struct flow_fetcher *fetcher);
int fetcher_netdev_interface(struct flow_fetcher *fetcher, uint32_t key, uint8_t flags);
void fetcher_netdev_netns(struct flow_fetcher *fetcher);
void fetcher_netdev_update(struct flow_fetcher *fetcher);
/* or NULL */
const struct bpf_program *fetcher_netdev_program(const struct flow_fetcher *fetcher);
const struct bpf_program *fetcher_probe_program(const struct flow_fetcher *fetcher);

/* fetcher_signals.c: before load */
void fetcher_signals_constants(struct flow_fetcher *fetcher, struct flows_bpf *flows);
int fetcher_signals_sizes(struct flow_fetcher *fetcher, struct flows_bpf *flows);

/* fetcher_reasons.c: places among the arguments of kfree_skb, 0: not there */
struct fetcher_tracepoint {
	uint8_t reason;
	uint8_t rx_sk;
	uint32_t no_socket; /* numbers of these reasons, 0: not there */
	uint32_t queue_purge;
	uint32_t not_specified;
};
void fetcher_kfree_skb_arguments(struct fetcher_tracepoint *args);
bool fetcher_check_types(GError **error); /* fails on a kernel without BTF */

#endif

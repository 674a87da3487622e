/* SPDX-License-Identifier: MIT */
/*
 * The hooks of kernel/ as a test bench: crafted frames go through BPF_PROG_TEST_RUN, what they left
 * is read by the real fetcher and summed up by flow. Runs in a network namespace of its own.
 */
#ifndef BPFLOWD_TESTS_METER_H
#define BPFLOWD_TESTS_METER_H

#include <glib.h>

#include "fetcher.h"
#include "tests/kernel/packet.h"

/* What a frame comes with. Interface 0: the loopback device. */
struct packet_context {
	uint32_t ifindex;
	uint32_t ingress_ifindex;
	uint32_t gso_size;
	uint32_t gso_segs;
	uint32_t wire_len;
	uint8_t direction; /* enum flow_direction */
};

struct bpf_program;

struct meter_flow {
	struct flow_id id;
	struct flow_metrics metrics; /* times: of the first and the last packet */
	uint32_t slot;		     /* latest */
	uint32_t n_deltas;
};

struct meter {
	struct flow_fetcher *fetcher;
	GHashTable *flows; /* struct meter_flow, by id without its ECN bits */
	uint64_t packets;  /* of all deltas */
	uint64_t bytes;
	uint64_t dropped_packets; /* config.drops */
	uint64_t dropped_bytes;
	uint64_t dropped_since_ns; /* what the latest drain took */
	uint64_t n_rtt;		   /* config.rtt: looks at local sockets */
};

/* Exits with 77 where the test can't run: not root. Call it first. */
void meter_enter_namespace(void);

struct flow_fetcher_config meter_config(uint32_t max_flows);
struct meter *meter_new(const struct flow_fetcher_config *config);
void meter_free(struct meter *meter);

void meter_run(struct meter *meter, const struct frame *frame, const struct packet_context *context,
	       int repeat);
/* The same once; false: the kernel doesn't take the frame for a test (too short for what it says).
 */
bool meter_try(struct meter *meter, const struct frame *frame,
	       const struct packet_context *context);
/* Takes what is new into `flows`; returns the number of deltas. */
size_t meter_drain(struct meter *meter);
/* Forgets the flows taken and has each begin a new tenancy; forgets fragments. */
void meter_retire_all(struct meter *meter);

guint meter_id_hash(const void *id);
gboolean meter_id_equal(const void *a, const void *b);
/* A map of a program, by the 15 octets of its name that the kernel keeps. */
int meter_map_of(const struct bpf_program *program, const char *name);

char *meter_hex(const uint8_t *data, size_t len);
char *meter_describe(const struct flow_id *id, const struct flow_metrics *metrics);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Cost of the metering hooks per packet by BPF_PROG_TEST_RUN, side by side with an empty program
 * and a hash map with atomic adds: rounds are interleaved over all cases, each figure is a median
 * net of the empty program, and what counts is the ratio to the hash map. Run it as root: make
 * bench.
 */
#include "config.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kernel/flow.h"
#include "kernel/flows.skel.h"
#include "tests/bench/reference.skel.h"

#define ROUNDS	  15
#define REPEAT	  200000
#define FLOWS	  65536u /* slots of each family's table */
#define FORWARDED 7	 /* interface whose packets were counted where they came in */

static uint8_t frame4[64] = {2, 0, 0, 0,  0, 2, 2, 0,  0, 0, 0, 1,   8,	 0, 0x45, 0, 0, 50, 0,
			     0, 0, 0, 64, 6, 0, 0, 10, 1, 0, 1, 198, 18, 0, 1,	  4, 0, 1,  187};
static uint8_t frame6[84] = {2, 0,    0,    0,	  0, 2, 2, 0, 0,  0, 0,
			     1, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 30, 6, 64};

static void fill_frames(void)
{
	frame4[46] = 0x50;
	frame4[47] = 0x10;
	frame6[22] = frame6[38] = 0x20;
	frame6[54] = 4;
	frame6[56] = 1;
	frame6[57] = 187;
	frame6[66] = 0x50;
	frame6[67] = 0x10;
}

static struct flows_bpf *load_flows(bool precise, bool trackers)
{
	struct flows_bpf *f = flows_bpf__open();
	uint32_t n_cpus = libbpf_num_possible_cpus();
	uint32_t groups = FLOWS / FLOW_WAYS;

	f->rodata->precise = precise;
	f->rodata->rtt_enabled = f->rodata->dns_enabled = trackers;
	f->rodata->n_dns_ports = 1;
	((uint16_t *)(void *)f->rodata->dns_ports)[0] = GUINT16_TO_BE(53);
	f->rodata->one_packet_handicap = precise ? 4 << 20 : 1000;
	f->rodata->groups4 = f->rodata->groups6 = groups / n_cpus;
	f->rodata->n_partitions = n_cpus;
	f->rodata->ring_high = UINT32_MAX;
	for (int i = 0; i < 4; i++)
		f->rodata->hash_seed[i] = (uint64_t)g_random_int() << 32 | g_random_int();
	bpf_map__set_max_entries(f->maps.aggregated_flows, groups);
	bpf_map__set_max_entries(f->maps.flow_details, groups);
	bpf_map__set_max_entries(f->maps.aggregated_v6, groups);
	bpf_map__set_max_entries(f->maps.far_hints, n_cpus * 256);
	bpf_map__set_max_entries(f->maps.direct_flows, 1 << 22);
	f->bss->iface_flags[FORWARDED] = FORWARDED << 8 | 1;
	if (flows_bpf__load(f)) {
		perror("load flows");
		exit(1);
	}
	return f;
}

static struct reference_bpf *load_reference(int target_fd)
{
	struct reference_bpf *r = reference_bpf__open_and_load();
	uint32_t zero = 0;

	if (!r) {
		perror("load reference");
		exit(1);
	}
	if (target_fd < 0)
		target_fd = bpf_program__fd(r->progs.hash_atomic);
	bpf_map_update_elem(bpf_map__fd(r->maps.target), &zero, &target_fd, BPF_ANY);
	return r;
}

/* Nanoseconds of one run, by the kernel's own count. */
static unsigned run_from(int fd, uint8_t *frame, size_t size, int repeat, uint32_t ingress_ifindex)
{
	struct __sk_buff context = {.ingress_ifindex = ingress_ifindex};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = size,
		    .repeat = repeat, .ctx_in = &context, .ctx_size_in = sizeof(context));

	if (bpf_prog_test_run_opts(fd, &opts)) {
		perror("test run");
		exit(1);
	}
	return opts.duration;
}

static unsigned run(int fd, uint8_t *frame, size_t size, int repeat)
{
	return run_from(fd, frame, size, repeat, 0);
}

static int compare(const void *a, const void *b)
{
	return *(const unsigned *)a < *(const unsigned *)b
		       ? -1
		       : *(const unsigned *)a > *(const unsigned *)b;
}

static double median(unsigned *samples, size_t n)
{
	qsort(samples, n, sizeof(*samples), compare);
	return samples[n / 2];
}

struct bench {
	const char *name;
	int fd;
	uint8_t *frame;
	size_t size;
	unsigned samples[ROUNDS];
	uint32_t ingress_ifindex;
};

static void bench_hit(void)
{
	struct flows_bpf *coarse = load_flows(false, false), *precise = load_flows(true, false);
	struct flows_bpf *tracked = load_flows(false, true);
	struct flows_bpf *far = load_flows(false, false), *far_tracked = load_flows(false, true);
	struct reference_bpf *r = load_reference(-1);
	struct bench cases[] = {
		{"empty program", bpf_program__fd(r->progs.empty), frame4, sizeof(frame4), {0}},
		{"HASH + atomic add",
		 bpf_program__fd(r->progs.hash_atomic),
		 frame4,
		 sizeof(frame4),
		 {0}},
		{"IPv4",
		 bpf_program__fd(coarse->progs.ingress_flow_parse),
		 frame4,
		 sizeof(frame4),
		 {0}},
		{"IPv6",
		 bpf_program__fd(coarse->progs.ingress_flow_parse),
		 frame6,
		 sizeof(frame6),
		 {0}},
		{"IPv4, precise",
		 bpf_program__fd(precise->progs.ingress_flow_parse),
		 frame4,
		 sizeof(frame4),
		 {0}},
		{"IPv6, precise",
		 bpf_program__fd(precise->progs.ingress_flow_parse),
		 frame6,
		 sizeof(frame6),
		 {0}},
		{"IPv4, trackers on",
		 bpf_program__fd(tracked->progs.ingress_flow_parse),
		 frame4,
		 sizeof(frame4),
		 {0}},
		{"IPv6, trackers on",
		 bpf_program__fd(tracked->progs.ingress_flow_parse),
		 frame6,
		 sizeof(frame6),
		 {0}},
		{"forwarded, at egress",
		 bpf_program__fd(far->progs.egress_flow_parse),
		 frame4,
		 sizeof(frame4),
		 {0},
		 FORWARDED},
		{"forwarded, egress, trackers on",
		 bpf_program__fd(far_tracked->progs.egress_flow_parse),
		 frame4,
		 sizeof(frame4),
		 {0},
		 FORWARDED},
		{"IPv6 forwarded, egress, trackers",
		 bpf_program__fd(far_tracked->progs.egress_flow_parse),
		 frame6,
		 sizeof(frame6),
		 {0},
		 FORWARDED},
	};
	double empty, hash;

	for (int round = 0; round < ROUNDS; round++)
		for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
			cases[i].samples[round] =
				run_from(cases[i].fd, cases[i].frame, cases[i].size, REPEAT,
					 cases[i].ingress_ifindex);
	empty = median(cases[0].samples, ROUNDS);
	hash = median(cases[1].samples, ROUNDS) - empty;
	printf("one flow, 64-byte TCP                ns net   ratio to HASH + atomic add\n");
	for (size_t i = 1; i < G_N_ELEMENTS(cases); i++) {
		double net = median(cases[i].samples, ROUNDS) - empty;

		printf("  %-32s %7.0f   %.2f\n", cases[i].name, net, net / hash);
	}
	flows_bpf__destroy(coarse);
	flows_bpf__destroy(precise);
	flows_bpf__destroy(tracked);
	flows_bpf__destroy(far);
	flows_bpf__destroy(far_tracked);
	reference_bpf__destroy(r);
}

static int drop_record(void *user, void *data, size_t size)
{
	return 0;
}

/* New flows by the drive program: net of it running an empty target. */
static unsigned run_new(struct reference_bpf *r, struct ring_buffer *ring, unsigned n)
{
	uint64_t total = 0;
	unsigned chunk = 8000;

	for (unsigned done = 0; done < n; done += chunk) {
		total += (uint64_t)run(bpf_program__fd(r->progs.drive), frame4, sizeof(frame4),
				       chunk) *
			 chunk;
		if (ring)
			ring_buffer__consume(ring);
	}
	return total / n;
}

static void bench_new(void)
{
	struct flows_bpf *f = load_flows(false, false);
	struct reference_bpf *drive = load_reference(bpf_program__fd(f->progs.ingress_flow_parse));
	struct reference_bpf *idle = load_reference(-1);
	struct ring_buffer *ring =
		ring_buffer__new(bpf_map__fd(f->maps.direct_flows), drop_record, NULL, NULL);
	unsigned empty[ROUNDS], hash[ROUNDS], ours[ROUNDS], n = 56000;
	uint32_t zero = 0;
	int empty_fd = bpf_program__fd(idle->progs.empty);

	bpf_map_update_elem(bpf_map__fd(idle->maps.target), &zero, &empty_fd, BPF_ANY);
	drive->bss->next_flow = 0;
	drive->data->n_flows = UINT32_MAX;
	idle->data->n_flows = UINT32_MAX;
	run_new(drive, ring, 2 * FLOWS); /* from now on each new flow pushes another out */
	for (int round = 0; round < ROUNDS; round++) {
		struct reference_bpf *fresh = load_reference(-1);

		fresh->data->n_flows = UINT32_MAX;
		empty[round] = run_new(idle, NULL, n);
		hash[round] = run_new(fresh, NULL, n);
		ours[round] = run_new(drive, ring, n);
		reference_bpf__destroy(fresh);
	}
	printf("new flow, table of 65,536            ns net   ratio\n");
	printf("  %-32s %7.0f   1.00\n", "HASH insert, preallocated",
	       median(hash, ROUNDS) - median(empty, ROUNDS));
	printf("  %-32s %7.0f   %.2f\n", "eviction of another included",
	       median(ours, ROUNDS) - median(empty, ROUNDS),
	       (median(ours, ROUNDS) - median(empty, ROUNDS)) /
		       (median(hash, ROUNDS) - median(empty, ROUNDS)));
	ring_buffer__free(ring);
	flows_bpf__destroy(f);
	reference_bpf__destroy(drive);
	reference_bpf__destroy(idle);
}

/* Many flows, in random order: here the cache decides. */
static void bench_many(unsigned n_flows)
{
	struct flows_bpf *f = load_flows(false, false);
	struct reference_bpf *ours = load_reference(bpf_program__fd(f->progs.ingress_flow_parse));
	struct reference_bpf *hash = load_reference(-1), *idle = load_reference(-1);
	unsigned a[ROUNDS], b[ROUNDS], c[ROUNDS];
	uint32_t zero = 0;
	int empty_fd = bpf_program__fd(idle->progs.empty);
	double net;

	bpf_map_update_elem(bpf_map__fd(idle->maps.target), &zero, &empty_fd, BPF_ANY);
	ours->data->n_flows = hash->data->n_flows = idle->data->n_flows = n_flows;
	run_new(ours, NULL, n_flows * 2);
	run_new(hash, NULL, n_flows * 2);
	ours->bss->shuffle = hash->bss->shuffle = idle->bss->shuffle = 1;
	for (int round = 0; round < ROUNDS; round++) {
		a[round] = run(bpf_program__fd(idle->progs.drive), frame4, sizeof(frame4), REPEAT);
		b[round] = run(bpf_program__fd(hash->progs.drive), frame4, sizeof(frame4), REPEAT);
		c[round] = run(bpf_program__fd(ours->progs.drive), frame4, sizeof(frame4), REPEAT);
	}
	net = median(b, ROUNDS) - median(a, ROUNDS);
	printf("  %-7u flows: HASH %4.0f, ours %4.0f      %.2f\n", n_flows, net,
	       median(c, ROUNDS) - median(a, ROUNDS),
	       (median(c, ROUNDS) - median(a, ROUNDS)) / net);
	flows_bpf__destroy(f);
	reference_bpf__destroy(ours);
	reference_bpf__destroy(hash);
	reference_bpf__destroy(idle);
}

int main(void)
{
	setbuf(stdout, NULL);
	fill_frames();
	bench_hit();
	bench_new();
	printf("random order over                    ns net   ratio\n");
	bench_many(1000);
	bench_many(10000);
	bench_many(24000);
	return 0;
}

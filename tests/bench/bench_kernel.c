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
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/flow.h"
#include "kernel/flows.skel.h"
#include "tests/bench/reference.skel.h"

#define ROUNDS	  15
#define FEW_HITS  4 /* those that two CPUs do */
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

struct setup {
	bool precise, dns, rtt;
	uint32_t slots4; /* 0: FLOWS */
};

static struct flows_bpf *load_flows(const struct setup *setup)
{
	struct flows_bpf *f = flows_bpf__open();
	uint32_t n_cpus = libbpf_num_possible_cpus(), groups6 = FLOWS / FLOW_WAYS;
	uint32_t groups4 = (setup->slots4 ? setup->slots4 : FLOWS) / FLOW_WAYS;

	f->rodata->precise = setup->precise;
	f->rodata->rtt_enabled = setup->rtt;
	f->rodata->dns_enabled = setup->dns;
	f->rodata->n_dns_ports = 1;
	((uint16_t *)(void *)f->rodata->dns_ports)[0] = GUINT16_TO_BE(53);
	f->rodata->one_packet_handicap = setup->precise ? 4 << 20 : 1000;
	f->rodata->groups4 = groups4 / n_cpus;
	f->rodata->groups6 = groups6 / n_cpus;
	f->rodata->n_partitions = n_cpus;
	f->rodata->ring_high = UINT32_MAX;
	for (int i = 0; i < 4; i++)
		f->rodata->hash_seed[i] = (uint64_t)g_random_int() << 32 | g_random_int();
	bpf_map__set_max_entries(f->maps.aggregated_flows, groups4);
	bpf_map__set_max_entries(f->maps.flow_details, groups4);
	bpf_map__set_max_entries(f->maps.aggregated_v6, groups6);
	bpf_map__set_max_entries(f->maps.far_hints, n_cpus * 256);
	bpf_map__set_max_entries(f->maps.direct_flows, 1 << 22);
	f->bss->iface_flags[FORWARDED] = FORWARDED << 8 | 1;
	if (flows_bpf__load(f)) {
		perror("load flows");
		exit(1);
	}
	return f;
}

/* n_flows: what the hash map has room for. */
static struct reference_bpf *load_reference(int target_fd, uint32_t n_flows)
{
	struct reference_bpf *r = reference_bpf__open();
	uint32_t zero = 0;

	bpf_map__set_max_entries(r->maps.flows, n_flows);
	if (reference_bpf__load(r)) {
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

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void unpin(void)
{
	cpu_set_t set;

	memset(&set, 0xff, sizeof(set));
	sched_setaffinity(0, sizeof(set), &set);
}

enum program { EMPTY, HASH, COARSE, PRECISE, DNS, RTT, TRACKED, N_PROGRAMS };

/* Which program on which packet; the first two are what the others are measured against. */
static const struct {
	const char *name;
	enum program program;
	bool ipv6, egress; /* egress: of a packet that was counted where it came in */
	bool begins;	   /* a flow has just begun on this CPU */
} hits[] = {
	{"empty program", EMPTY, false, false},
	{"HASH + atomic add", HASH, false, false},
	{"IPv4", COARSE, false, false},
	{"IPv6", COARSE, true, false},
	{"IPv4, precise", PRECISE, false, false},
	{"IPv6, precise", PRECISE, true, false},
	{"IPv4, DNS on", DNS, false, false},
	{"IPv4, RTT on", RTT, false, false},
	{"IPv4, trackers on", TRACKED, false, false},
	{"IPv6, DNS on", DNS, true, false},
	{"IPv6, RTT on", RTT, true, false},
	{"IPv6, trackers on", TRACKED, true, false},
	{"forwarded, at egress", COARSE, false, true},
	{"forwarded, while flows begin", COARSE, false, true, true},
	{"forwarded, egress, trackers on", TRACKED, false, true},
	{"IPv6 forwarded, egress, trackers", TRACKED, true, true},
};

static const struct setup setups[N_PROGRAMS] = {
	[PRECISE] = {.precise = true},
	[DNS] = {.dns = true},
	[RTT] = {.rtt = true},
	[TRACKED] = {.dns = true, .rtt = true},
};

static int hit_fd(struct flows_bpf *const *flows, const struct reference_bpf *r, size_t i)
{
	if (hits[i].program == EMPTY)
		return bpf_program__fd(r->progs.empty);
	if (hits[i].program == HASH)
		return bpf_program__fd(r->progs.hash_atomic);
	return bpf_program__fd(hits[i].egress ? flows[hits[i].program]->progs.egress_flow_parse
					      : flows[hits[i].program]->progs.ingress_flow_parse);
}

/* Whether a flow began lately is one number in the counters of a CPU. */
static void begin_flow(const struct flows_bpf *f)
{
	int fd = bpf_map__fd(f->maps.counters);
	uint8_t frame[64] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame));

	bpf_prog_test_run_opts(bpf_program__fd(f->progs.sample_clock), &opts);
	for (uint32_t cpu = 0; cpu < (uint32_t)libbpf_num_possible_cpus(); cpu++) {
		struct flow_counters counters;

		bpf_map_lookup_elem(fd, &cpu, &counters);
		counters.far_tick = f->bss->sampled_jiffies;
		bpf_map_update_elem(fd, &cpu, &counters, BPF_ANY);
	}
}

static unsigned run_hit(int fd, size_t i)
{
	uint8_t *frame = hits[i].ipv6 ? frame6 : frame4;
	size_t size = hits[i].ipv6 ? sizeof(frame6) : sizeof(frame4);

	return run_from(fd, frame, size, REPEAT, hits[i].egress ? FORWARDED : 0);
}

/* The other CPU does the same all the time, until it is ended; runs already on return. Ahead of
 * other work of the machine, which would keep it away while this CPU measures. */
static pid_t start_neighbour(int fd, size_t i)
{
	const struct sched_param param = {.sched_priority = 1};
	char begun;
	int ends[2];
	pid_t pid;

	if (pipe(ends) || (pid = fork()) < 0) {
		perror("neighbour");
		exit(1);
	}
	if (!pid) {
		pin(1);
		sched_setscheduler(0, SCHED_RR, &param);
		if (write(ends[1], "", 1) != 1)
			_exit(1);
		for (;;)
			run_hit(fd, i);
	}
	if (read(ends[0], &begun, 1) != 1)
		exit(1);
	close(ends[0]);
	close(ends[1]);
	return pid;
}

static void print_hits(const char *title, unsigned samples[][ROUNDS], size_t n)
{
	double empty = median(samples[0], ROUNDS), hash = median(samples[1], ROUNDS) - empty;

	printf("%-36s ns net   ratio to HASH + atomic add\n", title);
	for (size_t i = 1; i < n; i++) {
		double net = median(samples[i], ROUNDS) - empty;

		printf("  %-32s %7.0f   %.2f\n", hits[i].name, net, net / hash);
	}
}

static void bench_hits(void)
{
	struct flows_bpf *flows[N_PROGRAMS] = {NULL};
	struct reference_bpf *r = load_reference(-1, FLOWS);
	unsigned alone[G_N_ELEMENTS(hits)][ROUNDS], both[FEW_HITS][ROUNDS];

	for (int i = COARSE; i < N_PROGRAMS; i++)
		flows[i] = load_flows(&setups[i]);
	for (int round = 0; round < ROUNDS; round++)
		for (size_t i = 0; i < G_N_ELEMENTS(hits); i++) {
			if (hits[i].begins)
				begin_flow(flows[hits[i].program]);
			alone[i][round] = run_hit(hit_fd(flows, r, i), i);
		}
	print_hits("one flow, 64-byte TCP", alone, G_N_ELEMENTS(hits));
	pin(0);
	for (int round = 0; round < ROUNDS && sysconf(_SC_NPROCESSORS_ONLN) > 1; round++)
		for (size_t i = 0; i < FEW_HITS; i++) {
			pid_t neighbour = start_neighbour(hit_fd(flows, r, i), i);

			both[i][round] = run_hit(hit_fd(flows, r, i), i);
			kill(neighbour, SIGKILL);
			waitpid(neighbour, NULL, 0);
		}
	unpin();
	if (sysconf(_SC_NPROCESSORS_ONLN) > 1)
		print_hits("two CPUs on the one flow", both, FEW_HITS);
	for (int i = COARSE; i < N_PROGRAMS; i++)
		flows_bpf__destroy(flows[i]);
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
	struct flows_bpf *f = load_flows(&(struct setup){0});
	struct reference_bpf *drive =
		load_reference(bpf_program__fd(f->progs.ingress_flow_parse), FLOWS);
	struct reference_bpf *idle = load_reference(-1, FLOWS);
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
		struct reference_bpf *fresh = load_reference(-1, FLOWS);

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
	uint32_t n_cpus = libbpf_num_possible_cpus();
	/* each CPU has its part of the table, and all packets come on one */
	struct flows_bpf *f =
		load_flows(&(struct setup){.slots4 = (n_flows + n_flows / 2) * n_cpus});
	struct reference_bpf *ours =
		load_reference(bpf_program__fd(f->progs.ingress_flow_parse), FLOWS);
	struct reference_bpf *hash = load_reference(-1, MAX(n_flows, FLOWS));
	struct reference_bpf *idle = load_reference(-1, FLOWS);
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
	bench_hits();
	bench_new();
	printf("random order over                    ns net   ratio\n");
	bench_many(1000);
	bench_many(10000);
	bench_many(65536);
	bench_many(1000000);
	return 0;
}

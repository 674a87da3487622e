/* SPDX-License-Identifier: MIT */
/*
 * Lets 64-byte UDP packets come in by interfaces of routers, as fast as one CPU receives and
 * forwards them: XDP frames that the kernel's test run makes and passes to the receive path, in
 * batches, all within this thread, so that its CPU time is that of the router's softirq. Bursts
 * go to the routers in turn. One line per turn: for each router CPU and wall time, ns per packet.
 */
#include "config.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/inject.skel.h"

#define ROUTERS_MAX  8
#define BATCH	     64
#define FRAME_SIZE   60 /* 64 with the check sequence that is not here */
#define NSEC_PER_SEC 1000000000ull

struct router {
	int netns;
	int ifindex;
	struct ether_header ethernet;
	uint64_t burst; /* packets */
	uint64_t next_flow;
};

struct options {
	uint64_t flows, first;
	uint64_t turns;
	uint64_t repeat; /* bursts to the first router in each turn */
	uint64_t rate;	 /* packets per second, 0: as fast as it goes */
};

static void fail(const char *what)
{
	fprintf(stderr, "inject: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void usage(void)
{
	fprintf(stderr,
		"usage: inject [--flows N] [--first N] [--turns N] [--repeat N] [--rate PPS] "
		"NAMESPACE:INTERFACE:PACKETS...\n");
	exit(2);
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return now.tv_sec * NSEC_PER_SEC + now.tv_nsec;
}

/* ---- routers */

static void enter(const struct router *router)
{
	if (setns(router->netns, CLONE_NEWNET))
		fail("setns");
}

static void router_open(struct router *router, const char *name, struct inject_bpf *program)
{
	struct ifreq request = {0};
	char netns[128], path[256];
	int fd;

	if (sscanf(name, "%127[^:]:%15[^:]:%" SCNu64, netns, request.ifr_name, &router->burst) !=
		    3 ||
	    !router->burst || router->burst > INT32_MAX)
		usage();
	snprintf(path, sizeof(path), "/run/netns/%s", netns);
	router->netns = open(path, O_RDONLY | O_CLOEXEC);
	if (router->netns < 0)
		fail(path);
	enter(router);
	router->ifindex = (int)if_nametoindex(request.ifr_name);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (ioctl(fd, SIOCGIFHWADDR, &request))
		fail(request.ifr_name);
	close(fd);
	memcpy(router->ethernet.ether_dhost, request.ifr_hwaddr.sa_data, ETH_ALEN);
	router->ethernet.ether_shost[0] = 2;
	router->ethernet.ether_type = htons(ETHERTYPE_IP);
	if (bpf_xdp_attach(router->ifindex, bpf_program__fd(program->progs.pass), 0, NULL))
		fail("the program on the interface");
}

static void router_close(struct router *router)
{
	enter(router);
	bpf_xdp_detach(router->ifindex, 0, NULL);
	close(router->netns);
}

/* ---- packets */

static void fill_headers(struct inject_bpf *program, const struct ether_header *ethernet)
{
	size_t size = FRAME_SIZE - sizeof(*ethernet);
	struct iphdr ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP};
	struct udphdr udp = {.dest = htons(9)};
	uint8_t *to = program->bss->first_packet;
	uint32_t sum = 0;
	uint16_t word;

	ip.tot_len = htons(size);
	udp.len = htons(size - sizeof(ip));
	inet_pton(AF_INET, "10.2.0.1", &ip.daddr);
	for (size_t i = 0; i < sizeof(ip); i += 2) {
		memcpy(&word, (char *)&ip + i, 2);
		sum += ntohs(word);
	}
	ip.check = htons((sum & 0xffff) + (sum >> 16));
	inet_pton(AF_INET, "10.64.0.1", &ip.saddr);
	memcpy(to, ethernet, sizeof(*ethernet));
	memcpy(to + sizeof(*ethernet), &ip, sizeof(ip));
	memcpy(to + sizeof(*ethernet) + sizeof(ip), &udp, sizeof(udp));
}

static void run(const struct inject_bpf *program, const struct router *router, uint64_t packets)
{
	static uint8_t frame[FRAME_SIZE];
	struct xdp_md context = {.data_end = sizeof(frame),
				 .ingress_ifindex = (uint32_t)router->ifindex};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame),
		    .ctx_in = &context, .ctx_size_in = sizeof(context), .repeat = (int)packets,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = BATCH);

	if (bpf_prog_test_run_opts(bpf_program__fd(program->progs.inject), &opts))
		fail("test run");
}

/* At a given rate: a hundred pieces per second. */
static void run_paced(const struct inject_bpf *program, const struct router *router,
		      const struct options *options)
{
	uint64_t piece = options->rate / 100 ? options->rate / 100 : 1;
	uint64_t begun_ns = clock_ns(CLOCK_MONOTONIC), due_ns;

	for (uint64_t done = 0, n; done < router->burst; done += n) {
		n = router->burst - done < piece ? router->burst - done : piece;
		run(program, router, n);
		due_ns = begun_ns + (done + n) * NSEC_PER_SEC / options->rate;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME,
				&(struct timespec){.tv_sec = due_ns / NSEC_PER_SEC,
						   .tv_nsec = due_ns % NSEC_PER_SEC},
				NULL);
	}
}

static void burst(struct inject_bpf *program, struct router *router, const struct options *options,
		  double ns[2])
{
	uint64_t cpu, wall;

	enter(router);
	fill_headers(program, &router->ethernet);
	program->bss->next_flow = router->next_flow;
	program->data->n_flows = options->flows;
	cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	wall = clock_ns(CLOCK_MONOTONIC);
	if (options->rate)
		run_paced(program, router, options);
	else
		run(program, router, router->burst);
	ns[0] = (double)(clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu) / (double)router->burst;
	ns[1] = (double)(clock_ns(CLOCK_MONOTONIC) - wall) / (double)router->burst;
	router->next_flow = program->bss->next_flow;
}

static void inject(struct inject_bpf *program, struct router *routers, int n,
		   const struct options *options)
{
	for (uint64_t turn = 0; turn < options->turns; turn++) {
		for (int i = 0; i < n; i++) {
			uint64_t repeat = i == 0 ? options->repeat : 1;
			double sum[2] = {0}, ns[2];

			for (uint64_t k = 0; k < repeat; k++) {
				burst(program, &routers[i], options, ns);
				sum[0] += ns[0] / (double)repeat;
				sum[1] += ns[1] / (double)repeat;
			}
			printf("%.1f %.1f%c", sum[0], sum[1], i + 1 < n ? ' ' : '\n');
		}
	}
}

static uint64_t number(const char *text)
{
	uint64_t value = strtoull(text, NULL, 0);

	if (!value)
		usage();
	return value;
}

static void parse_options(int argc, char **argv, struct options *options)
{
	static const struct option names[] = {
		{"flows", 1, 0, 'f'}, {"first", 1, 0, 'F'}, /* flow to begin with */
		{"turns", 1, 0, 't'}, {"repeat", 1, 0, 'R'}, {"rate", 1, 0, 'r'}, {0},
	};
	uint64_t *const values[] = {
		['f'] = &options->flows,  ['F'] = &options->first, ['t'] = &options->turns,
		['R'] = &options->repeat, ['r'] = &options->rate,
	};
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		if (c == '?')
			usage();
		*values[c] = number(optarg);
	}
	if (optind == argc || argc - optind > ROUTERS_MAX)
		usage();
}

int main(int argc, char **argv)
{
	struct options options = {.flows = 1, .turns = 1, .repeat = 1};
	struct router routers[ROUTERS_MAX] = {0};
	struct inject_bpf *program;
	int n;

	parse_options(argc, argv, &options);
	n = argc - optind;
	program = inject_bpf__open_and_load();
	if (!program)
		fail("the program");
	for (int i = 0; i < n; i++)
		router_open(&routers[i], argv[optind + i], program);
	for (int i = 0; i < n; i++)
		routers[i].next_flow = options.first;
	inject(program, routers, n, &options);
	for (int i = 0; i < n; i++)
		router_close(&routers[i]);
	inject_bpf__destroy(program);
	return 0;
}

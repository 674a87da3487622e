/* SPDX-License-Identifier: MIT */
/*
 * What an exporter adds to the time of each packet that its router forwards. Several routers that
 * differ only in who meters them stand side by side; bursts of equal packets go to one after the
 * other in changing order. On a veth pair the sender's CPU does all the forwarding before the next
 * packet is sent, so the time of a burst is the packets' way through the router. Reported are
 * medians of the differences between bursts of the same round: what disturbs the machine for longer
 * than a round disturbs both alike.
 *
 * Raw frames leave past the queueing discipline, at a real-time priority on one CPU.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <linux/if_packet.h>
#include <math.h>
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
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_ROUTERS    16
#define BATCH	       64
#define PAYLOAD	       18
#define PORTS_PER_HOST 4096
#define REST_US	       4000 /* after each burst: others of this CPU want to run, too */

struct frame {
	struct ether_header ethernet;
	struct iphdr ip;
	struct udphdr udp;
	uint8_t payload[PAYLOAD];
} __attribute__((packed));

struct router {
	const char *name;
	int fd;
	uint8_t src_mac[6], dst_mac[6];
	double *ns; /* per packet, by round */
};

struct options {
	uint32_t flows;
	bool zipf; /* flow n with a frequency of about 1/n; else all alike */
	uint32_t rounds, burst, warm;
	int cpu;
	uint32_t src, dst; /* host order */
	uint64_t random;
};

static void die(const char *what)
{
	fprintf(stderr, "pairs: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void usage(void)
{
	fputs("usage: pairs [--flows N] [--zipf] [--rounds N] [--burst PACKETS] [--cpu N]\n"
	      "  --src A --dst A INTERFACE=MAC...\n"
	      "The first interface is the one that the others are compared with.\n",
	      stderr);
	exit(2);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static uint32_t choose_flow(struct options *o)
{
	uint64_t random = next_random(&o->random);

	if (o->zipf)
		return exp((random >> 11) * 0x1p-53 * log(o->flows + 1.0)) - 1;
	return random % o->flows;
}

/* ---- frames */

static uint16_t ip_checksum(const struct iphdr *ip)
{
	uint16_t words[sizeof(*ip) / 2];
	uint32_t sum = 0;

	memcpy(words, ip, sizeof(words));
	for (size_t i = 0; i < sizeof(words) / 2; i++)
		sum += words[i];
	sum = (sum >> 16) + (sum & 0xffff);
	return ~(sum + (sum >> 16));
}

static void frame_start(const struct options *o, const struct router *router, struct frame *frame)
{
	memset(frame, 0, sizeof(*frame));
	memcpy(frame->ethernet.ether_dhost, router->dst_mac, 6);
	memcpy(frame->ethernet.ether_shost, router->src_mac, 6);
	frame->ethernet.ether_type = htons(ETHERTYPE_IP);
	frame->ip = (struct iphdr){.version = 4,
				   .ihl = 5,
				   .tot_len = htons(sizeof(*frame) - sizeof(frame->ethernet)),
				   .ttl = 64,
				   .protocol = IPPROTO_UDP,
				   .daddr = htonl(o->dst)};
	frame->udp.uh_dport = htons(9);
	frame->udp.uh_ulen = htons(sizeof(frame->udp) + PAYLOAD); /* checksum 0: none (RFC 768) */
}

static void frame_set_flow(const struct options *o, uint32_t flow, struct frame *frame)
{
	struct iphdr ip = frame->ip;

	ip.saddr = htonl(o->src + flow / PORTS_PER_HOST);
	ip.id = htons(flow);
	ip.check = 0;
	ip.check = ip_checksum(&ip);
	frame->ip = ip;
	frame->udp.uh_sport = htons(4096 + flow % PORTS_PER_HOST);
}

/* ---- bursts */

static void send_all(int fd, struct mmsghdr *messages, int n)
{
	for (int done = 0; done < n;) {
		int sent = sendmmsg(fd, messages + done, n - done, 0);

		if (sent < 0 && errno != EINTR && errno != ENOBUFS && errno != EAGAIN)
			die("sendmmsg");
		if (sent > 0)
			done += sent;
	}
}

static void send_packets(struct options *o, const struct router *router, uint32_t n)
{
	struct mmsghdr messages[BATCH] = {0};
	struct frame frames[BATCH];
	struct iovec iov[BATCH];

	for (int i = 0; i < BATCH; i++) {
		frame_start(o, router, &frames[i]);
		iov[i] = (struct iovec){&frames[i], sizeof(frames[i])};
		messages[i].msg_hdr.msg_iov = &iov[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	for (uint32_t sent = 0; sent < n; sent += BATCH) {
		for (int i = 0; i < BATCH; i++)
			frame_set_flow(o, choose_flow(o), &frames[i]);
		send_all(router->fd, messages, BATCH);
	}
}

/* A burst's first packets bring the router's own data back into the caches and are not timed. */
static double time_burst(struct options *o, const struct router *router)
{
	uint32_t timed = (o->burst + BATCH - 1) / BATCH * BATCH;
	uint64_t begun;
	double ns;

	send_packets(o, router, o->burst / 4);
	begun = now_ns();
	send_packets(o, router, timed);
	ns = (double)(now_ns() - begun) / timed;
	usleep(REST_US);
	return ns;
}

static void run(struct options *o, struct router *routers, int n)
{
	int order[MAX_ROUTERS];

	for (int i = 0; i < n; i++)
		order[i] = i;
	for (int i = 0; i < n; i++) /* every flow is known before anything is timed */
		send_packets(o, &routers[i], o->flows * (o->flows > 1 ? 5 : 1));
	for (uint32_t round = 0; round < o->rounds; round++) {
		for (int i = n - 1; i > 0; i--) {
			int j = next_random(&o->random) % (i + 1), swap = order[i];

			order[i] = order[j];
			order[j] = swap;
		}
		for (int i = 0; i < n; i++)
			routers[order[i]].ns[round] = time_burst(o, &routers[order[i]]);
	}
}

/* ---- report */

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void report(const struct options *o, const struct router *routers, int n)
{
	double *sorted = calloc(o->rounds, sizeof(*sorted));

	if (!sorted)
		die("memory");
	for (int i = 0; i < n; i++) {
		for (uint32_t r = 0; r < o->rounds; r++)
			sorted[r] = routers[i].ns[r] - (i ? routers[0].ns[r] : 0);
		qsort(sorted, o->rounds, sizeof(*sorted), ascending);
		printf("%s %.0f %.0f %.0f\n", routers[i].name, sorted[o->rounds / 2],
		       sorted[o->rounds / 4], sorted[o->rounds * 3 / 4]);
	}
	free(sorted);
}

/* ---- start */

static void router_open(struct router *router, char *text, uint32_t rounds)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET};
	char *mac = strchr(text, '=');
	struct ifreq request = {0};

	if (!mac)
		usage();
	*mac++ = '\0';
	if (sscanf(mac, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", router->dst_mac, router->dst_mac + 1,
		   router->dst_mac + 2, router->dst_mac + 3, router->dst_mac + 4,
		   router->dst_mac + 5) != 6)
		usage();
	router->name = text;
	router->ns = calloc(rounds, sizeof(*router->ns));
	router->fd = socket(AF_PACKET, SOCK_RAW, 0);
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", text);
	if (!router->ns || router->fd < 0 || ioctl(router->fd, SIOCGIFHWADDR, &request) < 0)
		die(text);
	memcpy(router->src_mac, request.ifr_hwaddr.sa_data, 6);
	address.sll_ifindex = if_nametoindex(text);
	if (bind(router->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    setsockopt(router->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &(int){1}, sizeof(int)) < 0)
		die(text);
}

static void take_cpu(int cpu)
{
	struct sched_param priority = {.sched_priority = 10};
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0 ||
	    sched_setscheduler(0, SCHED_FIFO, &priority) < 0)
		die("scheduling");
}

static uint32_t parse_address(const char *text)
{
	struct in_addr address;

	if (inet_pton(AF_INET, text, &address) != 1)
		usage();
	return ntohl(address.s_addr);
}

int main(int argc, char **argv)
{
	static const struct option names[] = {
		{"flows", 1, 0, 'f'},  {"zipf", 0, 0, 'z'},
		{"rounds", 1, 0, 'r'}, {"burst", 1, 0, 'b'},
		{"cpu", 1, 0, 'c'},    {"src", 1, 0, 's'},
		{"dst", 1, 0, 'd'},    {0},
	};
	struct options o = {.flows = 1, .rounds = 100, .burst = 20000, .random = 88172645463325252};
	struct router routers[MAX_ROUTERS];
	int c, n = 0;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (c) {
		case 'f':
			o.flows = strtoul(optarg, NULL, 0);
			break;
		case 'z':
			o.zipf = true;
			break;
		case 'r':
			o.rounds = strtoul(optarg, NULL, 0);
			break;
		case 'b':
			o.burst = strtoul(optarg, NULL, 0);
			break;
		case 'c':
			o.cpu = atoi(optarg);
			break;
		case 's':
			o.src = parse_address(optarg);
			break;
		case 'd':
			o.dst = parse_address(optarg);
			break;
		default:
			usage();
		}
	}
	if (!o.flows || !o.rounds || !o.burst || !o.src || !o.dst || optind == argc ||
	    argc - optind > MAX_ROUTERS)
		usage();
	while (optind < argc)
		router_open(&routers[n++], argv[optind++], o.rounds);
	take_cpu(o.cpu);
	run(&o, routers, n);
	report(&o, routers, n);
	return 0;
}

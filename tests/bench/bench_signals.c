/* SPDX-License-Identifier: MIT */
/*
 * Cost of a drop and of a queued packet that is not DNS, by the kernel's own run statistics, net of
 * an empty program on the same tracepoint in the same run. Works in a network namespace of its own:
 * frames sent into one end of a veth pair come in at the other and find no route. The metering hook
 * counts them meanwhile, and shares the ring. Medians of many short rounds, on one CPU.
 */
#include "config.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cache.h"
#include "clock.h"
#include "fetcher.h"
#include "tests/bench/empty.skel.h"

#define ROUNDS	25
#define PACKETS 20000

struct bench {
	struct flow_fetcher *fetcher;
	struct empty_bpf *empty;
	int socket;
	struct sockaddr_ll to;
	uint64_t events;
	uint64_t dropped;
};

static void on_prefetch(void *user, const struct flow_id *id, uint32_t hint)
{
}

static uint32_t on_flow(void *user, const struct flow_id *id, const struct flow_metrics *delta,
			uint32_t slot, uint32_t hint)
{
	return CACHE_NO_HINT;
}

static void on_event(void *user, const struct flow_event *event, size_t size)
{
	struct bench *b = user;

	if (event->type != FLOW_EVENT_DROP)
		return;
	b->events++;
	b->dropped += ((const struct flow_event_drop *)event)->drops.packets;
}

static void fail(const char *what)
{
	fprintf(stderr, "bench_signals: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void run(const char *command)
{
	if (system(command))
		fail(command);
}

/* A sender that moves fills the tables of several. */
static void stay_on_one_cpu(void)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu(), &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		fail("a CPU of its own");
}

static void make_network(struct bench *b)
{
	if (unshare(CLONE_NEWNET))
		fail("a network namespace");
	run("ip link set lo up; ip link add va type veth peer name vb; ip link set va up; ip link "
	    "set vb up");
	run("sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 "
	    "net.ipv4.conf.vb.rp_filter=0; ip address add 10.0.0.1/24 dev vb");
	b->socket = socket(AF_PACKET, SOCK_RAW, 0);
	b->to = (struct sockaddr_ll){
		.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex("va"), .sll_halen = 6};
	if (b->socket < 0)
		fail("a packet socket");
}

static uint16_t checksum(const uint8_t *ip)
{
	uint32_t sum = 0;

	for (int i = 0; i < 20; i += 2)
		sum += ip[i] << 8 | ip[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t) ~(sum + (sum >> 16)));
}

/* What the daemon does when the ring is half full. */
static void read_ring(struct bench *b)
{
	struct clock_now now;

	clock_read(&now);
	flow_fetcher_read_ringbuf(b->fetcher, now.mono_ns);
}

static void drain(struct bench *b)
{
	struct clock_now now;

	clock_read(&now);
	flow_fetcher_lookup_and_delete_map(b->fetcher, now.mono_ns);
}

/* Flows go on where the last call ended. */
static void send_frames(struct bench *b, const uint8_t mac[6], uint32_t n_flows, bool read)
{
	static uint32_t n;

	uint8_t frame[64] = {0};
	uint8_t *ip = frame + 14;

	memcpy(frame, mac, 6);
	frame[6] = 2;
	frame[12] = 0x08;
	ip[0] = 0x45;
	ip[3] = 50;
	ip[8] = 64;
	ip[9] = 17;
	memcpy(ip + 12, "\x0a\x00\x00\x02", 4);
	memcpy(ip + 16, "\xc6\x33\x64\x01", 4); /* 198.51.100.1: no route */
	ip[25] = 30;
	for (uint32_t i = 0; i < PACKETS; i++, n++) {
		uint16_t port = htons((uint16_t)(n % n_flows));

		ip[10] = ip[11] = 0;
		memcpy(ip + 20, &port, 2);
		ip[14] = (uint8_t)(n % n_flows >> 16);
		*(uint16_t *)(void *)(ip + 10) = checksum(ip);
		if (sendto(b->socket, frame, sizeof(frame), 0, (void *)&b->to, sizeof(b->to)) < 0 &&
		    errno != ENOBUFS)
			fail("sendto");
		if (read && i % 2000 == 1999)
			read_ring(b);
	}
}

static void usage(const struct bench *b, uint64_t *count, uint64_t *time_ns)
{
	struct bpf_program *const empty[] = {b->empty->progs.empty_drop,
					     b->empty->progs.empty_queue};
	struct flow_fetcher_usage u;

	flow_fetcher_usage(b->fetcher, &u);
	count[0] = u.programs[FLOW_FETCHER_DROP].run_count;
	time_ns[0] = u.programs[FLOW_FETCHER_DROP].run_time_ns;
	count[2] = u.programs[FLOW_FETCHER_QUEUE].run_count;
	time_ns[2] = u.programs[FLOW_FETCHER_QUEUE].run_time_ns;
	for (int i = 0; i < 2; i++) {
		struct bpf_prog_info info = {0};
		uint32_t size = sizeof(info);

		bpf_obj_get_info_by_fd(bpf_program__fd(empty[i]), &info, &size);
		count[1 + 2 * i] = info.run_cnt;
		time_ns[1 + 2 * i] = info.run_time_ns;
	}
}

static double per_run(const uint64_t *c0, const uint64_t *t0, const uint64_t *c1,
		      const uint64_t *t1, int i)
{
	return c1[i] > c0[i] ? (double)(t1[i] - t0[i]) / (double)(c1[i] - c0[i]) : 0;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *values)
{
	qsort(values, ROUNDS, sizeof(*values), compare);
	return values[ROUNDS / 2];
}

static void measure(struct bench *b, const uint8_t mac[6], uint32_t n_flows, bool read)
{
	double drop[ROUNDS], queue[ROUNDS];
	uint64_t c0[4], t0[4], c1[4], t1[4];

	drain(b);
	b->dropped = 0;
	for (int round = 0; round < ROUNDS; round++) {
		usage(b, c0, t0);
		send_frames(b, mac, n_flows, read);
		usleep(20000);
		usage(b, c1, t1);
		drop[round] = per_run(c0, t0, c1, t1, 0) - per_run(c0, t0, c1, t1, 1);
		queue[round] = per_run(c0, t0, c1, t1, 2) - per_run(c0, t0, c1, t1, 3);
		if (read)
			drain(b);
	}
	printf("%6u flows, ring %s: drop %4.0f ns, queued and not DNS %3.0f ns; %.0f %% of the "
	       "drops told\n",
	       n_flows, read ? "read  " : "unread", median(drop), median(queue),
	       100.0 * (double)b->dropped / ((double)PACKETS * ROUNDS));
}

static void read_mac(uint8_t mac[6])
{
	FILE *file =
		popen("ip -o link show dev vb | sed 's/.*ether \\([0-9a-f:]*\\) .*/\\1/'", "r");
	unsigned int m[6];

	if (!file ||
	    fscanf(file, "%x:%x:%x:%x:%x:%x", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5]) != 6)
		fail("the address of vb");
	for (int i = 0; i < 6; i++)
		mac[i] = (uint8_t)m[i];
	pclose(file);
}

int main(void)
{
	static const uint16_t ports[] = {53};
	struct bench b = {0};
	struct flow_fetcher_config config = {.max_flows = 65536,
					     .sampling = 1,
					     .count_once = true,
					     .drops = true,
					     .dns = true,
					     .rtt = true,
					     .dns_ports = ports,
					     .n_dns_ports = 1};
	const struct flow_fetcher_callbacks callbacks = {
		.flow = on_flow, .prefetch = on_prefetch, .event = on_event, .user = &b};
	g_autoptr(GError) error = NULL;
	int stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	uint8_t mac[6];

	if (stats < 0)
		fail("run statistics");
	stay_on_one_cpu();
	make_network(&b);
	read_mac(mac);
	b.fetcher = flow_fetcher_new(&config, &callbacks, &error);
	b.empty = empty_bpf__open_and_load();
	if (!b.fetcher || !b.empty || empty_bpf__attach(b.empty))
		fail(error ? error->message : "the empty programs");
	if (!flow_fetcher_attach(b.fetcher, 0, -1, if_nametoindex("vb"), FLOW_INGRESS, &error))
		fail(error->message);
	printf("net of an empty program\n");
	measure(&b, mac, 1, true);
	measure(&b, mac, 1000, true);
	measure(&b, mac, 60000, true);
	measure(&b, mac, 60000, false);
	empty_bpf__destroy(b.empty);
	flow_fetcher_close(b.fetcher);
	close(stats);
	return 0;
}

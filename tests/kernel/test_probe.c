/* SPDX-License-Identifier: MIT */
/*
 * What tcp_probe puts into the ring of flows for the sockets of this host, here connections over
 * loopback, which nobody meters: little where two sockets share a place in its memory, nothing
 * while the ring is half full.
 */
#include "config.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <glib.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fetcher_private.h"
#include "tests/kernel/meter.h"
#include "tests/kernel/packet.h"

#define DEVICE	    "probed0"
#define PLACES	    4096 /* kernel/probe.bpf.c: SOCKETS */
#define CONNECTIONS 400	 /* two of their sockets share a place, but for a chance of 1 in 10^33 */
#define RING_BYTES  (1 << 20)
#define ROUNDS	    500

/* A value of probed_sockets. */
struct probed {
	uint64_t socket;
	uint64_t asked;
};

/* One end of a connection. */
struct end {
	int fd;
	int peer;
	uint32_t ports; /* the low half of probed.socket */
};

struct bench {
	struct meter *meter;
	int map;
	int listener;
	struct end ends[2 * CONNECTIONS];
	int n_ends;
	const struct end *holders[PLACES];
};

static void bench_init(struct bench *b)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct flow_fetcher_config config = meter_config(1);
	g_autoptr(GError) error = NULL;

	memset(b, 0, sizeof(*b));
	config.rtt = true;
	config.ring_bytes = RING_BYTES;
	b->meter = meter_new(&config);
	/* sockets of namespaces without a metered interface are passed over */
	g_assert_true(flow_fetcher_attach(b->meter->fetcher, 0, -1, if_nametoindex(DEVICE),
					  FLOW_INGRESS, &error));
	b->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	g_assert_cmpint(bind(b->listener, (void *)&address, sizeof(address)), ==, 0);
	g_assert_cmpint(listen(b->listener, 16), ==, 0);
}

static bool is_probed(struct bench *b)
{
	const struct bpf_program *program = fetcher_probe_program(b->meter->fetcher);

	if (program)
		b->map = meter_map_of(program, "probed_sockets");
	else
		g_test_skip("this kernel cannot run tcp_probe");
	return program;
}

static void bench_clear(struct bench *b)
{
	for (int i = 0; i < b->n_ends; i++)
		close(b->ends[i].fd);
	close(b->listener);
	meter_free(b->meter);
}

static struct end *add_end(struct bench *b, int fd, int peer)
{
	struct end *end = &b->ends[b->n_ends++];
	struct sockaddr_in own, other;
	socklen_t size = sizeof(own);
	int on = 1;

	g_assert_cmpint(getsockname(fd, (void *)&own, &size), ==, 0);
	g_assert_cmpint(getpeername(fd, (void *)&other, &size), ==, 0);
	g_assert_cmpint(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), ==, 0);
	*end = (struct end){fd, peer, (uint32_t)ntohs(own.sin_port) << 16 | other.sin_port};
	return end;
}

/* A segment that the socket takes. */
static void poke(const struct end *end)
{
	char octet = 0;

	g_assert_cmpint(write(end->peer, &octet, 1), ==, 1);
	g_assert_cmpint(read(end->fd, &octet, 1), ==, 1);
}

/* Returns its first end; the second is behind it. */
static struct end *connect_one(struct bench *b)
{
	struct sockaddr_in address;
	socklen_t size = sizeof(address);
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), server;
	struct end *first;

	g_assert_cmpint(getsockname(b->listener, (void *)&address, &size), ==, 0);
	g_assert_cmpint(connect(client, (void *)&address, size), ==, 0);
	server = accept(b->listener, NULL, NULL);
	g_assert_cmpint(server, >=, 0);
	first = add_end(b, client, server);
	add_end(b, server, client);
	return first;
}

static void forget_holders(struct bench *b)
{
	struct probed nobody = {0};

	for (uint32_t place = 0; place < PLACES; place++)
		if (b->holders[place])
			g_assert_cmpint(bpf_map_update_elem(b->map, &place, &nobody, BPF_ANY), ==,
					0);
}

/* Who had the place of this end before it: NULL, and it's the holder now. */
static const struct end *find_holder(struct bench *b, const struct end *end)
{
	struct probed p;

	for (uint32_t place = 0; place < PLACES; place++) {
		const struct end *holder = b->holders[place];

		g_assert_cmpint(bpf_map_lookup_elem(b->map, &place, &p), ==, 0);
		if ((uint32_t)p.socket != end->ports)
			continue;
		b->holders[place] = end;
		return holder;
	}
	return NULL;
}

static void find_two_of_a_place(struct bench *b, const struct end *two[2])
{
	for (int i = 0; i < CONNECTIONS; i++) {
		const struct end *ends = connect_one(b);

		forget_holders(b);
		poke(&ends[0]);
		poke(&ends[1]);
		for (int k = 0; k < 2; k++) {
			two[0] = find_holder(b, &ends[k]);
			two[1] = &ends[k];
			if (two[0])
				return;
		}
	}
	g_error("no two of %d sockets share a place", b->n_ends);
}

/* By turns they take the place from each other. */
static void test_shared_place(void)
{
	const struct end *two[2];
	gint64 begin_us, took_us;
	struct bench b;

	bench_init(&b);
	if (is_probed(&b)) {
		find_two_of_a_place(&b, two);
		meter_drain(b.meter);
		b.meter->n_rtt = 0;
		begin_us = g_get_monotonic_time();
		for (int i = 0; i < ROUNDS; i++) {
			poke(two[0]);
			poke(two[1]);
		}
		took_us = g_get_monotonic_time() - begin_us;
		meter_drain(b.meter);
		g_test_message("%" G_GUINT64_FORMAT " looks within %" G_GINT64_FORMAT " us",
			       b.meter->n_rtt, took_us);
		/* eight a second, and the peers' one, with room for another socket in the place */
		g_assert_cmpuint(b.meter->n_rtt, <=, 8 + took_us / 50000);
		g_assert_cmpuint(b.meter->n_rtt, <, ROUNDS);
	}
	bench_clear(&b);
}

static struct flow_counters counters_of(struct meter *meter)
{
	struct flow_counters counters;

	flow_fetcher_counters(meter->fetcher, &counters);
	return counters;
}

/* With records of flows that others took the place of, to more than a half. */
static void fill_ring(struct meter *meter)
{
	const uint64_t n = RING_BYTES * 5ull / 8 / sizeof(struct flow_event_slot4);
	const struct packet_context ingress = {0};
	struct frame frame;

	for (uint32_t flow = 0; counters_of(meter).evicted_flows < n; flow++) {
		packet_build(&frame, (struct layer[PACKET_MAX_LAYERS]){
					     ETH, IP4(0, 64), SET16(14, flow >> 16),
					     UDP(flow & 0xffff, 2), DATA(10)});
		meter_run(meter, &frame, &ingress, 1);
	}
	g_assert_cmpuint(counters_of(meter).lost_ring_packets, ==, 0);
}

/* Flows need the rest of it. */
static void test_ring_half_full(void)
{
	const struct end *ends;
	struct bench b;

	bench_init(&b);
	if (is_probed(&b)) {
		fill_ring(b.meter);
		ends = connect_one(&b);
		poke(&ends[0]);
		poke(&ends[1]);
		meter_drain(b.meter);
		g_assert_cmpuint(b.meter->n_rtt, ==, 0);
		poke(&ends[0]);
		poke(&ends[1]);
		meter_drain(b.meter);
		g_assert_cmpuint(b.meter->n_rtt, >, 0);
	}
	bench_clear(&b);
}

int main(int argc, char **argv)
{
	meter_enter_namespace();
	g_test_init(&argc, &argv, NULL);
	if (system("ip link set lo up && ip link add " DEVICE " type veth peer name probed1"))
		g_error("no namespace with a device");
	g_test_add_func("/probe/shared-place", test_shared_place);
	g_test_add_func("/probe/ring-half-full", test_ring_half_full);
	return g_test_run();
}

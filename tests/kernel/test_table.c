/* SPDX-License-Identifier: MIT */
/*
 * The flow table under the real hooks and the real fetcher: a slot's life, eviction, a full ring,
 * generations, and conservation to the packet and octet while several CPUs write and user space
 * reads and retires.
 */
#include "config.h"

#include <bpf/bpf.h>
#include <glib.h>
#include <malloc.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fetcher_private.h"
#include "tests/kernel/meter.h"
#include "tests/kernel/packet.h"

#define RUN_S	      2
#define DRAIN_EACH_US 10000

static const struct packet_context ingress = {0};

static void stay_on(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	g_assert_cmpint(sched_setaffinity(0, sizeof(cpus), &cpus), ==, 0);
}

/* A UDP packet of flow number n, of either family, by turns. */
static void make_packet(struct frame *frame, bool is_ipv6, uint32_t n, uint32_t payload)
{
	if (is_ipv6)
		packet_build(frame,
			     (struct layer[PACKET_MAX_LAYERS]){ETH, IP6(0, 64), SET16(20, n >> 16),
							       UDP(n & 0xffff, 2), DATA(payload)});
	else
		packet_build(frame,
			     (struct layer[PACKET_MAX_LAYERS]){ETH, IP4(0, 64), SET16(14, n >> 16),
							       UDP(n & 0xffff, 2), DATA(payload)});
}

static void send_flows(struct meter *meter, bool is_ipv6, uint32_t first, uint32_t n)
{
	struct frame frame;

	for (uint32_t i = first; i < first + n; i++) {
		make_packet(&frame, is_ipv6, i, 10);
		meter_run(meter, &frame, &ingress, 1);
	}
}

static struct meter *new_meter(uint32_t max_flows, uint32_t ring_bytes)
{
	struct flow_fetcher_config config = meter_config(max_flows);

	config.ring_bytes = ring_bytes;
	return meter_new(&config);
}

static struct flow_counters counters_of(struct meter *meter)
{
	struct flow_counters counters;

	flow_fetcher_counters(meter->fetcher, &counters);
	return counters;
}

/* Packets and octets: observed = read + lost. */
static void expect_conserved(struct meter *meter)
{
	struct flow_counters c = counters_of(meter);

	g_assert_cmpuint(c.observed_packets[0] + c.observed_packets[1], ==,
			 meter->packets + c.lost_ring_packets + c.lost_table_packets);
	g_assert_cmpuint(c.observed_bytes[0] + c.observed_bytes[1], ==,
			 meter->bytes + c.lost_ring_bytes + c.lost_table_bytes);
}

static void test_hit_and_miss(void)
{
	struct meter *meter = new_meter(4096, 0);

	for (int round = 0; round < 3; round++)
		for (int v6 = 0; v6 < 2; v6++)
			send_flows(meter, v6, 0, 100);
	g_assert_cmpuint(counters_of(meter).created_flows, ==, 200);
	g_assert_cmpuint(counters_of(meter).evicted_flows, ==, 0);
	g_assert_cmpuint(meter_drain(meter), ==, 200);
	g_assert_cmpuint(meter->packets, ==, 600);
	expect_conserved(meter);
	meter_free(meter);
}

/* What an export put aside of the ring is read later, and then takes no memory any more. */
static void test_stash(void)
{
	struct meter *meter = new_meter(1, 4 << 20);
	size_t before, stashed;
	struct mallinfo2 m;

	send_flows(meter, false, 0, 10);
	meter_drain(meter);
	m = mallinfo2();
	before = m.uordblks + m.hblkhd;
	for (int i = 0; i < 1000; i++)
		send_flows(meter, false, 0, 10);
	flow_fetcher_stash_ringbuf(meter->fetcher);
	m = mallinfo2();
	stashed = m.uordblks + m.hblkhd;
	meter_drain(meter);
	m = mallinfo2();
	/* sanitizers tell nothing: all are 0 */
	g_assert_cmpuint(stashed, >=, before);
	g_assert_cmpuint(m.uordblks + m.hblkhd, <=, before + (stashed - before) / 10);
	g_assert_cmpuint(meter->packets, ==, 10010);
	expect_conserved(meter);
	meter_free(meter);
}

/* A producer that is always faster: for each event that is read there is another. */
struct pursuit {
	struct meter *meter;
	uint32_t n_events;
};

static uint32_t ignore_delta(void *user, const struct flow_id *id, const struct flow_metrics *delta,
			     uint32_t slot, uint32_t hint)
{
	return hint;
}

static void send_another(void *user, const struct flow_event *event, size_t size)
{
	struct pursuit *pursuit = user;

	if (event->type == FLOW_EVENT_DNS && ++pursuit->n_events < 100000)
		send_flows(pursuit->meter, false, 0, 1);
}

/* A drain ends all the same. */
static void test_pursuit(void)
{
	const uint16_t dns_port = 2;
	struct flow_fetcher_config config = meter_config(262144);
	struct pursuit pursuit = {0};

	config.ring_bytes = 4096;
	config.dns = true;
	config.dns_ports = &dns_port;
	config.n_dns_ports = 1;
	stay_on(0);
	pursuit.meter = meter_new(&config);
	pursuit.meter->fetcher->callbacks.event = send_another;
	pursuit.meter->fetcher->callbacks.user = &pursuit;
	pursuit.meter->fetcher->callbacks.flow = ignore_delta;
	send_flows(pursuit.meter, false, 0, 1);
	meter_drain(pursuit.meter);
	g_assert_cmpuint(pursuit.n_events, >, 200);
	g_assert_cmpuint(pursuit.n_events, <, 4000);
	meter_free(pursuit.meter);
}

/* Marks this CPU as one that is counting a packet, or not. */
static void set_busy(struct meter *meter, uint32_t cpu, uint32_t n)
{
	int fd = bpf_map__fd(meter->fetcher->flows[0]->maps.counters);
	struct flow_counters c;

	g_assert_cmpint(bpf_map_lookup_elem(fd, &cpu, &c), ==, 0);
	g_assert_cmpuint(c.busy, ==, n ? 0 : 1);
	c.busy = n;
	g_assert_cmpint(bpf_map_update_elem(fd, &cpu, &c, BPF_ANY), ==, 0);
}

/* A realtime kernel: a packet that comes while another is being counted on its CPU is lost and says
 * so; nothing that the other works at is touched. */
static void test_preempted(void)
{
	struct flow_fetcher_config config = meter_config(64);
	struct packet_context egress = {.direction = FLOW_EGRESS, .gso_size = 10, .gso_segs = 3};
	struct meter *meter;
	struct frame frame;

	config.realtime = true;
	meter = meter_new(&config);
	stay_on(0);
	send_flows(meter, false, 0, 10);
	send_flows(meter, true, 0, 10);
	set_busy(meter, 0, 1);
	send_flows(meter, false, 5, 10);
	make_packet(&frame, false, 0, 30);
	meter_run(meter, &frame, &egress, 1);
	set_busy(meter, 0, 0);
	send_flows(meter, false, 5, 10);
	g_assert_cmpuint(counters_of(meter).created_flows, ==, 25);
	g_assert_cmpuint(counters_of(meter).lost_table_packets, ==, 13);
	g_assert_cmpuint(counters_of(meter).lost_table_bytes, ==, 10 * 38 + 58);
	g_assert_cmpuint(counters_of(meter).observed_packets[FLOW_EGRESS], ==, 3);
	meter_drain(meter);
	g_assert_cmpuint(meter->packets, ==, 30);
	expect_conserved(meter);
	meter_free(meter);
}

/* One group on this CPU: each flow beyond the fourth pushes another out. */
static void test_eviction(const void *data)
{
	bool is_ipv6 = GPOINTER_TO_INT(data);
	struct meter *meter = new_meter(1, 0);
	GHashTableIter iter;
	void *p;

	send_flows(meter, is_ipv6, 0, 1000);
	g_assert_cmpuint(counters_of(meter).created_flows, ==, 1000);
	g_assert_cmpuint(counters_of(meter).evicted_flows, ==, 996);
	g_assert_cmpuint(meter_drain(meter), ==, 1000);
	g_assert_cmpuint(g_hash_table_size(meter->flows), ==, 1000);
	g_hash_table_iter_init(&iter, meter->flows);
	while (g_hash_table_iter_next(&iter, &p, NULL)) {
		const struct meter_flow *flow = p;

		g_assert_cmpuint(flow->n_deltas, ==, 1);
		g_assert_cmpuint(flow->metrics.packets, ==, 1);
		g_assert_cmpuint(flow->metrics.src_mac[5], ==, 1);
	}
	expect_conserved(meter);
	meter_free(meter);
}

/* Flows that were read before they gave way leave only the rest in the ring. */
static void test_eviction_after_read(const void *data)
{
	bool is_ipv6 = GPOINTER_TO_INT(data);
	struct meter *meter = new_meter(1, 0);

	send_flows(meter, is_ipv6, 0, 4);
	g_assert_cmpuint(meter_drain(meter), ==, 4);
	send_flows(meter, is_ipv6, 0, 2); /* two of them have more to tell */
	send_flows(meter, is_ipv6, 4, 4);
	g_assert_cmpuint(counters_of(meter).evicted_flows, ==, 4);
	g_assert_cmpuint(meter_drain(meter), ==, 6);
	g_assert_cmpuint(meter->packets, ==, 10);
	send_flows(meter, is_ipv6, 0, 4);
	g_assert_cmpuint(meter_drain(meter), ==, 4);
	expect_conserved(meter);
	meter_free(meter);
}

static uint32_t n_cpus(void)
{
	return sysconf(_SC_NPROCESSORS_CONF);
}

/* How full the table of this CPU can be before flows push each other out. */
static void test_load(const void *data)
{
	bool is_ipv6 = GPOINTER_TO_INT(data);
	struct meter *meter = new_meter(8192 * n_cpus(), 0);
	uint32_t groups = is_ipv6 ? meter->fetcher->groups6 : meter->fetcher->groups4;
	uint32_t slots = groups * FLOW_WAYS, n = slots * 3 / 4;
	struct flow_counters c;

	stay_on(0);
	for (int round = 0; round < 10; round++)
		send_flows(meter, is_ipv6, 0, n);
	c = counters_of(meter);
	g_test_message("%u flows in %u slots: %llu pushed out", n, slots,
		       (unsigned long long)c.evicted_flows);
	/* in ten rounds: one in fifty packets. With one group it would be one in three */
	g_assert_cmpuint(c.evicted_flows, <, n / 5);
	g_assert_cmpuint(c.created_flows - c.evicted_flows, <=, n);
	meter_drain(meter);
	g_assert_cmpuint(meter->packets, ==, 10 * n);
	g_assert_cmpuint(g_hash_table_size(meter->flows), ==, n);
	expect_conserved(meter);
	meter_free(meter);
}

/* One of more flows than the first groups can hold, that lies in its second. */
static const struct meter_flow *in_second_group(struct meter *meter, bool is_ipv6)
{
	struct flow_fetcher *f = meter->fetcher;
	GHashTableIter iter;
	void *p;

	g_hash_table_iter_init(&iter, meter->flows);
	while (g_hash_table_iter_next(&iter, &p, NULL)) {
		uint32_t slot = ((struct meter_flow *)p)->slot & ~SLOT_IPV6;
		uint32_t groups = is_ipv6 ? f->groups6 : f->groups4;
		const uint64_t *w = is_ipv6 ? (void *)&f->slots6[slot] : (void *)&f->slots4[slot];
		uint64_t hash = is_ipv6 ? flow_hash6(f->hash_seed, (const __u64 *)w)
					: flow_hash4(f->hash_seed, w[0], w[1], w[2]);
		uint32_t cpu = slot / FLOW_WAYS / groups;

		if (slot / FLOW_WAYS != flow_group(hash, groups, cpu)) {
			g_assert_cmpuint(slot / FLOW_WAYS, ==,
					 flow_second_group(hash, groups, cpu));
			return p;
		}
	}
	g_assert_not_reached();
}

/* A flow that lies in its second group is found there, ends there, and begins anew in the slot that
 * was its own. */
static void test_second_group(const void *data)
{
	bool is_ipv6 = GPOINTER_TO_INT(data);
	struct meter *meter = new_meter(512 * n_cpus(), 0);
	const struct meter_flow *flow;
	struct frame frame;
	uint32_t n, slot;

	stay_on(0);
	n = (is_ipv6 ? meter->fetcher->groups6 : meter->fetcher->groups4) * FLOW_WAYS * 3 / 4;
	for (int round = 0; round < 20; round++)
		send_flows(meter, is_ipv6, 0, n);
	meter_drain(meter);
	flow = in_second_group(meter, is_ipv6);
	slot = flow->slot;
	make_packet(&frame, is_ipv6, flow->id.src_port, 100);
	flow_fetcher_retire(meter->fetcher, slot);
	meter_run(meter, &frame, &ingress, 5);
	g_assert_cmpuint(meter_drain(meter), ==, 1);
	g_assert_cmpuint(flow->slot, ==, slot);
	g_assert_cmpuint(flow->metrics.packets, ==, 25);
	expect_conserved(meter);
	meter_free(meter);
}

static bool is_same_slot(const struct flow_fetcher *f, bool is_ipv6, uint32_t a, uint32_t b)
{
	return is_ipv6 ? !memcmp(&f->slots6[a].key, &f->slots6[b].key, sizeof(struct flow_key6))
		       : !memcmp(&f->slots4[a].key, &f->slots4[b].key, sizeof(struct flow_key4));
}

/* Of all slots those of this flow, but for its latest, are retired. Returns how many. */
static uint32_t expect_others_retired(const struct flow_fetcher *f, bool is_ipv6, uint32_t slot)
{
	uint32_t n_slots = is_ipv6 ? f->n_slots6 : f->n_slots4, n = 0;

	slot &= ~SLOT_IPV6;
	for (uint32_t i = 0; i < n_slots; i++) {
		const struct flow_hot *hot = is_ipv6 ? &f->slots6[i].hot : &f->slots4[i].hot;

		if (!is_same_slot(f, is_ipv6, slot, i))
			continue;
		g_assert_cmpint(hot->retire == hot->gen, ==, i != slot);
		n += i != slot;
	}
	return n;
}

/* A flow that two CPUs saw, in whichever group it lies on each. */
static void test_other_cpus(const void *data)
{
	bool is_ipv6 = GPOINTER_TO_INT(data);
	struct meter *meter = new_meter(512 * n_cpus(), 0);
	uint32_t n = 512 * 3 / 4, n_others = 0;
	GHashTableIter iter;
	void *p;

	if (n_cpus() < 2) {
		g_test_skip("kernel: one CPU");
		meter_free(meter);
		return;
	}
	for (int cpu = 0; cpu < 2; cpu++) {
		stay_on(cpu);
		for (int round = 0; round < 20; round++)
			send_flows(meter, is_ipv6, 0, n);
	}
	meter_drain(meter);
	g_hash_table_iter_init(&iter, meter->flows);
	while (g_hash_table_iter_next(&iter, &p, NULL)) {
		uint32_t slot = ((struct meter_flow *)p)->slot;

		flow_fetcher_retire_others(meter->fetcher, slot);
		n_others += expect_others_retired(meter->fetcher, is_ipv6, slot);
	}
	/* nearly each lies on both; those in a second group are one in seven */
	g_assert_cmpuint(n_others, >, n * 19 / 20);
	meter_free(meter);
}

/* A long flow stays while one-packet flows rush by. */
static void test_long_flow_stays(void)
{
	struct meter *meter = new_meter(1, 0);
	struct frame frame;

	make_packet(&frame, false, 99999, 0);
	for (int i = 0; i < 1000; i++) {
		meter_run(meter, &frame, &ingress, 2);
		send_flows(meter, false, i * 8, 8);
	}
	g_assert_cmpuint(counters_of(meter).created_flows, ==, 8001);
	meter_drain(meter);
	expect_conserved(meter);
	meter_free(meter);
}

/* No room in the ring: the flows in the table stay, each packet of another is a loss that is
 * counted. A page takes so many records and no more. */
static void test_full_ring(const void *data)
{
	bool is_ipv6 = GPOINTER_TO_INT(data);
	struct meter *meter = new_meter(1, 4096);
	size_t record = is_ipv6 ? sizeof(struct flow_event_slot6) : sizeof(struct flow_event_slot4);
	uint64_t fit = 4095 / (record + 8), len = is_ipv6 ? 58 : 38;
	struct flow_counters c;

	send_flows(meter, is_ipv6, 0, 1000);
	c = counters_of(meter);
	g_assert_cmpuint(c.evicted_flows, ==, fit);
	g_assert_cmpuint(c.lost_ring_packets, ==, 1000 - 4 - fit);
	g_assert_cmpuint(c.lost_ring_bytes, ==, (1000 - 4 - fit) * len);
	meter_drain(meter);
	g_assert_cmpuint(meter->packets, ==, fit + 4);
	expect_conserved(meter);
	/* and with room again all is well again */
	send_flows(meter, is_ipv6, 5000, fit);
	g_assert_cmpuint(counters_of(meter).lost_ring_packets, ==, c.lost_ring_packets);
	meter_drain(meter);
	expect_conserved(meter);
	meter_free(meter);
}

static const struct meter_flow *only_flow(struct meter *meter)
{
	GHashTableIter iter;
	void *p = NULL;

	g_assert_cmpuint(g_hash_table_size(meter->flows), ==, 1);
	g_hash_table_iter_init(&iter, meter->flows);
	g_hash_table_iter_next(&iter, &p, NULL);
	return p;
}

/* A retired slot: the next packet of the flow begins anew, with its own bounds and attributes. */
static void test_retire(const void *data)
{
	bool is_ipv6 = GPOINTER_TO_INT(data);
	struct meter *meter = new_meter(64, 0);
	struct frame frame;
	uint32_t slot;

	make_packet(&frame, is_ipv6, 7, 500);
	meter_run(meter, &frame, &ingress, 10);
	meter_drain(meter);
	slot = only_flow(meter)->slot;
	meter_retire_all(meter);
	make_packet(&frame, is_ipv6, 7, 10);
	frame.data[5] = 0x77;
	meter_run(meter, &frame, &ingress, 3);
	meter_drain(meter);
	/* nothing of the old tenancy, in the same place */
	g_assert_cmpuint(only_flow(meter)->slot, ==, slot);
	g_assert_cmpuint(only_flow(meter)->metrics.packets, ==, 3);
	g_assert_cmpuint(only_flow(meter)->metrics.max_len, ==, is_ipv6 ? 58 : 38);
	g_assert_cmpuint(only_flow(meter)->metrics.dst_mac[5], ==, 0x77);
	g_assert_cmpuint(counters_of(meter).created_flows, ==, 2);
	expect_conserved(meter);
	/* what came between the last read and the retirement is in the ring */
	meter_run(meter, &frame, &ingress, 5);
	meter_retire_all(meter);
	meter_run(meter, &frame, &ingress, 2);
	g_assert_cmpuint(meter_drain(meter), ==, 2);
	g_assert_cmpuint(only_flow(meter)->metrics.packets, ==, 7);
	expect_conserved(meter);
	meter_free(meter);
}

/* A retired slot while the ring has no room for what it held: its own flow goes on in it, and
 * begins anew once there is room. */
static void test_retire_full_ring(const void *data)
{
	bool is_ipv6 = GPOINTER_TO_INT(data);
	struct meter *meter = new_meter(64, 4096);
	struct flow_counters before, after;
	struct frame frame;

	make_packet(&frame, is_ipv6, 7, 10);
	meter_run(meter, &frame, &ingress, 10);
	meter_drain(meter);
	meter_retire_all(meter);
	send_flows(meter, !is_ipv6, 0, 1000);
	before = counters_of(meter);
	g_assert_cmpuint(before.lost_ring_packets, >, 0);
	meter_run(meter, &frame, &ingress, 3);
	after = counters_of(meter);
	g_assert_cmpuint(after.lost_ring_packets, ==, before.lost_ring_packets);
	g_assert_cmpuint(after.created_flows, ==, before.created_flows);
	meter_drain(meter);
	expect_conserved(meter);
	meter_run(meter, &frame, &ingress, 2);
	g_assert_cmpuint(counters_of(meter).created_flows, ==, before.created_flows + 1);
	meter_drain(meter);
	expect_conserved(meter);
	meter_free(meter);
}

/* Generations are 32 bits wide and begin again at 2. */
static void test_generation_wraps(const void *data)
{
	bool is_ipv6 = GPOINTER_TO_INT(data);
	struct meter *meter = new_meter(64, 0);
	struct flow_fetcher *f = meter->fetcher;
	struct frame frame;
	uint32_t i, *gen, *shadow;

	make_packet(&frame, is_ipv6, 7, 10);
	meter_run(meter, &frame, &ingress, 1);
	meter_drain(meter);
	i = only_flow(meter)->slot & ~SLOT_IPV6;
	gen = is_ipv6 ? &f->slots6[i].hot.gen : &f->slots4[i].hot.gen;
	shadow = is_ipv6 ? &f->shadow6[i].gen : &f->shadow4[i].gen;
	*gen = *shadow = UINT32_MAX - 5;
	for (uint32_t round = 1; round <= 8; round++) {
		meter_retire_all(meter);
		meter_run(meter, &frame, &ingress, round);
		meter_drain(meter);
		g_assert_cmpuint(only_flow(meter)->metrics.packets, ==, round + (round > 1));
		g_assert_cmpuint(*gen, ==, round < 3 ? UINT32_MAX - 5 + 2 * round : 2 * round - 4);
		meter_run(meter, &frame, &ingress, 1); /* seen by the ring only */
	}
	meter_drain(meter);
	g_assert_cmpuint(meter->packets, ==, 1 + 36 + 8);
	expect_conserved(meter);
	meter_free(meter);
}

/* A CPU that is busy without end. */
struct sender {
	struct meter *meter;
	int cpu;
	uint32_t n_flows;
	bool stop;
	uint64_t packets;
	uint64_t bytes;
};

static void *send_until_told(void *data)
{
	struct sender *s = data;
	g_autoptr(GRand) random = g_rand_new_with_seed(s->cpu);
	struct frame frame;

	stay_on(s->cpu);
	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		uint32_t n = g_rand_int_range(random, 0, s->n_flows);
		int repeat = 1 + n % 3;

		make_packet(&frame, n & 1, n, n % 100);
		meter_run(s->meter, &frame, &ingress, repeat);
		s->packets += repeat;
		s->bytes += repeat * ((n & 1 ? 48 : 28) + n % 100);
	}
	return NULL;
}

/* Ends tenancies here and there, as a cache does. */
static void retire_some(struct meter *meter, GRand *random)
{
	GHashTableIter iter;
	void *p;

	g_hash_table_iter_init(&iter, meter->flows);
	while (g_hash_table_iter_next(&iter, &p, NULL))
		if (g_rand_int_range(random, 0, 100) == 0)
			flow_fetcher_retire(meter->fetcher, ((struct meter_flow *)p)->slot);
}

struct contest {
	const char *path;
	uint32_t max_flows;
	uint32_t ring_bytes;
	uint32_t n_flows;
	bool retire;
	bool may_lose;
};

static void drain_until(struct meter *meter, gint64 end_us, bool retire)
{
	g_autoptr(GRand) random = g_rand_new_with_seed(1);

	while (g_get_monotonic_time() < end_us) {
		meter_drain(meter);
		if (retire)
			retire_some(meter, random);
		g_usleep(DRAIN_EACH_US);
	}
}

static void test_conservation(const void *data)
{
	const struct contest *contest = data;
	struct meter *meter = new_meter(contest->max_flows, contest->ring_bytes);
	uint32_t n_cpus = MIN(meter->fetcher->n_cpus, 4);
	struct sender senders[4];
	uint64_t packets = 0, bytes = 0;
	GThread *threads[4];
	struct flow_counters c;

	for (uint32_t i = 0; i < n_cpus; i++) {
		senders[i] = (struct sender){.meter = meter, .cpu = i, .n_flows = contest->n_flows};
		threads[i] = g_thread_new("sender", send_until_told, &senders[i]);
	}
	drain_until(meter, g_get_monotonic_time() + RUN_S * G_USEC_PER_SEC, contest->retire);
	for (uint32_t i = 0; i < n_cpus; i++) {
		__atomic_store_n(&senders[i].stop, true, __ATOMIC_RELAXED);
		g_thread_join(threads[i]);
		packets += senders[i].packets;
		bytes += senders[i].bytes;
	}
	meter_drain(meter);
	c = counters_of(meter);
	g_test_message("%u CPUs: %" G_GUINT64_FORMAT " packets, %llu flows created, %llu evicted, "
		       "%llu packets lost",
		       n_cpus, packets, (unsigned long long)c.created_flows,
		       (unsigned long long)c.evicted_flows,
		       (unsigned long long)c.lost_ring_packets);
	g_assert_cmpuint(c.observed_packets[0], ==, packets);
	g_assert_cmpuint(c.observed_bytes[0], ==, bytes);
	expect_conserved(meter);
	if (!contest->may_lose)
		g_assert_cmpuint(c.lost_ring_packets, ==, 0);
	else
		g_assert_cmpuint(c.lost_ring_packets, >, 0);
	meter_free(meter);
}

static uint64_t memory_of(const struct bpf_map *map)
{
	g_autofree char *path = g_strdup_printf("/proc/self/fdinfo/%d", bpf_map__fd(map));
	g_autofree char *text = NULL;
	const char *line;

	g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
	line = strstr(text, "memlock:");
	g_assert_nonnull(line);
	return strtoull(line + strlen("memlock:"), NULL, 10);
}

/* What the kernel says its maps take. What both families use is half for each. */
static void test_memory(void)
{
	struct meter *meter = new_meter(65536, 0);
	const struct flows_bpf *flows = meter->fetcher->flows[0];
	uint64_t ipv4 = 0, shared = 0;
	const struct bpf_map *map;
	double per_flow;

	bpf_object__for_each_map(map, flows->obj)
	{
		g_test_message("%s: %llu octets", bpf_map__name(map),
			       (unsigned long long)memory_of(map));
		if (map == flows->maps.aggregated_flows || map == flows->maps.flow_details)
			ipv4 += memory_of(map);
		else if (map != flows->maps.aggregated_v6)
			shared += memory_of(map);
	}
	per_flow = (ipv4 + shared / 2.0) / meter->fetcher->n_slots4;
	g_test_message("%.1f octets for an IPv4 flow", per_flow);
	g_assert_cmpfloat(per_flow, <=, 128);
	meter_free(meter);
}

static const struct contest contests[] = {
	{"/table/conservation/roomy", 65536, 0, 1000, false, false},
	{"/table/conservation/roomy, retired", 65536, 0, 1000, true, false},
	{"/table/conservation/evictions", 1024, 1 << 26, 20000, false, false},
	{"/table/conservation/evictions, retired", 1024, 1 << 26, 20000, true, false},
	{"/table/conservation/small ring", 64, 1 << 14, 20000, true, true},
};

static void add_for_both_families(const char *name, GTestDataFunc test)
{
	g_autofree char *path4 = g_strdup_printf("/table/%s/ipv4", name);
	g_autofree char *path6 = g_strdup_printf("/table/%s/ipv6", name);

	g_test_add_data_func(path4, GINT_TO_POINTER(0), test);
	g_test_add_data_func(path6, GINT_TO_POINTER(1), test);
}

int main(int argc, char **argv)
{
	meter_enter_namespace();
	stay_on(sched_getcpu());
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/table/hit-and-miss", test_hit_and_miss);
	g_test_add_func("/table/stash", test_stash);
	g_test_add_func("/table/pursuit", test_pursuit);
	g_test_add_func("/table/preempted", test_preempted);
	add_for_both_families("eviction", test_eviction);
	add_for_both_families("eviction-after-read", test_eviction_after_read);
	add_for_both_families("load", test_load);
	add_for_both_families("second-group", test_second_group);
	add_for_both_families("other-cpus", test_other_cpus);
	g_test_add_func("/table/long-flow-stays", test_long_flow_stays);
	add_for_both_families("full-ring", test_full_ring);
	add_for_both_families("retire", test_retire);
	add_for_both_families("retire-full-ring", test_retire_full_ring);
	add_for_both_families("generation-wraps", test_generation_wraps);
	g_test_add_func("/table/memory", test_memory);
	for (size_t i = 0; i < G_N_ELEMENTS(contests); i++)
		g_test_add_data_func(contests[i].path, &contests[i], test_conservation);
	return g_test_run();
}

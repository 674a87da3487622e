/* SPDX-License-Identifier: MIT */
/*
 * Several packets through the hooks: what makes them one flow and what two, what a flow keeps of
 * all of them, fragments, frames cut short at every octet.
 */
#include "config.h"

#include <glib.h>
#include <stdio.h>
#include <string.h>

#include <bpf/bpf.h>

#include "fetcher_private.h"
#include "tests/kernel/meter.h"
#include "tests/kernel/packet.h"

#define SYN 0x02
#define FIN 0x01
#define ACK 0x10

static const struct packet_context ingress = {0};

static struct meter *new_meter(void)
{
	struct flow_fetcher_config config = meter_config(4096);

	return meter_new(&config);
}

static void send(struct meter *meter, const struct layer *layers)
{
	struct frame frame;

	packet_build(&frame, layers);
	meter_run(meter, &frame, &ingress, 1);
}

#define SEND(meter, ...) send(meter, (const struct layer[PACKET_MAX_LAYERS]){__VA_ARGS__})

static const struct meter_flow *find(struct meter *meter, uint8_t protocol, uint16_t src_port,
				     uint16_t dst_port)
{
	GHashTableIter iter;
	void *p;

	g_hash_table_iter_init(&iter, meter->flows);
	while (g_hash_table_iter_next(&iter, &p, NULL)) {
		const struct meter_flow *flow = p;

		if (flow->id.protocol == protocol && flow->id.src_port == src_port &&
		    flow->id.dst_port == dst_port)
			return flow;
	}
	g_error("no flow of protocol %u, ports %u > %u", protocol, src_port, dst_port);
}

static void expect_flows(struct meter *meter, unsigned n)
{
	meter_drain(meter);
	g_assert_cmpuint(g_hash_table_size(meter->flows), ==, n);
}

static void test_sums(void)
{
	struct meter *meter = new_meter();
	const struct meter_flow *flow;

	SEND(meter, ETH, IP4(0, 64), TCP(1, 2, SYN));
	SEND(meter, ETH, IP4(0, 60), TCP(1, 2, ACK), DATA(1400));
	SEND(meter, ETH, IP4(0, 250), TCP(1, 2, FIN | ACK), DATA(10));
	expect_flows(meter, 1);
	flow = find(meter, 6, 1, 2);
	g_assert_cmpuint(flow->metrics.packets, ==, 3);
	g_assert_cmpuint(flow->metrics.bytes, ==, 3 * 40 + 1410);
	g_assert_cmpuint(flow->metrics.tcp_flags, ==, SYN | ACK | FIN);
	g_assert_cmpuint(flow->metrics.min_len, ==, 40);
	g_assert_cmpuint(flow->metrics.max_len, ==, 1440);
	g_assert_cmpuint(flow->metrics.min_ttl, ==, 60);
	g_assert_cmpuint(flow->metrics.max_ttl, ==, 250);
	meter_free(meter);
}

/* Deltas: what a drain took is not taken again, bounds stay those of the whole tenancy. */
static void test_sums_over_drains(void)
{
	struct meter *meter = new_meter();
	const struct meter_flow *flow;

	for (int i = 0; i < 10; i++) {
		SEND(meter, ETH, IP6(0, 64 + i), UDP(1, 2), DATA(100 * i));
		g_assert_cmpuint(meter_drain(meter), ==, 1);
		/* the partition is looked at once more, and holds nothing new */
		g_assert_cmpuint(meter_drain(meter), ==, 0);
		g_assert_cmpuint(meter_drain(meter), ==, 0);
	}
	expect_flows(meter, 1);
	flow = find(meter, 17, 1, 2);
	g_assert_cmpuint(flow->metrics.packets, ==, 10);
	g_assert_cmpuint(flow->metrics.bytes, ==, 10 * 48 + 4500);
	g_assert_cmpuint(flow->metrics.min_len, ==, 48);
	g_assert_cmpuint(flow->metrics.max_len, ==, 948);
	g_assert_cmpuint(flow->metrics.min_ttl, ==, 64);
	g_assert_cmpuint(flow->metrics.max_ttl, ==, 73);
	meter_free(meter);
}

/* Every member of the key makes another flow; both families, plain and not. */
static void test_keys(void)
{
	struct meter *meter = new_meter();
	struct packet_context egress = {.direction = FLOW_EGRESS};
	struct frame frame;

	SEND(meter, ETH, IP4(0, 64), UDP(1, 2));
	SEND(meter, ETH, IP4(0, 64), UDP(2, 2));
	SEND(meter, ETH, IP4(0, 64), UDP(1, 3));
	SEND(meter, ETH, IP4(0, 64), TCP(1, 2, 0));
	SEND(meter, ETH, IP4(0x04, 64), UDP(1, 2)); /* DSCP */
	SEND(meter, ETH, IP4(0, 64), SET8(12, 11), UDP(1, 2));
	SEND(meter, ETH, IP4(0, 64), SET8(19, 11), UDP(1, 2));
	SEND(meter, ETH, VLAN(0x8100, 5), IP4(0, 64), UDP(1, 2));
	SEND(meter, ETH, VLAN(0x8100, 6), IP4(0, 64), UDP(1, 2));
	SEND(meter, ETH, VLAN(0x8100, 5), VLAN(0x8100, 1), IP4(0, 64), UDP(1, 2));
	SEND(meter, ETH, VLAN(0x8100, 5), VLAN(0x8100, 2), IP4(0, 64), UDP(1, 2));
	packet_build(&frame, (struct layer[PACKET_MAX_LAYERS]){ETH, IP4(0, 64), UDP(1, 2)});
	meter_run(meter, &frame, &egress, 1);
	expect_flows(meter, 12);
	SEND(meter, ETH, IP6(0, 64), UDP(1, 2));
	SEND(meter, ETH, IP6(0, 64), UDP(2, 2));
	SEND(meter, ETH, IP6(0, 64), UDP(1, 3));
	SEND(meter, ETH, IP6(0, 64), TCP(1, 2, 0));
	SEND(meter, ETH, IP6(0x04, 64), UDP(1, 2));
	SEND(meter, ETH, IP6(0, 64), SET8(23, 11), UDP(1, 2));
	SEND(meter, ETH, IP6(0, 64), SET8(24, 11), UDP(1, 2));
	SEND(meter, ETH, VLAN(0x8100, 5), IP6(0, 64), UDP(1, 2));
	SEND(meter, ETH, VLAN(0x8100, 5), VLAN(0x8100, 1), IP6(0, 64), UDP(1, 2));
	packet_build(&frame, (struct layer[PACKET_MAX_LAYERS]){ETH, IP6(0, 64), UDP(1, 2)});
	meter_run(meter, &frame, &egress, 1);
	expect_flows(meter, 22);
	SEND(meter, ETH, ETHERTYPE(0x806), DATA(28));
	SEND(meter, ETH, ETHERTYPE(0x88cc), DATA(28));
	SEND(meter, ETH, SET8(5, 9), ETHERTYPE(0x88cc), DATA(28));
	SEND(meter, ETH, SET8(11, 9), ETHERTYPE(0x88cc), DATA(28));
	expect_flows(meter, 26);
	meter_free(meter);
}

/* MACs, TTL, ECN, flow label, MPLS labels: attributes, those of the first packet. */
static void test_attributes(void)
{
	struct meter *meter = new_meter();
	const struct meter_flow *flow;

	SEND(meter, ETH, IP4(0x01, 64), UDP(1, 2));
	SEND(meter, ETH, IP4(0x03, 64), UDP(1, 2));
	SEND(meter, ETH, SET8(5, 9), SET8(11, 9), IP4(0, 63), UDP(1, 2));
	SEND(meter, ETH, MPLS(16), IP4(0, 64), UDP(1, 2));
	SEND(meter, ETH, PPPOE, IP4(0, 64), UDP(1, 2));
	SEND(meter, ETH, IP4_OPTIONS(2), UDP(1, 2));
	expect_flows(meter, 1);
	flow = find(meter, 17, 1, 2);
	g_assert_cmpuint(flow->id.tos, ==, 0x01);
	g_assert_cmpuint(flow->metrics.packets, ==, 6);
	g_assert_cmpuint(flow->metrics.src_mac[5], ==, 1);
	g_assert_cmpuint(flow->metrics.dst_mac[5], ==, 2);
	g_assert_cmpuint(flow->metrics.mpls[0], ==, 0);
	meter_free(meter);
	meter = new_meter();
	SEND(meter, ETH, IP6(0x02, 64), UDP(1, 2));
	SEND(meter, ETH, IP6(0x01, 64), SET8(3, 0xff), UDP(1, 2));
	SEND(meter, ETH, MPLS(16), IP6(0x00, 64), UDP(1, 2));
	expect_flows(meter, 1);
	g_assert_cmpuint(find(meter, 17, 1, 2)->id.tos, ==, 0x02);
	meter_free(meter);
}

/* Later fragments join the flow of the first one. */
static void test_fragments(void)
{
	struct meter *meter = new_meter();
	const struct meter_flow *flow;

	SEND(meter, ETH, IP4_FRAGMENT(7, 0, 1), UDP(1, 2), DATA(1472));
	SEND(meter, ETH, IP4_FRAGMENT(7, 185, 1), PROTOCOL(17), DATA(1480));
	SEND(meter, ETH, IP4_FRAGMENT(7, 370, 0), PROTOCOL(17), DATA(100));
	SEND(meter, ETH, IP6(0, 64), FRAGMENT6(7, 0, 1), TCP(1, 2, ACK), DATA(1400));
	SEND(meter, ETH, IP6(0, 64), FRAGMENT6(7, 178, 0), PROTOCOL(6), DATA(8));
	expect_flows(meter, 2);
	flow = find(meter, 17, 1, 2);
	g_assert_cmpuint(flow->metrics.packets, ==, 3);
	g_assert_cmpuint(flow->metrics.bytes, ==, 1500 + 1500 + 120);
	g_assert_true(flow->metrics.fragment);
	flow = find(meter, 6, 1, 2);
	g_assert_cmpuint(flow->metrics.packets, ==, 2);
	g_assert_cmpuint(flow->metrics.tcp_flags, ==, ACK);
	g_assert_true(flow->metrics.fragment);
	meter_free(meter);
}

static void test_fragments_alone(void)
{
	struct meter *meter = new_meter();
	const struct meter_flow *flow;

	/* the first comes after: ports 0, and the payload is no port */
	SEND(meter, ETH, IP4_FRAGMENT(8, 185, 0), PROTOCOL(17), DATA(100));
	SEND(meter, ETH, IP4_FRAGMENT(8, 0, 1), UDP(1, 2), DATA(1472));
	/* other ids, addresses, protocols, VLANs are other packets */
	SEND(meter, ETH, IP4_FRAGMENT(9, 185, 0), PROTOCOL(17), DATA(100));
	SEND(meter, ETH, IP4_FRAGMENT(8, 185, 0), PROTOCOL(6), DATA(100));
	SEND(meter, ETH, IP4_FRAGMENT(8, 185, 0), SET8(19, 9), PROTOCOL(17), DATA(100));
	SEND(meter, ETH, VLAN(0x8100, 7), IP4_FRAGMENT(8, 185, 0), PROTOCOL(17), DATA(100));
	expect_flows(meter, 5);
	flow = find(meter, 17, 1, 2);
	g_assert_cmpuint(flow->metrics.packets, ==, 1);
	flow = find(meter, 6, 0, 0);
	g_assert_cmpuint(flow->metrics.tcp_flags, ==, 0);
	g_assert_true(flow->metrics.fragment);
	meter_free(meter);
}

static void test_fragments_of_anything(void)
{
	struct meter *meter = new_meter();

	/* extension headers behind the fragment header are in the first fragment only */
	SEND(meter, ETH, IP6(0, 64), FRAGMENT6(1, 0, 1), EXT(60, 0), UDP(1, 2), DATA(8));
	SEND(meter, ETH, IP6(0, 64), FRAGMENT6(1, 3, 0), PROTOCOL(60), DATA(8));
	expect_flows(meter, 1);
	g_assert_cmpuint(find(meter, 17, 1, 2)->metrics.packets, ==, 2);
	SEND(meter, ETH, IP4_FRAGMENT(1, 0, 1), ICMP(8, 0), DATA(8));
	SEND(meter, ETH, IP4_FRAGMENT(1, 2, 0), PROTOCOL(1), DATA(8));
	expect_flows(meter, 2);
	g_assert_cmpuint(find(meter, 1, 0, 0x800)->metrics.packets, ==, 2);
	/* first fragment of GRE: nothing to remember, nothing to find */
	SEND(meter, ETH, IP4_FRAGMENT(2, 0, 1), PROTOCOL(47), DATA(8));
	SEND(meter, ETH, IP4_FRAGMENT(2, 1, 0), PROTOCOL(47), DATA(8));
	expect_flows(meter, 3);
	g_assert_cmpuint(find(meter, 47, 0, 0)->metrics.packets, ==, 2);
	/* "don't fragment" is none; an atomic fragment of IPv6 is a whole packet (RFC 6946) */
	SEND(meter, ETH, IP4(0, 64), SET8(6, 0x40), UDP(3, 4));
	SEND(meter, ETH, IP6(0, 64), FRAGMENT6(3, 0, 0), UDP(5, 6));
	SEND(meter, ETH, IP6(0, 64), FRAGMENT6(3, 1, 0), PROTOCOL(17), DATA(8));
	expect_flows(meter, 6);
	g_assert_false(find(meter, 17, 3, 4)->metrics.fragment);
	g_assert_false(find(meter, 17, 5, 6)->metrics.fragment);
	g_assert_true(find(meter, 17, 0, 0)->metrics.fragment);
	meter_free(meter);
}

/* A frame that ends anywhere is counted once, with the octets that came. */
static void cut_everywhere(const struct layer *layers, size_t l3)
{
	struct meter *meter = new_meter();
	struct flow_counters counters;
	struct frame frame;
	uint64_t n = 0, bytes = 0;

	packet_build(&frame, layers);
	for (size_t len = l3 + 1; len <= frame.len; len++) {
		struct frame cut = frame;

		cut.len = len;
		meter_run(meter, &cut, &ingress, 1);
		n++;
		bytes += len - l3;
	}
	meter_drain(meter);
	flow_fetcher_counters(meter->fetcher, &counters);
	g_assert_cmpuint(meter->packets, ==, n);
	g_assert_cmpuint(meter->bytes, ==, bytes);
	/* all but the whole one */
	g_assert_cmpuint(counters.malformed_packets, ==, n - 1);
	meter_free(meter);
}

static void test_truncated(void)
{
	/* behind a tag: BPF_PROG_TEST_RUN refuses IP packets that it can see to be too short */
	cut_everywhere((struct layer[PACKET_MAX_LAYERS]){ETH, VLAN(0x8100, 1), IP4_OPTIONS(3),
							 TCP_OPTIONS(1, 2, ACK, 2), DATA(20)},
		       18);
	cut_everywhere((struct layer[PACKET_MAX_LAYERS]){ETH, VLAN(0x8100, 1), IP6(0, 64),
							 EXT(0, 0), EXT(43, 2), EXT(51, 1),
							 FRAGMENT6(1, 0, 1), EXT(60, 0), UDP(1, 2),
							 DATA(20)},
		       18);
	cut_everywhere((struct layer[PACKET_MAX_LAYERS]){ETH, VLAN(0x8100, 1), IP4(0, 64),
							 ICMP(8, 0), DATA(20)},
		       18);
	cut_everywhere((struct layer[PACKET_MAX_LAYERS]){ETH, VLAN(0x8100, 1), IP6(0, 64),
							 SCTP(1, 2), DATA(20)},
		       18);
}

static void test_sampling(void)
{
	struct flow_fetcher_config config = meter_config(64);
	struct flow_counters counters;
	struct meter *meter;
	struct frame frame;

	config.sampling = 10;
	meter = meter_new(&config);
	packet_build(&frame, (struct layer[PACKET_MAX_LAYERS]){ETH, IP4(0, 64), UDP(1, 2)});
	meter_run(meter, &frame, &ingress, 100000);
	meter_drain(meter);
	flow_fetcher_counters(meter->fetcher, &counters);
	/* six standard deviations */
	g_assert_cmpuint(meter->packets, >, 10000 - 570);
	g_assert_cmpuint(meter->packets, <, 10000 + 570);
	g_assert_cmpuint(meter->packets, ==, counters.observed_packets[0]);
	g_assert_cmpuint(meter->packets + counters.unsampled_packets, ==, 100000);
	meter_free(meter);
}

/* count: once: what came in by a metered interface was counted there. */
static void test_count_once(void)
{
	struct packet_context egress = {.direction = FLOW_EGRESS, .ingress_ifindex = 7};
	struct frame frame;

	packet_build(&frame, (struct layer[PACKET_MAX_LAYERS]){ETH, IP4(0, 64), UDP(1, 2)});
	for (int once = 0; once < 2; once++) {
		struct flow_fetcher_config config = meter_config(64);
		struct meter *meter;

		config.count_once = once;
		meter = meter_new(&config);
		meter_run(meter, &frame, &egress, 1);
		flow_fetcher_set_interface_flag(meter->fetcher, 0, 7, FLOW_IFACE_COVERED, true,
						NULL);
		meter_run(meter, &frame, &egress, 10);
		flow_fetcher_set_interface_flag(meter->fetcher, 0, 7, FLOW_IFACE_COVERED, false,
						NULL);
		meter_run(meter, &frame, &egress, 100);
		meter_drain(meter);
		g_assert_cmpuint(meter->packets, ==, once ? 101 : 111);
		g_assert_cmpuint(find(meter, 17, 1, 2)->metrics.far_ifindex, ==, 7);
		meter_free(meter);
	}
}

/* PPPoE frames that this host begins or ends are counted at the PPP device where that is metered.
 */
static void test_own_pppoe(void)
{
	struct packet_context own = {.direction = FLOW_EGRESS};
	struct packet_context forwarded = {.direction = FLOW_EGRESS, .ingress_ifindex = 7};
	struct meter *meter = new_meter();
	struct flow_counters counters;
	struct frame frame;

	packet_build(&frame, (struct layer[PACKET_MAX_LAYERS]){ETH, PPPOE, IP4(0, 64), UDP(1, 2)});
	flow_fetcher_set_ppp_metered(meter->fetcher, 0, true);
	meter_run(meter, &frame, &own, 1);
	meter_run(meter, &frame, &forwarded, 10);
	flow_fetcher_set_ppp_metered(meter->fetcher, 0, false);
	meter_run(meter, &frame, &own, 100);
	meter_drain(meter);
	g_assert_cmpuint(meter->packets, ==, 110);
	flow_fetcher_counters(meter->fetcher, &counters);
	g_assert_cmpuint(counters.observed_packets[1], ==, 110);
	meter_free(meter);
}

/* What the verifier walked through, for the record. */
static void test_verified(void)
{
	struct meter *meter = new_meter();
	const struct flows_bpf *flows = meter->fetcher->flows[0];
	struct bpf_program *program;

	bpf_object__for_each_program(program, flows->obj)
	{
		struct bpf_prog_info info = {0};
		uint32_t size = sizeof(info);

		g_assert_cmpint(bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size), ==,
				0);
		g_test_message("%s: %u instructions verified, %u octets of machine code",
			       bpf_program__name(program), info.verified_insns,
			       info.jited_prog_len);
		/* the limit of kernels since 5.2 is a million */
		g_assert_cmpuint(info.verified_insns, <, 300000);
	}
	meter_free(meter);
}

int main(int argc, char **argv)
{
	meter_enter_namespace();
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/packets/sums", test_sums);
	g_test_add_func("/packets/sums-over-drains", test_sums_over_drains);
	g_test_add_func("/packets/keys", test_keys);
	g_test_add_func("/packets/attributes", test_attributes);
	g_test_add_func("/packets/fragments", test_fragments);
	g_test_add_func("/packets/fragments-alone", test_fragments_alone);
	g_test_add_func("/packets/fragments-of-anything", test_fragments_of_anything);
	g_test_add_func("/packets/truncated", test_truncated);
	g_test_add_func("/packets/sampling", test_sampling);
	g_test_add_func("/packets/count-once", test_count_once);
	g_test_add_func("/packets/own-pppoe", test_own_pppoe);
	g_test_add_func("/packets/verified", test_verified);
	return g_test_run();
}

/* SPDX-License-Identifier: MIT */
/*
 * What BPF_PROG_TEST_RUN can't make, through real devices: VLAN tags beside the packet, headers
 * outside of the linear area, jumbo frames, segments with and without a tunnel around them, devices
 * without Ethernet header.
 */
#include "config.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fetcher_private.h"
#include "tests/kernel/meter.h"
#include "tests/kernel/packet.h"

#define PATIENCE_US (5 * G_USEC_PER_SEC)
#define APART_US    200000 /* two drops: many ticks */

/* Newer than the headers of Debian 12. */
#define OFFLOAD_UDP_TUNNEL  0x080 /* TUN_F_UDP_TUNNEL_GSO, 6.17 */
#define GSO_UDP_TUNNEL_IPV4 0x20  /* VIRTIO_NET_HDR_GSO_UDP_TUNNEL_IPV4 */

/* struct virtio_net_hdr_v1_hash_tunnel */
struct tunnel_header {
	struct virtio_net_hdr_v1 v1;
	uint32_t hash;
	uint16_t hash_report;
	uint16_t pad;
	uint16_t outer_transport;
	uint16_t inner_network;
};

static void run(const char *command)
{
	g_autoptr(GError) error = NULL;
	int status;

	g_spawn_command_line_sync(command, NULL, NULL, &status, &error);
	g_assert_no_error(error);
	if (!g_spawn_check_wait_status(status, &error))
		g_error("%s: %s", command, error->message);
}

/* Of devices yet to come. Not by g_file_set_contents, which wants to make a file beside it. */
static void disable_ipv6(void)
{
	int fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY);

	if (fd < 0 && errno == ENOENT)
		return; /* a kernel without IPv6 */
	if (fd < 0 || write(fd, "1", 1) != 1)
		g_error("disable_ipv6: %s", g_strerror(errno));
	close(fd);
}

/* A cable from m0 to m1, no traffic of the kernel's own on it. */
static void make_cable(void)
{
	disable_ipv6();
	run("ip link add m0 mtu 65535 type veth peer name m1 mtu 65535");
	run("ip link set m0 up");
	run("ip link set m1 up");
}

static struct meter *new_meter(void)
{
	struct flow_fetcher_config config = meter_config(256);

	return meter_new(&config);
}

static void attach(struct meter *meter, const char *name, enum flow_direction direction)
{
	g_autoptr(GError) error = NULL;

	flow_fetcher_attach(meter->fetcher, 0, -1, if_nametoindex(name), direction, &error);
	g_assert_no_error(error);
}

static struct meter *meter_cable(void)
{
	struct meter *meter = new_meter();

	attach(meter, "m0", FLOW_EGRESS);
	attach(meter, "m1", FLOW_INGRESS);
	return meter;
}

/* The cable hands over in a soft interrupt. */
static void await_packets(struct meter *meter, uint64_t egress, uint64_t ingress)
{
	gint64 end_us = g_get_monotonic_time() + PATIENCE_US;
	struct flow_counters c;

	do {
		flow_fetcher_counters(meter->fetcher, &c);
		if (c.observed_packets[FLOW_EGRESS] >= egress &&
		    c.observed_packets[FLOW_INGRESS] >= ingress)
			break;
		g_usleep(1000);
	} while (g_get_monotonic_time() < end_us);
	g_assert_cmpuint(c.observed_packets[FLOW_EGRESS], ==, egress);
	g_assert_cmpuint(c.observed_packets[FLOW_INGRESS], ==, ingress);
	meter_drain(meter);
}

static const struct meter_flow *flow_of(struct meter *meter, enum flow_direction direction)
{
	const struct meter_flow *found = NULL;
	GHashTableIter iter;
	void *p;

	g_hash_table_iter_init(&iter, meter->flows);
	while (g_hash_table_iter_next(&iter, &p, NULL)) {
		const struct meter_flow *flow = p;

		if (flow->id.direction != direction)
			continue;
		g_assert_null(found);
		found = flow;
	}
	g_assert_nonnull(found);
	return found;
}

/* Puts a frame on the cable; with a header, what it says of segments and of the linear area. */
static void send_frame(const uint8_t *data, size_t len, struct virtio_net_hdr *header)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = if_nametoindex("m0")};
	int fd = socket(AF_PACKET, SOCK_RAW, 0), on = 1;
	struct iovec parts[2] = {{header, sizeof(*header)}, {(void *)data, len}};
	struct msghdr message = {.msg_name = &to, .msg_namelen = sizeof(to)};
	ssize_t n;

	g_assert_cmpint(fd, >=, 0);
	if (header)
		g_assert_cmpint(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), ==,
				0);
	message.msg_iov = header ? parts : parts + 1;
	message.msg_iovlen = header ? 2 : 1;
	n = sendmsg(fd, &message, 0);
	if (n < 0)
		g_error("send of %zu octets: %s", len, g_strerror(errno));
	close(fd);
}

#define BUILD(frame, ...) packet_build(frame, (struct layer[PACKET_MAX_LAYERS]){__VA_ARGS__})

/* In band where it leaves, beside the packet where it comes in. */
static void test_hardware_tag(void)
{
	struct meter *meter = meter_cable();
	struct frame frame;

	BUILD(&frame, ETH, VLAN(0x8100, 100), IP4(0, 64), UDP(1, 2), DATA(30));
	send_frame(frame.data, frame.len, NULL);
	await_packets(meter, 1, 1);
	for (int direction = 0; direction < 2; direction++) {
		const struct meter_flow *flow = flow_of(meter, direction);

		g_assert_cmpuint(flow->id.vlan, ==, 100);
		g_assert_cmpuint(flow->id.inner_vlan, ==, 0);
		g_assert_cmpuint(flow->id.src_port, ==, 1);
		g_assert_cmpuint(flow->metrics.bytes, ==, 58);
		g_assert_cmpuint(flow->metrics.src_mac[5], ==, 1);
	}
	meter_free(meter);
}

static void test_hardware_tag_and_another(void)
{
	struct meter *meter = meter_cable();
	struct frame frame;

	BUILD(&frame, ETH, VLAN(0x88a8, 200), VLAN(0x8100, 100), IP6(0, 64), UDP(1, 2));
	send_frame(frame.data, frame.len, NULL);
	BUILD(&frame, ETH, VLAN(0x88a8, 200), VLAN(0x8100, 100), IP6(0, 64), UDP(1, 2), DATA(9));
	send_frame(frame.data, frame.len, NULL);
	await_packets(meter, 2, 2);
	for (int direction = 0; direction < 2; direction++) {
		const struct meter_flow *flow = flow_of(meter, direction);

		g_assert_cmpuint(flow->id.vlan, ==, 200);
		g_assert_cmpuint(flow->id.inner_vlan, ==, 100);
		g_assert_cmpuint(flow->metrics.packets, ==, 2);
		g_assert_cmpuint(flow->metrics.bytes, ==, 2 * 48 + 9);
	}
	meter_free(meter);
}

/* A crafted frame, made longer: headers first. */
static uint8_t *lengthen(const struct frame *frame, size_t len)
{
	uint8_t *data = g_malloc0(len);

	memcpy(data, frame->data, frame->len);
	return data;
}

static void test_jumbo(void)
{
	static const size_t lengths[] = {9000, 20000, 65521};

	for (size_t i = 0; i < G_N_ELEMENTS(lengths); i++) {
		struct meter *meter = meter_cable();
		g_autofree uint8_t *data = NULL;
		struct frame frame;

		BUILD(&frame, ETH, IP4(0, 64), SET16(2, lengths[i]), TCP(1, 2, 0x10));
		data = lengthen(&frame, 14 + lengths[i]);
		send_frame(data, 14 + lengths[i], NULL);
		await_packets(meter, 1, 1);
		for (int direction = 0; direction < 2; direction++) {
			const struct meter_flow *flow = flow_of(meter, direction);

			g_assert_cmpuint(flow->metrics.bytes, ==, lengths[i]);
			g_assert_cmpuint(flow->metrics.max_len, ==, lengths[i]);
			g_assert_cmpuint(flow->metrics.tcp_flags, ==, 0x10);
		}
		meter_free(meter);
	}
}

/* Only the Ethernet header lies in the linear area, all others in a page elsewhere. */
static void test_headers_outside(const void *data)
{
	bool is_ipv6 = GPOINTER_TO_INT(data);
	struct virtio_net_hdr header = {.hdr_len = 14};
	struct meter *meter = meter_cable();
	g_autofree uint8_t *octets = NULL;
	struct frame frame;

	if (is_ipv6)
		BUILD(&frame, ETH, IP6(0, 64), SET16(4, 8000 - 40), EXT(0, 0), EXT(60, 2),
		      TCP(1, 2, 0x18));
	else
		BUILD(&frame, ETH, VLAN(0x8100, 7), IP4_OPTIONS(2), SET16(2, 8000),
		      TCP(1, 2, 0x18));
	octets = lengthen(&frame, 8018);
	send_frame(octets, is_ipv6 ? 8014 : 8018, &header);
	await_packets(meter, 1, 1);
	for (int direction = 0; direction < 2; direction++) {
		const struct meter_flow *flow = flow_of(meter, direction);

		g_assert_cmpuint(flow->id.eth_proto, ==, is_ipv6 ? 0x86dd : 0x800);
		g_assert_cmpuint(flow->id.vlan, ==, is_ipv6 ? 0 : 7);
		g_assert_cmpuint(flow->id.protocol, ==, 6);
		g_assert_cmpuint(flow->id.src_port, ==, 1);
		g_assert_cmpuint(flow->id.dst_port, ==, 2);
		g_assert_cmpuint(flow->metrics.tcp_flags, ==, 0x18);
		g_assert_cmpuint(flow->metrics.bytes, ==, 8000);
		g_assert_cmpuint(flow->metrics.src_mac[5], ==, 1);
	}
	meter_free(meter);
}

/* 60,000 octets for the device to cut up. */
static void test_segments(void)
{
	struct virtio_net_hdr header = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
					.hdr_len = 54,
					.gso_size = 1448,
					.csum_start = 34,
					.csum_offset = 16};
	uint64_t n = (60000 + 1447) / 1448;
	struct meter *meter = meter_cable();
	g_autofree uint8_t *data = NULL;
	struct frame frame;

	BUILD(&frame, ETH, IP4(0, 64), SET16(2, 60040), TCP(1, 2, 0x10));
	data = lengthen(&frame, 54 + 60000);
	send_frame(data, 54 + 60000, &header);
	await_packets(meter, n, n);
	for (int direction = 0; direction < 2; direction++) {
		const struct meter_flow *flow = flow_of(meter, direction);

		g_assert_cmpuint(flow->metrics.packets, ==, n);
		g_assert_cmpuint(flow->metrics.bytes, ==, 60000 + n * 40);
		g_assert_cmpuint(flow->metrics.max_len, ==, 1488);
		g_assert_cmpuint(flow->metrics.min_len, ==, 60000 - (n - 1) * 1448 + 40);
	}
	meter_free(meter);
}

static int open_tun(const char *name, short flags)
{
	struct ifreq request = {.ifr_flags = flags};
	int fd = open("/dev/net/tun", O_RDWR);
	g_autofree char *command = g_strdup_printf("ip link set %s up", name);

	if (fd < 0)
		g_error("/dev/net/tun: %s", g_strerror(errno));
	g_strlcpy(request.ifr_name, name, sizeof(request.ifr_name));
	g_assert_cmpint(ioctl(fd, TUNSETIFF, &request), ==, 0);
	run(command);
	return fd;
}

#define TUNNEL_HEADERS (28 + 8 + 14 + 40)
#define TUNNEL_PAYLOAD 2990 /* in three segments */

/* Puts TCP in UDP into a tap device, as a tunnel's receiver gets it from GRO. False: this kernel
 * can't. */
static bool receive_tunnel(int fd)
{
	struct tunnel_header header = {
		.v1 = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		       .gso_type = VIRTIO_NET_HDR_GSO_TCPV4 | GSO_UDP_TUNNEL_IPV4,
		       .hdr_len = 14 + 28 + 8 + 14 + 40,
		       .gso_size = 1000,
		       .csum_start = 14 + 28 + 8 + 14 + 20,
		       .csum_offset = 16},
		.outer_transport = 34,
		.inner_network = 14 + 28 + 8 + 14};
	struct iovec parts[3] = {{&header, sizeof(header)}};
	struct frame outer, inner;
	int size = sizeof(header);

	if (ioctl(fd, TUNSETVNETHDRSZ, &size) ||
	    ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | OFFLOAD_UDP_TUNNEL)) {
		g_test_skip("kernel: tun carries no segments in tunnels before 6.17");
		return false;
	}
	BUILD(&inner, ETH, IP4(0, 9), TCP(80, 81, 0x10), DATA(TUNNEL_PAYLOAD));
	BUILD(&outer, ETH, IP4(0, 64), UDP(5000, 4789), DATA(8 + inner.len));
	parts[1] = (struct iovec){outer.data, 14 + 28 + 8};
	parts[2] = (struct iovec){inner.data, inner.len};
	g_assert_cmpint(writev(fd, parts, 3), ==, sizeof(header) + outer.len);
	return true;
}

/* Each segment repeats both sets of headers. */
static void test_segments_in_tunnel(void)
{
	int fd = open_tun("tap0", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
	struct meter *meter = new_meter();
	const struct meter_flow *flow;

	attach(meter, "tap0", FLOW_INGRESS);
	if (receive_tunnel(fd)) {
		await_packets(meter, 0, 3);
		flow = flow_of(meter, FLOW_INGRESS);
		g_assert_cmpuint(flow->id.dst_port, ==, 4789);
		g_assert_cmpuint(flow->metrics.packets, ==, 3);
		g_assert_cmpuint(flow->metrics.bytes, ==, TUNNEL_PAYLOAD + 3 * TUNNEL_HEADERS);
		g_assert_cmpuint(flow->metrics.max_len, ==, 1000 + TUNNEL_HEADERS);
		g_assert_cmpuint(flow->metrics.min_len, ==, 990 + TUNNEL_HEADERS);
	}
	close(fd);
	meter_free(meter);
}

/* Addressed to another host: the kernel drops them all at once, and as many octets are dropped as
 * were counted. */
static void test_dropped_segments_in_tunnel(const void *realtime)
{
	struct flow_fetcher_config config = meter_config(256);
	int fd = open_tun("tap0", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
	gint64 end_us = g_get_monotonic_time() + PATIENCE_US;
	struct meter *meter;

	config.drops = true;
	config.realtime = GPOINTER_TO_INT(realtime);
	meter = meter_new(&config);
	attach(meter, "tap0", FLOW_INGRESS);
	if (receive_tunnel(fd)) {
		await_packets(meter, 0, 3);
		while (!meter->dropped_packets && g_get_monotonic_time() < end_us) {
			g_usleep(1000);
			meter_drain(meter);
		}
		g_assert_cmpuint(meter->dropped_packets, ==, 3);
		g_assert_cmpuint(meter->dropped_bytes, ==, TUNNEL_PAYLOAD + 3 * TUNNEL_HEADERS);
	}
	close(fd);
	meter_free(meter);
}

/* Each of another flow, to another host. */
static void receive_strangers(int fd, uint16_t first, uint16_t n)
{
	for (uint16_t i = first; i < first + n; i++) {
		struct frame frame;

		BUILD(&frame, ETH, IP4(0, 64), UDP(i, 80), DATA(10));
		g_assert_cmpint(write(fd, frame.data, frame.len), ==, frame.len);
	}
}

/* A slot whose last tenancy still lies in the ring can't be read. When the ring has been, it is
 * looked at again, though nothing more was dropped. */
static void test_drops_behind_ring(void)
{
	int fd = open_tun("tap0", IFF_TAP | IFF_NO_PI);
	struct flow_fetcher_config config = meter_config(256);
	struct drop_counters dropped;
	struct meter *meter;

	config.drops = true;
	meter = meter_new(&config);
	if (!meter->fetcher->drops) {
		g_test_skip("this kernel gives no reasons of drops");
	} else {
		attach(meter, "tap0", FLOW_INGRESS);
		/* more than there are slots on a CPU */
		receive_strangers(fd, 1000, 4000);
		meter_drain(meter);
		receive_strangers(fd, 6000, 1000);
		fetcher_drops_scan(meter->fetcher);
		flow_fetcher_drop_counters(meter->fetcher, &dropped);
		meter_drain(meter);
		g_assert_cmpuint(dropped.packets, >=, 5000);
		g_assert_cmpuint(dropped.lost_ring_packets, ==, 0);
		g_assert_cmpuint(meter->dropped_packets, >=, dropped.packets);
	}
	close(fd);
	meter_free(meter);
}

static void await_dropped(struct meter *meter, uint64_t n)
{
	gint64 end_us = g_get_monotonic_time() + PATIENCE_US;

	while (meter->dropped_packets < n && g_get_monotonic_time() < end_us) {
		meter_drain(meter);
		g_usleep(1000);
	}
	g_assert_cmpuint(meter->dropped_packets, ==, n);
}

/* A slot outlives the flows whose drops it counts: what is dropped later began later. */
static void test_drops_apart(void)
{
	int fd = open_tun("tap0", IFF_TAP | IFF_NO_PI);
	struct flow_fetcher_config config = meter_config(256);
	struct meter *meter;
	cpu_set_t all, one;
	gint64 between_us;

	config.drops = true;
	meter = meter_new(&config);
	if (!meter->fetcher->drops) {
		g_test_skip("this kernel gives no reasons of drops");
	} else {
		attach(meter, "tap0", FLOW_INGRESS);
		/* each CPU has slots of its own */
		g_assert_cmpint(sched_getaffinity(0, sizeof(all), &all), ==, 0);
		CPU_ZERO(&one);
		CPU_SET(sched_getcpu(), &one);
		g_assert_cmpint(sched_setaffinity(0, sizeof(one), &one), ==, 0);
		receive_strangers(fd, 1000, 1);
		await_dropped(meter, 1);
		g_usleep(APART_US);
		between_us = g_get_monotonic_time();
		g_usleep(APART_US);
		receive_strangers(fd, 1000, 1);
		await_dropped(meter, 2);
		g_assert_cmpint(meter->dropped_since_ns / 1000, >=, between_us);
		g_assert_cmpint(sched_setaffinity(0, sizeof(all), &all), ==, 0);
	}
	close(fd);
	meter_free(meter);
}

/* A map that is full, or a kernel that has no memory just now, is told of an interface later. */
static void test_told_again(void)
{
	int fd = open_tun("tap0", IFF_TAP | IFF_NO_PI), map;
	struct flow_fetcher_config config = meter_config(256);
	uint32_t key = FLOW_IFACE(0, 0, if_nametoindex("tap0")), n = 0;
	struct meter *meter;
	uint8_t flags = 0;

	config.drops = true;
	meter = meter_new(&config);
	if (!meter->fetcher->drops) {
		g_test_skip("this kernel gives no reasons of drops");
	} else {
		map = meter_map_of(fetcher_drops_program(meter->fetcher), "metered_interfaces");
		for (uint32_t other = FLOW_IFACE(9, 0, 1);
		     !bpf_map_update_elem(map, &other, &flags, BPF_ANY); other++)
			n++;
		attach(meter, "tap0", FLOW_INGRESS);
		meter_drain(meter);
		g_assert_cmpint(bpf_map_lookup_elem(map, &key, &flags), !=, 0);
		for (uint32_t other = FLOW_IFACE(9, 0, 1); n--; other++)
			g_assert_cmpint(bpf_map_delete_elem(map, &other), ==, 0);
		meter_drain(meter);
		g_assert_cmpint(bpf_map_lookup_elem(map, &key, &flags), ==, 0);
		g_assert_cmpuint(flags, ==, FLOW_IFACE_INGRESS);
		close(map);
	}
	close(fd);
	meter_free(meter);
}

/* Writes what lies behind the Ethernet header, in front of it what it is. */
static void write_tun(int fd, const struct frame *frame, uint16_t protocol)
{
	struct tun_pi pi = {.proto = GUINT16_TO_BE(protocol)};
	struct iovec parts[2] = {{&pi, sizeof(pi)}, {(void *)(frame->data + 14), frame->len - 14}};

	g_assert_cmpint(writev(fd, parts, 2), ==, sizeof(pi) + frame->len - 14);
}

static const struct meter_flow *flow_of_type(struct meter *meter, uint16_t type)
{
	GHashTableIter iter;
	void *p;

	g_hash_table_iter_init(&iter, meter->flows);
	while (g_hash_table_iter_next(&iter, &p, NULL))
		if (((struct meter_flow *)p)->id.eth_proto == type)
			return p;
	g_error("no flow of type %04x", type);
}

/* No Ethernet header, no MAC addresses. */
static void test_no_ethernet(void)
{
	static const uint8_t no_mac[6];
	int fd = open_tun("tun0", IFF_TUN);
	struct meter *meter = new_meter();
	struct flow_counters counters;
	struct frame frame;

	attach(meter, "tun0", FLOW_INGRESS);
	flow_fetcher_set_interface_flag(meter->fetcher, 0, if_nametoindex("tun0"),
					FLOW_IFACE_NO_ETHERNET, true, NULL);
	BUILD(&frame, ETH, IP4(0, 64), UDP(1, 2), DATA(5));
	write_tun(fd, &frame, 0x0800);
	BUILD(&frame, ETH, IP6(0, 64), EXT(0, 0), TCP(3, 4, 0x02));
	write_tun(fd, &frame, 0x86dd);
	BUILD(&frame, ETH, DATA(3));
	write_tun(fd, &frame, 0x88cc);
	/* shorter than any header */
	BUILD(&frame, ETH, MPLS(16));
	frame.len = 14 + 1;
	write_tun(fd, &frame, 0x0800);
	await_packets(meter, 0, 4);
	g_assert_cmpuint(g_hash_table_size(meter->flows), ==, 4);
	g_assert_cmpuint(flow_of_type(meter, 0x86dd)->metrics.bytes, ==, 68);
	g_assert_cmpuint(flow_of_type(meter, 0x86dd)->id.src_port, ==, 3);
	g_assert_cmpuint(flow_of_type(meter, 0x86dd)->metrics.tcp_flags, ==, 0x02);
	g_assert_cmpmem(flow_of_type(meter, 0x86dd)->metrics.src_mac, 6, no_mac, 6);
	g_assert_cmpuint(flow_of_type(meter, 0x88cc)->metrics.bytes, ==, 3);
	g_assert_cmpmem(flow_of_type(meter, 0x88cc)->id.src_addr, 6, no_mac, 6);
	flow_fetcher_counters(meter->fetcher, &counters);
	g_assert_cmpuint(counters.observed_bytes[0], ==, 33 + 68 + 3 + 1);
	g_assert_cmpuint(counters.malformed_packets, ==, 1);
	close(fd);
	meter_free(meter);
}

static void enter(int netns_fd)
{
	g_assert_cmpint(setns(netns_fd, CLONE_NEWNET), ==, 0);
}

static bool has_filter(void)
{
	g_autofree char *text = NULL;
	g_autoptr(GError) error = NULL;

	g_spawn_command_line_sync("tc filter show dev lo ingress", &text, NULL, NULL, &error);
	g_assert_no_error(error);
	return strstr(text, "ingress_flow_pa");
}

/* A close takes filters off where they are, though nobody detached them: here lo of both namespaces
 * bears one, of two fetchers with the same mark. */
static void test_close_elsewhere(void)
{
	struct flow_fetcher_config config = meter_config(256);
	int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), other;
	g_autoptr(GError) error = NULL;
	struct meter *here, *there;

	config.force_clsact = true;
	here = meter_new(&config);
	there = meter_new(&config);
	g_assert_cmpint(unshare(CLONE_NEWNET), ==, 0);
	other = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	enter(own);
	g_assert_true(flow_fetcher_attach(here->fetcher, 0, -1, 1, FLOW_INGRESS, &error));
	g_assert_true(flow_fetcher_attach(there->fetcher, 1, other, 1, FLOW_INGRESS, &error));
	g_assert_true(has_filter());
	enter(other);
	g_assert_true(has_filter());
	enter(own);
	meter_free(there);
	g_assert_true(has_filter());
	enter(other);
	g_assert_false(has_filter());
	enter(own);
	meter_free(here);
	g_assert_false(has_filter());
	close(own);
	close(other);
}

int main(int argc, char **argv)
{
	meter_enter_namespace();
	g_test_init(&argc, &argv, NULL);
	make_cable();
	g_test_add_func("/devices/hardware-tag", test_hardware_tag);
	g_test_add_func("/devices/hardware-tag-and-another", test_hardware_tag_and_another);
	g_test_add_func("/devices/jumbo", test_jumbo);
	g_test_add_data_func("/devices/headers-outside/ipv4", GINT_TO_POINTER(0),
			     test_headers_outside);
	g_test_add_data_func("/devices/headers-outside/ipv6", GINT_TO_POINTER(1),
			     test_headers_outside);
	g_test_add_func("/devices/segments", test_segments);
	g_test_add_func("/devices/segments-in-tunnel", test_segments_in_tunnel);
	g_test_add_data_func("/devices/dropped-segments-in-tunnel", GINT_TO_POINTER(0),
			     test_dropped_segments_in_tunnel);
	g_test_add_data_func("/devices/dropped-segments-in-tunnel/realtime", GINT_TO_POINTER(1),
			     test_dropped_segments_in_tunnel);
	g_test_add_func("/devices/drops-behind-ring", test_drops_behind_ring);
	g_test_add_func("/devices/drops-apart", test_drops_apart);
	g_test_add_func("/devices/told-again", test_told_again);
	g_test_add_func("/devices/no-ethernet", test_no_ethernet);
	g_test_add_func("/devices/close-elsewhere", test_close_elsewhere);
	return g_test_run();
}

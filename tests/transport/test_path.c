/* SPDX-License-Identifier: MIT */
/*
 * What the path does to a session: an MTU that shrinks, a queue that is full, packets that vanish,
 * names that move or are not answered. In network and mount namespaces of its own.
 */
#include "config.h"

#include <arpa/inet.h>
#include <glib.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "clock.h"
#include "collector_private.h"
#include "harness.h"
#include "tools.h"

static char *folder;

static void run(const char *command)
{
	g_assert_cmpint(system(command), ==, 0);
}

static bool may_run(const char *command)
{
	return system(command) == 0;
}

struct narrow_case {
	const char *path, *address;
	enum encoder_format format;
};

static const struct narrow_case narrow_cases[] = {
	{"/path/mtu-shrinks/v4", "127.0.0.1", ENCODER_IPFIX},
	{"/path/mtu-shrinks/v6", "::1", ENCODER_IPFIX},
	{"/path/mtu-shrinks/netflow9", "127.0.0.1", ENCODER_NETFLOW9},
};

static void give_narrowed(struct sender *sender, struct sink *sink, uint32_t largest)
{
	sink->largest = 0;
	sender_give(sender, 100);
	WORK_UNTIL(sender, sink, sink->n_records == sender->n_records);
	g_assert_cmpuint(sink->largest, <=, largest);
	/* no smaller than need be */
	g_assert_cmpuint(sink->largest + RECORD_SIZE, >, largest);
}

/* Smaller than the messages amid the stream: they come in pieces, none is lost, none fragmented. */
static void test_mtu_shrinks(const void *data)
{
	const struct narrow_case *c = data;
	uint32_t header = c->format == ENCODER_NETFLOW9 ? 20 : 16;
	bool v6 = strchr(c->address, ':');
	struct sender sender;
	struct sink sink;

	run("ip link set lo mtu 1500");
	sink_open(&sink, SOCK_DGRAM, c->address, 0);
	sender_init(&sender, TRANSPORT_UDP, sink.port);
	sender.settings.address = (char *)c->address;
	sender.settings.protocol = c->format;
	sender.settings.max_rate = 10000000; /* no time to spread */
	sender_start(&sender);
	sender_give(&sender, 100);
	WORK_UNTIL(&sender, &sink, sink.n_records == sender.n_records);
	g_assert_cmpuint(sink.largest, ==, header + 4 + RECORDS_PER_MESSAGE * RECORD_SIZE);
	g_assert_cmpuint(sender_stats(&sender)->max_message_size, <, 1500);

	/* IPv6 has no less */
	run("ip link set lo mtu 1280");
	give_narrowed(&sender, &sink,
		      v6 ? 1280 - 48 : header + 4 + RECORDS_PER_MESSAGE * RECORD_SIZE);
	if (!v6) {
		run("ip link set lo mtu 600");
		give_narrowed(&sender, &sink, 600 - 28);
		g_assert_cmpuint(sender_stats(&sender)->max_message_size, ==, 600 - 28);
	}
	g_assert_cmpuint(sink.n_missing, ==, 0);
	g_assert_cmpuint(sender_lost(&sender), ==, 0);
	assert_conserved(&sender, &sink);
	sender_clear(&sender);
	sink_clear(&sink);
	/* IPv6 leaves a link below 1,280 and comes back with the link */
	run("ip link set lo down mtu 65536 && ip link set lo up");
}

static uint16_t checksum(const void *data, size_t size)
{
	const uint16_t *at = data;
	uint32_t sum = 0;

	for (; size > 1; size -= 2)
		sum += *at++;
	sum = (sum >> 16) + (sum & 0xffff);
	return ~(sum + (sum >> 16));
}

/* Somebody else's ICMP error about a datagram of ours that nobody has sent. */
static void inject(const struct sender *sender, uint8_t code, uint16_t mtu)
{
	struct {
		struct icmphdr icmp;
		struct iphdr ip;
		struct udphdr udp;
		uint8_t payload[40];
	} packet = {.icmp = {.type = ICMP_DEST_UNREACH, .code = code}};
	struct sockaddr_in local, to = {.sin_family = AF_INET};
	socklen_t length = sizeof(local);
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);

	getsockname(sender->collector->transport->fd, (struct sockaddr *)&local, &length);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	packet.icmp.un.frag.mtu = htons(mtu);
	packet.ip = (struct iphdr){.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP};
	packet.ip.tot_len = htons(sizeof(packet) - sizeof(packet.icmp));
	packet.ip.saddr = packet.ip.daddr = to.sin_addr.s_addr;
	packet.ip.check = checksum(&packet.ip, sizeof(packet.ip));
	packet.udp.source = local.sin_port;
	packet.udp.dest = htons(sender->settings.port);
	packet.udp.len = htons(sizeof(packet.udp) + sizeof(packet.payload));
	packet.icmp.checksum = checksum(&packet, sizeof(packet));
	g_assert_cmpint(sendto(fd, &packet, sizeof(packet), 0, (struct sockaddr *)&to, sizeof(to)),
			==, sizeof(packet));
	close(fd);
}

/* Forged errors end no session and lose nothing: the path shrinks to the kernel's floor at most,
 * and the collector counts as down for some seconds at most. */
static void test_forged_icmp(void)
{
	struct sender sender;
	struct sink sink;

	use_moving_clock();
	sink_open(&sink, SOCK_DGRAM, "127.0.0.1", 0);
	sender_init(&sender, TRANSPORT_UDP, sink.port);
	sender.settings.max_rate = 10000000;
	sender_start(&sender);
	sender_give(&sender, 10);
	WORK_UNTIL(&sender, &sink, sink.n_records == sender.n_records);
	inject(&sender, ICMP_PORT_UNREACH, 0);
	WORK_UNTIL(&sender, &sink, !sender_stats(&sender)->up);
	sender_give(&sender, 10);
	WORK_UNTIL(&sender, &sink, sink.n_records == sender.n_records);
	move_clock(&sender, 4 * NSEC_PER_SEC);
	sender_give(&sender, 10);
	WORK_UNTIL(&sender, &sink, sender_stats(&sender)->up);
	inject(&sender, ICMP_FRAG_NEEDED, 68);
	sender_give(&sender, 100);
	WORK_UNTIL(&sender, &sink, sink.n_records == sender.n_records);
	g_assert_cmpuint(sender_stats(&sender)->sessions, ==, 1);
	g_assert_cmpuint(sender_lost(&sender), ==, 0);
	g_assert_cmpuint(sink.n_missing, ==, 0);
	assert_conserved(&sender, &sink);
	sender_clear(&sender);
	sink_clear(&sink);
	run("ip route flush cache");
	clock_set_source(NULL);
}

/* A shaper with a short queue refuses most: it is asked again, all arrives. */
static void test_no_buffer(void)
{
	struct sender sender;
	struct sink sink;

	if (!may_run("tc qdisc add dev lo root tbf rate 200mbit burst 30k limit 40k 2>/dev/null")) {
		g_test_skip("the kernel has no tbf");
		return;
	}
	sink_open(&sink, SOCK_DGRAM, "127.0.0.1", 0);
	sender_init(&sender, TRANSPORT_UDP, sink.port);
	sender_start(&sender);
	sender_give(&sender, 1000);
	WORK_UNTIL(&sender, &sink, sink.n_records == sender.n_records);
	WORK_UNTIL(&sender, &sink, sender_stats(&sender)->queued_messages == 0);
	g_assert_cmpuint(sink.n_missing, ==, 0);
	assert_conserved(&sender, &sink);
	sender_clear(&sender);
	sink_clear(&sink);
	run("tc qdisc del dev lo root");
}

/* Packets vanish in both directions: the session is given up after the limit, the next one sends
 * all again. */
static void test_half_open(void)
{
	struct sender sender;
	struct sink sink;

	if (!may_run("nft add table ip gone 2>/dev/null")) {
		g_test_skip("nft is not installed (package nftables), or the kernel has none");
		return;
	}
	use_moving_clock();
	sink_open(&sink, SOCK_STREAM, "127.0.0.1", 0);
	sender_init(&sender, TRANSPORT_TCP, sink.port);
	sender_start(&sender);
	sender_give(&sender, 10);
	WORK_UNTIL(&sender, &sink, sink.n_records == sender.n_records);
	WORK_UNTIL(&sender, &sink, sender_stats(&sender)->queued_messages == 0);
	run("nft add chain ip gone input '{ type filter hook input priority 0; policy drop; }'");
	sender_give(&sender, 10);
	for (int i = 0; i < 29; i++) {
		move_clock(&sender, NSEC_PER_SEC);
		work(&sender, NULL);
	}
	g_assert_true(sender_stats(&sender)->up);
	for (int i = 0; i < 3; i++)
		move_clock(&sender, NSEC_PER_SEC);
	g_assert_false(sender_stats(&sender)->up);
	run("nft delete table ip gone");
	sink_end_session(&sink, false);
	move_clock(&sender, 70 * NSEC_PER_SEC);
	WORK_UNTIL(&sender, &sink, sink.n_records == sender.n_records);
	WORK_UNTIL(&sender, &sink, sender_stats(&sender)->queued_messages == 0);
	assert_conserved(&sender, &sink);
	sender_clear(&sender);
	sink_clear(&sink);
	clock_set_source(NULL);
}

static void write_file(const char *name, const char *text)
{
	g_autofree char *path = g_build_filename(folder, name, NULL);
	FILE *file;

	/* in place: what is mounted is this very file */
	file = fopen(path, "w");
	g_assert_nonnull(file);
	fputs(text, file);
	fclose(file);
}

/* An address that the name gets later: over TCP at the next session, over UDP within the reconnect
 * interval. */
static void test_name_moves(const void *data)
{
	enum transport_kind kind = GPOINTER_TO_INT(data);
	bool udp = kind == TRANSPORT_UDP;
	struct sender sender;
	struct sink old, next;

	use_moving_clock();
	write_file("hosts", "127.0.0.1 collector.test\n");
	sink_open(&old, udp ? SOCK_DGRAM : SOCK_STREAM, "127.0.0.1", 0);
	sink_open(&next, udp ? SOCK_DGRAM : SOCK_STREAM, "::1", old.port);
	sender_init(&sender, kind, old.port);
	sender.settings.address = (char *)"collector.test";
	sender_start(&sender);
	sender_give(&sender, 10);
	WORK_UNTIL(&sender, &old, old.n_records == sender.n_records);

	/* the name stops resolving: what is known stays */
	write_file("hosts", "");
	move_clock(&sender, 61 * NSEC_PER_SEC);
	for (int i = 0; i < 200; i++)
		work(&sender, &old);
	g_assert_true(sender_stats(&sender)->up);

	write_file("hosts", "::1 collector.test\n");
	if (!udp) {
		WORK_UNTIL(&sender, &old, sender_stats(&sender)->queued_messages == 0);
		sink_close(&old, false);
		WORK_UNTIL(&sender, NULL, !sender_stats(&sender)->up);
	}
	move_clock(&sender, 70 * NSEC_PER_SEC);
	WORK_UNTIL(&sender, &next, next.n_templates > 0);
	sender_give(&sender, 10);
	WORK_UNTIL(&sender, &next, next.n_records == 10 * RECORDS_PER_MESSAGE);
	g_assert_cmpuint(old.n_records, ==, 10 * RECORDS_PER_MESSAGE);
	g_assert_cmpuint(sender_lost(&sender), ==, 0);
	sender_clear(&sender);
	sink_clear(&old);
	sink_clear(&next);
	clock_set_source(NULL);
}

static uint16_t source_port(const struct sender *sender)
{
	struct sockaddr_in local = {0};
	socklen_t length = sizeof(local);

	getsockname(sender->collector->transport->fd, (struct sockaddr *)&local, &length);
	return ntohs(local.sin_port);
}

/* The way goes for a while, and somebody else takes the port that the session had. */
static void test_port_taken(void)
{
	struct sockaddr_in taken = {.sin_family = AF_INET};
	int thief = socket(AF_INET, SOCK_DGRAM, 0);
	struct sender sender;
	struct sink sink;
	uint16_t port;

	use_moving_clock();
	sink_open(&sink, SOCK_DGRAM, "127.0.0.1", 0);
	sender_init(&sender, TRANSPORT_UDP, sink.port);
	sender_start(&sender);
	sender_give(&sender, 10);
	WORK_UNTIL(&sender, &sink, sink.n_records == sender.n_records);
	port = source_port(&sender);

	run("ip address del 127.0.0.1/8 dev lo");
	sender_give(&sender, 10);
	WORK_UNTIL(&sender, &sink, !sender_stats(&sender)->up);
	taken.sin_port = htons(port);
	g_assert_cmpint(bind(thief, (struct sockaddr *)&taken, sizeof(taken)), ==, 0);
	run("ip address add 127.0.0.1/8 dev lo");
	for (int i = 0; i < 4; i++) {
		move_clock(&sender, 70 * NSEC_PER_SEC);
		work(&sender, &sink);
	}
	WORK_UNTIL(&sender, &sink, sink.n_records == sender.n_records);
	g_assert_cmpuint(source_port(&sender), !=, port);
	g_assert_cmpuint(sender_lost(&sender), ==, 0);
	close(thief);
	sender_clear(&sender);
	sink_clear(&sink);
	clock_set_source(NULL);
}

/* A name with an address of each family, of which the first has no listener. */
static void test_falls_over(void)
{
	struct sender sender;
	struct sink sink;

	write_file("hosts", "::1 collector.test\n127.0.0.1 collector.test\n");
	sink_open(&sink, SOCK_STREAM, "127.0.0.1", 0);
	sender_init(&sender, TRANSPORT_TCP, sink.port);
	sender.settings.address = (char *)"collector.test";
	sender_start(&sender);
	sender_give(&sender, 10);
	WORK_UNTIL(&sender, &sink, sink.n_records == sender.n_records);
	WORK_UNTIL(&sender, &sink, sender_stats(&sender)->queued_messages == 0);
	assert_conserved(&sender, &sink);
	sender_clear(&sender);
	sink_clear(&sink);
}

/* A name server that says nothing. */
static int open_silent(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(53)};
	int silent = socket(AF_INET, SOCK_DGRAM, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	g_assert_cmpint(bind(silent, (struct sockaddr *)&address, sizeof(address)), ==, 0);
	return silent;
}

/* A session stands and its name is asked for again: while no answer comes there is nothing to do.
 */
static void test_asked_again(void)
{
	unsigned int n_busy = 0;
	struct sender sender;
	struct sink sink;
	int silent;

	use_moving_clock();
	write_file("hosts", "127.0.0.1 collector.test\n");
	sink_open(&sink, SOCK_DGRAM, "127.0.0.1", 0);
	sender_init(&sender, TRANSPORT_UDP, sink.port);
	sender.settings.address = (char *)"collector.test";
	sender_start(&sender);
	sender_give(&sender, 10);
	WORK_UNTIL(&sender, &sink, sink.n_records == sender.n_records);

	silent = open_silent();
	write_file("hosts", "");
	move_clock(&sender, 61 * NSEC_PER_SEC);
	WORK_UNTIL(&sender, &sink, recv(silent, &n_busy, 1, MSG_PEEK | MSG_DONTWAIT) > 0);
	n_busy = 0;
	for (int i = 0; i < 300; i++) {
		n_busy += g_main_context_iteration(NULL, false);
		g_usleep(1000);
	}
	g_assert_cmpuint(n_busy, <, 100);
	g_assert_true(sender_stats(&sender)->up);
	close(silent);
	sender_clear(&sender);
	sink_clear(&sink);
	clock_set_source(NULL);
}

/* The name server says nothing: nobody waits for it, and the failure is said at last. */
static void test_name_server_silent(void)
{
	uint64_t longest = 0;
	struct sender sender;
	int silent = open_silent();

	write_file("hosts", "");
	sender_init(&sender, TRANSPORT_TCP, 4739);
	sender.settings.address = (char *)"collector.test";
	sender_start(&sender);
	sender_give(&sender, 10);
	while (!sender_stats(&sender)->failures) {
		uint64_t before = g_get_monotonic_time(), took;

		g_main_context_iteration(NULL, false);
		took = g_get_monotonic_time() - before;
		longest = MAX(longest, took);
		g_usleep(1000);
	}
	g_assert_cmpuint(longest, <, 500000);
	g_assert_nonnull(strstr(sender_stats(&sender)->last_error, "can't resolve collector.test"));
	g_assert_cmpuint(sender_stats(&sender)->queued_flows, ==, sender.n_records);
	sender_clear(&sender);
	close(silent);
}

static bool enter_namespaces(void)
{
	g_autofree char *hosts = NULL, *resolv = NULL;

	if (unshare(CLONE_NEWNET | CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return false;
	folder = g_dir_make_tmp("bpflowd-path-XXXXXX", NULL);
	hosts = g_build_filename(folder, "hosts", NULL);
	resolv = g_build_filename(folder, "resolv.conf", NULL);
	write_file("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n");
	write_file("hosts", "");
	return mount(resolv, "/etc/resolv.conf", NULL, MS_BIND, NULL) == 0 &&
	       mount(hosts, "/etc/hosts", NULL, MS_BIND, NULL) == 0 && may_run("ip link set lo up");
}

int main(int argc, char **argv)
{
	int status;

	g_test_init(&argc, &argv, NULL);
	if (!enter_namespaces()) {
		printf("1..0 # SKIP needs the right to make namespaces\n");
		return 77;
	}
	for (size_t i = 0; i < G_N_ELEMENTS(narrow_cases); i++)
		g_test_add_data_func(narrow_cases[i].path, &narrow_cases[i], test_mtu_shrinks);
	g_test_add_func("/path/forged-icmp", test_forged_icmp);
	g_test_add_func("/path/no-buffer", test_no_buffer);
	g_test_add_func("/path/half-open", test_half_open);
	g_test_add_data_func("/path/name-moves/udp", GINT_TO_POINTER(TRANSPORT_UDP),
			     test_name_moves);
	g_test_add_data_func("/path/name-moves/tcp", GINT_TO_POINTER(TRANSPORT_TCP),
			     test_name_moves);
	g_test_add_func("/path/falls-over", test_falls_over);
	g_test_add_func("/path/port-taken", test_port_taken);
	g_test_add_func("/path/asked-again", test_asked_again);
	g_test_add_func("/path/name-server-silent", test_name_server_silent);
	status = g_test_run();
	tools_remove_folder(folder);
	return status;
}

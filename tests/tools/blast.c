/* SPDX-License-Identifier: MIT */
/*
 * A packet generator that knows what it sent, to the packet and the octet: raw Ethernet frames
 * through AF_PACKET, with the egress hooks of tc on their way. Flow f of N is always the same
 * 5-tuple: source address + f / 4096, source port 4096 + f % 4096. Prints JSON.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH	       64
#define FRAME_MAX      9216
#define PORTS_PER_HOST 4096
#define FIRST_PORT     4096
#define MAX_VLANS      2
#define NSEC_PER_SEC   1000000000ull

struct options {
	const char *interface;
	uint8_t src_mac[6];
	uint8_t dst_mac[6];
	bool ipv6;
	uint8_t protocol;
	uint8_t src[16];
	uint8_t dst[16];
	uint16_t dst_port;
	uint8_t ttl;
	uint8_t tos;
	uint8_t tcp_flags;
	uint16_t vlan[MAX_VLANS];
	int n_vlans;
	uint64_t flows;
	uint64_t packets;
	uint64_t rate;	   /* packets per second, 0: as fast as it goes */
	uint32_t size_min; /* IP-layer octets */
	uint32_t size_max;
	bool random;
	bool zipf; /* random, flow n with a frequency of about 1/n */
	bool dns;  /* UDP that asks for an address, each flow with an id of its own */
	uint64_t seed;
};

struct result {
	uint64_t packets, octets;
	uint64_t refused_packets, refused_octets; /* seen by egress hooks, not by the device */
	uint64_t start_ns, end_ns;		  /* CLOCK_REALTIME */
	uint64_t tick_ns; /* CLOCK_REALTIME_COARSE at the start: the kernel's latest tick */
};

struct frame {
	size_t size;
	uint32_t ip_size;
	uint8_t pad[2]; /* the IP header lies aligned behind a link header of 14, 18 or 22 octets */
	uint8_t data[FRAME_MAX];
};

static void die(const char *what)
{
	fprintf(stderr, "blast: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void usage(const char *what)
{
	fprintf(stderr,
		"blast: %s\n"
		"usage: blast --interface I --dst-mac M --src A --dst A [--proto udp|tcp|icmp|N]\n"
		"  [--flows N] [--packets N] [--size N[-M]] [--dst-port P] [--vlan ID]...\n"
		"  [--ttl N] [--tos N] [--tcp-flags N] [--rate PPS] [--random SEED]\n"
		"  [--zipf SEED] [--dns]\n"
		"size: octets of the IP packet; N-M goes through the range. Prints what was "
		"sent.\n",
		what);
	exit(2);
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return now.tv_sec * NSEC_PER_SEC + now.tv_nsec;
}

/* ---- frames */

static uint32_t sum16(const void *data, size_t size, uint32_t sum)
{
	const uint8_t *octet = data;

	for (size_t i = 0; i + 1 < size; i += 2)
		sum += octet[i] << 8 | octet[i + 1];
	return size & 1 ? sum + (octet[size - 1] << 8) : sum;
}

static uint16_t checksum(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons(~sum & 0xffff);
}

static size_t put_ethernet(const struct options *options, uint8_t *data)
{
	uint16_t type = htons(options->ipv6 ? ETHERTYPE_IPV6 : ETHERTYPE_IP);
	size_t at = 12;

	memcpy(data, options->dst_mac, 6);
	memcpy(data + 6, options->src_mac, 6);
	for (int i = 0; i < options->n_vlans; i++) {
		/* the outer of two tags is a service tag (IEEE 802.1ad) */
		uint16_t tag[2] = {htons(i + 1 < options->n_vlans ? 0x88a8 : 0x8100),
				   htons(options->vlan[i])};

		memcpy(data + at, tag, 4);
		at += 4;
	}
	memcpy(data + at, &type, 2);
	return at + 2;
}

static void address_of(const uint8_t *base, size_t size, uint64_t flow, uint8_t *out)
{
	uint32_t low;

	memcpy(out, base, size);
	memcpy(&low, out + size - 4, 4);
	low = htonl(ntohl(low) + flow / PORTS_PER_HOST);
	memcpy(out + size - 4, &low, 4);
}

/* Returns the size of the IP header and, in *pseudo, the sum of the pseudo header. */
static size_t put_ip(const struct options *options, uint64_t flow, uint32_t size, uint8_t *data,
		     uint32_t *pseudo)
{
	struct ip6_hdr *ip6 = (void *)data;
	struct iphdr *ip = (void *)data;

	if (options->ipv6) {
		ip6->ip6_flow = htonl(6u << 28 | (uint32_t)options->tos << 20);
		ip6->ip6_plen = htons(size - sizeof(*ip6));
		ip6->ip6_nxt = options->protocol;
		ip6->ip6_hlim = options->ttl;
		address_of(options->src, 16, flow, ip6->ip6_src.s6_addr);
		memcpy(&ip6->ip6_dst, options->dst, 16);
		*pseudo = sum16(&ip6->ip6_src, 32, size - sizeof(*ip6) + options->protocol);
		return sizeof(*ip6);
	}
	*ip = (struct iphdr){.version = 4,
			     .ihl = 5,
			     .tos = options->tos,
			     .tot_len = htons(size),
			     .id = htons(flow & 0xffff),
			     .ttl = options->ttl,
			     .protocol = options->protocol};
	address_of(options->src, 4, flow, (uint8_t *)&ip->saddr);
	memcpy(&ip->daddr, options->dst, 4);
	ip->check = checksum(sum16(ip, sizeof(*ip), 0));
	*pseudo = sum16(&ip->saddr, 8, size - sizeof(*ip) + options->protocol);
	return sizeof(*ip);
}

/* A query (RFC 1035 4.1), as far as there is room for one; the checksum is 0, which is none. */
static void put_query(uint64_t flow, size_t size, uint8_t *data)
{
	static const uint8_t question[] = "\3www\7example\0\0\1\0\1";
	uint8_t head[12] = {flow >> 8, flow, 1, 0, 0, 1};

	if (size < 8 + sizeof(head) + sizeof(question) - 1)
		return;
	memcpy(data + 8, head, sizeof(head));
	memcpy(data + 8 + sizeof(head), question, sizeof(question) - 1);
	memset(data + 6, 0, 2);
}

static size_t put_l4(const struct options *options, uint64_t flow, size_t size, uint8_t *data,
		     uint32_t pseudo)
{
	uint16_t src_port = htons(FIRST_PORT + flow % PORTS_PER_HOST);
	uint16_t ports[2] = {src_port, htons(options->dst_port)};
	struct udphdr *udp = (void *)data;
	struct tcphdr *tcp = (void *)data;

	if (options->protocol == IPPROTO_UDP) {
		memcpy(udp, ports, sizeof(ports));
		udp->len = htons(size);
		udp->check = checksum(sum16(udp, sizeof(*udp), pseudo));
		if (options->dns)
			put_query(flow, size, data);
	} else if (options->protocol == IPPROTO_TCP) {
		memcpy(tcp, ports, sizeof(ports));
		tcp->doff = 5;
		data[13] = options->tcp_flags;
		tcp->check = checksum(sum16(tcp, sizeof(*tcp), pseudo));
	} else if (options->protocol == IPPROTO_ICMP) {
		data[0] = ICMP_ECHO;
		memcpy(data + 4, &src_port, 2);
		memcpy(data + 2, &(uint16_t){checksum(sum16(data, 8, 0))}, 2);
	} else if (options->protocol == IPPROTO_ICMPV6) {
		data[0] = ICMP6_ECHO_REQUEST;
		memcpy(data + 4, &src_port, 2);
		memcpy(data + 2, &(uint16_t){checksum(sum16(data, 8, pseudo))}, 2);
	}
	return size;
}

static void frame_build(const struct options *options, uint64_t flow, uint32_t size,
			struct frame *frame)
{
	size_t link = put_ethernet(options, frame->data);
	uint32_t pseudo;
	size_t ip;

	memset(frame->data + link, 0, 60); /* headers; the rest is zero for ever */
	ip = put_ip(options, flow, size, frame->data + link, &pseudo);
	put_l4(options, flow, size - ip, frame->data + link + ip, pseudo);
	frame->size = link + size;
	frame->ip_size = size;
}

/* ---- sending */

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static uint64_t choose_flow(const struct options *options, uint64_t i, uint64_t *state)
{
	if (options->zipf)
		return exp((next_random(state) >> 11) * 0x1p-53 * log(options->flows + 1)) - 1;
	return (options->random ? next_random(state) : i) % options->flows;
}

static void pace(const struct options *options, uint64_t begun_ns, uint64_t sent)
{
	uint64_t due = options->rate ? begun_ns + sent * NSEC_PER_SEC / options->rate : 0;
	struct timespec until = {.tv_sec = due / NSEC_PER_SEC, .tv_nsec = due % NSEC_PER_SEC};

	if (due > clock_ns(CLOCK_MONOTONIC))
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

/* A refused packet has passed the egress hooks and is sent again. */
static void send_batch(int fd, struct mmsghdr *messages, const struct frame *frames, int n,
		       struct result *result)
{
	int done = 0;

	while (done < n) {
		int sent = sendmmsg(fd, messages + done, n - done, 0);

		if (sent < 0 && errno == ENOBUFS) {
			result->refused_packets++;
			result->refused_octets += frames[done].ip_size;
			usleep(100);
			continue;
		}
		if (sent < 0 && errno != EINTR && errno != EAGAIN)
			die("sendmmsg");
		for (; sent > 0; sent--) {
			result->packets++;
			result->octets += frames[done++].ip_size;
		}
	}
}

static void blast(const struct options *options, int fd, struct result *result)
{
	static struct frame frames[BATCH];
	struct mmsghdr messages[BATCH] = {0};
	struct iovec iov[BATCH];
	uint64_t begun_ns = clock_ns(CLOCK_MONOTONIC), state = options->seed;
	uint32_t sizes = options->size_max - options->size_min + 1;

	result->tick_ns = clock_ns(CLOCK_REALTIME_COARSE);
	result->start_ns = clock_ns(CLOCK_REALTIME);
	for (uint64_t i = 0; i < options->packets;) {
		int n = 0;

		for (; n < BATCH && i < options->packets; n++, i++) {
			frame_build(options, choose_flow(options, i, &state),
				    options->size_min + i % sizes, &frames[n]);
			iov[n] = (struct iovec){frames[n].data, frames[n].size};
			messages[n].msg_hdr.msg_iov = &iov[n];
			messages[n].msg_hdr.msg_iovlen = 1;
		}
		send_batch(fd, messages, frames, n, result);
		pace(options, begun_ns, i);
	}
	result->end_ns = clock_ns(CLOCK_REALTIME);
}

static int open_socket(struct options *options)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET};
	int fd = socket(AF_PACKET, SOCK_RAW, 0);
	struct ifreq request = {0};

	if (fd < 0)
		die("socket");
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", options->interface);
	if (ioctl(fd, SIOCGIFHWADDR, &request) < 0)
		die(options->interface);
	memcpy(options->src_mac, request.ifr_hwaddr.sa_data, 6);
	address.sll_ifindex = if_nametoindex(options->interface);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		die("bind");
	return fd;
}

/* ---- command line */

static void parse_mac(const char *text, uint8_t *mac)
{
	if (sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4,
		   mac + 5) != 6)
		usage("bad MAC address");
}

static void parse_address(struct options *options, const char *text, uint8_t *out)
{
	options->ipv6 = strchr(text, ':') != NULL;
	if (inet_pton(options->ipv6 ? AF_INET6 : AF_INET, text, out) != 1)
		usage("bad address");
}

static void parse_size(struct options *options, const char *text)
{
	int n = sscanf(text, "%u-%u", &options->size_min, &options->size_max);

	if (n < 1)
		usage("bad size");
	if (n == 1)
		options->size_max = options->size_min;
}

static uint8_t parse_protocol(const char *text)
{
	if (!strcmp(text, "udp"))
		return IPPROTO_UDP;
	if (!strcmp(text, "tcp"))
		return IPPROTO_TCP;
	return strcmp(text, "icmp") ? atoi(text) : IPPROTO_ICMP;
}

static void parse_vlan(struct options *options, const char *text)
{
	if (options->n_vlans == MAX_VLANS)
		usage("too many VLAN tags");
	options->vlan[options->n_vlans++] = atoi(text);
}

static void parse_option(struct options *options, int c)
{
	switch (c) {
	case 'i':
		options->interface = optarg;
		break;
	case 'm':
		parse_mac(optarg, options->dst_mac);
		break;
	case 's':
		parse_address(options, optarg, options->src);
		break;
	case 'd':
		parse_address(options, optarg, options->dst);
		break;
	case 'p':
		options->protocol = parse_protocol(optarg);
		break;
	case 'f':
		options->flows = strtoull(optarg, NULL, 0);
		break;
	case 'n':
		options->packets = strtoull(optarg, NULL, 0);
		break;
	case 'z':
		parse_size(options, optarg);
		break;
	case 'P':
		options->dst_port = atoi(optarg);
		break;
	case 'v':
		parse_vlan(options, optarg);
		break;
	case 't':
		options->ttl = atoi(optarg);
		break;
	case 'o':
		options->tos = strtoul(optarg, NULL, 0);
		break;
	case 'F':
		options->tcp_flags = strtoul(optarg, NULL, 0);
		break;
	case 'r':
		options->rate = strtoull(optarg, NULL, 0);
		break;
	case 'D':
		options->dns = true;
		break;
	case 'Z':
	case 'x':
		options->random = true;
		options->zipf = c == 'Z';
		options->seed = strtoull(optarg, NULL, 0) | 1;
		break;
	default:
		usage("unknown option");
	}
}

static void check_options(struct options *options)
{
	uint32_t least = (options->ipv6 ? 40 : 20) + 20;

	if (!options->interface || !options->flows)
		usage("--interface and at least one flow are needed");
	if (options->size_min < least || options->size_max < options->size_min ||
	    options->size_max > FRAME_MAX - 32)
		usage("size: at least the headers (IPv4 40, IPv6 60), at most 9184");
	if (options->ipv6 && options->protocol == IPPROTO_ICMP)
		options->protocol = IPPROTO_ICMPV6;
}

int main(int argc, char **argv)
{
	static const struct option names[] = {
		{"interface", 1, 0, 'i'},
		{"dst-mac", 1, 0, 'm'},
		{"src", 1, 0, 's'},
		{"dst", 1, 0, 'd'},
		{"proto", 1, 0, 'p'},
		{"flows", 1, 0, 'f'},
		{"packets", 1, 0, 'n'},
		{"size", 1, 0, 'z'},
		{"dst-port", 1, 0, 'P'},
		{"vlan", 1, 0, 'v'},
		{"ttl", 1, 0, 't'},
		{"tos", 1, 0, 'o'},
		{"tcp-flags", 1, 0, 'F'},
		{"rate", 1, 0, 'r'},
		{"random", 1, 0, 'x'},
		{"zipf", 1, 0, 'Z'},
		{"dns", 0, 0, 'D'},
		{0},
	};
	struct options options = {.protocol = IPPROTO_UDP,
				  .dst_port = 9,
				  .ttl = 64,
				  .flows = 1,
				  .packets = 1,
				  .size_min = 100,
				  .size_max = 100,
				  .tcp_flags = TH_ACK};
	struct result result = {0};
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1)
		parse_option(&options, c);
	check_options(&options);
	blast(&options, open_socket(&options), &result);
	printf("{\"packets\": %lu, \"octets\": %lu, \"refused_packets\": %lu, "
	       "\"refused_octets\": %lu, \"tick_ns\": %lu, \"start_ns\": %lu, \"end_ns\": %lu}\n",
	       result.packets, result.octets, result.refused_packets, result.refused_octets,
	       result.tick_ns, result.start_ns, result.end_ns);
	return 0;
}

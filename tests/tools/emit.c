/* SPDX-License-Identifier: MIT */
/*
 * emit TEMPLATE ipfix|netflow9 file|pcap|PORT: the flows of wire_fixture.c as a collector would get
 * them, to standard output or to a UDP port of 127.0.0.1. Options and templates first.
 */
#include "config.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire.h"
#include "../unit/wire_fixture.h"

#define PCAP_PORT 4739

struct sink {
	enum encoder_format format;
	enum { SINK_FILE, SINK_PCAP, SINK_UDP } kind;
	int fd;
	struct message_header header;
};

static void put(const uint8_t *bytes, size_t size)
{
	if (fwrite(bytes, 1, size, stdout) != size)
		exit(1);
}

/* Ethernet is left out: link type 101 begins with the IP header. */
static void put_packet(const uint8_t *message, size_t size)
{
	uint8_t head[16 + 28] = {0};
	uint32_t record[4] = {FIXTURE_EXPORT_S, 0, size + 28, size + 28};
	struct wire wire;

	memcpy(head, record, sizeof(record));
	wire_init(&wire, head + 16, 28);
	wire_put(&wire, 0x4500, 2);
	wire_put(&wire, size + 28, 2);
	wire_put(&wire, 0, 4);
	wire_put(&wire, 0x4011, 2);
	wire_put(&wire, 0, 2);
	wire_put(&wire, 0x7f000001, 4);
	wire_put(&wire, 0x7f000001, 4);
	wire_put(&wire, 50000, 2);
	wire_put(&wire, PCAP_PORT, 2);
	wire_put(&wire, size + 8, 2);
	wire_put(&wire, 0, 2);
	put(head, sizeof(head));
	put(message, size);
}

static void put_pcap_header(void)
{
	uint32_t header[6] = {0xa1b2c3d4, 2 | 4 << 16, 0, 0, 65535, 101};

	put((const uint8_t *)header, sizeof(header));
}

static void send_message(struct sink *sink, const struct message *message)
{
	static uint8_t buf[65536];
	size_t size = encoder_write_header(sink->format, message, &sink->header, buf);

	memcpy(buf + size, message->body, message->size);
	size += message->size;
	sink->header.sequence += message->n_sequence;
	if (sink->kind == SINK_FILE)
		put(buf, size);
	else if (sink->kind == SINK_PCAP)
		put_packet(buf, size);
	else if (send(sink->fd, buf, size, 0) != (ssize_t)size)
		exit(1);
}

static void send_all(struct sink *sink, const GPtrArray *messages)
{
	for (unsigned int i = 0; i < messages->len; i++)
		send_message(sink, messages->pdata[i]);
}

static void open_udp(struct sink *sink, const char *port)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(atoi(port)),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	sink->fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (sink->fd < 0 || connect(sink->fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		exit(1);
}

int main(int argc, char **argv)
{
	void (*const fill[])(struct flow_record *) = {fixture_tcp4, fixture_dns6, fixture_icmp4,
						      fixture_arp};
	struct sink sink = {.header = {.export_time_s = FIXTURE_EXPORT_S,
				       .domain = FIXTURE_DOMAIN,
				       .uptime_ms = FIXTURE_EXPORT_S * 1000ull - FIXTURE_BOOT_MS}};
	g_autoptr(GPtrArray) options_messages = NULL;
	struct options options;
	struct fixture fixture;

	if (argc != 4)
		return 2;
	sink.format = strcmp(argv[2], "ipfix") == 0 ? ENCODER_IPFIX : ENCODER_NETFLOW9;
	sink.kind = strcmp(argv[3], "file") == 0   ? SINK_FILE
		    : strcmp(argv[3], "pcap") == 0 ? SINK_PCAP
						   : SINK_UDP;
	if (sink.kind == SINK_PCAP)
		put_pcap_header();
	if (sink.kind == SINK_UDP)
		open_udp(&sink, argv[3]);
	fixture_init(&fixture, argv[1], sink.format, 1420);
	fixture_options(&options);
	send_all(&sink, encoder_templates(fixture.encoder));
	options_messages = encoder_options(fixture.encoder, &options);
	send_all(&sink, options_messages);
	for (size_t i = 0; i < G_N_ELEMENTS(fill); i++) {
		struct flow_record record;

		fill[i](&record);
		encoder_append(fixture.encoder, &record);
	}
	encoder_flush(fixture.encoder);
	send_all(&sink, fixture.messages);
	options_clear(&options);
	fixture_clear(&fixture);
	return fflush(stdout) == 0 ? 0 : 1;
}

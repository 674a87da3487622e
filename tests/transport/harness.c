/* SPDX-License-Identifier: MIT */
/* Both ends of a session in one process; see harness.h. */
#include "config.h"

#include "harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "collector_private.h"

#define TEMPLATE_ID 256
#define OPTIONS_ID  300
#define DOMAIN_ID   7

static uint64_t clock_offset_ns;

static void read_moving_clock(struct clock_now *now)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	now->mono_ns = at.tv_sec * NSEC_PER_SEC + at.tv_nsec + clock_offset_ns;
	now->boot_ns = now->mono_ns;
	clock_gettime(CLOCK_REALTIME, &at);
	now->real_ns = at.tv_sec * NSEC_PER_SEC + at.tv_nsec + clock_offset_ns;
}

void use_moving_clock(void)
{
	clock_offset_ns = 0;
	clock_set_source(read_moving_clock);
}

static void read_frozen_clock(struct clock_now *now)
{
	now->mono_ns = now->boot_ns = NSEC_PER_SEC + clock_offset_ns;
	now->real_ns = UINT64_C(1700000000) * NSEC_PER_SEC + clock_offset_ns;
}

void use_frozen_clock(void)
{
	clock_offset_ns = 0;
	clock_set_source(read_frozen_clock);
}

void move_clock(struct sender *sender, uint64_t ns)
{
	clock_offset_ns += ns;
	collector_run(sender->collector);
}

static void put(uint8_t **at, int n_octets, uint64_t value)
{
	while (n_octets--)
		*(*at)++ = value >> 8 * n_octets;
}

static struct message *message_new(enum message_kind kind, size_t size)
{
	struct message *message = g_malloc0(sizeof(*message) + size);

	message->refs = 1;
	message->kind = kind;
	message->size = size;
	return message;
}

static struct message *template_message(enum encoder_format format)
{
	bool v9 = format == ENCODER_NETFLOW9;
	struct message *message = message_new(MESSAGE_TEMPLATES, 20 + 18);
	uint8_t *at = message->body;

	put(&at, 4, (v9 ? 0 : 2) << 16 | 20);
	put(&at, 4, TEMPLATE_ID << 16 | 3);
	put(&at, 4, 148 << 16 | 8); /* flowId */
	put(&at, 4, 2 << 16 | 8);
	put(&at, 4, 1 << 16 | 8);
	put(&at, 4, (v9 ? 1 : 3) << 16 | 18);
	if (v9) {
		put(&at, 4, OPTIONS_ID << 16 | 4);
		put(&at, 2, 4);
		put(&at, 4, 1 << 16 | 4); /* system */
	} else {
		put(&at, 4, OPTIONS_ID << 16 | 2);
		put(&at, 2, 1);
		put(&at, 4, 144 << 16 | 4); /* exportingProcessId */
	}
	put(&at, 4, 42 << 16 | 8);
	message->n_records = 2;
	message->n_sequence = v9;
	return message;
}

static struct message *data_message(enum encoder_format format, uint64_t first)
{
	size_t size = 4 + RECORDS_PER_MESSAGE * RECORD_SIZE;
	struct message *message = message_new(MESSAGE_DATA, size);
	uint8_t *at = message->body;

	put(&at, 4, TEMPLATE_ID << 16 | size);
	for (int i = 0; i < RECORDS_PER_MESSAGE; i++) {
		put(&at, 8, first + i);
		put(&at, 8, PACKETS_PER_RECORD);
		put(&at, 8, OCTETS_PER_RECORD);
	}
	message->n_records = message->n_flows = RECORDS_PER_MESSAGE;
	message->shares = g_new(struct record_share, RECORDS_PER_MESSAGE);
	for (int i = 0; i < RECORDS_PER_MESSAGE; i++)
		message->shares[i] =
			(struct record_share){1, PACKETS_PER_RECORD, OCTETS_PER_RECORD};
	message->n_sequence = format == ENCODER_NETFLOW9 ? 1 : RECORDS_PER_MESSAGE;
	message->n_packets = RECORDS_PER_MESSAGE * PACKETS_PER_RECORD;
	message->n_octets = RECORDS_PER_MESSAGE * OCTETS_PER_RECORD;
	return message;
}

static GPtrArray *give_templates(void *user, struct collector *collector)
{
	return ((struct sender *)user)->templates;
}

static GPtrArray *give_options(void *user, struct collector *collector)
{
	GPtrArray *options = g_ptr_array_new_with_free_func((GDestroyNotify)message_unref);
	struct message *message = message_new(MESSAGE_OPTIONS, 16);
	uint8_t *at = message->body;

	put(&at, 4, OPTIONS_ID << 16 | 16);
	put(&at, 4, 1);
	put(&at, 8, collector_stats(collector)->sent_records);
	message->n_records = message->n_sequence = 1;
	g_ptr_array_add(options, message);
	return options;
}

void sender_init(struct sender *sender, enum transport_kind transport, uint16_t port)
{
	*sender = (struct sender){
		.settings =
			{
				.name = (char *)"test",
				.address = (char *)"127.0.0.1",
				.source = (char *)"",
				.port = port,
				.transport = transport,
				.max_message_size = 1420,
				.template_refresh_ns = 60 * NSEC_PER_SEC,
				.reconnect_interval_ns = 60 * NSEC_PER_SEC,
				.queue_size = 16 << 20,
				.tls = {(char *)"", (char *)"", (char *)"", true},
			},
	};
	sender->templates = g_ptr_array_new_with_free_func((GDestroyNotify)message_unref);
}

void sender_start(struct sender *sender)
{
	struct collector_callbacks callbacks = {give_templates, give_options, sender};

	g_ptr_array_set_size(sender->templates, 0);
	g_ptr_array_add(sender->templates, template_message(sender->settings.protocol));
	sender->collector = collector_new(&sender->settings, DOMAIN_ID, 0, &callbacks);
}

void sender_clear(struct sender *sender)
{
	collector_free(sender->collector);
	g_ptr_array_unref(sender->templates);
}

void sender_give(struct sender *sender, unsigned n_messages)
{
	while (n_messages--) {
		struct message *message =
			data_message(sender->settings.protocol, sender->n_records);

		collector_enqueue(sender->collector, message);
		message_unref(message);
		sender->n_records += RECORDS_PER_MESSAGE;
	}
}

const struct collector_stats *sender_stats(const struct sender *sender)
{
	return collector_stats(sender->collector);
}

uint64_t sender_lost(const struct sender *sender)
{
	const struct collector_stats *stats = sender_stats(sender);

	return stats->lost[COLLECTOR_LOST_QUEUE].records + stats->lost[COLLECTOR_LOST_SEND].records;
}

static socklen_t sink_address(const struct sink *sink, struct sockaddr_storage *address)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;

	memset(address, 0, sizeof(*address));
	address->ss_family = sink->family;
	if (sink->family == AF_INET) {
		v4->sin_port = htons(sink->port);
		v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return sizeof(*v4);
	}
	v6->sin6_port = htons(sink->port);
	v6->sin6_addr = in6addr_loopback;
	return sizeof(*v6);
}

void sink_reopen(struct sink *sink)
{
	struct sockaddr_storage address;
	socklen_t length = sink_address(sink, &address);
	int on = 1, size = 8 << 20;

	sink->listener = socket(sink->family, sink->type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	g_assert_cmpint(sink->listener, >=, 0);
	setsockopt(sink->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (sink->type == SOCK_DGRAM &&
	    setsockopt(sink->listener, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		setsockopt(sink->listener, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	g_assert_cmpint(bind(sink->listener, (struct sockaddr *)&address, length), ==, 0);
	g_assert_cmpint(getsockname(sink->listener, (struct sockaddr *)&address, &length), ==, 0);
	sink->port = ntohs(((struct sockaddr_in *)&address)->sin_port);
	if (sink->type == SOCK_STREAM)
		g_assert_cmpint(listen(sink->listener, 8), ==, 0);
	sink_new_session(sink);
}

void sink_open(struct sink *sink, int type, const char *address, uint16_t port)
{
	*sink = (struct sink){.listener = -1, .fd = -1, .type = type, .port = port};
	sink->family = strchr(address, ':') ? AF_INET6 : AF_INET;
	sink->stream = g_byte_array_new();
	sink->seen = g_array_new(false, true, sizeof(uint8_t));
	sink_reopen(sink);
}

void sink_new_session(struct sink *sink)
{
	sink->n_torn += sink->stream->len > 0;
	g_byte_array_set_size(sink->stream, 0);
	sink->know_template = false;
	sink->any = false;
	sink->sequence = 0;
}

void sink_end_session(struct sink *sink, bool reset)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 0};

	if (sink->fd < 0)
		return;
	if (reset)
		setsockopt(sink->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(sink->fd);
	sink->fd = -1;
	sink_new_session(sink);
}

void sink_close(struct sink *sink, bool reset)
{
	sink_end_session(sink, reset);
	if (sink->listener >= 0)
		close(sink->listener);
	sink->listener = -1;
}

void sink_clear(struct sink *sink)
{
	sink_close(sink, false);
	g_byte_array_unref(sink->stream);
	g_array_unref(sink->seen);
}

void sink_accept(struct sink *sink)
{
	int on = 1;

	if (sink->type != SOCK_STREAM || sink->fd >= 0 || sink->listener < 0)
		return;
	sink->fd = accept4(sink->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (sink->fd < 0)
		return;
	setsockopt(sink->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
	sink_new_session(sink);
	sink->n_sessions++;
}

static uint32_t get(const uint8_t *at, int n_octets)
{
	uint32_t value = 0;

	while (n_octets--)
		value = value << 8 | *at++;
	return value;
}

static void take_records(struct sink *sink, const uint8_t *at, size_t size)
{
	g_assert_true(sink->know_template);
	g_assert_cmpuint(size % RECORD_SIZE, ==, 0);
	for (; size; size -= RECORD_SIZE, at += RECORD_SIZE) {
		uint32_t number = get(at + 4, 4);

		if (number >= sink->seen->len)
			g_array_set_size(sink->seen, number + 1);
		g_array_index(sink->seen, uint8_t, number)++;
		sink->n_records++;
	}
}

/* Returns how many data records there are. */
static uint32_t take_set(struct sink *sink, uint16_t id, const uint8_t *at, size_t size)
{
	if (id == sink->first_set) {
		/* field count 0 is a withdrawal (RFC 7011 8.1): nothing here ever needs one */
		g_assert_cmpuint(get(at + 2, 2), ==, 3);
		sink->know_template = true;
		sink->n_templates++;
		return 0;
	}
	if (id == sink->first_set + 1)
		return 0;
	if (id == OPTIONS_ID) {
		g_assert_true(sink->know_template);
		sink->n_options++;
		return 1;
	}
	g_assert_cmpuint(id, ==, TEMPLATE_ID);
	take_records(sink, at, size);
	return size / RECORD_SIZE;
}

static void take_header(struct sink *sink, const uint8_t *message, size_t size)
{
	const uint8_t *sequence = message + (sink->first_set ? 8 : 12);

	if (sink->first_set)
		g_assert_cmpuint(get(message + 2, 2), ==, size);
	g_assert_cmpuint(get(sequence + 4, 4), ==, DOMAIN_ID);
	/* a datagram session's first message that is seen need not be its first */
	if (sink->any || sink->type == SOCK_STREAM)
		sink->n_missing += get(sequence, 4) - sink->sequence;
	sink->any = true;
	sink->sequence = get(sequence, 4);
}

static void take_message(struct sink *sink, const uint8_t *message, size_t size)
{
	bool v9 = get(message, 2) == 9;
	size_t offset = v9 ? 20 : 16;
	uint32_t n_data = 0, n_templates = 0;

	g_assert_cmpuint(get(message, 2), ==, v9 ? 9 : 10);
	sink->first_set = v9 ? 0 : 2;
	take_header(sink, message, size);
	sink->n_messages++;
	sink->largest = MAX(sink->largest, size);
	while (offset < size) {
		uint16_t id = get(message + offset, 2);
		size_t set_size = get(message + offset + 2, 2);

		g_assert_cmpuint(set_size, >, 4);
		g_assert_cmpuint(offset + set_size, <=, size);
		n_data += take_set(sink, id, message + offset + 4, set_size - 4);
		n_templates += id < 256;
		offset += set_size;
	}
	/* RFC 7011 3.1: data records; RFC 3954 5.1: packets, and all records in count */
	sink->sequence += v9 ? 1 : n_data;
	if (v9)
		g_assert_cmpuint(get(message + 2, 2), ==, n_data + n_templates);
}

void sink_take_stream(struct sink *sink, const uint8_t *data, size_t size)
{
	g_byte_array_append(sink->stream, data, size);
	while (sink->stream->len >= 16) {
		size_t length = get(sink->stream->data + 2, 2);

		g_assert_cmpuint(get(sink->stream->data, 2), ==, 10);
		if (sink->stream->len < length)
			return;
		take_message(sink, sink->stream->data, length);
		g_byte_array_remove_range(sink->stream, 0, length);
	}
}

bool sink_read(struct sink *sink, size_t most)
{
	uint8_t data[65536];
	int fd = sink->type == SOCK_STREAM ? sink->fd : sink->listener, on = 1;
	ssize_t size;

	if (fd < 0)
		return false;
	size = recv(fd, data, MIN(most, sizeof(data)), MSG_DONTWAIT);
	if (sink->type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
	if (size <= 0) {
		if (sink->type == SOCK_STREAM && (size == 0 || errno != EAGAIN))
			sink_end_session(sink, false);
		return false;
	}
	if (sink->type == SOCK_DGRAM)
		take_message(sink, data, size);
	else
		sink_take_stream(sink, data, size);
	return true;
}

uint64_t sink_distinct(const struct sink *sink)
{
	uint64_t n = 0;

	for (guint i = 0; i < sink->seen->len; i++)
		n += g_array_index(sink->seen, uint8_t, i) > 0;
	return n;
}

void work(struct sender *sender, struct sink *sink)
{
	if (sender)
		g_main_context_iteration(NULL, false);
	if (!sink)
		return;
	sink_accept(sink);
	while (sink_read(sink, SIZE_MAX))
		;
}

void assert_conserved(const struct sender *sender, const struct sink *sink)
{
	const struct collector_stats *stats = sender_stats(sender);
	uint64_t lost_packets = stats->lost[COLLECTOR_LOST_QUEUE].packets +
				stats->lost[COLLECTOR_LOST_SEND].packets;

	g_assert_cmpuint(stats->queued_flows, ==, 0);
	g_assert_cmpuint(sink->n_records, ==, sink_distinct(sink));
	g_assert_cmpuint(sender->n_records, ==, sink->n_records + sender_lost(sender));
	g_assert_cmpuint(stats->sent_flows, ==, sink->n_records);
	g_assert_cmpuint(stats->sent_packets, ==, sink->n_records * PACKETS_PER_RECORD);
	g_assert_cmpuint(lost_packets, ==, sender_lost(sender) * PACKETS_PER_RECORD);
}

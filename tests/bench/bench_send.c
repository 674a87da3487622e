/* SPDX-License-Identifier: MIT */
/*
 * From record to wire: records per second and core through encoder, collector and UDP, to one and
 * to four collectors, with and without packets that the kernel cuts (GSO); next to encoding alone
 * and to a bare loop that only sends the same messages. IPv4, templates standard and full. Sockets
 * that nobody reads receive it all on loopback, so the receiving half of the kernel is in every
 * number but the encoder's. Processor time of the thread; rounds interleave, the best of each
 * counts.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glib.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "outputs.h"
#include "transport_private.h"

#define N_RECORDS	 200000
#define N_ROUNDS	 5
#define N_COLLECTORS_MAX 8
#define N_COLLECTORS	 4     /* without arguments */
#define N_PER_ROUND	 20000 /* records between two flushes, as after a drain */
#define BARE_SEGMENTS	 16

static int sinks[N_COLLECTORS_MAX];
static uint16_t ports[N_COLLECTORS_MAX];
static struct flow_record records[1024];

static double cpu_s(void)
{
	struct timespec at;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
	return at.tv_sec + at.tv_nsec / 1e9;
}

static void open_sinks(void)
{
	for (int i = 0; i < N_COLLECTORS_MAX; i++) {
		struct sockaddr_in address = {.sin_family = AF_INET};
		socklen_t length = sizeof(address);
		int small = 1;

		address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		sinks[i] = socket(AF_INET, SOCK_DGRAM, 0);
		setsockopt(sinks[i], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
		if (bind(sinks[i], (struct sockaddr *)&address, length) ||
		    getsockname(sinks[i], (struct sockaddr *)&address, &length))
			g_error("no socket: %s", g_strerror(errno));
		ports[i] = ntohs(address.sin_port);
	}
}

static void make_records(void)
{
	struct clock_now now;

	clock_read(&now);
	for (uint32_t i = 0; i < G_N_ELEMENTS(records); i++) {
		struct flow_record *record = &records[i];

		record->id.src_addr[0] = record->id.dst_addr[0] = 10;
		memcpy(record->id.src_addr + 1, &i, 3);
		record->id.dst_addr[3] = 9;
		record->id.src_port = 1024 + i;
		record->id.dst_port = 443;
		record->id.protocol = IPPROTO_TCP;
		record->id.eth_proto = 0x0800;
		record->id.ifindex = 2;
		record->metrics.packets = 1 + i;
		record->metrics.bytes = 1000 + 17 * i;
		record->end_reason = FLOW_END_IDLE;
		record_derive(record, &now, &(struct record_resolver){0});
	}
}

static void fill_options(void *user, struct options *options)
{
}

/* The templates in turn. */
static struct settings *settings_of(const char *const *templates, int n_templates, int n_collectors)
{
	g_autoptr(GString) text = g_string_new("exporter: {template_dir: " TOP_SRCDIR
					       "/templates}\nlog: {level: error}\ncollectors:\n");
	struct yaml_errors errors;
	struct settings *settings;

	for (int i = 0; i < n_collectors; i++)
		g_string_append_printf(text,
				       "  - {name: c%d, address: 127.0.0.1, port: %u, "
				       "template: %s, queue_size: 256M}\n",
				       i, ports[i], templates[i % n_templates]);
	yaml_errors_init(&errors, "bench");
	settings = settings_parse("bench", text->str, text->len, &errors);
	if (!settings)
		g_error("%s", (const char *)g_ptr_array_index(errors.messages, 0));
	yaml_errors_clear(&errors);
	return settings;
}

/* Messages of one round, for the bare loop. */
struct capture {
	GPtrArray *messages; /* GBytes, with header */
	uint64_t n_records;
};

static void keep(void *user, struct message *message)
{
	struct capture *capture = user;
	struct message_header header = {.sequence = capture->n_records, .domain = 1};
	uint8_t *whole = g_malloc(MESSAGE_HEADER_MAX + message->size);
	size_t size = encoder_write_header(ENCODER_IPFIX, message, &header, whole);

	memcpy(whole + size, message->body, message->size);
	if (message->kind == MESSAGE_DATA) {
		capture->n_records += message->n_records;
		g_ptr_array_add(capture->messages, g_bytes_new_take(whole, size + message->size));
	} else {
		g_free(whole);
	}
	message_unref(message);
}

static void forget(void *user, struct message *message)
{
	message_unref(message);
}

static double encode(const struct template *template, struct capture *capture)
{
	struct encoder_config config = {
		.template = template,
		.enterprise_number = 32473,
		.max_message_size = 1420,
		.emit = capture ? keep : forget,
		.user = capture,
	};
	struct encoder *encoder = encoder_new(&config, NULL);
	double begin = cpu_s(), took;

	for (uint32_t i = 0; i < N_RECORDS; i++)
		encoder_append(encoder, &records[i % G_N_ELEMENTS(records)]);
	encoder_flush(encoder);
	took = cpu_s() - begin;
	encoder_free(encoder);
	return N_RECORDS / took;
}

/* Sends messages of equal size in one packet; returns how many went. */
static guint send_bare(int fd, GPtrArray *messages, guint at, guint n_most)
{
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
	} control;
	struct iovec part[BARE_SEGMENTS];
	struct msghdr message = {.msg_iov = part};
	gsize size = g_bytes_get_size(g_ptr_array_index(messages, at)), n = 0;

	while (n < n_most && at + n < messages->len) {
		GBytes *next = g_ptr_array_index(messages, at + n);

		if (g_bytes_get_size(next) != size)
			break;
		part[n].iov_base = (void *)g_bytes_get_data(next, NULL);
		part[n++].iov_len = size;
	}
	message.msg_iovlen = n;
	if (n > 1) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control.bytes);
		control.header.cmsg_level = IPPROTO_UDP;
		control.header.cmsg_type = UDP_SEGMENT;
		control.header.cmsg_len = CMSG_LEN(sizeof(uint16_t));
		memcpy(CMSG_DATA(&control.header), &(uint16_t){size}, sizeof(uint16_t));
	}
	sendmsg(fd, &message, 0);
	return n;
}

static double bare(const struct capture *capture, int n_collectors, bool segmented)
{
	int fd[N_COLLECTORS_MAX];
	double begin, took;

	for (int i = 0; i < n_collectors; i++) {
		struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(ports[i])};

		address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		fd[i] = socket(AF_INET, SOCK_DGRAM, 0);
		if (connect(fd[i], (struct sockaddr *)&address, sizeof(address)))
			g_error("no way to loopback");
	}
	begin = cpu_s();
	for (int i = 0; i < n_collectors; i++)
		for (guint at = 0; at < capture->messages->len;)
			at += send_bare(fd[i], capture->messages, at,
					segmented ? BARE_SEGMENTS : 1);
	took = cpu_s() - begin;
	for (int i = 0; i < n_collectors; i++)
		close(fd[i]);
	return capture->n_records / took;
}

static void check_all_sent(void *user, const struct collector *collector,
			   const struct template *template, const struct output_skipped *skipped)
{
	if (collector_stats(collector)->sent_flows != N_RECORDS)
		g_error("%" PRIu64 " flows sent of %d", collector_stats(collector)->sent_flows,
			N_RECORDS);
}

static double whole(const char *const *templates, int n_templates, int n_collectors, bool segmented)
{
	struct settings *settings = settings_of(templates, n_templates, n_collectors);
	struct outputs_callbacks callbacks = {.fill_options = fill_options};
	struct outputs *outputs = outputs_new(settings, 0, &callbacks, NULL);
	double begin, took;

	transport_udp_segmentation = segmented;
	while (g_main_context_iteration(NULL, false))
		;
	begin = cpu_s();
	for (uint32_t i = 0; i < N_RECORDS; i++) {
		outputs_append(outputs, &records[i % G_N_ELEMENTS(records)]);
		if (i % N_PER_ROUND == N_PER_ROUND - 1) {
			outputs_flush(outputs);
			while (g_main_context_iteration(NULL, false))
				;
		}
	}
	outputs_drain(outputs, UINT64_MAX);
	took = cpu_s() - begin;
	outputs_foreach(outputs, check_all_sent, NULL);
	outputs_free(outputs);
	settings_free(settings);
	return N_RECORDS / took;
}

static void bench(const char *name)
{
	g_autofree char *path = g_strdup_printf(TOP_SRCDIR "/templates/%s.yaml", name);
	struct capture capture = {
		.messages = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref)};
	double best_encode = 0, best_bare[2][2] = {{0}}, best_whole[2][2] = {{0}};
	struct yaml_errors errors;
	struct template *template;

	yaml_errors_init(&errors, path);
	template = template_load(path, ENCODER_IPFIX, 1420, &errors);
	if (!template)
		g_error("%s", (const char *)g_ptr_array_index(errors.messages, 0));
	encode(template, &capture);
	for (int round = 0; round < N_ROUNDS; round++) {
		best_encode = MAX(best_encode, encode(template, NULL));
		for (int i = 0; i < 4; i++) {
			int many = i / 2, segmented = i % 2, n = many ? N_COLLECTORS : 1;

			best_bare[many][segmented] =
				MAX(best_bare[many][segmented], bare(&capture, n, segmented));
			best_whole[many][segmented] =
				MAX(best_whole[many][segmented], whole(&name, 1, n, segmented));
		}
	}
	printf("%s: %.1f records per message; encoding alone %.2f M records/s\n", name,
	       (double)capture.n_records / capture.messages->len, best_encode / 1e6);
	for (int i = 0; i < 4; i++)
		printf("  %d collector%s %-8s %6.2f M records/s, bare loop %6.2f M: ratio %.2f\n",
		       i / 2 ? N_COLLECTORS : 1, i / 2 ? "s" : " ", i % 2 ? "GSO" : "plain",
		       best_whole[i / 2][i % 2] / 1e6, best_bare[i / 2][i % 2] / 1e6,
		       best_whole[i / 2][i % 2] / best_bare[i / 2][i % 2]);
	template_free(template);
	yaml_errors_clear(&errors);
	g_ptr_array_unref(capture.messages);
}

/* One line: nanoseconds per flow, to so many collectors with these templates. */
static void bench_one(int n_collectors, const char *const *templates, int n_templates)
{
	double best = 0;

	for (int round = 0; round < N_ROUNDS; round++)
		best = MAX(best, whole(templates, n_templates, n_collectors, true));
	printf("%.1f\n", 1e9 / best);
}

/* bench_send [COLLECTORS TEMPLATE...] */
int main(int argc, char **argv)
{
	log_set_level(LOG_LEVEL_ERROR);
	open_sinks();
	make_records();
	if (argc > 2) {
		bench_one(CLAMP(atoi(argv[1]), 1, N_COLLECTORS_MAX), (const char *const *)argv + 2,
			  argc - 2);
	} else {
		bench("standard");
		bench("full");
	}
	for (int i = 0; i < N_COLLECTORS_MAX; i++)
		close(sinks[i]);
	return 0;
}

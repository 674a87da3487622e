/* SPDX-License-Identifier: MIT */
/*
 * From the kernel table to messages in a socket, stage by stage: a driver program fills the table
 * by test runs, then each drain is timed with nothing, the cache, and the whole export behind it.
 * Run it as root: make bench.
 */
#include "config.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cache.h"
#include "encoder.h"
#include "fetcher_private.h"
#include "tests/bench/reference.skel.h"
#include "transport.h"

#define BATCH 32

static uint8_t frame[64] = {2, 0, 0, 0,	 0, 2, 2, 0,  0, 0, 0, 1,   8,	0, 0x45, 0, 0, 50, 0,
			    0, 0, 0, 64, 6, 0, 0, 10, 1, 0, 1, 198, 18, 0, 1,	 4, 0, 1,  187};

struct world {
	struct flow_fetcher *fetcher;
	struct cache *cache; /* NULL: deltas are thrown away */
	struct encoder *encoder;
	struct template *template;
	struct transport *transport;
	struct message *waiting[BATCH];
	int n_waiting;
	struct clock_now now;
	uint32_t sequence;
	uint64_t n_deltas;
	uint64_t n_records;
	uint64_t n_messages;
	uint64_t n_not_sent;
};

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * NSEC_PER_SEC + t.tv_nsec;
}

static uint32_t on_flow(void *user, const struct flow_id *id, const struct flow_metrics *delta,
			uint32_t slot, uint32_t hint)
{
	struct world *w = user;

	w->n_deltas++;
	return w->cache ? cache_merge(w->cache, id, delta, slot, hint) : CACHE_NO_HINT;
}

static void on_prefetch(void *user, const struct flow_id *id, uint32_t hint)
{
	struct world *w = user;

	if (w->cache)
		cache_prefetch(w->cache, id, hint);
}

static void send_waiting(struct world *w)
{
	struct transport_message messages[BATCH] = {0};
	uint8_t headers[BATCH][MESSAGE_HEADER_MAX];
	int sent = 0, n;

	for (int i = 0; i < w->n_waiting; i++) {
		struct message *m = w->waiting[i];
		struct message_header header = {w->now.real_ns / NSEC_PER_SEC, w->sequence, 1, 0};

		w->sequence += m->n_sequence;
		messages[i].part[0].iov_base = headers[i];
		messages[i].part[0].iov_len =
			encoder_write_header(ENCODER_IPFIX, m, &header, headers[i]);
		messages[i].part[1].iov_base = m->body;
		messages[i].part[1].iov_len = m->size;
	}
	while (sent < w->n_waiting) {
		n = w->transport->ops->send(w->transport, messages + sent, w->n_waiting - sent);
		if (n <= 0) {
			w->n_not_sent += w->n_waiting - sent;
			break;
		}
		sent += n;
	}
	for (int i = 0; i < w->n_waiting; i++)
		message_unref(w->waiting[i]);
	w->n_messages += w->n_waiting;
	w->n_waiting = 0;
}

static void on_message(void *user, struct message *message)
{
	struct world *w = user;

	if (!w->transport) {
		message_unref(message);
		return;
	}
	w->waiting[w->n_waiting++] = message;
	if (w->n_waiting == BATCH)
		send_waiting(w);
}

static void on_export(void *user, struct flow_record *record)
{
	struct world *w = user;
	const struct record_resolver nobody = {0};

	w->n_records++;
	if (!w->encoder)
		return;
	record_derive(record, &w->now, &nobody);
	encoder_append(w->encoder, record);
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* One packet of each of n flows, the same ones each time, spread over the CPUs. */
static void touch_flows(struct world *w, struct reference_bpf *drive, uint32_t n)
{
	uint32_t n_cpus = w->fetcher->n_cpus, share = n / n_cpus, zero = 0;
	int fd = bpf_program__fd(w->fetcher->flows[0]->progs.ingress_flow_parse);

	bpf_map_update_elem(bpf_map__fd(drive->maps.target), &zero, &fd, BPF_ANY);
	drive->data->n_flows = UINT32_MAX;
	for (uint32_t cpu = 0; cpu < n_cpus; cpu++) {
		LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame,
			    .data_size_in = sizeof(frame), .repeat = share);

		pin(cpu);
		drive->bss->next_flow = cpu * share;
		if (bpf_prog_test_run_opts(bpf_program__fd(drive->progs.drive), &opts)) {
			perror("test run");
			exit(1);
		}
	}
}

static double drain(struct world *w, size_t per)
{
	uint64_t start;

	clock_read(&w->now);
	start = cpu_ns();
	flow_fetcher_lookup_and_delete_map(w->fetcher, w->now.mono_ns);
	return (double)(cpu_ns() - start) / per;
}

static struct flow_fetcher *new_fetcher(struct world *w, uint32_t max_flows)
{
	const struct flow_fetcher_config config = {
		.max_flows = max_flows, .sampling = 1, .count_once = true};
	const struct flow_fetcher_callbacks callbacks = {
		.flow = on_flow, .prefetch = on_prefetch, .user = w};
	g_autoptr(GError) error = NULL;
	struct flow_fetcher *f = flow_fetcher_new(&config, &callbacks, &error);

	if (!f) {
		fprintf(stderr, "%s\n", error->message);
		exit(1);
	}
	return f;
}

static void open_export(struct world *w, const char *name)
{
	g_autofree char *path =
		g_strdup_printf("%s/templates/%s.yaml", g_getenv("BPFLOWD_SRC") ?: ".", name);
	const struct settings_collector to = {.max_message_size = 1420, .source = (char *)""};
	struct encoder_config config = {.format = ENCODER_IPFIX,
					.enterprise_number = 32473,
					.max_message_size = 1420,
					.emit = on_message,
					.user = w};
	struct sockaddr_in sink = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(sink);
	struct yaml_errors errors;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	yaml_errors_init(&errors, path);
	w->template = template_load(path, ENCODER_IPFIX, 1420, &errors);
	config.template = w->template;
	w->encoder = encoder_new(&config, NULL);
	bind(fd, (struct sockaddr *)&sink, length);
	getsockname(fd, (struct sockaddr *)&sink, &length);
	w->transport =
		transport_ops(TRANSPORT_UDP)->open(&to, (struct sockaddr *)&sink, length, NULL);
	while (w->transport->ops->step(w->transport, NULL) == TRANSPORT_CONNECTING)
		;
}

static void on_retire(void *user, uint32_t slot)
{
	struct world *w = user;

	flow_fetcher_retire(w->fetcher, slot);
}

static void bench(uint32_t n_flows, const char *template_name)
{
	const struct cache_config cache_config = {2 * n_flows, 0, 3600 * NSEC_PER_SEC};
	struct reference_bpf *drive = reference_bpf__open_and_load();
	struct world w = {0};
	const struct cache_callbacks callbacks = {.export_flow = on_export,
						  .retire_slot = on_retire,
						  .retire_others = on_retire,
						  .user = &w};
	double unused, read, first, again, flush;
	uint64_t start;

	w.fetcher = new_fetcher(&w, n_flows + n_flows / 2);
	touch_flows(&w, drive, w.fetcher->n_cpus);
	drain(&w, 1);
	touch_flows(&w, drive, w.fetcher->n_cpus);
	unused = drain(&w, w.fetcher->n_slots4 + w.fetcher->n_slots6);
	touch_flows(&w, drive, n_flows);
	drain(&w, 1);
	touch_flows(&w, drive, n_flows);
	read = drain(&w, n_flows);
	w.cache = cache_new(&cache_config, &callbacks);
	touch_flows(&w, drive, n_flows);
	first = drain(&w, n_flows);
	touch_flows(&w, drive, n_flows);
	again = drain(&w, n_flows);
	open_export(&w, template_name);
	start = cpu_ns();
	cache_flush(w.cache, FLOW_END_FORCED);
	encoder_flush(w.encoder);
	send_waiting(&w);
	flush = (double)(cpu_ns() - start) / w.n_records;
	printf("%-9u %-9s %6.1f  %6.1f  %7.1f  %7.1f  %7.1f   %9.0f  %llu records in %llu "
	       "messages, %llu not sent\n",
	       n_flows, template_name, unused, read, first - read, again - read, flush,
	       1e9 / (again + flush), (unsigned long long)w.n_records,
	       (unsigned long long)w.n_messages, (unsigned long long)w.n_not_sent);
	w.transport->ops->close(w.transport);
	encoder_free(w.encoder);
	template_free(w.template);
	cache_free(w.cache);
	flow_fetcher_close(w.fetcher);
	reference_bpf__destroy(drive);
}

/* bench_drain [FLOWS TEMPLATE] */
int main(int argc, char **argv)
{
	frame[46] = 0x50;
	frame[47] = 0x10;
	setbuf(stdout, NULL);
	if (argc == 3) {
		bench(atoi(argv[1]), argv[2]);
		return 0;
	}
	printf("ns of CPU time per slot or flow\n");
	printf("flows     template  unused    read  merge 1  merge 2  export   records/s/core\n");
	bench(10000, "standard");
	bench(100000, "standard");
	bench(100000, "minimal");
	bench(100000, "full");
	bench(1000000, "standard");
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Loads the programs of kernel/ with their settings, maps the tables, closes everything. The only
 * door to libbpf, with the other fetcher_*.c. The object is embedded: neither compiler nor file at
 * run time.
 */
#include "config.h"

#include "fetcher_private.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "priv.h"

#define ONE_PACKET_HANDICAP_NS \
	(4ull * 1000000000) /* flows of one packet give way as if 4 s older */
#define PAGE_ROUND(n) (((n) + 4095ull) & ~4095ull)

__attribute__((format(printf, 2, 0))) static int print_libbpf(enum libbpf_print_level level,
							      const char *format, va_list args)
{
	g_autofree char *text = NULL;

	if (level > LIBBPF_WARN)
		return 0;
	text = g_strdup_vprintf(format, args);
	log_debug("libbpf: %s", g_strchomp(text));
	return 0;
}

void fetcher_libbpf_log(void)
{
	libbpf_set_print(print_libbpf);
}

/* CPUs that may come up without hardware being added: the highest present number + 1. */
static uint32_t count_cpus(void)
{
	g_autofree char *text = NULL;
	const char *last;

	if (!g_file_get_contents("/sys/devices/system/cpu/present", &text, NULL, NULL))
		return CLAMP(libbpf_num_possible_cpus(), 1, FLOW_MAX_CPUS);
	last = strpbrk(text, "-,") ? text + strlen(text) : text;
	while (last > text && last[-1] != '-' && last[-1] != ',')
		last--;
	return CLAMP(strtoul(last, NULL, 10) + 1, 1, FLOW_MAX_CPUS);
}

static void set_constants(struct flow_fetcher *f, struct flows_bpf *flows, uint8_t netns)
{
	flows->rodata->netns = netns;
	flows->rodata->precise = f->config.precise;
	flows->rodata->count_once = f->config.count_once;
	flows->rodata->realtime = f->config.realtime;
	flows->rodata->sampling = f->config.sampling;
	flows->rodata->one_packet_handicap = ONE_PACKET_HANDICAP_NS / f->ticks.length_ns;
	flows->rodata->groups4 = f->groups4;
	flows->rodata->groups6 = f->groups6;
	flows->rodata->n_partitions = f->n_cpus;
	flows->rodata->ring_high = f->config.ring_bytes / 2;
	fetcher_signals_constants(f, flows);
	if (!netns && getrandom(f->hash_seed, sizeof(f->hash_seed), 0) != sizeof(f->hash_seed))
		g_error("getrandom: the kernel gives no random numbers");
	memcpy((void *)flows->rodata->hash_seed, f->hash_seed, sizeof(f->hash_seed));
}

/* Maps that all copies share; far_hints are each namespace's own. */
static int share_maps(struct flow_fetcher *f, struct flows_bpf *flows)
{
	struct flows_bpf *first = f->flows[0];
	struct {
		struct bpf_map *own, *shared;
	} maps[] = {
		{flows->maps.aggregated_flows, first->maps.aggregated_flows},
		{flows->maps.aggregated_v6, first->maps.aggregated_v6},
		{flows->maps.flow_details, first->maps.flow_details},
		{flows->maps.direct_flows, first->maps.direct_flows},
		{flows->maps.counters, first->maps.counters},
		{flows->maps.scratch, first->maps.scratch},
		{flows->maps.fragments, first->maps.fragments},
		{flows->maps.dns_flows, first->maps.dns_flows},
		{flows->maps.dns_rooms, first->maps.dns_rooms},
		{flows->maps.flow_sequences, first->maps.flow_sequences},
		{flows->maps.rtt_rooms, first->maps.rtt_rooms},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(maps); i++) {
		int err = bpf_map__reuse_fd(maps[i].own, bpf_map__fd(maps[i].shared));

		if (err)
			return err;
	}
	return 0;
}

static int size_maps(struct flow_fetcher *f, struct flows_bpf *flows)
{
	int err = bpf_map__set_max_entries(flows->maps.aggregated_flows, f->n_slots4 / FLOW_WAYS);

	err = err ? err
		  : bpf_map__set_max_entries(flows->maps.flow_details, f->n_slots4 / FLOW_WAYS);
	err = err ? err
		  : bpf_map__set_max_entries(flows->maps.aggregated_v6, f->n_slots6 / FLOW_WAYS);
	err = err ? err : bpf_map__set_max_entries(flows->maps.direct_flows, f->config.ring_bytes);
	return err ? err : fetcher_signals_sizes(f, flows);
}

static bool fail_load(GError **error, int err)
{
	/* these are also what the verifier says when a program displeases it */
	if (err == -EPERM || (err == -EACCES && !priv_may_load()))
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_PERM,
			    "cannot load the eBPF programs: permission denied; run as root or with "
			    "CAP_BPF, "
			    "CAP_NET_ADMIN and CAP_PERFMON");
	else if (err == -EACCES || err == -E2BIG || err == -EINVAL)
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED,
			    "cannot load the eBPF programs: the verifier of this kernel refuses "
			    "them; log.level: debug shows its words");
	else if (err == -ENOMEM)
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOMEM,
			    "cannot load the eBPF programs: no memory for the flow table; lower "
			    "metering.max_flows");
	else
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED,
			    "cannot load the eBPF programs: %s (log.level: debug tells more)",
			    strerror(-err));
	return false;
}

/* Kernel memory of one map, as the kernel counts it; 0 if it doesn't tell. */
static uint64_t map_bytes(int fd)
{
	g_autofree char *path = g_strdup_printf("/proc/self/fdinfo/%d", fd);
	g_autofree char *text = NULL;
	const char *line;

	if (!g_file_get_contents(path, &text, NULL, NULL))
		return 0;
	line = strstr(text, "memlock:");
	return line ? strtoull(line + strlen("memlock:"), NULL, 10) : 0;
}

void fetcher_count_maps(struct flow_fetcher *f, const struct bpf_object *object)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, object)
	{
		struct bpf_map_info info = {0};
		uint32_t size = sizeof(info);
		int fd = bpf_map__fd(map);

		if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size) ||
		    !g_hash_table_add(f->map_ids, GUINT_TO_POINTER(info.id)))
			continue;
		f->kernel_bytes += map_bytes(fd);
	}
}

struct flows_bpf *fetcher_instance(struct flow_fetcher *f, uint8_t netns, GError **error)
{
	struct flows_bpf *flows;
	int err;

	if (f->flows[netns])
		return f->flows[netns];
	flows = flows_bpf__open();
	if (!flows) {
		fail_load(error, -errno);
		return NULL;
	}
	set_constants(f, flows, netns);
	/* declared for one CPU */
	err = bpf_map__set_max_entries(flows->maps.far_hints,
				       f->n_cpus * bpf_map__max_entries(flows->maps.far_hints));
	err = err ? err : netns ? share_maps(f, flows) : size_maps(f, flows);
	err = err ? err : flows_bpf__load(flows);
	if (err) {
		flows_bpf__destroy(flows);
		fail_load(error, err);
		return NULL;
	}
	f->flows[netns] = flows;
	fetcher_count_maps(f, flows->obj);
	return flows;
}

static void *map_memory(const struct bpf_map *map, size_t size, int protection, GError **error)
{
	void *memory = mmap(NULL, PAGE_ROUND(size), protection, MAP_SHARED, bpf_map__fd(map), 0);

	if (memory != MAP_FAILED)
		return memory;
	g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "cannot map the flow table: %s",
		    strerror(errno));
	return NULL;
}

static bool map_tables(struct flow_fetcher *f, GError **error)
{
	struct flows_bpf *flows = f->flows[0];

	f->slots4 = map_memory(flows->maps.aggregated_flows, f->n_slots4 * sizeof(*f->slots4),
			       PROT_READ | PROT_WRITE, error);
	f->slots6 =
		f->slots4 ? map_memory(flows->maps.aggregated_v6, f->n_slots6 * sizeof(*f->slots6),
				       PROT_READ | PROT_WRITE, error)
			  : NULL;
	f->cold4 = f->slots6 ? map_memory(flows->maps.flow_details, f->n_slots4 * sizeof(*f->cold4),
					  PROT_READ, error)
			     : NULL;
	f->counters = f->cold4 ? map_memory(flows->maps.counters,
					    FLOW_MAX_CPUS * sizeof(*f->counters), PROT_READ, error)
			       : NULL;
	return f->counters;
}

static void unmap(const void *memory, size_t size)
{
	if (memory)
		munmap((void *)memory, PAGE_ROUND(size));
}

static bool open_ring(struct flow_fetcher *f, GError **error)
{
	f->ring = ring_buffer__new(bpf_map__fd(f->flows[0]->maps.direct_flows),
				   fetcher_ring_callback, f, NULL);
	if (!f->ring)
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED,
			    "cannot open the ring buffer: %s", strerror(errno));
	return f->ring;
}

/* Groups of one partition for so many flows over all CPUs. */
static uint32_t groups_for(uint32_t max_flows, uint32_t n_cpus)
{
	uint32_t per_cpu = (max_flows + n_cpus - 1) / n_cpus;

	return MAX((per_cpu + FLOW_WAYS - 1) / FLOW_WAYS, 1);
}

/* A power of two of pages: 16 octets for each flow of the table, so that a seventh of it may turn
 * over before we come. */
static uint32_t ring_size(uint32_t max_flows)
{
	uint64_t want = CLAMP(max_flows * 16ull, 1ull << 20, 1ull << 26), size = 1 << 20;

	while (size * 2 <= want)
		size *= 2;
	return size;
}

/* Length of a tick: the resolution of the coarse clock is that of jiffies. */
static uint64_t tick_length(bool precise)
{
	struct timespec resolution;

	if (precise)
		return 1ull << FLOW_TICK_SHIFT;
	clock_getres(CLOCK_MONOTONIC_COARSE, &resolution);
	return resolution.tv_nsec;
}

static bool is_realtime_kernel(void)
{
	struct utsname system;

	return uname(&system) == 0 && strstr(system.version, "PREEMPT_RT");
}

static void plan(struct flow_fetcher *f)
{
	f->config.realtime = f->config.realtime || is_realtime_kernel();
	f->n_cpus = count_cpus();
	f->ticks.length_ns = tick_length(f->config.precise);
	f->groups4 = groups_for(f->config.max_flows, f->n_cpus);
	f->groups6 = f->groups4;
	f->n_slots4 = f->groups4 * f->n_cpus * FLOW_WAYS;
	f->n_slots6 = f->groups6 * f->n_cpus * FLOW_WAYS;
	if (!f->config.ring_bytes)
		f->config.ring_bytes = ring_size(f->config.max_flows);
	f->shadow4 = g_new0(struct shadow, f->n_slots4);
	f->shadow6 = g_new0(struct shadow, f->n_slots6);
	f->partitions = g_new0(struct partition, f->n_cpus);
	f->stash = g_byte_array_new();
	fetcher_flags_init(f);
	f->map_ids = g_hash_table_new(NULL, NULL);
	f->tcx_missing = f->config.force_clsact;
}

struct flow_fetcher *flow_fetcher_new(const struct flow_fetcher_config *config,
				      const struct flow_fetcher_callbacks *callbacks,
				      GError **error)
{
	struct flow_fetcher *f = g_new0(struct flow_fetcher, 1);

	f->config = *config;
	f->callbacks = *callbacks;
	fetcher_libbpf_log();
	plan(f);
	if (!fetcher_check_types(error) || !fetcher_instance(f, 0, error) ||
	    !map_tables(f, error) || !open_ring(f, error)) {
		flow_fetcher_close(f);
		return NULL;
	}
	fetcher_drops_open(f);
	fetcher_netdev_open(f);
	fetcher_attach_init(f);
	if (!config->precise && !fetcher_tie_jiffies(f)) {
		g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno),
			    "can't run the program that reads the kernel's tick: %s",
			    g_strerror(errno));
		flow_fetcher_close(f);
		return NULL;
	}
	return f;
}

void flow_fetcher_close(struct flow_fetcher *f)
{
	if (!f)
		return;
	fetcher_attach_clear(f);
	fetcher_drops_close(f);
	fetcher_netdev_close(f);
	ring_buffer__free(f->ring);
	unmap(f->slots4, f->n_slots4 * sizeof(*f->slots4));
	unmap(f->slots6, f->n_slots6 * sizeof(*f->slots6));
	unmap(f->cold4, f->n_slots4 * sizeof(*f->cold4));
	unmap(f->counters, FLOW_MAX_CPUS * sizeof(*f->counters));
	for (int i = FLOW_MAX_NETNS - 1; i >= 0; i--)
		flows_bpf__destroy(f->flows[i]);
	g_free(f->shadow4);
	g_free(f->shadow6);
	g_free(f->partitions);
	g_byte_array_unref(f->stash);
	fetcher_flags_clear(f);
	g_hash_table_unref(f->map_ids);
	g_free(f);
}

void flow_fetcher_set_ppp_metered(struct flow_fetcher *f, uint8_t netns, bool metered)
{
	struct flows_bpf *flows = metered ? fetcher_instance(f, netns, NULL) : f->flows[netns];

	if (flows)
		flows->bss->ppp_metered = metered;
}

void flow_fetcher_counters(const struct flow_fetcher *f, struct flow_counters *sum)
{
	uint64_t *total = (uint64_t *)sum;

	memset(sum, 0, sizeof(*sum));
	for (uint32_t cpu = 0; cpu < FLOW_MAX_CPUS; cpu++) {
		const uint64_t *one = (const uint64_t *)&f->counters[cpu];

		for (size_t i = 0; i < sizeof(*sum) / sizeof(*one); i++)
			total[i] += __atomic_load_n(&one[i], __ATOMIC_RELAXED);
	}
	for (int i = 0; i < 2; i++) {
		sum->observed_packets[i] += sum->busy_packets[i];
		sum->observed_bytes[i] += sum->busy_bytes[i];
		sum->lost_table_packets += sum->busy_packets[i];
		sum->lost_table_bytes += sum->busy_bytes[i];
	}
	sum->unsampled_packets += sum->busy_unsampled;
	sum->lost_events += sum->busy_events;
	sum->dns_overflow += f->queries.pushed_out;
	sum->rtt_overflow += f->handshakes.pushed_out;
}

/* program: NULL: not loaded. */
static void add_program(struct flow_fetcher_usage *usage, enum flow_fetcher_program which,
			const struct bpf_program *program)
{
	struct bpf_prog_info info = {0};
	uint32_t size = sizeof(info);

	if (!program || bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size))
		return;
	usage->programs[which].run_count += info.run_cnt;
	usage->programs[which].run_time_ns += info.run_time_ns;
}

void flow_fetcher_usage(const struct flow_fetcher *f, struct flow_fetcher_usage *usage)
{
	static const char *const names[FLOW_FETCHER_PROGRAMS] = {
		[FLOW_FETCHER_INGRESS] = "ingress_flow_parse",
		[FLOW_FETCHER_EGRESS] = "egress_flow_parse",
		[FLOW_FETCHER_DROP] = "kfree_skb",
		[FLOW_FETCHER_QUEUE] = "trace_net_packets",
		[FLOW_FETCHER_PROBE] = "tcp_probe",
	};

	memset(usage, 0, sizeof(*usage));
	usage->slots = (uint64_t)f->n_slots4 + f->n_slots6;
	usage->kernel_bytes = f->kernel_bytes;
	usage->n_cpus = f->n_cpus;
	for (uint32_t cpu = 0; cpu < f->n_cpus; cpu++)
		usage->slots_used += f->partitions[cpu].slots_used;
	for (int i = 0; i < FLOW_FETCHER_PROGRAMS; i++)
		usage->programs[i].name = names[i];
	add_program(usage, FLOW_FETCHER_DROP, fetcher_drops_program(f));
	add_program(usage, FLOW_FETCHER_QUEUE, fetcher_netdev_program(f));
	add_program(usage, FLOW_FETCHER_PROBE, fetcher_probe_program(f));
	for (int i = 0; i < FLOW_MAX_NETNS; i++) {
		if (!f->flows[i])
			continue;
		add_program(usage, FLOW_FETCHER_INGRESS, f->flows[i]->progs.ingress_flow_parse);
		add_program(usage, FLOW_FETCHER_EGRESS, f->flows[i]->progs.egress_flow_parse);
	}
}

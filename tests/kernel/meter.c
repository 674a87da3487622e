/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/kernel/meter.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fetcher_private.h"

#define LOOPBACK 1

void meter_enter_namespace(void)
{
	if (geteuid()) {
		printf("1..0 # SKIP needs root\n");
		exit(77);
	}
	if (unshare(CLONE_NEWNET))
		g_error("unshare: %s", g_strerror(errno));
}

/* The ECN bits are those of the first packet, and no key. */
guint meter_id_hash(const void *p)
{
	struct flow_id id = *(const struct flow_id *)p;
	const uint8_t *octets = (const uint8_t *)&id;
	uint32_t h = 2166136261u;

	id.tos &= 0xfc;
	for (size_t i = 0; i < sizeof(id); i++)
		h = (h ^ octets[i]) * 16777619u;
	return h;
}

gboolean meter_id_equal(const void *a, const void *b)
{
	struct flow_id x = *(const struct flow_id *)a, y = *(const struct flow_id *)b;

	x.tos &= 0xfc;
	y.tos &= 0xfc;
	return memcmp(&x, &y, sizeof(x)) == 0;
}

static void merge(struct flow_metrics *m, const struct flow_metrics *delta)
{
	m->packets += delta->packets;
	m->bytes += delta->bytes;
	m->start_ns = MIN(m->start_ns, delta->start_ns);
	m->end_ns = MAX(m->end_ns, delta->end_ns);
	m->tcp_flags |= delta->tcp_flags;
	m->min_len = MIN(m->min_len, delta->min_len);
	m->max_len = MAX(m->max_len, delta->max_len);
	m->min_ttl = MIN(m->min_ttl, delta->min_ttl);
	m->max_ttl = MAX(m->max_ttl, delta->max_ttl);
	m->fragment |= delta->fragment;
	if (delta->far_ifindex) {
		m->far_ifindex = delta->far_ifindex;
		m->far_vlan = delta->far_vlan;
	}
}

static uint32_t take_delta(void *user, const struct flow_id *id, const struct flow_metrics *delta,
			   uint32_t slot, uint32_t hint)
{
	struct meter *meter = user;
	struct meter_flow *flow = g_hash_table_lookup(meter->flows, id);

	if (flow) {
		merge(&flow->metrics, delta);
	} else {
		flow = g_new0(struct meter_flow, 1);
		flow->id = *id;
		flow->metrics = *delta;
		g_hash_table_add(meter->flows, flow);
	}
	flow->slot = slot;
	flow->n_deltas++;
	meter->packets += delta->packets;
	meter->bytes += delta->bytes;
	return hint;
}

static void take_event(void *user, const struct flow_event *event, size_t size)
{
	const struct flow_event_drop *drop = (const void *)event;
	struct meter *meter = user;

	meter->n_rtt += event->type == FLOW_EVENT_RTT;
	if (event->type != FLOW_EVENT_DROP)
		return;
	meter->dropped_since_ns = drop->start_ns;
	meter->dropped_packets += drop->drops.packets;
	meter->dropped_bytes += drop->drops.bytes;
}

struct flow_fetcher_config meter_config(uint32_t max_flows)
{
	return (struct flow_fetcher_config){
		.max_flows = max_flows, .sampling = 1, .count_once = true};
}

struct meter *meter_new(const struct flow_fetcher_config *config)
{
	struct meter *meter = g_new0(struct meter, 1);
	const struct flow_fetcher_callbacks callbacks = {
		.flow = take_delta, .event = take_event, .user = meter};
	g_autoptr(GError) error = NULL;

	meter->flows = g_hash_table_new_full(meter_id_hash, meter_id_equal, g_free, NULL);
	meter->fetcher = flow_fetcher_new(config, &callbacks, &error);
	if (!meter->fetcher)
		g_error("%s", error->message);
	return meter;
}

void meter_free(struct meter *meter)
{
	flow_fetcher_close(meter->fetcher);
	g_hash_table_unref(meter->flows);
	g_free(meter);
}

static int test_run(struct meter *meter, const struct frame *frame,
		    const struct packet_context *context, int repeat)
{
	const struct flows_bpf *flows = meter->fetcher->flows[0];
	struct __sk_buff skb = {
		.ifindex = context->ifindex ? context->ifindex : LOOPBACK,
		.ingress_ifindex = context->ingress_ifindex,
		.gso_size = context->gso_size,
		.gso_segs = context->gso_segs,
		.wire_len = context->wire_len,
	};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame->data, .data_size_in = frame->len,
		    .ctx_in = &skb, .ctx_size_in = sizeof(skb), .repeat = repeat);
	int fd = bpf_program__fd(context->direction == FLOW_INGRESS
					 ? flows->progs.ingress_flow_parse
					 : flows->progs.egress_flow_parse);
	int err = bpf_prog_test_run_opts(fd, &opts);

	/* TC_ACT_UNSPEC: the packet goes on untouched */
	if (!err && (int)opts.retval != -1)
		g_error("the hook answers %d", (int)opts.retval);
	return err;
}

void meter_run(struct meter *meter, const struct frame *frame, const struct packet_context *context,
	       int repeat)
{
	int err = test_run(meter, frame, context, repeat);

	if (err)
		g_error("test run of %zu octets: %s", frame->len, g_strerror(-err));
}

bool meter_try(struct meter *meter, const struct frame *frame, const struct packet_context *context)
{
	int err = test_run(meter, frame, context, 1);

	if (err && err != -EINVAL)
		g_error("test run of %zu octets: %s", frame->len, g_strerror(-err));
	return !err;
}

size_t meter_drain(struct meter *meter)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return flow_fetcher_lookup_and_delete_map(meter->fetcher,
						  (uint64_t)now.tv_sec * 1000000000 + now.tv_nsec);
}

void meter_retire_all(struct meter *meter)
{
	int fd = bpf_map__fd(meter->fetcher->flows[0]->maps.fragments);
	GHashTableIter iter;
	uint8_t key[64];
	void *p;

	g_hash_table_iter_init(&iter, meter->flows);
	while (g_hash_table_iter_next(&iter, &p, NULL))
		flow_fetcher_retire(meter->fetcher, ((struct meter_flow *)p)->slot);
	g_hash_table_remove_all(meter->flows);
	while (!bpf_map_get_next_key(fd, NULL, key))
		bpf_map_delete_elem(fd, key);
}

int meter_map_of(const struct bpf_program *program, const char *name)
{
	uint32_t ids[32];
	struct bpf_prog_info info = {.nr_map_ids = G_N_ELEMENTS(ids), .map_ids = (uintptr_t)ids};
	uint32_t size = sizeof(info);

	g_assert_cmpint(bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size), ==, 0);
	for (uint32_t i = 0; i < info.nr_map_ids; i++) {
		struct bpf_map_info map = {0};
		int fd = bpf_map_get_fd_by_id(ids[i]);

		size = sizeof(map);
		g_assert_cmpint(bpf_obj_get_info_by_fd(fd, &map, &size), ==, 0);
		if (*map.name && g_str_has_prefix(name, map.name))
			return fd;
		close(fd);
	}
	g_error("no map %s", name);
}

char *meter_hex(const uint8_t *data, size_t len)
{
	GString *s = g_string_sized_new(2 * len + 1);

	for (size_t i = 0; i < len; i++)
		g_string_append_printf(s, "%02x", data[i]);
	return g_string_free(s, FALSE);
}

char *meter_describe(const struct flow_id *id, const struct flow_metrics *m)
{
	g_autofree char *src = meter_hex(id->src_addr, 16), *dst = meter_hex(id->dst_addr, 16);
	g_autofree char *smac = meter_hex(m->src_mac, 6), *dmac = meter_hex(m->dst_mac, 6);

	return g_strdup_printf(
		"%s:%u > %s:%u if %u dir %u netns %u type %04x vlan %u.%u proto %u tos %02x\n"
		"#   packets %llu bytes %llu len %u..%u ttl %u..%u flags %03x fragment %u\n"
		"#   mac %s > %s mpls %08x %08x %08x far %u.%u",
		src, id->src_port, dst, id->dst_port, id->ifindex, id->direction, id->netns,
		id->eth_proto, id->vlan, id->inner_vlan, id->protocol, id->tos,
		(unsigned long long)m->packets, (unsigned long long)m->bytes, m->min_len,
		m->max_len, m->min_ttl, m->max_ttl, m->tcp_flags, m->fragment, smac, dmac,
		m->mpls[0], m->mpls[1], m->mpls[2], m->far_ifindex, m->far_vlan);
}

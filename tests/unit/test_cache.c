/* SPDX-License-Identifier: MIT */
/*
 * The flow cache by its interface: merge, timeouts to the nanosecond, end of TCP, full, hints, DNS.
 * test_cache_model.c compares it with a naive one over random operations.
 */
#include "config.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include <glib.h>

#include "cache.h"
#include "cache_private.h"

#define SECOND NSEC_PER_SEC
#define START  (1000 * SECOND)
#define ACTIVE (60 * SECOND)
#define IDLE   (15 * SECOND)

struct fixture {
	struct cache *cache;
	GArray *records; /* struct flow_record */
	GArray *slots;	 /* uint32_t */
};

static void collect(void *user, struct flow_record *record)
{
	struct fixture *fixture = user;

	g_array_append_vals(fixture->records, record, 1);
}

static void retire(void *user, uint32_t slot)
{
	struct fixture *fixture = user;

	g_array_append_vals(fixture->slots, &slot, 1);
}

static void open_cache(struct fixture *fixture, uint32_t max_flows)
{
	struct cache_config config = {max_flows, ACTIVE, IDLE};
	struct cache_callbacks callbacks = {.export_flow = collect,
					    .retire_slot = retire,
					    .retire_others = retire,
					    .user = fixture};

	fixture->records = g_array_new(false, false, sizeof(struct flow_record));
	fixture->slots = g_array_new(false, false, sizeof(uint32_t));
	fixture->cache = cache_new(&config, &callbacks);
}

static void close_cache(struct fixture *fixture)
{
	cache_free(fixture->cache);
	g_array_free(fixture->records, true);
	g_array_free(fixture->slots, true);
}

static struct flow_id make_id(uint32_t number)
{
	struct flow_id id = {
		.src_addr = {10, 0, 0, 1},
		.dst_addr = {10, (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number},
		.src_port = 40000,
		.dst_port = 443,
		.ifindex = 2,
		.eth_proto = 0x0800,
		.protocol = IPPROTO_UDP,
	};

	return id;
}

static struct flow_id reverse_of(const struct flow_id *id)
{
	struct flow_id reverse = *id;

	memcpy(reverse.src_addr, id->dst_addr, sizeof(reverse.src_addr));
	memcpy(reverse.dst_addr, id->src_addr, sizeof(reverse.dst_addr));
	reverse.src_port = id->dst_port;
	reverse.dst_port = id->src_port;
	return reverse;
}

static uint32_t merge(struct fixture *fixture, const struct flow_id *id, uint64_t start_ns,
		      uint64_t end_ns, uint16_t tcp_flags)
{
	struct flow_metrics delta = {
		.packets = 2,
		.bytes = 200,
		.start_ns = start_ns,
		.end_ns = end_ns,
		.tcp_flags = tcp_flags,
	};

	return cache_merge(fixture->cache, id, &delta, CACHE_NO_SLOT, CACHE_NO_HINT);
}

static const struct flow_record *record_at(const struct fixture *fixture, unsigned int place)
{
	g_assert_cmpuint(fixture->records->len, >, place);
	return &g_array_index(fixture->records, struct flow_record, place);
}

/* Nothing ends until just before, the flow ends at due_ns. */
static void assert_ends(struct fixture *fixture, uint64_t due_ns, enum flow_end_reason reason)
{
	unsigned int before = fixture->records->len;

	cache_expire(fixture->cache, due_ns - 1);
	g_assert_cmpuint(fixture->records->len, ==, before);
	cache_expire(fixture->cache, due_ns);
	g_assert_cmpuint(fixture->records->len, ==, before + 1);
	g_assert_cmpuint(record_at(fixture, before)->end_reason, ==, reason);
}

static void test_merge_rules(void)
{
	struct flow_metrics first = {
		.packets = 1,
		.bytes = 60,
		.start_ns = START + 5,
		.end_ns = START + 9,
		.drops = {1, 60, 7, 2, {0}},
		.rtt = {100, 0, 0, 50},
		.mpls = {0x12345, 0, 0},
		.far_ifindex = 5,
		.far_vlan = 10,
		.tcp_flags = 0x02,
		.min_len = 60,
		.max_len = 60,
		.min_ttl = 64,
		.max_ttl = 64,
		.src_mac = {2, 0, 0, 0, 0, 1},
	};
	struct flow_metrics second = {
		.packets = 3,
		.bytes = 4000,
		.start_ns = START + 1,
		.end_ns = START + 7,
		.drops = {2, 120, 9, 0, {0}},
		.rtt = {0, 30, 0, 60},
		.mpls = {0x99999, 0, 0},
		.far_ifindex = 6,
		.tcp_flags = 0x10,
		.min_len = 40,
		.max_len = 1500,
		.min_ttl = 0,
		.max_ttl = 3,
		.src_mac = {2, 0, 0, 0, 0, 9},
		.fragment = 1,
	};
	struct flow_id id = make_id(1);
	const struct flow_metrics *sum;
	struct fixture fixture;

	open_cache(&fixture, 16);
	cache_merge(fixture.cache, &id, &first, CACHE_NO_SLOT, CACHE_NO_HINT);
	cache_merge(fixture.cache, &id, &second, CACHE_NO_SLOT, CACHE_NO_HINT);
	cache_flush(fixture.cache, FLOW_END_FORCED);
	sum = &record_at(&fixture, 0)->metrics;
	g_assert_cmpuint(sum->packets, ==, 4);
	g_assert_cmpuint(sum->bytes, ==, 4060);
	g_assert_cmpuint(sum->start_ns, ==, START + 1);
	g_assert_cmpuint(sum->end_ns, ==, START + 9);
	g_assert_cmpuint(sum->drops.packets, ==, 3);
	g_assert_cmpuint(sum->drops.bytes, ==, 180);
	g_assert_cmpuint(sum->drops.latest_cause, ==, 9);
	g_assert_cmpuint(sum->drops.latest_state, ==, 0); /* goes with the cause */
	g_assert_cmpuint(sum->rtt.server_us, ==, 100);
	g_assert_cmpuint(sum->rtt.client_us, ==, 30);
	g_assert_cmpuint(sum->rtt.min_us, ==, 50);
	g_assert_cmphex(sum->mpls[0], ==, 0x12345);
	g_assert_cmpuint(sum->far_ifindex, ==, 6);
	g_assert_cmpuint(sum->far_vlan, ==, 0); /* goes with the interface */
	g_assert_cmphex(sum->tcp_flags, ==, 0x12);
	g_assert_cmpuint(sum->min_len, ==, 40);
	g_assert_cmpuint(sum->max_len, ==, 1500);
	g_assert_cmpuint(sum->min_ttl, ==, 0); /* a value: there were packets */
	g_assert_cmpuint(sum->max_ttl, ==, 64);
	g_assert_cmpmem(sum->src_mac, 6, first.src_mac, 6);
	g_assert_cmpuint(sum->fragment, ==, 1);
	close_cache(&fixture);
}

#define MERGED_KEY   1
#define MERGED_SUM   1
#define MERGED_MIN   1
#define MERGED_LOW   1
#define MERGED_MAX   1
#define MERGED_OR    1
#define MERGED_FIRST 1
#define MERGED_LAST  1
#define MERGED_ALONG 1
#define MERGED_NONE  0

/* Every octet of the kernel's structs is merged by exactly one row; padding by none. */
static void test_merge_covers(void)
{
	uint8_t metrics[sizeof(struct flow_metrics)] = {0};
	uint8_t dns[sizeof(struct dns_record)] = {0};
	uint8_t *octet;

#define FIELD(group, member, merge, ...) FIELD_OF_##group(member, merge)
#define FIELD_OF_ID(member, merge)
#define FIELD_OF_RECORD(member, merge)
#define COVER(count, type, member, merge)                                  \
	octet = &count[offsetof(struct type, member)];                     \
	for (size_t i = 0; i < sizeof(((struct type *)NULL)->member); i++) \
		octet[i] += MERGED_##merge;
#define FIELD_OF_METRICS(member, merge) COVER(metrics, flow_metrics, member, merge)
#define FIELD_OF_DNS(member, merge)	COVER(dns, dns_record, member, merge)
#include "fields.def"
	for (size_t at = 0; at < sizeof(metrics); at++) {
		bool is_pad = at == offsetof(struct flow_metrics, pad) ||
			      (at >= offsetof(struct flow_metrics, drops.pad) &&
			       at < offsetof(struct flow_metrics, rtt));

		g_assert_cmpuint(metrics[at], ==, is_pad ? 0 : 1);
	}
	for (size_t at = 0; at < sizeof(dns); at++)
		g_assert_cmpuint(dns[at], ==, 1);
}

static void test_idle(void)
{
	struct flow_id id = make_id(1);
	struct fixture fixture;

	open_cache(&fixture, 16);
	merge(&fixture, &id, START, START + 7, 0);
	cache_expire(fixture.cache, START + SECOND);
	merge(&fixture, &id, START + SECOND, START + 2 * SECOND + 3, 0);
	assert_ends(&fixture, START + 2 * SECOND + 3 + IDLE, FLOW_END_IDLE);
	g_assert_cmpuint(record_at(&fixture, 0)->metrics.packets, ==, 4);
	close_cache(&fixture);
}

static void test_active(void)
{
	struct flow_id id = make_id(1);
	struct fixture fixture;
	uint64_t now_ns;

	open_cache(&fixture, 16);
	for (now_ns = START; now_ns < START + ACTIVE - SECOND; now_ns += SECOND) {
		merge(&fixture, &id, now_ns + 11, now_ns + SECOND, 0);
		cache_expire(fixture.cache, now_ns + SECOND);
	}
	assert_ends(&fixture, START + 11 + ACTIVE, FLOW_END_ACTIVE);
	g_assert_cmpuint(record_at(&fixture, 0)->metrics.packets, ==, 2 * 59);

	/* the rest counts from its own first packet */
	merge(&fixture, &id, START + ACTIVE + 20, START + ACTIVE + 30, 0);
	assert_ends(&fixture, START + ACTIVE + 30 + IDLE, FLOW_END_IDLE);
	g_assert_cmpuint(record_at(&fixture, 1)->metrics.start_ns, ==, START + ACTIVE + 20);
	close_cache(&fixture);
}

/* A delta that comes late may make a flow due earlier than it was. */
static void test_late_start(void)
{
	struct flow_id id = make_id(1);
	struct fixture fixture;

	open_cache(&fixture, 16);
	merge(&fixture, &id, START + 50 * SECOND, START + 50 * SECOND, 0);
	merge(&fixture, &id, START, START + SECOND, 0);
	assert_ends(&fixture, START + ACTIVE, FLOW_END_ACTIVE);
	close_cache(&fixture);
}

static void test_set_timeouts(void)
{
	struct flow_id id = make_id(1);
	struct flow_id other = make_id(2);
	struct fixture fixture;

	open_cache(&fixture, 16);
	merge(&fixture, &id, START, START, 0);
	cache_expire(fixture.cache, START + SECOND);
	cache_set_timeouts(fixture.cache, 0, 3 * SECOND);
	assert_ends(&fixture, START + 3 * SECOND, FLOW_END_IDLE);

	cache_set_timeouts(fixture.cache, 0, 7200 * SECOND);
	merge(&fixture, &other, START + 4 * SECOND, START + 5 * SECOND, 0);
	assert_ends(&fixture, START + 7205 * SECOND, FLOW_END_IDLE);
	close_cache(&fixture);
}

static void test_clock_leaps(void)
{
	struct flow_id id = make_id(1);
	struct fixture fixture;

	open_cache(&fixture, 16);
	cache_expire(fixture.cache, START);
	merge(&fixture, &id, START, START + 5, 0);
	cache_expire(fixture.cache, START + 1000000 * SECOND);
	g_assert_cmpuint(fixture.records->len, ==, 1);

	/* a flow from the future doesn't hold up those that come after it */
	merge(&fixture, &id, START + 3000000 * SECOND, START + 3000000 * SECOND, 0);
	id = make_id(2);
	merge(&fixture, &id, START + 1000001 * SECOND, START + 1000001 * SECOND, 0);
	assert_ends(&fixture, START + 1000001 * SECOND + IDLE, FLOW_END_IDLE);
	close_cache(&fixture);
}

static void test_tcp_reset(void)
{
	struct flow_id id = make_id(1);
	struct fixture fixture;

	open_cache(&fixture, 16);
	id.protocol = IPPROTO_TCP;
	merge(&fixture, &id, START, START + 5, TH_SYN | TH_RST);
	assert_ends(&fixture, START + 5 + CACHE_LINGER_NS, FLOW_END_DETECTED);
	close_cache(&fixture);
}

static void test_tcp_fin(void)
{
	struct flow_id there = make_id(1);
	struct flow_id back;
	struct fixture fixture;

	open_cache(&fixture, 16);
	there.protocol = IPPROTO_TCP;
	back = reverse_of(&there);
	back.ifindex = 9;
	back.vlan = 7;
	back.tos = 0x48;
	back.netns = 1;
	back.direction = FLOW_EGRESS;

	/* one side closed: the other may still send */
	merge(&fixture, &there, START, START + SECOND, TH_SYN | TH_ACK);
	merge(&fixture, &back, START, START + SECOND, TH_SYN | TH_ACK);
	merge(&fixture, &there, START + SECOND, START + 2 * SECOND, TH_FIN | TH_ACK);
	cache_expire(fixture.cache, START + 10 * SECOND);
	g_assert_cmpuint(fixture.records->len, ==, 0);

	merge(&fixture, &back, START + 10 * SECOND, START + 11 * SECOND, TH_FIN | TH_ACK);
	/* the last ACK joins */
	merge(&fixture, &there, START + 11 * SECOND, START + 11 * SECOND + 40, TH_ACK);
	assert_ends(&fixture, START + 11 * SECOND + CACHE_LINGER_NS, FLOW_END_DETECTED);
	assert_ends(&fixture, START + 11 * SECOND + 40 + CACHE_LINGER_NS, FLOW_END_DETECTED);
	g_assert_cmpuint(record_at(&fixture, 1)->metrics.packets, ==, 6);
	close_cache(&fixture);
}

/* Flags that are not those of the other direction end nothing. */
static void test_tcp_unrelated(void)
{
	struct flow_id id = make_id(1);
	struct flow_id other;
	struct fixture fixture;

	open_cache(&fixture, 16);
	merge(&fixture, &id, START, START, TH_FIN | TH_RST); /* UDP */
	id.protocol = IPPROTO_TCP;
	merge(&fixture, &id, START, START, TH_FIN);
	other = id;
	other.ifindex = 3; /* the same direction seen again */
	merge(&fixture, &other, START, START, TH_FIN);
	other = reverse_of(&id);
	other.src_port++;
	merge(&fixture, &other, START, START, TH_FIN);
	cache_expire(fixture.cache, START + IDLE - 1);
	g_assert_cmpuint(fixture.records->len, ==, 0);
	cache_expire(fixture.cache, START + IDLE);
	g_assert_cmpuint(cache_stats(fixture.cache)->ended[FLOW_END_IDLE], ==, 4);
	close_cache(&fixture);
}

static void test_full(void)
{
	static const uint64_t ends_s[] = {5, 3, 9, 4};
	struct fixture fixture;
	struct flow_id id;

	open_cache(&fixture, G_N_ELEMENTS(ends_s));
	for (uint32_t i = 0; i < G_N_ELEMENTS(ends_s); i++) {
		id = make_id(i);
		merge(&fixture, &id, START, START + ends_s[i] * SECOND, 0);
	}
	id = make_id(1);
	merge(&fixture, &id, START, START + 8 * SECOND, 0); /* no longer the first to end */
	for (uint32_t i = 10; i < 13; i++) {
		id = make_id(i);
		merge(&fixture, &id, START + 10 * SECOND, START + 10 * SECOND, 0);
	}
	g_assert_cmpuint(fixture.records->len, ==, 3);
	g_assert_cmpuint(record_at(&fixture, 0)->id.dst_addr[3], ==, 3);
	g_assert_cmpuint(record_at(&fixture, 1)->id.dst_addr[3], ==, 0);
	g_assert_cmpuint(record_at(&fixture, 2)->id.dst_addr[3], ==, 1);
	g_assert_cmpuint(record_at(&fixture, 2)->end_reason, ==, FLOW_END_RESOURCES);
	g_assert_cmpuint(record_at(&fixture, 2)->metrics.packets, ==, 4);
	g_assert_cmpuint(cache_stats(fixture.cache)->flows, ==, G_N_ELEMENTS(ends_s));
	close_cache(&fixture);
}

static void test_hints(void)
{
	struct flow_metrics delta = {.packets = 1, .start_ns = START, .end_ns = START};
	struct flow_id id1 = make_id(1);
	struct flow_id id2 = make_id(2);
	uint32_t hint1, hint2;
	struct fixture fixture;
	struct cache *cache;

	open_cache(&fixture, 16);
	cache = fixture.cache;
	hint1 = cache_merge(cache, &id1, &delta, 1, CACHE_NO_HINT);
	hint2 = cache_merge(cache, &id2, &delta, 2, hint1);
	g_assert_cmpuint(hint1, !=, hint2);
	g_assert_cmpuint(cache_merge(cache, &id1, &delta, 1, hint1), ==, hint1);
	g_assert_cmpuint(cache_merge(cache, &id1, &delta, 1, hint2), ==, hint1);
	g_assert_cmpuint(cache_merge(cache, &id1, &delta, 1, 15), ==, hint1);
	g_assert_cmpuint(cache_merge(cache, &id1, &delta, 1, 16), ==, hint1);
	g_assert_cmpuint(cache_merge(cache, &id1, &delta, 1, 0xfffffffe), ==, hint1);
	cache_prefetch(cache, NULL, hint2);
	cache_prefetch(cache, NULL, 16);
	cache_prefetch(cache, NULL, CACHE_NO_HINT);
	g_assert_cmpuint(cache_stats(cache)->created, ==, 2);

	/* the hint of a flow that ended begins a new one */
	cache_flush(cache, FLOW_END_FORCED);
	cache_merge(cache, &id1, &delta, 1, hint1);
	g_assert_cmpuint(cache_stats(cache)->created, ==, 3);
	g_assert_cmpuint(cache_stats(cache)->packets, ==, 1);
	close_cache(&fixture);
}

/* DSCP tells flows apart, ECN doesn't: the record has that of the first packet. */
static void test_ecn(void)
{
	struct flow_id id = make_id(1);
	struct fixture fixture;

	open_cache(&fixture, 16);
	id.tos = 0x49;
	merge(&fixture, &id, START, START, 0);
	id.tos = 0x4b;
	merge(&fixture, &id, START, START, 0);
	id.tos = 0x4c;
	merge(&fixture, &id, START, START, 0);
	cache_flush(fixture.cache, FLOW_END_FORCED);
	g_assert_cmpuint(fixture.records->len, ==, 2);
	g_assert_cmphex(record_at(&fixture, 0)->id.tos, ==, 0x49);
	close_cache(&fixture);
}

static void test_retire(void)
{
	struct flow_metrics delta = {.packets = 1, .start_ns = START, .end_ns = START};
	struct flow_id id = make_id(1);
	struct fixture fixture;

	open_cache(&fixture, 16);
	cache_merge(fixture.cache, &id, &delta, 77, CACHE_NO_HINT);
	cache_merge(fixture.cache, &id, &delta, CACHE_NO_SLOT, CACHE_NO_HINT);
	id = make_id(2);
	cache_merge(fixture.cache, &id, &delta, CACHE_NO_SLOT, CACHE_NO_HINT);
	cache_expire(fixture.cache, START + IDLE);
	g_assert_cmpuint(fixture.records->len, ==, 2);
	g_assert_cmpuint(fixture.slots->len, ==, 1);
	g_assert_cmpuint(g_array_index(fixture.slots, uint32_t, 0), ==, 77);
	close_cache(&fixture);
}

/* Packets of a flow that two CPUs saw lie in two slots: both must begin anew. */
static void test_retire_others(void)
{
	struct flow_metrics delta = {.packets = 1, .start_ns = START, .end_ns = START};
	struct flow_id id = make_id(1);
	struct fixture fixture;

	open_cache(&fixture, 16);
	cache_merge(fixture.cache, &id, &delta, 77, CACHE_NO_HINT);
	cache_merge(fixture.cache, &id, &delta, 99, CACHE_NO_HINT);
	cache_expire(fixture.cache, START + IDLE);
	g_assert_cmpuint(fixture.slots->len, ==, 2); /* others of 99, and 99 */
	g_assert_cmpuint(g_array_index(fixture.slots, uint32_t, 0), ==, 99);
	g_assert_cmpuint(g_array_index(fixture.slots, uint32_t, 1), ==, 99);
	cache_merge(fixture.cache, &id, &delta, 99, CACHE_NO_HINT);
	cache_merge(fixture.cache, &id, &delta, 99, CACHE_NO_HINT);
	cache_flush(fixture.cache, FLOW_END_FORCED);
	g_assert_cmpuint(fixture.slots->len, ==, 3);
	close_cache(&fixture);
}

static bool is_first_id(void *user, const struct flow_id *id)
{
	struct flow_id first = make_id(1);

	return !memcmp(id, &first, sizeof(first));
}

static void test_own(void)
{
	struct cache_config config = {16, ACTIVE, IDLE};
	struct fixture fixture;
	struct cache_callbacks callbacks = {.export_flow = collect,
					    .retire_slot = retire,
					    .retire_others = retire,
					    .is_own = is_first_id,
					    .user = &fixture};
	struct flow_id own = make_id(1), other = make_id(2);

	open_cache(&fixture, 16);
	cache_free(fixture.cache);
	fixture.cache = cache_new(&config, &callbacks);
	merge(&fixture, &own, START, START, 0);
	merge(&fixture, &other, START, START, 0);
	cache_expire(fixture.cache, START + ACTIVE - 1);
	g_assert_cmpuint(fixture.records->len, ==, 1);
	g_assert_cmpint(record_at(&fixture, 0)->end_reason, ==, FLOW_END_IDLE);
	cache_expire(fixture.cache, START + ACTIVE);
	g_assert_cmpuint(fixture.records->len, ==, 2);
	g_assert_cmpint(record_at(&fixture, 1)->end_reason, ==, FLOW_END_ACTIVE);

	/* without an active timeout: when we are told to */
	cache_set_timeouts(fixture.cache, 0, IDLE);
	merge(&fixture, &own, START + ACTIVE, START + ACTIVE, 0);
	cache_expire(fixture.cache, START + 1000 * IDLE);
	g_assert_cmpuint(fixture.records->len, ==, 2);
	cache_flush(fixture.cache, FLOW_END_FORCED);
	g_assert_cmpuint(fixture.records->len, ==, 3);
	close_cache(&fixture);
}

static void test_drops_alone(void)
{
	struct flow_metrics delta = {
		.start_ns = START, .end_ns = START + 1, .drops = {3, 180, 11, 0, {0}}};
	struct flow_id id = make_id(1);
	struct fixture fixture;

	open_cache(&fixture, 16);
	cache_merge(fixture.cache, &id, &delta, CACHE_NO_SLOT, CACHE_NO_HINT);
	assert_ends(&fixture, START + 1 + IDLE, FLOW_END_IDLE);
	g_assert_cmpuint(record_at(&fixture, 0)->metrics.packets, ==, 0);
	g_assert_cmpuint(record_at(&fixture, 0)->metrics.drops.packets, ==, 3);
	close_cache(&fixture);
}

static void test_update(void)
{
	struct flow_metrics delta = {.rtt = {.server_us = 20000}};
	struct flow_id id = make_id(1);
	struct fixture fixture;

	open_cache(&fixture, 16);
	g_assert_false(cache_update(fixture.cache, &id, &delta));
	merge(&fixture, &id, START, START, 0);
	g_assert_true(cache_update(fixture.cache, &id, &delta));
	assert_ends(&fixture, START + IDLE, FLOW_END_IDLE);
	g_assert_cmpuint(record_at(&fixture, 0)->metrics.rtt.server_us, ==, 20000);
	close_cache(&fixture);
}

static struct dns_record make_dns(uint16_t number)
{
	struct dns_record dns = {
		.latency_sum_us = 100,
		.latency_us = 100,
		.latency_min_us = 100,
		.latency_max_us = 100,
		.responses = 1,
		.id = number,
		.flags = 0x8180,
		.query_type = 28,
		.name_len = 5,
		.name = "\3www",
	};

	return dns;
}

static void test_dns_merge(void)
{
	struct dns_record dns = make_dns(1);
	struct flow_id id = make_id(1);
	const struct dns_record *sum;
	struct fixture fixture;

	open_cache(&fixture, 16);
	merge(&fixture, &id, START, START, 0);
	g_assert_true(cache_merge_dns(fixture.cache, &id, &dns, START, false));
	dns.id = 2;
	dns.latency_us = dns.latency_min_us = dns.latency_max_us = 40;
	dns.latency_sum_us = 40;
	dns.name_len = 1; /* the root */
	memset(dns.name, 0, sizeof(dns.name));
	g_assert_true(cache_merge_dns(fixture.cache, &id, &dns, START, true));
	cache_flush(fixture.cache, FLOW_END_FORCED);
	g_assert_true(record_at(&fixture, 0)->has_dns);
	sum = &record_at(&fixture, 0)->dns;
	g_assert_cmpuint(sum->id, ==, 2);
	g_assert_cmpuint(sum->responses, ==, 2);
	g_assert_cmpuint(sum->latency_sum_us, ==, 140);
	g_assert_cmpuint(sum->latency_us, ==, 40);
	g_assert_cmpuint(sum->latency_min_us, ==, 40);
	g_assert_cmpuint(sum->latency_max_us, ==, 100);
	g_assert_cmpuint(sum->name_len, ==, 1);
	g_assert_cmpuint(sum->name[0], ==, 0);

	/* the next tenant of the place has nothing of it */
	merge(&fixture, &id, START, START, 0);
	cache_flush(fixture.cache, FLOW_END_FORCED);
	g_assert_false(record_at(&fixture, 1)->has_dns);
	g_assert_cmpuint(record_at(&fixture, 1)->dns.responses, ==, 0);
	close_cache(&fixture);
}

static void test_dns_create(void)
{
	struct dns_record dns = make_dns(1);
	struct flow_id id = make_id(1);
	struct fixture fixture;

	open_cache(&fixture, 16);
	g_assert_false(cache_merge_dns(fixture.cache, &id, &dns, START, false));
	g_assert_cmpuint(cache_stats(fixture.cache)->flows, ==, 0);
	g_assert_false(cache_merge_dns(fixture.cache, &id, &dns, START + 5 * SECOND, true));
	g_assert_cmpuint(cache_stats(fixture.cache)->flows, ==, 1);
	/* the packets know better when they were */
	merge(&fixture, &id, START, START + SECOND, 0);
	assert_ends(&fixture, START + SECOND + IDLE, FLOW_END_IDLE);
	g_assert_cmpuint(record_at(&fixture, 0)->metrics.start_ns, ==, START);
	g_assert_cmpuint(record_at(&fixture, 0)->dns.id, ==, 1);
	close_cache(&fixture);
}

/* The pool is bounded: the flow that has its DNS for longest is exported with it. */
static void test_dns_full(void)
{
	const uint32_t n_dns = 1024, n_flows = 1500;
	uint32_t n_exported = n_flows - n_dns;
	struct fixture fixture;

	open_cache(&fixture, 4096);
	for (uint32_t i = 0; i < n_flows; i++) {
		struct dns_record dns = make_dns((uint16_t)i);
		struct flow_id id = make_id(i);

		merge(&fixture, &id, START, START, 0);
		g_assert_true(cache_merge_dns(fixture.cache, &id, &dns, START, true));
	}
	g_assert_cmpuint(fixture.records->len, ==, n_exported);
	cache_flush(fixture.cache, FLOW_END_FORCED);
	g_assert_cmpuint(fixture.records->len, ==, n_flows);
	for (uint32_t i = 0; i < n_exported; i++)
		g_assert_cmpuint(record_at(&fixture, i)->dns.id, ==, i);
	for (uint32_t i = 0; i < n_flows; i++) {
		const struct flow_record *record = record_at(&fixture, i);
		uint16_t number = (uint16_t)(record->id.dst_addr[2] << 8 | record->id.dst_addr[3]);

		g_assert_true(record->has_dns);
		g_assert_cmpuint(record->dns.id, ==, number);
		g_assert_cmpuint(record->dns.responses, ==, 1);
	}
	g_assert_cmpuint(cache_stats(fixture.cache)->ended[FLOW_END_RESOURCES], ==, n_exported);
	close_cache(&fixture);
}

static bool count_three(void *user, struct flow_record *record)
{
	unsigned int *n = user;

	g_assert_cmpuint(record->end_reason, ==, 0);
	return ++*n < 3;
}

static void test_foreach(void)
{
	unsigned int n = 0;
	struct fixture fixture;

	open_cache(&fixture, 16);
	for (uint32_t i = 0; i < 2; i++) {
		struct flow_id id = make_id(i);

		merge(&fixture, &id, START, START, 0);
	}
	cache_foreach(fixture.cache, count_three, &n);
	g_assert_cmpuint(n, ==, 2);
	for (uint32_t i = 2; i < 8; i++) {
		struct flow_id id = make_id(i);

		merge(&fixture, &id, START, START, 0);
	}
	n = 0;
	cache_foreach(fixture.cache, count_three, &n);
	g_assert_cmpuint(n, ==, 3);
	close_cache(&fixture);
}

/* Keys of one conversation, apart only in what an attacker chooses, spread over the index. */
static void test_crafted_keys(void)
{
	const uint32_t n_flows = 1 << 16;
	uint32_t longest = 0, n_overflown = 0;
	struct fixture fixture;

	open_cache(&fixture, n_flows);
	for (uint32_t i = 0; i < n_flows; i++) {
		struct flow_id id = make_id(1);

		id.tos = (uint8_t)((i & 63) << 2);
		id.vlan = (uint16_t)(i >> 6 << 2);
		merge(&fixture, &id, START, START, 0);
	}
	g_assert_cmpuint(cache_stats(fixture.cache)->flows, ==, n_flows);
	for (uint32_t i = 0; i < fixture.cache->n_lines; i++) {
		uint32_t length = 0;

		for (uint32_t at = fixture.cache->lines[i].overflow; at;
		     at = fixture.cache->entries[at - 1].hash_next)
			length++;
		longest = MAX(longest, length);
		n_overflown += length;
	}
	/* 9 flows per line, room for 15: of random keys 1 in 200 overflows, by 30 once in 10^10 */
	g_assert_cmpuint(longest, <, 30);
	g_assert_cmpuint(n_overflown, <, n_flows / 50);
	close_cache(&fixture);
}

/* Vectors of the paper's reference implementation: SipHash-2-4, key 00 01 ... 0f. */
static void test_siphash(void)
{
	struct siphash_key key = {GUINT64_TO_LE(0x0706050403020100),
				  GUINT64_TO_LE(0x0f0e0d0c0b0a0908)};
	uint64_t words[] = {0x0706050403020100};

	g_assert_cmphex(siphash_words(&key, words, 0, 2, 4), ==, 0x726fdb47dd0e0e31);
	g_assert_cmphex(siphash_words(&key, words, 1, 2, 4), ==, 0x93f5f5799a932462);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/cache/merge-rules", test_merge_rules);
	g_test_add_func("/cache/merge-covers", test_merge_covers);
	g_test_add_func("/cache/idle", test_idle);
	g_test_add_func("/cache/active", test_active);
	g_test_add_func("/cache/late-start", test_late_start);
	g_test_add_func("/cache/set-timeouts", test_set_timeouts);
	g_test_add_func("/cache/clock-leaps", test_clock_leaps);
	g_test_add_func("/cache/tcp-reset", test_tcp_reset);
	g_test_add_func("/cache/tcp-fin", test_tcp_fin);
	g_test_add_func("/cache/tcp-unrelated", test_tcp_unrelated);
	g_test_add_func("/cache/full", test_full);
	g_test_add_func("/cache/hints", test_hints);
	g_test_add_func("/cache/ecn", test_ecn);
	g_test_add_func("/cache/retire", test_retire);
	g_test_add_func("/cache/retire-others", test_retire_others);
	g_test_add_func("/cache/own", test_own);
	g_test_add_func("/cache/drops-alone", test_drops_alone);
	g_test_add_func("/cache/update", test_update);
	g_test_add_func("/cache/dns-merge", test_dns_merge);
	g_test_add_func("/cache/dns-create", test_dns_create);
	g_test_add_func("/cache/dns-full", test_dns_full);
	g_test_add_func("/cache/foreach", test_foreach);
	g_test_add_func("/cache/crafted-keys", test_crafted_keys);
	g_test_add_func("/cache/siphash", test_siphash);
	return g_test_run();
}

/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <string.h>

#include <glib.h>

#include "signals.h"

#define SECOND 1000000000ull

static struct cache *cache;
static struct signals *signals;
static struct flow_record found;
static struct signals_place place; /* of VLAN device 9 of the first namespace */

static void on_export(void *user, struct flow_record *record)
{
}

static void on_retire(void *user, uint32_t slot)
{
}

static size_t on_places(void *user, uint8_t netns, uint32_t ifindex, struct signals_place *places,
			size_t max)
{
	if (netns || !place.ifindex || (ifindex && ifindex != 9))
		return 0;
	places[0] = place;
	return 1;
}

static const char *on_name(void *user, uint8_t netns, uint32_t ifindex)
{
	static char name[16];

	/* of an index that is far up: a session, which had another one before */
	g_snprintf(name, sizeof(name), "ppp%u", ifindex < 100000 ? ifindex : ifindex % 100000 % 2);
	return name;
}

static void set_up(void)
{
	const struct cache_config config = {
		.max_flows = 100, .active_timeout_ns = 60 * SECOND, .idle_timeout_ns = 15 * SECOND};
	const struct cache_callbacks callbacks = {on_export, on_retire, NULL};
	const struct signals_callbacks told = {on_places, on_name, NULL};

	memset(&place, 0, sizeof(place));
	cache = cache_new(&config, &callbacks);
	signals = signals_new(cache, &told);
}

static void tear_down(void)
{
	signals_free(signals);
	cache_free(cache);
}

static struct flow_key6 key_of(uint32_t ifindex, uint16_t vlan, uint16_t src_port)
{
	struct flow_key6 key = {.protocol = 17, .eth_proto = 0x0800, .vlan = vlan};

	key.src_addr[0] = 10;
	key.src_port = GUINT16_TO_BE(src_port);
	key.iface = FLOW_IFACE(0, FLOW_INGRESS, ifindex);
	return key;
}

static void add_packets(const struct flow_key6 *key)
{
	const struct flow_metrics delta = {
		.packets = 5, .bytes = 500, .start_ns = SECOND, .end_ns = 2 * SECOND};
	struct flow_id id;

	flow_id_from_key(&id, key);
	cache_merge(cache, &id, &delta, CACHE_NO_SLOT, CACHE_NO_HINT);
}

static void drop(const struct flow_key6 *key, uint32_t cause, bool unsure)
{
	struct flow_event_drop e = {.event = {.type = FLOW_EVENT_DROP},
				    .drops = {.packets = 2, .bytes = 80, .latest_cause = cause},
				    .start_ns = SECOND,
				    .end_ns = 3 * SECOND,
				    .unsure = unsure};

	flow_id_from_key(&e.id, key);
	signals_event(signals, &e.event, sizeof(e));
}

static bool take(void *user, struct flow_record *record)
{
	found = *record;
	return !user || record->id.src_port != GPOINTER_TO_UINT(user);
}

/* The flow with this port; its number of flows must be right. */
static const struct flow_record *flow(uint16_t src_port, uint32_t n_flows)
{
	signals_apply(signals);
	g_assert_cmpuint(cache_stats(cache)->flows, ==, n_flows);
	cache_foreach(cache, take, GUINT_TO_POINTER(src_port));
	g_assert_cmpuint(found.id.src_port, ==, src_port);
	return &found;
}

static void test_drop_joins(void)
{
	struct flow_key6 key = key_of(3, 0, 1000);

	set_up();
	/* the event comes before the packets, as the ring is read before the table */
	drop(&key, 7, false);
	add_packets(&key);
	drop(&key, 8, false);
	flow(1000, 1);
	g_assert_cmpuint(found.metrics.packets, ==, 5);
	g_assert_cmpuint(found.metrics.drops.packets, ==, 4);
	g_assert_cmpuint(found.metrics.drops.bytes, ==, 160);
	g_assert_cmpuint(found.metrics.drops.latest_cause, ==, 8);
	tear_down();
}

static void test_drop_makes_flow(void)
{
	struct flow_key6 key = key_of(3, 0, 1000);

	set_up();
	drop(&key, 7, false);
	flow(1000, 1);
	g_assert_cmpuint(found.metrics.packets, ==, 0);
	g_assert_cmpuint(found.metrics.drops.packets, ==, 2);
	g_assert_cmpuint(found.metrics.start_ns, ==, SECOND);
	g_assert_cmpuint(found.metrics.end_ns, ==, 3 * SECOND);
	tear_down();
}

/* Met at a VLAN device, counted at the port under it; with no device known, at the one that has it.
 */
static void test_drop_elsewhere(void)
{
	struct flow_key6 port = key_of(3, 20, 1000), vlan_device = key_of(9, 0, 1000);
	struct flow_key6 nowhere = key_of(0, 0, 1000), other = key_of(9, 0, 2000);

	set_up();
	place = (struct signals_place){.ifindex = 3, .vlan = 20};
	add_packets(&port);
	drop(&vlan_device, 7, false);
	drop(&nowhere, 7, false);
	flow(1000, 1);
	g_assert_cmpuint(found.metrics.drops.packets, ==, 4);
	drop(&other, 7, false);
	flow(2000, 2);
	g_assert_cmpuint(found.id.ifindex, ==, 3);
	g_assert_cmpuint(found.id.vlan, ==, 20);
	tear_down();
}

/* Met at a device over a VLAN device, or there with the inner tag still on: counted with both. */
static void test_drop_two_tags(void)
{
	struct flow_key6 port = key_of(3, 20, 1000), upper = key_of(9, 0, 1000);
	struct flow_key6 tagged = key_of(9, 5, 1000);

	set_up();
	port.inner_vlan = 5;
	add_packets(&port);
	place = (struct signals_place){.ifindex = 3, .vlan = 20, .inner_vlan = 5};
	drop(&upper, 7, false);
	signals_apply(signals);
	place.inner_vlan = 0;
	drop(&tagged, 7, false);
	flow(1000, 1);
	g_assert_cmpuint(found.metrics.drops.packets, ==, 4);
	g_assert_cmpuint(found.id.inner_vlan, ==, 5);
	tear_down();
}

static void test_drop_unsure(void)
{
	struct flow_key6 known = key_of(3, 0, 1000), unknown = key_of(3, 0, 2000);

	set_up();
	add_packets(&known);
	drop(&known, 7, true);
	drop(&unknown, 7, true);
	flow(1000, 1);
	g_assert_cmpuint(found.metrics.drops.packets, ==, 2);
	g_assert_cmpuint(signals_stats(signals)->drops_unplaced, ==, 2);
	tear_down();
}

/* A device that is no place of its own in one namespace may be one in the next. */
static void test_drop_unsure_elsewhere(void)
{
	struct flow_key6 here = key_of(9, 0, 1000), there = here;

	set_up();
	place = (struct signals_place){.ifindex = 3, .vlan = 42};
	there.iface = FLOW_IFACE(1, FLOW_INGRESS, 9);
	add_packets(&there);
	drop(&here, 7, true);
	flow(1000, 1);
	g_assert_cmpuint(found.metrics.drops.packets, ==, 2);
	g_assert_cmpuint(signals_stats(signals)->drops_unplaced, ==, 0);
	tear_down();
}

static void add_total(void *user, const struct signals_drops *drops)
{
	uint64_t *total = user;

	total[drops->cause] += drops->packets;
}

static void test_drop_totals(void)
{
	struct flow_key6 one = key_of(3, 0, 1000), two = key_of(4, 0, 1000);
	uint64_t total[10] = {0};

	set_up();
	drop(&one, 7, false);
	drop(&two, 7, false);
	drop(&one, 8, false);
	signals_apply(signals);
	signals_foreach_drops(signals, add_total, total);
	g_assert_cmpuint(total[7], ==, 4);
	g_assert_cmpuint(total[8], ==, 2);
	tear_down();
}

static void count_total(void *user, const struct signals_drops *drops)
{
	struct signals_drops *sum = user;

	sum->cause++; /* how many there are */
	sum->packets += drops->packets;
	if (!*drops->interface)
		sum->bytes += drops->bytes;
}

/* Sessions come and go: what is told of them grows with their names, and no further than to a
 * bound. */
static void test_drop_names(void)
{
	struct signals_drops sum = {0};

	set_up();
	for (uint32_t i = 0; i < 50; i++) {
		struct flow_key6 key = key_of(100000 + i, 0, 1000);

		drop(&key, 7, false);
	}
	signals_apply(signals);
	signals_foreach_drops(signals, count_total, &sum);
	g_assert_cmpuint(sum.cause, ==, 2);
	g_assert_cmpuint(sum.packets, ==, 100);
	for (uint32_t i = 0; i < 5000; i++) {
		struct flow_key6 key = key_of(10 + i, 0, 1000);

		drop(&key, 7, false);
	}
	signals_apply(signals);
	sum = (struct signals_drops){0};
	signals_foreach_drops(signals, count_total, &sum);
	g_assert_cmpuint(sum.cause, ==, 4097);
	g_assert_cmpuint(sum.packets, ==, 10100);
	g_assert_cmpuint(sum.bytes, ==, (5002 - 4096) * 80);
	tear_down();
}

static bool dns_observed; /* the query of the events that follow */

static void dns(enum flow_dns_kind kind, const struct flow_key6 *flow_key,
		const struct flow_key6 *query_key, uint32_t latency_us)
{
	static const uint8_t message[] = "\0\7\x81\x80\0\1\0\0\0\0\0\0\1a\0\0\1\0\1";
	struct flow_event_dns e = {.event = {.type = FLOW_EVENT_DNS},
				   .now_ns = 2 * SECOND,
				   .kind = (uint8_t)kind,
				   .latency_us = latency_us,
				   .observed = dns_observed};

	if (flow_key)
		e.flow = *flow_key;
	if (query_key)
		e.query_flow = *query_key;
	e.message_len = kind == FLOW_DNS_UNANSWERED ? 0 : sizeof(message) - 1;
	memcpy(e.message, message, e.message_len);
	signals_event(signals, &e.event, offsetof(struct flow_event_dns, message) + e.message_len);
}

static void test_dns(void)
{
	struct flow_key6 query = key_of(3, 0, 1000), answer = key_of(4, 0, 53);

	set_up();
	add_packets(&query);
	add_packets(&answer);
	dns(FLOW_DNS_ANSWER, &answer, &query, 300);
	dns(FLOW_DNS_ANSWER, &answer, &query, 100);
	dns(FLOW_DNS_AMBIGUOUS, &answer, &query, 0);
	dns(FLOW_DNS_UNANSWERED, NULL, &query, 0);
	for (int i = 0; i < 2; i++) {
		flow(i ? 53 : 1000, 2);
		g_assert_true(found.has_dns);
		g_assert_cmpuint(found.dns.responses, ==, 2);
		g_assert_cmpuint(found.dns.latency_sum_us, ==, 400);
		g_assert_cmpuint(found.dns.latency_min_us, ==, 100);
		g_assert_cmpuint(found.dns.latency_max_us, ==, 300);
		g_assert_cmpuint(found.dns.unanswered, ==, i ? 0 : 1);
		g_assert_cmpmem(found.dns.name, found.dns.name_len, "\1a", 3);
	}
	g_assert_cmpuint(histogram_count(&signals_stats(signals)->dns_latency), ==, 2);
	tear_down();
}

/* A query seen where nothing is counted makes no flow. */
static void test_dns_uncounted(void)
{
	struct flow_key6 query = key_of(0, 0, 1000), answer = key_of(4, 0, 53);

	set_up();
	dns(FLOW_DNS_QUERY, &query, NULL, 0);
	dns(FLOW_DNS_ANSWER, &answer, &query, 100);
	flow(53, 1);
	tear_down();
}

static void test_rtt(void)
{
	struct flow_key6 client = key_of(3, 0, 1000), server = key_of(4, 0, 443);
	struct flow_event_rtt e = {.event = {.type = FLOW_EVENT_RTT},
				   .rtt = {.server_us = 20000},
				   .from_client = client,
				   .from_server = server};

	set_up();
	signals_event(signals, &e.event, sizeof(e));
	add_packets(&client);
	add_packets(&server);
	e.rtt = (struct flow_rtt){.client_us = 10};
	signals_event(signals, &e.event, sizeof(e));
	for (int i = 0; i < 2; i++) {
		flow(i ? 443 : 1000, 2);
		g_assert_cmpuint(found.metrics.rtt.server_us, ==, 20000);
		g_assert_cmpuint(found.metrics.rtt.client_us, ==, 10);
		g_assert_cmpuint(found.metrics.packets, ==, 5);
	}
	tear_down();
}

/* The handshake passed while the table was read: its flows come with the next drain, or never. */
static void test_rtt_early(void)
{
	struct flow_key6 client = key_of(3, 0, 1000), server = key_of(4, 0, 443);
	struct flow_event_rtt e = {.event = {.type = FLOW_EVENT_RTT},
				   .rtt = {.server_us = 20000},
				   .from_client = client,
				   .from_server = server};

	set_up();
	signals_event(signals, &e.event, sizeof(e));
	add_packets(&client);
	flow(1000, 1);
	g_assert_cmpuint(found.metrics.rtt.server_us, ==, 20000);
	add_packets(&server);
	flow(443, 2);
	g_assert_cmpuint(found.metrics.rtt.server_us, ==, 20000);
	g_assert_cmpuint(signals_stats(signals)->rtt_unplaced, ==, 0);
	g_assert_cmpuint(histogram_count(&signals_stats(signals)->server_rtt), ==, 1);
	e.from_server = key_of(4, 0, 80);
	signals_event(signals, &e.event, sizeof(e));
	signals_apply(signals);
	g_assert_cmpuint(signals_stats(signals)->rtt_unplaced, ==, 0);
	signals_apply(signals);
	g_assert_cmpuint(signals_stats(signals)->rtt_unplaced, ==, 1);
	signals_apply(signals);
	g_assert_cmpuint(signals_stats(signals)->rtt_unplaced, ==, 1);
	/* what a socket measures is no handshake */
	e.rtt = (struct flow_rtt){.smoothed_us = 5};
	signals_event(signals, &e.event, sizeof(e));
	signals_apply(signals);
	signals_apply(signals);
	g_assert_cmpuint(signals_stats(signals)->rtt_unplaced, ==, 1);
	tear_down();
}

/* Behind NAT two events tell one thing: a flow has it once, and so have the totals. */
static void test_nat(void)
{
	struct flow_key6 query = key_of(3, 0, 1000), answer = key_of(4, 0, 53);
	struct flow_key6 nowhere = key_of(0, 0, 1000);
	struct flow_event_rtt e = {.event = {.type = FLOW_EVENT_RTT}, .rtt = {.server_us = 200}};

	set_up();
	place.ifindex = 3;
	add_packets(&query);
	add_packets(&answer);
	dns_observed = true;
	dns(FLOW_DNS_ANSWER, &answer, &nowhere, 100);
	dns_observed = false;
	dns(FLOW_DNS_ANSWER, &nowhere, &query, 110);
	e.from_client = nowhere;
	e.from_server = answer;
	signals_event(signals, &e.event, sizeof(e));
	flow(1000, 2);
	g_assert_cmpuint(found.metrics.rtt.server_us, ==, 0);
	e.from_client = query;
	e.from_server = nowhere;
	e.rtt.server_us = 210;
	signals_event(signals, &e.event, sizeof(e));
	for (int i = 0; i < 2; i++) {
		flow(i ? 53 : 1000, 2);
		g_assert_cmpuint(found.dns.responses, ==, 1);
		g_assert_cmpuint(found.dns.latency_us, ==, i ? 100 : 110);
		g_assert_cmpuint(found.metrics.rtt.server_us, ==, i ? 200 : 210);
	}
	g_assert_cmpuint(histogram_count(&signals_stats(signals)->dns_latency), ==, 1);
	g_assert_cmpuint(histogram_count(&signals_stats(signals)->server_rtt), ==, 1);
	tear_down();
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/signals/drop-joins", test_drop_joins);
	g_test_add_func("/signals/drop-makes-flow", test_drop_makes_flow);
	g_test_add_func("/signals/drop-elsewhere", test_drop_elsewhere);
	g_test_add_func("/signals/drop-two-tags", test_drop_two_tags);
	g_test_add_func("/signals/drop-unsure", test_drop_unsure);
	g_test_add_func("/signals/drop-unsure-elsewhere", test_drop_unsure_elsewhere);
	g_test_add_func("/signals/drop-totals", test_drop_totals);
	g_test_add_func("/signals/drop-names", test_drop_names);
	g_test_add_func("/signals/dns", test_dns);
	g_test_add_func("/signals/dns-uncounted", test_dns_uncounted);
	g_test_add_func("/signals/rtt", test_rtt);
	g_test_add_func("/signals/rtt-early", test_rtt_early);
	g_test_add_func("/signals/nat", test_nat);
	return g_test_run();
}

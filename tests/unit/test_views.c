/* SPDX-License-Identifier: MIT */
/* What bpflowctl is told: keys of a flow, filters, order and limit. */
#include "config.h"

#include "view_flows.h"

#include <arpa/inet.h>
#include <string.h>

#define NOW_NS	   (1000 * NSEC_PER_SEC)
#define MANY_FLOWS 6000

static const char *name_of(void *user, uint8_t netns, uint32_t ifindex)
{
	static const char *const names[] = {"", "lan0", "wan0", "odd\xff"};

	return ifindex < G_N_ELEMENTS(names) && netns == 0 ? names[ifindex] : "";
}

static const struct view_names names = {name_of, NULL};

/* What make4 and make6 don't say themselves. */
static void derive(void *user, struct flow_record *record)
{
	record->ip_version = record->id.eth_proto == 0x86dd ? 6 : 4;
	record->dst_port = record->id.dst_port;
	record->ingress_ifindex = record->id.ifindex;
	record->egress_ifindex = record->metrics.far_ifindex;
	if (record->has_dns)
		g_strlcpy(record->dns_name, "example.org.", sizeof(record->dns_name));
}

static void make4(struct flow_record *record, int i)
{
	memset(record, 0, sizeof(*record));
	record->id.eth_proto = 0x0800;
	record->id.protocol = i % 2 ? 6 : 17;
	record->id.src_port = 1000 + i;
	record->id.dst_port = 53;
	record->id.ifindex = 1;
	record->metrics.far_ifindex = 2;
	record->metrics.packets = 100 - i;
	record->metrics.bytes = 1000 * i;
	record->metrics.start_ns = NOW_NS - (i + 1) * NSEC_PER_SEC;
	record->metrics.end_ns = NOW_NS - i;
	record->id.src_addr[0] = 10;
	record->id.src_addr[3] = i;
	record->id.dst_addr[0] = 192;
	derive(NULL, record);
}

static void make6(struct flow_record *record)
{
	make4(record, 50);
	record->id.eth_proto = 0x86dd;
	g_assert_cmpint(inet_pton(AF_INET6, "2001:db8::1", record->id.src_addr), ==, 1);
	record->metrics.far_ifindex = 3;
	derive(NULL, record);
}

static json_int_t number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void test_flow(void)
{
	struct flow_record record;
	json_t *flow;

	make4(&record, 1);
	flow = view_flow(&record, &names);
	g_assert_cmpstr(json_string_value(json_object_get(flow, "sourceIPv4Address")), ==,
			"10.0.0.1");
	g_assert_cmpint(number(flow, "sourceTransportPort"), ==, 1001);
	g_assert_cmpint(number(flow, "octetDeltaCount"), ==, 1000);
	g_assert_cmpstr(json_string_value(json_object_get(flow, "egressInterfaceName")), ==,
			"wan0");
	/* counters always; what doesn't apply or isn't known never */
	g_assert_true(json_is_integer(json_object_get(flow, "droppedPacketDeltaCount")));
	g_assert_null(json_object_get(flow, "sourceIPv6Address"));
	g_assert_null(json_object_get(flow, "dnsMessageId"));
	g_assert_null(json_object_get(flow, "mplsTopLabelStackSection"));
	json_decref(flow);
	make6(&record);
	record.has_dns = true;
	record.dns.id = 77;
	g_strlcpy(record.dns_name, "example.org.", sizeof(record.dns_name));
	flow = view_flow(&record, &names);
	g_assert_cmpstr(json_string_value(json_object_get(flow, "sourceIPv6Address")), ==,
			"2001:db8::1");
	g_assert_null(json_object_get(flow, "sourceIPv4Address"));
	g_assert_cmpint(number(flow, "dnsMessageId"), ==, 77);
	g_assert_cmpstr(json_string_value(json_object_get(flow, "dnsQuestionName")), ==,
			"example.org.");
	g_assert_cmpstr(json_string_value(json_object_get(flow, "egressInterfaceName")), ==,
			"odd\357\277\275");
	json_decref(flow);
}

/* Flows 0 ... 9 of IPv4 and one of IPv6. */
static void walk(struct view_flows *view,
		 void (*visit)(struct view_flows *view, struct flow_record *record))
{
	struct flow_record record;

	for (int i = 0; i < 10; i++) {
		make4(&record, i);
		visit(view, &record);
	}
	make6(&record);
	visit(view, &record);
}

static json_t *load_all(struct view_flows *view)
{
	g_autoptr(GString) text = g_string_new(NULL);
	json_t *answer;

	while (view_flows_next(view, text))
		;
	view_flows_free(view);
	answer = json_loads(text->str, 0, NULL);
	g_assert_nonnull(answer);
	return answer;
}

/* Source ports of what is shown, less 1000, in order. */
static void assert_shown(const char *args_text, const char *expected, int matched)
{
	json_t *args = json_loads(args_text, 0, NULL);
	g_autoptr(GString) shown = g_string_new(NULL);
	g_autoptr(GError) error = NULL;
	struct view_flows *view;
	const json_t *flow;
	json_t *answer;
	size_t i;

	view = view_flows_new(args, &names, derive, NOW_NS, &error);
	g_assert_no_error(error);
	walk(view, view_flows_survey);
	walk(view, view_flows_take);
	answer = load_all(view);
	json_array_foreach(json_object_get(answer, "flows"), i, flow) g_string_append_printf(
		shown, "%s%lld", i ? " " : "", number(flow, "sourceTransportPort") - 1000);
	g_assert_cmpstr(shown->str, ==, expected);
	g_assert_cmpint(number(answer, "matched"), ==, matched);
	g_assert_cmpint(number(answer, "total"), ==, 11);
	json_decref(answer);
	json_decref(args);
}

static void test_flows(void)
{
	assert_shown("{}", "50 9 8 7 6 5 4 3 2 1 0", 11);
	assert_shown("{\"limit\": 0, \"sort\": \"octets\"}", "50 9 8 7 6 5 4 3 2 1 0", 11);
	assert_shown("{\"limit\": 3}", "50 9 8", 11);
	assert_shown("{\"limit\": 11}", "50 9 8 7 6 5 4 3 2 1 0", 11);
	assert_shown("{\"limit\": 2, \"sort\": \"packets\"}", "0 1", 11);
	assert_shown("{\"limit\": 2, \"sort\": \"start\"}", "50 9", 11);
	assert_shown("{\"limit\": 2, \"sort\": \"end\"}", "0 1", 11);
	assert_shown("{\"limit\": 2, \"sort\": \"rate\"}", "50 9", 11);
	/* all equal: as many as asked */
	assert_shown("{\"limit\": 4, \"sort\": \"drops\"}", "0 1 2 3", 11);
	assert_shown("{\"protocol\": 6}", "9 7 5 3 1", 5);
	assert_shown("{\"port\": 1004}", "4", 1);
	assert_shown("{\"port\": 53, \"limit\": 1}", "50", 11);
	assert_shown("{\"interface\": \"wan0\", \"limit\": 1}", "9", 10);
	assert_shown("{\"interface\": \"lan0\", \"limit\": 1}", "50", 11);
	assert_shown("{\"interface\": \"lan\"}", "", 0);
	assert_shown("{\"address\": \"10.0.0.7\"}", "7", 1);
	assert_shown("{\"address\": \"10.0.0.4/30\"}", "7 6 5 4", 4);
	assert_shown("{\"address\": \"192.0.0.0/8\", \"limit\": 1}", "9", 10);
	assert_shown("{\"address\": \"0.0.0.0/0\", \"limit\": 1}", "9", 10);
	assert_shown("{\"address\": \"2001:db8::/33\"}", "50", 1);
	assert_shown("{\"address\": \"2001:db8:8000::/33\"}", "", 0);
}

/* So many that they come in pieces; some with DNS. */
static void make_one_of_many(struct flow_record *record, int i)
{
	make4(record, 1);
	record->metrics.packets = i;
	record->has_dns = i % 3 == 0;
	record->dns.id = record->has_dns ? 1 + i : 0;
}

static struct view_flows *view_many(void)
{
	json_t *args = json_pack("{s:i, s:s}", "limit", 0, "sort", "packets");
	struct view_flows *view = view_flows_new(args, &names, derive, NOW_NS, NULL);
	struct flow_record record;

	for (int i = 0; i < MANY_FLOWS; i++) {
		make_one_of_many(&record, i);
		view_flows_survey(view, &record);
	}
	for (int i = 0; i < MANY_FLOWS; i++) {
		make_one_of_many(&record, i);
		view_flows_take(view, &record);
	}
	json_decref(args);
	return view;
}

static void test_pieces(void)
{
	struct view_flows *view = view_many();
	g_autoptr(GString) text = g_string_new(NULL);
	const json_t *flow;
	json_t *answer;
	size_t i;

	/* none is large; one that is given up half way leaks nothing */
	g_assert_true(view_flows_next(view, text));
	g_assert_cmpuint(text->len, <, 64 * 1024);
	view_flows_free(view);
	answer = load_all(view_many());
	g_assert_cmpint(number(answer, "matched"), ==, MANY_FLOWS);
	json_array_foreach(json_object_get(answer, "flows"), i, flow)
	{
		int packets = MANY_FLOWS - 1 - i;

		g_assert_cmpint(number(flow, "packetDeltaCount"), ==, packets);
		g_assert_cmpint(number(flow, "dnsMessageId"), ==,
				packets % 3 == 0 ? 1 + packets : 0);
	}
	g_assert_cmpuint(i, ==, MANY_FLOWS);
	json_decref(answer);
}

static void test_bad_arguments(void)
{
	static const char *const bad[] = {
		"{\"sort\": \"size\"}",
		"{\"limit\": -1}",
		"{\"limit\": \"x\"}",
		"{\"port\": 65536}",
		"{\"port\": 1.5}",
		"{\"protocol\": -1}",
		"{\"address\": \"\"}",
		"{\"address\": \"10.0.0.0/33\"}",
		"{\"address\": \"10.0.0/8\"}",
		"{\"address\": \"::/129\"}",
		"{\"address\": \"10.0.0.1/\"}",
		"{\"address\": \"host\"}",
	};

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		json_t *args = json_loads(bad[i], 0, NULL);
		g_autoptr(GError) error = NULL;

		g_assert_null(view_flows_new(args, &names, derive, NOW_NS, &error));
		g_assert_nonnull(error);
		json_decref(args);
	}
}

static void test_stats(void)
{
	struct metrics *metrics = metrics_new();
	struct histogram histogram;
	json_t *stats, *list;

	histogram_init(&histogram);
	histogram_observe(&histogram, 100);
	metrics_add(metrics, METRIC_QUEUE_BYTES, 5, "collector", "a\xff", NULL);
	metrics_add_histogram(metrics, METRIC_DNS_LATENCY, &histogram, NULL);
	stats = view_stats(metrics);
	metrics_free(metrics);
	list = json_object_get(stats, "metrics");
	g_assert_cmpuint(json_array_size(list), ==, 2);
	g_assert_cmpstr(json_string_value(json_object_get(json_array_get(list, 0), "name")), ==,
			"queue_bytes");
	g_assert_cmpint(
		number(json_array_get(json_object_get(json_array_get(list, 1), "samples"), 0),
		       "count"),
		==, 1);
	json_decref(stats);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/views/flow", test_flow);
	g_test_add_func("/views/flows", test_flows);
	g_test_add_func("/views/pieces", test_pieces);
	g_test_add_func("/views/bad-arguments", test_bad_arguments);
	g_test_add_func("/views/stats", test_stats);
	return g_test_run();
}

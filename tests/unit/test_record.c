/* SPDX-License-Identifier: MIT */
/* What record_derive makes of a flow, field by field; names of DNS; classes of drops. */
#include "config.h"

#include <netinet/in.h>
#include <string.h>

#include <glib.h>

#include "record.h"

static const struct clock_now now = {
	.mono_ns = 500 * NSEC_PER_SEC,
	.boot_ns = 900 * NSEC_PER_SEC,
	.real_ns = 1700000000 * NSEC_PER_SEC,
};
static const struct record_resolver no_resolver;

/* VLAN 7 over interface 3 of namespace 1 is interface 30, VLAN 8 over that one 38. */
static uint32_t logical_interface(void *user, uint8_t netns, uint32_t ifindex, uint16_t vlan,
				  uint16_t inner_vlan, char *name)
{
	g_assert_cmpuint(netns, ==, 1);
	g_assert_cmpuint(ifindex, !=, 0);
	if (ifindex != 3 || vlan != 7) {
		if (name)
			g_strlcpy(name, "eth9", RECORD_INTERFACE_NAME_MAX);
		return ifindex;
	}
	if (name)
		g_strlcpy(name, inner_vlan == 8 ? "eth3.7.8" : "eth3.7", RECORD_INTERFACE_NAME_MAX);
	return inner_vlan == 8 ? 38 : 30;
}

static const struct record_drop_cause *drop_cause(void *user, uint32_t cause)
{
	static const struct record_drop_cause causes[] = {{"", 128}, {"NETFILTER_DROP", 130}};

	return &causes[cause == 8];
}

static const struct record_resolver resolver = {
	.logical_interface = logical_interface,
	.drop_cause = drop_cause,
};

/* Whatever lay in the record before must not show. */
static struct flow_record derive(const struct flow_id *id, const struct flow_metrics *metrics,
				 const struct dns_record *dns, const struct record_resolver *names)
{
	struct flow_record record;

	memset(&record, 0xa5, sizeof(record));
	record.id = *id;
	record.metrics = *metrics;
	record.has_dns = dns != NULL;
	memset(&record.dns, 0, sizeof(record.dns));
	if (dns)
		record.dns = *dns;
	record_derive(&record, &now, names);
	return record;
}

static void test_plain(void)
{
	struct flow_id id = {
		.dst_port = 443, .ifindex = 4, .eth_proto = 0x0800, .protocol = IPPROTO_TCP};
	struct flow_metrics metrics = {
		.packets = 1,
		.start_ns = now.mono_ns - 1500000,
		.end_ns = now.mono_ns - 1,
	};
	struct flow_record record = derive(&id, &metrics, NULL, &no_resolver);

	g_assert_cmpuint(record.start_ns, ==, now.real_ns - 1500000);
	g_assert_cmpuint(record.end_ns, ==, now.real_ns - 1);
	g_assert_cmpuint(record.start_ms, ==, 1699999999998);
	g_assert_cmpuint(record.end_ms, ==, 1699999999999);
	g_assert_cmpuint(record.dst_port, ==, 443);
	g_assert_cmpuint(record.ip_version, ==, 4);
	g_assert_cmpuint(record.icmp_type_code4, ==, 0);
	g_assert_cmpuint(record.icmp_type_code6, ==, 0);
	g_assert_cmpuint(record.ingress_ifindex, ==, 4);
	g_assert_cmpuint(record.ingress_physical, ==, 4);
	g_assert_cmpuint(record.egress_ifindex, ==, 0);
	g_assert_cmpuint(record.egress_physical, ==, 0);
	g_assert_cmpstr(record.interface_name, ==, "");
	g_assert_cmpuint(record.forwarding_status, ==, 64);
	g_assert_cmpuint(record.flow_verdict, ==, 1);
	g_assert_cmpstr(record.drop_cause_name, ==, "");
	g_assert_cmpuint(record.client_latency_ms, ==, 0);
	g_assert_cmpuint(record.server_latency_ms, ==, 0);
	g_assert_cmpuint(record.appl_latency_ms, ==, 0);
	g_assert_cmpuint(record.appl_latency_s, ==, 0);
	g_assert_cmpuint(record.appl_latency_us, ==, 0);
	g_assert_cmpuint(record.reverse_delta_ms, ==, 0);
	g_assert_cmpuint(record.dns_rcode, ==, 0);
	g_assert_cmpuint(record.dns_type8, ==, 0);
	g_assert_cmpstr(record.dns_name, ==, "");
}

static struct clock_now wall;

static void stepped_clock(struct clock_now *read)
{
	*read = wall;
}

/* The wall clock is set forward while a flow lasts, and back again: its records keep their length,
 * and each is where the clock of its export puts it. */
static void test_clock_step(void)
{
	const struct record_resolver nothing = {0};
	struct flow_record record = {.metrics = {.packets = 1,
						 .start_ns = 10 * NSEC_PER_SEC,
						 .end_ns = 70 * NSEC_PER_SEC}};
	const int64_t steps_s[] = {0, 3600, -7200};
	const uint64_t start_s = 1700000000;

	clock_set_source(stepped_clock);
	for (size_t i = 0; i < G_N_ELEMENTS(steps_s); i++) {
		struct clock_now read;
		uint64_t wanted_s = start_s + 10 + steps_s[i];

		wall = (struct clock_now){
			.mono_ns = (80 + i) * NSEC_PER_SEC,
			.boot_ns = (80 + i) * NSEC_PER_SEC,
			.real_ns = (start_s + 80 + i + steps_s[i]) * NSEC_PER_SEC,
		};
		clock_read(&read);
		record_derive(&record, &read, &nothing);
		g_assert_cmpuint(record.start_ns, ==, wanted_s * NSEC_PER_SEC);
		g_assert_cmpuint(record.end_ns - record.start_ns, ==, 60 * NSEC_PER_SEC);
		g_assert_cmpuint(record.start_ms, ==, wanted_s * 1000);
	}
	clock_set_source(NULL);
}

static void test_icmp(void)
{
	struct flow_metrics metrics = {.packets = 1};
	struct flow_id id = {.dst_port = 8 << 8 | 3, .eth_proto = 0x0800, .protocol = IPPROTO_ICMP};
	struct flow_record record = derive(&id, &metrics, NULL, &no_resolver);

	g_assert_cmpuint(record.dst_port, ==, 0);
	g_assert_cmpuint(record.icmp_type_code4, ==, 0x0803);
	g_assert_cmpuint(record.icmp_type_code6, ==, 0);

	id.eth_proto = 0x86dd;
	id.protocol = IPPROTO_ICMPV6;
	id.dst_port = 135 << 8;
	record = derive(&id, &metrics, NULL, &no_resolver);
	g_assert_cmpuint(record.ip_version, ==, 6);
	g_assert_cmpuint(record.dst_port, ==, 0);
	g_assert_cmpuint(record.icmp_type_code4, ==, 0);
	g_assert_cmpuint(record.icmp_type_code6, ==, 0x8700);

	id.eth_proto = 0x0806;
	id.protocol = 0;
	id.dst_port = 0;
	record = derive(&id, &metrics, NULL, &no_resolver);
	g_assert_cmpuint(record.ip_version, ==, 0);
}

static void test_interfaces(void)
{
	struct flow_id id = {.ifindex = 3, .vlan = 7, .netns = 1};
	struct flow_metrics metrics = {.packets = 1, .far_ifindex = 5, .far_vlan = 7};
	struct flow_record record = derive(&id, &metrics, NULL, &resolver);

	g_assert_cmpuint(record.ingress_ifindex, ==, 30);
	g_assert_cmpuint(record.ingress_physical, ==, 3);
	g_assert_cmpuint(record.egress_ifindex, ==, 5);
	g_assert_cmpuint(record.egress_physical, ==, 5);
	g_assert_cmpstr(record.interface_name, ==, "eth3.7");

	id.direction = FLOW_EGRESS;
	record = derive(&id, &metrics, NULL, &resolver);
	g_assert_cmpuint(record.ingress_ifindex, ==, 5);
	g_assert_cmpuint(record.ingress_physical, ==, 5);
	g_assert_cmpuint(record.egress_ifindex, ==, 30);
	g_assert_cmpuint(record.egress_physical, ==, 3);
	g_assert_cmpstr(record.interface_name, ==, "eth3.7");

	id.inner_vlan = 8;
	record = derive(&id, &metrics, NULL, &resolver);
	g_assert_cmpuint(record.egress_ifindex, ==, 38);
	g_assert_cmpuint(record.egress_physical, ==, 3);
	g_assert_cmpstr(record.interface_name, ==, "eth3.7.8");

	/* the far side has its own VLAN id, of which only the outer one is known */
	id.ifindex = 9;
	metrics.far_ifindex = 3;
	record = derive(&id, &metrics, NULL, &resolver);
	g_assert_cmpuint(record.ingress_ifindex, ==, 30);
	g_assert_cmpuint(record.ingress_physical, ==, 3);
	g_assert_cmpuint(record.egress_ifindex, ==, 9);
	g_assert_cmpstr(record.interface_name, ==, "eth9");

	/* sent by this host: the resolver isn't asked for interface 0 */
	metrics.far_ifindex = 0;
	record = derive(&id, &metrics, NULL, &resolver);
	g_assert_cmpuint(record.ingress_ifindex, ==, 0);
	g_assert_cmpuint(record.ingress_physical, ==, 0);
}

static void test_mpls(void)
{
	struct flow_id id = {.eth_proto = 0x0800};
	struct flow_metrics metrics = {
		.packets = 1,
		.mpls = {0xabcdeu << 12 | 5 << 9 | 0 << 8 | 64, 16u << 12 | 1 << 8 | 255, 0},
	};
	struct flow_record record = derive(&id, &metrics, NULL, &no_resolver);

	g_assert_cmpmem(record.mpls_label1, 3, "\xab\xcd\xea", 3);
	g_assert_cmpmem(record.mpls_label2, 3, "\x00\x01\x01", 3);
	g_assert_cmpmem(record.mpls_label3, 3, "\x00\x00\x00", 3);
}

static void test_drops(void)
{
	struct flow_id id = {.eth_proto = 0x0800};
	struct flow_metrics metrics = {.packets = 10, .drops = {.packets = 1, .latest_cause = 8}};
	struct flow_record record = derive(&id, &metrics, NULL, &resolver);

	g_assert_cmpstr(record.drop_cause_name, ==, "NETFILTER_DROP");
	g_assert_cmpuint(record.forwarding_status, ==, 130);
	g_assert_cmpuint(record.flow_verdict, ==, 1); /* most got through */

	metrics.drops.packets = 10;
	metrics.drops.latest_cause = 99;
	record = derive(&id, &metrics, NULL, &resolver);
	g_assert_cmpstr(record.drop_cause_name, ==, "");
	g_assert_cmpuint(record.forwarding_status, ==, 128);
	g_assert_cmpuint(record.flow_verdict, ==, 2);

	/* only ever dropped, before any hook */
	metrics.packets = 0;
	record = derive(&id, &metrics, NULL, &no_resolver);
	g_assert_cmpstr(record.drop_cause_name, ==, "");
	g_assert_cmpuint(record.forwarding_status, ==, 128);
	g_assert_cmpuint(record.flow_verdict, ==, 2);
}

static void test_forwarding_status(void)
{
	static const struct {
		const char *name;
		uint8_t status;
	} cases[] = {
		{"", 128},
		{"NOT_SPECIFIED", 128},
		{"TCP_FLAGS", 128},
		{"TC_COOKIE_ERROR", 128},
		{"NETFILTER_DROP", 130},
		{"BPF_CGROUP_EGRESS", 130},
		{"TC_INGRESS", 130},
		{"TC_EGRESS", 130},
		{"XDP", 130},
		{"SOCKET_FILTER", 130},
		{"XFRM_POLICY", 130},
		{"IP_OUTNOROUTES", 131},
		{"IP_INNOROUTES", 131},
		{"IP_NOPROTO", 131},
		{"NO_SOCKET", 141},
		{"NEIGH_CREATEFAIL", 132},
		{"NEIGH_DEAD", 132},
		{"PKT_TOO_BIG", 133},
		{"IP_CSUM", 134},
		{"TCP_CSUM", 134},
		{"UDP_CSUM", 134},
		{"ICMP_CSUM", 134},
		{"SKB_CSUM", 134},
		{"PKT_TOO_SMALL", 135},
		{"HDR_TRUNC", 135},
		{"SKB_BAD_GSO", 135},
		{"IP_INHDR", 136},
		{"TCP_MINTTL", 137},
		{"QDISC_DROP", 139},
		{"QDISC_OVERLIMIT", 139},
		{"FQ_FLOW_LIMIT", 139},
		{"CPU_BACKLOG", 139},
		{"FULL_RING", 139},
		{"IP_RPFILTER", 140},
		{"DEV_READY", 142},
		{"IP_INADDRERRORS", 142},
		{"OTHERHOST", 142},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
		g_assert_cmpuint(record_forwarding_status(cases[i].name), ==, cases[i].status);
}

static void test_latencies(void)
{
	struct flow_id id = {.eth_proto = 0x0800, .protocol = IPPROTO_TCP};
	struct flow_metrics metrics = {.packets = 1, .rtt = {.server_us = 2000001, .client_us = 1}};
	struct dns_record dns = {.latency_us = 3000999, .name_len = 1};
	struct flow_record record = derive(&id, &metrics, &dns, &no_resolver);

	g_assert_cmpuint(record.client_latency_ms, ==, 1); /* 0 would be "not measured" */
	g_assert_cmpuint(record.client_latency_s, ==, 0);
	g_assert_cmpuint(record.client_latency_us, ==, 1);
	g_assert_cmpuint(record.server_latency_ms, ==, 1001);
	g_assert_cmpuint(record.server_latency_s, ==, 2);
	g_assert_cmpuint(record.server_latency_us, ==, 1);
	g_assert_cmpuint(record.reverse_delta_ms, ==, 2001);
	g_assert_cmpuint(record.appl_latency_ms, ==, 3001);
	g_assert_cmpuint(record.appl_latency_s, ==, 3);
	g_assert_cmpuint(record.appl_latency_us, ==, 999);

	metrics.rtt.server_us = 40000;
	metrics.rtt.client_us = UINT32_MAX;
	record = derive(&id, &metrics, NULL, &no_resolver);
	g_assert_cmpuint(record.server_latency_ms, ==, 20);
	g_assert_cmpuint(record.reverse_delta_ms, ==, 40);
	g_assert_cmpuint(record.client_latency_ms, ==, 2147484);
}

static void test_dns(void)
{
	struct flow_id id = {.eth_proto = 0x0800, .protocol = IPPROTO_UDP};
	struct flow_metrics metrics = {.packets = 1};
	struct dns_record dns = {
		.flags = 0x8183,
		.query_type = 255,
		.name_len = 13,
		.name = "\7example\3org",
	};
	struct flow_record record = derive(&id, &metrics, &dns, &no_resolver);

	g_assert_cmpuint(record.dns_rcode, ==, 3);
	g_assert_cmpuint(record.dns_type8, ==, 255);
	g_assert_cmpstr(record.dns_name, ==, "example.org");

	dns.query_type = 28;
	record = derive(&id, &metrics, &dns, &no_resolver);
	g_assert_cmpuint(record.dns_type8, ==, 28);

	dns.query_type = 257; /* CAA */
	dns.name_len = 0;
	record = derive(&id, &metrics, &dns, &no_resolver);
	g_assert_cmpuint(record.dns_type8, ==, 255);
	g_assert_cmpstr(record.dns_name, ==, "");

	dns.name_len = UINT16_MAX; /* a lie must not be believed */
	record = derive(&id, &metrics, &dns, &no_resolver);
	g_assert_cmpstr(record.dns_name, ==, "");
}

static void assert_name(const void *wire, size_t len, const char *expected)
{
	g_autofree uint8_t *copy = g_memdup2(wire, len); /* the end is the end, for ASan */
	char name[RECORD_DNS_NAME_MAX];

	record_dns_name(copy, len, name);
	g_assert_cmpstr(name, ==, expected);
}

static void test_dns_name(void)
{
	assert_name("\0", 1, ".");
	assert_name("\1a\0", 3, "a");
	assert_name("\3WwW\7example\3org\0", 17, "WwW.example.org");
	assert_name("\4_dns\1*\0", 8, "_dns.*");
	/* what would be read otherwise (RFC 1035 5.1, RFC 4343 2.1) */
	assert_name("\3a.b\2\\c\0", 8, "a\\.b.\\\\c");
	assert_name("\7\"();@$~\0", 9, "\\\"\\(\\)\\;\\@\\$~");
	assert_name("\6\0 \n\177\200\377\0", 8, "\\000\\032\\010\\127\\128\\255");
}

static void test_dns_name_malformed(void)
{
	assert_name("", 0, "");
	assert_name("\3www", 4, "");		   /* no root */
	assert_name("\3ww", 3, "");		   /* label longer than what is there */
	assert_name("\1a\300\4", 4, "");	   /* compression */
	assert_name("\100abc\0", 5, "");	   /* label over 63 */
	assert_name("\1a\0x", 4, "");		   /* something behind the root */
	assert_name("\3www\7example\3or", 15, ""); /* no prefix of a name is a name */
}

static void test_dns_name_longest(void)
{
	uint8_t wire[256];
	char name[RECORD_DNS_NAME_MAX];
	size_t at = 0;

	/* labels of 63, 63, 63 and 61 octets that all need three digits */
	memset(wire, 0xff, sizeof(wire));
	for (int i = 0; i < 4; i++) {
		wire[at] = i < 3 ? 63 : 61;
		at += 1 + wire[at];
	}
	wire[at++] = 0;
	g_assert_cmpuint(at, ==, 255);
	record_dns_name(wire, at, name);
	g_assert_cmpuint(strlen(name), ==, 250 * 4 + 3);
	g_assert_true(g_str_has_suffix(name, "\\255\\255"));

	/* one more is too much (RFC 1035 2.3.4) */
	wire[192] = 62;
	wire[254] = 0xff;
	wire[255] = 0;
	record_dns_name(wire, 256, name);
	g_assert_cmpstr(name, ==, "");
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/record/plain", test_plain);
	g_test_add_func("/record/clock-step", test_clock_step);
	g_test_add_func("/record/icmp", test_icmp);
	g_test_add_func("/record/interfaces", test_interfaces);
	g_test_add_func("/record/mpls", test_mpls);
	g_test_add_func("/record/drops", test_drops);
	g_test_add_func("/record/forwarding-status", test_forwarding_status);
	g_test_add_func("/record/latencies", test_latencies);
	g_test_add_func("/record/dns", test_dns);
	g_test_add_func("/record/dns-name", test_dns_name);
	g_test_add_func("/record/dns-name-malformed", test_dns_name_malformed);
	g_test_add_func("/record/dns-name-longest", test_dns_name_longest);
	return g_test_run();
}

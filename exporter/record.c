/* SPDX-License-Identifier: MIT */
/* From what the kernel counted to what a collector reads. Above: cache.c; below: template.c. */
#include "config.h"

#include "record.h"

#include <linux/if_ether.h>
#include <netinet/in.h>
#include <string.h>

#include <glib.h>

#define USEC_PER_MSEC 1000u
#define USEC_PER_SEC  1000000u

#define DNS_LABEL_MAX	 63
#define DNS_NAME_MAX	 255
#define DNS_RCODE(flags) ((flags)&0x0f)

static void derive_times(struct flow_record *record, const struct clock_now *now);
static void derive_ports(struct flow_record *record);
static void derive_interfaces(struct flow_record *record, const struct record_resolver *resolver);
static uint32_t logical_interface(const struct record_resolver *resolver, uint8_t netns,
				  uint32_t ifindex, uint16_t vlan, uint16_t inner_vlan, char *name);
static void derive_mpls(struct flow_record *record);
static void derive_drops(struct flow_record *record, const struct record_resolver *resolver);
static void derive_latencies(struct flow_record *record);
static uint32_t divide_up(uint32_t value, uint32_t divisor);
static void derive_dns(struct flow_record *record);
static char *append_octet(char *out, uint8_t octet);

void record_derive(struct flow_record *record, const struct clock_now *now,
		   const struct record_resolver *resolver)
{
	derive_times(record, now);
	derive_ports(record);
	derive_interfaces(record, resolver);
	derive_mpls(record);
	derive_drops(record, resolver);
	derive_dns(record);
	derive_latencies(record);
}

const struct record_drop_cause record_unknown_cause = {"", FORWARDING_STATUS_DROPPED};

uint8_t record_forwarding_status(const char *drop_cause_name)
{
	/* By name: the numbers change from kernel to kernel. The first prefix that fits. */
	static const struct {
		const char *prefix;
		uint8_t status;
	} classes[] = {
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
		{"NEIGH_", 132},
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
		{"IPV6_NDISC_HOP_LIMIT", 137},
		{"TTL", 137},
		{"QDISC_", 139},
		{"FQ_", 139},
		{"CAKE_", 139},
		{"CPU_BACKLOG", 139},
		{"FULL_RING", 139},
		{"IP_RPFILTER", 140},
		{"DEV_", 142},
		{"IP_INADDRERRORS", 142},
		{"OTHERHOST", 142},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(classes); i++)
		if (g_str_has_prefix(drop_cause_name, classes[i].prefix))
			return classes[i].status;
	return FORWARDING_STATUS_DROPPED;
}

void record_dns_name(const uint8_t *wire, size_t len, char out[RECORD_DNS_NAME_MAX])
{
	char *end = out;
	size_t at = 0;

	out[0] = 0;
	if (len == 0 || len > DNS_NAME_MAX)
		return;
	while (wire[at] != 0) {
		size_t label_end = at + 1 + wire[at];

		/* the root's octet must follow */
		if (wire[at] > DNS_LABEL_MAX || label_end >= len) {
			out[0] = 0;
			return;
		}
		if (end != out)
			*end++ = '.';
		for (at++; at < label_end; at++)
			end = append_octet(end, wire[at]);
	}
	if (end == out)
		*end++ = '.';
	*end = 0;
	if (at + 1 != len)
		out[0] = 0;
}

static void derive_times(struct flow_record *record, const struct clock_now *now)
{
	record->start_ns = clock_to_real_ns(now, record->metrics.start_ns);
	record->end_ns = clock_to_real_ns(now, record->metrics.end_ns);
	record->start_ms = record->start_ns / NSEC_PER_MSEC;
	record->end_ms = record->end_ns / NSEC_PER_MSEC;
}

static void derive_ports(struct flow_record *record)
{
	const struct flow_id *id = &record->id;
	bool icmp4 = id->protocol == IPPROTO_ICMP;
	bool icmp6 = id->protocol == IPPROTO_ICMPV6;

	record->ip_version = id->eth_proto == ETH_P_IP ? 4 : id->eth_proto == ETH_P_IPV6 ? 6 : 0;
	record->dst_port = icmp4 || icmp6 ? 0 : id->dst_port;
	record->icmp_type_code4 = icmp4 ? id->dst_port : 0;
	record->icmp_type_code6 = icmp6 ? id->dst_port : 0;
}

static void derive_interfaces(struct flow_record *record, const struct record_resolver *resolver)
{
	const struct flow_id *id = &record->id;
	const struct flow_metrics *metrics = &record->metrics;
	char *name = record->interface_name;
	uint32_t here, there;

	memset(name, 0, sizeof(record->interface_name));
	here = logical_interface(resolver, id->netns, id->ifindex, id->vlan, id->inner_vlan, name);
	there = logical_interface(resolver, id->netns, metrics->far_ifindex, metrics->far_vlan, 0,
				  NULL);
	if (id->direction == FLOW_INGRESS) {
		record->ingress_ifindex = here;
		record->ingress_physical = id->ifindex;
		record->egress_ifindex = there;
		record->egress_physical = metrics->far_ifindex;
	} else {
		record->ingress_ifindex = there;
		record->ingress_physical = metrics->far_ifindex;
		record->egress_ifindex = here;
		record->egress_physical = id->ifindex;
	}
}

static uint32_t logical_interface(const struct record_resolver *resolver, uint8_t netns,
				  uint32_t ifindex, uint16_t vlan, uint16_t inner_vlan, char *name)
{
	if (ifindex == 0 || !resolver->logical_interface)
		return ifindex;
	return resolver->logical_interface(resolver->user, netns, ifindex, vlan, inner_vlan, name);
}

/* mplsTopLabelStackSection and its like: label, traffic class and S bit, no TTL. */
static void derive_mpls(struct flow_record *record)
{
	uint8_t *const sections[] = {record->mpls_label1, record->mpls_label2, record->mpls_label3};

	_Static_assert(G_N_ELEMENTS(sections) == FLOW_MPLS_LABELS, "a section for each label");
	for (size_t i = 0; i < G_N_ELEMENTS(sections); i++) {
		uint32_t entry = record->metrics.mpls[i];

		sections[i][0] = (uint8_t)(entry >> 24);
		sections[i][1] = (uint8_t)(entry >> 16);
		sections[i][2] = (uint8_t)(entry >> 8);
	}
}

/* The verdict is about the flow as a whole: dropped when no packet got through. */
static void derive_drops(struct flow_record *record, const struct record_resolver *resolver)
{
	const struct pkt_drops *drops = &record->metrics.drops;
	const struct record_drop_cause *cause = &record_unknown_cause;

	record->forwarding_status = FORWARDING_STATUS_FORWARDED;
	record->flow_verdict = FLOW_VERDICT_PASSED;
	if (drops->packets) {
		if (resolver->drop_cause)
			cause = resolver->drop_cause(resolver->user, drops->latest_cause);
		record->forwarding_status = cause->forwarding_status;
		if (drops->packets >= record->metrics.packets)
			record->flow_verdict = FLOW_VERDICT_DROPPED;
	}
	g_strlcpy(record->drop_cause_name, cause->name, sizeof(record->drop_cause_name));
}

/* ntop: half of the RTT in milliseconds, where 0 would be "not measured"; nfdump: the whole. */
static void derive_latencies(struct flow_record *record)
{
	const struct flow_rtt *rtt = &record->metrics.rtt;
	uint32_t appl_us = record->has_dns ? record->dns.latency_us : 0;

	record->client_latency_ms = divide_up(rtt->client_us, 2 * USEC_PER_MSEC);
	record->server_latency_ms = divide_up(rtt->server_us, 2 * USEC_PER_MSEC);
	record->appl_latency_ms = divide_up(appl_us, USEC_PER_MSEC);
	record->reverse_delta_ms = divide_up(rtt->server_us, USEC_PER_MSEC);
	record->client_latency_s = rtt->client_us / USEC_PER_SEC;
	record->client_latency_us = rtt->client_us % USEC_PER_SEC;
	record->server_latency_s = rtt->server_us / USEC_PER_SEC;
	record->server_latency_us = rtt->server_us % USEC_PER_SEC;
	record->appl_latency_s = appl_us / USEC_PER_SEC;
	record->appl_latency_us = appl_us % USEC_PER_SEC;
}

static uint32_t divide_up(uint32_t value, uint32_t divisor)
{
	return value / divisor + (value % divisor != 0);
}

static void derive_dns(struct flow_record *record)
{
	const struct dns_record *dns = &record->dns;

	record->dns_rcode = 0;
	record->dns_type8 = 0;
	record->dns_name[0] = 0;
	if (!record->has_dns)
		return;
	record->dns_rcode = DNS_RCODE(dns->flags);
	record->dns_type8 = (uint8_t)MIN(dns->query_type, UINT8_MAX);
	record_dns_name(dns->name, MIN(dns->name_len, sizeof(dns->name)), record->dns_name);
}

static char *append_octet(char *out, uint8_t octet)
{
	if (octet <= ' ' || octet >= 0x7f) {
		*out++ = '\\';
		*out++ = (char)('0' + octet / 100);
		*out++ = (char)('0' + octet / 10 % 10);
		*out++ = (char)('0' + octet % 10);
		return out;
	}
	/* what has a meaning in a master file (RFC 1035 5.1) */
	if (strchr(".\\\"();@$", octet))
		*out++ = '\\';
	*out++ = (char)octet;
	return out;
}

/* SPDX-License-Identifier: MIT */
/*
 * One flow as it is exported: host order, wall-clock time, names resolved. A value: no pointer
 * inside, lives on the stack. Above: cache.c ends flows; below: template.c chooses among the
 * fields.
 */
#ifndef BPFLOWD_RECORD_H
#define BPFLOWD_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clock.h"
#include "kernel/flow.h"

#define RECORD_DNS_NAME_MAX	  1024 /* presentation form: every octet as \DDD, dots, end */
#define RECORD_DROP_NAME_MAX	  64
#define RECORD_INTERFACE_NAME_MAX 16

/* IANA flowEndReason (136) */
enum flow_end_reason {
	FLOW_END_IDLE = 1,
	FLOW_END_ACTIVE = 2,
	FLOW_END_DETECTED = 3,
	FLOW_END_FORCED = 4,
	FLOW_END_RESOURCES = 5,
};

/* IANA forwardingStatus (89, RFC 7270 4.12): two bits of status, six of reason */
enum forwarding_status { FORWARDING_STATUS_FORWARDED = 64, FORWARDING_STATUS_DROPPED = 128 };

/* ntop FLOW_VERDICT */
enum flow_verdict { FLOW_VERDICT_PASSED = 1, FLOW_VERDICT_DROPPED = 2 };

struct flow_record {
	struct flow_id id;
	struct flow_metrics metrics;
	/* derived from here on; record_derive fills it */
	uint64_t start_ms; /* Unix time */
	uint64_t end_ms;
	uint64_t start_ns;
	uint64_t end_ns;
	uint32_t ingress_ifindex;
	uint32_t egress_ifindex;
	uint32_t ingress_physical;
	uint32_t egress_physical;
	uint32_t client_latency_ms;
	uint32_t server_latency_ms;
	uint32_t appl_latency_ms;
	uint32_t client_latency_s;
	uint32_t client_latency_us;
	uint32_t server_latency_s;
	uint32_t server_latency_us;
	uint32_t appl_latency_s;
	uint32_t appl_latency_us;
	uint32_t reverse_delta_ms;
	uint16_t dst_port;
	uint16_t icmp_type_code4;
	uint16_t icmp_type_code6;
	uint16_t flow_verdict;
	uint8_t ip_version;
	uint8_t end_reason; /* enum flow_end_reason */
	uint8_t forwarding_status;
	uint8_t dns_rcode;
	uint8_t dns_type8;
	bool has_dns;
	uint8_t mpls_label1[3];
	uint8_t mpls_label2[3];
	uint8_t mpls_label3[3];
	char interface_name[RECORD_INTERFACE_NAME_MAX];
	char drop_cause_name[RECORD_DROP_NAME_MAX];
	struct dns_record dns;		    /* only set when has_dns */
	char dns_name[RECORD_DNS_NAME_MAX]; /* "" without DNS */
};

struct record_drop_cause {
	const char *name;	   /* without SKB_DROP_REASON_, "" if unknown */
	uint8_t forwarding_status; /* record_forwarding_status of it */
};

extern const struct record_drop_cause record_unknown_cause;

/* What record_derive asks about the world outside. All callbacks may be NULL; user is passed
 * through. */
struct record_resolver {
	/* The interface that names (ifindex, vlan, inner_vlan) to an operator: the VLAN device over
	 * it, the bond or bridge above it, or ifindex itself. name (RECORD_INTERFACE_NAME_MAX) may
	 * be NULL.
	 */
	uint32_t (*logical_interface)(void *user, uint8_t netns, uint32_t ifindex, uint16_t vlan,
				      uint16_t inner_vlan, char *name);
	/* A drop reason of the running kernel; never NULL. */
	const struct record_drop_cause *(*drop_cause)(void *user, uint32_t cause);
	void *user;
};

/* Fills everything below `metrics` but end_reason, dns and has_dns, which the caller has set. `now`
 * ties the monotonic times of the metrics to wall-clock time: one offset for both, so that a step
 * of the clock doesn't bend durations. */
void record_derive(struct flow_record *record, const struct clock_now *now,
		   const struct record_resolver *resolver);

/* Class of a drop as IANA forwardingStatus (RFC 7270 4.12) by the reason's name without
 * SKB_DROP_REASON_; 128 unknown. */
uint8_t record_forwarding_status(const char *drop_cause_name);

/* Presentation form (RFC 1035 5.1, RFC 4343 2.1) of a wire-form name; "" if it is malformed, "."
 * for the root. */
void record_dns_name(const uint8_t *wire, size_t len, char out[RECORD_DNS_NAME_MAX]);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * How a delta joins a flow: one statement per row of fields.def, so that a new metric needs nothing
 * here. A row ALONG must follow its row LAST. Used by cache.c.
 */
#ifndef BPFLOWD_MERGE_H
#define BPFLOWD_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "kernel/flow.h"

static inline bool merge_is_set(const void *member, size_t size)
{
	static const char zero[FLOW_DNS_NAME_MAX];

	return memcmp(member, zero, size) != 0;
}

#define MERGE_KEY(member)
#define MERGE_NONE(member)
#define MERGE_SUM(member) flow->member += delta->member;
#define MERGE_OR(member)  flow->member |= delta->member;
#define MERGE_MAX(member)                 \
	if (delta->member > flow->member) \
		flow->member = delta->member;
#define MERGE_MIN(member)                                                     \
	if (delta->member && (!flow->member || delta->member < flow->member)) \
		flow->member = delta->member;
#define MERGE_LOW(member)                                                     \
	if (delta->packets && (!had_packets || delta->member < flow->member)) \
		flow->member = delta->member;
#define MERGE_FIRST(member)                                     \
	if (!merge_is_set(&flow->member, sizeof(flow->member))) \
		memcpy(&flow->member, &delta->member, sizeof(flow->member));
#define MERGE_LAST(member)                                           \
	taken = merge_is_set(&delta->member, sizeof(delta->member)); \
	if (taken)                                                   \
		memcpy(&flow->member, &delta->member, sizeof(flow->member));
#define MERGE_ALONG(member) \
	if (taken)          \
		memcpy(&flow->member, &delta->member, sizeof(flow->member));

#define FIELD(group, member, merge, ...) FIELD_OF_##group(member, merge)
#define FIELD_OF_ID(member, merge)
#define FIELD_OF_RECORD(member, merge)

static inline void merge_metrics(struct flow_metrics *flow, const struct flow_metrics *delta)
{
	bool had_packets = flow->packets != 0;
	bool taken = false;

#define FIELD_OF_METRICS(member, merge) MERGE_##merge(member)
#define FIELD_OF_DNS(member, merge)
#include "fields.def"
#undef FIELD_OF_METRICS
#undef FIELD_OF_DNS
}

static inline void merge_dns(struct dns_record *flow, const struct dns_record *delta)
{
	bool taken = false;

#define FIELD_OF_METRICS(member, merge)
#define FIELD_OF_DNS(member, merge) MERGE_##merge(member)
#include "fields.def"
#undef FIELD_OF_METRICS
#undef FIELD_OF_DNS
}

#undef FIELD
#undef FIELD_OF_ID
#undef FIELD_OF_RECORD
#undef MERGE_KEY
#undef MERGE_NONE
#undef MERGE_SUM
#undef MERGE_OR
#undef MERGE_MAX
#undef MERGE_MIN
#undef MERGE_LOW
#undef MERGE_FIRST
#undef MERGE_LAST
#undef MERGE_ALONG

#endif

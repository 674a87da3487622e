/* SPDX-License-Identifier: MIT */
/*
 * `show flows`: which flows, in which order, how many. Two walks over the cache, so that only what
 * is shown becomes JSON: the first finds the limit's threshold, the second takes what reaches it.
 */
#ifndef BPFLOWD_VIEW_FLOWS_H
#define BPFLOWD_VIEW_FLOWS_H

#include "views.h"

struct view_flows;

/* args: of the request: sort (rate, octets or bytes, packets, start, end, drops), limit, address,
 * port, interface, protocol. Fails when one is not understood. names is copied. */
struct view_flows *view_flows_new(const json_t *args, const struct view_names *names,
				  uint64_t now_mono_ns, GError **error);

/* First walk; records as record_derive leaves them. */
void view_flows_survey(struct view_flows *view, const struct flow_record *record);
/* Second walk over the same flows. */
void view_flows_take(struct view_flows *view, const struct flow_record *record);

/* {"flows": [...], "matched": N, "total": N}. Frees the view. */
json_t *view_flows_end(struct view_flows *view);

#endif

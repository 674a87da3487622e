/* SPDX-License-Identifier: MIT */
/*
 * `show flows`: which flows, in which order, how many. Two walks over the cache: the first finds
 * the limit's threshold, the second notes what reaches it, as small as it can be. That becomes JSON
 * piece by piece while it is sent: all flows at once as text would be many times the cache.
 */
#ifndef BPFLOWD_VIEW_FLOWS_H
#define BPFLOWD_VIEW_FLOWS_H

#include "views.h"

struct view_flows;

/* record_derive, with what it needs. */
typedef void view_derive(void *user, struct flow_record *record);

/* args: of the request: sort (rate, octets or bytes, packets, start, end, drops), limit, address,
 * port, interface, protocol. Fails when one is not understood. names is copied; derive gets its
 * user. */
struct view_flows *view_flows_new(const json_t *args, const struct view_names *names,
				  view_derive *derive, uint64_t now_mono_ns, GError **error);
void view_flows_free(struct view_flows *view);

/* First walk; records as cache_foreach has them: view_flows derives the rest. */
void view_flows_survey(struct view_flows *view, struct flow_record *record);
/* Second walk over the same flows. */
void view_flows_take(struct view_flows *view, struct flow_record *record);

/* Then, until it returns false: appends a piece of {"flows": [...], "matched": N, "total": N}. */
bool view_flows_next(struct view_flows *view, GString *text);

#endif

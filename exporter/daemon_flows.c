/* SPDX-License-Identifier: MIT */
/* `bpflowctl show flows`: both walks of view_flows.c over the cache. */
#include "config.h"

#include "daemon_private.h"
#include "view_flows.h"

struct walk {
	struct daemon *daemon;
	struct view_flows *view;
	void (*visit)(struct view_flows *view, const struct flow_record *record);
};

static const char *interface_name(void *user, uint8_t netns, uint32_t ifindex)
{
	struct daemon *d = user;
	const struct interface *interface = interfaces_get(d->interfaces, netns, ifindex);

	return interface ? interface->name : "";
}

static bool look_at(void *user, struct flow_record *record)
{
	struct walk *w = user;

	record_derive(record, &w->daemon->now, &w->daemon->resolver);
	w->visit(w->view, record);
	return true;
}

json_t *daemon_answer_flows(void *user, const json_t *args, GError **error)
{
	struct daemon *d = user;
	const struct view_names names = {interface_name, d};
	struct walk w = {.daemon = d};
	struct clock_now now;

	clock_read(&now);
	w.view = view_flows_new(args, &names, now.mono_ns, error);
	if (!w.view)
		return NULL;
	daemon_drain(d);
	w.visit = view_flows_survey;
	cache_foreach(d->cache, look_at, &w);
	w.visit = view_flows_take;
	cache_foreach(d->cache, look_at, &w);
	return view_flows_end(w.view);
}

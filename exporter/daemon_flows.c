/* SPDX-License-Identifier: MIT */
/* `bpflowctl show flows`: both walks of view_flows.c over the cache. */
#include "config.h"

#include "daemon_private.h"
#include "view_flows.h"

struct walk {
	struct view_flows *view;
	void (*visit)(struct view_flows *view, struct flow_record *record);
};

static const char *interface_name(void *user, uint8_t netns, uint32_t ifindex)
{
	struct daemon *d = user;
	const struct interface *interface = interfaces_get(d->interfaces, netns, ifindex);

	return interface ? interface->name : "";
}

static void derive(void *user, struct flow_record *record)
{
	struct daemon *d = user;

	record_derive(record, &d->now, &d->resolver);
}

static bool look_at(void *user, struct flow_record *record)
{
	struct walk *w = user;

	w->visit(w->view, record);
	return true;
}

static bool next_piece(void *state, GString *text)
{
	return view_flows_next(state, text);
}

static void free_view(void *state)
{
	view_flows_free(state);
}

bool daemon_open_flows(void *user, const json_t *args, struct control_pieces *pieces,
		       GError **error)
{
	struct daemon *d = user;
	const struct view_names names = {interface_name, d};
	struct clock_now now;
	struct walk w;

	clock_read(&now);
	w.view = view_flows_new(args, &names, derive, now.mono_ns, error);
	if (!w.view)
		return false;
	daemon_drain(d);
	w.visit = view_flows_survey;
	cache_foreach(d->cache, look_at, &w);
	w.visit = view_flows_take;
	cache_foreach(d->cache, look_at, &w);
	*pieces = (struct control_pieces){next_piece, free_view, w.view};
	return true;
}

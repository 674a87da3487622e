/* SPDX-License-Identifier: MIT */
/* The verbs of bpflowctl, answered from the actors. */
#include "config.h"

#include "daemon_private.h"

#define FLUSH_POLL_MS	 5
#define FLUSH_TIMEOUT_NS (30 * NSEC_PER_SEC)

/* A flush that waits until the queues are empty. */
struct flush {
	struct daemon *daemon;
	struct control_request *request;
	uint64_t flows;
	uint64_t deadline_ns;
};

static gboolean on_flush_timer(gpointer user)
{
	struct flush *f = user;
	struct daemon *d = f->daemon;
	struct clock_now now;

	clock_read(&now);
	if (!outputs_idle(d->outputs) && now.mono_ns < f->deadline_ns)
		return G_SOURCE_CONTINUE;
	control_reply(f->request,
		      json_pack("{s:I,s:b}", "flows", (json_int_t)f->flows, "sent",
				outputs_idle(d->outputs)),
		      NULL);
	g_ptr_array_remove_fast(d->flushes, f);
	return G_SOURCE_REMOVE;
}

static void begin_flush(void *user, const json_t *args, struct control_request *request)
{
	struct daemon *d = user;
	struct flush *f = g_new0(struct flush, 1);

	daemon_drain(d);
	f->daemon = d;
	f->request = request;
	f->flows = cache_stats(d->cache)->flows;
	f->deadline_ns = d->now.mono_ns + FLUSH_TIMEOUT_NS;
	g_ptr_array_add(d->flushes, f);
	daemon_flush(d);
	g_timeout_add(FLUSH_POLL_MS, on_flush_timer, f);
}

static json_t *answer_reload(void *user, const json_t *args, GError **error)
{
	return daemon_reload(user, error) ? json_pack("{s:b}", "reloaded", 1) : NULL;
}

const struct control_verb daemon_verbs[] = {
	{.name = "flush", .changes = true, .begin = begin_flush},
	{.name = "reload", .changes = true, .answer = answer_reload},
	{.name = NULL},
};

/* SPDX-License-Identifier: MIT */
/* The verbs of bpflowctl, answered from the actors. */
#include "config.h"

#include "daemon_private.h"
#include "views.h"

#define FLUSH_POLL_MS	 5
#define FLUSH_GRACE_NS	 NSEC_PER_SEC /* for a collector to come up */
#define FLUSH_TIMEOUT_NS (10 * NSEC_PER_SEC)

/* A flush that waits until the queues are empty. */
struct flush {
	struct daemon *daemon;
	struct control_request *request;
	uint64_t flows;
	uint64_t begin_ns;
	bool up_wait; /* a collector that is up has not taken all yet */
	bool down_wait;
	uint64_t queued_bytes;
	json_t *waiting; /* who has not taken all; NULL until that is told */
	guint timer;
};

static void look_at_queue(void *user, const struct collector *collector,
			  const struct template *template, const struct output_skipped *skipped)
{
	const struct collector_stats *stats = collector_stats(collector);
	struct flush *f = user;

	if (!stats->queued_bytes)
		return;
	f->up_wait |= stats->up;
	f->down_wait |= !stats->up;
	f->queued_bytes += stats->queued_bytes;
	if (f->waiting)
		json_array_append_new(
			f->waiting, json_pack("{s:s,s:b,s:I,s:I,s:s}", "collector",
					      collector_settings(collector)->name, "up", stats->up,
					      "queued_flows", (json_int_t)stats->queued_flows,
					      "queued_bytes", (json_int_t)stats->queued_bytes,
					      "last_error", stats->last_error));
}

static void look_at_queues(struct flush *f)
{
	f->up_wait = f->down_wait = false;
	f->queued_bytes = 0;
	outputs_foreach(f->daemon->outputs, look_at_queue, f);
}

/* One that is down keeps nobody waiting. */
static bool is_flushed(struct flush *f)
{
	struct clock_now now;

	clock_read(&now);
	look_at_queues(f);
	return now.mono_ns - f->begin_ns >= FLUSH_TIMEOUT_NS ||
	       (!f->up_wait && (!f->down_wait || now.mono_ns - f->begin_ns >= FLUSH_GRACE_NS));
}

/* Frees it, too. */
static void answer_flush(struct flush *f)
{
	f->waiting = json_array();
	look_at_queues(f);
	control_reply(f->request,
		      json_pack("{s:I,s:I,s:o}", "flows", (json_int_t)f->flows, "queued_bytes",
				(json_int_t)f->queued_bytes, "waiting", f->waiting),
		      NULL);
	g_ptr_array_remove_fast(f->daemon->flushes, f);
}

static gboolean on_flush_timer(gpointer user)
{
	struct flush *f = user;

	if (!is_flushed(f))
		return G_SOURCE_CONTINUE;
	answer_flush(f);
	return G_SOURCE_REMOVE;
}

void daemon_end_flushes(struct daemon *d)
{
	while (d->flushes->len) {
		struct flush *f = g_ptr_array_index(d->flushes, 0);

		g_source_remove(f->timer);
		answer_flush(f);
	}
}

static void begin_flush(void *user, const json_t *args, struct control_request *request)
{
	struct daemon *d = user;
	struct flush *f = g_new0(struct flush, 1);

	daemon_drain(d);
	f->daemon = d;
	f->request = request;
	f->flows = cache_stats(d->cache)->flows;
	f->begin_ns = d->now.mono_ns;
	g_ptr_array_add(d->flushes, f);
	daemon_flush(d);
	f->timer = g_timeout_add(FLUSH_POLL_MS, on_flush_timer, f);
}

/* An array that a foreach callback fills. */
struct listing {
	struct daemon *daemon;
	json_t *list;
};

static void list_interface(void *user, const struct interface *interface)
{
	struct listing *l = user;
	struct report_traffic traffic;

	daemon_traffic(l->daemon, interface, &traffic);
	json_array_append_new(l->list, view_interface(interface, &traffic));
}

static json_t *answer_interfaces(void *user, const json_t *args, GError **error)
{
	struct listing l = {user, json_array()};

	interfaces_foreach(l.daemon->interfaces, list_interface, &l);
	return json_pack("{s:o}", "interfaces", l.list);
}

static void list_collector(void *user, const struct collector *collector,
			   const struct template *template, const struct output_skipped *skipped)
{
	struct listing *l = user;
	struct clock_now now;

	clock_read(&now);
	json_array_append_new(l->list, view_collector(collector_settings(collector),
						      collector_stats(collector), now.mono_ns));
}

static json_t *answer_collectors(void *user, const json_t *args, GError **error)
{
	struct listing l = {user, json_array()};

	outputs_foreach(l.daemon->outputs, list_collector, &l);
	return json_pack("{s:o}", "collectors", l.list);
}

/* Each template once, however many collectors use it. */
static void list_template(void *user, const struct collector *collector,
			  const struct template *template, const struct output_skipped *skipped)
{
	struct listing *l = user;
	enum encoder_format format = collector_settings(collector)->protocol;
	json_t *view = view_template(template, format, l->daemon->settings->enterprise_number);
	json_t *other;
	size_t i;

	json_array_foreach(l->list, i, other)
	{
		if (!json_equal(other, view))
			continue;
		json_decref(view);
		return;
	}
	json_array_append_new(l->list, view);
}

static json_t *answer_templates(void *user, const json_t *args, GError **error)
{
	struct listing l = {user, json_array()};

	outputs_foreach(l.daemon->outputs, list_template, &l);
	return json_pack("{s:o}", "templates", l.list);
}

static json_t *answer_stats(void *user, const json_t *args, GError **error)
{
	struct metrics *metrics = daemon_collect(user);
	json_t *answer = view_stats(metrics);

	metrics_free(metrics);
	return answer;
}

static json_t *answer_reload(void *user, const json_t *args, GError **error)
{
	struct daemon *d = user;

	if (!daemon_reload(d, error))
		return NULL;
	return json_pack("{s:s}", "restart_needed", d->restart_needed);
}

const struct control_verb daemon_verbs[] = {
	{.name = "flows", .open = daemon_open_flows},
	{.name = "interfaces", .answer = answer_interfaces},
	{.name = "collectors", .answer = answer_collectors},
	{.name = "templates", .answer = answer_templates},
	{.name = "drops", .answer = daemon_answer_drops},
	{.name = "stats", .answer = answer_stats},
	{.name = "flush", .changes = true, .begin = begin_flush},
	{.name = "reload", .changes = true, .answer = answer_reload},
	{.name = NULL},
};

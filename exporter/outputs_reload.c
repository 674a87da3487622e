/* SPDX-License-Identifier: MIT */
/*
 * Another configuration takes the place of the one in force. A collector is known by its name and
 * protocol: it keeps its queue and its numbers, and its session unless that itself is another. One
 * that is no longer configured gets some time to send what it holds. Above: daemon.c.
 */
#include "config.h"

#include "outputs_private.h"

#include "clock.h"
#include "log.h"
#include "transport.h"

#define RETIRE_NS	  (10 * NSEC_PER_SEC) /* for one that is removed to send what it holds */
#define RETIRE_AT_ONCE_NS (20 * NSEC_PER_MSEC)
#define RETIRE_POLL_MS	  100

static struct output *find(const struct outputs *o, const struct settings_collector *c)
{
	for (guint i = 0; i < o->outputs->len; i++) {
		struct output *output = g_ptr_array_index(o->outputs, i);

		if (g_str_equal(output->settings->name, c->name) &&
		    output->settings->protocol == c->protocol)
			return output;
	}
	return NULL;
}

static void add_error(GString *errors, const struct settings_collector *c, const GError *error)
{
	g_string_append_printf(errors, "%scollector %s: %s", errors->len ? "\n" : "", c->name,
			       error->message);
}

/* All that can fail: groups, in the order of the collectors. NULL on failure, then nothing has
 * changed. */
static GPtrArray *prepare(struct outputs *o, const struct settings *settings, GError **error)
{
	g_autoptr(GString) errors = g_string_new(NULL);
	g_autoptr(GPtrArray) groups = g_ptr_array_new();

	for (guint i = 0; i < settings->collectors->len; i++) {
		const struct settings_collector *c = g_ptr_array_index(settings->collectors, i);
		const struct output *old = find(o, c);
		bool same = old && settings_same_session(old->settings, c);
		g_autoptr(GError) problem = NULL;

		if (!same && !transport_check(c, &problem)) {
			add_error(errors, c, problem);
			continue;
		}
		g_ptr_array_add(groups, group_get(o, c, &problem));
		if (problem)
			add_error(errors, c, problem);
	}
	if (!errors->len)
		return g_steal_pointer(&groups);
	g_set_error_literal(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, errors->str);
	groups_drop_unused(o);
	return NULL;
}

static struct output *new_output(struct outputs *o, struct encode_group *group,
				 const struct settings_collector *c)
{
	struct output *output = g_new0(struct output, 1);

	output->outputs = o;
	output->settings = c;
	output->former = g_ptr_array_new();
	output->known = g_ptr_array_new_with_free_func((GDestroyNotify)message_unref);
	output->name_hash = g_str_hash(c->name) * 0x9e3779b97f4a7c15ull;
	group_join(group, output);
	output->collector = collector_new(
		c, o->domain, o->boot_real_ms,
		&(struct collector_callbacks){group_templates, group_options, output});
	return output;
}

static void change_output(struct output *output, struct encode_group *group,
			  const struct settings_collector *c)
{
	bool other_group = output->group != group;

	if (other_group)
		group_join(group, output);
	output->settings = c;
	collector_set_settings(output->collector, c);
	if (other_group)
		collector_announce(output->collector);
}

static void end_retired(struct output *output)
{
	log_info("collector %s: removed", output->settings->name);
	output_free(output);
}

static gboolean on_retired(gpointer user)
{
	struct outputs *o = user;
	struct clock_now now;

	clock_read(&now);
	for (guint i = o->retired->len; i-- > 0;) {
		struct output *output = g_ptr_array_index(o->retired, i);

		if (collector_stats(output->collector)->queued_messages &&
		    now.mono_ns < output->deadline_ns)
			continue;
		g_ptr_array_steal_index(o->retired, i);
		end_retired(output);
	}
	groups_drop_unused(o);
	if (o->retired->len)
		return G_SOURCE_CONTINUE;
	o->retired_timer = 0;
	return G_SOURCE_REMOVE;
}

/* Takes the output over. One that has nothing to send, or can at once, is gone before its successor
 * asks for the same port or file. */
static void retire(struct outputs *o, struct output *output)
{
	struct clock_now now;

	clock_read(&now);
	group_leave(output);
	if (collector_stats(output->collector)->up)
		collector_drain(output->collector, now.mono_ns + RETIRE_AT_ONCE_NS);
	if (!collector_stats(output->collector)->queued_messages) {
		end_retired(output);
		return;
	}
	output->owner = settings_ref(o->settings);
	output->deadline_ns = now.mono_ns + RETIRE_NS;
	g_ptr_array_add(o->retired, output);
	if (!o->retired_timer)
		o->retired_timer = g_timeout_add(RETIRE_POLL_MS, on_retired, o);
}

static void commit(struct outputs *o, struct settings *settings, const GPtrArray *groups)
{
	g_autoptr(GPtrArray) leaving = g_steal_pointer(&o->outputs);
	GPtrArray *kept = g_ptr_array_new();

	g_ptr_array_set_free_func(leaving, NULL);
	o->outputs = leaving; /* find looks there */
	for (guint i = 0; i < groups->len; i++)
		g_ptr_array_add(kept, find(o, g_ptr_array_index(settings->collectors, i)));
	for (guint i = 0; i < leaving->len; i++)
		if (!g_ptr_array_find(kept, g_ptr_array_index(leaving, i), NULL))
			retire(o, g_ptr_array_index(leaving, i));
	o->outputs = g_ptr_array_new_with_free_func(output_free);
	for (guint i = 0; i < groups->len; i++) {
		const struct settings_collector *c = g_ptr_array_index(settings->collectors, i);
		struct encode_group *group = g_ptr_array_index(groups, i);
		struct output *output = g_ptr_array_index(kept, i);

		if (output)
			change_output(output, group, c);
		else
			output = new_output(o, group, c);
		g_ptr_array_add(o->outputs, output);
	}
	g_ptr_array_unref(kept);
}

bool outputs_reload(struct outputs *o, struct settings *settings, GError **error)
{
	g_autoptr(GPtrArray) groups = NULL;

	/* what is half full goes to those that it was encoded for */
	outputs_flush(o);
	groups = prepare(o, settings, error);
	if (!groups)
		return false;
	commit(o, settings, groups);
	settings_free(o->settings);
	o->settings = settings_ref(settings);
	outputs_route(o);
	groups_drop_unused(o);
	return true;
}

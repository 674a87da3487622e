/* SPDX-License-Identifier: MIT */
/*
 * Who gets which record: copies to all, or one member of each group. Above: daemon_meter.c; below:
 * outputs_group.c, outputs_reload.c.
 */
#include "config.h"

#include "outputs_private.h"

#include <errno.h>

#include "transport.h"

void output_free(gpointer data)
{
	struct output *o = data;

	group_leave(o);
	group_forget_former(o);
	o->group->n_users--;
	collector_free(o->collector);
	g_ptr_array_unref(o->former);
	g_ptr_array_unref(o->known);
	settings_free(o->owner);
	g_free(o);
}

static void choice_free(gpointer data)
{
	struct choice *c = data;

	g_ptr_array_unref(c->members);
	g_free(c);
}

static bool is_choice(const struct settings_collector *c)
{
	return *c->group && c->group_mode != GROUP_COPY;
}

static struct choice *find_choice(struct outputs *o, const struct settings_collector *c)
{
	struct choice *choice;

	for (guint i = 0; i < o->choices->len; i++) {
		choice = g_ptr_array_index(o->choices, i);
		if (g_str_equal(choice->name, c->group))
			return choice;
	}
	choice = g_new0(struct choice, 1);
	choice->name = c->group;
	choice->mode = c->group_mode;
	choice->members = g_ptr_array_new();
	g_ptr_array_add(o->choices, choice);
	return choice;
}

/* Lists of who gets which record, made anew from the outputs. */
void outputs_route(struct outputs *o)
{
	g_ptr_array_set_size(o->choices, 0);
	g_ptr_array_set_size(o->copies, 0);
	for (guint i = 0; i < o->outputs->len; i++) {
		struct output *output = g_ptr_array_index(o->outputs, i);

		if (is_choice(output->settings))
			g_ptr_array_add(find_choice(o, output->settings)->members, output);
		else if (!g_ptr_array_find(o->copies, output->group, NULL))
			g_ptr_array_add(o->copies, output->group);
	}
}

struct outputs *outputs_new(struct settings *settings, uint64_t boot_real_ms,
			    const struct outputs_callbacks *callbacks, GError **error)
{
	struct outputs *o = g_new0(struct outputs, 1);

	o->callbacks = *callbacks;
	o->domain = settings->observation_domain_id;
	o->enterprise_number = settings->enterprise_number;
	o->boot_real_ms = boot_real_ms;
	o->next_id = TEMPLATE_FIRST_ID;
	o->groups = g_ptr_array_new_with_free_func(group_free);
	o->outputs = g_ptr_array_new_with_free_func(output_free);
	o->retired = g_ptr_array_new_with_free_func(output_free);
	o->copies = g_ptr_array_new();
	o->choices = g_ptr_array_new_with_free_func(choice_free);
	if (outputs_reload(o, settings, error))
		return o;
	outputs_free(o);
	return NULL;
}

void outputs_free(struct outputs *o)
{
	if (!o)
		return;
	g_clear_handle_id(&o->retired_timer, g_source_remove);
	g_ptr_array_unref(o->choices);
	g_ptr_array_unref(o->copies);
	g_ptr_array_unref(o->retired);
	g_ptr_array_unref(o->outputs);
	g_ptr_array_unref(o->groups);
	settings_free(o->settings);
	g_free(o);
}

bool outputs_check(const struct outputs *o, const char *account, GError **error)
{
	for (guint i = 0; i < o->outputs->len; i++) {
		const struct output *output = g_ptr_array_index(o->outputs, i);
		GError *problem = NULL;

		if (transport_check(output->settings, &problem))
			continue;
		g_prefix_error(&problem, "collector %s: ", output->settings->name);
		if (g_error_matches(problem, TRANSPORT_ERROR, EACCES) ||
		    g_error_matches(problem, TRANSPORT_ERROR, EPERM))
			g_set_error(error, problem->domain, problem->code,
				    "%s; grant it to account %s, which the daemon is from now on "
				    "without root's rights, or set exporter.user to another",
				    problem->message, account);
		else
			g_set_error_literal(error, problem->domain, problem->code,
					    problem->message);
		g_error_free(problem);
		return false;
	}
	return true;
}

static bool is_up(const struct output *output)
{
	return collector_stats(output->collector)->up;
}

/* The first that is up; the first of all while none is. */
static struct output *choose_failover(const struct choice *choice)
{
	for (guint i = 0; i < choice->members->len; i++) {
		struct output *output = g_ptr_array_index(choice->members, i);

		if (is_up(output))
			return output;
	}
	return g_ptr_array_index(choice->members, 0);
}

static uint64_t hash_key(const struct flow_id *id)
{
	const uint8_t *octets = (const uint8_t *)id;
	uint64_t h = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < sizeof(*id); i++)
		h = (h ^ octets[i]) * 0x100000001b3ull;
	return h;
}

/* Highest random weight: a member that goes down leaves its share to the others, theirs stays where
 * it was. */
static struct output *choose_balance(const struct choice *choice, const struct flow_record *record)
{
	uint64_t key = hash_key(&record->id), best = 0;
	struct output *chosen = NULL;
	bool any_up = false;

	for (guint i = 0; i < choice->members->len; i++)
		any_up |= is_up(g_ptr_array_index(choice->members, i));
	for (guint i = 0; i < choice->members->len; i++) {
		struct output *output = g_ptr_array_index(choice->members, i);
		uint64_t weight = (key ^ output->name_hash) * 0xbf58476d1ce4e5b9ull;

		weight ^= weight >> 32;
		weight *= 0x94d049bb133111ebull;
		if (any_up && !is_up(output))
			continue;
		if (!chosen || weight > best) {
			chosen = output;
			best = weight;
		}
	}
	return chosen;
}

static void append(struct encode_group *group, const struct flow_record *record)
{
	if (!encoder_append(group->encoder, record))
		return;
	group->taken.packets += record->metrics.packets;
	group->taken.octets += record->metrics.bytes;
}

void outputs_append(struct outputs *o, const struct flow_record *record)
{
	o->total.packets += record->metrics.packets;
	o->total.octets += record->metrics.bytes;
	for (guint i = 0; i < o->copies->len; i++)
		append(g_ptr_array_index(o->copies, i), record);
	for (guint i = 0; i < o->choices->len; i++) {
		const struct choice *choice = g_ptr_array_index(o->choices, i);
		struct output *output = choice->mode == GROUP_FAILOVER
						? choose_failover(choice)
						: choose_balance(choice, record);

		append(output->group, record);
	}
}

static void forget_former(struct outputs *o)
{
	for (guint i = 0; i < o->outputs->len; i++) {
		struct output *output = g_ptr_array_index(o->outputs, i);

		if (output->former->len && !collector_stats(output->collector)->queued_messages)
			group_forget_former(output);
	}
	groups_drop_unused(o);
}

void outputs_flush(struct outputs *o)
{
	forget_former(o);
	for (guint i = 0; i < o->groups->len; i++) {
		struct encode_group *g = g_ptr_array_index(o->groups, i);

		encoder_flush(g->encoder);
	}
}

void outputs_options_changed(struct outputs *o)
{
	for (guint i = 0; i < o->outputs->len; i++) {
		struct output *output = g_ptr_array_index(o->outputs, i);

		collector_refresh(output->collector);
	}
}

bool outputs_drain(struct outputs *o, uint64_t deadline_mono_ns)
{
	g_autoptr(GPtrArray) collectors = g_ptr_array_new();

	for (guint i = 0; i < o->outputs->len; i++) {
		struct output *output = g_ptr_array_index(o->outputs, i);

		g_ptr_array_add(collectors, output->collector);
	}
	for (guint i = 0; i < o->retired->len; i++) {
		struct output *output = g_ptr_array_index(o->retired, i);

		g_ptr_array_add(collectors, output->collector);
	}
	return collector_drain_all((struct collector *const *)collectors->pdata, collectors->len,
				   deadline_mono_ns);
}

void outputs_foreach(const struct outputs *o,
		     void (*fn)(void *user, const struct collector *collector,
				const struct template *template,
				const struct output_skipped *skipped),
		     void *user)
{
	for (guint i = 0; i < o->outputs->len; i++) {
		const struct output *output = g_ptr_array_index(o->outputs, i);

		const struct encode_group *group = output->group;
		const struct output_skipped skipped = {
			o->total.packets - (group->taken.packets - output->before.packets),
			o->total.octets - (group->taken.octets - output->before.octets),
		};

		fn(user, output->collector, group->template, &skipped);
	}
}

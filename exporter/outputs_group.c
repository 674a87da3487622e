/* SPDX-License-Identifier: MIT */
/*
 * Encode groups: what collectors with the same template, format and message size share. Above:
 * outputs.c, outputs_reload.c; below: encoder.h, template.c.
 */
#include "config.h"

#include "outputs_private.h"

#include <string.h>

void group_free(gpointer data)
{
	struct encode_group *g = data;

	encoder_free(g->encoder);
	template_free(g->template);
	g_ptr_array_unref(g->members);
	g_free(g->key);
	g_free(g);
}

/* The encoder made a message: every collector of the group gets it. */
static void emit(void *user, struct message *message)
{
	struct encode_group *g = user;

	for (guint i = 0; i < g->members->len; i++) {
		struct output *o = g_ptr_array_index(g->members, i);

		collector_enqueue(o->collector, message);
	}
	message_unref(message);
}

/* What collectors must have in common to share an encoder, beside the template itself. */
static char *group_key(const struct settings_collector *c)
{
	bool chosen = *c->group && c->group_mode != GROUP_COPY;

	return g_strdup_printf("%s|%d|%u|%s", c->template, c->protocol, c->max_message_size,
			       chosen ? c->name : "");
}

/* The file may have other contents under the same name, or the same under another. */
static struct encode_group *find(const struct outputs *o, const char *key,
				 const struct template *template)
{
	for (guint i = 0; i < o->groups->len; i++) {
		struct encode_group *g = g_ptr_array_index(o->groups, i);

		if (g_str_equal(g->key, key) && template_equal(g->template, template))
			return g;
	}
	return NULL;
}

/* RFC 7011 8: within a session an id keeps its meaning; over UDP, where nothing withdraws it, until
 * it has expired at the collector. So ids are used in turn, and come again after thousands of
 * changes. */
static uint32_t choose_first_id(const struct outputs *o, uint32_t n_ids)
{
	uint32_t first = o->next_id;

	for (guint i = 0; i < o->groups->len; i++) {
		const struct encode_group *g = g_ptr_array_index(o->groups, i);

		if (first + n_ids > UINT16_MAX)
			first = TEMPLATE_FIRST_ID;
		else if (g->first_id >= first + n_ids || g->end_id <= first)
			continue;
		else
			first = g->end_id;
		i = -1; /* another place: all have to be asked again */
	}
	return first;
}

static struct encode_group *add(struct outputs *o, const struct settings_collector *c,
				GError **error)
{
	struct encode_group *g = g_new0(struct encode_group, 1);
	struct encoder_config config = {
		.format = c->protocol,
		.enterprise_number = o->enterprise_number,
		.max_message_size = MIN(c->max_message_size, UINT16_MAX),
		.boot_real_ms = o->boot_real_ms,
		.emit = emit,
		.user = g,
	};
	uint32_t n_ids = encoder_count_ids(c->loaded);

	g->key = group_key(c);
	g->members = g_ptr_array_new();
	g->first_id = choose_first_id(o, n_ids);
	g->end_id = g->first_id + n_ids;
	g->template = template_renumbered(c->loaded, g->first_id);
	config.template = g->template;
	g->encoder = encoder_new(&config, error);
	if (!g->encoder) {
		group_free(g);
		return NULL;
	}
	o->next_id = g->end_id;
	g_ptr_array_add(o->groups, g);
	return g;
}

struct encode_group *group_get(struct outputs *o, const struct settings_collector *c,
			       GError **error)
{
	g_autofree char *key = group_key(c);
	struct encode_group *g = find(o, key, c->loaded);

	return g ? g : add(o, c, error);
}

void group_join(struct encode_group *g, struct output *output)
{
	struct output_skipped got = {0};

	if (output->group) {
		got.packets = output->group->taken.packets - output->before.packets;
		got.octets = output->group->taken.octets - output->before.octets;
		g_ptr_array_remove(output->group->members, output);
		g_ptr_array_add(output->former, output->group);
	}
	output->group = g;
	output->before.packets = g->taken.packets - got.packets;
	output->before.octets = g->taken.octets - got.octets;
	g->n_users++;
	g_ptr_array_add(g->members, output);
}

void group_leave(struct output *output)
{
	g_ptr_array_remove(output->group->members, output);
}

void group_forget_former(struct output *output)
{
	for (guint i = 0; i < output->former->len; i++)
		((struct encode_group *)g_ptr_array_index(output->former, i))->n_users--;
	g_ptr_array_set_size(output->former, 0);
	g_ptr_array_set_size(output->known, 0);
}

void groups_drop_unused(struct outputs *o)
{
	for (guint i = o->groups->len; i-- > 0;) {
		struct encode_group *g = g_ptr_array_index(o->groups, i);

		if (g->n_users == 0)
			g_ptr_array_remove_index(o->groups, i);
	}
}

static void add_templates(GPtrArray *all, struct encode_group *g)
{
	GPtrArray *templates = encoder_templates(g->encoder);

	for (guint i = 0; i < templates->len; i++)
		g_ptr_array_add(all, message_ref(g_ptr_array_index(templates, i)));
}

/* A new session must know the templates of everything that it is about to carry. */
GPtrArray *group_templates(void *user, struct collector *collector)
{
	struct output *o = user;

	if (!o->former->len)
		return encoder_templates(o->group->encoder);
	g_ptr_array_set_size(o->known, 0);
	for (guint i = 0; i < o->former->len; i++)
		add_templates(o->known, g_ptr_array_index(o->former, i));
	add_templates(o->known, o->group);
	return o->known;
}

/* RFC 7011 4.3: what this collector was told and what it was not. */
GPtrArray *group_options(void *user, struct collector *collector)
{
	struct output *o = user;
	const struct collector_stats *stats = collector_stats(collector);
	struct options options;
	GPtrArray *messages;

	options_init(&options);
	o->outputs->callbacks.fill_options(o->outputs->callbacks.user, &options);
	options.exported_messages = stats->sent_messages;
	options.exported_octets = stats->sent_bytes;
	options.exported_flows = stats->sent_flows;
	for (int i = 0; i < COLLECTOR_N_LOSSES; i++) {
		options.not_sent_flows += stats->lost[i].flows;
		options.not_sent_packets += stats->lost[i].packets;
		options.not_sent_octets += stats->lost[i].octets;
	}
	messages = encoder_options(o->group->encoder, &options);
	options_clear(&options);
	return messages;
}

/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "outputs.h"

#include <string.h>

#include "clock.h"
#include "transport.h"

/* Collectors that take the same bodies. A member of a failover or balance group has one of its own.
 */
struct encode_group {
	char *key;
	struct template *template;
	struct encoder *encoder;
	GPtrArray *members;	     /* struct output *, owned by outputs */
	struct output_skipped taken; /* what went into the encoder */
};

struct output {
	struct outputs *outputs;
	struct encode_group *group;
	struct collector *collector;
	const struct settings_collector *settings;
	uint64_t name_hash;	      /* for balance */
	struct output_skipped before; /* taken by the group before this collector joined it */
};

/* A failover or balance group. */
struct choice {
	const char *name;
	int mode;
	GPtrArray *members; /* struct output *, in the order of the file */
};

struct outputs {
	const struct settings *settings;
	struct outputs_callbacks callbacks;
	uint64_t boot_real_ms;
	struct output_skipped total; /* all that ended since the start */
	GPtrArray *groups;	     /* struct encode_group * */
	GPtrArray *outputs;	     /* struct output * */
	GPtrArray *copies;  /* struct encode_group *, not owned: those that get every record */
	GPtrArray *choices; /* struct choice * */
};

static void encode_group_free(gpointer data)
{
	struct encode_group *g = data;

	encoder_free(g->encoder);
	template_free(g->template);
	g_ptr_array_unref(g->members);
	g_free(g->key);
	g_free(g);
}

static void output_free(gpointer data)
{
	struct output *o = data;

	if (o->group)
		g_ptr_array_remove(o->group->members, o);
	collector_free(o->collector);
	g_free(o);
}

static void choice_free(gpointer data)
{
	struct choice *c = data;

	g_ptr_array_unref(c->members);
	g_free(c);
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

static bool is_choice(const struct settings_collector *c)
{
	return *c->group && c->group_mode != GROUP_COPY;
}

/* What collectors must have in common to share an encoder. */
static char *group_key(const struct settings *settings, const struct settings_collector *c)
{
	return g_strdup_printf("%s|%d|%u|%u|%s", c->template, c->protocol, c->max_message_size,
			       settings->enterprise_number, is_choice(c) ? c->name : "");
}

/* The file of a template may have changed under its name. */
static bool fits(const struct encode_group *group, const struct settings *settings,
		 const struct settings_collector *c)
{
	g_autofree char *key = group_key(settings, c);

	return g_str_equal(group->key, key) && template_equal(group->template, c->loaded);
}

static struct encode_group *find_group(const struct outputs *o, const struct settings *settings,
				       const struct settings_collector *c)
{
	for (guint i = 0; i < o->groups->len; i++) {
		struct encode_group *g = g_ptr_array_index(o->groups, i);

		if (fits(g, settings, c))
			return g;
	}
	return NULL;
}

static struct encode_group *add_group(struct outputs *o, const struct settings *settings,
				      const struct settings_collector *c, GError **error)
{
	struct encode_group *g = g_new0(struct encode_group, 1);
	struct encoder_config config = {
		.format = c->protocol,
		.enterprise_number = settings->enterprise_number,
		.max_message_size = MIN(c->max_message_size, UINT16_MAX),
		.boot_real_ms = o->boot_real_ms,
		.emit = emit,
		.user = g,
	};

	g->key = group_key(settings, c);
	g->members = g_ptr_array_new();
	g->template = template_ref(c->loaded);
	config.template = g->template;
	g->encoder = encoder_new(&config, error);
	if (!g->encoder) {
		encode_group_free(g);
		return NULL;
	}
	g_ptr_array_add(o->groups, g);
	return g;
}

static GPtrArray *on_templates(void *user, struct collector *collector)
{
	struct output *o = user;

	return encoder_templates(o->group->encoder);
}

/* RFC 7011 4.3: what this collector was told and what it was not. */
static GPtrArray *on_options(void *user, struct collector *collector)
{
	struct output *o = user;
	const struct collector_stats *stats =
		collector_stats(o->collector ? o->collector : collector);
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
static void route(struct outputs *o)
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

static struct output *add_output(struct outputs *o, const struct settings *settings,
				 const struct settings_collector *c, GError **error)
{
	struct encode_group *group = find_group(o, settings, c);
	struct output *output;

	if (!transport_check(c, error)) {
		g_prefix_error(error, "collector %s: ", c->name);
		return NULL;
	}
	if (!group)
		group = add_group(o, settings, c, error);
	if (!group)
		return NULL;
	output = g_new0(struct output, 1);
	output->outputs = o;
	output->group = group;
	output->settings = c;
	output->before = group->taken;
	output->name_hash = g_str_hash(c->name) * 0x9e3779b97f4a7c15ull;
	g_ptr_array_add(group->members, output);
	output->collector = collector_new(
		c, settings->observation_domain_id, o->boot_real_ms,
		&(struct collector_callbacks){on_templates, on_options, NULL, output});
	return output;
}

struct outputs *outputs_new(const struct settings *settings, uint64_t boot_real_ms,
			    const struct outputs_callbacks *callbacks, GError **error)
{
	struct outputs *o = g_new0(struct outputs, 1);

	o->settings = settings;
	o->callbacks = *callbacks;
	o->boot_real_ms = boot_real_ms;
	o->groups = g_ptr_array_new_with_free_func(encode_group_free);
	o->outputs = g_ptr_array_new_with_free_func(output_free);
	o->copies = g_ptr_array_new();
	o->choices = g_ptr_array_new_with_free_func(choice_free);
	for (guint i = 0; i < settings->collectors->len; i++) {
		struct output *output =
			add_output(o, settings, g_ptr_array_index(settings->collectors, i), error);

		if (!output) {
			outputs_free(o);
			return NULL;
		}
		g_ptr_array_add(o->outputs, output);
	}
	route(o);
	return o;
}

void outputs_free(struct outputs *o)
{
	if (!o)
		return;
	g_ptr_array_unref(o->choices);
	g_ptr_array_unref(o->copies);
	g_ptr_array_unref(o->outputs);
	g_ptr_array_unref(o->groups);
	g_free(o);
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

void outputs_flush(struct outputs *o)
{
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
	return collector_drain_all((struct collector *const *)collectors->pdata, collectors->len,
				   deadline_mono_ns);
}

uint64_t outputs_queued_bytes(const struct outputs *o)
{
	uint64_t bytes = 0;

	for (guint i = 0; i < o->outputs->len; i++) {
		const struct output *output = g_ptr_array_index(o->outputs, i);

		bytes += collector_stats(output->collector)->queued_bytes;
	}
	return bytes;
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

static bool same_tls(const struct settings_tls *a, const struct settings_tls *b)
{
	return !g_strcmp0(a->ca, b->ca) && !g_strcmp0(a->certificate, b->certificate) &&
	       !g_strcmp0(a->key, b->key) && a->verify == b->verify;
}

/* Whether the session can go on: all that is fixed when it is opened. */
static bool same_session(const struct settings_collector *a, const struct settings_collector *b)
{
	return !g_strcmp0(a->name, b->name) && !g_strcmp0(a->address, b->address) &&
	       !g_strcmp0(a->file, b->file) && !g_strcmp0(a->source, b->source) &&
	       a->source_port == b->source_port && a->port == b->port &&
	       a->protocol == b->protocol && a->transport == b->transport &&
	       same_tls(&a->tls, &b->tls);
}

/* The output that a collector of the new settings goes on with: same name, same place, same bodies.
 */
static struct output *find_unchanged(struct outputs *o, const struct settings *settings,
				     const struct settings_collector *c)
{
	for (guint i = 0; i < o->outputs->len; i++) {
		struct output *output = g_ptr_array_index(o->outputs, i);

		if (same_session(output->settings, c) && fits(output->group, settings, c) &&
		    o->settings->observation_domain_id == settings->observation_domain_id)
			return output;
	}
	return NULL;
}

static void drop_empty_groups(struct outputs *o)
{
	for (guint i = o->groups->len; i-- > 0;) {
		struct encode_group *g = g_ptr_array_index(o->groups, i);

		if (!g->members->len)
			g_ptr_array_remove_index(o->groups, i);
	}
}

/* New outputs first: a failure leaves the old ones as they are. */
static GPtrArray *prepare(struct outputs *o, const struct settings *settings, GPtrArray *kept,
			  GError **error)
{
	GPtrArray *next = g_ptr_array_new_with_free_func(output_free);

	for (guint i = 0; i < settings->collectors->len; i++) {
		const struct settings_collector *c = g_ptr_array_index(settings->collectors, i);
		struct output *output = find_unchanged(o, settings, c);

		if (output) {
			g_ptr_array_add(kept, output);
			continue;
		}
		output = add_output(o, settings, c, error);
		if (!output) {
			g_ptr_array_unref(next);
			drop_empty_groups(o);
			return NULL;
		}
		g_ptr_array_add(next, output);
	}
	return next;
}

static const struct settings_collector *settings_by_name(const struct settings *settings,
							 const char *name)
{
	for (guint i = 0; i < settings->collectors->len; i++) {
		const struct settings_collector *c = g_ptr_array_index(settings->collectors, i);

		if (g_str_equal(c->name, name))
			return c;
	}
	return NULL;
}

bool outputs_reload(struct outputs *o, const struct settings *settings, GError **error)
{
	g_autoptr(GPtrArray) kept = g_ptr_array_new();
	GPtrArray *next;

	outputs_flush(o);
	next = prepare(o, settings, kept, error);
	if (!next)
		return false;
	for (guint i = 0; i < kept->len; i++) {
		struct output *output = g_ptr_array_index(kept, i);

		output->settings = settings_by_name(settings, output->settings->name);
		collector_set_settings(output->collector, output->settings);
	}
	for (guint i = o->outputs->len; i-- > 0;) {
		struct output *output = g_ptr_array_index(o->outputs, i);

		if (g_ptr_array_find(kept, output, NULL))
			g_ptr_array_steal_index(o->outputs, i);
		else
			collector_drain(output->collector, 0);
	}
	for (guint i = 0; i < kept->len; i++)
		g_ptr_array_add(next, g_ptr_array_index(kept, i));
	g_ptr_array_unref(o->outputs);
	o->outputs = next;
	o->settings = settings;
	drop_empty_groups(o);
	route(o);
	return true;
}

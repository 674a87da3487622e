/* SPDX-License-Identifier: MIT */
/* What collectors must agree on among each other: names, files, groups. */
#include "config.h"

#include "settings_option.h"

#include <string.h>

struct pair {
	const struct settings_collector *first;
	const struct settings_collector *second;
	const struct yaml_node *node; /* of the second */
	const char *path;
	struct yaml_errors *errors;
};

static void fail(const struct pair *pair, const char *key, const char *what, const char *remedy)
{
	const struct yaml_node *node = yaml_get(pair->node, key);
	g_autofree char *path = g_strdup_printf("%s.%s", pair->path, key);

	yaml_error_at(pair->errors, node ? node : pair->node, path,
		      "%s the collector of line %u; %s", what, pair->first->line, remedy);
}

static void differ(const struct pair *pair, const char *key)
{
	fail(pair, key, "differs in one group from", "write the same in each");
}

static bool equal(const char *a, const char *b)
{
	return a && b && *a && !strcmp(a, b);
}

/* A member takes over what another can't send: their messages must be the same. */
static void check_members(const struct pair *pair)
{
	const struct settings_collector *a = pair->first, *b = pair->second;

	if (a->group_mode != b->group_mode)
		differ(pair, "group_mode");
	if (a->group_mode == GROUP_COPY && b->group_mode == GROUP_COPY)
		return;
	if (a->protocol != b->protocol)
		differ(pair, "protocol");
	if (!equal(a->template, b->template))
		differ(pair, "template");
	if (a->max_message_size != b->max_message_size)
		differ(pair, "max_message_size");
}

static void check_pair(const struct pair *pair)
{
	if (equal(pair->first->name, pair->second->name))
		fail(pair, "name", "is that of", "write another");
	if (equal(pair->first->file, pair->second->file))
		fail(pair, "file", "is that of", "write another");
	if (equal(pair->first->group, pair->second->group))
		check_members(pair);
}

static guint count_members(const struct settings *settings, const char *group)
{
	guint n = 0;

	for (guint i = 0; i < settings->collectors->len; i++) {
		const struct settings_collector *c = g_ptr_array_index(settings->collectors, i);

		n += equal(c->group, group);
	}
	return n;
}

static void check_mode(const struct settings *settings, const struct settings_collector *collector,
		       const struct yaml_node *entry, const char *path, struct yaml_errors *errors)
{
	g_autofree char *mode_path = g_strdup_printf("%s.group_mode", path);
	const struct yaml_node *node = yaml_get(entry, "group_mode");

	if (collector->group_mode == GROUP_COPY || !node)
		return;
	if (!*collector->group)
		yaml_error_at(errors, node, mode_path, "given without group; write group: NAME");
	else if (count_members(settings, collector->group) < 2)
		yaml_error_at(errors, node, mode_path,
			      "has no effect, group %s has no other member; write group: %s in "
			      "another collector too",
			      collector->group, collector->group);
}

void settings_check_groups(const struct settings *settings, const struct yaml_node *list,
			   struct yaml_errors *errors)
{
	for (guint i = 0; i < settings->collectors->len; i++) {
		const struct yaml_node *node = g_ptr_array_index(list->children, i);
		g_autofree char *path = g_strdup_printf("collectors[%u]", i);
		struct pair pair = {
			.second = g_ptr_array_index(settings->collectors, i),
			.node = node,
			.path = path,
			.errors = errors,
		};
		guint before = errors->messages->len;

		check_mode(settings, pair.second, node, path, errors);
		for (guint j = 0; j < i && errors->messages->len == before; j++) {
			pair.first = g_ptr_array_index(settings->collectors, j);
			check_pair(&pair);
		}
	}
}

/* SPDX-License-Identifier: MIT */
/*
 * The configuration as a whole: from the tree of a file to a checked struct settings. The options
 * are rows of settings_table.c. Below: yaml.c, template.c; above: main.c and daemon.c.
 */
#include "config.h"

#include "settings.h"

#include <string.h>

#include "settings_option.h"

static settings_probe asks_system;

void settings_set_probe(settings_probe probe)
{
	asks_system = probe;
}

static struct settings *settings_new(const char *path)
{
	struct settings *settings = g_new0(struct settings, 1);

	settings->refs = 1;
	settings->path = g_strdup(path);
	settings->collectors =
		g_ptr_array_new_with_free_func((GDestroyNotify)settings_collector_free);
	for (enum option_scope scope = 0; scope < SCOPE_COLLECTOR; scope++)
		option_scope_set_presets(scope, settings);
	return settings;
}

struct settings *settings_ref(struct settings *settings)
{
	settings->refs++;
	return settings;
}

void settings_free(struct settings *settings)
{
	if (!settings || --settings->refs > 0)
		return;
	for (enum option_scope scope = 0; scope < SCOPE_COLLECTOR; scope++)
		option_scope_clear(scope, settings);
	g_ptr_array_unref(settings->collectors);
	g_free(settings->path);
	g_free(settings);
}

char *settings_template_path(const struct settings *settings, const char *template)
{
	if (strchr(template, '/'))
		return g_strdup(template);
	return g_strdup_printf("%s/%s.yaml", settings->template_dir, template);
}

static void check_root_keys(const struct yaml_node *root, struct yaml_errors *errors)
{
	for (guint i = 0; i < root->children->len; i++) {
		const struct yaml_node *child = g_ptr_array_index(root->children, i);
		bool known = false;

		for (enum option_scope scope = 0; scope <= SCOPE_COLLECTOR; scope++)
			known |= !strcmp(option_scope_names[scope], child->key);
		if (!known)
			option_unknown_key(SCOPE_ROOT, child, child->key, errors);
	}
}

/* A list; no value at all when every entry is commented out. */
static const struct yaml_node *find_collectors(const struct yaml_node *root,
					       struct yaml_errors *errors)
{
	const struct yaml_node *list = yaml_get(root, option_scope_names[SCOPE_COLLECTOR]);

	if (!list || list->kind == YAML_SEQUENCE)
		return list;
	if (list->kind == YAML_MAPPING || list->quoted || *list->scalar)
		yaml_error_at(errors, list, list->key,
			      "isn't a list; write - name: NAME in the line below, and the "
			      "collector's other keys below that");
	return NULL;
}

/* The value of a key like "tls.ca", or the innermost that is written of what it lies in. */
static const struct yaml_node *find_value(const struct yaml_node *node, const char *path)
{
	g_auto(GStrv) keys = g_strsplit(path, ".", -1);

	for (char **key = keys; *key; key++) {
		const struct yaml_node *child = yaml_get(node, *key);

		if (!child)
			break;
		node = child;
	}
	return node;
}

static void check_with_system(const struct settings *settings, const struct yaml_node *list,
			      struct yaml_errors *errors)
{
	for (guint i = 0; asks_system && i < settings->collectors->len; i++) {
		const struct yaml_node *node = g_ptr_array_index(list->children, i);
		g_autofree char *path = NULL;
		g_autoptr(GError) error = NULL;
		const char *key;

		if (asks_system(g_ptr_array_index(settings->collectors, i), &key, &error))
			continue;
		path = g_strdup_printf("collectors[%u].%s", i, key);
		yaml_error_at(errors, find_value(node, key), path, "%s", error->message);
	}
}

static void read_all(struct settings *settings, const struct yaml_node *root, bool complete,
		     struct yaml_errors *errors)
{
	const struct yaml_node *list = find_collectors(root, errors);

	check_root_keys(root, errors);
	for (enum option_scope scope = 0; scope < SCOPE_COLLECTOR; scope++)
		option_read_section(scope, yaml_get(root, option_scope_names[scope]),
				    option_scope_names[scope], settings, errors);
	if (list)
		settings_read_collectors(settings, list, errors);
	if (errors->messages->len)
		return;
	if (list)
		settings_check_groups(settings, list, errors);
	if (list)
		check_with_system(settings, list, errors);
	if (complete && !settings->collectors->len)
		yaml_error_at(errors, list ? list : root, "collectors",
			      "none is named, flows would go nowhere; write one, with name and "
			      "address or file");
}

/* Takes root and error over. */
static struct settings *from_tree(const char *path, struct yaml_node *root, GError *error,
				  bool complete, struct yaml_errors *errors)
{
	struct settings *settings;

	if (!root) {
		g_ptr_array_add(errors->messages, g_strdup(error->message));
		g_error_free(error);
		return NULL;
	}
	settings = settings_new(path);
	read_all(settings, root, complete, errors);
	yaml_node_free(root);
	if (errors->messages->len)
		g_clear_pointer(&settings, settings_free);
	return settings;
}

static struct settings *load(const char *path, bool complete, struct yaml_errors *errors)
{
	GError *error = NULL;
	struct yaml_node *root = yaml_load_file(path, &error);

	return from_tree(path, root, error, complete, errors);
}

struct settings *settings_load(const char *path, struct yaml_errors *errors)
{
	return load(path, true, errors);
}

struct settings *settings_load_incomplete(const char *path, struct yaml_errors *errors)
{
	return path ? load(path, false, errors) : settings_new("");
}

struct settings *settings_parse(const char *name, const char *text, size_t length,
				struct yaml_errors *errors)
{
	GError *error = NULL;
	struct yaml_node *root = yaml_load_text(name, text, length, &error);

	return from_tree(name, root, error, true, errors);
}

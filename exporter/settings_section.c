/* SPDX-License-Identifier: MIT */
/* Walks the rows of a section: defaults, the keys of the file, words that are no key. */
#include "config.h"

#include "settings_option.h"

#include <string.h>

bool option_scope_within(enum option_scope scope, enum option_scope outer)
{
	return scope == outer || (scope == SCOPE_TLS && outer == SCOPE_COLLECTOR);
}

void option_scope_set_presets(enum option_scope scope, void *base)
{
	for (size_t i = 0; i < option_count; i++)
		if (option_scope_within(option_table[i].scope, scope) && option_table[i].preset)
			option_set_preset(&option_table[i], base);
}

void option_scope_clear(enum option_scope scope, void *base)
{
	for (size_t i = 0; i < option_count; i++)
		if (option_scope_within(option_table[i].scope, scope))
			option_clear(&option_table[i], base);
}

static const struct option *find(enum option_scope scope, const char *key)
{
	for (size_t i = 0; i < option_count; i++)
		if (option_table[i].scope == scope && !strcmp(option_table[i].key, key))
			return &option_table[i];
	return NULL;
}

/* The keys that a scope takes; the caller frees the array, not the words. */
static GPtrArray *keys_of(enum option_scope scope)
{
	GPtrArray *keys = g_ptr_array_new();

	for (size_t i = 0; i < option_count; i++)
		if (option_table[i].scope == scope)
			g_ptr_array_add(keys, (char *)option_table[i].key);
	if (scope == SCOPE_COLLECTOR)
		g_ptr_array_add(keys, (char *)"tls");
	if (scope == SCOPE_ROOT)
		for (size_t i = 0; i < SCOPE_TLS; i++)
			g_ptr_array_add(keys, (char *)option_scope_names[i]);
	g_ptr_array_add(keys, NULL);
	return keys;
}

/* The section that takes a key which stands in the wrong one, NULL if none does. */
static const char *home_of(const char *key)
{
	for (size_t i = 0; i < N_SCOPES; i++)
		if (option_scope_names[i] && find(i, key))
			return option_scope_names[i];
	return NULL;
}

void option_unknown_key(enum option_scope scope, const struct yaml_node *node, const char *path,
			struct yaml_errors *errors)
{
	g_autoptr(GPtrArray) keys = keys_of(scope);
	const char *nearest =
		yaml_nearest(node->key, (const char *const *)keys->pdata, keys->len - 1);
	const char *home = home_of(node->key);
	g_autofree char *all = NULL;

	if (home) {
		yaml_error_at_key(errors, node, path, "unknown key here; it belongs in %s", home);
		return;
	}
	if (nearest) {
		yaml_error_at_key(errors, node, path, "unknown key; did you mean %s?", nearest);
		return;
	}
	all = g_strjoinv(", ", (char **)keys->pdata);
	yaml_error_at_key(errors, node, path, "unknown key; write one of %s", all);
}

static void read_key(enum option_scope scope, const struct yaml_node *node, const char *path,
		     void *base, struct yaml_errors *errors)
{
	g_autofree char *key_path = g_strdup_printf("%s.%s", path, node->key);
	const struct option *option = find(scope, node->key);

	if (option)
		option_read(option, node, key_path, base, errors);
	else if (scope == SCOPE_COLLECTOR && !strcmp(node->key, "tls"))
		option_read_section(SCOPE_TLS, node, key_path, base, errors);
	else
		option_unknown_key(scope, node, key_path, errors);
}

/* A section whose lines are all commented out. */
static bool is_empty(const struct yaml_node *node)
{
	return node->kind == YAML_SCALAR && !node->quoted && !*node->scalar;
}

void option_read_section(enum option_scope scope, const struct yaml_node *node, const char *path,
			 void *base, struct yaml_errors *errors)
{
	if (!node || is_empty(node))
		return;
	if (node->kind != YAML_MAPPING) {
		yaml_error_at(errors, node, path, "%s; write KEY: VALUE, one in a line",
			      node->kind == YAML_SEQUENCE ? "a list" : "a lone value");
		return;
	}
	for (guint i = 0; i < node->children->len; i++)
		read_key(scope, g_ptr_array_index(node->children, i), path, base, errors);
}

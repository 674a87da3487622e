/* SPDX-License-Identifier: MIT */
/* Words, keys and lists of fields as they stand in the file of a template, and what is wrong with
 * them. Above: template.c. */
#include "config.h"

#include "template_entry.h"

#include <string.h>

#include "encoder.h"

static const char *const field_keys[] = {"name", "length", "only"};

bool template_expect(const struct template_check *check, const struct yaml_node *node,
		     enum yaml_kind kind, const char *path)
{
	static const char *const kinds[] = {
		[YAML_SCALAR] = "a single value",
		[YAML_SEQUENCE] = "a list",
		[YAML_MAPPING] = "keys with values",
	};

	if (node->kind == kind)
		return true;
	yaml_error_at(check->errors, node, path, "%s where %s must stand", kinds[node->kind],
		      kinds[kind]);
	return false;
}

void template_expect_keys(const struct template_check *check, const struct yaml_node *mapping,
			  const char *const *keys, size_t n_keys, const char *prefix)
{
	for (unsigned int i = 0; i < mapping->children->len; i++) {
		const struct yaml_node *child = mapping->children->pdata[i];
		g_autofree char *path = g_strconcat(prefix, child->key, NULL);
		const char *nearest = yaml_nearest(child->key, keys, n_keys);
		bool known = false;

		for (size_t j = 0; j < n_keys; j++)
			known |= strcmp(keys[j], child->key) == 0;
		if (known)
			continue;
		if (nearest)
			yaml_error_at_key(check->errors, child, path,
					  "unknown key; did you mean %s?", nearest);
		else
			yaml_error_at_key(check->errors, child, path, "unknown key");
	}
}

int template_word(const struct template_check *check, const struct yaml_node *node,
		  const char *path, const char *const *words)
{
	g_autofree char *list = NULL;

	if (!template_expect(check, node, YAML_SCALAR, path))
		return -1;
	for (int i = 0; words[i]; i++)
		if (strcmp(words[i], node->scalar) == 0)
			return i;
	list = g_strjoinv(", ", (char **)words);
	yaml_error_at(check->errors, node, path, "'%s' is unknown; one of: %s", node->scalar, list);
	return -1;
}

bool template_bool(const struct template_check *check, const struct yaml_node *node,
		   const char *path, bool absent)
{
	static const char *const words[] = {"false", "true", NULL};

	return node ? template_word(check, node, path, words) == 1 : absent;
}

static uint16_t default_length(const struct field *field, int format)
{
	if (field->length)
		return field->length;
	if (format == ENCODER_NETFLOW9)
		return MIN(FIELD_V9_STRING, field->size);
	return FIELD_VARIABLE;
}

/* RFC 7011 6.2: fewer octets only for numbers. */
static void set_length(const struct template_check *check, const struct yaml_node *node,
		       const char *path, struct template_field *field)
{
	const char *name = field->field->name;
	uint16_t size = field_type_size(field->field);
	guint64 length;

	if (!template_expect(check, node, YAML_SCALAR, path))
		return;
	if (!g_ascii_string_to_unsigned(node->scalar, 10, 1, UINT16_MAX - 1, &length, NULL))
		yaml_error_at(check->errors, node, path, "'%s' is not a length; a number of octets",
			      node->scalar);
	else if (field->field->type == FIELD_STRING && length > field->field->size)
		yaml_error_at(check->errors, node, path, "%s is never longer than %u octets", name,
			      field->field->size);
	else if (field_is_number(field->field) && length > size)
		yaml_error_at(check->errors, node, path, "%s is %s: 1 to %u octets (RFC 7011 6.2)",
			      name, field_type_name(field->field), size);
	else if (!field_is_number(field->field) && field->field->type != FIELD_STRING &&
		 length != field->field->length)
		yaml_error_at(check->errors, node, path,
			      "%s is %s and takes %u octets, no other length (RFC 7011 6.2)", name,
			      field_type_name(field->field), field->field->length);
	else
		field->length = length;
}

static void unknown_name(const struct template_check *check, const struct yaml_node *node,
			 const char *path)
{
	const char *reason = template_check_refused(node->scalar);
	const struct field *nearest = field_nearest(node->scalar);

	if (reason)
		yaml_error_at(check->errors, node, path, "%s is not offered: %s", node->scalar,
			      reason);
	else if (nearest)
		yaml_error_at(check->errors, node, path,
			      "no element is called %s; did you mean %s?", node->scalar,
			      nearest->name);
	else
		yaml_error_at(check->errors, node, path,
			      "no element is called %s; bpflowd --list-elements shows them",
			      node->scalar);
}

/* The row of another element with the same value that the format has, to suggest it. */
static const struct field *alternative(const struct field *field, int format)
{
	for (size_t i = 0; i < field_count; i++) {
		const struct field *other = &field_table[i];

		if (other != field && *other->name && other->offset == field->offset &&
		    (format == ENCODER_NETFLOW9 ? other->v9 : other->id))
			return other;
	}
	return NULL;
}

static const struct field *find_field(const struct template_check *check,
				      const struct yaml_node *node, const char *path)
{
	bool v9 = check->format == ENCODER_NETFLOW9;
	const struct field *field = field_by_name(node->scalar);
	const struct field *found, *other;

	if (!field) {
		unknown_name(check, node, path);
		return NULL;
	}
	found = v9 ? field_in_v9(field) : field->id ? field : NULL;
	if (found)
		return found;
	other = alternative(field, check->format);
	yaml_error_at(check->errors, node, path, "%s is not available in %s; %s%s", field->name,
		      v9 ? "NetFlow v9" : "IPFIX", other ? other->name : "leave it out",
		      other ? " is" : "");
	return NULL;
}

/* A name, or {name: NAME, length: OCTETS, only: FORMAT}. */
static bool read_entry(const struct template_check *check, struct template_entry *entry)
{
	static const char *const formats[] = {"ipfix", "netflow9", NULL};
	const struct yaml_node *node = entry->node;
	const struct yaml_node *name = node, *length = NULL, *only = NULL;

	if (node->kind == YAML_MAPPING) {
		g_autofree char *prefix = g_strconcat(entry->path, ".", NULL);

		template_expect_keys(check, node, field_keys, G_N_ELEMENTS(field_keys), prefix);
		name = yaml_get(node, "name");
		length = yaml_get(node, "length");
		only = yaml_get(node, "only");
	}
	if (!name) {
		yaml_error_at(check->errors, node, entry->path, "the field has no name");
		return false;
	}
	if (!template_expect(check, name, YAML_SCALAR, entry->path))
		return false;
	if (only) {
		int format = template_word(check, only, entry->path, formats);

		if (format < 0 || (format == 1) != (check->format == ENCODER_NETFLOW9))
			return false;
	}
	entry->field.field = find_field(check, name, entry->path);
	if (!entry->field.field)
		return false;
	entry->field.length = default_length(entry->field.field, check->format);
	if (length)
		set_length(check, length, entry->path, &entry->field);
	return true;
}

static void clear_entry(void *entry)
{
	g_free(((struct template_entry *)entry)->path);
}

GArray *template_entries(const struct template_check *check, const struct yaml_node *node,
			 const char *path)
{
	GArray *entries = g_array_new(FALSE, FALSE, sizeof(struct template_entry));

	g_array_set_clear_func(entries, clear_entry);
	if (!node || !template_expect(check, node, YAML_SEQUENCE, path))
		return entries;
	for (unsigned int i = 0; i < node->children->len; i++) {
		struct template_entry entry = {.node = node->children->pdata[i],
					       .path = g_strdup_printf("%s[%u]", path, i)};

		if (read_entry(check, &entry))
			g_array_append_val(entries, entry);
		else
			clear_entry(&entry);
	}
	return entries;
}

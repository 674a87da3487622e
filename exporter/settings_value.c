/* SPDX-License-Identifier: MIT */
/*
 * The kinds of options: each is read, written, compared and freed here. Strict: a number is no
 * text, text is no number, and nothing is guessed.
 */
#include "config.h"

#include "settings_option.h"

#include <inttypes.h>
#include <string.h>

#include "settings_units.h"

static void *target_of(const struct option *option, void *base)
{
	return (char *)base + option->offset;
}

static const void *value_of(const struct option *option, const void *base)
{
	return (const char *)base + option->offset;
}

static const struct unit *units_of(const struct option *option)
{
	if (option->kind == OPTION_DURATION)
		return units_duration;
	if (option->kind == OPTION_SIZE32 || option->kind == OPTION_SIZE64)
		return units_size;
	return units_none;
}

static void describe_number(const struct option *option, GString *out)
{
	const struct unit *units = units_of(option);

	if (units == units_duration)
		g_string_append(out, "a number with ms, s, m or h, from ");
	else if (units == units_size)
		g_string_append(out, "octets or a number with k, M or G, from ");
	else
		g_string_append(out, "a whole number from ");
	units_append(units, option->min, out);
	g_string_append(out, " to ");
	units_append(units, option->max, out);
}

/* What would be right, to follow "write". */
static char *describe(const struct option *option)
{
	GString *out = g_string_new(NULL);
	g_autofree char *list = NULL;

	switch ((enum option_kind)option->kind) {
	case OPTION_BOOL:
		g_string_append(out, "true or false");
		break;
	case OPTION_CHOICE:
		list = g_strjoinv(", ", (char **)option->choices);
		g_string_append_printf(out, "one of %s", list);
		break;
	case OPTION_TEXT:
		g_string_append(out, "text");
		break;
	case OPTION_TEXTS:
		g_string_append(out, "a list of texts, like [\"a\", \"b\"]");
		break;
	case OPTION_PORTS:
		g_string_append(out, "a list of ports from 1 to 65535, like [53]");
		break;
	default:
		describe_number(option, out);
	}
	return g_string_free(out, false);
}

static char *describe_found(const struct yaml_node *node)
{
	if (node->kind == YAML_SEQUENCE)
		return g_strdup("a list");
	if (node->kind == YAML_MAPPING)
		return g_strdup("a mapping");
	if (!*node->scalar)
		return g_strdup(node->quoted ? "empty text" : "no value");
	return g_strdup_printf("\"%.60s\"%s", node->scalar, strlen(node->scalar) > 60 ? "..." : "");
}

static bool refuse(const struct option *option, const struct yaml_node *node, const char *path,
		   const char *why, struct yaml_errors *errors)
{
	g_autofree char *found = describe_found(node);
	g_autofree char *right = describe(option);
	g_autofree char *valid = g_utf8_make_valid(found, -1);

	yaml_error_at(errors, node, path, "%s %s; write %s", valid, why, right);
	return false;
}

/* Plain words that YAML readers take for something else than text. */
static bool is_typed(const char *text)
{
	static const char *const words[] = {"",	   "~",	 "null", "true", "false",
					    "yes", "no", "on",	 "off",	 NULL};
	char *end;

	for (const char *const *word = words; *word; word++)
		if (!g_ascii_strcasecmp(text, *word))
			return true;
	if (!strchr("+-.0123456789", *text))
		return false;
	g_ascii_strtod(text, &end);
	return end != text && !*end;
}

static bool read_bool(const struct option *option, const struct yaml_node *node, const char *path,
		      bool *target, struct yaml_errors *errors)
{
	bool is_true = !g_strcmp0(node->scalar, "true");

	if (node->quoted || (!is_true && g_strcmp0(node->scalar, "false")))
		return refuse(option, node, path, "stands here", errors);
	*target = is_true;
	return true;
}

static bool read_number(const struct option *option, const struct yaml_node *node, const char *path,
			uint64_t *value, struct yaml_errors *errors)
{
	const struct unit *units = units_of(option);

	if (node->kind != YAML_SCALAR || (node->quoted && units == units_none))
		return refuse(option, node, path, "is no number", errors);
	switch (units_read(units, node->scalar, value)) {
	case UNITS_NO_NUMBER:
		return refuse(option, node, path,
			      units == units_none ? "is no whole number" : "is no number with unit",
			      errors);
	case UNITS_NO_UNIT:
		return refuse(option, node, path, "has no unit", errors);
	case UNITS_TOO_LARGE:
		return refuse(option, node, path, "is out of range", errors);
	case UNITS_GOOD:
		break;
	}
	if (*value < option->min || *value > option->max)
		return refuse(option, node, path, "is out of range", errors);
	return true;
}

static bool read_choice(const struct option *option, const struct yaml_node *node, const char *path,
			unsigned int *target, struct yaml_errors *errors)
{
	const char *nearest;

	if (node->kind != YAML_SCALAR)
		return refuse(option, node, path, "stands here", errors);
	for (unsigned int i = 0; option->choices[i]; i++) {
		if (strcmp(option->choices[i], node->scalar) != 0)
			continue;
		*target = (unsigned int)option->min + i;
		return true;
	}
	nearest = yaml_nearest(node->scalar, option->choices,
			       g_strv_length((char **)option->choices));
	if (!nearest)
		return refuse(option, node, path, "is unknown", errors);
	yaml_error_at(errors, node, path, "\"%s\" is unknown; did you mean %s?", node->scalar,
		      nearest);
	return false;
}

static bool has_control(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return true;
	return false;
}

/* The text of a scalar, NULL if it isn't one. */
static const char *read_text(const struct option *option, const struct yaml_node *node,
			     const char *path, struct yaml_errors *errors)
{
	bool may_be_empty =
		option->empty_is_off || (option->preset && !strcmp(option->preset, "\"\""));
	g_autofree char *wrong = NULL;

	if (node->kind != YAML_SCALAR || (!node->quoted && !*node->scalar) ||
	    (!*node->scalar && !may_be_empty)) {
		refuse(option, node, path, "stands here", errors);
		return NULL;
	}
	if (!node->quoted && is_typed(node->scalar)) {
		yaml_error_at(errors, node, path, "%s isn't text to YAML; write \"%s\" in quotes",
			      node->scalar, node->scalar);
		return NULL;
	}
	if (has_control(node->scalar)) {
		yaml_error_at(errors, node, path,
			      "text of several lines or with control "
			      "characters; write it in one line");
		return NULL;
	}
	wrong = option->check && *node->scalar ? option->check(node->scalar) : NULL;
	if (wrong)
		yaml_error_at(errors, node, path, "%s", wrong);
	return wrong ? NULL : node->scalar;
}

static bool check_length(const struct option *option, const struct yaml_node *node,
			 const char *path, struct yaml_errors *errors)
{
	if (node->kind != YAML_SEQUENCE)
		return refuse(option, node, path, "stands here", errors);
	if (node->children->len >= option->min && node->children->len <= option->max)
		return true;
	yaml_error_at(errors, node, path, "%u items; write %" PRIu64 " to %" PRIu64,
		      node->children->len, option->min, option->max);
	return false;
}

static bool check_unique(const struct yaml_node *list, guint i, const char *path,
			 struct yaml_errors *errors)
{
	const struct yaml_node *item = g_ptr_array_index(list->children, i);

	for (guint j = 0; j < i; j++) {
		const struct yaml_node *other = g_ptr_array_index(list->children, j);

		if (g_strcmp0(item->scalar, other->scalar))
			continue;
		yaml_error_at(errors, item, path, "\"%s\" stands in the list twice; keep one",
			      item->scalar);
		return false;
	}
	return true;
}

static bool read_texts(const struct option *option, const struct yaml_node *node, const char *path,
		       char ***target, struct yaml_errors *errors)
{
	GPtrArray *texts = g_ptr_array_new_with_free_func(g_free);
	bool good = check_length(option, node, path, errors);

	for (guint i = 0; good && i < node->children->len; i++) {
		g_autofree char *item_path = g_strdup_printf("%s[%u]", path, i);
		const char *text =
			read_text(option, g_ptr_array_index(node->children, i), item_path, errors);

		good = text && check_unique(node, i, item_path, errors);
		if (good)
			g_ptr_array_add(texts, g_strdup(text));
	}
	if (!good) {
		g_ptr_array_unref(texts);
		return false;
	}
	g_strfreev(*target);
	g_ptr_array_add(texts, NULL);
	*target = (char **)g_ptr_array_free(texts, false);
	return true;
}

static bool read_ports(const struct option *option, const struct yaml_node *node, const char *path,
		       GArray **target, struct yaml_errors *errors)
{
	static const struct option port = {.kind = OPTION_U16, .min = 1, .max = UINT16_MAX};
	g_autoptr(GArray) ports = g_array_new(false, false, sizeof(uint16_t));
	bool good = check_length(option, node, path, errors);

	for (guint i = 0; good && i < node->children->len; i++) {
		g_autofree char *item_path = g_strdup_printf("%s[%u]", path, i);
		uint64_t value;
		uint16_t number;

		good = read_number(&port, g_ptr_array_index(node->children, i), item_path, &value,
				   errors) &&
		       check_unique(node, i, item_path, errors);
		if (!good)
			break;
		number = (uint16_t)value;
		g_array_append_val(ports, number);
	}
	if (good) {
		g_clear_pointer(target, g_array_unref);
		*target = g_steal_pointer(&ports);
	}
	return good;
}

static void store_number(const struct option *option, void *target, uint64_t value)
{
	if (option->kind == OPTION_U16)
		*(uint16_t *)target = (uint16_t)value;
	else if (option->kind == OPTION_U32 || option->kind == OPTION_SIZE32)
		*(uint32_t *)target = (uint32_t)value;
	else
		*(uint64_t *)target = value;
}

static uint64_t load_number(const struct option *option, const void *value)
{
	if (option->kind == OPTION_U16)
		return *(const uint16_t *)value;
	if (option->kind == OPTION_U32 || option->kind == OPTION_SIZE32)
		return *(const uint32_t *)value;
	return *(const uint64_t *)value;
}

bool option_read(const struct option *option, const struct yaml_node *node, const char *path,
		 void *base, struct yaml_errors *errors)
{
	void *target = target_of(option, base);
	const char *text;
	uint64_t number;

	switch ((enum option_kind)option->kind) {
	case OPTION_BOOL:
		return read_bool(option, node, path, target, errors);
	case OPTION_CHOICE:
		return read_choice(option, node, path, target, errors);
	case OPTION_TEXTS:
		return read_texts(option, node, path, target, errors);
	case OPTION_PORTS:
		return read_ports(option, node, path, target, errors);
	case OPTION_TEXT:
		text = read_text(option, node, path, errors);
		if (!text)
			return false;
		g_free(*(char **)target);
		*(char **)target = g_strdup(text);
		return true;
	default:
		if (!read_number(option, node, path, &number, errors))
			return false;
		store_number(option, target, number);
		return true;
	}
}

/* Text as a plain word where every reader takes it for one, else in double quotes. */
static void append_text(const char *text, GString *out)
{
	const char *c = text;

	if (g_ascii_isalnum(*c) || *c == '/')
		while (g_ascii_isalnum(*c) || (*c && strchr("_/.:@%+-", *c)))
			c++;
	if (!*c && !is_typed(text) && c[-1] != ':') {
		g_string_append(out, text);
		return;
	}
	g_string_append_c(out, '"');
	for (c = text; *c; c++) {
		if (*c == '"' || *c == '\\')
			g_string_append_c(out, '\\');
		g_string_append_c(out, *c);
	}
	g_string_append_c(out, '"');
}

static void append_texts(char *const *texts, GString *out)
{
	g_string_append_c(out, '[');
	for (char *const *text = texts; *text; text++) {
		if (text != texts)
			g_string_append(out, ", ");
		append_text(*text, out);
	}
	g_string_append_c(out, ']');
}

static void append_ports(const GArray *ports, GString *out)
{
	g_string_append_c(out, '[');
	for (guint i = 0; i < ports->len; i++)
		g_string_append_printf(out, "%s%u", i ? ", " : "",
				       g_array_index(ports, uint16_t, i));
	g_string_append_c(out, ']');
}

void option_append(const struct option *option, const void *base, GString *out)
{
	const void *value = value_of(option, base);

	switch ((enum option_kind)option->kind) {
	case OPTION_BOOL:
		g_string_append(out, *(const bool *)value ? "true" : "false");
		break;
	case OPTION_CHOICE:
		g_string_append(out, option->choices[*(const unsigned int *)value - option->min]);
		break;
	case OPTION_TEXT:
		append_text(*(char *const *)value, out);
		break;
	case OPTION_TEXTS:
		append_texts(*(char **const *)value, out);
		break;
	case OPTION_PORTS:
		append_ports(*(GArray *const *)value, out);
		break;
	default:
		units_append(units_of(option), load_number(option, value), out);
	}
}

void option_set_preset(const struct option *option, void *base)
{
	g_autofree char *text = g_strdup_printf("preset: %s", option->preset);
	struct yaml_errors errors;
	struct yaml_node *root;

	yaml_errors_init(&errors, option->key);
	root = yaml_load_text(option->key, text, strlen(text), NULL);
	if (!root || !option_read(option, yaml_get(root, "preset"), "", base, &errors))
		g_error("the default of %s is wrong: %s", option->key, option->preset);
	yaml_node_free(root);
	yaml_errors_clear(&errors);
}

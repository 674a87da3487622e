/* SPDX-License-Identifier: MIT */
/* What differs between two configurations, and what that means. Above: outputs.c, daemon.c. */
#include "config.h"

#include "settings.h"

#include <string.h>

#include "settings_option.h"

static void *target_of(const struct option *option, void *base)
{
	return (char *)base + option->offset;
}

static const void *value_of(const struct option *option, const void *base)
{
	return (const char *)base + option->offset;
}

static size_t size_of(const struct option *option)
{
	switch ((enum option_kind)option->kind) {
	case OPTION_BOOL:
		return sizeof(bool);
	case OPTION_U16:
		return sizeof(uint16_t);
	case OPTION_U32:
	case OPTION_SIZE32:
		return sizeof(uint32_t);
	case OPTION_CHOICE:
		return sizeof(unsigned int);
	case OPTION_SIZE64:
	case OPTION_DURATION:
		return sizeof(uint64_t);
	case OPTION_TEXT:
	case OPTION_TEXTS:
	case OPTION_PORTS:
		break;
	}
	return sizeof(void *);
}

bool option_equal(const struct option *option, const void *a, const void *b)
{
	g_autoptr(GString) text_a = NULL;
	g_autoptr(GString) text_b = NULL;

	if (option->kind == OPTION_TEXT)
		return !g_strcmp0(*(char *const *)value_of(option, a),
				  *(char *const *)value_of(option, b));
	if (option->kind != OPTION_TEXTS && option->kind != OPTION_PORTS)
		return !memcmp(value_of(option, a), value_of(option, b), size_of(option));
	text_a = g_string_new(NULL);
	text_b = g_string_new(NULL);
	option_append(option, a, text_a);
	option_append(option, b, text_b);
	return g_string_equal(text_a, text_b);
}

void option_swap(const struct option *option, void *a, void *b)
{
	uint8_t kept[MAX(sizeof(uint64_t), sizeof(void *))];
	size_t size = size_of(option);

	memcpy(kept, target_of(option, a), size);
	memcpy(target_of(option, a), target_of(option, b), size);
	memcpy(target_of(option, b), kept, size);
}

bool option_is_empty(const struct option *option, const void *base)
{
	return option->kind == OPTION_TEXTS && !**(char **const *)value_of(option, base);
}

void option_clear(const struct option *option, void *base)
{
	void *target = target_of(option, base);

	if (option->kind == OPTION_TEXT)
		g_clear_pointer((char **)target, g_free);
	else if (option->kind == OPTION_TEXTS)
		g_clear_pointer((char ***)target, g_strfreev);
	else if (option->kind == OPTION_PORTS)
		g_clear_pointer((GArray **)target, g_array_unref);
}

static bool must_stay(const struct option *option, const struct settings *in_force)
{
	return option->change == CHANGE_RESTART ||
	       (option->change == CHANGE_FROM_NONE && option_is_empty(option, in_force));
}

char *settings_keep_in_force(struct settings *in_force, struct settings *next)
{
	GString *names = g_string_new(NULL);

	for (size_t i = 0; i < option_count; i++) {
		const struct option *option = &option_table[i];

		if (!must_stay(option, in_force) || option_equal(option, in_force, next))
			continue;
		option_swap(option, in_force, next);
		g_string_append_printf(names, "%s%s.%s", names->len ? ", " : "",
				       option_scope_names[option->scope], option->key);
	}
	return g_string_free(names, false);
}

bool settings_same_session(const struct settings_collector *a, const struct settings_collector *b)
{
	for (size_t i = 0; i < option_count; i++)
		if (option_table[i].change == CHANGE_SESSION &&
		    !option_equal(&option_table[i], a, b))
			return false;
	return true;
}

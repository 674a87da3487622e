/* SPDX-License-Identifier: MIT */
/*
 * Names and numbers of the running kernel's drop reasons. Above: daemon_signals.c;
 * fetcher_reasons.c fills it.
 */
#include "config.h"

#include "reasons.h"

struct reasons {
	GHashTable *names;   /* number -> name */
	GHashTable *numbers; /* name -> number */
};

struct reasons *reasons_new(void)
{
	struct reasons *reasons = g_new0(struct reasons, 1);

	reasons->names = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	reasons->numbers = g_hash_table_new(g_str_hash, g_str_equal);
	return reasons;
}

void reasons_free(struct reasons *reasons)
{
	if (!reasons)
		return;
	g_hash_table_unref(reasons->numbers);
	g_hash_table_unref(reasons->names);
	g_free(reasons);
}

void reasons_add(void *user, uint32_t number, const char *name)
{
	struct reasons *reasons = user;
	char *copy;

	/* the same enum lies in several modules */
	if (g_hash_table_contains(reasons->names, GUINT_TO_POINTER(number)))
		return;
	copy = g_strdup(name);
	g_hash_table_insert(reasons->names, GUINT_TO_POINTER(number), copy);
	g_hash_table_insert(reasons->numbers, copy, GUINT_TO_POINTER(number));
}

const char *reasons_name(const struct reasons *reasons, uint32_t number)
{
	const char *name = g_hash_table_lookup(reasons->names, GUINT_TO_POINTER(number));

	return name ? name : "";
}

static int compare_numbers(const void *a, const void *b)
{
	uintptr_t left = GPOINTER_TO_UINT(a), right = GPOINTER_TO_UINT(b);

	return (left > right) - (left < right);
}

void reasons_foreach(const struct reasons *reasons,
		     void (*fn)(void *user, uint32_t number, const char *name), void *user)
{
	g_autoptr(GList) numbers =
		g_list_sort(g_hash_table_get_keys(reasons->names), compare_numbers);

	for (const GList *at = numbers; at; at = at->next)
		fn(user, GPOINTER_TO_UINT(at->data), g_hash_table_lookup(reasons->names, at->data));
}

GArray *reasons_numbers(const struct reasons *reasons, char *const *names)
{
	GArray *numbers = g_array_new(FALSE, FALSE, sizeof(uint32_t));

	for (; *names; names++) {
		gpointer number;

		if (g_hash_table_lookup_extended(reasons->numbers, *names, NULL, &number)) {
			uint32_t value = GPOINTER_TO_UINT(number);

			g_array_append_val(numbers, value);
		}
	}
	return numbers;
}

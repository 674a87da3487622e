/* SPDX-License-Identifier: MIT */
/*
 * Names and numbers of the running kernel's drop reasons. Above: daemon_signals.c;
 * fetcher_reasons.c fills it.
 */
#include "config.h"

#include "reasons.h"

struct reasons {
	GHashTable *causes;  /* number -> struct record_drop_cause, with a name of its own */
	GHashTable *numbers; /* name -> number */
};

static void free_cause(void *data)
{
	struct record_drop_cause *cause = data;

	g_free((char *)cause->name);
	g_free(cause);
}

struct reasons *reasons_new(void)
{
	struct reasons *reasons = g_new0(struct reasons, 1);

	reasons->causes = g_hash_table_new_full(NULL, NULL, NULL, free_cause);
	reasons->numbers = g_hash_table_new(g_str_hash, g_str_equal);
	return reasons;
}

void reasons_free(struct reasons *reasons)
{
	if (!reasons)
		return;
	g_hash_table_unref(reasons->numbers);
	g_hash_table_unref(reasons->causes);
	g_free(reasons);
}

void reasons_add(void *user, uint32_t number, const char *name)
{
	struct reasons *reasons = user;
	struct record_drop_cause *cause;

	/* the same enum lies in several modules */
	if (g_hash_table_contains(reasons->causes, GUINT_TO_POINTER(number)))
		return;
	cause = g_new(struct record_drop_cause, 1);
	cause->name = g_strdup(name);
	cause->forwarding_status = record_forwarding_status(name);
	g_hash_table_insert(reasons->causes, GUINT_TO_POINTER(number), cause);
	g_hash_table_insert(reasons->numbers, (char *)cause->name, GUINT_TO_POINTER(number));
}

const struct record_drop_cause *reasons_get(const struct reasons *reasons, uint32_t number)
{
	const struct record_drop_cause *cause =
		g_hash_table_lookup(reasons->causes, GUINT_TO_POINTER(number));

	return cause ? cause : &record_unknown_cause;
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
		g_list_sort(g_hash_table_get_keys(reasons->causes), compare_numbers);

	for (const GList *at = numbers; at; at = at->next) {
		uint32_t number = GPOINTER_TO_UINT(at->data);

		fn(user, number, reasons_get(reasons, number)->name);
	}
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

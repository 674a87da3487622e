/* SPDX-License-Identifier: MIT */
/* The list of a file's errors, and the guess at what a misspelt word was to be. */
#include "config.h"

#include "yaml.h"

#include <string.h>

#define LONGEST_WORD 63

void yaml_errors_init(struct yaml_errors *errors, const char *file)
{
	errors->file = file;
	errors->messages = g_ptr_array_new_with_free_func(g_free);
}

void yaml_errors_clear(struct yaml_errors *errors)
{
	g_clear_pointer(&errors->messages, g_ptr_array_unref);
}

__attribute__((format(printf, 5, 0))) static void add(struct yaml_errors *errors, uint32_t line,
						      uint32_t column, const char *path,
						      const char *format, va_list args)
{
	g_autofree char *message = g_strdup_vprintf(format, args);
	char *text = g_strdup_printf("%s:%u:%u: %s%s%s", errors->file, line, column, path,
				     *path ? ": " : "", message);

	/* one line each, whatever the file's own words are */
	g_ptr_array_add(errors->messages, g_strdelimit(text, "\n\r\t\v\f\b\033", ' '));
}

void yaml_error_at(struct yaml_errors *errors, const struct yaml_node *node, const char *path,
		   const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(errors, node->line, node->column, path, format, args);
	va_end(args);
}

void yaml_error_at_key(struct yaml_errors *errors, const struct yaml_node *node, const char *path,
		       const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(errors, node->key_line, node->key_column, path, format, args);
	va_end(args);
}

/* Case and the choice of - or _ are no mistakes in spelling. */
static char fold(char c)
{
	return c == '-' ? '_' : g_ascii_tolower(c);
}

static size_t min3(size_t a, size_t b, size_t c)
{
	return MIN(MIN(a, b), c);
}

/* Insertions, deletions, substitutions and swaps of neighbours that make b of a. */
static size_t edit_distance(const char *a, size_t n_a, const char *b, size_t n_b)
{
	size_t rows[3][LONGEST_WORD + 1];

	for (size_t j = 0; j <= n_b; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= n_a; i++) {
		size_t *row = rows[i % 3], *above = rows[(i + 2) % 3];
		const size_t *above2 = rows[(i + 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= n_b; j++) {
			size_t differ = fold(a[i - 1]) != fold(b[j - 1]);

			row[j] = min3(row[j - 1] + 1, above[j] + 1, above[j - 1] + differ);
			if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) &&
			    fold(a[i - 2]) == fold(b[j - 1]))
				row[j] = MIN(row[j], above2[j - 2] + 1);
		}
	}
	return rows[n_a % 3][n_b];
}

const char *yaml_nearest(const char *word, const char *const *candidates, size_t n_candidates)
{
	size_t length = strlen(word);
	size_t best = (length + 2) / 3 + 1;
	const char *nearest = NULL;

	if (length > LONGEST_WORD)
		return NULL;
	for (size_t i = 0; i < n_candidates; i++) {
		size_t n = strlen(candidates[i]);
		size_t distance;

		if (n > LONGEST_WORD)
			continue;
		distance = edit_distance(word, length, candidates[i], n);
		if (distance < best) {
			best = distance;
			nearest = candidates[i];
		}
	}
	return nearest;
}

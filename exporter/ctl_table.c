/* SPDX-License-Identifier: MIT */
/* Tables as text. Above: ctl_show.c, ctl_page.c; below: ctl_format.c fills the cells. */
#include "config.h"

#include "ctl_table.h"

#define LAST_COLUMN_MIN 20

static void append_cell(GString *out, const char *text, const struct ctl_column *column,
			size_t width, bool last)
{
	size_t used = g_utf8_strlen(text, -1);
	int blanks = used < width ? width - used : 0;

	if (column->right)
		g_string_append_printf(out, "%*s", blanks, "");
	g_string_append(out, text);
	if (!column->right && !last)
		g_string_append_printf(out, "%*s", blanks, "");
	g_string_append(out, last ? "\n" : "  ");
}

/* Breaks a text at its blanks so that no line passes `width`, where words allow it. */
static char *wrap(const char *text, size_t indent, size_t width)
{
	g_auto(GStrv) words = g_strsplit(text, " ", -1);
	GString *out = g_string_new(NULL);
	size_t used = 0;

	for (char **word = words; *word; word++) {
		size_t length = g_utf8_strlen(*word, -1);

		if (used && used + 1 + length > width) {
			g_string_append_printf(out, "\n%*s", (int)indent, "");
			used = 0;
		} else if (word != words) {
			g_string_append_c(out, ' ');
			used++;
		}
		g_string_append(out, *word);
		used += length;
	}
	return g_string_free(out, FALSE);
}

/* A column of a few characters is worse than long lines. */
static void wrap_last(GPtrArray *cells, const size_t *widths, size_t n_columns, size_t screen_width)
{
	size_t indent = 0;

	for (size_t i = 0; i + 1 < n_columns; i++)
		indent += widths[i] + 2;
	if (screen_width < indent + LAST_COLUMN_MIN)
		return;
	for (guint i = n_columns - 1; i < cells->len; i += n_columns) {
		char *cell = g_ptr_array_index(cells, i);

		g_ptr_array_index(cells, i) = wrap(cell, indent, screen_width - indent);
		g_free(cell);
	}
}

void ctl_table_write(GString *out, const json_t *rows, const struct ctl_column *columns,
		     size_t n_columns, size_t screen_width)
{
	g_autoptr(GPtrArray) cells = g_ptr_array_new_with_free_func(g_free);
	g_autofree size_t *widths = g_new0(size_t, n_columns);
	const json_t *row;
	size_t index;

	for (size_t i = 0; i < n_columns; i++)
		g_ptr_array_add(cells, g_strdup(columns[i].title));
	json_array_foreach(rows, index, row)
	{
		for (size_t i = 0; i < n_columns; i++) {
			GString *cell = g_string_new(NULL);

			columns[i].format(cell, row, columns[i].key);
			g_ptr_array_add(cells, g_string_free(cell, FALSE));
		}
	}
	for (guint i = 0; i < cells->len; i++) {
		size_t *width = &widths[i % n_columns];

		*width = MAX(*width, (size_t)g_utf8_strlen(g_ptr_array_index(cells, i), -1));
	}
	if (!columns[n_columns - 1].right)
		wrap_last(cells, widths, n_columns, screen_width);
	for (guint i = 0; i < cells->len; i++) {
		size_t column = i % n_columns;

		append_cell(out, g_ptr_array_index(cells, i), &columns[column], widths[column],
			    column == n_columns - 1);
	}
}

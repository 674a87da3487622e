/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "ctl_table.h"

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

void ctl_table_write(GString *out, const json_t *rows, const struct ctl_column *columns,
		     size_t n_columns)
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
	for (guint i = 0; i < cells->len; i++) {
		size_t column = i % n_columns;

		append_cell(out, g_ptr_array_index(cells, i), &columns[column], widths[column],
			    column == n_columns - 1);
	}
}

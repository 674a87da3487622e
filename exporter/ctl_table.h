/* SPDX-License-Identifier: MIT */
#ifndef BPFLOWD_CTL_TABLE_H
#define BPFLOWD_CTL_TABLE_H

#include <glib.h>
#include <jansson.h>
#include <stddef.h>

#include "ctl_format.h"

/* Lays an array of objects out, columns as wide as their widest cell, two blanks between; the last
 * column isn't padded, and goes on in further lines where there are more than screen_width columns
 * of characters (0: no limit). Ends with a newline. */
void ctl_table_write(GString *out, const json_t *rows, const struct ctl_column *columns,
		     size_t n_columns, size_t screen_width);

#endif

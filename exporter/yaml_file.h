/* SPDX-License-Identifier: MIT */
/* What a YAML file must be before it is parsed: regular, small, clean UTF-8. For yaml.c alone. */
#ifndef BPFLOWD_YAML_FILE_H
#define BPFLOWD_YAML_FILE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

/* The content of a regular file of at most 1 MiB. Never waits for a FIFO or device. */
GString *yaml_file_read(const char *path, GError **error);

/* Whether the text is at most 1 MiB of UTF-8 without control characters. */
bool yaml_file_check(const char *name, const char *text, size_t length, GError **error);

#endif

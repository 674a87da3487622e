/* SPDX-License-Identifier: MIT */
/* Parts of a template's file; errors go to check->errors. For template.c. */
#ifndef BPFLOWD_TEMPLATE_ENTRY_H
#define BPFLOWD_TEMPLATE_ENTRY_H

#include "template_check.h"

/* An entry of a list of fields; common entries join several records. */
struct template_entry {
	const struct yaml_node *node;
	char *path;
	struct template_field field;
};

/* Whether the node is of that kind. */
bool template_expect(const struct template_check *check, const struct yaml_node *node,
		     enum yaml_kind kind, const char *path);

/* Tells of keys that are none of these. prefix: path of the mapping, with its dot. */
void template_expect_keys(const struct template_check *check, const struct yaml_node *mapping,
			  const char *const *keys, size_t n_keys, const char *prefix);

/* Index of the scalar among words (ends with NULL), -1 with an error. */
int template_word(const struct template_check *check, const struct yaml_node *node,
		  const char *path, const char *const *words);

/* node may be NULL: absent. */
bool template_bool(const struct template_check *check, const struct yaml_node *node,
		   const char *path, bool absent);

/* List of fields as an array of struct template_entry, which the caller owns; node may be NULL. */
GArray *template_entries(const struct template_check *check, const struct yaml_node *node,
			 const char *path);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * A YAML file as a tree of nodes that know their line and column. The only door to libyaml. Takes a
 * strict subset: one document, UTF-8, at most 1 MiB and 16 levels, no anchors, aliases, tags or
 * merge keys, no duplicate keys.
 */
#ifndef BPFLOWD_YAML_H
#define BPFLOWD_YAML_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

enum yaml_kind { YAML_SCALAR, YAML_SEQUENCE, YAML_MAPPING };

struct yaml_node {
	enum yaml_kind kind;
	uint32_t line; /* from 1 */
	uint32_t column;
	char *key; /* child of a mapping: its key, else NULL */
	uint32_t key_line;
	uint32_t key_column;
	char *scalar; /* scalars: the value */
	bool quoted;  /* scalars: it stood in quotes, so "1" is text */
	GPtrArray *
		children; /* sequences and mappings: struct yaml_node *, in the order of the file */
};

/* Reads a regular file. The root is always a mapping; an empty file is an empty one. Error text:
 * "FILE:LINE:COLUMN: what is wrong; what would be right". */
struct yaml_node *yaml_load_file(const char *path, GError **error);
struct yaml_node *yaml_load_text(const char *name, const char *text, size_t length, GError **error);
/* (libyaml exports a yaml_free of its own, which one of ours would replace) */
void yaml_node_free(struct yaml_node *node);

/* Child of a mapping by key, NULL if there is none. */
const struct yaml_node *yaml_get(const struct yaml_node *mapping, const char *key);

/* A list of "FILE:LINE:COLUMN: KEY.PATH: ..." messages: a file's errors are told all at once. */
struct yaml_errors {
	const char *file;
	GPtrArray *messages; /* char * */
};

void yaml_errors_init(struct yaml_errors *errors, const char *file);
void yaml_errors_clear(struct yaml_errors *errors);
void yaml_error_at(struct yaml_errors *errors, const struct yaml_node *node, const char *path,
		   const char *format, ...) __attribute__((format(printf, 4, 5)));
/* The same at the node's key: for keys that are unknown or out of place. */
void yaml_error_at_key(struct yaml_errors *errors, const struct yaml_node *node, const char *path,
		       const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The candidate nearest to a misspelt word (edit distance of at most a third of its length), or
 * NULL. */
const char *yaml_nearest(const char *word, const char *const *candidates, size_t n_candidates);

#endif

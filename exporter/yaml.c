/* SPDX-License-Identifier: MIT */
/*
 * Builds the tree of nodes from libyaml's events, which stop at the first thing that the subset
 * doesn't take: libyaml's own loader would need quadratic time for nested brackets. Before it:
 * yaml_file.c.
 */
#include "config.h"

#include "yaml.h"

#include <glib.h>
#include <string.h>
#include <yaml.h>

#include "yaml_file.h"

#define MAX_DEPTH 16
#define MAX_NODES 10000

struct reader {
	yaml_parser_t parser;
	const char *name;
	const char *text;
	size_t length;
	GString *path; /* of the node being read */
	unsigned int depth;
	unsigned int n_nodes;
	GError **error;
};

static struct yaml_node *read_node(struct reader *reader, yaml_event_t *event);

static void fail(struct reader *reader, const yaml_mark_t *mark, const char *format, ...)
	G_GNUC_PRINTF(3, 4);

static void fail(struct reader *reader, const yaml_mark_t *mark, const char *format, ...)
{
	g_autofree char *message = NULL;
	g_autofree char *path = g_strdup(reader->path->str);
	va_list args;

	va_start(args, format);
	message = g_strdup_vprintf(format, args);
	va_end(args);
	/* one line, as in yaml_error.c: a key may be several */
	g_strdelimit(path, "\n\r\t\v\f\b\033", ' ');
	g_strdelimit(message, "\n\r\t\v\f\b\033", ' ');
	g_set_error(reader->error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s:%zu:%zu: %s%s%s",
		    reader->name, mark->line + 1, mark->column + 1, path, *path ? ": " : "",
		    message);
}

static char char_at(const struct reader *reader, const yaml_mark_t *mark)
{
	/* index counts characters */
	const char *at = g_utf8_offset_to_pointer(reader->text, (glong)mark->index);

	return at < reader->text + reader->length ? *at : '\0';
}

/* A word that begins with a character that means something else to YAML: globs do. */
static bool fail_indicator(struct reader *reader)
{
	const yaml_parser_t *parser = &reader->parser;
	char at_problem = char_at(reader, &parser->problem_mark);
	char at_context = parser->context ? char_at(reader, &parser->context_mark) : '\0';

	if (at_context && strchr("*!&", at_context))
		fail(reader, &parser->context_mark,
		     "a word that begins with %c; write it in quotes", at_context);
	else if (at_problem && strchr("@`%", at_problem))
		fail(reader, &parser->problem_mark,
		     "a word that begins with %c; write it in quotes", at_problem);
	else if (at_problem == '\t')
		fail(reader, &parser->problem_mark, "a tab character; indent with spaces");
	else
		return false;
	return true;
}

/* libyaml's own words say what it met, not what to do about it. */
static void fail_syntax(struct reader *reader)
{
	const yaml_parser_t *parser = &reader->parser;
	g_autofree char *context = NULL;

	if (fail_indicator(reader))
		return;
	context = parser->context ? g_strdup_printf(" %s that begins in line %zu", parser->context,
						    parser->context_mark.line + 1)
				  : g_strdup("");
	fail(reader, &parser->problem_mark,
	     "not YAML: %s%s; check indentation, colons, quotes and brackets",
	     parser->problem ? parser->problem : "unreadable", context);
}

/* event must be cleared (zero is clear) or hold one that is done. */
static bool next_event(struct reader *reader, yaml_event_t *event)
{
	yaml_event_delete(event);
	if (yaml_parser_parse(&reader->parser, event))
		return true;
	fail_syntax(reader);
	return false;
}

static struct yaml_node *new_node(enum yaml_kind kind, const yaml_mark_t *mark)
{
	struct yaml_node *node = g_new0(struct yaml_node, 1);

	node->kind = kind;
	node->line = (uint32_t)mark->line + 1;
	node->column = (uint32_t)mark->column + 1;
	if (kind != YAML_SCALAR)
		node->children = g_ptr_array_new_with_free_func((GDestroyNotify)yaml_node_free);
	return node;
}

static bool check_plain(struct reader *reader, const yaml_event_t *event, const yaml_char_t *anchor,
			const yaml_char_t *tag)
{
	if (anchor)
		fail(reader, &event->start_mark,
		     "anchor &%s; anchors are not taken, remove it, or write the word in quotes",
		     anchor);
	else if (tag)
		fail(reader, &event->start_mark,
		     "tag %s; tags are not taken, remove it, or write the word in quotes", tag);
	return !anchor && !tag;
}

static char *read_text(struct reader *reader, const yaml_event_t *event)
{
	const char *value = (const char *)event->data.scalar.value;

	if (!check_plain(reader, event, event->data.scalar.anchor, event->data.scalar.tag))
		return NULL;
	if (strlen(value) != event->data.scalar.length) {
		fail(reader, &event->start_mark, "a NUL character in text; remove the \\0");
		return NULL;
	}
	return g_strdup(value);
}

static struct yaml_node *read_scalar(struct reader *reader, const yaml_event_t *event)
{
	char *text = read_text(reader, event);
	struct yaml_node *node;

	if (!text)
		return NULL;
	node = new_node(YAML_SCALAR, &event->start_mark);
	node->scalar = text;
	node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	return node;
}

static bool read_items(struct reader *reader, struct yaml_node *sequence)
{
	size_t path_length = reader->path->len;
	yaml_event_t event = {0};
	bool good = false;

	for (;;) {
		struct yaml_node *item;

		if (!next_event(reader, &event))
			break;
		good = event.type == YAML_SEQUENCE_END_EVENT;
		if (good)
			break;
		g_string_append_printf(reader->path, "[%u]", sequence->children->len);
		item = read_node(reader, &event);
		if (!item)
			break;
		g_string_truncate(reader->path, path_length);
		g_ptr_array_add(sequence->children, item);
	}
	yaml_event_delete(&event);
	return good;
}

static bool check_key(struct reader *reader, const yaml_event_t *event, const char *key,
		      GHashTable *seen)
{
	const struct yaml_node *first = g_hash_table_lookup(seen, key);

	if (!strcmp(key, "<<") && event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		fail(reader, &event->start_mark,
		     "a merge key; merging is not taken, write the keys out");
	else if (!*key)
		fail(reader, &event->start_mark, "an empty key; write KEY: VALUE");
	else if (first)
		fail(reader, &event->start_mark, "given twice, first in line %u; keep one of them",
		     first->key_line);
	else
		return true;
	return false;
}

/* One KEY: VALUE. event holds the key and is used up. */
static struct yaml_node *read_pair(struct reader *reader, yaml_event_t *event, GHashTable *seen)
{
	const yaml_mark_t mark = event->start_mark;
	g_autofree char *key = NULL;
	struct yaml_node *node;

	if (event->type == YAML_SEQUENCE_START_EVENT || event->type == YAML_MAPPING_START_EVENT) {
		fail(reader, &mark, "a list or mapping as a key; keys are single words");
		return NULL;
	}
	if (event->type == YAML_ALIAS_EVENT)
		return read_node(reader, event);
	key = read_text(reader, event);
	if (!key)
		return NULL;
	if (*key)
		g_string_append_printf(reader->path, "%s%s", reader->path->len ? "." : "", key);
	if (!check_key(reader, event, key, seen) || !next_event(reader, event))
		return NULL;
	node = read_node(reader, event);
	if (!node)
		return NULL;
	node->key = g_steal_pointer(&key);
	node->key_line = (uint32_t)mark.line + 1;
	node->key_column = (uint32_t)mark.column + 1;
	g_hash_table_insert(seen, node->key, node);
	return node;
}

static bool read_pairs(struct reader *reader, struct yaml_node *mapping)
{
	g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
	size_t path_length = reader->path->len;
	yaml_event_t event = {0};
	bool good = false;

	for (;;) {
		struct yaml_node *child;

		if (!next_event(reader, &event))
			break;
		good = event.type == YAML_MAPPING_END_EVENT;
		if (good)
			break;
		child = read_pair(reader, &event, seen);
		if (!child)
			break;
		g_string_truncate(reader->path, path_length);
		g_ptr_array_add(mapping->children, child);
	}
	yaml_event_delete(&event);
	return good;
}

static struct yaml_node *read_collection(struct reader *reader, const yaml_event_t *event)
{
	bool is_mapping = event->type == YAML_MAPPING_START_EVENT;
	struct yaml_node *node;
	bool good;

	/* both members of the union begin alike, but that is libyaml's business */
	if (is_mapping ? !check_plain(reader, event, event->data.mapping_start.anchor,
				      event->data.mapping_start.tag)
		       : !check_plain(reader, event, event->data.sequence_start.anchor,
				      event->data.sequence_start.tag))
		return NULL;
	if (reader->depth == MAX_DEPTH) {
		/* not the path: it has grown sixteen levels long */
		g_string_truncate(reader->path, 0);
		fail(reader, &event->start_mark,
		     "nested more than %d levels deep; write it flatter", MAX_DEPTH);
		return NULL;
	}
	node = new_node(is_mapping ? YAML_MAPPING : YAML_SEQUENCE, &event->start_mark);
	reader->depth++;
	good = is_mapping ? read_pairs(reader, node) : read_items(reader, node);
	reader->depth--;
	if (!good)
		g_clear_pointer(&node, yaml_node_free);
	return node;
}

static struct yaml_node *read_node(struct reader *reader, yaml_event_t *event)
{
	if (++reader->n_nodes > MAX_NODES) {
		fail(reader, &event->start_mark, "more than %d values; make the file smaller",
		     MAX_NODES);
		return NULL;
	}
	if (event->type == YAML_ALIAS_EVENT) {
		fail(reader, &event->start_mark,
		     "alias *%s; aliases are not taken, write the value out, or the word in quotes",
		     event->data.alias.anchor);
		return NULL;
	}
	if (event->type == YAML_SCALAR_EVENT)
		return read_scalar(reader, event);
	return read_collection(reader, event);
}

static bool is_empty_scalar(const yaml_event_t *event)
{
	return event->type == YAML_SCALAR_EVENT && !event->data.scalar.length &&
	       event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !event->data.scalar.anchor &&
	       !event->data.scalar.tag;
}

static struct yaml_node *read_root(struct reader *reader, yaml_event_t *event)
{
	const yaml_mark_t mark = event->start_mark;
	struct yaml_node *root;

	if (event->type == YAML_DOCUMENT_START_EVENT) {
		if (event->data.document_start.version_directive ||
		    event->data.document_start.tag_directives.start !=
			    event->data.document_start.tag_directives.end) {
			fail(reader, &mark, "a %% directive; directives are not taken, remove it");
			return NULL;
		}
		if (!next_event(reader, event))
			return NULL;
	}
	if (event->type == YAML_STREAM_END_EVENT || is_empty_scalar(event))
		return new_node(YAML_MAPPING, &mark);
	root = read_node(reader, event);
	if (root && root->kind != YAML_MAPPING) {
		fail(reader, &mark, "%s; the file must be made of KEY: VALUE",
		     root->kind == YAML_SCALAR ? "a lone value" : "a list");
		g_clear_pointer(&root, yaml_node_free);
	}
	return root;
}

/* After the root: the end of the document, then of the stream. */
static bool read_end(struct reader *reader, yaml_event_t *event)
{
	while (event->type != YAML_STREAM_END_EVENT) {
		if (!next_event(reader, event))
			return false;
		if (event->type != YAML_DOCUMENT_START_EVENT)
			continue;
		fail(reader, &event->start_mark,
		     "a second document; one file holds one, remove the line ---");
		return false;
	}
	return true;
}

static struct yaml_node *read_stream(struct reader *reader)
{
	struct yaml_node *root = NULL;
	yaml_event_t event = {0};

	/* stream start, then the first document or the end */
	if (next_event(reader, &event) && next_event(reader, &event))
		root = read_root(reader, &event);
	if (root && !read_end(reader, &event))
		g_clear_pointer(&root, yaml_node_free);
	yaml_event_delete(&event);
	return root;
}

struct yaml_node *yaml_load_text(const char *name, const char *text, size_t length, GError **error)
{
	/* libyaml insists on a pointer */
	const char *input = length ? text : "";
	struct reader reader = {.name = name, .text = input, .length = length, .error = error};
	struct yaml_node *root;

	if (!yaml_file_check(name, input, length, error))
		return NULL;
	if (!yaml_parser_initialize(&reader.parser))
		g_error("libyaml: out of memory");
	yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&reader.parser, (const unsigned char *)input, length);
	reader.path = g_string_new(NULL);
	root = read_stream(&reader);
	g_string_free(reader.path, true);
	yaml_parser_delete(&reader.parser);
	return root;
}

struct yaml_node *yaml_load_file(const char *path, GError **error)
{
	g_autoptr(GString) text = yaml_file_read(path, error);

	return text ? yaml_load_text(path, text->str, text->len, error) : NULL;
}

void yaml_node_free(struct yaml_node *node)
{
	if (!node)
		return;
	g_clear_pointer(&node->children, g_ptr_array_unref);
	g_free(node->key);
	g_free(node->scalar);
	g_free(node);
}

const struct yaml_node *yaml_get(const struct yaml_node *mapping, const char *key)
{
	for (guint i = 0; mapping->kind == YAML_MAPPING && i < mapping->children->len; i++) {
		const struct yaml_node *child = g_ptr_array_index(mapping->children, i);

		if (!strcmp(child->key, key))
			return child;
	}
	return NULL;
}

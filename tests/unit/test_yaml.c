/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "yaml.h"

#include <glib.h>
#include <stdbool.h>
#include <string.h>

static struct yaml_node *load(const char *text, GError **error)
{
	return yaml_load_text("f", text, strlen(text), error);
}

static void test_tree(void)
{
	g_autoptr(GError) error = NULL;
	struct yaml_node *root = load("a: 1\nlist:\n  - \"1\"\n  - {b: c}\n", &error);
	const struct yaml_node *list;
	const struct yaml_node *item;

	g_assert_no_error(error);
	g_assert_cmpint(root->kind, ==, YAML_MAPPING);
	g_assert_cmpuint(root->children->len, ==, 2);
	g_assert_cmpstr(yaml_get(root, "a")->scalar, ==, "1");
	g_assert_false(yaml_get(root, "a")->quoted);
	g_assert_null(yaml_get(root, "b"));
	list = yaml_get(root, "list");
	g_assert_cmpint(list->kind, ==, YAML_SEQUENCE);
	g_assert_cmpuint(list->key_line, ==, 2);
	g_assert_cmpuint(list->key_column, ==, 1);
	item = g_ptr_array_index(list->children, 0);
	g_assert_true(item->quoted);
	g_assert_cmpuint(item->line, ==, 3);
	g_assert_cmpuint(item->column, ==, 5);
	g_assert_null(item->key);
	item = g_ptr_array_index(list->children, 1);
	g_assert_cmpstr(yaml_get(item, "b")->scalar, ==, "c");
	g_assert_null(yaml_get(yaml_get(item, "b"), "c"));
	yaml_node_free(root);
}

static void test_empty(void)
{
	const char *const texts[] = {"", "\n\n", "# only a comment\n", "---\n", "--- # x\n...\n"};

	for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
		g_autoptr(GError) error = NULL;
		struct yaml_node *root = load(texts[i], &error);

		g_assert_no_error(error);
		g_assert_cmpint(root->kind, ==, YAML_MAPPING);
		g_assert_cmpuint(root->children->len, ==, 0);
		yaml_node_free(root);
	}
}

/* Nothing at all, not even a pointer. */
static void test_null(void)
{
	struct yaml_node *root = yaml_load_text("f", NULL, 0, NULL);

	g_assert_nonnull(root);
	g_assert_cmpuint(root->children->len, ==, 0);
	yaml_node_free(root);
}

static const struct {
	const char *text;
	const char *message;
} bad_texts[] = {
	{"a: 1\na: 2\n", "f:2:1: a: given twice, first in line 1; keep one of them"},
	{"x:\n  - {b: 1, b: 2}\n",
	 "f:2:12: x[0].b: given twice, first in line 2; keep one of them"},
	{"a: &x 1\n",
	 "f:1:4: a: anchor &x; anchors are not taken, remove it, or write the word in quotes"},
	{"a: *x\n",
	 "f:1:4: a: alias *x; aliases are not taken, write the value out, or the word in quotes"},
	{"*x : 1\n",
	 "f:1:1: alias *x; aliases are not taken, write the value out, or the word in quotes"},
	{"a: !!int 1\n", "f:1:4: a: tag tag:yaml.org,2002:int; tags are not taken, remove it, or "
			 "write the word in quotes"},
	{"a: !t {b: 1}\n",
	 "f:1:4: a: tag !t; tags are not taken, remove it, or write the word in quotes"},
	{"<<: {b: 1}\n", "f:1:1: <<: a merge key; merging is not taken, write the keys out"},
	{"[a]: 1\n", "f:1:1: a list or mapping as a key; keys are single words"},
	{"\"\": 1\n", "f:1:1: an empty key; write KEY: VALUE"},
	{"- a\n", "f:1:1: a list; the file must be made of KEY: VALUE"},
	{"word\n", "f:1:1: a lone value; the file must be made of KEY: VALUE"},
	{"a: 1\n---\nb: 1\n", "f:2:1: a second document; one file holds one, remove the line ---"},
	{"%YAML 1.1\n---\na: 1\n", "f:1:1: a % directive; directives are not taken, remove it"},
	{"a:\n\tb: 1\n", "f:2:1: a: a tab character; indent with spaces"},
	{"a: [*, b]\n", "f:1:5: a: a word that begins with *; write it in quotes"},
	{"a: [b, !lo]\n", "f:1:8: a: a word that begins with !; write it in quotes"},
	{"a: @b\n", "f:1:4: a: a word that begins with @; write it in quotes"},
	{"a: \"x\\0y\"\n", "f:1:4: a: a NUL character in text; remove the \\0"},
	{"\xef\xbb\xbf"
	 "a: 1\n",
	 "f:1:1: a byte order mark; save the file as UTF-8 without one"},
	{"\xff\xfe"
	 "a",
	 "f:1:1: UTF-16; save the file as UTF-8"},
	{"a: b\nc: \xe9t\xe9\n", "f:2:4: not UTF-8; save the file as UTF-8"},
	{"a: \x1b[2J\n", "f:1:4: control character U+001B; remove it"},
	{"a: x\xe2\x80\xa8y\n", "f:1:5: control character U+2028; remove it"},
	{"a: [1, 2\n",
	 "f:2:1: a: not YAML: did not find expected ',' or ']' while parsing a flow sequence "
	 "that begins in line 1; check indentation, colons, quotes and brackets"},
};

static void test_bad(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(bad_texts); i++) {
		g_autoptr(GError) error = NULL;

		g_assert_null(load(bad_texts[i].text, &error));
		g_assert_nonnull(error);
		g_assert_cmpstr(error->message, ==, bad_texts[i].message);
	}
}

static void test_nul(void)
{
	g_autoptr(GError) error = NULL;

	g_assert_null(yaml_load_text("f", "a: 1\n\0b: 2\n", 11, &error));
	g_assert_cmpstr(error->message, ==, "f:2:1: a NUL character; remove it");
}

/* Text that would take libyaml's loader a minute, or fill the memory. */
static void test_hostile(void)
{
	const char *const units[] = {"[",  "{",	  "- ",	 "? ",	"[[",	"{a: ",	 "a: [",
				     "\"", "'",	  "&a ", "*a ", "!a ",	"%A\n",	 "#",
				     ",",  "a: ", "|",	 ">",	"- - ", "a:\n ", "[a, "};

	for (size_t i = 0; i < G_N_ELEMENTS(units); i++) {
		g_autoptr(GString) text = g_string_new(NULL);
		g_autoptr(GError) error = NULL;
		gint64 start = g_get_monotonic_time();
		struct yaml_node *root;

		while (text->len < 100000)
			g_string_append(text, units[i]);
		root = load(text->str, &error);
		g_assert_cmpint(g_get_monotonic_time() - start, <, 1000000);
		if (strcmp(units[i], "#"))
			g_assert_nonnull(error);
		yaml_node_free(root);
	}
}

/* The 16th level is taken, the 17th isn't. */
static void test_depth(void)
{
	g_autoptr(GError) error = NULL;
	struct yaml_node *root = load("a: [[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]\n", &error);

	g_assert_no_error(error);
	yaml_node_free(root);
	g_assert_null(load("a: [[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]\n", &error));
	g_assert_cmpstr(error->message, ==,
			"f:1:19: nested more than 16 levels deep; write it flatter");
}

static void test_many(void)
{
	g_autoptr(GString) text = g_string_new(NULL);
	g_autoptr(GError) error = NULL;

	for (unsigned int i = 0; i < 10000; i++)
		g_string_append_printf(text, "k%u: 1\n", i);
	g_assert_null(load(text->str, &error));
	g_assert_cmpstr(error->message, ==,
			"f:10000:8: k9999: more than 10000 values; make the file smaller");
	g_clear_error(&error);
	while (text->len <= 1 << 20)
		g_string_append(text, "# a comment\n");
	g_assert_null(load(text->str, &error));
	g_assert_cmpstr(error->message, ==, "f: larger than 1 MiB; name a configuration file");
}

static void test_file(void)
{
	g_autoptr(GError) error = NULL;

	g_assert_null(yaml_load_file("/", &error));
	g_assert_cmpstr(error->message, ==, "/: a directory; name a regular file");
	g_clear_error(&error);
	g_assert_null(yaml_load_file("/dev/null", &error));
	g_assert_cmpstr(error->message, ==, "/dev/null: not a regular file; name a regular file");
	g_clear_error(&error);
	g_assert_null(yaml_load_file("/nonexistent", &error));
	g_assert_cmpstr(error->message, ==,
			"/nonexistent: can't be opened: No such file or directory");
}

static void test_errors(void)
{
	struct yaml_node node = {.line = 4, .column = 9, .key_line = 3, .key_column = 2};
	struct yaml_errors errors;

	yaml_errors_init(&errors, "f");
	yaml_error_at(&errors, &node, "a.b", "wrong %d", 1);
	yaml_error_at_key(&errors, &node, "", "unknown");
	g_assert_cmpuint(errors.messages->len, ==, 2);
	g_assert_cmpstr(g_ptr_array_index(errors.messages, 0), ==, "f:4:9: a.b: wrong 1");
	g_assert_cmpstr(g_ptr_array_index(errors.messages, 1), ==, "f:3:2: unknown");
	yaml_errors_clear(&errors);
}

static void test_nearest(void)
{
	static const char *const words[] = {"active_timeout", "idle_timeout", "dns", "rtt", "user"};
	const size_t n = G_N_ELEMENTS(words);
	g_autofree char *endless = g_strnfill(1000, 'a');

	g_assert_cmpstr(yaml_nearest("active_timout", words, n), ==, "active_timeout");
	g_assert_cmpstr(yaml_nearest("Idle-Timeout", words, n), ==, "idle_timeout");
	g_assert_cmpstr(yaml_nearest("dsn", words, n), ==, "dns");
	g_assert_cmpstr(yaml_nearest("dn", words, n), ==, "dns");
	g_assert_cmpstr(yaml_nearest("usre", words, n), ==, "user");
	g_assert_null(yaml_nearest("xyz", words, n));
	g_assert_null(yaml_nearest("", words, n));
	g_assert_null(yaml_nearest(endless, words, n));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/yaml/tree", test_tree);
	g_test_add_func("/yaml/empty", test_empty);
	g_test_add_func("/yaml/null", test_null);
	g_test_add_func("/yaml/bad", test_bad);
	g_test_add_func("/yaml/nul", test_nul);
	g_test_add_func("/yaml/hostile", test_hostile);
	g_test_add_func("/yaml/depth", test_depth);
	g_test_add_func("/yaml/many", test_many);
	g_test_add_func("/yaml/file", test_file);
	g_test_add_func("/yaml/errors", test_errors);
	g_test_add_func("/yaml/nearest", test_nearest);
	return g_test_run();
}

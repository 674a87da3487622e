/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer: any text is either refused with messages that have a place, or taken; what is taken is
 * printed so that it reads and prints the same.
 */
#include "config.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *print(const struct settings *settings)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	settings_print(settings, out);
	fclose(out);
	return text;
}

static struct settings *parse(const char *text, size_t size)
{
	struct yaml_errors errors;
	struct settings *settings;

	yaml_errors_init(&errors, "f");
	settings = settings_parse("f", text, size, &errors);
	g_assert((settings != NULL) == (errors.messages->len == 0));
	for (guint i = 0; i < errors.messages->len; i++) {
		const char *message = g_ptr_array_index(errors.messages, i);

		g_assert(!strchr(message, '\n'));
		g_assert(g_utf8_validate(message, -1, NULL));
	}
	yaml_errors_clear(&errors);
	return settings;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *source = g_getenv("BPFLOWD_SRC");
	struct settings *first, *second;
	char *text, *again;

	/* the corpus says template_dir: templates */
	if (source)
		g_assert_cmpint(chdir(source), ==, 0);
	first = parse((const char *)data, size);
	if (!first)
		return 0;
	text = print(first);
	second = parse(text, strlen(text));
	g_assert(second);
	again = print(second);
	g_assert_cmpstr(text, ==, again);
	free(text);
	free(again);
	settings_free(first);
	settings_free(second);
	return 0;
}

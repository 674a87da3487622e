/* SPDX-License-Identifier: MIT */
/* --print-config: every row with its value, in the form that settings.c reads. */
#include "config.h"

#include "settings_option.h"

static bool applies(const struct option *option, const struct settings_collector *collector)
{
	if (option->target == TARGET_NETWORK)
		return !collector->file;
	return option->target == TARGET_ANY || collector->file;
}

static void print_line(const struct option *option, const void *base, const char *indent, FILE *out)
{
	g_autoptr(GString) value = g_string_new(NULL);

	option_append(option, base, value);
	fprintf(out, "%s%s: %s\n", indent, option->key, value->str);
}

static void print_section(enum option_scope scope, const struct settings *settings, FILE *out)
{
	fprintf(out, "%s:\n", option_scope_names[scope]);
	for (size_t i = 0; i < option_count; i++)
		if (option_table[i].scope == scope)
			print_line(&option_table[i], settings, "  ", out);
}

static void print_collector(const struct settings_collector *collector, FILE *out)
{
	const char *indent = "  - ";
	bool in_tls = false;

	for (size_t i = 0; i < option_count; i++) {
		const struct option *option = &option_table[i];

		if (!option_scope_within(option->scope, SCOPE_COLLECTOR) ||
		    !applies(option, collector))
			continue;
		if (option->scope == SCOPE_TLS && !in_tls) {
			fprintf(out, "    tls:\n");
			in_tls = true;
		}
		print_line(option, collector, in_tls ? "      " : indent, out);
		indent = "    ";
	}
}

static void print_collectors(const struct settings *settings, FILE *out)
{
	if (!settings->collectors->len) {
		fprintf(out, "collectors: []\n");
		return;
	}
	fprintf(out, "collectors:\n");
	for (guint i = 0; i < settings->collectors->len; i++)
		print_collector(g_ptr_array_index(settings->collectors, i), out);
}

void settings_print(const struct settings *settings, FILE *out)
{
	print_section(SCOPE_EXPORTER, settings, out);
	print_section(SCOPE_METERING, settings, out);
	print_collectors(settings, out);
	print_section(SCOPE_HTTP, settings, out);
	print_section(SCOPE_LOG, settings, out);
}

/* SPDX-License-Identifier: MIT */
/* bpflowd: does what the arguments ask for, else runs the daemon. */
#include "config.h"

#include <stdio.h>

#include "arguments.h"
#include "daemon.h"
#include "definitions.h"
#include "field.h"
#include "log.h"
#include "settings.h"
#include "transport.h"

static struct settings *load(const struct arguments *arguments)
{
	bool elements = arguments->action == ACTION_LIST_ELEMENTS ||
			arguments->action == ACTION_PRINT_DEFINITIONS;
	/* the elements need no file, but one may give them another enterprise number */
	const char *path = elements || arguments->path ? arguments->path : SETTINGS_PATH;
	struct settings *settings;
	struct yaml_errors errors;

	yaml_errors_init(&errors, path);
	if (arguments->action == ACTION_RUN || arguments->action == ACTION_CHECK)
		settings = settings_load(path, &errors);
	else
		settings = settings_load_incomplete(path, &errors);
	for (guint i = 0; i < errors.messages->len; i++)
		fprintf(stderr, "%s\n", (const char *)g_ptr_array_index(errors.messages, i));
	yaml_errors_clear(&errors);
	if (!settings && !arguments->path && !g_file_test(path, G_FILE_TEST_EXISTS))
		fprintf(stderr, "bpflowd: that is the default; name another with -c FILE\n");
	return settings;
}

static bool print(const struct arguments *arguments, const struct settings *settings)
{
	g_autoptr(GError) error = NULL;

	if (arguments->action == ACTION_CHECK)
		printf("%s: ok\n", settings->path);
	else if (arguments->action == ACTION_PRINT_CONFIG)
		settings_print(settings, stdout);
	else if (arguments->action == ACTION_LIST_ELEMENTS)
		field_list(stdout, settings->enterprise_number);
	else if (!definitions_print(stdout, arguments->format, settings->enterprise_number, &error))
		fprintf(stderr, "bpflowd: %s\n", error->message);
	return !error;
}

static int close_stdout(void)
{
	if (!fflush(stdout) && !ferror(stdout))
		return 0;
	perror("bpflowd: standard output");
	return 2;
}

int main(int argc, char **argv)
{
	struct arguments arguments;
	struct settings *settings;
	bool printed;

	log_init();
	settings_set_probe(transport_probe);
	if (!arguments_read(argc, argv, &arguments))
		return 1;
	if (arguments_answer(&arguments))
		return close_stdout();
	settings = load(&arguments);
	if (!settings)
		return 1;
	if (arguments.action == ACTION_RUN)
		return daemon_run(settings);
	printed = print(&arguments, settings);
	settings_free(settings);
	return printed ? close_stdout() : 1;
}

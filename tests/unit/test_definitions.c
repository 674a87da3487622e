/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <glib.h>
#include <string.h>

#include "definitions.h"
#include "wire_fixture.h"

static char *print(const char *format, uint32_t pen)
{
	GError *error = NULL;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	g_assert_true(definitions_print(out, format, pen, &error));
	g_assert_no_error(error);
	fclose(out);
	return text;
}

/* The files in conf/collectors are what is printed; UPDATE_GOLDEN=1 writes them. */
static void shipped(void)
{
	static const struct {
		const char *format, *file;
	} files[] = {
		{"ipfixdump", "ipfixdump/bpflowd.xml"}, {"ipfixcol2", "ipfixcol2/bpflowd.xml"},
		{"pmacct", "pmacct/bpflowd.lst"},	{"goflow2", "goflow2/bpflowd.yaml"},
		{"filebeat", "filebeat/bpflowd.yml"},	{"logstash", "logstash/bpflowd.yml"},
		{"telegraf", "telegraf/bpflowd.csv"},	{"nprobe", "ntopng/bpflowd.txt"},
		{"graylog", "graylog/bpflowd.json"},	{"iespec", "python-ipfix/bpflowd.iespec"},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
		g_autofree char *name = g_strconcat("../../conf/collectors/", files[i].file, NULL);
		g_autofree char *text = print(files[i].format, FIXTURE_PEN);

		fixture_golden(name, text);
	}
}

static void enterprise_number(void)
{
	g_autofree char *text = print("telegraf", 4711);

	g_assert_true(g_str_has_prefix(text, "4711."));
	g_assert_null(strstr(text, "32473"));
	g_assert_nonnull(strstr(text, "4711.2,drop_cause_name,string\n"));
	g_assert_nonnull(strstr(text, "4711.16,tcp_server_rtt_microseconds,uint\n"));
}

static void unknown(void)
{
	g_autoptr(GError) error = NULL;

	g_assert_false(definitions_print(stdout, "sflowtool", 1, &error));
	g_assert_cmpstr(error->message, ==,
			"no definitions for 'sflowtool'; one of: ipfixdump, ipfixcol2, pmacct, "
			"goflow2, filebeat, logstash, telegraf, nprobe, graylog, iespec");
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/definitions/shipped", shipped);
	g_test_add_func("/definitions/enterprise_number", enterprise_number);
	g_test_add_func("/definitions/unknown", unknown);
	return g_test_run();
}

/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <string.h>

#include "plan.h"
#include "wire_fixture.h"

static const char *const templates[] = {"standard"};

/* Templates, options and a flow of each kind, as they go out. */
static void golden(gconstpointer data)
{
	g_autofree char *name = g_strdup_printf("ipfix-%s.hex", (const char *)data);
	void (*const fill[])(struct flow_record *) = {fixture_tcp4, fixture_dns6, fixture_icmp4,
						      fixture_arp};
	g_autoptr(GPtrArray) all = g_ptr_array_new();
	g_autoptr(GPtrArray) options_messages = NULL;
	g_autofree char *text = NULL;
	struct options options;
	struct fixture fixture;

	fixture_init(&fixture, data, ENCODER_IPFIX, 1420);
	fixture_options(&options);
	g_ptr_array_extend(all, encoder_templates(fixture.encoder), NULL, NULL);
	options_messages = encoder_options(fixture.encoder, &options);
	g_ptr_array_extend(all, options_messages, NULL, NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(fill); i++) {
		struct flow_record record;

		fill[i](&record);
		encoder_append(fixture.encoder, &record);
	}
	encoder_flush(fixture.encoder);
	g_ptr_array_extend(all, fixture.messages, NULL, NULL);
	text = fixture_dump(&fixture, all);
	fixture_golden(name, text);
	options_clear(&options);
	fixture_clear(&fixture);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(templates); i++) {
		g_autofree char *path = g_strconcat("/ipfix/golden/", templates[i], NULL);

		g_test_add_data_func(path, templates[i], golden);
	}
	return g_test_run();
}

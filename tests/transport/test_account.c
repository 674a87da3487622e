/* SPDX-License-Identifier: MIT */
/*
 * The account of outputs.c: each packet of a flow is in what a collector was sent, in a counted
 * loss or in what was not meant for it. Collectors are files.
 */
#include "config.h"

#include <glib.h>
#include <glib/gstdio.h>

#include "outputs.h"
#include "tests/unit/wire_fixture.h"

#define TIMES "flowStartMilliseconds, flowEndMilliseconds"

struct site {
	char *folder;
	struct settings *settings;
	struct outputs *outputs;
	uint64_t n_flows, n_packets, n_octets; /* handed to outputs.c */
};

static void fill_options(void *user, struct options *options)
{
}

/* Two collectors that share an encoder, and one with a template of its own. */
static void begin(struct site *site, const char *template)
{
	const struct outputs_callbacks callbacks = {fill_options, NULL};
	g_autofree char *path = NULL, *text = NULL;
	g_autoptr(GError) error = NULL;
	struct yaml_errors errors;

	memset(site, 0, sizeof(*site));
	site->folder = g_dir_make_tmp("bpflowd-account-XXXXXX", &error);
	g_assert_no_error(error);
	path = g_build_filename(site->folder, "t.yaml", NULL);
	g_assert_true(g_file_set_contents(path, template, -1, NULL));
	text = g_strdup_printf(
		"exporter: {template_dir: %s/templates}\n"
		"collectors:\n"
		"  - {name: a, file: %s/a, template: standard, max_message_size: 1420}\n"
		"  - {name: b, file: %s/b, template: standard, max_message_size: 1420}\n"
		"  - {name: own, file: %s/own, template: %s}\n",
		TOP_SRCDIR, site->folder, site->folder, site->folder, path);
	yaml_errors_init(&errors, "test");
	site->settings = settings_parse("test", text, strlen(text), &errors);
	for (guint i = 0; i < errors.messages->len; i++)
		g_test_message("%s", (char *)errors.messages->pdata[i]);
	g_assert_cmpuint(errors.messages->len, ==, 0);
	yaml_errors_clear(&errors);
	site->outputs = outputs_new(site->settings, 0, &callbacks, &error);
	g_assert_no_error(error);
}

static void send_flows(struct site *site)
{
	GRand *rand = g_rand_new_with_seed(11);

	for (int i = 0; i < 1000; i++) {
		struct flow_record record;

		fixture_random(&record, rand);
		record.metrics.packets = g_rand_int_range(rand, 0, 1000);
		record.metrics.bytes = 40 * record.metrics.packets;
		record.metrics.drops.packets = i % 3;
		record.metrics.drops.bytes = 40 * (i % 3);
		site->n_flows++;
		site->n_packets += record.metrics.packets;
		site->n_octets += record.metrics.bytes;
		outputs_append(site->outputs, &record);
	}
	outputs_flush(site->outputs);
	while (g_main_context_iteration(NULL, false))
		;
	g_assert_true(outputs_drain(site->outputs, UINT64_MAX));
	g_rand_free(rand);
}

static void check_one(void *user, const struct collector *collector,
		      const struct template *template, const struct output_skipped *skipped)
{
	const struct collector_stats *stats = collector_stats(collector);
	bool shared = g_str_equal(template->name, "standard");
	const struct site *site = user;
	uint64_t packets = stats->sent_packets + skipped->packets;
	uint64_t octets = stats->sent_octets + skipped->octets;
	uint64_t flows = stats->sent_flows;

	for (int i = 0; i < COLLECTOR_N_LOSSES; i++) {
		flows += stats->lost[i].flows;
		packets += stats->lost[i].packets;
		octets += stats->lost[i].octets;
	}
	g_assert_cmpuint(packets, ==, site->n_packets);
	g_assert_cmpuint(octets, ==, site->n_octets);
	if (shared)
		g_assert_cmpuint(flows, ==, site->n_flows);
}

static void end(struct site *site)
{
	outputs_foreach(site->outputs, check_one, site);
	outputs_free(site->outputs);
	settings_free(site->settings);
	for (int i = 0; i < 4; i++) {
		static const char *const names[] = {"a", "b", "own", "t.yaml"};
		g_autofree char *path = g_build_filename(site->folder, names[i], NULL);

		g_assert_cmpint(g_unlink(path), ==, 0);
	}
	g_assert_cmpint(g_rmdir(site->folder), ==, 0);
	g_free(site->folder);
}

/* A template that says nothing of most flows. */
static void test_some(void)
{
	struct site site;

	begin(&site, "records:\n  - {name: some, match: [ipv4, tcp], fields: [" TIMES "]}\n");
	send_flows(&site);
	end(&site);
}

/* Drops as records of their own, and for most flows none of what passed: that was not sent. */
static void test_drops_only(void)
{
	struct site site;

	begin(&site,
	      "drops: record\n"
	      "records:\n"
	      "  - {name: drop, match: [drop], fields: [packetDeltaCount, forwardingStatus, " TIMES
	      "]}\n"
	      "  - {name: some, match: [ipv6, tcp], fields: [packetDeltaCount, " TIMES "]}\n");
	send_flows(&site);
	end(&site);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/account/some", test_some);
	g_test_add_func("/account/drops-only", test_drops_only);
	return g_test_run();
}

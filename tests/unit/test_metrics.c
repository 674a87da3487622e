/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "metrics.h"

#include <string.h>
#include <unistd.h>

static void assert_text(const struct metrics *metrics, const char *expected)
{
	g_autoptr(GString) out = g_string_new(NULL);

	metrics_write(metrics, out);
	g_assert_cmpstr(out->str, ==, expected);
}

static void test_empty(void)
{
	struct metrics *metrics = metrics_new();

	assert_text(metrics, "");
	g_assert_cmpuint(metrics_samples(metrics, METRIC_RTT)->len, ==, 0);
	metrics_free(metrics);
	metrics_free(NULL);
}

static void test_text(void)
{
	struct metrics *metrics = metrics_new();

	metrics_add(metrics, METRIC_FLOWS_ACTIVE, 12, NULL);
	metrics_add_real(metrics, METRIC_START_TIME, 1700000000.25, NULL);
	metrics_add(metrics, METRIC_RELOADS, UINT64_MAX, "result", "done", NULL);
	metrics_add(metrics, METRIC_RELOADS, 2, "result", "refused", NULL);
	assert_text(metrics,
		    "# HELP bpflowd_start_time_seconds Unix time of the start of the daemon.\n"
		    "# TYPE bpflowd_start_time_seconds gauge\n"
		    "bpflowd_start_time_seconds 1700000000.25\n"
		    "# HELP bpflowd_reloads_total Configurations read again, by result.\n"
		    "# TYPE bpflowd_reloads_total counter\n"
		    "bpflowd_reloads_total{result=\"done\"} 18446744073709551615\n"
		    "bpflowd_reloads_total{result=\"refused\"} 2\n"
		    "# HELP bpflowd_flows_active Flows in the flow cache.\n"
		    "# TYPE bpflowd_flows_active gauge\n"
		    "bpflowd_flows_active 12\n");
	metrics_free(metrics);
}

static void test_labels(void)
{
	struct metrics *metrics = metrics_new();
	g_autoptr(GString) out = g_string_new(NULL);

	metrics_add(metrics, METRIC_INTERFACE_FAILED, 1, "netns", "", "interface",
		    "a\"b\\c\nd\xff\xc3\xa4", NULL);
	/* the same labels add up, others don't */
	metrics_add(metrics, METRIC_INTERFACE_PACKETS, 3, "interface", "eth0", NULL);
	metrics_add(metrics, METRIC_INTERFACE_PACKETS, 4, "interface", "eth0", NULL);
	metrics_add(metrics, METRIC_INTERFACE_PACKETS, 5, "interface", "eth1", NULL);
	metrics_add(metrics, METRIC_INTERFACE_OCTETS, 6, "interface", "eth0", NULL);
	metrics_write(metrics, out);
	g_assert_nonnull(
		strstr(out->str, "{netns=\"\",interface=\"a\\\"b\\\\c\\nd\\\\xff\xc3\xa4\"} 1\n"));
	g_assert_nonnull(strstr(out->str, "packets_total{interface=\"eth0\"} 7\n"));
	g_assert_nonnull(strstr(out->str, "packets_total{interface=\"eth1\"} 5\n"));
	g_assert_nonnull(strstr(out->str, "octets_total{interface=\"eth0\"} 6\n"));
	metrics_free(metrics);
}

static void test_histogram(void)
{
	struct metrics *metrics = metrics_new();
	g_autoptr(GString) out = g_string_new(NULL);
	struct histogram histogram;

	histogram_init(&histogram);
	histogram_observe(&histogram, 0);
	histogram_observe(&histogram, 0.0001); /* a bound belongs to its bucket */
	histogram_observe(&histogram, 0.25);
	histogram_observe(&histogram, 1000);
	g_assert_cmpuint(histogram_count(&histogram), ==, 4);
	metrics_add_histogram(metrics, METRIC_RTT, &histogram, "side", "client", NULL);
	metrics_write(metrics, out);
	g_assert_nonnull(strstr(out->str, "_bucket{side=\"client\",le=\"0.0001\"} 2\n"));
	g_assert_nonnull(strstr(out->str, "_bucket{side=\"client\",le=\"0.1\"} 2\n"));
	g_assert_nonnull(strstr(out->str, "_bucket{side=\"client\",le=\"0.25\"} 3\n"));
	g_assert_nonnull(strstr(out->str, "_bucket{side=\"client\",le=\"10\"} 3\n"));
	g_assert_nonnull(strstr(out->str, "_bucket{side=\"client\",le=\"+Inf\"} 4\n"));
	g_assert_nonnull(strstr(out->str, "_sum{side=\"client\"} 1000.2501\n"));
	g_assert_nonnull(strstr(out->str, "_count{side=\"client\"} 4\n"));
	metrics_free(metrics);
}

/* Every row with a value and wild labels, as promtool wants it. */
static void test_promtool(void)
{
	g_autofree char *promtool = g_find_program_in_path("promtool");
	g_autofree char *command = NULL;
	g_autofree char *complaints = NULL;
	g_autofree char *path = NULL;
	struct metrics *metrics;
	struct histogram histogram;
	g_autoptr(GString) out = g_string_new(NULL);
	int status = -1;
	int fd;

	if (!promtool) {
		g_test_skip("promtool isn't installed (package prometheus)");
		return;
	}
	metrics = metrics_new();
	histogram_init(&histogram);
	for (int i = 0; i < METRIC_COUNT; i++) {
		if (metric_rows[i].type == METRIC_TYPE_HISTOGRAM)
			metrics_add_histogram(metrics, i, &histogram, NULL);
		else
			metrics_add(metrics, i, i, "interface", "\xff\"\\\n", NULL);
	}
	metrics_write(metrics, out);
	metrics_free(metrics);
	fd = g_file_open_tmp("bpflowd-metrics-XXXXXX", &path, NULL);
	g_assert_cmpint(fd, >=, 0);
	g_assert_cmpint(write(fd, out->str, out->len), ==, out->len);
	close(fd);
	command = g_strdup_printf("/bin/sh -c \"%s check metrics < %s\"", promtool, path);
	g_assert_true(g_spawn_command_line_sync(command, NULL, &complaints, &status, NULL));
	unlink(path);
	g_assert_cmpstr(complaints, ==, "");
	g_assert_cmpint(status, ==, 0);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/metrics/empty", test_empty);
	g_test_add_func("/metrics/text", test_text);
	g_test_add_func("/metrics/labels", test_labels);
	g_test_add_func("/metrics/histogram", test_histogram);
	g_test_add_func("/metrics/promtool", test_promtool);
	return g_test_run();
}

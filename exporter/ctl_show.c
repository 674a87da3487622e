/* SPDX-License-Identifier: MIT */
/* One row per verb: where its answer keeps the array, and the columns of its table. */
#include "config.h"

#include "ctl.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ctl_table.h"

struct show {
	const char *verb;
	const char *array; /* key of the answer's array, NULL: the answer has none */
	/* Makes the rows of the table when they aren't the array's own; the caller owns them. */
	json_t *(*rows)(const json_t *array);
	const struct ctl_column *columns;
	size_t n_columns;
	void (*remark)(const json_t *answer); /* below the table */
};

static json_t *template_rows(const json_t *templates);
static json_t *stats_rows(const json_t *metrics);
static void remark_flows(const json_t *answer);
static void remark_flush(const json_t *answer);
static void remark_reload(const json_t *answer);
static void append_sample(GString *out, const json_t *row, const char *key);
static void append_address(GString *out, const json_t *row, const char *key);
static void append_state(GString *out, const json_t *row, const char *key);

static const struct ctl_column flow_columns[] = {
	{"PROTO", "protocolIdentifier", ctl_protocol},
	{"SOURCE", NULL, ctl_source},
	{"DESTINATION", NULL, ctl_destination},
	{"IN", "ingressInterfaceName", ctl_text},
	{"OUT", "egressInterfaceName", ctl_text},
	{"FLAGS", "tcpControlBits", ctl_tcp_flags},
	{"START", "flowStartMilliseconds", ctl_time},
	{"SECONDS", NULL, ctl_duration, .right = true},
	{"PACKETS", "packetDeltaCount", ctl_count, .right = true},
	{"OCTETS", "octetDeltaCount", ctl_count, .right = true},
	{"DROPS", "droppedPacketDeltaCount", ctl_count, .right = true},
};

static const struct ctl_column interface_columns[] = {
	{"INTERFACE", "name", ctl_text},
	{"NETNS", "netns", ctl_text},
	{"INDEX", "ifindex", ctl_count, .right = true},
	{"UP", "up", ctl_yes_no},
	{"METERED", "metered", ctl_yes_no},
	{"INGRESS", "ingress", ctl_text},
	{"EGRESS", "egress", ctl_text},
	{"IN-PACKETS", "ingress_packets", ctl_count, .right = true},
	{"IN-OCTETS", "ingress_octets", ctl_count, .right = true},
	{"OUT-PACKETS", "egress_packets", ctl_count, .right = true},
	{"OUT-OCTETS", "egress_octets", ctl_count, .right = true},
	{"ERROR", "error", ctl_text},
};

static const struct ctl_column collector_columns[] = {
	{"COLLECTOR", "name", ctl_text},
	{"ADDRESS", NULL, append_address},
	{"PROTOCOL", "protocol", ctl_text},
	{"TRANSPORT", "transport", ctl_text},
	{"TEMPLATE", "template", ctl_text},
	{"STATE", "up", append_state},
	{"FLOWS", "sent_flows", ctl_count, .right = true},
	{"PACKETS", "sent_packets", ctl_count, .right = true},
	{"MESSAGES", "sent_messages", ctl_count, .right = true},
	{"QUEUE-BYTES", "queued_bytes", ctl_size, .right = true},
	{"LOST-FLOWS", "lost_flows", ctl_count, .right = true},
	{"LOST-PACKETS", "lost_packets", ctl_count, .right = true},
	{"ERROR", "last_error", ctl_text},
};

static const struct ctl_column template_columns[] = {
	{"TEMPLATE", "template", ctl_text},	{"FORMAT", "format", ctl_text},
	{"ID", "id", ctl_count, .right = true}, {"RECORD", "record", ctl_text},
	{"FIELDS", "fields", ctl_text},
};

static const struct ctl_column stats_columns[] = {
	{"METRIC", "name", ctl_text},
	{"VALUE", "value", append_sample, .right = true},
};

static const struct ctl_column drop_columns[] = {
	{"REASON", "reason", ctl_text},
	{"CAUSE", "cause", ctl_count, .right = true},
	{"INTERFACE", "interface", ctl_text},
	{"NETNS", "netns", ctl_text},
	{"PACKETS", "packets", ctl_count, .right = true},
	{"OCTETS", "octets", ctl_count, .right = true},
};

#define TABLE(array) array, G_N_ELEMENTS(array)

static const struct show shows[] = {
	{"flows", "flows", NULL, TABLE(flow_columns), remark_flows},
	{"interfaces", "interfaces", NULL, TABLE(interface_columns)},
	{"collectors", "collectors", NULL, TABLE(collector_columns)},
	{"templates", "templates", template_rows, TABLE(template_columns)},
	{"stats", "metrics", stats_rows, TABLE(stats_columns)},
	{"drops", "drops", NULL, TABLE(drop_columns)},
	{"flush", .remark = remark_flush},
	{"reload", .remark = remark_reload},
};

static const struct show *find(const char *verb)
{
	for (size_t i = 0; i < G_N_ELEMENTS(shows); i++) {
		if (strcmp(shows[i].verb, verb) == 0)
			return &shows[i];
	}
	return NULL;
}

bool ctl_show_knows(const char *what)
{
	const struct show *show = find(what);

	return show && show->array;
}

/* 0: not on a terminal, whoever reads takes lines of any length. */
static size_t screen_width(void)
{
	struct winsize size;

	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

static void print_table(const struct show *show, const json_t *answer)
{
	const json_t *array = json_object_get(answer, show->array);
	json_t *made = show->rows ? show->rows(array) : NULL;
	g_autoptr(GString) out = g_string_new(NULL);

	ctl_table_write(out, made ? made : array, show->columns, show->n_columns, screen_width());
	fputs(out->str, stdout);
	json_decref(made);
}

int ctl_show(const struct ctl_options *options, const char *verb)
{
	const struct show *show = find(verb);
	g_autoptr(GError) error = NULL;
	json_t *answer;
	int code;

	answer = ctl_ask(options->socket, verb, options->args, &code, &error);
	if (!answer) {
		fprintf(stderr, "bpflowctl: %s\n", error->message);
		return code;
	}
	if (options->json) {
		json_dumpf(answer, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		if (show->array)
			print_table(show, answer);
		if (show->remark)
			show->remark(answer);
	}
	json_decref(answer);
	return fflush(stdout) == 0 ? CTL_OK : CTL_USAGE;
}

/* One row per record of a template. */
static json_t *template_rows(const json_t *templates)
{
	json_t *rows = json_array();
	const json_t *template, *record, *field;
	size_t i, j, k;

	json_array_foreach(templates, i, template)
	{
		json_array_foreach(json_object_get(template, "records"), j, record)
		{
			g_autoptr(GString) names = g_string_new(NULL);

			json_array_foreach(json_object_get(record, "fields"), k, field)
			{
				if (names->len)
					g_string_append_c(names, ' ');
				ctl_text(names, field, "name");
			}
			json_array_append_new(rows,
					      json_pack("{s:O*, s:O*, s:O*, s:O*, s:s}", "template",
							json_object_get(template, "name"), "format",
							json_object_get(template, "format"), "id",
							json_object_get(record, "id"), "record",
							json_object_get(record, "name"), "fields",
							names->str));
		}
	}
	return rows;
}

/* One row per sample, named as on /metrics without the prefix. */
static json_t *stats_rows(const json_t *metrics)
{
	json_t *rows = json_array();
	const json_t *metric, *sample;
	size_t i, j;

	json_array_foreach(metrics, i, metric)
	{
		json_array_foreach(json_object_get(metric, "samples"), j, sample)
		{
			json_t *row = json_copy((json_t *)sample);
			g_autoptr(GString) name = g_string_new(NULL);
			const char *separator = "{";
			const char *label;
			json_t *value;

			ctl_text(name, metric, "name");
			json_object_foreach(json_object_get(sample, "labels"), label, value)
			{
				g_string_append_printf(name, "%s%s=", separator, label);
				ctl_append_safe(name, json_string_value(value));
				separator = ",";
			}
			if (*separator == ',')
				g_string_append_c(name, '}');
			json_object_set_new(row, "name", json_string(name->str));
			json_array_append_new(rows, row);
		}
	}
	return rows;
}

static void append_sample(GString *out, const json_t *row, const char *key)
{
	double count = ctl_number(row, "count");

	if (json_object_get(row, key))
		ctl_text(out, row, key);
	else /* a histogram */
		g_string_append_printf(out, "%.0f, mean %.6f", count,
				       count > 0 ? ctl_number(row, "sum") / count : 0);
}

static void append_address(GString *out, const json_t *row, const char *key)
{
	const char *address = json_string_value(json_object_get(row, "address"));

	ctl_append_safe(out, address ? address : "");
	if (!address) {
		ctl_text(out, row, "file");
		return;
	}
	if (strchr(address, ':')) {
		g_string_prepend_c(out, '[');
		g_string_append_c(out, ']');
	}
	g_string_append_c(out, ':');
	ctl_text(out, row, "port");
}

static void append_state(GString *out, const json_t *row, const char *key)
{
	g_string_append(out, json_is_true(json_object_get(row, key)) ? "up" : "down");
}

static void remark_flows(const json_t *answer)
{
	json_int_t shown = json_array_size(json_object_get(answer, "flows"));
	json_int_t matched = json_integer_value(json_object_get(answer, "matched"));

	if (shown < matched)
		printf("%lld of %lld flows; --limit 0 shows all\n", shown, matched);
}

static void remark_flush(const json_t *answer)
{
	const json_t *waiting;
	size_t i;

	printf("%lld flows exported\n", json_integer_value(json_object_get(answer, "flows")));
	json_array_foreach(json_object_get(answer, "waiting"), i, waiting)
	{
		const char *error = json_string_value(json_object_get(waiting, "last_error"));
		g_autoptr(GString) line = g_string_new("collector ");

		ctl_text(line, waiting, "collector");
		g_string_append_printf(line, " %s",
				       json_is_true(json_object_get(waiting, "up")) ? "is slow"
										    : "is down");
		if (error && *error) {
			g_string_append(line, ": ");
			ctl_append_safe(line, error);
		}
		printf("%s; %lld flows wait for it\n", line->str,
		       json_integer_value(json_object_get(waiting, "queued_flows")));
	}
}

static void remark_reload(const json_t *answer)
{
	const char *restart = json_string_value(json_object_get(answer, "restart_needed"));

	puts("configuration reloaded");
	if (restart && *restart)
		printf("still as before until a restart: %s\n", restart);
}

/* SPDX-License-Identifier: MIT */
/* The command line of bpflowctl, and its help. Above: ctl.c. */
#include "config.h"

#include "ctl.h"
#include "ctl_format.h"

static const char summary[] =
	"Commands:\n"
	"  show flows         flows in the cache; see the options below\n"
	"  show interfaces    interfaces, whether and how they are metered, what was seen\n"
	"  show collectors    collectors, their state, what they were sent, what was lost\n"
	"  show templates     templates in use and their fields\n"
	"  show stats         every counter, as on /metrics\n"
	"  show drops         packets that the kernel dropped, by reason\n"
	"  top                live screen, refreshed each second; q quits\n"
	"  flush              exports every flow now, returns when they are sent\n"
	"  reload             reads the configuration again, as SIGHUP does\n"
	"\n"
	"Exit status: 0 fine, 1 wrong arguments or the daemon refused, 2 no daemon or not "
	"permitted.";

/* Options of `show flows` become arguments of the request under their own name. */
struct flow_options {
	char *sort;
	char *address;
	char *interface;
	char *protocol;
	char *limit;
	char *port;
};

static void add_string(json_t *args, const char *name, char *value)
{
	if (value)
		json_object_set_new(args, name, json_string(value));
	g_free(value);
}

/* What is no number goes as it is: the daemon says what would be right. */
static void add_number(json_t *args, const char *name, char *value)
{
	guint64 number;

	if (value && g_ascii_string_to_unsigned(value, 10, 0, G_MAXINT32, &number, NULL))
		json_object_set_new(args, name, json_integer(number));
	else if (value)
		json_object_set_new(args, name, json_string(value));
	g_free(value);
}

static void add_arguments(json_t *args, struct flow_options *flow)
{
	add_string(args, "sort", flow->sort);
	add_string(args, "address", flow->address);
	add_string(args, "interface", flow->interface);
	add_number(args, "limit", flow->limit);
	add_number(args, "port", flow->port);
	if (flow->protocol)
		json_object_set_new(args, "protocol",
				    json_integer(ctl_protocol_number(flow->protocol)));
	g_free(flow->protocol);
}

static int usage(GOptionContext *context, const char *problem)
{
	g_autofree char *help = g_option_context_get_help(context, TRUE, NULL);

	fprintf(stderr, "bpflowctl: %s\n%s", problem, help);
	return CTL_USAGE;
}

int ctl_options_read(struct ctl_options *options, int *argc, char ***argv)
{
	struct flow_options flow = {0};
	gboolean json = FALSE;
	gboolean version = FALSE;
	const GOptionEntry entries[] = {
		{"socket", 's', 0, G_OPTION_ARG_FILENAME, &options->socket,
		 "Control socket (default: " CTL_DEFAULT_SOCKET ")", "SOCKET"},
		{"json", 'j', 0, G_OPTION_ARG_NONE, &json, "Print the answer as JSON", NULL},
		{"sort", 0, 0, G_OPTION_ARG_STRING, &flow.sort,
		 "show flows: rate, bytes, packets, start, end or drops", "KEY"},
		{"limit", 'n', 0, G_OPTION_ARG_STRING, &flow.limit,
		 "show flows: at most N (default 1000; 0: all)", "N"},
		{"address", 0, 0, G_OPTION_ARG_STRING, &flow.address,
		 "show flows: source or destination within ADDRESS[/PREFIX]", "A"},
		{"port", 0, 0, G_OPTION_ARG_STRING, &flow.port,
		 "show flows: source or destination port", "P"},
		{"interface", 'i', 0, G_OPTION_ARG_STRING, &flow.interface,
		 "show flows: came in or leaves there", "I"},
		{"protocol", 0, 0, G_OPTION_ARG_STRING, &flow.protocol,
		 "show flows: name or number", "X"},
		{"version", 'V', 0, G_OPTION_ARG_NONE, &version, "Print the version", NULL},
		{NULL},
	};
	g_autoptr(GOptionContext) context = g_option_context_new("COMMAND");
	g_autoptr(GError) error = NULL;
	bool parsed, no_protocol;

	options->args = json_object();
	g_option_context_add_main_entries(context, entries, NULL);
	g_option_context_set_summary(context, summary);
	parsed = g_option_context_parse(context, argc, argv, &error);
	no_protocol = flow.protocol && ctl_protocol_number(flow.protocol) < 0;
	add_arguments(options->args, &flow);
	options->json = json;
	if (!options->socket)
		options->socket = g_strdup(CTL_DEFAULT_SOCKET);
	if (!parsed)
		return usage(context, error->message);
	if (no_protocol)
		return usage(context, "--protocol: tcp, udp, icmp or another name that show flows "
				      "prints, or a number from 0 to 255, is right");
	if (version) {
		puts("bpflowctl " PACKAGE_VERSION);
		return CTL_OK;
	}
	return *argc < 2 ? usage(context, "a command is needed") : -1;
}

void ctl_options_clear(struct ctl_options *options)
{
	g_free(options->socket);
	json_decref(options->args);
}

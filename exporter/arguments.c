/* SPDX-License-Identifier: MIT */
/* Reads the command line with getopt_long, and says what it takes. */
#include "config.h"

#include "arguments.h"

#include <getopt.h>
#include <stdio.h>

static const struct option options[] = {
	{"config", required_argument, NULL, 'c'},
	{"check", no_argument, NULL, ACTION_CHECK},
	{"print-config", no_argument, NULL, ACTION_PRINT_CONFIG},
	{"list-elements", no_argument, NULL, ACTION_LIST_ELEMENTS},
	{"print-definitions", required_argument, NULL, ACTION_PRINT_DEFINITIONS},
	{"version", no_argument, NULL, 'V'},
	{"help", no_argument, NULL, 'h'},
	{NULL},
};

static void print_help(void)
{
	fputs("Usage: bpflowd [-c FILE] [--check | --print-config | --list-elements |\n"
	      "               --print-definitions=FORMAT]\n"
	      "Meters network flows in the kernel and exports them as IPFIX or NetFlow v9.\n"
	      "\n"
	      "  -c, --config=FILE    configuration; default /etc/bpflowd/bpflowd.yaml\n"
	      "      --check          tell whether the configuration is right\n"
	      "      --print-config   print the configuration with every default\n"
	      "      --list-elements  print what templates can name\n"
	      "      --print-definitions=FORMAT\n"
	      "                       print our own elements as a collector loads them:\n"
	      "                       ipfixdump, ipfixcol2, pmacct, goflow2, filebeat,\n"
	      "                       logstash, telegraf, nprobe, graylog, iespec\n"
	      "  -V, --version        print the version\n"
	      "  -h, --help           print this\n",
	      stdout);
}

bool arguments_answer(const struct arguments *arguments)
{
	if (arguments->action == ACTION_HELP)
		print_help();
	else if (arguments->action == ACTION_VERSION)
		puts("bpflowd " VERSION);
	else
		return false;
	return true;
}

static bool set_action(struct arguments *arguments, enum action action)
{
	if (arguments->action != ACTION_RUN && arguments->action != action) {
		fprintf(stderr, "bpflowd: one thing at a time; try bpflowd --help\n");
		return false;
	}
	arguments->action = action;
	return true;
}

static bool take(struct arguments *arguments, int c)
{
	switch (c) {
	case 'c':
		arguments->path = optarg;
		return true;
	case 'V':
		return set_action(arguments, ACTION_VERSION);
	case 'h':
		return set_action(arguments, ACTION_HELP);
	case '?':
		fprintf(stderr, "bpflowd: try bpflowd --help\n");
		return false;
	case ACTION_PRINT_DEFINITIONS:
		arguments->format = optarg;
		return set_action(arguments, ACTION_PRINT_DEFINITIONS);
	default:
		return set_action(arguments, (enum action)c);
	}
}

bool arguments_read(int argc, char **argv, struct arguments *arguments)
{
	int c;

	*arguments = (struct arguments){.action = ACTION_RUN};
	argv[0] = (char *)"bpflowd"; /* getopt's messages begin with it, without our path */
	while ((c = getopt_long(argc, argv, "c:Vh", options, NULL)) != -1)
		if (!take(arguments, c))
			return false;
	if (optind == argc)
		return true;
	fprintf(stderr, "bpflowd: %s is no option; try bpflowd --help\n", argv[optind]);
	return false;
}

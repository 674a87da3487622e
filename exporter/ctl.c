/* SPDX-License-Identifier: MIT */
/* bpflowctl: words of the command line to verbs. Below: ctl_options.c, ctl_show.c, ctl_top.c. */
#include "config.h"

#include "ctl.h"

#include <locale.h>
#include <string.h>

static int unknown(const char *what, const char *word)
{
	fprintf(stderr, "bpflowctl: unknown %s \"%s\"; bpflowctl --help lists them\n", what, word);
	return CTL_USAGE;
}

static int run(const struct ctl_options *options, int n_words, char **words)
{
	bool show = strcmp(words[0], "show") == 0;

	if (n_words > (show ? 2 : 1)) {
		fprintf(stderr, "bpflowctl: \"%s\" is one word too many\n", words[show ? 2 : 1]);
		return CTL_USAGE;
	}
	if (show && n_words == 1) {
		fprintf(stderr, "bpflowctl: show what? bpflowctl --help lists it\n");
		return CTL_USAGE;
	}
	if (json_object_size(options->args) > 0 && strcmp(words[n_words - 1], "flows") != 0 &&
	    strcmp(words[0], "top") != 0) {
		fprintf(stderr, "bpflowctl: --sort, --limit, --address, --port, --interface and "
				"--protocol are for \"show flows\"\n");
		return CTL_USAGE;
	}
	if (show)
		return ctl_show_knows(words[1]) ? ctl_show(options, words[1])
						: unknown("thing to show", words[1]);
	if (strcmp(words[0], "flush") == 0 || strcmp(words[0], "reload") == 0)
		return ctl_show(options, words[0]);
	if (strcmp(words[0], "top") == 0)
		return ctl_top(options);
	return unknown("command", words[0]);
}

int main(int argc, char **argv)
{
	struct ctl_options options = {0};
	int code;

	setlocale(LC_ALL, "");
	code = ctl_options_read(&options, &argc, &argv);
	if (code < 0)
		code = run(&options, argc - 1, argv + 1);
	ctl_options_clear(&options);
	return code;
}

/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "ctl.h"

int ctl_top(const struct ctl_options *options)
{
	fprintf(stderr, "bpflowctl: top comes next\n");
	return CTL_USAGE;
}

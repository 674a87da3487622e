/* SPDX-License-Identifier: MIT */
/* Begin and end of struct options. Above: outputs_group.c; below: options_encode.c. */
#include "config.h"

#include "options.h"

#include <string.h>

void options_init(struct options *options)
{
	memset(options, 0, sizeof(*options));
	options->sampling_interval = 1;
	options->interfaces = g_array_new(FALSE, FALSE, sizeof(struct options_interface));
	options->drop_reasons = g_array_new(FALSE, FALSE, sizeof(struct options_drop_reason));
}

void options_clear(struct options *options)
{
	g_clear_pointer(&options->interfaces, g_array_unref);
	g_clear_pointer(&options->drop_reasons, g_array_unref);
}

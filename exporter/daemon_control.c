/* SPDX-License-Identifier: MIT */
/* The verbs of bpflowctl, answered from the actors. */
#include "config.h"

#include "daemon_private.h"

static json_t *answer_reload(void *user, const json_t *args, GError **error)
{
	return daemon_reload(user, error) ? json_pack("{s:b}", "reloaded", 1) : NULL;
}

const struct control_verb daemon_verbs[] = {
	{.name = "reload", .changes = true, .answer = answer_reload},
	{.name = NULL},
};

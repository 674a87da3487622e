/* SPDX-License-Identifier: MIT */
/* NetFlow v9: the same records as IPFIX, with templates and times of its own. */
#include "config.h"

#include "netflow9.h"

#include "sets.h"

#define BASE_STEP_MS_LOG2 30 /* 12.4 days */

uint64_t netflow9_base_ms(uint64_t boot_real_ms, uint64_t end_ms)
{
	uint64_t steps = end_ms > boot_real_ms ? (end_ms - boot_real_ms) >> BASE_STEP_MS_LOG2 : 0;

	/* from 2 steps on the flow's end stays between 2 and 3 of the 4 steps that 32 bits hold:
	 * room for flows that began 24 days earlier and for messages that wait for 12 days */
	return steps > 2 ? boot_real_ms + ((steps - 2) << BASE_STEP_MS_LOG2) : boot_real_ms;
}

void netflow9_templates(const struct encoder_config *config, const struct plan *plans,
			GPtrArray *messages)
{
	struct sets sets;

	sets_init(&sets, ENCODER_NETFLOW9, config->max_message_size);
	for (unsigned int i = 0; i < config->template->records->len; i++) {
		const struct plan *plan = &plans[i];

		sets_record_into(&sets, SET_V9_TEMPLATES, 4 + 4 * plan->n_fields, MESSAGE_TEMPLATES,
				 messages);
		wire_put(&sets.wire, plan->id, 2);
		wire_put(&sets.wire, plan->n_fields, 2);
		for (unsigned int j = 0; j < plan->n_fields; j++) {
			wire_put(&sets.wire, plan->fields[j].field->v9, 2);
			wire_put(&sets.wire, plan->fields[j].length, 2);
		}
	}
	sets_take_into(&sets, MESSAGE_TEMPLATES, messages);
	sets_clear(&sets);
}

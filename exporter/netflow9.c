/* SPDX-License-Identifier: MIT */
/* NetFlow v9: the same records as IPFIX, written from the same table. */
#include "config.h"

#include "netflow9.h"

#include "sets.h"

#define BASE_STEP_MS_LOG2 30 /* 12.4 days */

struct netflow9 {
	const struct plan *plans;
	unsigned int n_plans;
	uint32_t max_message_size;
	struct sets sets;
};

uint64_t netflow9_base_ms(uint64_t boot_real_ms, uint64_t end_ms)
{
	uint64_t steps = end_ms > boot_real_ms ? (end_ms - boot_real_ms) >> BASE_STEP_MS_LOG2 : 0;

	/* from 2 steps on the flow's end stays between 2 and 3 of the 4 steps that 32 bits hold:
	 * room for flows that began 24 days earlier and for messages that wait for 12 days */
	return steps > 2 ? boot_real_ms + ((steps - 2) << BASE_STEP_MS_LOG2) : boot_real_ms;
}

static void *netflow9_new(const struct encoder_config *config, const struct plan *plans,
			  unsigned int n_plans, GError **error)
{
	struct netflow9 *self = g_new0(struct netflow9, 1);

	self->plans = plans;
	self->n_plans = n_plans;
	self->max_message_size = config->max_message_size;
	sets_init(&self->sets, ENCODER_NETFLOW9, config->max_message_size);
	return self;
}

static void netflow9_free(void *format)
{
	struct netflow9 *self = format;

	sets_clear(&self->sets);
	g_free(self);
}

static enum encoder_result netflow9_append(void *format, const struct plan *plan,
					   const struct flow_record *record, uint64_t base_ms)
{
	struct netflow9 *self = format;

	if (!sets_record(&self->sets, plan->id, plan->fixed_size))
		return ENCODER_FULL;
	plan_write(plan, record, base_ms, &self->sets.wire);
	return ENCODER_APPENDED;
}

static struct message *netflow9_take(void *format)
{
	struct netflow9 *self = format;

	return sets_take(&self->sets, MESSAGE_DATA);
}

/* RFC 3954 5.2 */
static bool netflow9_templates(void *format, GPtrArray *messages, GError **error)
{
	struct netflow9 *self = format;
	struct sets sets;

	sets_init(&sets, ENCODER_NETFLOW9, self->max_message_size);
	for (unsigned int i = 0; i < self->n_plans; i++) {
		const struct plan *plan = &self->plans[i];

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
	return true;
}

const struct encoder_format_ops netflow9_ops = {
	.new = netflow9_new,
	.free = netflow9_free,
	.append = netflow9_append,
	.take = netflow9_take,
	.templates = netflow9_templates,
};

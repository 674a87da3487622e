/* SPDX-License-Identifier: MIT */
/* What NetFlow v9 (RFC 3954) has of its own: templates, and the base of its times. */
#ifndef BPFLOWD_NETFLOW9_H
#define BPFLOWD_NETFLOW9_H

#include "encoder_format.h"
#include "plan.h"

/* Messages with the templates of the plans (RFC 3954 5.2), one per record of config->template, into
 * `messages`; the references pass to it. */
void netflow9_templates(const struct encoder_config *config, const struct plan *plans,
			GPtrArray *messages);

/* Where the times of a flow that ended at end_ms count from: boot, later while uptime would pass
 * the 32 bits that v9 has for it (49.7 days). */
uint64_t netflow9_base_ms(uint64_t boot_real_ms, uint64_t end_ms);

#endif

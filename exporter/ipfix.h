/* SPDX-License-Identifier: MIT */
/* IPFIX templates (RFC 7011 3.4.1). */
#ifndef BPFLOWD_IPFIX_H
#define BPFLOWD_IPFIX_H

#include "encoder_format.h"
#include "plan.h"

/* Messages with the templates of the plans, one per record of config->template, into `messages`;
 * the references pass to it. Fails with what libfixbuf says. */
bool ipfix_templates(const struct encoder_config *config, const struct plan *plans,
		     GPtrArray *messages, GError **error);

#endif

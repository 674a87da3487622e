/* SPDX-License-Identifier: MIT */
/* struct options as options templates and options data, in both formats. For encoder.c. */
#ifndef BPFLOWD_OPTIONS_ENCODE_H
#define BPFLOWD_OPTIONS_ENCODE_H

#include "encoder.h"
#include "options.h"

/* Messages with the options templates. */
void options_templates(const struct encoder_config *config, GPtrArray *messages);

/* Messages with the options data. */
void options_records(const struct encoder_config *config, const struct options *options,
		     GPtrArray *messages);

/* RFC 5610: messages that tell names and types of our elements, none if the template doesn't ask.
 * They must be sent before the templates that use the elements. */
void options_type_records(const struct encoder_config *config, GPtrArray *messages);

/* Template ids from template->options_id on, whether all are told or not. */
unsigned int options_count_ids(void);

/* Template id of the type records: the one after all other options. */
uint16_t options_type_template_id(const struct encoder_config *config);

#endif

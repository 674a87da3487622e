/* SPDX-License-Identifier: MIT */
/* What encoder.c and what writes templates and options for it share. */
#ifndef BPFLOWD_ENCODER_FORMAT_H
#define BPFLOWD_ENCODER_FORMAT_H

#include "encoder.h"

struct message *message_new(enum message_kind kind, const uint8_t *body, size_t size);
/* Of its n_records, copied; and the sums that follow from them. */
void message_set_shares(struct message *message, const struct record_share *shares);

#endif

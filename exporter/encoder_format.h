/* SPDX-License-Identifier: MIT */
/* What a format implements for encoder.c: IPFIX (ipfix.c), NetFlow v9 (netflow9.c). */
#ifndef BPFLOWD_ENCODER_FORMAT_H
#define BPFLOWD_ENCODER_FORMAT_H

#include "encoder.h"
#include "plan.h"

enum encoder_result {
	ENCODER_APPENDED,
	ENCODER_FULL,	 /* the message has no room for it */
	ENCODER_REFUSED, /* it can't be encoded */
};

struct encoder_format_ops {
	/* plans: one per record of the template, stay where they are. */
	void *(*new)(const struct encoder_config *config, const struct plan *plans,
		     unsigned int n_plans, GError **error);
	void (*free)(void *format);
	enum encoder_result (*append)(void *format, const struct plan *plan,
				      const struct flow_record *record, uint64_t base_ms);
	/* The message with what was appended since the last one, which is gone if there is none;
	 * shares are the caller's. */
	struct message *(*take)(void *format);
	/* Messages with the templates of the plans. */
	bool (*templates)(void *format, GPtrArray *messages, GError **error);
};

extern const struct encoder_format_ops ipfix_ops;
extern const struct encoder_format_ops netflow9_ops;

struct message *message_new(enum message_kind kind, const uint8_t *body, size_t size);
/* Of its n_records, copied; and the sums that follow from them. */
void message_set_shares(struct message *message, const struct record_share *shares);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * What a packet is, read plainly in user space from the standards: the judge of the parser in
 * kernel/. Slow, without short cuts, nothing shared with it.
 */
#ifndef BPFLOWD_TESTS_REFERENCE_H
#define BPFLOWD_TESTS_REFERENCE_H

#include "tests/kernel/meter.h"

struct reference;

struct reference *reference_new(void);
void reference_free(struct reference *reference);
/* Forgets the first fragments seen. */
void reference_reset(struct reference *reference);

/* Fills in the flow of a frame and what the frame adds to it. True: something in it lies, or is
 * missing. */
bool reference_parse(struct reference *reference, const struct frame *frame,
		     const struct packet_context *context, struct flow_id *id,
		     struct flow_metrics *metrics);

#endif

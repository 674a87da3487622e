/* SPDX-License-Identifier: MIT */
/* Messages of an encoder on their way to the strict decoder, as one transport session. Any
 * complaint of the decoder ends the program. */
#ifndef BPFLOWD_TESTS_FUZZ_SESSION_H
#define BPFLOWD_TESTS_FUZZ_SESSION_H

#include <glib.h>

#include "encoder.h"
#include "strict_decoder.h"

struct session {
	struct strict_decoder *decoder;
	struct message_header header;
	enum encoder_format format;
	uint16_t max_size;
};

void session_send(void *session, struct message *message); /* takes the reference, as emit does */
void session_send_all(struct session *session, const GPtrArray *messages);

#endif

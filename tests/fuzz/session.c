/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "session.h"

#include <string.h>

void session_send(void *user, struct message *message)
{
	struct session *session = user;
	g_autofree uint8_t *octets = g_malloc(MESSAGE_HEADER_MAX + message->size);
	size_t size = encoder_write_header(session->format, message, &session->header, octets);

	memcpy(octets + size, message->body, message->size);
	size += message->size;
	g_assert_cmpuint(size, <=, session->max_size);
	if (!strict_decoder_message(session->decoder, octets, size))
		g_error("%s", strict_decoder_error(session->decoder));
	session->header.sequence += message->n_sequence;
	message_unref(message);
}

void session_send_all(struct session *session, const GPtrArray *messages)
{
	for (guint i = 0; i < messages->len; i++)
		session_send(session, message_ref(messages->pdata[i]));
}

/* SPDX-License-Identifier: MIT */
/* What both encoders share: the counted message body and the header in front of it. */
#include "config.h"

#include "encoder.h"

#include <string.h>

struct message *message_ref(struct message *message)
{
	message->refs++;
	return message;
}

void message_unref(struct message *message)
{
	if (message && --message->refs == 0)
		g_free(message);
}

static uint8_t *put16(uint8_t *out, uint16_t value)
{
	uint16_t be = GUINT16_TO_BE(value);

	memcpy(out, &be, sizeof(be));
	return out + sizeof(be);
}

static uint8_t *put32(uint8_t *out, uint32_t value)
{
	uint32_t be = GUINT32_TO_BE(value);

	memcpy(out, &be, sizeof(be));
	return out + sizeof(be);
}

/* RFC 7011 3.1, RFC 3954 5.1 */
size_t encoder_write_header(enum encoder_format format, const struct message *message,
			    const struct message_header *header, uint8_t out[MESSAGE_HEADER_MAX])
{
	uint8_t *at = out;

	if (format == ENCODER_NETFLOW9) {
		at = put16(at, 9);
		at = put16(at, message->n_records);
		at = put32(at, header->uptime_ms);
	} else {
		at = put16(at, 10);
		at = put16(at, 16 + message->size);
	}
	at = put32(at, header->export_time_s);
	at = put32(at, header->sequence);
	at = put32(at, header->domain);
	return at - out;
}

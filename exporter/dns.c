/* SPDX-License-Identifier: MIT */
/* DNS messages as packets bring them: nothing in them is trusted. Above: signals.c. */
#include "config.h"

#include "dns.h"

#include <string.h>

#define HEADER_SIZE   12
#define NAME_MAX_SIZE 255 /* RFC 1035 2.3.4 */
#define LABEL_MAX     63
#define QR	      0x8000

static uint16_t read_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/*
 * Octets of the name at the start of question, 0 if it is cut off, too long or compressed: in the
 * first question a pointer (RFC 1035 4.1.4) has nothing before it to point to.
 */
static size_t name_size(const uint8_t *question, size_t length)
{
	size_t at = 0;

	while (at < length && question[at]) {
		if (question[at] > LABEL_MAX)
			return 0;
		at += 1u + question[at];
		if (at >= NAME_MAX_SIZE)
			return 0;
	}
	return at < length ? at + 1 : 0;
}

bool dns_decode(const uint8_t *message, size_t length, struct dns_record *record)
{
	const uint8_t *question = message + HEADER_SIZE;
	size_t size;

	memset(record, 0, sizeof(*record));
	if (length < HEADER_SIZE)
		return false;
	record->id = read_be16(message);
	record->flags = read_be16(message + 2);
	if (read_be16(message + 4) == 0)
		return record->flags & QR;
	length -= HEADER_SIZE;
	size = name_size(question, length);
	if (!size || length - size < 4)
		return false;
	record->query_type = read_be16(question + size);
	record->name_len = (uint16_t)size;
	memcpy(record->name, question, size);
	return true;
}

/* SPDX-License-Identifier: MIT */
/*
 * Sets (RFC 7011 3.3) and FlowSets (RFC 3954 5) gathered into message bodies of bounded size. All
 * but the templates of IPFIX, which are libfixbuf's.
 */
#ifndef BPFLOWD_SETS_H
#define BPFLOWD_SETS_H

#include <stdbool.h>
#include <stdint.h>

#include "encoder_format.h"
#include "wire.h"

#define SET_HEADER 4

enum set_id {
	SET_V9_TEMPLATES = 0,
	SET_V9_OPTIONS_TEMPLATES = 1,
	SET_TEMPLATES = 2,
	SET_OPTIONS_TEMPLATES = 3,
};

struct sets {
	enum encoder_format format;
	struct wire wire; /* over the body */
	size_t room;
	uint8_t *set; /* header of the open set, NULL: none */
	uint32_t set_id;
	uint32_t n_records;
	uint32_t n_templates; /* of n_records */
};

/* max_message_size: header included. */
void sets_init(struct sets *sets, enum encoder_format format, uint32_t max_message_size);
void sets_clear(struct sets *sets);

/* Makes place for one record of `size` octets in a set of that id, opens the set if need be. False
 * if the body has no room: take the message, then try again. */
bool sets_record(struct sets *sets, uint16_t set_id, size_t size);

/* The next record begins a new set, even of the same id. */
void sets_close(struct sets *sets);

/* Body so far; empty afterwards. NULL if there is none. */
struct message *sets_take(struct sets *sets, enum message_kind kind);

/* sets_record into an array of messages: a full body is put there and the next one begun. */
void sets_record_into(struct sets *sets, uint16_t set_id, size_t size, enum message_kind kind,
		      GPtrArray *messages);
void sets_take_into(struct sets *sets, enum message_kind kind, GPtrArray *messages);

/* Octets of the header before the body. */
size_t sets_message_header(enum encoder_format format);

#endif

/* SPDX-License-Identifier: MIT */
/* Flow records as libfixbuf encodes them: what the encoder's own octets are held against. */
#ifndef BPFLOWD_TESTS_FIXBUF_H
#define BPFLOWD_TESTS_FIXBUF_H

#include <glib.h>

#include "record.h"
#include "template.h"

struct fixbuf;

/* The template must outlive it. */
struct fixbuf *fixbuf_new(const struct template *template, uint32_t enterprise_number,
			  uint32_t max_message_size);
void fixbuf_free(struct fixbuf *fixbuf);

/* Sets of a message, without its header, with these records, each in the form that the template
 * has for it. Valid until the next call. */
const uint8_t *fixbuf_encode(struct fixbuf *fixbuf, const struct flow_record *records, size_t n,
			     size_t *size);

#endif

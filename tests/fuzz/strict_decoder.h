/* SPDX-License-Identifier: MIT */
/*
 * A strict decoder of IPFIX (RFC 7011) and NetFlow v9 (RFC 3954) messages that shares no code with
 * the exporter: one transport session. It holds every message to the rules that
 * tests/tools/strict.py holds it to, and tells the values, so that a test can compare them with
 * what was encoded.
 */
#ifndef BPFLOWD_TESTS_STRICT_DECODER_H
#define BPFLOWD_TESTS_STRICT_DECODER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One field of a data record; octets lie in the message. */
struct strict_value {
	uint32_t enterprise; /* 0: IANA's */
	uint16_t element;
	uint16_t length; /* octets of the value */
	bool scope;
	bool variable; /* came with its length before it */
	const uint8_t *octets;
};

struct strict_record {
	uint16_t template_id;
	bool options;
	uint32_t domain;
	int64_t boot_ms; /* NetFlow v9: what its times count from, Unix time by the header */
	unsigned int n_values;
	const struct strict_value *values;
};

struct strict_counts {
	uint64_t messages;
	uint64_t templates; /* options templates included */
	uint64_t withdrawals;
	uint64_t records; /* data, options data included */
	uint64_t options_records;
	uint64_t errors;
};

struct strict_decoder;

/* record: called for each data record; may be NULL. */
struct strict_decoder *strict_decoder_new(void (*record)(void *user, const struct strict_record *),
					  void *user);
void strict_decoder_free(struct strict_decoder *decoder);

/* Returns whether the message is right in everything. A wrong one is read as far as it can be. */
bool strict_decoder_message(struct strict_decoder *decoder, const void *message, size_t size);

const struct strict_counts *strict_decoder_counts(const struct strict_decoder *decoder);
/* What was wrong first, "" : nothing was. */
const char *strict_decoder_error(const struct strict_decoder *decoder);

#endif

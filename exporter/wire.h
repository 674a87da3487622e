/* SPDX-License-Identifier: MIT */
/*
 * A bounded writer of network-order numbers. Once something didn't fit, nothing more is written and
 * `overflow` stays set: check it once, at the end.
 */
#ifndef BPFLOWD_WIRE_H
#define BPFLOWD_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct wire {
	uint8_t *start;
	uint8_t *at;
	uint8_t *end;
	bool overflow;
};

static inline void wire_init(struct wire *wire, void *buf, size_t size)
{
	wire->start = wire->at = buf;
	wire->end = wire->at + size;
	wire->overflow = false;
}

static inline size_t wire_used(const struct wire *wire)
{
	return wire->at - wire->start;
}

/* Room for size octets, NULL if there isn't. */
static inline uint8_t *wire_take(struct wire *wire, size_t size)
{
	uint8_t *at = wire->at;

	if (wire->overflow || (size_t)(wire->end - at) < size) {
		wire->overflow = true;
		return NULL;
	}
	wire->at += size;
	return at;
}

/* The low `length` octets of value, at most 8. */
static inline void wire_store(uint8_t *at, uint64_t value, size_t length)
{
	while (length) {
		at[--length] = value;
		value >>= 8;
	}
}

static inline void wire_put(struct wire *wire, uint64_t value, size_t length)
{
	uint8_t *at = wire_take(wire, length);

	if (at)
		wire_store(at, value, length);
}

static inline void wire_put_bytes(struct wire *wire, const void *bytes, size_t length)
{
	uint8_t *at = wire_take(wire, length);

	if (at)
		memcpy(at, bytes, length);
}

static inline void wire_put_zeros(struct wire *wire, size_t length)
{
	uint8_t *at = wire_take(wire, length);

	if (at)
		memset(at, 0, length);
}

#endif

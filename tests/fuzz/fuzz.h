/* SPDX-License-Identifier: MIT */
/* What targets share: libFuzzer's entry point, and the input as a stream of small values. */
#ifndef BPFLOWD_TESTS_FUZZ_H
#define BPFLOWD_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *at;
	size_t left;
};

/* Up to size octets; what the input lacks stays as it is. Returns how many came. */
static inline size_t input_octets(struct input *in, void *out, size_t size)
{
	if (size > in->left)
		size = in->left;
	memcpy(out, in->at, size);
	in->at += size;
	in->left -= size;
	return size;
}

static inline uint8_t input_u8(struct input *in)
{
	uint8_t value = 0;

	input_octets(in, &value, sizeof(value));
	return value;
}

static inline uint16_t input_u16(struct input *in)
{
	uint8_t low = input_u8(in);

	return low | input_u8(in) << 8;
}

/* 16 bits that say how many octets follow, at most max and what is there. */
static inline size_t input_size(struct input *in, size_t max)
{
	size_t size = input_u16(in);

	if (size > max)
		size = max;
	return size < in->left ? size : in->left;
}

#endif

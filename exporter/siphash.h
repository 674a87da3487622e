/* SPDX-License-Identifier: MIT */
/*
 * SipHash (Aumasson, Bernstein 2012) over whole 64-bit words: a keyed hash, so that nobody outside
 * can choose keys that fall on one place. The cache uses SipHash-1-3.
 */
#ifndef BPFLOWD_SIPHASH_H
#define BPFLOWD_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct siphash_key {
	uint64_t k0;
	uint64_t k1;
};

static inline uint64_t siphash_rotate(uint64_t word, unsigned int bits)
{
	return word << bits | word >> (64 - bits);
}

static inline void siphash_rounds(uint64_t v[4], unsigned int n_rounds)
{
	for (unsigned int i = 0; i < n_rounds; i++) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = siphash_rotate(v[1], 13) ^ v[0];
		v[3] = siphash_rotate(v[3], 16) ^ v[2];
		v[0] = siphash_rotate(v[0], 32);
		v[2] += v[1];
		v[0] += v[3];
		v[1] = siphash_rotate(v[1], 17) ^ v[2];
		v[3] = siphash_rotate(v[3], 21) ^ v[0];
		v[2] = siphash_rotate(v[2], 32);
	}
}

static inline uint64_t siphash_words(const struct siphash_key *key, const uint64_t *words,
				     size_t n_words, unsigned int word_rounds,
				     unsigned int final_rounds)
{
	uint64_t v[4] = {
		key->k0 ^ 0x736f6d6570736575,
		key->k1 ^ 0x646f72616e646f6d,
		key->k0 ^ 0x6c7967656e657261,
		key->k1 ^ 0x7465646279746573,
	};
	uint64_t length = (uint64_t)n_words << 59; /* octets modulo 256 in the top octet */

	for (size_t i = 0; i < n_words; i++) {
		v[3] ^= words[i];
		siphash_rounds(v, word_rounds);
		v[0] ^= words[i];
	}
	v[3] ^= length;
	siphash_rounds(v, word_rounds);
	v[0] ^= length;
	v[2] ^= 0xff;
	siphash_rounds(v, final_rounds);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif

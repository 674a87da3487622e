/* SPDX-License-Identifier: MIT */
/*
 * Slots whose flow has been exported: the next packet of the flow begins a new one there, or
 * another flow takes the slot. Above: daemon_meter.c, for cache.c.
 */
#include "config.h"

#include "fetcher_private.h"

#include <string.h>

void flow_fetcher_retire(struct flow_fetcher *f, uint32_t slot)
{
	uint32_t i = slot & ~SLOT_IPV6;
	struct flow_hot *hot;
	uint32_t gen;

	if (slot & SLOT_IPV6) {
		hot = &f->slots6[i].hot;
		gen = f->shadow6[i].gen;
	} else {
		hot = &f->slots4[i].hot;
		gen = f->shadow4[i].gen;
	}
	__atomic_store_n(&hot->retire, gen, __ATOMIC_RELAXED);
}

void flow_fetcher_prefetch_slot(const struct flow_fetcher *f, uint32_t slot)
{
	uint32_t i = slot & ~SLOT_IPV6;

	if (slot & SLOT_IPV6) {
		__builtin_prefetch(&f->slots6[i].hot, 1);
		__builtin_prefetch(&f->shadow6[i]);
	} else {
		__builtin_prefetch(&f->slots4[i].hot, 1);
		__builtin_prefetch(&f->shadow4[i]);
	}
}

/* Whether two keys are of one flow: their octets without the ECN bits. */
static bool is_same_key(const void *a, const void *b, size_t size)
{
	const uint64_t *x = a, *y = b;
	size_t last = size / sizeof(*x) - 1;

	return !memcmp(a, b, last * sizeof(*x)) && !((x[last] ^ y[last]) & ~FLOW_ECN);
}

/* The slots of a flow in a group, but for the one that is known. */
static void retire_in(struct flow_fetcher *f, uint32_t group, const __u64 *key, uint32_t slot)
{
	uint32_t family = slot & SLOT_IPV6;

	for (uint32_t i = group * FLOW_WAYS; i < (group + 1) * FLOW_WAYS; i++) {
		bool same = family ? is_same_key(key, &f->slots6[i].key, sizeof(struct flow_key6))
				   : is_same_key(key, &f->slots4[i].key, sizeof(struct flow_key4));

		if (same && (i | family) != slot)
			flow_fetcher_retire(f, i | family);
	}
}

void flow_fetcher_retire_others(struct flow_fetcher *f, uint32_t slot)
{
	uint32_t i = slot & ~SLOT_IPV6, groups = slot & SLOT_IPV6 ? f->groups6 : f->groups4;
	__u64 key[sizeof(struct flow_key6) / sizeof(__u64)], hash;

	if (slot & SLOT_IPV6) {
		memcpy(key, &f->slots6[i].key, sizeof(struct flow_key6));
		hash = flow_hash6(f->hash_seed, key);
	} else {
		memcpy(key, &f->slots4[i].key, sizeof(struct flow_key4));
		hash = flow_hash4(f->hash_seed, key[0], key[1], key[2]);
	}
	for (uint32_t cpu = 0; cpu < f->n_cpus; cpu++) {
		retire_in(f, flow_group(hash, groups, cpu), key, slot);
		retire_in(f, flow_second_group(hash, groups, cpu), key, slot);
	}
}

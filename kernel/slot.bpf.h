/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What the flow table and the drop table have in common: hash, group, generation. */
#ifndef BPFLOWD_SLOT_BPF_H
#define BPFLOWD_SLOT_BPF_H

#include "kernel/core.bpf.h"

#define SLOT_UNUSED  0xffffffffu /* ranks of a slot that may give way; else its age in ticks */
#define SLOT_RETIRED 0xfffffffeu

/*
 * Odd while the slot changes hands. On x86 stores stay in order and the locked add is a full
 * barrier; other machines need the fetching form, which kernels before 5.12 refuse at load.
 */
static __always_inline void gen_step(u32 *gen)
{
#if defined(__TARGET_ARCH_x86)
	__sync_fetch_and_add(gen, 1);
#else
	volatile u32 before = __sync_fetch_and_add(gen, 1);

	(void)before;
#endif
}

/* Ends a change of hands. 0 says "never used", so a generation that wraps goes on at 2. */
static __always_inline void gen_settle(u32 *gen)
{
	gen_step(gen);
	if (unlikely(!*gen)) {
		gen_step(gen);
		gen_step(gen);
	}
}

static __always_inline u64 mix(u64 h, u64 word, u64 odd)
{
	h = (h ^ word) * odd;
	return h ^ h >> 32;
}

/* Group of a hash in the partition of a CPU: the upper half, spread over any number of groups. */
static __always_inline u32 group_of(u64 hash, u32 groups, u32 cpu)
{
	return cpu * groups + (u32)(((hash >> 32) * groups) >> 32);
}

#endif

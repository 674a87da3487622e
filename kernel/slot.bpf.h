/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What the flow table and the drop table have in common: the generation of a slot. */
#ifndef BPFLOWD_SLOT_BPF_H
#define BPFLOWD_SLOT_BPF_H

#include "kernel/core.bpf.h"

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

#endif

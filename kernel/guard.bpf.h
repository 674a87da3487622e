/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * One writer at a time per CPU: what the partitions of the tables and the rooms of the CPUs rely
 * on.
 *
 * The tc hooks run with bottom halves off, net_dev_queue too: on an ordinary kernel none of them
 * can begin on a CPU before another has ended there, and no interrupt comes this way (kfree_skb
 * does, and has a table and a mark of its own). With PREEMPT_RT a soft interrupt is a thread that
 * others preempt: up to 6.17 a lock per CPU let only one of them be within bottom halves off;
 * from 6.18 on it may be left out (CONFIG_PREEMPT_RT_NEEDS_BH_LOCK), and tracepoints may be
 * preempted, too. There each program marks its CPU as busy, and what comes meanwhile is not counted
 * in a flow, but as lost. Elsewhere the verifier takes all of this out.
 */
#ifndef BPFLOWD_GUARD_BPF_H
#define BPFLOWD_GUARD_BPF_H

#include "kernel/core.bpf.h"

const volatile __u8 realtime = 0; /* PREEMPT_RT; set before load */

/*
 * Whether this CPU is ours now; true: leave it. Who comes second finds at least 2, whichever of the
 * two looks first; none waits, since the other can't go on meanwhile. Adding in place, for kernels
 * before 5.12.
 */
static __always_inline bool enter_cpu(u32 *busy)
{
	if (!realtime)
		return true;
	__sync_fetch_and_add(busy, 1);
	if (likely(*(volatile u32 *)busy == 1))
		return true;
	__sync_fetch_and_add(busy, -1);
	return false;
}

static __always_inline void leave_cpu(u32 *busy)
{
	if (realtime)
		__sync_fetch_and_add(busy, -1);
}

#endif

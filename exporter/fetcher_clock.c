/* SPDX-License-Identifier: MIT */
/*
 * The kernel's clock that slots are stamped with: jiffies, which a program reads with one load, or
 * CLOCK_MONOTONIC itself. Above: fetcher_drain.c.
 */
#include "config.h"

#include "fetcher_private.h"

#include <bpf/bpf.h>

#define TIE_TICKS    4
#define TIE_AGAIN_NS (3600 * NSEC_PER_SEC)

/* One look at both clocks: when jiffies were 0, as far as this look can tell; late by its place in
 * the tick. */
static bool look_at_jiffies(struct flow_fetcher *f, uint64_t *now_ns, int64_t *origin_ns)
{
	const volatile __u64 *jiffies = &f->flows[0]->bss->sampled_jiffies;
	const volatile __u64 *ns = &f->flows[0]->bss->sampled_ns;
	uint8_t frame[64] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame));

	if (bpf_prog_test_run_opts(bpf_program__fd(f->flows[0]->progs.sample_clock), &opts))
		return false;
	*now_ns = *ns;
	*origin_ns = *ns - *jiffies * f->ticks.length_ns;
	return true;
}

/* The kernel's tick is a timer of CLOCK_MONOTONIC (tick_do_update_jiffies64), so that jiffies keep
 * their distance from it. A single look is late by up to a tick, or by more while the CPU is away;
 * the earliest of a few ticks is right. */
bool fetcher_tie_jiffies(struct flow_fetcher *f)
{
	uint64_t length_ns = f->ticks.length_ns, end_ns = 0, now_ns;
	int64_t earliest = INT64_MAX, origin_ns;

	do {
		if (!look_at_jiffies(f, &now_ns, &origin_ns))
			return false;
		if (!end_ns)
			end_ns = now_ns + TIE_TICKS * length_ns;
		earliest = MIN(earliest, origin_ns);
	} while (now_ns < end_ns);
	f->jiffies_origin_ns = earliest;
	f->tie_jiffies_ns = now_ns + TIE_AGAIN_NS;
	return true;
}

void fetcher_sample_clock(struct flow_fetcher *f)
{
	uint64_t jiffies, looked_ns;
	int64_t origin_ns;

	if (f->config.precise) {
		f->ticks.now_ns = f->now_mono_ns;
		f->ticks.now = f->now_mono_ns >> FLOW_TICK_SHIFT;
		return;
	}
	/* not allowed once privileges are gone: then what is known stays */
	if (f->now_mono_ns > f->tie_jiffies_ns && !fetcher_tie_jiffies(f))
		f->tie_jiffies_ns = f->now_mono_ns + TIE_AGAIN_NS;
	/* on a busy machine the first looks all came late */
	if (look_at_jiffies(f, &looked_ns, &origin_ns))
		f->jiffies_origin_ns = MIN(f->jiffies_origin_ns, origin_ns);
	jiffies = (f->now_mono_ns - f->jiffies_origin_ns) / f->ticks.length_ns;
	f->ticks.now = jiffies;
	f->ticks.now_ns = f->jiffies_origin_ns + jiffies * f->ticks.length_ns;
}

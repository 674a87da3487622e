/* SPDX-License-Identifier: MIT */
/*
 * Time: the kernel's monotonic clock for every decision, wall-clock time only for what is exported.
 * All of the daemon reads time here, so that a test can move it.
 */
#ifndef BPFLOWD_CLOCK_H
#define BPFLOWD_CLOCK_H

#include <stdint.h>

#define NSEC_PER_USEC 1000ull
#define NSEC_PER_MSEC 1000000ull
#define NSEC_PER_SEC  1000000000ull

/* One instant on three clocks. */
struct clock_now {
	uint64_t mono_ns; /* CLOCK_MONOTONIC: what the kernel programs stamp with */
	uint64_t boot_ns; /* CLOCK_BOOTTIME: goes on in suspend */
	uint64_t real_ns; /* CLOCK_REALTIME */
};

void clock_read(struct clock_now *now);

/* Replaces the source of clock_read, NULL puts the system's back. For tests. */
void clock_set_source(void (*source)(struct clock_now *now));

/* Wall-clock time of a monotonic instant, by the offset of `now`. */
uint64_t clock_to_real_ns(const struct clock_now *now, uint64_t mono_ns);

/* Ties a counter that wraps at 2^32 (jiffies, or 1024 ns each) to CLOCK_MONOTONIC. */
struct clock_ticks {
	uint64_t length_ns;
	uint64_t now_ns; /* CLOCK_MONOTONIC ... */
	uint32_t now;	 /* ... when the counter stood here */
};

/* CLOCK_MONOTONIC of a tick within half the counter's range of now, before or after it. */
uint64_t clock_from_tick(const struct clock_ticks *ticks, uint32_t tick);

#endif

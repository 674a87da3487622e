/* SPDX-License-Identifier: MIT */
/* Reads the three clocks, or a test's; turns kernel time stamps into instants. */
#include "config.h"

#include "clock.h"

#include <stddef.h>
#include <time.h>

static void read_ns(clockid_t id, uint64_t *ns)
{
	struct timespec ts;

	if (clock_gettime(id, &ts) == 0)
		*ns = (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* A clock that can't be read (a sandbox may forbid it) stands still. */
static void read_system(struct clock_now *now)
{
	static struct clock_now last;

	read_ns(CLOCK_MONOTONIC, &last.mono_ns);
	read_ns(CLOCK_BOOTTIME, &last.boot_ns);
	read_ns(CLOCK_REALTIME, &last.real_ns);
	*now = last;
}

static void (*clock_source)(struct clock_now *now) = read_system;

void clock_read(struct clock_now *now)
{
	clock_source(now);
}

void clock_set_source(void (*source)(struct clock_now *now))
{
	clock_source = source ? source : read_system;
}

uint64_t clock_to_real_ns(const struct clock_now *now, uint64_t mono_ns)
{
	/* unsigned: right for instants before and after `now` */
	return now->real_ns + (mono_ns - now->mono_ns);
}

uint64_t clock_from_tick(const struct clock_ticks *ticks, uint32_t tick)
{
	int64_t age_ns = (int64_t)(int32_t)(ticks->now - tick) * (int64_t)ticks->length_ns;

	/* a tick from before boot is one that raced with the reading of now */
	if (age_ns > (int64_t)ticks->now_ns)
		return 0;
	return ticks->now_ns - age_ns;
}

/* SPDX-License-Identifier: MIT */
/* Reads the three clocks, or a test's; turns kernel time stamps into instants. */
#include "config.h"

#include "clock.h"

#include <stddef.h>
#include <time.h>

#include "kernel/flow.h"

static uint64_t read_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static void read_system(struct clock_now *now)
{
	now->mono_ns = read_ns(CLOCK_MONOTONIC);
	now->boot_ns = read_ns(CLOCK_BOOTTIME);
	now->real_ns = read_ns(CLOCK_REALTIME);
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

uint64_t clock_from_tick(uint64_t now_mono_ns, uint32_t tick)
{
	uint64_t now_tick = now_mono_ns >> FLOW_TICK_SHIFT;
	uint32_t age = (uint32_t)now_tick - tick;

	/* In the first 73 minutes a tick ahead of `now` has no instant before it. */
	if (age > now_tick)
		return now_mono_ns;
	return (now_tick - age) << FLOW_TICK_SHIFT;
}

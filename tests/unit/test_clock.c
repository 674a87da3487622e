/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "clock.h"

#include <glib.h>

#include "kernel/flow.h"

#define TICK_PERIOD ((uint64_t)UINT32_MAX + 1)

static uint64_t tick_ns(uint64_t tick)
{
	return tick << FLOW_TICK_SHIFT;
}

static void test_tick_now(void)
{
	g_assert_cmpuint(clock_from_tick(tick_ns(1000) + 1023, 1000), ==, tick_ns(1000));
	g_assert_cmpuint(clock_from_tick(0, 0), ==, 0);
}

static void test_tick_past(void)
{
	g_assert_cmpuint(clock_from_tick(tick_ns(5000), 4000), ==, tick_ns(4000));
	g_assert_cmpuint(clock_from_tick(tick_ns(5000), 0), ==, 0);
}

static void test_tick_wrap(void)
{
	uint64_t now = tick_ns(3 * TICK_PERIOD + 10);

	g_assert_cmpuint(clock_from_tick(now, 10), ==, tick_ns(3 * TICK_PERIOD + 10));
	g_assert_cmpuint(clock_from_tick(now, 9), ==, tick_ns(3 * TICK_PERIOD + 9));
	g_assert_cmpuint(clock_from_tick(now, 11), ==, tick_ns(2 * TICK_PERIOD + 11));
	g_assert_cmpuint(clock_from_tick(now, UINT32_MAX), ==, tick_ns(3 * TICK_PERIOD - 1));
}

/* Soon after boot there is no earlier period that a tick ahead could belong to. */
static void test_tick_ahead_after_boot(void)
{
	g_assert_cmpuint(clock_from_tick(tick_ns(5), 6), ==, tick_ns(5));
}

static void test_real(void)
{
	struct clock_now now = {.mono_ns = 100 * NSEC_PER_SEC,
				.real_ns = 1700000000 * NSEC_PER_SEC};

	g_assert_cmpuint(clock_to_real_ns(&now, 99 * NSEC_PER_SEC), ==, 1699999999 * NSEC_PER_SEC);
	g_assert_cmpuint(clock_to_real_ns(&now, 101 * NSEC_PER_SEC), ==, 1700000001 * NSEC_PER_SEC);
}

static void fixed_source(struct clock_now *now)
{
	*now = (struct clock_now){.mono_ns = 1, .boot_ns = 2, .real_ns = 3};
}

static void test_source(void)
{
	struct clock_now now, later;

	clock_set_source(fixed_source);
	clock_read(&now);
	g_assert_cmpuint(now.mono_ns, ==, 1);
	g_assert_cmpuint(now.boot_ns, ==, 2);
	g_assert_cmpuint(now.real_ns, ==, 3);
	clock_set_source(NULL);
	clock_read(&now);
	clock_read(&later);
	g_assert_cmpuint(later.mono_ns, >=, now.mono_ns);
	g_assert_cmpuint(now.boot_ns, >=, now.mono_ns);
	g_assert_cmpuint(now.real_ns, >, 3);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/clock/tick/now", test_tick_now);
	g_test_add_func("/clock/tick/past", test_tick_past);
	g_test_add_func("/clock/tick/wrap", test_tick_wrap);
	g_test_add_func("/clock/tick/ahead-after-boot", test_tick_ahead_after_boot);
	g_test_add_func("/clock/real", test_real);
	g_test_add_func("/clock/source", test_source);
	return g_test_run();
}

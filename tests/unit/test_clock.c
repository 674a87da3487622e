/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "clock.h"

#include <glib.h>

#define TICK_NS 4000000ull /* HZ=250 */

static void test_tick_now(void)
{
	const struct clock_ticks ticks = {TICK_NS, 90 * NSEC_PER_SEC, 1000};

	g_assert_cmpuint(clock_from_tick(&ticks, 1000), ==, 90 * NSEC_PER_SEC);
}

static void test_tick_around(void)
{
	const struct clock_ticks ticks = {TICK_NS, 90 * NSEC_PER_SEC, 1000};

	g_assert_cmpuint(clock_from_tick(&ticks, 750), ==, 89 * NSEC_PER_SEC);
	g_assert_cmpuint(clock_from_tick(&ticks, 1250), ==, 91 * NSEC_PER_SEC);
}

static void test_tick_wrap(void)
{
	const struct clock_ticks ticks = {TICK_NS, 90 * NSEC_PER_SEC, 10};

	g_assert_cmpuint(clock_from_tick(&ticks, UINT32_MAX - 239), ==, 89 * NSEC_PER_SEC);
}

static void test_tick_before_boot(void)
{
	const struct clock_ticks ticks = {TICK_NS, TICK_NS, 5};

	g_assert_cmpuint(clock_from_tick(&ticks, 3), ==, 0);
	g_assert_cmpuint(clock_from_tick(&ticks, 4), ==, 0);
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
	g_test_add_func("/clock/tick/around", test_tick_around);
	g_test_add_func("/clock/tick/wrap", test_tick_wrap);
	g_test_add_func("/clock/tick/before-boot", test_tick_before_boot);
	g_test_add_func("/clock/real", test_real);
	g_test_add_func("/clock/source", test_source);
	return g_test_run();
}

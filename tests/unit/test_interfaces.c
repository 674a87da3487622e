/* SPDX-License-Identifier: MIT */
/* Which names the patterns choose, and where packets are counted in networks drawn by hand. */
#include "config.h"

#include <glib.h>
#include <string.h>

#include "interfaces.h"
#include "topology.h"

/* patterns: separated by spaces */
static bool match(const char *name, const char *patterns)
{
	g_auto(GStrv) list = g_strsplit(patterns, " ", 0);

	return interfaces_match(list, name);
}

static void test_match(void)
{
	g_assert_true(match("eth0", "*"));
	g_assert_true(match("eth0", "* !lo"));
	g_assert_false(match("lo", "* !lo"));
	/* the last match wins, in both directions */
	g_assert_true(match("lo", "* !lo l?"));
	g_assert_false(match("eth0", "!eth0 eth* !eth0"));
	g_assert_true(match("eth0", "!eth0 eth*"));
	g_assert_true(match("eth1", "eth[0-3]"));
	g_assert_false(match("eth4", "eth[0-3]"));
	g_assert_true(match("ppp.7", "ppp*"));
	g_assert_false(match("ETH0", "eth0"));
	/* nothing chosen, nothing metered */
	g_assert_false(match("eth0", "!lo"));
	g_assert_false(match("eth0", ""));
	g_assert_false(interfaces_match(NULL, "eth0"));
}

/* A device, and what is expected of it. */
struct line {
	uint32_t ifindex;
	enum topology_kind kind;
	bool metered;
	uint32_t lower;
	uint16_t vlan;
	uint32_t master;
	bool hooked;
	bool covered;
};

#define N      false
#define Y      true
#define OWN    TOPOLOGY_OWN
#define UPPER  TOPOLOGY_UPPER
#define STACK  TOPOLOGY_STACK
#define VRF    TOPOLOGY_VRF
#define SWITCH TOPOLOGY_SWITCH

static struct topology *draw(const struct line *lines, size_t n_lines)
{
	g_autofree struct topology_device *devices = g_new0(struct topology_device, n_lines);

	/* backwards: the order must not matter */
	for (size_t i = 0; i < n_lines; i++)
		devices[n_lines - 1 - i] = (struct topology_device){
			.ifindex = lines[i].ifindex,
			.kind = lines[i].kind,
			.metered = lines[i].metered,
			.lower = lines[i].lower,
			.vlan = lines[i].vlan,
			.master = lines[i].master,
		};
	return topology_new(devices, n_lines);
}

static void attach_all(struct topology *topology)
{
	for (size_t i = 0; i < topology->n_devices; i++)
		topology->devices[i].attached = topology->devices[i].hooked;
}

static void check(const char *what, const struct line *lines, size_t n_lines)
{
	struct topology *topology = draw(lines, n_lines);

	topology_hook(topology, false);
	attach_all(topology);
	topology_cover(topology, false);
	for (size_t i = 0; i < n_lines; i++) {
		const struct topology_device *device = topology_find(topology, lines[i].ifindex);
		g_assert_nonnull(device);
		g_test_message("%s: device %u: hooked %d, covered %d", what, device->ifindex,
			       device->hooked, device->covered);
		g_assert_cmpint(device->hooked, ==, lines[i].hooked);
		g_assert_cmpint(device->covered, ==, lines[i].covered);
	}

	topology_hook(topology, true);
	attach_all(topology);
	topology_cover(topology, true);
	for (size_t i = 0; i < n_lines; i++) {
		const struct topology_device *device = topology_find(topology, lines[i].ifindex);
		g_assert_cmpint(device->hooked, ==, lines[i].metered);
		g_assert_false(device->covered);
	}
	topology_free(topology);
}

#define CHECK(what, ...)                                \
	check(what, (const struct line[]){__VA_ARGS__}, \
	      sizeof((const struct line[]){__VA_ARGS__}) / sizeof(struct line))

static void test_plain(void)
{
	CHECK("two interfaces", {2, OWN, Y, 0, 0, 0, Y, Y}, {3, OWN, N, 0, 0, 0, N, N});
	check("none", NULL, 0);
}

static void test_vlan(void)
{
	CHECK("VLAN over a metered parent", {2, OWN, Y, 0, 0, 0, Y, Y},
	      {3, UPPER, Y, 2, 10, 0, N, Y}, {4, UPPER, N, 2, 11, 0, N, Y});
	CHECK("VLAN over another parent", {2, OWN, N, 0, 0, 0, N, N}, {3, UPPER, Y, 2, 10, 0, Y, Y},
	      {4, UPPER, N, 2, 11, 0, N, N});
	CHECK("QinQ", {2, OWN, Y, 0, 0, 0, Y, Y}, {3, UPPER, N, 2, 10, 0, N, Y},
	      {4, UPPER, Y, 3, 20, 0, N, Y});
	CHECK("parent in another namespace", {3, UPPER, Y, 0, 10, 0, Y, Y});
	CHECK("parent not known yet", {3, UPPER, Y, 9, 10, 0, Y, Y});
	CHECK("macvlan", {2, OWN, Y, 0, 0, 0, Y, Y}, {3, UPPER, Y, 2, 0, 0, N, Y});
}

static void test_stack(void)
{
	CHECK("bond, both ports metered", {2, OWN, Y, 0, 0, 9, Y, Y}, {3, OWN, Y, 0, 0, 9, Y, Y},
	      {9, STACK, Y, 0, 0, 0, N, Y});
	CHECK("bond not metered, its ports are", {2, OWN, Y, 0, 0, 9, Y, Y},
	      {3, OWN, Y, 0, 0, 9, Y, Y}, {9, STACK, N, 0, 0, 0, N, Y});
	CHECK("one port isn't", {2, OWN, Y, 0, 0, 9, N, N}, {3, OWN, N, 0, 0, 9, N, N},
	      {9, STACK, Y, 0, 0, 0, Y, Y});
	CHECK("one port alone is", {2, OWN, Y, 0, 0, 9, Y, Y}, {3, OWN, N, 0, 0, 9, N, N},
	      {9, STACK, N, 0, 0, 0, N, N});
	CHECK("only the bond is", {2, OWN, N, 0, 0, 9, N, N}, {3, OWN, N, 0, 0, 9, N, N},
	      {9, STACK, Y, 0, 0, 0, Y, Y});
	CHECK("bridge without ports", {9, STACK, Y, 0, 0, 0, Y, Y});
	CHECK("VLAN over bond", {2, OWN, Y, 0, 0, 9, Y, Y}, {3, OWN, Y, 0, 0, 9, Y, Y},
	      {9, STACK, Y, 0, 0, 0, N, Y}, {10, UPPER, Y, 9, 7, 0, N, Y});
	CHECK("VLAN over a bond that took over", {2, OWN, Y, 0, 0, 9, N, N},
	      {3, OWN, N, 0, 0, 9, N, N}, {9, STACK, Y, 0, 0, 0, Y, Y},
	      {10, UPPER, Y, 9, 7, 0, N, Y});
	CHECK("bond in bridge", {2, OWN, Y, 0, 0, 9, Y, Y}, {3, OWN, Y, 0, 0, 9, Y, Y},
	      {9, STACK, Y, 0, 0, 20, N, Y}, {20, STACK, Y, 0, 0, 0, N, Y});
	CHECK("bond in a bridge with another port that isn't", {2, OWN, Y, 0, 0, 9, N, N},
	      {3, OWN, Y, 0, 0, 9, N, N}, {9, STACK, Y, 0, 0, 20, N, N},
	      {4, OWN, N, 0, 0, 20, N, N}, {20, STACK, Y, 0, 0, 0, Y, Y});
	CHECK("the same, the bond not metered and halved", {2, OWN, Y, 0, 0, 9, N, N},
	      {3, OWN, N, 0, 0, 9, N, N}, {9, STACK, N, 0, 0, 20, N, N},
	      {20, STACK, Y, 0, 0, 0, Y, Y});
}

static void test_mixed(void)
{
	CHECK("VLAN device in a bridge", {2, OWN, Y, 0, 0, 0, Y, Y}, {3, UPPER, Y, 2, 10, 9, N, Y},
	      {9, STACK, Y, 0, 0, 0, N, Y});
	CHECK("VLAN device over a port, which doesn't show at the bridge",
	      {2, OWN, Y, 0, 0, 9, N, N}, {4, OWN, N, 0, 0, 9, N, N}, {9, STACK, Y, 0, 0, 0, Y, Y},
	      {3, UPPER, Y, 2, 10, 0, Y, Y});
	/* the hook of 2 serves other VLANs too, so that the bridge can't take over */
	CHECK("VLAN device and an unmetered port in a bridge", {2, OWN, Y, 0, 0, 0, Y, Y},
	      {3, UPPER, Y, 2, 10, 9, N, Y}, {4, OWN, N, 0, 0, 9, N, N},
	      {9, STACK, Y, 0, 0, 0, N, N});
	CHECK("VLAN device with its parent taken, in a second bridge", {2, OWN, Y, 0, 0, 9, N, N},
	      {4, OWN, N, 0, 0, 9, N, N}, {9, STACK, Y, 0, 0, 0, Y, Y},
	      {3, UPPER, N, 2, 10, 8, N, N}, {8, STACK, Y, 0, 0, 0, Y, Y});
	CHECK("VRF", {2, OWN, Y, 0, 0, 9, Y, Y}, {3, OWN, Y, 0, 0, 9, Y, Y},
	      {9, VRF, Y, 0, 0, 0, N, Y});
	CHECK("VRF, one port not metered", {2, OWN, Y, 0, 0, 9, Y, Y}, {3, OWN, N, 0, 0, 9, N, N},
	      {9, VRF, Y, 0, 0, 0, N, N});
	CHECK("VRF alone", {2, OWN, N, 0, 0, 9, N, N}, {9, VRF, Y, 0, 0, 0, Y, Y});
	CHECK("switch chip", {2, OWN, Y, 0, 0, 0, N, N}, {3, SWITCH, Y, 2, 0, 0, Y, Y},
	      {4, SWITCH, Y, 2, 0, 0, Y, Y});
	CHECK("switch chip, ports not metered", {2, OWN, Y, 0, 0, 0, Y, Y},
	      {3, SWITCH, N, 2, 0, 0, N, N});
}

/* Half a change may show loops; any answer will do, but one must come. */
static void test_loops(void)
{
	const struct line lines[] = {
		{2, STACK, Y, 0, 0, 3}, {3, STACK, Y, 0, 0, 2},	 {4, UPPER, Y, 4, 1, 0},
		{5, UPPER, Y, 6, 1, 0}, {6, UPPER, Y, 5, 1, 0},	 {7, STACK, Y, 0, 0, 7},
		{8, OWN, Y, 0, 0, 9},	{9, STACK, Y, 0, 0, 0},	 {10, UPPER, Y, 8, 1, 9},
		{11, OWN, N, 0, 0, 9},	{12, UPPER, Y, 9, 1, 9},
	};
	struct topology *topology = draw(lines, G_N_ELEMENTS(lines));

	topology_hook(topology, false);
	attach_all(topology);
	topology_cover(topology, false);
	g_assert_cmpuint(topology_logical(topology, 2, 0, 0), <=, 3);
	g_assert_cmpuint(topology_logical(topology, 7, 5, 0), ==, 7);
	topology_free(topology);
}

static void test_failed_hook(void)
{
	const struct line lines[] = {
		{2, OWN, Y, 0, 0, 9},
		{3, OWN, Y, 0, 0, 9},
		{9, STACK, Y, 0, 0, 0},
		{10, UPPER, Y, 2, 7, 0},
	};
	struct topology *topology = draw(lines, G_N_ELEMENTS(lines));

	topology_hook(topology, false);
	attach_all(topology);
	topology_find(topology, 3)->attached = false;
	topology_cover(topology, false);
	g_assert_true(topology_find(topology, 2)->covered);
	g_assert_false(topology_find(topology, 3)->covered);
	/* what came in by 3 isn't counted: it must be when it leaves */
	g_assert_false(topology_find(topology, 9)->covered);
	g_assert_true(topology_find(topology, 10)->covered);
	topology_free(topology);
}

static void test_logical(void)
{
	const struct line lines[] = {
		{2, OWN, Y, 0, 0, 9},	 {3, OWN, Y, 0, 0, 9},	   {9, STACK, Y, 0, 0, 0},
		{10, UPPER, Y, 9, 7, 0}, {11, UPPER, Y, 2, 8, 0},  {4, OWN, Y, 0, 0, 20},
		{20, VRF, Y, 0, 0, 0},	 {12, UPPER, Y, 4, 7, 20}, {5, OWN, Y, 0, 0, 99},
		{13, UPPER, Y, 4, 0, 0}, {14, UPPER, Y, 10, 3, 0}, {15, UPPER, Y, 12, 3, 20},
	};
	struct topology *topology = draw(lines, G_N_ELEMENTS(lines));

	g_assert_cmpuint(topology_logical(topology, 2, 0, 0), ==, 9);
	g_assert_cmpuint(topology_logical(topology, 2, 7, 3), ==, 14); /* QinQ over bond */
	g_assert_cmpuint(topology_logical(topology, 2, 7, 4), ==, 10); /* nobody's inner id */
	g_assert_cmpuint(topology_logical(topology, 2, 6, 3), ==, 9);  /* nobody's outer id */
	g_assert_cmpuint(topology_logical(topology, 4, 7, 3), ==, 15);
	g_assert_cmpuint(topology_logical(topology, 12, 3, 0), ==, 15);
	g_assert_cmpuint(topology_logical(topology, 2, 7, 0), ==, 10); /* VLAN over bond */
	g_assert_cmpuint(topology_logical(topology, 2, 8, 0), ==, 11); /* VLAN over port */
	g_assert_cmpuint(topology_logical(topology, 3, 8, 0), ==, 9);
	g_assert_cmpuint(topology_logical(topology, 9, 7, 0), ==, 10);
	g_assert_cmpuint(topology_logical(topology, 9, 0, 0), ==, 9);
	g_assert_cmpuint(topology_logical(topology, 4, 0, 0), ==, 4); /* a VRF is no interface */
	g_assert_cmpuint(topology_logical(topology, 4, 7, 0), ==, 12);
	g_assert_cmpuint(topology_logical(topology, 4, 6, 0), ==, 4);
	g_assert_cmpuint(topology_logical(topology, 5, 0, 0), ==, 5); /* master not known */
	g_assert_cmpuint(topology_logical(topology, 77, 3, 0), ==, 77);
	g_assert_cmpuint(topology_logical(NULL, 77, 3, 0), ==, 77);
	g_assert_null(topology_find(topology, 0));
	topology_free(topology);
}

static void test_kinds(void)
{
	g_assert_cmpint(topology_kind("vlan"), ==, TOPOLOGY_UPPER);
	g_assert_cmpint(topology_kind("ipvlan"), ==, TOPOLOGY_UPPER);
	g_assert_cmpint(topology_kind("team"), ==, TOPOLOGY_STACK);
	g_assert_cmpint(topology_kind("vrf"), ==, TOPOLOGY_VRF);
	g_assert_cmpint(topology_kind("dsa"), ==, TOPOLOGY_SWITCH);
	g_assert_cmpint(topology_kind("vxlan"), ==, TOPOLOGY_OWN);
	g_assert_cmpint(topology_kind(""), ==, TOPOLOGY_OWN);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/interfaces/match", test_match);
	g_test_add_func("/topology/plain", test_plain);
	g_test_add_func("/topology/vlan", test_vlan);
	g_test_add_func("/topology/stack", test_stack);
	g_test_add_func("/topology/mixed", test_mixed);
	g_test_add_func("/topology/loops", test_loops);
	g_test_add_func("/topology/failed-hook", test_failed_hook);
	g_test_add_func("/topology/logical", test_logical);
	g_test_add_func("/topology/kinds", test_kinds);
	return g_test_run();
}

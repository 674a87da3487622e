/* SPDX-License-Identifier: MIT */
/* The table of devices, told by hand what rtnetlink would tell: the order of attaching and
 * detaching as a text. */
#include "config.h"

#include <glib.h>
#include <string.h>

#include "interfaces_device.h"
#include "kernel/flow.h"
#include "settings.h"

struct world {
	struct device_policy policy;
	struct device_table table;
	GString *story;
	const char *broken;   /* device on which one direction can't be attached */
	int broken_direction; /* FLOW_* */
};

static bool on_attach(void *user, const struct interface *interface, int netns_fd, int direction,
		      GError **error)
{
	struct world *world = user;

	if (g_strcmp0(world->broken, interface->name) == 0 &&
	    direction == world->broken_direction) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOENT, "broken");
		return false;
	}
	g_string_append_printf(world->story, " +%s/%d", interface->name, direction);
	return true;
}

static void on_detach(void *user, const struct interface *interface, int netns_fd, int direction)
{
	struct world *world = user;

	g_string_append_printf(world->story, " -%s/%d", interface->name, direction);
}

static void on_covered(void *user, uint8_t netns, uint32_t ifindex, bool covered)
{
	struct world *world = user;

	g_string_append_printf(world->story, " %s%u", covered ? "c" : "u", ifindex);
}

static void on_reused(void *user, uint8_t netns, uint32_t ifindex)
{
	struct world *world = user;

	g_string_append_printf(world->story, " again:%s",
			       device_table_get(&world->table, ifindex)->name);
}

static void set_up(struct world *world, const void *unused)
{
	world->story = g_string_new(NULL);
	world->policy = (struct device_policy){
		.callbacks = {.attach = on_attach,
			      .detach = on_detach,
			      .covered = on_covered,
			      .reused = on_reused,
			      .user = world},
		.patterns = g_strsplit("* !lo !tap*", " ", 0),
		.directions = DIRECTION_BOTH,
	};
	device_table_init(&world->table, &world->policy, 0, "");
}

static void tear_down(struct world *world, const void *unused)
{
	device_table_clear(&world->table);
	g_strfreev(world->policy.patterns);
	g_string_free(world->story, true);
}

static void tell(struct world *world, uint32_t ifindex, const char *name, const char *kind,
		 uint32_t master, const char *address)
{
	struct link link = {
		.ifindex = ifindex,
		.master = master,
		.address_size = strlen(address),
	};

	g_strlcpy(link.name, name, sizeof(link.name));
	g_strlcpy(link.kind, kind, sizeof(link.kind));
	memcpy(link.address, address, link.address_size);
	device_table_update(&world->table, &link);
}

/* What happened since the last call. */
static void expect(struct world *world, const char *story)
{
	g_assert_cmpstr(world->story->str, ==, story);
	g_string_truncate(world->story, 0);
}

static int64_t apply(struct world *world)
{
	return device_table_apply(&world->table);
}

static void test_bond(struct world *world, const void *unused)
{
	tell(world, 1, "lo", "", 0, "");
	tell(world, 2, "eth0", "", 9, "a");
	tell(world, 9, "bond0", "bond", 0, "a");
	g_assert_cmpint(apply(world), ==, 0);
	expect(world, " +eth0/0 +eth0/1 c2 c9");
	g_assert_cmpint(apply(world), ==, 0);
	expect(world, "");

	/* a second port that isn't metered: first away from the port, then to the bond */
	tell(world, 3, "tap0", "tun", 9, "b");
	apply(world);
	expect(world, " u2 -eth0/0 -eth0/1 u9 +bond0/0 +bond0/1 c9");
	device_table_remove(&world->table, 3);
	expect(world, "");
	apply(world);
	expect(world, " u9 -bond0/0 -bond0/1 +eth0/0 +eth0/1 c2 c9");

	/* gone and back with the same index before anything is applied */
	device_table_remove(&world->table, 2);
	expect(world, " u2 -eth0/0 -eth0/1");
	tell(world, 2, "eth0", "", 9, "a");
	apply(world);
	expect(world, " again:eth0 +eth0/0 +eth0/1 c2");
	device_table_remove(&world->table, 77);
	device_table_remove(&world->table, 9);
	device_table_remove_all(&world->table);
	expect(world, " u9 u2 -eth0/0 -eth0/1");
}

static void test_half_broken(struct world *world, const void *unused)
{
	world->broken = "eth0";
	world->broken_direction = FLOW_INGRESS;
	tell(world, 2, "eth0", "", 0, "a");
	const int64_t again_us = apply(world);
	g_assert_cmpint(again_us, >, g_get_monotonic_time());
	/* what comes in isn't counted here, so it isn't covered */
	expect(world, " +eth0/1");
	g_assert_cmpstr(device_table_get(&world->table, 2)->error, ==, "broken");
	apply(world); /* too early */
	expect(world, "");

	world->broken = NULL;
	tell(world, 2, "eth0", "", 0, "a"); /* a change is a reason to try again at once */
	g_assert_cmpint(apply(world), ==, 0);
	expect(world, " +eth0/0 c2");
	g_assert_cmpstr(device_table_get(&world->table, 2)->error, ==, "");
}

static void test_directions(struct world *world, const void *unused)
{
	world->policy.directions = DIRECTION_EGRESS;
	tell(world, 2, "eth0", "", 9, "a");
	tell(world, 9, "br0", "bridge", 0, "a");
	apply(world);
	expect(world, " +eth0/1"); /* nothing is counted as it comes in: nothing is covered */
	world->policy.directions = DIRECTION_INGRESS;
	device_table_rematch(&world->table);
	apply(world);
	expect(world, " -eth0/1 +eth0/0 c2 c9");
	world->policy.directions = DIRECTION_BOTH;
	world->policy.per_interface = true;
	device_table_rematch(&world->table);
	apply(world);
	expect(world, " +eth0/1 u9 +br0/0 +br0/1 u2");
	device_table_remove_all(&world->table);
	g_string_truncate(world->story, 0);
}

/* After lost notifications the list is told anew. */
static void test_lost(struct world *world, const void *unused)
{
	world->table.dump = 1;
	tell(world, 2, "eth0", "", 0, "a");
	tell(world, 3, "eth1", "veth", 0, "b");
	tell(world, 4, "eth2", "", 0, "c");
	apply(world);
	expect(world, " +eth0/0 +eth0/1 +eth1/0 +eth1/1 +eth2/0 +eth2/1 c2 c3 c4");

	world->table.dump = 2;
	tell(world, 2, "eth0", "", 0, "a");
	tell(world, 3, "eth1", "veth", 0, "x"); /* the same index and name, another device */
	device_table_sweep(&world->table);
	expect(world, " u3 -eth1/0 -eth1/1 again:eth1 u4 -eth2/0 -eth2/1");
	apply(world);
	expect(world, " +eth1/0 +eth1/1 c3");
	tell(world, 3, "eth1", "veth", 0, "y"); /* told as it happens: only its address changed */
	apply(world);
	expect(world, "");
}

static void test_names(struct world *world, const void *unused)
{
	tell(world, 2, "tap0", "", 0, "");
	g_assert_true(world->table.renamed);
	world->table.renamed = false;
	tell(world, 2, "tap0", "", 0, "x");
	g_assert_false(world->table.renamed);
	tell(world, 2, "tap1", "", 0, "x");
	g_assert_true(world->table.renamed);

	/* names of the vanished are kept, but not without limit */
	for (uint32_t i = 0; i < 5000; i++) {
		tell(world, 100 + i, "tapx", "", 0, "");
		device_table_remove(&world->table, 100 + i);
	}
	g_assert_cmpstr(device_table_get(&world->table, 5099)->name, ==, "tapx");
	g_assert_false(device_table_get(&world->table, 5099)->metered);
	g_assert_null(device_table_get(&world->table, 100));
	g_assert_cmpuint(g_hash_table_size(world->table.devices), ==, 1024 + 1);
	apply(world);
	tell(world, 5099, "tapy", "", 0, "");
	g_assert_cmpuint(world->table.vanished.length, ==, 1023);
	device_table_remove(&world->table, 5099);
	g_assert_cmpuint(world->table.vanished.length, ==, 1024);
	expect(world, " again:tapx");
}

static void add(const char *path, void (*test)(struct world *world, const void *unused))
{
	g_test_add(path, struct world, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	add("/device/bond", test_bond);
	add("/device/half-broken", test_half_broken);
	add("/device/directions", test_directions);
	add("/device/lost", test_lost);
	add("/device/names", test_names);
	return g_test_run();
}

/* SPDX-License-Identifier: MIT */
/*
 * Any octets as datagrams of rtnetlink, 16 bits of length before each, on their way into the table
 * of devices: nothing is attached twice, nothing stays attached, names are text.
 */
#include "config.h"

#include <glib.h>

#include "fuzz.h"
#include "interfaces_device.h"
#include "interfaces_message.h"
#include "kernel/flow.h"
#include "settings.h"

struct world {
	struct device_table table;
	GHashTable *attached; /* (ifindex, direction) as a pointer */
};

static void *hook(const struct interface *interface, int direction)
{
	return GSIZE_TO_POINTER((gsize)interface->ifindex << 1 | direction);
}

static bool on_attach(void *user, const struct interface *interface, int netns_fd, int direction,
		      GError **error)
{
	struct world *world = user;

	g_assert_true(g_hash_table_add(world->attached, hook(interface, direction)));
	return true;
}

static void on_detach(void *user, const struct interface *interface, int netns_fd, int direction)
{
	struct world *world = user;

	g_assert_true(g_hash_table_remove(world->attached, hook(interface, direction)));
}

static void on_covered(void *user, uint8_t netns, uint32_t ifindex, bool covered)
{
}

static void on_changed(void *user, const struct link *link)
{
	struct world *world = user;

	g_assert_true(g_utf8_validate(link->name, -1, NULL));
	g_assert_true(g_utf8_validate(link->description, -1, NULL));
	g_assert_true(g_utf8_validate(link->kind, -1, NULL));
	device_table_update(&world->table, link);
}

static void on_gone(void *user, uint32_t ifindex)
{
	struct world *world = user;

	device_table_remove(&world->table, ifindex);
}

static void on_complete(void *user)
{
	struct world *world = user;

	device_table_sweep(&world->table);
}

static void read_datagrams(struct input *in, struct world *world, struct link_reader *reader)
{
	bool alive = true;

	while (in->left > 0 && alive) {
		size_t length = input_size(in, SIZE_MAX);
		g_autofree uint8_t *datagram = g_malloc(length + !length);

		input_octets(in, datagram, length);
		alive = link_reader_take(reader, datagram, length);
		device_table_apply(&world->table);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_auto(GStrv) patterns = g_strsplit("* !lo !tap*", " ", 0);
	struct input in = {data, size};
	struct world world = {.attached = g_hash_table_new(NULL, NULL)};
	struct link_reader reader;
	const struct device_policy policy = {
		.callbacks = {.attach = on_attach,
			      .detach = on_detach,
			      .covered = on_covered,
			      .user = &world},
		.patterns = patterns,
		.directions = DIRECTION_BOTH,
		.per_interface = input_u8(&in) & 1,
	};
	const struct link_callbacks callbacks = {on_changed, on_gone, on_complete, &world};

	device_table_init(&world.table, &policy, 0, "");
	world.table.dump++;
	link_reader_init(&reader, &callbacks);
	read_datagrams(&in, &world, &reader);
	link_reader_clear(&reader);
	device_table_clear(&world.table);
	g_assert_cmpuint(g_hash_table_size(world.attached), ==, 0);
	g_hash_table_unref(world.attached);
	return 0;
}

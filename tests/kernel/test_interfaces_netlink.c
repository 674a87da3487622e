/* SPDX-License-Identifier: MIT */
/*
 * Interfaces as the kernel makes, renames, moves and destroys them, in namespaces of this test's
 * own. The hooks are a set in memory that insists on balance: nothing is attached twice, nothing
 * detached that wasn't attached, nothing left.
 */
#include "config.h"

#include <dirent.h>
#include <glib.h>
#include <malloc.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "interfaces.h"
#include "kernel/flow.h"
#include "settings.h"

#define PATIENCE_S 20
#define N_FLAPS	   1000

static char ns_a[32];
static char ns_b[32];

static void run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void run(const char *format, ...)
{
	g_autofree char *errors = NULL;
	g_autofree char *command = NULL;
	g_autoptr(GError) error = NULL;
	va_list args;
	int status;

	va_start(args, format);
	command = g_strdup_vprintf(format, args);
	va_end(args);
	g_spawn_command_line_sync(command, NULL, &errors, &status, &error);
	g_assert_no_error(error);
	if (!g_spawn_check_wait_status(status, &error))
		g_error("%s: %s%s", command, error->message, errors);
}

/* One hook or one covered interface. */
struct mark {
	uint8_t netns;
	uint8_t direction; /* 2: covered */
	uint16_t pad;
	uint32_t ifindex;
};

struct hooks {
	GHashTable *set;	 /* struct mark -> name at the time */
	GHashTable *descriptors; /* netns number -> inode */
	struct interfaces *interfaces;
	uint32_t n_attached;
	uint32_t n_detached;
	uint32_t n_changed;
	uint32_t n_to_fail;
};

static guint mark_hash(const void *key)
{
	const struct mark *mark = key;

	return mark->ifindex * 31 + mark->netns * 7 + mark->direction;
}

static gboolean mark_equal(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct mark)) == 0;
}

static void add_mark(struct hooks *hooks, uint8_t netns, uint32_t ifindex, int direction)
{
	const struct mark mark = {.netns = netns, .ifindex = ifindex, .direction = direction};

	g_assert_true(g_hash_table_insert(hooks->set, g_memdup2(&mark, sizeof(mark)), hooks->set));
}

static void take_mark(struct hooks *hooks, uint8_t netns, uint32_t ifindex, int direction)
{
	const struct mark mark = {.netns = netns, .ifindex = ifindex, .direction = direction};

	g_assert_true(g_hash_table_remove(hooks->set, &mark));
}

static bool has_mark(const struct hooks *hooks, const struct interface *interface, int direction)
{
	const struct mark mark = {
		.netns = interface->netns, .ifindex = interface->ifindex, .direction = direction};

	return g_hash_table_contains(hooks->set, &mark);
}

static bool on_attach(void *user, const struct interface *interface, int netns_fd, int direction,
		      GError **error)
{
	struct hooks *hooks = user;
	struct stat st;

	g_assert_cmpint(netns_fd == -1, ==, interface->netns == 0);
	g_assert_true(netns_fd == -1 || fstat(netns_fd, &st) == 0);
	if (hooks->n_to_fail > 0) {
		hooks->n_to_fail--;
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOENT, "not now");
		return false;
	}
	add_mark(hooks, interface->netns, interface->ifindex, direction);
	hooks->n_attached++;
	return true;
}

static void on_detach(void *user, const struct interface *interface, int netns_fd, int direction)
{
	struct hooks *hooks = user;
	struct stat st;

	g_assert_true(netns_fd == -1 || fstat(netns_fd, &st) == 0);
	take_mark(hooks, interface->netns, interface->ifindex, direction);
	hooks->n_detached++;
	/* the name can still be asked for */
	g_assert_true(interfaces_get(hooks->interfaces, interface->netns, interface->ifindex) ==
		      interface);
	g_assert_cmpstr(interface->name, !=, "");
}

static void on_covered(void *user, uint8_t netns, uint32_t ifindex, bool covered)
{
	if (covered)
		add_mark(user, netns, ifindex, 2);
	else
		take_mark(user, netns, ifindex, 2);
}

static void on_changed(void *user)
{
	((struct hooks *)user)->n_changed++;
}

static void begin(struct hooks *hooks, const char *patterns, const char *netns, int directions)
{
	const struct interfaces_callbacks callbacks = {
		.attach = on_attach,
		.detach = on_detach,
		.covered = on_covered,
		.changed = on_changed,
		.user = hooks,
	};
	g_auto(GStrv) globs = g_strsplit(patterns, " ", 0);
	g_auto(GStrv) names = g_strsplit(netns, " ", 0);
	g_autoptr(GError) error = NULL;

	hooks->set = g_hash_table_new_full(mark_hash, mark_equal, g_free, NULL);
	hooks->interfaces = interfaces_new(globs, names, directions, false, &callbacks, &error);
	g_assert_no_error(error);
}

static void set(struct hooks *hooks, const char *patterns, const char *netns, int directions)
{
	g_auto(GStrv) globs = g_strsplit(patterns, " ", 0);
	g_auto(GStrv) names = g_strsplit(netns, " ", 0);

	interfaces_set(hooks->interfaces, globs, names, directions);
}

static void end(struct hooks *hooks)
{
	interfaces_free(hooks->interfaces);
	g_assert_cmpuint(g_hash_table_size(hooks->set), ==, 0);
	g_assert_cmpuint(hooks->n_attached, ==, hooks->n_detached);
	g_hash_table_destroy(hooks->set);
}

struct search {
	const char *name;
	uint8_t netns;
	const struct interface *found;
};

static void match_name(void *user, const struct interface *interface)
{
	struct search *search = user;

	if (interface->netns == search->netns && strcmp(interface->name, search->name) == 0)
		search->found = interface;
}

static const struct interface *find(const struct hooks *hooks, uint8_t netns, const char *name)
{
	struct search search = {.name = name, .netns = netns};

	interfaces_foreach(hooks->interfaces, match_name, &search);
	return search.found;
}

/* "-": unknown, else I, E and C for hooks at ingress and egress, and covered; the hooks that
 * interfaces.c tells must be those that it attached. */
static const char *state(const struct hooks *hooks, uint8_t netns, const char *name)
{
	static char text[8];
	const struct interface *interface = find(hooks, netns, name);

	if (interface == NULL)
		return "-";
	g_assert_cmpint(interface->hooked_ingress, ==, has_mark(hooks, interface, FLOW_INGRESS));
	g_assert_cmpint(interface->hooked_egress, ==, has_mark(hooks, interface, FLOW_EGRESS));
	g_snprintf(text, sizeof(text), "%s%s%s", interface->hooked_ingress ? "I" : "",
		   interface->hooked_egress ? "E" : "", has_mark(hooks, interface, 2) ? "C" : "");
	return text;
}

static int set_true(void *user)
{
	*(bool *)user = true;
	return G_SOURCE_REMOVE;
}

/* Runs the main loop until the state is as expected. */
static void expect(const struct hooks *hooks, uint8_t netns, const char *name, const char *wanted)
{
	bool late = false;
	const guint timer = g_timeout_add_seconds(PATIENCE_S, set_true, &late);

	while (!late && strcmp(state(hooks, netns, name), wanted) != 0)
		g_main_context_iteration(NULL, true);
	if (!late)
		g_source_remove(timer);
	g_test_message("netns %u, %s", netns, name);
	g_assert_cmpstr(state(hooks, netns, name), ==, wanted);
}

static void test_one_interface(void)
{
	struct hooks hooks = {0};

	run("ip link add bpfn0 type veth peer name bpfn1");
	begin(&hooks, "bpfn* !*1 keep*", "", DIRECTION_BOTH);
	/* what is there when we start is attached when interfaces_new returns */
	g_assert_cmpstr(state(&hooks, 0, "bpfn0"), ==, "IEC");
	g_assert_cmpstr(state(&hooks, 0, "bpfn1"), ==, "");
	g_assert_cmpstr(state(&hooks, 0, "lo"), ==, "");
	const uint32_t ifindex = find(&hooks, 0, "bpfn0")->ifindex;

	run("ip link set bpfn0 alias uplink");
	run("ip link set bpfn0 up");
	run("ip link set bpfn1 name keep1");
	expect(&hooks, 0, "keep1", "IEC");
	g_assert_cmpstr(find(&hooks, 0, "bpfn0")->description, ==, "uplink");
	g_assert_true(find(&hooks, 0, "bpfn0")->up);
	g_assert_cmpuint(find(&hooks, 0, "bpfn0")->link_type, ==, 1);
	g_assert_cmpuint(find(&hooks, 0, "bpfn0")->lower, ==, 0);
	g_assert_cmpuint(hooks.n_changed, >=, 2);

	run("ip link set bpfn0 down");
	run("ip link set bpfn0 name gone0");
	expect(&hooks, 0, "gone0", "");
	g_assert_cmpuint(find(&hooks, 0, "gone0")->ifindex, ==, ifindex);
	run("ip link del gone0");
	expect(&hooks, 0, "keep1", "-");
	/* flows of it may still wait for their export */
	g_assert_cmpstr(interfaces_get(hooks.interfaces, 0, ifindex)->name, ==, "gone0");
	/* the index is used again */
	run("ip link add name bpfn5 index %u type ifb", ifindex);
	expect(&hooks, 0, "bpfn5", "IEC");
	g_assert_cmpstr(interfaces_get(hooks.interfaces, 0, ifindex)->name, ==, "bpfn5");
	run("ip link del bpfn5");
	expect(&hooks, 0, "bpfn5", "-");
	end(&hooks);
}

static void test_reload(void)
{
	struct hooks hooks = {0};

	run("ip link add bpfn0 type ifb");
	run("ip link add bpfn1 type ifb");
	begin(&hooks, "bpfn0", "", DIRECTION_BOTH);
	g_assert_cmpstr(state(&hooks, 0, "bpfn0"), ==, "IEC");
	set(&hooks, "bpfn*", "", DIRECTION_BOTH);
	g_assert_cmpstr(state(&hooks, 0, "bpfn1"), ==, "IEC");
	g_assert_cmpuint(hooks.n_attached, ==, 4); /* only the difference */
	set(&hooks, "bpfn*", "", DIRECTION_EGRESS);
	g_assert_cmpstr(state(&hooks, 0, "bpfn0"), ==, "E");
	set(&hooks, "bpfn*", "", DIRECTION_INGRESS);
	g_assert_cmpstr(state(&hooks, 0, "bpfn0"), ==, "IC");
	set(&hooks, "", "", DIRECTION_BOTH);
	g_assert_cmpstr(state(&hooks, 0, "bpfn0"), ==, "");
	g_assert_cmpuint(hooks.n_attached, ==, hooks.n_detached);
	set(&hooks, "bpfn1", "", DIRECTION_BOTH);
	end(&hooks);
	run("ip link del bpfn0");
	run("ip link del bpfn1");
}

static void test_bridge(void)
{
	struct hooks hooks = {0};

	run("ip link add bpfn0 type veth peer name peer0");
	run("ip link add bpfn1 type veth peer name peer1");
	begin(&hooks, "* !lo !peer*", "", DIRECTION_BOTH);
	run("ip link add br0 type bridge");
	expect(&hooks, 0, "br0", "IEC");
	run("ip link set bpfn0 master br0");
	expect(&hooks, 0, "br0", "C");
	g_assert_cmpstr(state(&hooks, 0, "bpfn0"), ==, "IEC");
	const uint32_t bridge = find(&hooks, 0, "br0")->ifindex;
	const uint32_t port = find(&hooks, 0, "bpfn0")->ifindex;
	g_assert_cmpuint(interfaces_logical(hooks.interfaces, 0, port, 0, 0), ==, bridge);

	run("ip link set peer1 master br0"); /* not metered: the bridge takes over */
	expect(&hooks, 0, "br0", "IEC");
	g_assert_cmpstr(state(&hooks, 0, "bpfn0"), ==, "");
	run("ip link set peer1 nomaster");
	expect(&hooks, 0, "br0", "C");
	/* a port that leaves is told as a deletion by AF_BRIDGE */
	run("ip link set bpfn1 master br0");
	run("ip link set bpfn1 nomaster");
	run("ip link set bpfn0 nomaster");
	expect(&hooks, 0, "br0", "IEC");
	g_assert_cmpstr(state(&hooks, 0, "bpfn1"), ==, "IEC");
	g_assert_cmpuint(interfaces_logical(hooks.interfaces, 0, port, 0, 0), ==, port);
	run("ip link del br0");
	expect(&hooks, 0, "br0", "-");
	end(&hooks);
	run("ip link del bpfn0");
	run("ip link del bpfn1");
}

static void test_kinds(void)
{
	struct hooks hooks = {0};

	run("ip link add bpfn0 type veth peer name peer0");
	run("ip link add mac0 link bpfn0 type macvlan mode bridge");
	run("ip link add mac1 link peer0 type macvlan mode bridge");
	run("ip link add vx0 type vxlan id 7 dev bpfn0 dstport 4789");
	run("ip tuntap add dev tun0 mode tun");
	begin(&hooks, "* !lo !peer0", "", DIRECTION_BOTH);
	g_assert_cmpstr(state(&hooks, 0, "bpfn0"), ==, "IEC");
	g_assert_cmpstr(state(&hooks, 0, "mac0"), ==, "C"); /* the same packets pass bpfn0 */
	g_assert_cmpstr(state(&hooks, 0, "mac1"), ==, "IEC");
	g_assert_cmpstr(state(&hooks, 0, "vx0"), ==, "IEC"); /* packets of its own */
	g_assert_cmpstr(state(&hooks, 0, "tun0"), ==, "IEC");
	g_assert_cmpuint(find(&hooks, 0, "vx0")->lower, ==, 0);
	g_assert_cmpuint(find(&hooks, 0, "mac0")->lower, ==, find(&hooks, 0, "bpfn0")->ifindex);
	end(&hooks);
	run("ip link del vx0");
	run("ip link del bpfn0");
	run("ip link del tun0");
}

static void test_retry(void)
{
	struct hooks hooks = {.n_to_fail = 3};

	run("ip link add bpfn0 type ifb");
	begin(&hooks, "bpfn0", "", DIRECTION_BOTH);
	g_assert_cmpstr(state(&hooks, 0, "bpfn0"), ==, "");
	g_assert_cmpstr(find(&hooks, 0, "bpfn0")->error, ==, "not now");
	expect(&hooks, 0, "bpfn0", "IEC"); /* by the timer, nothing else happens */
	g_assert_cmpstr(find(&hooks, 0, "bpfn0")->error, ==, "");
	end(&hooks);
	run("ip link del bpfn0");
}

static void test_high_index(void)
{
	struct hooks hooks = {0};

	begin(&hooks, "bpfn*", "", DIRECTION_BOTH);
	run("ip link add bpfn0 index %u type ifb", FLOW_MAX_IFINDEX + 1);
	run("ip link add bpfn1 index %u type ifb", FLOW_MAX_IFINDEX);
	expect(&hooks, 0, "bpfn1", "IEC");
	g_assert_cmpstr(state(&hooks, 0, "bpfn0"), ==, "");
	g_assert_nonnull(strstr(find(&hooks, 0, "bpfn0")->error, "8388608"));
	end(&hooks);
	run("ip link del bpfn0");
	run("ip link del bpfn1");
}

/* Nothing reads while more happens than the socket can hold: the end must be right all the same. */
static void test_overrun(void)
{
	g_autoptr(GString) batch = g_string_new(NULL);
	g_autofree char *path = NULL;
	struct hooks hooks = {0};
	const int fd = g_file_open_tmp(NULL, &path, NULL);

	for (int i = 0; i < 5000; i++)
		g_string_append_printf(batch, "link set bpfn0 alias a%d\n", i);
	g_string_append(batch, "link del bpfn1\nlink set bpfn0 alias last\n"
			       "link add bpfn2 type ifb\n");
	g_assert_cmpint(write(fd, batch->str, batch->len), ==, (ssize_t)batch->len);
	close(fd);

	run("ip link add bpfn0 type ifb");
	run("ip link set bpfn0 up"); /* the kernel tells no alias of a device that is down */
	run("ip link add bpfn1 type ifb");
	begin(&hooks, "bpfn*", "", DIRECTION_BOTH);
	g_assert_cmpstr(state(&hooks, 0, "bpfn1"), ==, "IEC");
	run("ip -batch %s", path);
	expect(&hooks, 0, "bpfn2", "IEC");
	g_assert_cmpstr(state(&hooks, 0, "bpfn1"), ==, "-");
	g_assert_cmpstr(state(&hooks, 0, "bpfn0"), ==, "IEC");
	g_assert_cmpstr(find(&hooks, 0, "bpfn0")->description, ==, "last");
	/* and it goes on listening */
	run("ip link del bpfn2");
	expect(&hooks, 0, "bpfn2", "-");
	end(&hooks);
	run("ip link del bpfn0");
	unlink(path);
}

static void test_netns(void)
{
	struct hooks hooks = {0};
	g_autofree char *both = g_strdup_printf("%s %s", ns_a, ns_b);

	begin(&hooks, "bpfn*", both, DIRECTION_BOTH);
	g_assert_cmpstr(interfaces_netns_name(hooks.interfaces, 0), ==, "");
	g_assert_cmpstr(interfaces_netns_name(hooks.interfaces, 2), ==, ns_b);
	run("ip netns add %s", ns_a); /* later than the start */
	run("ip link add bpfn0 type veth peer name bpfn0 netns %s", ns_a);
	expect(&hooks, 1, "bpfn0", "IEC");
	expect(&hooks, 0, "bpfn0", "IEC");

	/* from namespace to namespace */
	run("ip netns add %s", ns_b);
	run("ip -n %s link add bpfn9 type ifb", ns_b);
	expect(&hooks, 2, "bpfn9", "IEC");
	run("ip link add bpfn3 type veth peer name bpfn4");
	expect(&hooks, 0, "bpfn3", "IEC");
	run("ip link set bpfn3 netns %s", ns_a);
	expect(&hooks, 1, "bpfn3", "IEC");
	g_assert_cmpstr(state(&hooks, 0, "bpfn3"), ==, "-");
	run("ip -n %s link set bpfn3 netns %s", ns_a, ns_b);
	expect(&hooks, 2, "bpfn3", "IEC");
	g_assert_cmpstr(state(&hooks, 1, "bpfn3"), ==, "-");

	/* Deleted: we must let it go, else the far end of its veth pair would live on. */
	run("ip netns del %s", ns_a);
	expect(&hooks, 0, "bpfn0", "-");
	g_assert_cmpstr(state(&hooks, 1, "bpfn0"), ==, "-");
	run("ip netns add %s", ns_a);
	run("ip link add bpfn0 type veth peer name bpfn0 netns %s", ns_a);
	expect(&hooks, 1, "bpfn0", "IEC");
	g_assert_cmpstr(interfaces_netns_name(hooks.interfaces, 1), ==, ns_a);

	/* reload: names go and come, numbers stay */
	set(&hooks, "bpfn*", ns_b, DIRECTION_BOTH);
	g_assert_cmpstr(state(&hooks, 1, "bpfn0"), ==, "-");
	g_assert_cmpstr(state(&hooks, 2, "bpfn3"), ==, "IEC");
	set(&hooks, "bpfn*", both, DIRECTION_BOTH);
	g_assert_cmpstr(state(&hooks, 1, "bpfn0"), ==, "IEC");

	run("ip netns del %s", ns_a);
	run("ip netns del %s", ns_b);
	expect(&hooks, 2, "bpfn3", "-");
	expect(&hooks, 0, "bpfn4", "-");
	end(&hooks);
}

/* A second name for a namespace must not count its packets twice. */
static void test_same_netns(void)
{
	struct hooks hooks = {0};

	run("ip netns attach %s %d", ns_a, getpid());
	run("ip link add bpfn0 type ifb");
	begin(&hooks, "bpfn*", ns_a, DIRECTION_BOTH);
	g_assert_cmpstr(state(&hooks, 0, "bpfn0"), ==, "IEC");
	g_assert_cmpstr(state(&hooks, 1, "bpfn0"), ==, "-");
	g_assert_cmpuint(hooks.n_attached, ==, 2);
	end(&hooks);
	run("ip link del bpfn0");
	run("ip netns del %s", ns_a);
}

static uint32_t count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	uint32_t n = 0;

	g_assert_nonnull(dir);
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

static void flap(const struct hooks *hooks, int times)
{
	g_autoptr(GString) batch = g_string_new(NULL);
	g_autofree char *path = NULL;
	const int fd = g_file_open_tmp(NULL, &path, NULL);
	const struct hooks before = *hooks;

	for (int i = 0; i < 10; i++)
		g_string_append(batch, "link add name bpfn0 index 700 type ifb\n"
				       "link set bpfn0 up\nlink set bpfn0 down\nlink del bpfn0\n");
	g_assert_cmpint(write(fd, batch->str, batch->len), ==, (ssize_t)batch->len);
	close(fd);
	for (int i = 0; i < times / 10; i++) {
		run("ip -batch %s", path);
		while (g_main_context_iteration(NULL, false))
			continue;
	}
	unlink(path);
	run("ip link add name bpfn0 index 700 type ifb");
	expect(hooks, 0, "bpfn0", "IEC");
	run("ip link del bpfn0");
	expect(hooks, 0, "bpfn0", "-");
	g_assert_cmpuint(hooks->n_attached - before.n_attached, ==,
			 hooks->n_detached - before.n_detached);
}

static void test_flap(void)
{
	struct hooks hooks = {0};

	begin(&hooks, "bpfn*", "", DIRECTION_BOTH);
	flap(&hooks, 50);
	const uint32_t n_descriptors = count_descriptors();
	const size_t n_bytes = mallinfo2().uordblks;
	flap(&hooks, N_FLAPS);
	g_assert_cmpuint(count_descriptors(), ==, n_descriptors);
	g_assert_cmpuint(mallinfo2().uordblks, <, n_bytes + 4096);
	end(&hooks);
}

static void remove_names(void)
{
	const char *names[] = {ns_a, ns_b};

	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autofree char *path = g_build_filename("/run/netns", names[i], NULL);
		g_autofree char *command = g_strdup_printf("ip netns del %s", names[i]);
		if (g_file_test(path, G_FILE_TEST_EXISTS))
			g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	if (geteuid() != 0 || unshare(CLONE_NEWNET) != 0) {
		puts("1..0 # SKIP needs root");
		return 77;
	}
	g_snprintf(ns_a, sizeof(ns_a), "bpfnet%d-a", getpid());
	g_snprintf(ns_b, sizeof(ns_b), "bpfnet%d-b", getpid());
	g_test_add_func("/interfaces/one", test_one_interface);
	g_test_add_func("/interfaces/reload", test_reload);
	g_test_add_func("/interfaces/bridge", test_bridge);
	g_test_add_func("/interfaces/kinds", test_kinds);
	g_test_add_func("/interfaces/retry", test_retry);
	g_test_add_func("/interfaces/high-index", test_high_index);
	g_test_add_func("/interfaces/overrun", test_overrun);
	g_test_add_func("/interfaces/netns", test_netns);
	g_test_add_func("/interfaces/same-netns", test_same_netns);
	g_test_add_func("/interfaces/flap", test_flap);
	atexit(remove_names);
	return g_test_run();
}

/* SPDX-License-Identifier: MIT */
/* Privileges are given up in a child each: there is no way back. */
#include "config.h"

#include "priv.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define NET_ADMIN (UINT64_C(1) << 12)
#define SYS_ADMIN (UINT64_C(1) << 21)
#define PERFMON	  (UINT64_C(1) << 38)
#define BPF	  (UINT64_C(1) << 39)

/* A number of /proc/self/status, written in hexadecimal. */
static uint64_t status(const char *key)
{
	g_autofree char *text = NULL;
	const char *at;

	g_assert_true(g_file_get_contents("/proc/self/status", &text, NULL, NULL));
	at = strstr(text, key);
	g_assert_nonnull(at);
	return g_ascii_strtoull(at + strlen(key), NULL, 16);
}

static void assert_child(void (*test)(void))
{
	int state = 0;
	pid_t pid = fork();

	g_assert_cmpint(pid, >=, 0);
	if (pid == 0) {
		test();
		_exit(0);
	}
	g_assert_cmpint(waitpid(pid, &state, 0), ==, pid);
	g_assert_true(WIFEXITED(state));
	g_assert_cmpint(WEXITSTATUS(state), ==, 0);
}

static void drop(const char *user, bool enter_namespaces)
{
	g_autoptr(GError) error = NULL;

	priv_drop(user, enter_namespaces, &error);
	g_assert_no_error(error);
	g_assert_cmphex(status("\nCapInh:"), ==, 0);
	g_assert_cmphex(status("\nCapAmb:"), ==, 0);
	g_assert_cmphex(status("\nCapBnd:"), ==, 0);
	g_assert_cmphex(status("\nNoNewPrivs:"), ==, 1);
	g_assert_cmphex(status("\nCapPrm:"), ==, status("\nCapEff:"));
}

static void become_nobody(void)
{
	drop("nobody", false);
	g_assert_cmphex(status("\nCapEff:"), ==, NET_ADMIN | PERFMON | BPF);
	g_assert_cmpint(getuid(), ==, getpwnam("nobody")->pw_uid);
	g_assert_cmpint(geteuid(), ==, getuid());
	g_assert_cmpint(getgid(), ==, getpwnam("nobody")->pw_gid);
	g_assert_cmpint(setuid(0), <, 0);
	g_assert_cmpint(open("/etc/shadow", O_RDONLY), <, 0);
}

static void enter_namespaces(void)
{
	drop("nobody", true);
	g_assert_cmphex(status("\nCapEff:"), ==, NET_ADMIN | SYS_ADMIN | PERFMON | BPF);
}

static void stay_root(void)
{
	drop("", false);
	g_assert_cmphex(status("\nCapEff:"), ==, NET_ADMIN | PERFMON | BPF);
	g_assert_cmpint(getuid(), ==, 0);
}

static void twice(void)
{
	g_autoptr(GError) error = NULL;

	drop("nobody", false);
	/* as under systemd, which starts us with little: what is there stays, the rest is no fault
	 */
	g_assert_true(priv_drop("", true, &error));
	g_assert_no_error(error);
	g_assert_cmphex(status("\nCapEff:"), ==, NET_ADMIN | PERFMON | BPF);
	g_assert_false(priv_drop("daemon", false, &error));
	g_assert_nonnull(strstr(error->message, "can't become account \"daemon\""));
}

#ifdef WITH_SECCOMP
static void filtered(void)
{
	g_autoptr(GError) error = NULL;
	char *nothing[] = {NULL};

	g_assert_true(priv_filter_calls(&error));
	g_assert_no_error(error);
	g_assert_cmpint(execve("/bin/true", nothing, nothing), <, 0);
	g_assert_cmpint(errno, ==, EPERM);
	g_assert_cmpint(setuid(getuid()), <, 0);
	g_assert_cmpint(unshare(CLONE_NEWNET), <, 0);
	/* what the daemon does all the time still works */
	g_assert_cmpint(socket(AF_INET, SOCK_DGRAM, 0), >=, 0);
	g_assert_cmphex(status("\nSeccomp:"), ==, 2);
}
#endif

static void test_filter(void)
{
#ifdef WITH_SECCOMP
	assert_child(filtered);
#else
	g_test_skip("built without libseccomp");
#endif
}

static void test_drop(void)
{
	if (geteuid() != 0) {
		g_test_skip("needs root");
		return;
	}
	assert_child(become_nobody);
	assert_child(enter_namespaces);
	assert_child(stay_root);
	assert_child(twice);
}

static void test_no_account(void)
{
	g_autoptr(GError) error = NULL;

	g_assert_false(priv_drop("no such account", false, &error));
	g_assert_cmpstr(error->message, ==,
			"exporter.user: there is no account \"no such account\"");
}

/* The hard limit can be lifted by CAP_SYS_RESOURCE alone, which not every root has. */
static void unlock(void)
{
	struct rlimit limit;
	rlim_t hard;

	g_assert_cmpint(getrlimit(RLIMIT_MEMLOCK, &limit), ==, 0);
	hard = limit.rlim_max;
	limit.rlim_cur = 65536;
	g_assert_cmpint(setrlimit(RLIMIT_MEMLOCK, &limit), ==, 0);
	/* an infinite hard limit is enough; else it depends on what this root may do */
	g_assert_true(priv_unlock_memory() || hard != RLIM_INFINITY);
	g_assert_cmpint(getrlimit(RLIMIT_MEMLOCK, &limit), ==, 0);
	g_assert_true(limit.rlim_cur == hard || limit.rlim_cur == RLIM_INFINITY);
	limit.rlim_cur = limit.rlim_max = 65536;
	g_assert_cmpint(setrlimit(RLIMIT_MEMLOCK, &limit), ==, 0);
	g_assert_cmpint(setuid(4242), ==, 0);
	g_assert_false(priv_unlock_memory());
}

static void test_memory(void)
{
	if (geteuid() != 0) {
		g_test_skip("needs root");
		return;
	}
	assert_child(unlock);
}

static void lift(void)
{
	struct rlimit limit;
	rlim_t hard;

	g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
	hard = limit.rlim_max;
	limit.rlim_cur = 100;
	g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
	priv_lift_files();
	g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
	g_assert_true(limit.rlim_cur == hard || (hard < 65536 && limit.rlim_cur == 65536));
	/* who may not lift the hard limit has all of it */
	limit.rlim_cur = 100;
	limit.rlim_max = 200;
	g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
	g_assert_cmpint(setuid(4242), ==, 0);
	priv_lift_files();
	g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
	g_assert_cmpuint(limit.rlim_cur, ==, 200);
}

static void test_files(void)
{
	if (geteuid() != 0) {
		g_test_skip("needs root");
		return;
	}
	assert_child(lift);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/priv/drop", test_drop);
	g_test_add_func("/priv/no-account", test_no_account);
	g_test_add_func("/priv/memory", test_memory);
	g_test_add_func("/priv/files", test_files);
	g_test_add_func("/priv/filter", test_filter);
	return g_test_run();
}

/* SPDX-License-Identifier: MIT */
/*
 * Namespaces come by a mount on /run/netns/NAME, which inotify can't see: it tells of the empty
 * file that `ip netns add` makes before. The mount table does tell (POLLPRI on mountinfo). A name
 * may also be a symbolic link to /proc/PID/ns/net, which nothing tells of: hence the slow timer.
 * It matters that the end of a name is seen: while we hold the namespace, it can't die and give
 * its hardware back. Above: interfaces.c.
 */
#include "config.h"

#include "interfaces_netns.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "log.h"

#define NETNS_DIR   "/run/netns"
#define SLOW_LOOK_S 2

struct netns_watch {
	void (*fn)(void *user);
	void *user;
	int mounts_fd;
	guint mounts_source;
	guint timer;
};

static bool is_netns(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == NSFS_MAGIC &&
	       ioctl(fd, NS_GET_NSTYPE) == CLONE_NEWNET;
}

int netns_open(const char *name, struct netns_id *id, GError **error)
{
	g_autofree char *path = *name == '\0' ? g_strdup("/proc/self/ns/net")
					      : g_build_filename(NETNS_DIR, name, NULL);
	struct stat st;

	if (strchr(name, '/') != NULL || strcmp(name, "..") == 0 || strcmp(name, ".") == 0) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "not a name of a namespace");
		return -1;
	}
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno), "%s: %s", path,
			    g_strerror(errno));
		return -1;
	}
	/* Between its making and its mount a name is an ordinary file. */
	if (!is_netns(fd) || fstat(fd, &st) < 0) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOENT, "%s: not a network namespace",
			    path);
		close(fd);
		return -1;
	}
	*id = (struct netns_id){.dev = st.st_dev, .ino = st.st_ino};
	return fd;
}

bool netns_enter(int fd, GError **error)
{
	if (setns(fd, CLONE_NEWNET) == 0)
		return true;
	g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno),
		    "can't enter the namespace: %s", g_strerror(errno));
	return false;
}

void netns_leave(int own_fd)
{
	if (setns(own_fd, CLONE_NEWNET) == 0)
		return;
	/* To go on would mean to export from a stranger's namespace. */
	log_error("can't return to the daemon's own network namespace: %s", g_strerror(errno));
	abort();
}

static int mounts_changed(int fd, GIOCondition condition, void *user)
{
	struct netns_watch *watch = user;

	watch->fn(watch->user);
	return G_SOURCE_CONTINUE;
}

static int slow_look(void *user)
{
	struct netns_watch *watch = user;

	watch->fn(watch->user);
	return G_SOURCE_CONTINUE;
}

struct netns_watch *netns_watch_new(void (*fn)(void *user), void *user, GError **error)
{
	struct netns_watch *watch;
	const int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno),
			    "can't watch the mount table: %s", g_strerror(errno));
		return NULL;
	}
	watch = g_new0(struct netns_watch, 1);
	watch->fn = fn;
	watch->user = user;
	watch->mounts_fd = fd;
	watch->mounts_source = g_unix_fd_add(fd, G_IO_PRI, mounts_changed, watch);
	watch->timer = g_timeout_add_seconds(SLOW_LOOK_S, slow_look, watch);
	return watch;
}

void netns_watch_free(struct netns_watch *watch)
{
	if (watch == NULL)
		return;
	g_source_remove(watch->mounts_source);
	g_source_remove(watch->timer);
	close(watch->mounts_fd);
	g_free(watch);
}

/* SPDX-License-Identifier: MIT */
/* The control socket's file: who may connect, which daemon has it, who asks. Above: control.c. */
#include "config.h"

#include "control_socket.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static bool set_address(struct sockaddr_un *address, const char *path, GError **error);
static bool find_group(struct control_socket *listener, const char *group, GError **error);
static bool remove_stale(const struct sockaddr_un *address, GError **error);
static bool listen_at(struct control_socket *listener, const struct sockaddr_un *address,
		      GError **error);

bool control_socket_open(struct control_socket *listener, const char *path, const char *group,
			 GError **error)
{
	g_autofree char *folder = g_path_get_dirname(path);
	struct sockaddr_un address;

	memset(listener, 0, sizeof(*listener));
	listener->fd = -1;
	if (!set_address(&address, path, error) || !find_group(listener, group, error))
		return false;
	listener->made_folder = mkdir(folder, 0755) == 0;
	if (!listener->made_folder && errno != EEXIST) {
		g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno),
			    "control socket %s: folder %s can't be made: %s", path, folder,
			    g_strerror(errno));
		return false;
	}
	if (!remove_stale(&address, error))
		return false;
	listener->path = g_strdup(path);
	if (listen_at(listener, &address, error))
		return true;
	control_socket_close(listener);
	return false;
}

bool control_socket_give(const struct control_socket *listener, const char *account, GError **error)
{
	g_autofree char *folder = g_path_get_dirname(listener->path);
	const struct passwd *entry = getpwnam(account);

	if (entry && chown(listener->path, entry->pw_uid, -1) == 0 &&
	    (!listener->made_folder || chown(folder, entry->pw_uid, -1) == 0))
		return true;
	g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_PERM,
		    "control socket %s: can't be given to account \"%s\": %s", listener->path,
		    account, entry ? g_strerror(errno) : "there is none");
	return false;
}

void control_socket_close(struct control_socket *listener)
{
	struct stat st;

	if (listener->fd >= 0)
		close(listener->fd);
	/* who replaced the file keeps theirs */
	if (listener->inode != 0 && lstat(listener->path, &st) == 0 &&
	    st.st_dev == listener->device && st.st_ino == listener->inode)
		unlink(listener->path);
	g_free(listener->path);
	listener->path = NULL;
	listener->fd = -1;
}

static bool set_address(struct sockaddr_un *address, const char *path, GError **error)
{
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	if (*path && g_strlcpy(address->sun_path, path, sizeof(address->sun_path)) <
			     sizeof(address->sun_path))
		return true;
	g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NAMETOOLONG,
		    "control socket %s: a path of 1 to %zu bytes is needed", path,
		    sizeof(address->sun_path) - 1);
	return false;
}

static bool find_group(struct control_socket *listener, const char *group, GError **error)
{
	struct group *entry;

	if (!*group)
		return true;
	entry = getgrnam(group);
	if (!entry) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
			    "control socket: there is no group \"%s\"", group);
		return false;
	}
	listener->has_group = true;
	listener->group = entry->gr_gid;
	return true;
}

/* Whether somebody listens there. */
static bool answers(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool refused;

	if (fd < 0)
		return true;
	refused = connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 &&
		  errno == ECONNREFUSED;
	close(fd);
	return !refused;
}

/* True if the way is free: no file, or the socket of a daemon that died. */
static bool remove_stale(const struct sockaddr_un *address, GError **error)
{
	struct stat st;

	if (lstat(address->sun_path, &st) < 0)
		return true; /* if it is more than missing, bind will say so */
	if (!S_ISSOCK(st.st_mode)) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_EXIST,
			    "control socket %s: a file that is no socket is in the way",
			    address->sun_path);
		return false;
	}
	if (answers(address)) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_EXIST,
			    "control socket %s: address in use by a running daemon",
			    address->sun_path);
		return false;
	}
	if (unlink(address->sun_path) == 0 || errno == ENOENT)
		return true;
	g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno),
		    "control socket %s: the socket of a dead daemon can't be removed: %s",
		    address->sun_path, g_strerror(errno));
	return false;
}

/* The file is born closed, then opened to the group. */
static bool bind_file(struct control_socket *listener, const struct sockaddr_un *address)
{
	mode_t mask = umask(0177);
	int rc = bind(listener->fd, (const struct sockaddr *)address, sizeof(*address));
	struct stat st;
	int err = errno;

	umask(mask);
	errno = err;
	if (rc < 0 || lstat(address->sun_path, &st) < 0)
		return false;
	listener->device = st.st_dev;
	listener->inode = st.st_ino;
	if (!listener->has_group)
		return true;
	return chown(address->sun_path, -1, listener->group) == 0 &&
	       chmod(address->sun_path, 0660) == 0;
}

static bool listen_at(struct control_socket *listener, const struct sockaddr_un *address,
		      GError **error)
{
	listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listener->fd >= 0 && bind_file(listener, address) &&
	    listen(listener->fd, SOMAXCONN) == 0)
		return true;
	g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno), "control socket %s: %s",
		    address->sun_path, errno == EADDRINUSE ? "address in use" : g_strerror(errno));
	return false;
}

static bool in_groups(int fd, gid_t group)
{
	socklen_t size = 0;
	g_autofree gid_t *groups = NULL;

	/* the first call tells the size */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) == 0 || errno != ERANGE)
		return false;
	groups = g_malloc(size);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
		return false;
	for (size_t i = 0; i < size / sizeof(*groups); i++) {
		if (groups[i] == group)
			return true;
	}
	return false;
}

bool control_socket_may_change(const struct control_socket *listener, int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return false;
	if (peer.uid == 0 || peer.uid == geteuid())
		return true;
	return listener->has_group &&
	       (peer.gid == listener->group || in_groups(fd, listener->group));
}

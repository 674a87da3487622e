/* SPDX-License-Identifier: MIT */
/* The listening end of the control socket: its file, its mode, and who stands at the other end.
 * Private to control.c. */
#ifndef BPFLOWD_CONTROL_SOCKET_H
#define BPFLOWD_CONTROL_SOCKET_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

struct control_socket {
	int fd;
	char *path;
	dev_t device; /* of the file, so that only our own is removed */
	ino_t inode;
	bool made_folder;
	bool has_group;
	gid_t group;
};

/* Listens at path, mode 0660 for the group, 0600 if it is "". */
bool control_socket_open(struct control_socket *listener, const char *path, const char *group,
			 GError **error);
/* Gives file, and folder if we made it, to the account that we become, which could neither remove
 * nor use them otherwise. */
bool control_socket_give(const struct control_socket *listener, const char *account,
			 GError **error);
void control_socket_close(struct control_socket *listener); /* removes the file */

/* Whether the peer of a connection is root, our own account, or in the group. */
bool control_socket_may_change(const struct control_socket *listener, int fd);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * One question to the daemon over its socket. Above: ctl_show.c, ctl_top.c; the other end:
 * control.c.
 */
#include "config.h"

#include "ctl.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define SILENCE_MAX_S 60 /* flush and reload answer when they are done */

static int fail(GError **error, int err, const char *path)
{
	const char *advice = "";

	if (err == ENOENT || err == ECONNREFUSED)
		advice = "; is bpflowd running, and is this its exporter.control_socket (-s)?";
	else if (err == EACCES || err == EPERM)
		advice = "; ask as root or as a member of its exporter.control_group";
	g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(err), "%s: %s%s", path,
		    err == EAGAIN ? "the daemon doesn't answer" : g_strerror(err), advice);
	return -1;
}

static int open_socket(const char *path, GError **error)
{
	struct timeval patience = {.tv_sec = SILENCE_MAX_S};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	if (g_strlcpy(address.sun_path, path, sizeof(address.sun_path)) >= sizeof(address.sun_path))
		return fail(error, ENAMETOOLONG, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(error, errno, path);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == 0 &&
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	fail(error, errno, path);
	close(fd);
	return -1;
}

static bool send_request(int fd, const char *verb, const json_t *args)
{
	json_t *request = args ? json_copy((json_t *)args) : json_object();
	bool sent;
	char *line;

	json_object_set_new(request, "verb", json_string(verb));
	line = json_dumps(request, JSON_COMPACT);
	json_decref(request);
	if (!line) {
		errno = EINVAL;
		return false;
	}
	/* at most CONTROL_REQUEST_MAX octets: the socket takes them in one piece; EPIPE: the
	 * daemon has said why already */
	sent = (send(fd, line, strlen(line), MSG_NOSIGNAL) >= 0 &&
		send(fd, "\n", 1, MSG_NOSIGNAL) == 1) ||
	       errno == EPIPE;
	free(line);
	return sent;
}

/* Reads to the end of the connection. */
static bool receive(int fd, GString *answer)
{
	char part[65536];
	ssize_t n;

	while ((n = recv(fd, part, sizeof(part), 0)) != 0) {
		if (n > 0)
			g_string_append_len(answer, part, n);
		else if (errno != EINTR)
			/* it ended the session early: what it said counts */
			return errno == ECONNRESET && answer->len > 0;
	}
	return true;
}

static json_t *parse(const char *path, const GString *text, int *code, GError **error)
{
	json_t *answer = json_loadb(text->str, text->len, 0, NULL);
	const char *refused;

	*code = CTL_NO_DAEMON;
	if (!json_is_object(answer)) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_IO,
			    "%s: the answer broke off after %zu bytes", path, text->len);
		json_decref(answer);
		return NULL;
	}
	*code = CTL_OK;
	refused = json_string_value(json_object_get(answer, "error"));
	if (!refused)
		return answer;
	*code = g_str_has_prefix(refused, "not permitted") ? CTL_NO_DAEMON : CTL_REFUSED;
	g_set_error_literal(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, refused);
	json_decref(answer);
	return NULL;
}

json_t *ctl_ask(const char *socket, const char *verb, const json_t *args, int *code, GError **error)
{
	int fd = open_socket(socket, error);
	g_autoptr(GString) text = NULL;
	bool complete;
	int err;

	*code = CTL_NO_DAEMON;
	if (fd < 0)
		return NULL;
	text = g_string_new(NULL);
	complete = send_request(fd, verb, args) && receive(fd, text);
	err = errno;
	close(fd);
	if (complete)
		return parse(socket, text, code, error);
	fail(error, err, socket);
	return NULL;
}

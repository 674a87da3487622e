/* SPDX-License-Identifier: MIT */
/*
 * Clients of the control socket: a request is read, answered at once or later, written, the end.
 * Above: daemon_control.c; below: control_socket.c.
 */
#include "config.h"

#include "control.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "control_socket.h"

#define ACCEPT_PAUSE_MS 250 /* while descriptors are short */

enum client_state { CLIENT_READING, CLIENT_WAITING, CLIENT_WRITING };

struct client {
	struct control *control;
	struct control_request *request; /* while a verb that began isn't complete */
	int fd;
	guint watch;
	enum client_state state;
	uint64_t deadline_ns;
	struct control_pieces pieces; /* state NULL: the rest of the answer is in out */
	GString *out;
	size_t out_done;
	size_t in_size;
	char in[CONTROL_REQUEST_MAX];
};

struct control_request {
	struct client *client; /* NULL once it is gone */
};

struct control {
	struct control_socket socket;
	const struct control_verb *verbs;
	void *user;
	GPtrArray *clients;  /* struct client *, owned */
	guint accept_source; /* watches the socket, or waits until it is worth while again */
	guint expire_timer;  /* 0 while there are no clients */
};

static gboolean accept_ready(int fd, GIOCondition condition, void *user);
static gboolean client_ready(int fd, GIOCondition condition, void *user);

struct control *control_new(const char *path, const char *group, const struct control_verb *verbs,
			    void *user, GError **error)
{
	struct control_socket listener;
	struct control *control;

	if (!control_socket_open(&listener, path, group, error))
		return NULL;
	control = g_new0(struct control, 1);
	control->socket = listener;
	control->verbs = verbs;
	control->user = user;
	control->clients = g_ptr_array_new();
	control->accept_source = g_unix_fd_add(listener.fd, G_IO_IN, accept_ready, control);
	return control;
}

bool control_give(struct control *control, const char *account, GError **error)
{
	return !*account || control_socket_give(&control->socket, account, error);
}

static uint64_t deadline(void)
{
	struct clock_now now;

	clock_read(&now);
	return now.mono_ns + CONTROL_TIMEOUT_S * NSEC_PER_SEC;
}

/* Sends what the socket takes; false if it is broken. */
static bool client_send(struct client *client)
{
	ssize_t n = send(client->fd, client->out->str + client->out_done,
			 client->out->len - client->out_done, MSG_NOSIGNAL);

	if (n > 0)
		client->out_done += n;
	return n >= 0 || errno == EAGAIN || errno == EINTR;
}

static void end_pieces(struct client *client)
{
	if (client->pieces.state)
		client->pieces.free(client->pieces.state);
	client->pieces.state = NULL;
}

/* The next piece, once all before it is sent. */
static void client_fill(struct client *client)
{
	g_string_truncate(client->out, 0);
	client->out_done = 0;
	if (client->pieces.next(client->pieces.state, client->out))
		return;
	end_pieces(client);
	g_string_append_c(client->out, '\n');
}

static bool is_sent(const struct client *client)
{
	return client->out_done == client->out->len;
}

static void client_end(struct client *client)
{
	struct control *control = client->control;

	g_ptr_array_remove_fast(control->clients, client);
	if (control->clients->len == 0 && control->expire_timer != 0) {
		g_source_remove(control->expire_timer);
		control->expire_timer = 0;
	}
	if (client->request)
		client->request->client = NULL;
	if (client->watch)
		g_source_remove(client->watch);
	close(client->fd);
	end_pieces(client);
	g_string_free(client->out, TRUE);
	g_free(client);
}

void control_free(struct control *control)
{
	if (!control)
		return;
	while (control->clients->len > 0) {
		struct client *client = g_ptr_array_index(control->clients, 0);

		/* its last chance: as much as the socket takes */
		while (client->state == CLIENT_WRITING && client_send(client) && is_sent(client) &&
		       client->pieces.state)
			client_fill(client);
		client_end(client);
	}
	g_ptr_array_unref(control->clients);
	g_source_remove(control->accept_source);
	control_socket_close(&control->socket);
	g_free(control);
}

void control_expire(struct control *control, uint64_t now_mono_ns)
{
	for (guint i = control->clients->len; i-- > 0;) {
		struct client *client = g_ptr_array_index(control->clients, i);

		if (client->state != CLIENT_WAITING && client->deadline_ns <= now_mono_ns)
			client_end(client);
	}
}

static gboolean expire_tick(void *user)
{
	struct control *control = user;
	guint timer = control->expire_timer;
	struct clock_now now;

	clock_read(&now);
	control_expire(control, now.mono_ns);
	return control->expire_timer == timer;
}

static void client_watch(struct client *client, enum client_state state, GIOCondition condition)
{
	if (client->watch)
		g_source_remove(client->watch);
	client->state = state;
	client->deadline_ns = deadline();
	client->watch = g_unix_fd_add(client->fd, condition, client_ready, client);
}

static void client_new(struct control *control, int fd)
{
	struct client *client = g_new(struct client, 1);

	/* all but the large buffer, which is written before it is read */
	memset(client, 0, offsetof(struct client, in));
	client->control = control;
	client->fd = fd;
	client->out = g_string_new(NULL);
	g_ptr_array_add(control->clients, client);
	if (control->expire_timer == 0)
		control->expire_timer = g_timeout_add_seconds(1, expire_tick, control);
	client_watch(client, CLIENT_READING, G_IO_IN);
}

static gboolean accept_again(void *user)
{
	struct control *control = user;

	control->accept_source = g_unix_fd_add(control->socket.fd, G_IO_IN, accept_ready, control);
	return G_SOURCE_REMOVE;
}

static bool is_short(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static gboolean accept_ready(int fd, GIOCondition condition, void *user)
{
	static const char full[] = "{\"error\": \"too many clients ask at once; try again\"}\n";
	struct control *control = user;
	int client_fd = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (client_fd < 0 && is_short(errno)) {
		/* the client still waits there and would wake us again and again */
		control->accept_source = g_timeout_add(ACCEPT_PAUSE_MS, accept_again, control);
		return G_SOURCE_REMOVE;
	}
	/* it went away again */
	if (client_fd < 0)
		return G_SOURCE_CONTINUE;
	if (control->clients->len < CONTROL_MAX_CLIENTS) {
		client_new(control, client_fd);
		return G_SOURCE_CONTINUE;
	}
	/* a new socket takes that much at once */
	if (send(client_fd, full, strlen(full), MSG_NOSIGNAL) < 0)
		shutdown(client_fd, SHUT_RDWR);
	close(client_fd);
	return G_SOURCE_CONTINUE;
}

static int append(const char *part, size_t size, void *text)
{
	g_string_append_len(text, part, size);
	return 0;
}

/* Takes the answer's reference. */
static void client_answer(struct client *client, json_t *answer)
{
	int err = json_dump_callback(answer, append, client->out, JSON_COMPACT);

	json_decref(answer);
	if (err < 0) {
		client_end(client);
		return;
	}
	g_string_append_c(client->out, '\n');
	client_watch(client, CLIENT_WRITING, G_IO_OUT);
}

static json_t *error_document(const GError *error)
{
	g_autofree char *message =
		g_utf8_make_valid(error ? error->message : "the daemon gave no reason", -1);

	return json_pack("{s:s}", "error", message);
}

void control_reply(struct control_request *request, json_t *answer, const GError *error)
{
	struct client *client = request->client;

	g_free(request);
	if (!client) {
		json_decref(answer);
		return;
	}
	client->request = NULL;
	client_answer(client, answer ? answer : error_document(error));
}

static void client_refuse(struct client *client, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void client_refuse(struct client *client, const char *format, ...)
{
	g_autoptr(GError) error = NULL;
	va_list args;

	va_start(args, format);
	error = g_error_new_valist(G_FILE_ERROR, G_FILE_ERROR_INVAL, format, args);
	va_end(args);
	client_answer(client, error_document(error));
}

static const struct control_verb *find_verb(const struct control *control, const char *name)
{
	for (const struct control_verb *verb = control->verbs; verb->name; verb++) {
		if (strcmp(verb->name, name) == 0)
			return verb;
	}
	return NULL;
}

static void client_run(struct client *client, const struct control_verb *verb, const json_t *args)
{
	struct control *control = client->control;
	g_autoptr(GError) error = NULL;
	json_t *answer;

	if (verb->begin) {
		client->request = g_new(struct control_request, 1);
		client->request->client = client;
		client_watch(client, CLIENT_WAITING, G_IO_HUP);
		verb->begin(control->user, args, client->request);
		return;
	}
	if (!verb->open) {
		answer = verb->answer(control->user, args, &error);
		client_answer(client, answer ? answer : error_document(error));
		return;
	}
	if (!verb->open(control->user, args, &client->pieces, &error)) {
		client_answer(client, error_document(error));
		return;
	}
	client_fill(client);
	client_watch(client, CLIENT_WRITING, G_IO_OUT);
}

static void client_request(struct client *client, size_t size)
{
	const struct control_verb *verb;
	json_error_t error;
	const char *name;
	json_t *request;

	request = json_loadb(client->in, size, JSON_REJECT_DUPLICATES, &error);
	if (!request) {
		client_refuse(client, "the request is not JSON: %s", error.text);
		return;
	}
	name = json_string_value(json_object_get(request, "verb"));
	verb = name ? find_verb(client->control, name) : NULL;
	if (!name)
		client_refuse(client, "the request names no verb");
	else if (!verb)
		client_refuse(client, "unknown verb \"%s\"", name);
	else if (verb->changes && !control_socket_may_change(&client->control->socket, client->fd))
		client_refuse(client, "not permitted: only root, the daemon's account and members "
				      "of exporter.control_group may ask that");
	else
		client_run(client, verb, request);
	json_decref(request);
}

static void client_read(struct client *client)
{
	char *to = client->in + client->in_size;
	/* recv leaves descriptors that were sent along to the kernel, which closes them */
	ssize_t n = recv(client->fd, to, sizeof(client->in) - client->in_size, 0);
	char *end;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_end(client);
		return;
	}
	client->in_size += n;
	end = memchr(to, '\n', n);
	if (end)
		client_request(client, end - client->in);
	else if (client->in_size == sizeof(client->in))
		client_refuse(client, "the request is longer than %d bytes", CONTROL_REQUEST_MAX);
}

static void client_write(struct client *client)
{
	size_t before = client->out_done;
	bool broken = !client_send(client);

	if (client->out_done > before)
		client->deadline_ns = deadline();
	if (broken || (is_sent(client) && !client->pieces.state))
		client_end(client);
	else if (is_sent(client))
		client_fill(client);
}

static gboolean client_ready(int fd, GIOCondition condition, void *user)
{
	struct client *client = user;

	if (client->state == CLIENT_READING)
		client_read(client);
	else if (client->state == CLIENT_WRITING)
		client_write(client);
	else
		client_end(client);
	/* a watch that was replaced or removed is gone from the loop already */
	return G_SOURCE_CONTINUE;
}

/* SPDX-License-Identifier: MIT */
/* Answers of libmicrohttpd on our own loop. Above: daemon_report.c. */
#include "config.h"

#include "http.h"

#include <errno.h>
#include <glib-unix.h>
#include <microhttpd.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX	   64
#define IDLE_MAX_S	   10
#define ACCEPT_PAUSE_MS	   10	 /* while descriptors are short */
#define REQUEST_MEMORY_MAX 16384 /* octets per connection: request line and headers fit or 431 */

struct http {
	struct http_callbacks callbacks;
	struct MHD_Daemon *server;
	int listener;
	int port;
	guint watch; /* of the server's epoll descriptor, which stands for all of its sockets; or
			the time until it is worth while again */
	guint timer; /* 0: none */
};

static bool split(const char *text, char **host, char **port, GError **error);
static int open_listener(const char *host, const char *port, GError **error);
static enum MHD_Result handle(void *user, struct MHD_Connection *connection, const char *url,
			      const char *method, const char *version, const char *upload,
			      size_t *upload_size, void **state);
static gboolean ready(int fd, GIOCondition condition, void *user);
static void set_timer(struct http *http);

static int bound_port(int fd)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);
	char port[NI_MAXSERV];

	if (getsockname(fd, (struct sockaddr *)&address, &size) < 0 ||
	    getnameinfo((struct sockaddr *)&address, size, NULL, 0, port, sizeof(port),
			NI_NUMERICSERV) != 0)
		return 0;
	return atoi(port);
}

struct http *http_new(const char *listen, const struct http_callbacks *callbacks, GError **error)
{
	g_autofree char *host = NULL;
	g_autofree char *port = NULL;
	struct http *http;
	int fd;

	if (!split(listen, &host, &port, error))
		return NULL;
	fd = open_listener(host, port, error);
	if (fd < 0) {
		g_prefix_error(error, "http.listen %s: ", listen);
		return NULL;
	}
	http = g_new0(struct http, 1);
	http->callbacks = *callbacks;
	http->listener = fd;
	http->port = bound_port(fd);
	http->server = MHD_start_daemon(
		MHD_USE_EPOLL, 0, NULL, NULL, handle, http, MHD_OPTION_LISTEN_SOCKET, fd,
		MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
		IDLE_MAX_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)REQUEST_MEMORY_MAX,
		MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
	if (!http->server) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED,
			    "http.listen %s: the HTTP server can't start: %s", listen,
			    g_strerror(errno));
		close(fd);
		g_free(http);
		return NULL;
	}
	fd = MHD_get_daemon_info(http->server, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
	http->watch = g_unix_fd_add(fd, G_IO_IN, ready, http);
	return http;
}

void http_free(struct http *http)
{
	if (!http)
		return;
	g_source_remove(http->watch);
	if (http->timer)
		g_source_remove(http->timer);
	MHD_stop_daemon(http->server); /* closes the listener too */
	g_free(http);
}

int http_port(const struct http *http)
{
	return http->port;
}

static bool split(const char *text, char **host, char **port, GError **error)
{
	const char *colon = strrchr(text, ':');
	bool bracketed = text[0] == '[';
	size_t length = colon ? colon - text : 0;
	guint64 number;

	if (colon && length > 0 &&
	    g_ascii_string_to_unsigned(colon + 1, 10, 0, 65535, &number, NULL) &&
	    (bracketed ? length > 2 && text[length - 1] == ']' : !memchr(text, ':', length))) {
		*host = bracketed ? g_strndup(text + 1, length - 2) : g_strndup(text, length);
		*port = g_strdup(colon + 1);
		return true;
	}
	g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
		    "http.listen %s: not HOST:PORT or [HOST]:PORT", text);
	return false;
}

static int try_address(const struct addrinfo *address)
{
	int on = 1;
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	    (address->ai_family != AF_INET6 ||
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0) &&
	    bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0)
		return fd;
	on = -errno;
	close(fd);
	return on;
}

/* The first address of the host that works. */
static int open_listener(const char *host, const char *port, GError **error)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
	struct addrinfo *found;
	int fd = -EADDRNOTAVAIL;
	int rc;

	rc = getaddrinfo(host, port, &hints, &found);
	if (rc != 0) {
		g_set_error_literal(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, gai_strerror(rc));
		return -1;
	}
	for (const struct addrinfo *at = found; at && fd < 0; at = at->ai_next)
		fd = try_address(at);
	freeaddrinfo(found);
	if (fd < 0)
		g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(-fd), "%s",
			    fd == -EADDRINUSE ? "address in use" : g_strerror(-fd));
	return fd;
}

static unsigned int count_connections(const struct http *http)
{
	return MHD_get_daemon_info(http->server, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)
		->num_connections;
}

static void run(struct http *http)
{
	bool full = count_connections(http) >= CONNECTIONS_MAX;

	MHD_run(http->server);
	/* a full server stops listening, and starts again in the run after the one that made room:
	 * nothing else would wake it */
	if (full && count_connections(http) < CONNECTIONS_MAX)
		MHD_run(http->server);
	set_timer(http);
}

static gboolean watch_again(void *user)
{
	struct http *http = user;
	int fd = MHD_get_daemon_info(http->server, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;

	http->watch = g_unix_fd_add(fd, G_IO_IN, ready, http);
	return G_SOURCE_REMOVE;
}

/* A client that can't be accepted for want of descriptors would wake us again and again. Where it
 * has connections, the server itself waits until one ends. */
static bool is_stuck(const struct http *http)
{
	struct pollfd waiting = {.fd = http->listener, .events = POLLIN};

	return count_connections(http) == 0 && poll(&waiting, 1, 0) > 0;
}

static gboolean ready(int fd, GIOCondition condition, void *user)
{
	struct http *http = user;

	run(http);
	if (!is_stuck(http))
		return G_SOURCE_CONTINUE;
	http->watch = g_timeout_add(ACCEPT_PAUSE_MS, watch_again, http);
	return G_SOURCE_REMOVE;
}

static gboolean timer_due(void *user)
{
	struct http *http = user;

	http->timer = 0;
	run(http);
	return G_SOURCE_REMOVE;
}

/* The server has its own timeouts, and work left over that no descriptor announces. */
static void set_timer(struct http *http)
{
	MHD_UNSIGNED_LONG_LONG ms;

	if (http->timer)
		g_source_remove(http->timer);
	http->timer = 0;
	if (MHD_get_timeout(http->server, &ms) == MHD_YES)
		http->timer = g_timeout_add(MIN(ms, IDLE_MAX_S * 1000), timer_due, http);
}

/* Takes the body over. */
static enum MHD_Result respond(struct MHD_Connection *connection, unsigned int status,
			       const char *type, GString *body)
{
	size_t size = body->len;
	char *text = g_string_free(body, FALSE);
	struct MHD_Response *response =
		MHD_create_response_from_buffer_with_free_callback(size, text, g_free);
	enum MHD_Result result;

	if (!response) {
		g_free(text);
		return MHD_NO; /* ends the connection */
	}
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result handle(void *user, struct MHD_Connection *connection, const char *url,
			      const char *method, const char *version, const char *upload,
			      size_t *upload_size, void **state)
{
	static const char plain[] = "text/plain; charset=utf-8";
	const struct http *http = user;
	unsigned int status = MHD_HTTP_OK;
	GString *body;

	/* the first call of a request comes before its body; what is uploaded is thrown away */
	if (!*state) {
		*state = user;
		return MHD_YES;
	}
	if (*upload_size > 0) {
		*upload_size = 0;
		return MHD_YES;
	}
	body = g_string_new(NULL);
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return respond(connection, MHD_HTTP_METHOD_NOT_ALLOWED, plain, body);
	if (strcmp(url, "/metrics") == 0) {
		http->callbacks.metrics(http->callbacks.user, body);
		return respond(connection, status, "text/plain; version=0.0.4; charset=utf-8",
			       body);
	}
	if (strcmp(url, "/healthz") != 0) {
		g_string_append(body, "bpflowd answers /metrics and /healthz\n");
		return respond(connection, MHD_HTTP_NOT_FOUND, plain, body);
	}
	if (!http->callbacks.healthy(http->callbacks.user, body))
		status = MHD_HTTP_SERVICE_UNAVAILABLE;
	if (body->len == 0)
		g_string_append(body, status == MHD_HTTP_OK ? "ok\n" : "not healthy\n");
	return respond(connection, status, plain, body);
}

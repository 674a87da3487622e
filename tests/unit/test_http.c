/* SPDX-License-Identifier: MIT */
/* The HTTP server on loopback, asked by a client on the same main loop. */
#include "config.h"

#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BIG 5000000

struct fixture {
	struct http *http;
	bool healthy;
	size_t size; /* of /metrics */
};

static void write_metrics(void *user, GString *out)
{
	const struct fixture *f = user;

	g_string_append(out, "bpflowd_flows_active 1\n");
	while (out->len < f->size)
		g_string_append(out, "# filling\n");
}

static bool is_healthy(void *user, GString *why)
{
	const struct fixture *f = user;

	g_string_append(why, f->healthy ? "" : "no collector takes data\n");
	return f->healthy;
}

static void set_up(struct fixture *f, gconstpointer listen)
{
	const struct http_callbacks callbacks = {write_metrics, is_healthy, f};
	g_autoptr(GError) error = NULL;

	f->http = http_new(listen ? listen : "127.0.0.1:0", &callbacks, &error);
	g_assert_no_error(error);
	g_assert_cmpint(http_port(f->http), >, 0);
}

static void tear_down(struct fixture *f, gconstpointer listen)
{
	http_free(f->http);
}

static int client(const struct fixture *f, int family)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET,
				 .sin_port = htons(http_port(f->http)),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
				  .sin6_port = htons(http_port(f->http)),
				  .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(family, SOCK_STREAM, 0);

	/* loopback: connects at once */
	if (family == AF_INET)
		g_assert_cmpint(connect(fd, (struct sockaddr *)&v4, sizeof(v4)), ==, 0);
	else
		g_assert_cmpint(connect(fd, (struct sockaddr *)&v6, sizeof(v6)), ==, 0);
	return fd;
}

static char *take(int fd)
{
	GString *text = g_string_new(NULL);
	char part[65536];
	ssize_t n;

	while ((n = recv(fd, part, sizeof(part), MSG_DONTWAIT)) != 0) {
		if (n > 0)
			g_string_append_len(text, part, n);
		else if (errno == EAGAIN)
			g_main_context_iteration(NULL, FALSE);
		else
			break;
	}
	close(fd);
	return g_string_free(text, FALSE);
}

static char *ask(const struct fixture *f, int family, const char *method, const char *path)
{
	g_autofree char *request = g_strdup_printf(
		"%s %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", method, path);
	int fd = client(f, family);

	g_assert_cmpint(send(fd, request, strlen(request), MSG_NOSIGNAL), ==, strlen(request));
	return take(fd);
}

static void assert_reply(const struct fixture *f, const char *method, const char *path,
			 const char *status, const char *end)
{
	g_autofree char *reply = ask(f, AF_INET, method, path);

	g_assert_true(g_str_has_prefix(reply, "HTTP/1.1 "));
	g_assert_true(g_str_has_prefix(reply + 9, status));
	g_assert_true(g_str_has_suffix(reply, end));
}

static void test_replies(struct fixture *f, gconstpointer unused)
{
	g_autofree char *reply = ask(f, AF_INET, "GET", "/metrics");

	g_assert_nonnull(
		strstr(reply, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
	assert_reply(f, "GET", "/metrics", "200", "\r\n\r\nbpflowd_flows_active 1\n");
	assert_reply(f, "HEAD", "/metrics", "200", "\r\n\r\n");
	assert_reply(f, "GET", "/healthz", "503", "\r\n\r\nno collector takes data\n");
	f->healthy = true;
	assert_reply(f, "GET", "/healthz", "200", "\r\n\r\nok\n");
	assert_reply(f, "GET", "/", "404", "/healthz\n");
	assert_reply(f, "POST", "/metrics", "405", "\r\n\r\n");
}

static void test_v6(struct fixture *f, gconstpointer unused)
{
	g_autofree char *reply = ask(f, AF_INET6, "GET", "/metrics");

	g_assert_true(g_str_has_prefix(reply, "HTTP/1.1 200"));
}

/* One client takes nothing of a large page; the next gets all of it. */
static void test_slow_reader(struct fixture *f, gconstpointer unused)
{
	static const char request[] = "GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n";
	g_autofree char *reply = NULL;
	int slow = client(f, AF_INET);

	f->size = BIG;
	g_assert_cmpint(send(slow, request, strlen(request), 0), ==, strlen(request));
	for (int i = 0; i < 50; i++)
		g_main_context_iteration(NULL, FALSE);
	reply = ask(f, AF_INET, "GET", "/metrics");
	g_assert_cmpuint(strlen(reply), >=, BIG);
	close(slow);
}

static void test_bad_requests(struct fixture *f, gconstpointer unused)
{
	static const char *const refused[] = {
		"GET /metrics HTTP/9.9\r\n\r\n",
		"GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n", /* no Host: RFC 9112 3.2 */
		"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
	};
	static const char *const torn[] = {"", "\r\n\r\n", "GET", "GET /metrics HTTP/1.1\r\nHo",
					   "\x16\x03\x01"};
	g_autofree char *giant = g_strnfill(100000, 'x');

	for (size_t i = 0; i < G_N_ELEMENTS(refused); i++) {
		g_autofree char *reply = NULL;
		int fd = client(f, AF_INET);

		send(fd, refused[i], strlen(refused[i]), MSG_NOSIGNAL);
		reply = take(fd);
		g_assert_false(g_str_has_prefix(reply, "HTTP/1.1 200"));
	}
	for (size_t i = 0; i < G_N_ELEMENTS(torn); i++) {
		int fd = client(f, AF_INET);

		send(fd, torn[i], strlen(torn[i]), MSG_NOSIGNAL);
		for (int n = 0; n < 20; n++)
			g_main_context_iteration(NULL, FALSE);
		close(fd);
	}
	/* while reading, the server says no or hangs up */
	for (int i = 0; i < 3; i++) {
		int fd = client(f, AF_INET);

		send(fd, "GET /", 5, MSG_NOSIGNAL);
		send(fd, giant, 100000, MSG_NOSIGNAL | MSG_DONTWAIT);
		g_free(take(fd));
	}
	assert_reply(f, "GET", "/metrics", "200", "\n");
}

/* More connections than the server holds, silent ones: those that come after them are served once
 * some leave. */
static void test_many_clients(struct fixture *f, gconstpointer unused)
{
	int fds[100];

	for (size_t i = 0; i < G_N_ELEMENTS(fds); i++)
		fds[i] = client(f, AF_INET);
	for (int i = 0; i < 200; i++)
		g_main_context_iteration(NULL, FALSE);
	for (size_t i = 0; i < G_N_ELEMENTS(fds); i++)
		close(fds[i]);
	assert_reply(f, "GET", "/metrics", "200", "\n");
}

static void assert_fails(const char *listen, const char *expected)
{
	const struct http_callbacks callbacks = {write_metrics, is_healthy, NULL};
	g_autoptr(GError) error = NULL;

	g_assert_null(http_new(listen, &callbacks, &error));
	g_assert_nonnull(error);
	g_assert_cmpstr(error->message, ==, expected);
}

static void test_bad_places(struct fixture *f, gconstpointer unused)
{
	g_autofree char *taken = g_strdup_printf("127.0.0.1:%d", http_port(f->http));
	g_autofree char *in_use = g_strdup_printf("http.listen %s: address in use", taken);
	static const char *const bad[] = {
		"",	  "9469",   ":9469", "127.0.0.1:", "a:-1",  "a:65536",
		"a:http", "::1:80", "[]:80", "[::1]80",	   "[::1]", "[::1:80"};

	assert_fails(taken, in_use);
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autofree char *expected =
			g_strdup_printf("http.listen %s: not HOST:PORT or [HOST]:PORT", bad[i]);

		assert_fails(bad[i], expected);
	}
	assert_fails("192.0.2.1:0", "http.listen 192.0.2.1:0: Cannot assign requested address");
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add("/http/replies", struct fixture, NULL, set_up, test_replies, tear_down);
	g_test_add("/http/v6", struct fixture, "[::1]:0", set_up, test_v6, tear_down);
	g_test_add("/http/slow-reader", struct fixture, NULL, set_up, test_slow_reader, tear_down);
	g_test_add("/http/bad-requests", struct fixture, NULL, set_up, test_bad_requests,
		   tear_down);
	g_test_add("/http/many-clients", struct fixture, NULL, set_up, test_many_clients,
		   tear_down);
	g_test_add("/http/bad-places", struct fixture, NULL, set_up, test_bad_places, tear_down);
	return g_test_run();
}

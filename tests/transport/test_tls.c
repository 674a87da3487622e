/* SPDX-License-Identifier: MIT */
/* TLS and DTLS sessions of collector.c against openssl's and GnuTLS's own servers. */
#include "config.h"

#include <dlfcn.h>
#include <errno.h>
#include <glib.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "collector_private.h"
#include "harness.h"
#include "tools.h"

#define HEARTBEAT 24 /* content type, RFC 6520 3 */

static char *folder;
static int send_error; /* 0: none */
static unsigned n_pings, n_pongs;

/* In front of the C library's own. */
ssize_t send(int fd, const void *data, size_t size, int flags)
{
	static ssize_t (*real)(int, const void *, size_t, int);

	if (!real)
		real = dlsym(RTLD_NEXT, "send");
	if (send_error) {
		errno = send_error;
		return -1;
	}
	n_pings += *(const uint8_t *)data == HEARTBEAT;
	return real(fd, data, size, flags);
}

ssize_t recv(int fd, void *data, size_t size, int flags)
{
	static ssize_t (*real)(int, void *, size_t, int);
	ssize_t got;

	if (!real)
		real = dlsym(RTLD_NEXT, "recv");
	got = real(fd, data, size, flags);
	n_pongs += got > 0 && *(uint8_t *)data == HEARTBEAT;
	return got;
}

static char *in_folder(const char *name, const char *suffix)
{
	return *name ? g_strdup_printf("%s/%s%s", folder, name, suffix) : g_strdup("");
}

struct secure {
	struct sender sender;
	struct sink sink;
	struct server server;
	enum transport_kind kind;
	uint16_t port;
	char *certificate, *key, *ca;
};

/* openssl's server with the certificate of that name; asks for ours, and takes no other. */
static void serve(struct secure *s, const char *name, const char *options)
{
	g_autofree char *command = g_strdup_printf(
		"openssl s_server -quiet %s -port %u -cert %s/%s.pem -key %s/%s.key "
		"-CAfile %s/ca.pem -Verify 1 -verify_return_error %s",
		s->kind == TRANSPORT_DTLS ? "-dtls1_2" : "", s->port, folder, name, folder, name,
		folder, options);

	server_start(&s->server, command);
	tools_wait_listener(s->kind == TRANSPORT_DTLS ? SOCK_DGRAM : SOCK_STREAM, s->port);
}

static void begin(struct secure *s, enum transport_kind kind, const char *client)
{
	memset(s, 0, sizeof(*s));
	s->kind = kind;
	s->port = tools_free_port(kind == TRANSPORT_DTLS ? SOCK_DGRAM : SOCK_STREAM);
	s->sink.type = SOCK_STREAM;
	s->sink.listener = s->sink.fd = -1;
	s->sink.stream = g_byte_array_new();
	s->sink.seen = g_array_new(false, true, sizeof(uint8_t));
	s->certificate = in_folder(client, ".pem");
	s->key = in_folder(client, ".key");
	s->ca = in_folder("ca", ".pem");
	sender_init(&s->sender, kind, s->port);
	s->sender.settings.tls = (struct settings_tls){s->ca, s->certificate, s->key, true};
}

static void end(struct secure *s)
{
	sender_clear(&s->sender);
	sink_clear(&s->sink);
	g_free(s->certificate);
	g_free(s->key);
	g_free(s->ca);
}

#define SECURE_UNTIL(s, condition)                                              \
	do {                                                                    \
		uint64_t limit_ = g_get_monotonic_time() + 10 * G_USEC_PER_SEC; \
		while (!(condition)) {                                          \
			work(&(s)->sender, NULL);                               \
			server_read(&(s)->server, &(s)->sink);                  \
			g_assert_cmpuint(g_get_monotonic_time(), <, limit_);    \
		}                                                               \
	} while (0)

struct peer_case {
	const char *path;
	enum transport_kind kind;
	const char *server, *client, *options;
	const char *complaint; /* in the reason, NULL: all is well */
};

static const struct peer_case cases[] = {
	{"/tls13/good", TRANSPORT_TLS, "good", "client", "-tls1_3", NULL},
	{"/tls12/good", TRANSPORT_TLS, "good", "client", "-tls1_2", NULL},
	{"/tls13/no-tickets", TRANSPORT_TLS, "good", "client", "-tls1_3 -num_tickets 0", NULL},
	{"/tls11/refused", TRANSPORT_TLS, "good", "client", "-tls1_1 -cipher ALL:@SECLEVEL=0",
	 "handshake failed"},
	{"/tls/expired", TRANSPORT_TLS, "expired", "client", "", "expired"},
	{"/tls/wrong-name", TRANSPORT_TLS, "wrong-name", "client", "", "name"},
	{"/tls/untrusted", TRANSPORT_TLS, "untrusted", "client", "", "issuer"},
	{"/tls13/stranger", TRANSPORT_TLS, "good", "stranger", "-tls1_3", "says"},
	{"/tls12/stranger", TRANSPORT_TLS, "good", "stranger", "-tls1_2", "says"},
	{"/tls13/no-certificate", TRANSPORT_TLS, "good", "", "-tls1_3", "says"},
	{"/tls12/no-certificate", TRANSPORT_TLS, "good", "", "-tls1_2", "says"},
	{"/tls/null-cipher", TRANSPORT_TLS, "good", "client", "-tls1_2 -cipher eNULL:@SECLEVEL=0",
	 "handshake failed"},
	{"/tls/anonymous", TRANSPORT_TLS, "good", "client",
	 "-nocert -tls1_2 -cipher aNULL:@SECLEVEL=0", "handshake failed"},
	{"/dtls/good", TRANSPORT_DTLS, "good", "client", "", NULL},
	{"/dtls/expired", TRANSPORT_DTLS, "expired", "client", "", "expired"},
	{"/dtls/wrong-name", TRANSPORT_DTLS, "wrong-name", "client", "", "name"},
	{"/dtls/untrusted", TRANSPORT_DTLS, "untrusted", "client", "", "issuer"},
	{"/dtls/stranger", TRANSPORT_DTLS, "good", "stranger", "", "says"},
	{"/dtls/no-certificate", TRANSPORT_DTLS, "good", "", "", "says"},
};

static void test_case(const void *data)
{
	const struct peer_case *c = data;
	struct secure s;

	begin(&s, c->kind, c->client);
	serve(&s, c->server, c->options);
	sender_start(&s.sender);
	sender_give(&s.sender, 40);
	if (!c->complaint) {
		SECURE_UNTIL(&s, s.sink.n_records == s.sender.n_records);
		SECURE_UNTIL(&s, sender_stats(&s.sender)->queued_messages == 0);
		g_assert_cmpuint(s.sink.n_missing, ==, 0);
		assert_conserved(&s.sender, &s.sink);
	} else {
		SECURE_UNTIL(&s, sender_stats(&s.sender)->failures > 0);
		g_test_message("%s", sender_stats(&s.sender)->last_error);
		g_assert_nonnull(strstr(sender_stats(&s.sender)->last_error, c->complaint));
		/* not one message has left */
		g_assert_cmpuint(sender_stats(&s.sender)->sent_messages, ==, 0);
		g_assert_cmpuint(sender_stats(&s.sender)->queued_flows, ==, s.sender.n_records);
		g_assert_cmpuint(s.sink.n_messages, ==, 0);
	}
	server_stop(&s.server);
	end(&s);
}

/* Much more than the kernel takes at once: records of TLS are finished before the next begins. */
static void test_bulk(void)
{
	struct secure s;

	begin(&s, TRANSPORT_TLS, "client");
	serve(&s, "good", "");
	sender_start(&s.sender);
	sender_give(&s.sender, 8000);
	SECURE_UNTIL(&s, s.sink.n_records == s.sender.n_records);
	SECURE_UNTIL(&s, sender_stats(&s.sender)->queued_messages == 0);
	g_assert_cmpuint(s.sink.n_missing, ==, 0);
	g_assert_cmpuint(sender_lost(&s.sender), ==, 0);
	assert_conserved(&s.sender, &s.sink);
	server_stop(&s.server);
	end(&s);
}

/* The server is killed and started again: what it had not acknowledged comes again, templates
 * first. */
static void test_tls_restart(void)
{
	struct secure s;

	use_moving_clock();
	begin(&s, TRANSPORT_TLS, "client");
	serve(&s, "good", "");
	sender_start(&s.sender);
	sender_give(&s.sender, 40);
	SECURE_UNTIL(&s, s.sink.n_records == s.sender.n_records);
	SECURE_UNTIL(&s, sender_stats(&s.sender)->queued_messages == 0);
	server_stop(&s.server);
	SECURE_UNTIL(&s, !sender_stats(&s.sender)->up);
	sender_give(&s.sender, 40);
	sink_new_session(&s.sink);
	serve(&s, "good", "");
	move_clock(&s.sender, 70 * NSEC_PER_SEC);
	SECURE_UNTIL(&s, s.sink.n_records == s.sender.n_records);
	SECURE_UNTIL(&s, sender_stats(&s.sender)->queued_messages == 0);
	g_assert_cmpuint(s.sink.n_missing, ==, 0);
	assert_conserved(&s.sender, &s.sink);
	server_stop(&s.server);
	end(&s);
	clock_set_source(NULL);
}

/* openssl has no heartbeat: the session is made anew after the refresh interval at the latest. */
static void test_dtls_restart(void)
{
	struct secure s;
	uint64_t before;

	use_moving_clock();
	begin(&s, TRANSPORT_DTLS, "client");
	serve(&s, "good", "");
	sender_start(&s.sender);
	sender_give(&s.sender, 40);
	SECURE_UNTIL(&s, s.sink.n_records == s.sender.n_records);
	server_stop(&s.server);
	sink_new_session(&s.sink);
	serve(&s, "good", "");
	before = sender_stats(&s.sender)->sessions;
	move_clock(&s.sender, 61 * NSEC_PER_SEC);
	SECURE_UNTIL(&s, sender_stats(&s.sender)->sessions > before);
	before = s.sink.n_records;
	sender_give(&s.sender, 40);
	SECURE_UNTIL(&s, s.sink.n_records == before + 40 * RECORDS_PER_MESSAGE);
	assert_conserved(&s.sender, &s.sink);
	server_stop(&s.server);
	end(&s);
	clock_set_source(NULL);
}

/* A session with heartbeats; false: the test is skipped. */
static bool begin_heartbeats(struct secure *s)
{
	g_autofree char *command = NULL, *found = NULL;

	found = g_find_program_in_path("gnutls-serv");
	if (!found) {
		g_test_skip("gnutls-serv is not installed (package gnutls-bin)");
		return false;
	}
	use_moving_clock();
	begin(s, TRANSPORT_DTLS, "client");
	command = g_strdup_printf("gnutls-serv --udp --heartbeat --echo -p %u --x509certfile "
				  "%s/good.pem --x509keyfile %s/good.key --x509cafile %s/ca.pem "
				  "--require-client-cert",
				  s->port, folder, folder, folder);
	server_start(&s->server, command);
	tools_wait_listener(SOCK_DGRAM, s->port);
	sender_start(&s->sender);
	WORK_UNTIL(&s->sender, NULL, sender_stats(&s->sender)->up);
	WORK_UNTIL(&s->sender, NULL, sender_stats(&s->sender)->queued_messages == 0);
	n_pings = n_pongs = 0;
	return true;
}

static void end_heartbeats(struct secure *s)
{
	server_stop(&s->server);
	end(s);
	clock_set_source(NULL);
}

/* With heartbeats: answered for minutes the session lives on; a silent peer ends it. */
static void test_dtls_heartbeat(void)
{
	struct secure s;

	if (!begin_heartbeats(&s))
		return;
	for (int i = 0; i < 40; i++) {
		move_clock(&s.sender, 5 * NSEC_PER_SEC);
		for (int j = 0; j < 20; j++) {
			work(&s.sender, NULL);
			g_usleep(500);
		}
	}
	g_assert_true(sender_stats(&s.sender)->up);
	g_assert_cmpuint(sender_stats(&s.sender)->sessions, ==, 1);
	kill(s.server.pid, SIGSTOP);
	for (int i = 0; i < 5; i++) {
		move_clock(&s.sender, 5 * NSEC_PER_SEC);
		work(&s.sender, NULL);
	}
	WORK_UNTIL(&s.sender, NULL, !sender_stats(&s.sender)->up);
	g_assert_nonnull(strstr(sender_stats(&s.sender)->last_error, "heartbeat"));
	end_heartbeats(&s);
}

static void assert_answered(struct secure *s, int n_beats)
{
	for (int i = 0; i < n_beats; i++) {
		unsigned before = n_pings;

		move_clock(&s->sender, 5 * NSEC_PER_SEC);
		WORK_UNTIL(&s->sender, NULL, n_pings > before && n_pongs == n_pings);
	}
	g_assert_true(sender_stats(&s->sender)->up);
	g_assert_cmpuint(sender_stats(&s->sender)->sessions, ==, 1);
}

/* Nothing is due but the room. */
static void assert_waits(struct secure *s)
{
	const struct transport *transport = s->sender.collector->transport;

	for (int i = 0; i < 4; i++) {
		move_clock(&s->sender, 3 * NSEC_PER_SEC);
		g_assert_true(transport->want & POLLOUT);
		g_assert_cmpuint(transport->wake_ns, ==, 0);
	}
}

/* The socket has no room for more than one heartbeat: amid a record, amid a heartbeat. */
static void test_dtls_no_room(void)
{
	struct secure s;

	if (!begin_heartbeats(&s))
		return;
	send_error = EAGAIN;
	move_clock(&s.sender, 5 * NSEC_PER_SEC);
	assert_waits(&s);
	send_error = 0;
	assert_answered(&s, 5);
	send_error = EAGAIN;
	sender_give(&s.sender, 1);
	assert_waits(&s);
	send_error = 0;
	WORK_UNTIL(&s.sender, NULL, sender_stats(&s.sender)->queued_messages == 0);
	assert_answered(&s, 5);
	/* what is left of a heartbeat goes with its session */
	send_error = EAGAIN;
	move_clock(&s.sender, 5 * NSEC_PER_SEC);
	send_error = 0;
	n_pings = 0;
	session_end(s.sender.collector);
	g_assert_cmpuint(n_pings, ==, 0);
	end_heartbeats(&s);
}

/* A heartbeat meets the error that a datagram before it has left behind. */
static void test_dtls_too_large(void)
{
	struct secure s;

	if (!begin_heartbeats(&s))
		return;
	assert_answered(&s, 2);
	send_error = EMSGSIZE;
	move_clock(&s.sender, 5 * NSEC_PER_SEC);
	g_assert_true(sender_stats(&s.sender)->up);
	send_error = 0;
	assert_answered(&s, 5);
	end_heartbeats(&s);
}

/* What --check and start say of files that do not load. */
static void test_check(void)
{
	g_autoptr(GError) error = NULL;
	struct secure s;

	begin(&s, TRANSPORT_TLS, "client");
	sender_start(&s.sender);
	g_assert_true(transport_check(&s.sender.settings, &error));
	g_assert_no_error(error);
	s.sender.settings.tls.ca = (char *)"/nonexistent/ca.pem";
	g_assert_false(transport_check(&s.sender.settings, &error));
	g_assert_nonnull(strstr(error->message, "tls.ca /nonexistent/ca.pem"));
	g_clear_error(&error);
	s.sender.settings.tls.ca = s.ca;
	chmod(s.key, 0644);
	g_assert_false(transport_check(&s.sender.settings, &error));
	g_assert_nonnull(strstr(error->message, "chmod"));
	chmod(s.key, 0600);
	g_clear_error(&error);
	s.sender.settings.tls.key = s.ca;
	g_assert_false(transport_check(&s.sender.settings, &error));
	g_assert_nonnull(strstr(error->message, "tls.key"));
	s.sender.settings.tls.key = s.key;
	end(&s);
}

int main(int argc, char **argv)
{
	int status;

	g_test_init(&argc, &argv, NULL);
	folder = tools_make_certificates();
	if (!folder) {
		printf("1..0 # SKIP openssl is not installed\n");
		return 77;
	}
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
		g_test_add_data_func(cases[i].path, &cases[i], test_case);
	g_test_add_func("/tls/bulk", test_bulk);
	g_test_add_func("/tls/restart", test_tls_restart);
	g_test_add_func("/dtls/restart", test_dtls_restart);
	g_test_add_func("/dtls/heartbeat", test_dtls_heartbeat);
	g_test_add_func("/dtls/no-room", test_dtls_no_room);
	g_test_add_func("/dtls/too-large", test_dtls_too_large);
	g_test_add_func("/tls/check", test_check);
	status = g_test_run();
	tools_remove_folder(folder);
	return status;
}

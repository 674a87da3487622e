/* SPDX-License-Identifier: MIT */
/*
 * dtls_sink [--heartbeat] PORT CERTIFICATE KEY FILE: a collector over DTLS 1.2 for sessions that
 * break off at any moment. A peer that begins anew from the same address and port gets a new
 * association (RFC 6347 4.2.8). Records what arrives as strict.py does, a session per association;
 * says "ready" when it listens; at SIGTERM takes what is there and ends.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/dtls.h>
#include <gnutls/gnutls.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PEERS_MAX      4096
#define RECEIVE_BUFFER (64 << 20)
#define MTU	       1400

/* DTLS record header (13 octets), handshake header (12), version (2), random: RFC 6347 4.1, 4.2.2
 */
#define CONTENT_HANDSHAKE 22
#define CLIENT_HELLO	  1
#define AT_EPOCH	  3
#define AT_HANDSHAKE_TYPE 13
#define AT_RANDOM	  27
#define RANDOM_SIZE	  32

struct peer {
	struct sockaddr_in address;
	uint8_t random[RANDOM_SIZE]; /* by which a client hello is known that came before */
	gnutls_session_t session;
	uint32_t number;
	bool shaken;
};

static struct peer peers[PEERS_MAX];
static unsigned int n_peers;
static uint32_t n_sessions;
static int server;
static FILE *recording;
static gnutls_certificate_credentials_t credentials;
static bool heartbeat;

/* the datagram that is being read */
static uint8_t datagram[65536];
static ssize_t datagram_size;

static void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static void check(int code, const char *what)
{
	if (code >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, gnutls_strerror(code));
	exit(1);
}

static ssize_t push(gnutls_transport_ptr_t user, const void *data, size_t size)
{
	const struct peer *peer = user;

	return sendto(server, data, size, 0, (const struct sockaddr *)&peer->address,
		      sizeof(peer->address));
}

static ssize_t pull(gnutls_transport_ptr_t user, void *data, size_t size)
{
	const struct peer *peer = user;

	if (datagram_size == 0) {
		gnutls_transport_set_errno(peer->session, EAGAIN);
		return -1;
	}
	if (size > (size_t)datagram_size)
		size = datagram_size;
	memcpy(data, datagram, size);
	datagram_size = 0;
	return size;
}

static int pull_timeout(gnutls_transport_ptr_t user, unsigned int timeout_ms)
{
	(void)user;
	(void)timeout_ms;
	return datagram_size > 0;
}

static struct peer *find_peer(const struct sockaddr_in *address)
{
	for (unsigned int i = n_peers; i-- > 0;)
		if (peers[i].address.sin_port == address->sin_port &&
		    peers[i].address.sin_addr.s_addr == address->sin_addr.s_addr)
			return &peers[i];
	if (n_peers == PEERS_MAX) {
		fprintf(stderr, "too many peers\n");
		exit(1);
	}
	peers[n_peers].address = *address;
	return &peers[n_peers++];
}

static bool is_client_hello(void)
{
	return datagram_size >= AT_RANDOM + RANDOM_SIZE && datagram[0] == CONTENT_HANDSHAKE &&
	       datagram[AT_EPOCH] == 0 && datagram[AT_EPOCH + 1] == 0 &&
	       datagram[AT_HANDSHAKE_TYPE] == CLIENT_HELLO;
}

/* A session of its own for each client hello that is no repetition. */
static void begin_anew(struct peer *peer)
{
	if (peer->session) {
		if (memcmp(peer->random, datagram + AT_RANDOM, RANDOM_SIZE) == 0)
			return;
		gnutls_deinit(peer->session);
	}
	memcpy(peer->random, datagram + AT_RANDOM, RANDOM_SIZE);
	peer->shaken = false;
	check(gnutls_init(&peer->session, GNUTLS_SERVER | GNUTLS_DATAGRAM | GNUTLS_NONBLOCK),
	      "session");
	check(gnutls_priority_set_direct(peer->session, "NORMAL:-VERS-ALL:+VERS-DTLS1.2", NULL),
	      "priority");
	check(gnutls_credentials_set(peer->session, GNUTLS_CRD_CERTIFICATE, credentials),
	      "credentials");
	gnutls_transport_set_ptr(peer->session, peer);
	gnutls_transport_set_push_function(peer->session, push);
	gnutls_transport_set_pull_function(peer->session, pull);
	gnutls_transport_set_pull_timeout_function(peer->session, pull_timeout);
	gnutls_dtls_set_mtu(peer->session, MTU);
	if (heartbeat)
		gnutls_heartbeat_enable(peer->session, GNUTLS_HB_PEER_ALLOWED_TO_SEND);
}

static void record(const struct peer *peer, const uint8_t *message, uint32_t size)
{
	struct timespec now;
	uint64_t now_ns;

	clock_gettime(CLOCK_REALTIME, &now);
	now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	fwrite(&now_ns, sizeof(now_ns), 1, recording);
	fwrite(&peer->number, sizeof(peer->number), 1, recording);
	fwrite(&size, sizeof(size), 1, recording);
	fwrite(message, size, 1, recording);
}

static void shake(struct peer *peer)
{
	if (gnutls_handshake(peer->session) != GNUTLS_E_SUCCESS)
		return; /* the client repeats what is lost, or begins anew */
	peer->shaken = true;
	peer->number = n_sessions++;
}

static void take(struct peer *peer)
{
	uint8_t message[65536];
	ssize_t size;

	do {
		size = gnutls_record_recv(peer->session, message, sizeof(message));
		if (size > 0)
			record(peer, message, size);
		else if (size == GNUTLS_E_HEARTBEAT_PING_RECEIVED)
			gnutls_heartbeat_pong(peer->session, 0);
	} while (size > 0 || size == GNUTLS_E_HEARTBEAT_PING_RECEIVED);
}

static bool step(void)
{
	struct sockaddr_in from;
	socklen_t length = sizeof(from);
	struct peer *peer;

	datagram_size = recvfrom(server, datagram, sizeof(datagram), MSG_DONTWAIT,
				 (struct sockaddr *)&from, &length);
	if (datagram_size < 0)
		return false;
	peer = find_peer(&from);
	if (is_client_hello())
		begin_anew(peer);
	if (!peer->session)
		return true;
	if (!peer->shaken)
		shake(peer);
	else
		take(peer);
	return true;
}

static void listen_on(uint16_t port)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_port = htons(port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int size = RECEIVE_BUFFER;

	server = socket(AF_INET, SOCK_DGRAM, 0);
	if (server < 0 || bind(server, (struct sockaddr *)&at, sizeof(at)))
		die("socket");
	setsockopt(server, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
}

static void serve(void)
{
	struct pollfd ready[2] = {{.fd = server, .events = POLLIN}, {.events = POLLIN}};
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	ready[1].fd = signalfd(-1, &signals, 0);
	puts("ready");
	fflush(stdout);
	while (!(ready[1].revents & POLLIN)) {
		if (poll(ready, 2, -1) < 0)
			die("poll");
		while (step())
			;
	}
}

int main(int argc, char **argv)
{
	heartbeat = argc > 1 && strcmp(argv[1], "--heartbeat") == 0;
	argv += heartbeat;
	if (argc - heartbeat != 5) {
		fprintf(stderr, "usage: dtls_sink [--heartbeat] PORT CERTIFICATE KEY FILE\n");
		return 1;
	}
	check(gnutls_certificate_allocate_credentials(&credentials), "credentials");
	check(gnutls_certificate_set_x509_key_file(credentials, argv[2], argv[3],
						   GNUTLS_X509_FMT_PEM),
	      argv[2]);
	recording = fopen(argv[4], "wb");
	if (!recording)
		die(argv[4]);
	fputs("strict1\n", recording);
	listen_on(strtoul(argv[1], NULL, 10));
	serve();
	return fclose(recording) ? 1 : 0;
}

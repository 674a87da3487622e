/* SPDX-License-Identifier: MIT */
/*
 * A collector for floods: reads IPFIX and NetFlow v9 as fast as they come and keeps sums only. It
 * shares no code with the exporter. Templates are kept per session, sequence numbers are followed,
 * so that what the wire lost is known to the record (v9: to the message). Prints JSON at SIGTERM,
 * once nothing more is waiting. strict.py is the one that looks at every octet.
 */
#include "config.h"

#include "tests/tools/tally.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <glib.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BATCH	    64
#define MAX_CLIENTS 64

static volatile sig_atomic_t stopping;

static void die(const char *what)
{
	fprintf(stderr, "tally: %s: %s\n", what, strerror(errno));
	exit(2);
}

static uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * NSEC_PER_SEC + now.tv_nsec;
}

/* ---- sockets */

static struct session *session_of(GPtrArray *sessions, const struct sockaddr_storage *peer)
{
	struct session *s;

	for (guint i = sessions->len; i-- > 0;) {
		s = g_ptr_array_index(sessions, i);
		if (!memcmp(&s->peer, peer, sizeof(*peer)))
			return s;
	}
	s = session_new(peer, -1);
	g_ptr_array_add(sessions, s);
	return s;
}

/* The kernel's time: that we were late is not the exporter's fault. */
static uint64_t time_of(struct msghdr *header)
{
	struct timespec when;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS) {
			memcpy(&when, CMSG_DATA(c), sizeof(when));
			return when.tv_sec * NSEC_PER_SEC + when.tv_nsec;
		}
	return clock_ns();
}

/* Datagrams that were there. */
static int take_datagrams(int fd, GPtrArray *sessions)
{
	static uint8_t data[BATCH][MESSAGE_MAX];
	static char control[BATCH][CMSG_SPACE(sizeof(struct timespec))];
	struct sockaddr_storage peer[BATCH] = {0};
	struct mmsghdr messages[BATCH] = {0};
	struct iovec iov[BATCH];
	int n;

	for (int i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){data[i], MESSAGE_MAX};
		messages[i].msg_hdr = (struct msghdr){.msg_name = &peer[i],
						      .msg_namelen = sizeof(peer[i]),
						      .msg_iov = &iov[i],
						      .msg_iovlen = 1,
						      .msg_control = control[i],
						      .msg_controllen = sizeof(control[i])};
	}
	n = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++) {
		arrived(time_of(&messages[i].msg_hdr));
		read_message(session_of(sessions, &peer[i]), data[i], messages[i].msg_len);
	}
	return MAX(n, 0);
}

static void take_stream(struct session *s)
{
	size_t at = 0;

	while (s->n_held - at >= 4) {
		size_t length = MAX(number(s->held + at + 2, 2), 4);

		if (s->n_held - at < length)
			break;
		read_message(s, s->held + at, length);
		at += length;
	}
	s->n_held -= at;
	memmove(s->held, s->held + at, s->n_held);
}

/* Returns whether there may be more. */
static bool read_stream(GPtrArray *sessions, struct session *s)
{
	ssize_t n = recv(s->fd, s->held + s->n_held, 2 * MESSAGE_MAX - s->n_held, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		g_ptr_array_remove(sessions, s);
		return true;
	}
	arrived(clock_ns());
	s->n_held += n;
	take_stream(s);
	return true;
}

static void take_client(int fd, GPtrArray *sessions)
{
	struct sockaddr_storage peer = {0};
	int client = accept(fd, (struct sockaddr *)&peer, &(socklen_t){sizeof(peer)});

	if (client >= 0 && sessions->len == MAX_CLIENTS)
		close(client);
	else if (client >= 0)
		g_ptr_array_add(sessions, session_new(&peer, client));
}

static int take_streams(int fd, GPtrArray *sessions, const struct pollfd *polled, int n_polled)
{
	int n = 0;

	for (int i = n_polled - 1; i > 0; i--)
		if (polled[i].revents)
			n += read_stream(sessions, g_ptr_array_index(sessions, i - 1));
	if (polled[0].revents) {
		take_client(fd, sessions);
		n++;
	}
	return n;
}

static int open_socket(bool tcp, const char *address, uint16_t port, int size)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	bool v6 = strchr(address, ':');
	int fd = socket(v6 ? AF_INET6 : AF_INET, tcp ? SOCK_STREAM : SOCK_DGRAM, 0), one = 1;

	if (fd < 0 || inet_pton(v6 ? AF_INET6 : AF_INET, address,
				v6 ? (void *)&in6.sin6_addr : (void *)&in.sin_addr) != 1)
		die(address);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one));
	if (size)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (bind(fd, v6 ? (struct sockaddr *)&in6 : (struct sockaddr *)&in,
		 v6 ? sizeof(in6) : sizeof(in)))
		die("bind");
	if (tcp && listen(fd, 16))
		die("listen");
	return fd;
}

static void on_stop(int signal)
{
	stopping = 1;
}

static void tally(int fd, bool tcp)
{
	GPtrArray *sessions = g_ptr_array_new_with_free_func(session_free);

	printf("ready\n");
	fflush(stdout);
	for (;;) {
		struct pollfd polled[MAX_CLIENTS + 1] = {{.fd = fd, .events = POLLIN}};
		int n_polled = 1, n;

		for (guint i = 0; tcp && i < sessions->len; i++) {
			const struct session *s = g_ptr_array_index(sessions, i);

			polled[n_polled++] = (struct pollfd){.fd = s->fd, .events = POLLIN};
		}
		n = poll(polled, n_polled, stopping ? 0 : 100);
		if (n <= 0 && stopping)
			break;
		if (n > 0 && tcp)
			take_streams(fd, sessions, polled, n_polled);
		else if (n > 0)
			take_datagrams(fd, sessions);
	}
	g_ptr_array_unref(sessions);
}

/* An IPFIX file (RFC 5655): one message after the other. */
static void tally_file(const char *path)
{
	struct session *s = session_new(&(struct sockaddr_storage){0}, -1);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat status;
	const uint8_t *data;
	size_t at = 0, size;

	if (fd < 0 || fstat(fd, &status))
		die(path);
	size = status.st_size;
	data = size ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
	if (data == MAP_FAILED)
		die(path);
	while (size - at >= 4) {
		size_t length = number(data + at + 2, 2);

		if (length < 16 || length > size - at)
			break;
		arrived(number(data + at + 4, 4) * NSEC_PER_SEC);
		read_message(s, data + at, length);
		at += length;
	}
	if (at < size)
		error("the file ends in a message");
	session_free(s);
}

/* ---- command line */

static void usage(const char *what)
{
	fprintf(stderr,
		"tally: %s\n"
		"usage: tally udp|tcp ADDRESS PORT [options] | tally file FILE [options]\n"
		"  --buffer OCTETS  receive buffer (default: the system's)\n"
		"  --src NET/BITS   flows from there one by one, up to %d times\n"
		"  --active MS, --idle MS  the exporter's timeouts, to tell late records\n",
		what, MAX_NETS);
	exit(2);
}

static guint flow_hash(gconstpointer data)
{
	const uint8_t *octets = data;
	guint h = 2166136261u;

	for (size_t i = 0; i < sizeof(struct flow_key); i++)
		h = (h ^ octets[i]) * 16777619u;
	return h;
}

static gboolean flow_equal(gconstpointer a, gconstpointer b)
{
	return !memcmp(a, b, sizeof(struct flow_key));
}

static void add_net(const char *text)
{
	struct net *net = &nets[n_nets];
	g_autofree char *address = g_strdup(text);
	char *bits = strchr(address, '/');

	if (n_nets++ == MAX_NETS || !bits)
		usage("bad --src");
	*bits++ = '\0';
	net->text = text;
	net->family = strchr(address, ':') ? AF_INET6 : AF_INET;
	net->bits = atoi(bits);
	net->late_ms = INT64_MIN;
	if (inet_pton(net->family, address, net->address) != 1)
		usage("bad --src");
	net->flows = g_hash_table_new_full(flow_hash, flow_equal, NULL, g_free);
}

static void print_net(const struct net *net, bool last)
{
	uint64_t low = UINT64_MAX, high = 0;
	GHashTableIter iter;
	struct flow *flow;

	g_hash_table_iter_init(&iter, net->flows);
	while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&flow)) {
		low = MIN(low, flow->packets);
		high = MAX(high, flow->packets);
	}
	printf("\"%s\": {\"records\": %lu, \"flows\": %u, \"packets\": %lu, \"octets\": %lu, "
	       "\"flow_packets_min\": %lu, \"flow_packets_max\": %lu, \"late_ms\": %ld, "
	       "\"pause_ms\": %lu}%s",
	       net->text, net->records, g_hash_table_size(net->flows), net->packets, net->octets,
	       high ? low : 0, high, net->records ? net->late_ms : 0, net->pause_ns / 1000000,
	       last ? "" : ", ");
}

static void print_report(void)
{
	printf("{\"messages\": %lu, \"records\": %lu, \"flow_records\": %lu, \"templates\": %lu, "
	       "\"packets\": %lu, \"octets\": %lu, \"sequence_gaps\": %lu, \"missing\": %lu, "
	       "\"sessions\": %lu, \"most_per_second\": %lu, \"span_ms\": %lu, \"errors\": %lu, "
	       "\"first_error\": \"%s\", \"networks\": {",
	       total.messages, total.records, total.flows, total.templates, total.packets,
	       total.octets, total.gaps, total.missing, total.sessions, total.most_per_second,
	       (total.last_ns - total.first_ns) / 1000000, total.errors, total.first_error);
	for (int i = 0; i < n_nets; i++)
		print_net(&nets[i], i + 1 == n_nets);
	printf("}}\n");
}

int main(int argc, char **argv)
{
	static const struct option names[] = {
		{"buffer", 1, 0, 'b'},
		{"src", 1, 0, 's'},
		{"active", 1, 0, 'a'},
		{"idle", 1, 0, 'i'},
		{0},
	};
	int c, size = 0;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		if (c == 'b')
			size = atoi(optarg);
		else if (c == 's')
			add_net(optarg);
		else if (c == 'a')
			active_ms = atoll(optarg);
		else if (c == 'i')
			idle_ms = atoll(optarg);
		else
			usage("unknown option");
	}
	argv += optind;
	argc -= optind;
	if (argc == 2 && !strcmp(argv[0], "file")) {
		tally_file(argv[1]);
	} else if (argc == 3 && (!strcmp(argv[0], "udp") || !strcmp(argv[0], "tcp"))) {
		bool tcp = !strcmp(argv[0], "tcp");
		struct sigaction action = {.sa_handler = on_stop};

		sigaction(SIGTERM, &action, NULL);
		tally(open_socket(tcp, argv[1], atoi(argv[2]), size), tcp);
	} else {
		usage("what to read?");
	}
	print_report();
	return total.errors > 0;
}

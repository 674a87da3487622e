/* SPDX-License-Identifier: MIT */
/*
 * The rows of all transports, what this system offers of them, and what their sockets have in
 * common. Above: collector.c; below: transport_*.c, one per row.
 */
#include "config.h"

#include "transport.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/errqueue.h>
#include <linux/types.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "transport_private.h"

#define DISCARD_MAX	65536
#define UDP_HEADERS_V4	28 /* IPv4 and UDP */
#define UDP_HEADERS_V6	48
#define PAYLOAD_UNKNOWN 512 /* RFC 7011 10.3.3 */

G_DEFINE_QUARK(bpflowd - transport - error, transport_error)

#ifndef WITH_TLS
static struct transport *open_without_tls(const struct settings_collector *collector,
					  const struct sockaddr *address, socklen_t length,
					  GError **error)
{
	transport_available(collector->transport, error);
	return NULL;
}

static const struct transport_ops transport_tls = {
	.open = open_without_tls,
};

static const struct transport_ops transport_dtls = {
	.templates_expire = true,
	.open = open_without_tls,
};
#endif

static const struct transport_ops *const rows[] = {
	[TRANSPORT_UDP] = &transport_udp,   [TRANSPORT_TCP] = &transport_tcp,
	[TRANSPORT_SCTP] = &transport_sctp, [TRANSPORT_TLS] = &transport_tls,
	[TRANSPORT_DTLS] = &transport_dtls, [TRANSPORT_FILE] = &transport_file,
};

const struct transport_ops *transport_ops(enum transport_kind kind)
{
	return rows[kind];
}

bool transport_available(enum transport_kind kind, GError **error)
{
#ifndef WITH_TLS
	if (kind == TRANSPORT_TLS || kind == TRANSPORT_DTLS) {
		g_set_error_literal(error, TRANSPORT_ERROR, EPROTONOSUPPORT,
				    "built without TLS; use a build configured with TLS");
		return false;
	}
#endif
	if (kind != TRANSPORT_SCTP)
		return true;

	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_SCTP);

	if (fd < 0) {
		g_set_error(error, TRANSPORT_ERROR, errno,
			    "the kernel offers no SCTP (%s); load the module sctp or use "
			    "transport: tcp",
			    g_strerror(errno));
		return false;
	}
	close(fd);
	return true;
}

/* Lower ports are for who has CAP_NET_BIND_SERVICE, which the running daemon gives up. 0 if it
 * can't be told. */
static uint16_t first_free_port(void)
{
	g_autofree char *text = NULL;

	if (!g_file_get_contents("/proc/sys/net/ipv4/ip_unprivileged_port_start", &text, NULL,
				 NULL))
		return 0;
	return (uint16_t)g_ascii_strtoull(text, NULL, 10);
}

static bool refuse_port(GError **error, uint16_t port)
{
	uint16_t first = first_free_port();

	g_set_error(error, TRANSPORT_ERROR, EINVAL,
		    "%u: ports below %u need a privilege that the running daemon gives up; write "
		    "a higher one, or 0 for any",
		    port, first ? first : IPPORT_RESERVED);
	return false;
}

/* Who has the privilege still must not be asked by an attempt: at --check, and before it is given
 * up. Where the kernel's limit is hidden, may_bind tells later. */
static bool port_is_free(const struct settings_collector *collector, GError **error)
{
	if (!collector->source_port || collector->source_port >= first_free_port())
		return true;
	return refuse_port(error, collector->source_port);
}

/* Every protocol asks for the same privilege; a port that is taken is another matter. */
static bool may_bind(const struct settings_collector *collector, GError **error)
{
	const struct sockaddr_in address = {.sin_family = AF_INET,
					    .sin_port = htons(collector->source_port)};
	bool may;
	int fd;

	if (!collector->source_port)
		return true;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return true;
	may = bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 || errno != EACCES;
	close(fd);
	return may || refuse_port(error, collector->source_port);
}

bool transport_probe(const struct settings_collector *collector, const char **key, GError **error)
{
	const struct transport_ops *ops = transport_ops(collector->transport);

	*key = "transport";
	if (!transport_available(collector->transport, error))
		return false;
	*key = "source_port";
	if (!port_is_free(collector, error))
		return false;
	return !ops->probe || ops->probe(collector, key, error);
}

bool transport_check(const struct settings_collector *collector, GError **error)
{
	const struct transport_ops *ops = transport_ops(collector->transport);
	const char *key;

	if (!transport_available(collector->transport, error))
		return false;
	if (!may_bind(collector, error)) {
		g_prefix_error(error, "source_port ");
		return false;
	}
	if (ops->probe && !ops->probe(collector, &key, error)) {
		g_prefix_error(error, "%s ", key);
		return false;
	}
	return !ops->check || ops->check(collector, error);
}

static bool parse_source(const struct settings_collector *collector, int family,
			 struct sockaddr_storage *source, socklen_t *length, GError **error)
{
	struct addrinfo hints = {.ai_family = family, .ai_flags = AI_NUMERICHOST | AI_PASSIVE};
	struct addrinfo *found;
	bool any = !collector->source || !*collector->source;

	hints.ai_socktype = SOCK_STREAM;
	if (getaddrinfo(any ? NULL : collector->source, any ? "0" : NULL, &hints, &found)) {
		g_set_error(error, TRANSPORT_ERROR, EAFNOSUPPORT,
			    "source %s is no IPv%d address, as the collector's is",
			    collector->source, family == AF_INET ? 4 : 6);
		return false;
	}
	memcpy(source, found->ai_addr, found->ai_addrlen);
	*length = found->ai_addrlen;
	freeaddrinfo(found);
	/* at the same place in both families */
	((struct sockaddr_in *)source)->sin_port = htons(collector->source_port);
	return true;
}

static bool bind_source(int fd, const struct settings_collector *collector, int family,
			GError **error)
{
	struct sockaddr_storage source;
	socklen_t length;
	int on = 1;

	if (!collector->source_port && (!collector->source || !*collector->source))
		return true;
	if (!parse_source(collector, family, &source, &length, error))
		return false;
	if (collector->source_port)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&source, length) == 0)
		return true;
	transport_set_error(error, errno, "can't bind to the source address");
	return false;
}

int transport_socket(const struct settings_collector *collector, const struct sockaddr *address,
		     int type, int protocol, GError **error)
{
	int fd = socket(address->sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);

	if (fd < 0) {
		transport_set_error(error, errno, "can't make a socket");
		return -1;
	}
	if (bind_source(fd, collector, address->sa_family, error))
		return fd;
	close(fd);
	return -1;
}

bool transport_datagram_options(int fd, int family, GError **error)
{
	bool v4 = family == AF_INET;
	int on = 1, discover = v4 ? IP_PMTUDISC_DO : IPV6_PMTUDISC_DO;
	int level = v4 ? IPPROTO_IP : IPPROTO_IPV6;

	/* without RECVERR a datagram that the local queue drops counts as sent */
	if (setsockopt(fd, level, v4 ? IP_RECVERR : IPV6_RECVERR, &on, sizeof(on)) == 0 &&
	    setsockopt(fd, level, v4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER, &discover,
		       sizeof(discover)) == 0)
		return true;
	transport_set_error(error, errno, "can't set socket options");
	return false;
}

uint32_t transport_path_payload(int fd, int family)
{
	bool v4 = family == AF_INET;
	int headers = v4 ? UDP_HEADERS_V4 : UDP_HEADERS_V6;
	int mtu = 0;
	socklen_t length = sizeof(mtu);

	if (getsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_MTU : IPV6_MTU, &mtu, &length) ||
	    mtu <= headers)
		return PAYLOAD_UNKNOWN - headers;
	/* loopback has an MTU that no IPv4 datagram can fill */
	return MIN(mtu, 65535) - headers;
}

static const struct sock_extended_err *extended_error(struct msghdr *message)
{
	struct cmsghdr *at;

	for (at = CMSG_FIRSTHDR(message); at; at = CMSG_NXTHDR(message, at))
		if ((at->cmsg_level == IPPROTO_IP && at->cmsg_type == IP_RECVERR) ||
		    (at->cmsg_level == IPPROTO_IPV6 && at->cmsg_type == IPV6_RECVERR))
			return (const struct sock_extended_err *)CMSG_DATA(at);
	return NULL;
}

int transport_read_errors(struct transport *transport)
{
	uint8_t head[64];
	union {
		struct cmsghdr align;
		uint8_t bytes[512];
	} control;
	int n_errors = 0;

	for (;;) {
		struct iovec part = {head, sizeof(head)};
		struct msghdr message = {.msg_iov = &part,
					 .msg_iovlen = 1,
					 .msg_control = &control,
					 .msg_controllen = sizeof(control)};
		ssize_t size = recvmsg(transport->fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT);
		const struct sock_extended_err *cause;

		if (size < 0)
			return n_errors;
		cause = extended_error(&message);
		/* what the local host refused, send itself has reported */
		if (!cause || cause->ee_origin == SO_EE_ORIGIN_LOCAL)
			continue;
		n_errors++;
		if (transport->refused)
			transport->refused(transport->user, cause->ee_errno, head, size);
	}
}

bool transport_error_is_past(int error)
{
	switch (error) {
	case ECONNREFUSED:
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EHOSTDOWN:
	case ENONET:
	case ENOPROTOOPT:
	case EOPNOTSUPP:
	case EPROTO:
	case EACCES:
		return true;
	default:
		return false;
	}
}

int transport_connect_result(int fd)
{
	int result = 0;
	socklen_t length = sizeof(result);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &result, &length))
		return errno;
	return result;
}

int transport_discard(int fd)
{
	uint8_t trash[4096];
	ssize_t size;

	for (size_t total = 0; total < DISCARD_MAX; total += size) {
		size = recv(fd, trash, sizeof(trash), MSG_DONTWAIT);
		if (size == 0)
			return -1;
		if (size < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : errno;
	}
	return 0;
}

void transport_abandon(int fd)
{
	struct linger at_once = {.l_onoff = 1};

	/* if it fails, some may arrive twice */
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

void transport_set_error(GError **error, int code, const char *what)
{
	g_set_error(error, TRANSPORT_ERROR, code, "%s: %s", what, g_strerror(code));
}

uint64_t transport_now_ns(void)
{
	struct clock_now now;

	clock_read(&now);
	return now.mono_ns;
}

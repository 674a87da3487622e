/* SPDX-License-Identifier: MIT */
/* What the transports share among themselves: their rows, sockets, errors. Below: the kernel. */
#ifndef BPFLOWD_TRANSPORT_PRIVATE_H
#define BPFLOWD_TRANSPORT_PRIVATE_H

#include "transport.h"

/* No row of our own is larger than this many messages at a time. */
#define TRANSPORT_BATCH 128

/* Whether UDP may let a device cut packets; a test or a bench may switch it off. */
extern bool transport_udp_segmentation;

extern const struct transport_ops transport_udp;
extern const struct transport_ops transport_tcp;
extern const struct transport_ops transport_sctp;
#ifdef WITH_TLS
extern const struct transport_ops transport_tls;
extern const struct transport_ops transport_dtls;
#endif
extern const struct transport_ops transport_file;

/* A non-blocking socket of the address's family, bound to the collector's source; -1 on failure. */
int transport_socket(const struct settings_collector *collector, const struct sockaddr *address,
		     int type, int protocol, GError **error);

/* Datagrams: never fragments, errors of the path are reported, small receive buffer. */
bool transport_datagram_options(int fd, int family, GError **error);

/* Largest UDP payload of the path of a connected socket. */
uint32_t transport_path_payload(int fd, int family);

/* Reads the socket's error queue until it is empty, tells transport->refused of each. Returns how
 * many there were. */
int transport_read_errors(struct transport *transport);

/* Whether a failed send names a datagram sent before (an ICMP error), not this one. */
bool transport_error_is_past(int error);

/* Result of a non-blocking connect once the socket is writable; 0 or errno. */
int transport_connect_result(int fd);

/* Throws away what the peer sent, 64 KiB at most. 0 is fine, -1 means that it closed, else errno.
 */
int transport_discard(int fd);

/* The close that follows resets the session: the kernel throws away what was not acknowledged. */
void transport_abandon(int fd);

void transport_set_error(GError **error, int code, const char *what);

uint64_t transport_now_ns(void);

static inline size_t transport_message_size(const struct transport_message *message)
{
	return message->part[0].iov_len + message->part[1].iov_len;
}

#endif

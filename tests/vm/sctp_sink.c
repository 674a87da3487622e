/* SPDX-License-Identifier: MIT */
/*
 * A collector over the kernel's SCTP: sctp_sink ADDRESS PORT FILE records what arrives in the form
 * that tests/tools/strict.py reads, one session after the other, until SIGTERM. Prints "ready" when
 * it listens, "session N" for each session, and "wrong: ..." for what IPFIX over one ordered
 * and reliable stream doesn't send (RFC 7011 8.3, 10.2).
 */
#include "config.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/sctp.h> /* leans on those above */

#define MESSAGE_MAX    65535
#define RECEIVE_BUFFER (1 << 16) /* its window closes soon when it is stopped */
#define MAGIC	       "strict1\n"
#define NSEC_PER_SEC   1000000000ull

struct frame {
	uint64_t received_ns;
	uint32_t session;
	uint32_t length;
} __attribute__((packed));

static void die(const char *what)
{
	fprintf(stderr, "sctp_sink: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void leave(int signal_number)
{
	(void)signal_number;
	_exit(0); /* each message was written as it came */
}

static int listen_at(const char *address, const char *port)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
				 .ai_socktype = SOCK_STREAM};
	int on = 1, size = RECEIVE_BUFFER, fd;
	struct addrinfo *found;

	if (getaddrinfo(address, port, &hints, &found))
		die(address);
	fd = socket(found->ai_family, SOCK_STREAM, IPPROTO_SCTP);
	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (setsockopt(fd, IPPROTO_SCTP, SCTP_RECVRCVINFO, &on, sizeof(on)))
		die("SCTP_RECVRCVINFO");
	if (bind(fd, found->ai_addr, found->ai_addrlen) || listen(fd, 8))
		die("listen");
	freeaddrinfo(found);
	return fd;
}

static void inspect(struct msghdr *header, size_t size, const uint8_t *message)
{
	struct cmsghdr *at = CMSG_FIRSTHDR(header);
	struct sctp_rcvinfo info;

	if (size < 4 || (size_t)(message[2] << 8 | message[3]) != size)
		printf("wrong: %zu octets are no one message\n", size);
	if (!at || at->cmsg_level != IPPROTO_SCTP || at->cmsg_type != SCTP_RCVINFO) {
		puts("wrong: the kernel doesn't tell the stream");
		return;
	}
	memcpy(&info, CMSG_DATA(at), sizeof(info));
	if (info.rcv_sid != 0)
		printf("wrong: stream %u\n", info.rcv_sid);
	if (info.rcv_flags & SCTP_UNORDERED)
		puts("wrong: unordered");
}

/* A whole message, of which the kernel hands out parts when its memory is short. */
static ssize_t receive_message(int fd, uint8_t *message, size_t room)
{
	uint8_t control[CMSG_SPACE(sizeof(struct sctp_rcvinfo))];
	size_t size = 0;

	while (size < room) {
		struct iovec part = {message + size, room - size};
		struct msghdr header = {.msg_iov = &part,
					.msg_iovlen = 1,
					.msg_control = control,
					.msg_controllen = sizeof(control)};
		ssize_t more = recvmsg(fd, &header, 0);

		if (more <= 0)
			return more;
		size += more;
		if (header.msg_flags & MSG_EOR) {
			inspect(&header, size, message);
			return size;
		}
	}
	puts("wrong: a message without end");
	return size;
}

/* False at the end of the session. */
static bool receive(int fd, uint32_t session, FILE *file)
{
	static uint8_t message[MESSAGE_MAX + 1];
	ssize_t size = receive_message(fd, message, sizeof(message));
	struct timespec now;
	struct frame frame;

	if (size <= 0) {
		printf("end %u: %s\n", session, size ? strerror(errno) : "closed");
		return false;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	frame.received_ns = now.tv_sec * NSEC_PER_SEC + now.tv_nsec;
	frame.session = session;
	frame.length = size;
	if (fwrite(&frame, sizeof(frame), 1, file) != 1 || fwrite(message, size, 1, file) != 1 ||
	    fflush(file))
		die("write");
	return true;
}

int main(int argc, char **argv)
{
	int listener;
	FILE *file;

	if (argc != 4) {
		fputs("usage: sctp_sink ADDRESS PORT FILE\n", stderr);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGTERM, leave);
	listener = listen_at(argv[1], argv[2]);
	file = fopen(argv[3], "w");
	if (!file || fputs(MAGIC, file) < 0 || fflush(file))
		die(argv[3]);
	puts("ready");
	for (uint32_t session = 1;; session++) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			die("accept");
		printf("session %u\n", session);
		while (receive(fd, session, file))
			continue;
		close(fd);
	}
}

/* SPDX-License-Identifier: MIT */
/*
 * relay INTERFACE1 INTERFACE2 MILLISECONDS: carries frames between two interfaces and holds each
 * for so long. A long line, for kernels without netem. Real-time priority, so that a busy machine
 * does not make it longer.
 */
#include "config.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <arpa/inet.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FRAMES	   4096
#define FRAME_SIZE 2048

struct waiting {
	uint64_t due_ns;
	size_t size;
	int to;
	uint8_t data[FRAME_SIZE];
};

static struct waiting waiting[FRAMES]; /* a ring: all wait equally long */
static unsigned int first, n_waiting;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int open_end(const char *name)
{
	struct sockaddr_ll at = {.sll_family = AF_PACKET,
				 .sll_protocol = htons(ETH_P_ALL),
				 .sll_ifindex = (int)if_nametoindex(name)};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(ETH_P_ALL));

	if (fd < 0 || !at.sll_ifindex || bind(fd, (struct sockaddr *)&at, sizeof(at))) {
		perror(name);
		exit(1);
	}
	return fd;
}

static void take(int from, int to, uint64_t delay_ns)
{
	while (n_waiting < FRAMES) {
		struct waiting *w = &waiting[(first + n_waiting) % FRAMES];
		struct sockaddr_ll at;
		socklen_t size = sizeof(at);
		ssize_t n =
			recvfrom(from, w->data, sizeof(w->data), 0, (struct sockaddr *)&at, &size);

		if (n < 0)
			return;
		if (at.sll_pkttype == PACKET_OUTGOING)
			continue;
		w->due_ns = now_ns() + delay_ns;
		w->size = (size_t)n;
		w->to = to;
		n_waiting++;
	}
}

static void pass_on(void)
{
	while (n_waiting && waiting[first].due_ns <= now_ns()) {
		if (send(waiting[first].to, waiting[first].data, waiting[first].size, 0) < 0 &&
		    errno != ENETDOWN)
			perror("send");
		first = (first + 1) % FRAMES;
		n_waiting--;
	}
}

int main(int argc, char **argv)
{
	struct sched_param priority = {.sched_priority = 10};
	struct pollfd ends[2] = {{.events = POLLIN}, {.events = POLLIN}};
	uint64_t delay_ns;

	if (argc != 4)
		return 1;
	ends[0].fd = open_end(argv[1]);
	ends[1].fd = open_end(argv[2]);
	delay_ns = (uint64_t)(atof(argv[3]) * 1e6);
	sched_setscheduler(0, SCHED_FIFO, &priority);
	puts("ready");
	fflush(stdout);
	for (;;) {
		uint64_t now = now_ns(), due = n_waiting ? waiting[first].due_ns : now;
		struct timespec wait = {.tv_nsec = due > now ? (long)(due - now) : 0};

		if (ppoll(ends, 2, n_waiting ? &wait : NULL, NULL) < 0 && errno != EINTR)
			return 1;
		take(ends[0].fd, ends[1].fd, delay_ns);
		take(ends[1].fd, ends[0].fd, delay_ns);
		pass_on();
	}
}

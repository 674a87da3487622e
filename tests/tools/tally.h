/* SPDX-License-Identifier: MIT */
/* tally.c (sockets, files, the report) and tally_read.c (messages into sums). */
#ifndef BPFLOWD_TALLY_H
#define BPFLOWD_TALLY_H

#include <glib.h>
#include <stdint.h>
#include <sys/socket.h>

#define MESSAGE_MAX  65536
#define MAX_NETS     4
#define NSEC_PER_SEC 1000000000ull

struct flow_key {
	uint8_t src[16];
	uint16_t src_port, dst_port;
	uint8_t protocol;
	uint8_t pad[3];
};

struct flow {
	struct flow_key key;
	uint64_t packets, octets;
};

/* Flows from one network, looked at one by one. */
struct net {
	const char *text;
	uint8_t address[16];
	int family, bits;
	GHashTable *flows;
	uint64_t records, packets, octets;
	int64_t late_ms; /* most that a record came after its flow was due */
	uint64_t last_ns;
	uint64_t pause_ns; /* longest time without any record */
};

struct session {
	struct sockaddr_storage peer;
	int fd; /* TCP */
	size_t n_held;
	uint8_t *held; /* TCP: the beginning of a message */
	GHashTable *templates;
	GHashTable *expected; /* domain -> sequence number */
};

struct tally {
	uint64_t messages, records, flows, packets, octets, templates;
	uint64_t gaps, missing, errors, sessions;
	uint64_t most_per_second;
	uint64_t first_ns, last_ns;
	char first_error[128];
};

extern struct tally total;
extern struct net nets[MAX_NETS];
extern int n_nets;
extern int64_t active_ms, idle_ms; /* the exporter's timeouts */

struct session *session_new(const struct sockaddr_storage *peer, int fd);
void session_free(gpointer session);

/* What is read from now on came at that time, CLOCK_REALTIME. */
void arrived(uint64_t ns);
void read_message(struct session *session, const uint8_t *data, size_t size);
uint64_t number(const uint8_t *data, size_t size); /* big endian */
void error(const char *what);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Both ends of a session in one process and one thread: a collector under test that sends numbered
 * records, and a strict reader that says which numbers came, how often, and which the sequence
 * numbers say are missing. Time can be moved.
 */
#ifndef BPFLOWD_TESTS_TRANSPORT_HARNESS_H
#define BPFLOWD_TESTS_TRANSPORT_HARNESS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "collector.h"
#include "settings.h"

#define RECORD_SIZE	    24
#define RECORDS_PER_MESSAGE 50
#define PACKETS_PER_RECORD  3
#define OCTETS_PER_RECORD   180

/* The sending side. */
struct sender {
	struct settings_collector settings;
	struct collector *collector;
	GPtrArray *templates;
	uint64_t n_records; /* given to the collector; they are numbered from 0 */
};

/* The reading side of one session after another. */
struct sink {
	int listener; /* stream: listening socket; datagram: the socket */
	int fd;	      /* stream: the session, -1: none */
	int type;
	uint16_t port;
	int family;
	GByteArray *stream; /* what has no message's end yet */
	GArray *seen;	    /* uint8_t by record number: how often it came */
	bool know_template;
	uint16_t first_set; /* of templates: 2, NetFlow v9: 0 */
	uint32_t sequence;  /* expected next */
	bool any;	    /* a message of this session has come */
	/* totals */
	uint64_t n_messages, n_templates, n_records, n_options, n_sessions;
	uint64_t n_missing; /* by sequence numbers: records, NetFlow v9: messages */
	uint32_t largest;   /* message, octets */
	unsigned n_torn;    /* sessions that ended amid a message */
};

void sender_init(struct sender *sender, enum transport_kind transport, uint16_t port);
void sender_start(struct sender *sender);
void sender_clear(struct sender *sender);
/* Gives the collector n messages of RECORDS_PER_MESSAGE records. */
void sender_give(struct sender *sender, unsigned n_messages);
const struct collector_stats *sender_stats(const struct sender *sender);
uint64_t sender_lost(const struct sender *sender); /* records, at all places */

/* Opens on an address of loopback; port 0: any. */
void sink_open(struct sink *sink, int type, const char *address, uint16_t port);
/* Also takes part of what has come; false if nothing was there. */
bool sink_read(struct sink *sink, size_t most);
void sink_accept(struct sink *sink);
/* Ends the session and stops listening; reset: by RST. What was seen is kept. */
void sink_close(struct sink *sink, bool reset);
void sink_end_session(struct sink *sink, bool reset);
void sink_reopen(struct sink *sink);
void sink_clear(struct sink *sink);
void sink_take_stream(struct sink *sink, const uint8_t *data, size_t size);
void sink_new_session(struct sink *sink);
uint64_t sink_distinct(const struct sink *sink);

/* Lets both sides work until the condition holds; fails the test after 10 s. */
#define WORK_UNTIL(sender, sink, condition)                                     \
	do {                                                                    \
		uint64_t limit_ = g_get_monotonic_time() + 10 * G_USEC_PER_SEC; \
		while (!(condition)) {                                          \
			work(sender, sink);                                     \
			g_assert_cmpuint(g_get_monotonic_time(), <, limit_);    \
		}                                                               \
	} while (0)

/* One turn of the main loop, and of the sink if it is not NULL. */
void work(struct sender *sender, struct sink *sink);

/* Moves the clock of everything that reads time. */
void move_clock(struct sender *sender, uint64_t ns);
void use_moving_clock(void);
void use_frozen_clock(void); /* stands still but for move_clock */

/* Every record arrived once or was counted lost; what was lost on the way in a session is a gap. */
void assert_conserved(const struct sender *sender, const struct sink *sink);

#endif

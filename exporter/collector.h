/* SPDX-License-Identifier: MIT */
/*
 * One collector: header fields, sequence number, template state, queue, session and reconnection.
 * Lives on the GLib main loop of its thread. What it can't send it counts. Above: the encode group;
 * below: transport.c.
 */
#ifndef BPFLOWD_COLLECTOR_H
#define BPFLOWD_COLLECTOR_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "encoder.h"
#include "kernel/flow.h"
#include "settings.h"

struct collector;

enum collector_loss {
	COLLECTOR_LOST_QUEUE,
	COLLECTOR_LOST_SEND,
	COLLECTOR_N_LOSSES
};

/* The places of a loss as metrics call them, by enum collector_loss. */
extern const char *const collector_loss_names[COLLECTOR_N_LOSSES];

struct collector_lost {
	uint64_t messages, records, flows, packets, octets;
};

struct collector_stats {
	uint64_t sent_messages;
	uint64_t sent_bytes;
	uint64_t sent_records; /* data records, options data included */
	uint64_t sent_flows;
	uint64_t sent_packets; /* carried by the flow records */
	uint64_t sent_octets;
	uint64_t sent_templates; /* template messages */
	struct collector_lost lost[COLLECTOR_N_LOSSES];
	uint64_t queued_bytes;
	uint64_t queued_messages;
	uint64_t queued_flows;
	uint64_t queued_packets;
	uint64_t queued_octets;
	uint64_t sessions;	   /* established since start */
	uint64_t failures;	   /* of connecting or sending */
	uint64_t session_start_ns; /* CLOCK_MONOTONIC, 0: down */
	uint32_t sequence;
	uint32_t max_message_size; /* of the path, 0: unknown */
	bool up;
	char last_error[128];
};

struct collector_callbacks {
	/* A new session, or a refresh is due: messages to send first. Owned by the callee;
	 * templates then options data. */
	GPtrArray *(*templates)(void *user, struct collector *collector);
	GPtrArray *(*options)(void *user, struct collector *collector); /* caller owns */
	void *user;
};

/* settings must outlive the collector, or be replaced by collector_set_settings. Starts connecting
 * at once. */
struct collector *collector_new(const struct settings_collector *settings, uint32_t domain,
				uint64_t boot_real_ms, const struct collector_callbacks *callbacks);
void collector_free(
	struct collector *collector); /* what is queued is counted as lost; flush first */

/* The session goes on unless its own part is another (settings_same_session), everything else takes
 * effect at once. */
void collector_set_settings(struct collector *collector, const struct settings_collector *settings);

/* Takes a reference. Never blocks; a full queue drops its oldest data message and counts it. */
void collector_enqueue(struct collector *collector, struct message *message);

/* Options changed: sends them anew, within a second, with the templates where those expire. */
void collector_refresh(struct collector *collector);

/* The templates are others: sends them as at the start of a session, before what comes. */
void collector_announce(struct collector *collector);

/* Sends until the queue is empty or the deadline passes; true if empty. */
bool collector_drain(struct collector *collector, uint64_t deadline_mono_ns);

/* The same for several at once: one that is stuck takes no time from the others. */
bool collector_drain_all(struct collector *const *collectors, int n_collectors,
			 uint64_t deadline_mono_ns);

/* Whether the packets of this flow, either way, are those of the session; the near address may be
 * any: masquerading changes it. */
bool collector_owns(const struct collector *collector, const struct flow_id *id);

const struct collector_stats *collector_stats(const struct collector *collector);
const struct settings_collector *collector_settings(const struct collector *collector);

#endif

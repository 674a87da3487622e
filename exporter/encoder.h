/* SPDX-License-Identifier: MIT */
/*
 * An encode group: one (template, format, message size). Encodes each record once; the bodies of
 * messages are shared by every collector of the group, which puts its own header in front (RFC
 * 7011 10.3.5 allows the duplication). Pure: no socket, time is an argument.
 */
#ifndef BPFLOWD_ENCODER_H
#define BPFLOWD_ENCODER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "record.h"
#include "template.h"

#define MESSAGE_HEADER_MAX 20 /* IPFIX 16 (RFC 7011 3.1), NetFlow v9 20 (RFC 3954 5.1) */

enum message_kind { MESSAGE_TEMPLATES, MESSAGE_OPTIONS, MESSAGE_DATA };

/* What one record of a message stands for. */
struct record_share {
	uint64_t n_flows : 1;	 /* 0: no flow of its own, it tells more of the one before */
	uint64_t n_packets : 63; /* enough for 900 years of 300 million a second */
	uint64_t n_octets;
};

/* Sets without the message header. Immutable once made, counted. */
struct message {
	int refs;
	enum message_kind kind;
	uint32_t n_sequence; /* IPFIX: data records, options data included (RFC 7011 3.1); NetFlow
				v9: 1 */
	uint32_t n_records;  /* all records, templates included: NetFlow v9 count */
	uint32_t n_flows;    /* flow records */
	uint32_t size;	     /* octets of body */
	uint64_t n_packets;  /* carried by the flow records: what is lost if this message is */
	uint64_t n_octets;
	struct record_share *shares; /* of the n_records, owned; NULL: none has any. For whoever
					has to cut the message */
	uint32_t uptime_skip_ms; /* NetFlow v9: its times count from so long after boot, and so does
				    its header (49.7 days are more than 32 bits hold) */
	uint8_t body[];
};

struct message *message_ref(struct message *message);
void message_unref(struct message *message); /* NULL is fine */

enum encoder_format { ENCODER_IPFIX, ENCODER_NETFLOW9 };

/* What the header of one message needs; each collector has its own. */
struct message_header {
	uint32_t export_time_s; /* Unix time */
	uint32_t sequence;	/* before this message */
	uint32_t domain;	/* observation domain or source id */
	uint32_t uptime_ms;	/* NetFlow v9: milliseconds since boot, of the whole second
				   export_time_s */
};

struct encoder;

struct encoder_config {
	enum encoder_format format;
	const struct template *template; /* must outlive the encoder */
	uint32_t enterprise_number;
	uint16_t max_message_size; /* octets, header included */
	uint64_t boot_real_ms;	   /* Unix time of boot: base of NetFlow v9 times */
	/* Takes a finished message; the reference passes to the callee. */
	void (*emit)(void *user, struct message *message);
	void *user;
};

/* Fails if a record of the template can't fit a message. */
struct encoder *encoder_new(const struct encoder_config *config, GError **error);
/* How many template ids an encoder uses, from the one of the template's first record on. */
unsigned int encoder_count_ids(const struct template *template);
void encoder_free(struct encoder *encoder);

/* Appends the records that the template makes of a flow; emits when a message is full. Returns
 * whether one of them tells what passed; there may be one for its drops alone. */
bool encoder_append(struct encoder *encoder, const struct flow_record *record);

/* Emits what is held. */
void encoder_flush(struct encoder *encoder);

/* Template and options template messages in sending order, element struct message *, owned by the
 * encoder: what every new session and every UDP refresh sends first. */
GPtrArray *encoder_templates(struct encoder *encoder);

/* Options data, encoded anew from `options` (options.h); element struct message *, the caller owns
 * it. */
struct options;
GPtrArray *encoder_options(struct encoder *encoder, const struct options *options);

/* Writes the header of `message` into out; returns its size, 16 or 20. */
size_t encoder_write_header(enum encoder_format format, const struct message *message,
			    const struct message_header *header, uint8_t out[MESSAGE_HEADER_MAX]);

#endif

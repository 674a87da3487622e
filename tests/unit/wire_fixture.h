/* SPDX-License-Identifier: MIT */
/* Flows, an encoder over a template, and messages as commented hex for tests of the wire. */
#ifndef BPFLOWD_TESTS_WIRE_FIXTURE_H
#define BPFLOWD_TESTS_WIRE_FIXTURE_H

#include <glib.h>

#include "encoder.h"
#include "options.h"

#define FIXTURE_BOOT_MS	 1700000000123ull
#define FIXTURE_EXPORT_S 1700003600u
#define FIXTURE_PEN	 32473u
#define FIXTURE_DOMAIN	 7u

struct fixture {
	struct template *template;
	struct encoder *encoder;
	GPtrArray *messages; /* struct message *, as emitted */
	enum encoder_format format;
};

/* A template of the source tree by its name, or text of one when it holds a newline. */
struct template *fixture_template(const char *template, enum encoder_format format,
				  uint32_t max_message_size);
void fixture_init(struct fixture *fixture, const char *template, enum encoder_format format,
		  uint32_t max_message_size);
void fixture_clear(struct fixture *fixture);

/* Flows that between them use every kind of value. */
void fixture_tcp4(struct flow_record *record);
void fixture_dns6(struct flow_record *record);
void fixture_icmp4(struct flow_record *record);
void fixture_arp(struct flow_record *record);
void fixture_random(struct flow_record *record, GRand *rand);
void fixture_options(struct options *options);

/* Messages, headers included, a field to a line. */
char *fixture_dump(struct fixture *fixture, GPtrArray *messages);

/* Templates, options and a flow of each kind as a template of the source tree sends them. */
char *fixture_everything(const char *template, enum encoder_format format);

/* Compares with tests/golden/NAME; UPDATE_GOLDEN=1 in the environment writes it. */
void fixture_golden(const char *name, const char *text);

#endif

/* SPDX-License-Identifier: MIT */
/* Values of the daemon's answers as people read them. Absent keys become "". */
#ifndef BPFLOWD_CTL_FORMAT_H
#define BPFLOWD_CTL_FORMAT_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* A table: one row per element of an array of objects. */
struct ctl_column {
	const char *title;
	const char *key; /* of the row's object; format may look at others */
	void (*format)(GString *out, const json_t *row, const char *key);
	bool right; /* aligned; else left */
};

void ctl_text(GString *out, const json_t *row, const char *key);
void ctl_count(GString *out, const json_t *row, const char *key);    /* 1234567 */
void ctl_size(GString *out, const json_t *row, const char *key);     /* 1.2M, powers of 1024 */
void ctl_yes_no(GString *out, const json_t *row, const char *key);   /* "" for false */
void ctl_time(GString *out, const json_t *row, const char *key);     /* Unix ms as local time */
void ctl_duration(GString *out, const json_t *row, const char *key); /* of a flow */
void ctl_source(GString *out, const json_t *row, const char *key);   /* address:port */
void ctl_destination(GString *out, const json_t *row, const char *key);
void ctl_protocol(GString *out, const json_t *row, const char *key);
void ctl_tcp_flags(GString *out, const json_t *row, const char *key);

/* What is not printable becomes '?': names come from outside. */
void ctl_append_safe(GString *out, const char *text);
void ctl_append_scaled(GString *out, double value, double base, const char *unit);

/* Number of a protocol's name, or of a number as text; -1 if it is neither. */
int ctl_protocol_number(const char *text);

double ctl_number(const json_t *row, const char *key); /* 0 if absent */

#endif

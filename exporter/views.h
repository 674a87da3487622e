/* SPDX-License-Identifier: MIT */
/*
 * What the daemon knows as JSON objects for bpflowctl, in the schema of bpflowctl(8):
 * daemon_control.c only loops. Keys of a flow are the names of information elements; every other
 * key is snake_case.
 */
#ifndef BPFLOWD_VIEWS_H
#define BPFLOWD_VIEWS_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "collector.h"
#include "encoder.h"
#include "interfaces.h"
#include "metrics.h"
#include "record.h"
#include "report.h"
#include "template.h"

/* Name of an interface, "" if it is unknown. */
typedef const char *view_interface_name(void *user, uint8_t netns, uint32_t ifindex);

struct view_names {
	view_interface_name *interface;
	void *user;
};

/* Keys and counters always; the rest when it isn't 0 or empty. */
json_t *view_flow(const struct flow_record *record, const struct view_names *names);

json_t *view_interface(const struct interface *interface, const struct report_traffic *traffic);
json_t *view_collector(const struct settings_collector *settings,
		       const struct collector_stats *stats, uint64_t now_mono_ns);
json_t *view_template(const struct template *template, enum encoder_format format,
		      uint32_t enterprise_number);
json_t *view_drop(uint32_t cause, const char *reason, const char *interface, const char *netns,
		  uint64_t packets, uint64_t octets);

/* The whole answer of `show stats`: {"metrics": [...]}. */
json_t *view_stats(const struct metrics *metrics);

#endif

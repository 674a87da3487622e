/* SPDX-License-Identifier: MIT */
/*
 * Everything that leaves: encode groups and the collectors behind them. Collectors with the same
 * template, format and message size share one encoder, so that a record is encoded once; groups of
 * collectors (failover, balance) choose a member per record. Above: record.c; below: encoder.h,
 * collector.c.
 */
#ifndef BPFLOWD_OUTPUTS_H
#define BPFLOWD_OUTPUTS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "collector.h"
#include "options.h"
#include "settings.h"

struct outputs;

/* Per collector, beside its own statistics: flows that were not meant for it, since it was not
 * there yet, another member of its group got them, or its template has no record for them. */
struct output_skipped {
	uint64_t packets;
	uint64_t octets;
};

struct outputs_callbacks {
	/* Fills what all collectors are told; the statistics of each are added here. */
	void (*fill_options)(void *user, struct options *options);
	void *user;
};

/* Takes a reference of the settings. boot_real_ms: Unix time of boot. */
struct outputs *outputs_new(struct settings *settings, uint64_t boot_real_ms,
			    const struct outputs_callbacks *callbacks, GError **error);
void outputs_free(struct outputs *outputs); /* what is queued is lost; outputs_drain first */

/* Collectors that did not change notice nothing; those that did keep their queues, and their
 * sessions unless what changed is the session. Those that are gone go on until their queues are
 * empty, for a while. On failure nothing changed; the error has a line for each thing that is
 * wrong. */
bool outputs_reload(struct outputs *outputs, struct settings *settings, GError **error);

/* Whether every collector can still work now that privileges are given up; account: what we are,
 * for the error. */
bool outputs_check(const struct outputs *outputs, const char *account, GError **error);

/* Hands a flow to every group. */
void outputs_append(struct outputs *outputs, const struct flow_record *record);

/* Ends a round: messages that are not full go too. */
void outputs_flush(struct outputs *outputs);

/* Names or reasons changed: options data are sent anew. */
void outputs_options_changed(struct outputs *outputs);

/* Sends until every queue is empty or the deadline passes; true if all are empty. */
bool outputs_drain(struct outputs *outputs, uint64_t deadline_mono_ns);

void outputs_foreach(const struct outputs *outputs,
		     void (*fn)(void *user, const struct collector *collector,
				const struct template *template,
				const struct output_skipped *skipped),
		     void *user);

#endif

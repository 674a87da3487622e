/* SPDX-License-Identifier: MIT */
/* Shared by daemon.c (life), daemon_meter.c (packets to flows) and daemon_control.c (questions). */
#ifndef BPFLOWD_DAEMON_PRIVATE_H
#define BPFLOWD_DAEMON_PRIVATE_H

#include "cache.h"
#include "clock.h"
#include "control.h"
#include "daemon.h"
#include "fetcher.h"
#include "http.h"
#include "interfaces.h"
#include "outputs.h"
#include "reasons.h"
#include "signals.h"
#include "report.h"

/* What records say of an interface and tags: asked for with each record, and seldom another. */
#define DAEMON_NAMES_LOG2 6
struct daemon_interface {
	uint32_t ifindex; /* 0: none */
	uint16_t vlan;
	uint16_t inner_vlan;
	uint8_t netns;
	uint32_t logical;
	char name[RECORD_INTERFACE_NAME_MAX];
};

struct daemon {
	struct settings *settings;
	GMainLoop *loop;
	struct flow_fetcher *fetcher;
	struct cache *cache;
	struct signals *signals;
	struct reasons *reasons;
	GArray *ignored_reasons; /* uint32_t */
	uint64_t stale_looked_ns;
	struct interfaces *interfaces;
	struct outputs *outputs;
	struct control *control;
	struct http *http;
	struct record_resolver resolver;
	struct daemon_interface interface_names[1 << DAEMON_NAMES_LOG2]; /* by hash */
	uint64_t interfaces_generation; /* interfaces_generation when they were filled */
	struct clock_now now;		/* of the drain that is going on */
	uint64_t drained_ns;		/* when the table was last read */
	struct clock_now start;
	uint64_t n_exported; /* flows that ended */
	struct report_process process;
	guint drain_timer;
	guint ring_watch;
	guint watchdog;	      /* 0: systemd does not ask for it */
	GHashTable *observed; /* FLOW_IFACE -> struct observed * */
	struct observed *last_observed;
	char *restart_needed; /* options that the latest reload could not change, "" if none */
	bool pen_warned;
	bool is_stopping;   /* nothing is metered any more: slots need not be told that flows end */
	GPtrArray *flushes; /* struct flush *: bpflowctl flush that waits */
};

/* What was counted at one interface and direction. */
struct observed {
	uint32_t iface; /* FLOW_IFACE */
	uint64_t packets;
	uint64_t octets;
};

/* daemon_meter.c */
bool daemon_meter_prepare(struct daemon *daemon, GError **error); /* loads the programs */
bool daemon_meter_start(struct daemon *daemon, GError **error);	  /* attaches them */
/* Whether there is anything to meter: a pattern or another namespace may wait for what appears
 * later; names alone, of which none is there, are a mistake. */
bool daemon_meter_check(const struct daemon *daemon, const struct settings *settings,
			GError **error);
/* The part of a reload that can't fail; next is not yet in force. */
void daemon_meter_reload(struct daemon *daemon, const struct settings *next);
void daemon_meter_clear(struct daemon *daemon);
void daemon_log_statistics(struct daemon *daemon);
void daemon_meter_stop(struct daemon *daemon); /* takes the last packets, ends every flow */
void daemon_drain(struct daemon *daemon);
void daemon_flush(struct daemon *daemon); /* ends every flow (reason 4) and sends */
void daemon_fill_options(void *user, struct options *options);

/* daemon_signals.c: drops, DNS, RTT */
void daemon_signals_prepare(struct daemon *daemon); /* before the programs are loaded */
void daemon_signals_start(struct daemon *daemon);   /* once there is a cache */
void daemon_signals_clear(struct daemon *daemon);
void daemon_signals_event(void *user, const struct flow_event *event, size_t size);
void daemon_signals_drain(struct daemon *daemon); /* after the packets */
void daemon_signals_collect(struct daemon *daemon, struct metrics *metrics);
json_t *daemon_answer_drops(void *user, const json_t *args, GError **error);

/* daemon.c */
uint64_t daemon_boot_real_ms(const struct daemon *daemon); /* Unix time of boot, as of the start */
bool daemon_reload(struct daemon *daemon, GError **error);

/* daemon_report.c */
struct metrics *daemon_collect(struct daemon *daemon); /* as of the last drain; caller frees */
void daemon_traffic(const struct daemon *daemon, const struct interface *interface,
		    struct report_traffic *traffic);
bool daemon_http_start(struct daemon *daemon, GError **error);
void daemon_http_stop(struct daemon *daemon);

/* daemon_control.c */
extern const struct control_verb daemon_verbs[];
void daemon_end_flushes(struct daemon *daemon); /* whoever waits hears how far it came */

/* daemon_flows.c */
bool daemon_open_flows(void *user, const json_t *args, struct control_pieces *pieces,
		       GError **error);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * One collector inside: collector.c is its life and its timers, collector_session.c how a session
 * comes and goes, collector_send.c what goes out in which order, collector_account.c what went and
 * what is lost, collector_split.c what becomes of a message that the path no longer takes.
 */
#ifndef BPFLOWD_COLLECTOR_PRIVATE_H
#define BPFLOWD_COLLECTOR_PRIVATE_H

#include <glib.h>

#include "collector.h"
#include "collector_queue.h"
#include "resolver.h"
#include "transport.h"

#define COLLECTOR_BATCH		  64	/* messages that are sent at a time */
#define COLLECTOR_SPREAD_RATE_MIN 20000 /* records per second */
/* While nobody listens templates go so often: whoever comes back needs them. */
#define COLLECTOR_REFUSED_REFRESH_NS NSEC_PER_SEC
#define COLLECTOR_SENT		     512 /* datagrams remembered, to know which one an ICMP error speaks of */

enum collector_state {
	COLLECTOR_WAITING, /* until retry_ns */
	COLLECTOR_RESOLVING,
	COLLECTOR_CONNECTING,
	COLLECTOR_UP,
};

/* What a datagram carried, and how to know it again. */
struct sent_datagram {
	uint8_t header[MESSAGE_HEADER_MAX];
	uint8_t header_size;	/* 0: none, or counted already */
	bool joined;		/* went in one packet with the one before */
	bool doubtful;		/* the last ones were refused: does not count as sent yet */
	struct message message; /* without body and shares */
};

struct collector {
	GSource *source; /* descriptor and timer */
	void *tag;	 /* of the descriptor in source */
	short watched;
	const struct settings_collector *settings;
	/* settings of the session: the source port is kept, once the kernel has chosen it */
	struct settings_collector session_settings;
	struct collector_callbacks callbacks;
	struct collector_stats stats;
	uint32_t domain;
	uint64_t boot_real_ms;
	bool draining;
	bool told_last; /* draining: the last statistics are on their way */
	bool parting;	/* no session comes after this one */

	/* session */
	enum collector_state state;
	struct transport *transport;
	struct resolver *resolver;
	GArray *addresses; /* struct resolver_address, to be tried in order */
	guint next_address;
	struct resolver_address peer;
	uint64_t retry_ns;	   /* waiting: when to try again */
	uint64_t connect_limit_ns; /* connecting: when to give up */
	uint64_t resolve_ns;	   /* up, over UDP: when to ask for the name again */
	uint64_t retry_interval_ns;
	bool failure_logged;
	struct log_limit log_limit;
	int blocked;	   /* logged errno of a session that doesn't take anything */
	uint64_t taken_ns; /* when it last took something, or began to be blocked */
	bool stuck;	   /* blocked for so long that it is not up */

	/* sending: entries [0, n_unacked) went, the rest did not */
	struct queue queue;
	uint32_t n_unacked;
	uint64_t refresh_ns; /* when templates or options are due, 0: at once */
	uint32_t n_since_refresh;
	uint32_t n_copies; /* early copies of the templates still to come (RFC 7011 8.4) */
	uint64_t ack_ns;   /* when to ask what was acknowledged */
	uint64_t ack_pause_ns;
	double tokens; /* records that may go now */
	uint64_t tokens_ns;
	uint64_t pace_ns;
	uint32_t rate;	       /* records per second now, 0: no limit */
	uint64_t backlog_peak; /* flows queued at most since the queue was empty */
	bool refused;	       /* ICMP errors come, and what is sent is lost */
	uint64_t unrefused_ns; /* when the first datagram went since the last of them, 0: none */
	uint64_t quiet_ns;     /* how long none must come until the collector counts as back */
	uint64_t back_ns;      /* when it last did */
	struct sent_datagram *sent; /* COLLECTOR_SENT of them, UDP and DTLS only */
	uint32_t next_sent;
	/* of those in doubt that are not remembered any more: sent_, and what is lost if they were
	 * refused */
	struct collector_stats doubt;
};

/* A change of state, with the collector's name in front; few of many in a short time. */
void collector_log(struct collector *collector, enum log_level level, const char *format, ...)
	G_GNUC_PRINTF(3, 4);

/* Does what is due at this moment: the timer's and the descriptor's work. */
void collector_run(struct collector *collector);

/* session */
void session_start(struct collector *collector, uint64_t now_ns);
void session_step(struct collector *collector, uint64_t now_ns);
/* After sending, while there is a session: one that takes nothing is not up. */
void session_watch(struct collector *collector, uint64_t now_ns);
/* Ends a session that lives or begins; what was not acknowledged will be sent again. */
void session_end(struct collector *collector);
/* The same with a reason: the next address, or wait for the next attempt. */
void session_fail(struct collector *collector, const char *reason, uint64_t now_ns);
/* A new session at once, with nothing wrong. */
void session_renew(struct collector *collector, uint64_t now_ns);

/* send */
void send_begin(struct collector *collector, bool same_session, uint64_t now_ns);
/* Intervals and sizes of the settings are others. */
void send_adapt(struct collector *collector, uint64_t now_ns);
void send_reset(struct collector *collector);
/* Counts what the peer has acknowledged as sent. */
void send_take_acknowledged(struct collector *collector, uint64_t now_ns);
/* The queue is nearly full: better a burst than a loss. */
bool send_is_pressed(const struct collector *collector);

void send_pump(struct collector *collector, uint64_t now_ns);
/* Drops the oldest data where there is no room. */
void send_enqueue(struct collector *collector, struct message *message);
/* Everything that waits is lost. */
void send_drop_all(struct collector *collector);
void send_push_options(struct collector *collector);

/* account: a message came into the queue (sign 1) or left it (-1); one went, or is taken back */
void account_queued(struct collector *collector, const struct message *message, int sign);
void account_sent(struct collector_stats *stats, const struct message *message, int sign,
		  uint32_t header_size);
void account_lost(struct collector *collector, const struct message *message,
		  enum collector_loss loss);
/* A datagram went; an ICMP error may speak of it. joined: in one packet with the one before. */
void account_datagram(struct collector *collector, const struct queue_entry *entry, bool joined);
/* The collector is back: what was in doubt counts as sent. */
void account_settle(struct collector *collector);
/* Nobody will say more of what is in doubt: it counts as lost. */
void account_give_up(struct collector *collector);
void account_refused(void *user, int error, const uint8_t *head, size_t size);

/* Pieces of at most max_size octets of body, from the templates the message was made with;
 * NULL if it can't be. The caller owns the array and its messages. */
GPtrArray *message_split(const struct message *message, enum encoder_format format,
			 const GPtrArray *templates, uint32_t max_size);

#endif

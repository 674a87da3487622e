/* SPDX-License-Identifier: MIT */
/*
 * One collector: its life, its place on the main loop, its timers. Above: outputs.c; below:
 * collector_session.c, collector_send.c.
 */
#include "config.h"

#include "collector.h"

#include <inttypes.h>
#include <poll.h>
#include <string.h>

#include "clock.h"
#include "collector_private.h"
#include "log.h"

#define REFRESH_PAUSE_NS NSEC_PER_SEC /* interfaces come and go by the hundred */

struct collector_source {
	GSource source; /* first */
	struct collector *collector;
};

static gboolean dispatch(GSource *source, GSourceFunc callback, void *data)
{
	collector_run(((struct collector_source *)source)->collector);
	return G_SOURCE_CONTINUE;
}

static GSourceFuncs source_functions = {.dispatch = dispatch};

static uint64_t now_mono_ns(void)
{
	struct clock_now now;

	clock_read(&now);
	return now.mono_ns;
}

struct collector *collector_new(const struct settings_collector *settings, uint32_t domain,
				uint64_t boot_real_ms, const struct collector_callbacks *callbacks)
{
	struct collector *collector = g_new0(struct collector, 1);
	GSource *source = g_source_new(&source_functions, sizeof(struct collector_source));

	((struct collector_source *)source)->collector = collector;
	g_source_set_static_name(source, "collector");
	g_source_set_ready_time(source, 0);
	g_source_attach(source, g_main_context_get_thread_default());
	collector->source = source;
	collector->settings = settings;
	collector->domain = domain;
	collector->boot_real_ms = boot_real_ms;
	collector->callbacks = *callbacks;
	collector->state = COLLECTOR_WAITING;
	return collector;
}

void collector_log(struct collector *collector, enum log_level level, const char *format, ...)
{
	g_autofree char *text = NULL;
	uint32_t n_untold = 0;
	va_list args;

	/* whoever goes is heard out */
	if (!log_limit_take(&collector->log_limit, now_mono_ns(), &n_untold) && !collector->parting)
		return;
	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	if (n_untold)
		log_write(level, "collector %s: %s (%u changes before this one are not told)",
			  collector->settings->name, text, n_untold);
	else
		log_write(level, "collector %s: %s", collector->settings->name, text);
}

/* The last to hear of what is lost with us is the log. */
static void log_unsent(const struct collector *collector)
{
	const struct collector_stats *stats = &collector->stats;

	if (stats->queued_flows)
		log_warning("collector %s: %" PRIu64 " flows, %" PRIu64 " packets, %" PRIu64
			    " octets could not be sent and are lost",
			    collector->settings->name, stats->queued_flows, stats->queued_packets,
			    stats->queued_octets);
}

void collector_free(struct collector *collector)
{
	if (!collector)
		return;
	collector->parting = true;
	session_end(collector);
	log_unsent(collector);
	send_drop_all(collector);
	queue_clear(&collector->queue);
	g_source_destroy(collector->source);
	g_source_unref(collector->source);
	g_free(collector->sent);
	g_free(collector);
}

void collector_set_settings(struct collector *collector, const struct settings_collector *settings)
{
	const struct settings_collector *old = collector->settings;
	uint16_t kept_port = collector->session_settings.source_port;
	bool same = settings_same_session(old, settings);

	collector->settings = settings;
	g_source_set_ready_time(collector->source, 0);
	if (same) {
		/* the old strings are about to go */
		collector->session_settings = *settings;
		collector->session_settings.source_port = kept_port;
		send_adapt(collector, now_mono_ns());
		return;
	}
	session_end(collector);
	memset(&collector->session_settings, 0, sizeof(collector->session_settings));
	memset(&collector->peer, 0, sizeof(collector->peer));
	collector->retry_ns = 0;
	collector->failure_logged = false;
}

void collector_enqueue(struct collector *collector, struct message *message)
{
	const struct transport *transport = collector->transport;
	uint64_t now_ns;

	send_enqueue(collector, message);
	g_source_set_ready_time(collector->source, 0);
	if (collector->state != COLLECTOR_UP || transport->want & POLLOUT || transport->blocked)
		return;
	/* what one drain ends may be more than a small queue holds */
	if (collector->queue.n - collector->n_unacked < COLLECTOR_BATCH &&
	    !send_is_pressed(collector))
		return;
	/* the pace goes on while flows end by the ten thousand, and no timer is heard */
	now_ns = now_mono_ns();
	if (now_ns >= collector->pace_ns || send_is_pressed(collector))
		send_pump(collector, now_ns);
}

void collector_refresh(struct collector *collector)
{
	uint64_t soon_ns = now_mono_ns() + REFRESH_PAUSE_NS;

	collector->refresh_ns = MIN(collector->refresh_ns, soon_ns);
	g_source_set_ready_time(collector->source, 0);
}

void collector_announce(struct collector *collector)
{
	if (collector->state == COLLECTOR_UP)
		send_begin(collector, true, now_mono_ns());
	g_source_set_ready_time(collector->source, 0);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a && b ? MIN(a, b) : a | b;
}

static uint64_t next_deadline(const struct collector *collector)
{
	uint64_t due = collector->transport ? collector->transport->wake_ns : 0;

	switch (collector->state) {
	case COLLECTOR_WAITING:
		return collector->retry_ns;
	case COLLECTOR_RESOLVING:
		return 0;
	case COLLECTOR_CONNECTING:
		return earlier(due, collector->connect_limit_ns);
	case COLLECTOR_UP:
		break;
	}
	due = earlier(due, collector->refresh_ns);
	if (!collector->resolver) /* while it asks, nothing is due */
		due = earlier(due, collector->resolve_ns);
	due = earlier(due, collector->pace_ns);
	return earlier(due, collector->ack_ns);
}

static GIOCondition condition_of(short events)
{
	return (events & POLLIN ? G_IO_IN : 0) | (events & POLLOUT ? G_IO_OUT : 0) | G_IO_ERR |
	       G_IO_HUP;
}

static void watch(struct collector *collector, uint64_t now_ns)
{
	const struct transport *transport = collector->transport;
	short want = transport ? transport->want : 0;
	uint64_t due = next_deadline(collector);

	if (transport && !collector->tag)
		collector->tag =
			g_source_add_unix_fd(collector->source, transport->fd, condition_of(want));
	else if (transport && want != collector->watched)
		g_source_modify_unix_fd(collector->source, collector->tag, condition_of(want));
	collector->watched = want;
	if (!due)
		g_source_set_ready_time(collector->source, -1);
	else
		g_source_set_ready_time(
			collector->source,
			due <= now_ns ? 0 : g_get_monotonic_time() + (due - now_ns + 999) / 1000);
}

void collector_run(struct collector *collector)
{
	uint64_t now_ns = now_mono_ns(), n_sessions = UINT64_MAX;

	g_source_set_ready_time(collector->source, -1);
	if (collector->state == COLLECTOR_WAITING && now_ns >= collector->retry_ns)
		session_start(collector, now_ns);
	else if (collector->transport)
		session_step(collector, now_ns);
	/* again where a full file made way for a new one */
	while (collector->state == COLLECTOR_UP && n_sessions != collector->stats.sessions) {
		n_sessions = collector->stats.sessions;
		send_pump(collector, now_ns);
	}
	if (collector->state == COLLECTOR_UP)
		session_watch(collector, now_ns);
	watch(collector, now_ns);
}

static void drain_begin(struct collector *collector)
{
	collector->draining = true;
	if (collector->state == COLLECTOR_WAITING)
		collector->retry_ns = 0;
}

/* Nothing more will leave before the deadline. */
static bool drain_over(const struct collector *collector, uint64_t deadline_ns)
{
	if (collector->queue.n == 0)
		return collector->told_last || collector->state != COLLECTOR_UP;
	return collector->draining && collector->state == COLLECTOR_WAITING &&
	       collector->retry_ns > deadline_ns;
}

/* The statistics of an exporter that ends go last, when all that they count is gone. */
static void tell_last(struct collector *collector)
{
	if (collector->told_last || collector->queue.n || collector->state != COLLECTOR_UP)
		return;
	collector->told_last = true;
	send_push_options(collector);
}

/* One turn for a collector; says when it wants the next one. */
static uint64_t drain_turn(struct collector *collector, uint64_t deadline_ns, struct pollfd *ready)
{
	uint64_t due;

	*ready = (struct pollfd){.fd = -1};
	if (drain_over(collector, deadline_ns))
		return deadline_ns;
	if (!collector->draining)
		drain_begin(collector);
	tell_last(collector);
	collector_run(collector);
	tell_last(collector);
	if (drain_over(collector, deadline_ns))
		return 0;
	if (collector->transport) {
		ready->fd = collector->transport->fd;
		ready->events = collector->transport->want;
	}
	due = next_deadline(collector);
	return due ? MIN(due, deadline_ns) : deadline_ns;
}

bool collector_drain_all(struct collector *const *collectors, int n_collectors,
			 uint64_t deadline_mono_ns)
{
	g_autofree struct pollfd *ready = g_new(struct pollfd, n_collectors);
	bool over = false, empty = true;

	while (!over && now_mono_ns() < deadline_mono_ns) {
		uint64_t now_ns, due = deadline_mono_ns;
		bool resolving = false;

		over = true;
		for (int i = 0; i < n_collectors; i++) {
			uint64_t next = drain_turn(collectors[i], deadline_mono_ns, &ready[i]);

			due = MIN(due, next);
			over &= drain_over(collectors[i], deadline_mono_ns);
			resolving |= collectors[i]->resolver != NULL;
		}
		now_ns = now_mono_ns();
		/* not by the main loop: it would run whatever else waits there, in the middle of a
		 * reload or of the stop */
		for (int i = 0; i < n_collectors; i++)
			if (collectors[i]->resolver)
				resolver_step(collectors[i]->resolver);
		if (!over && due > now_ns)
			poll(ready, n_collectors,
			     MIN((due - now_ns) / NSEC_PER_MSEC + 1, resolving ? 5 : 100));
	}
	for (int i = 0; i < n_collectors; i++)
		empty &= collectors[i]->queue.n == 0;
	return empty;
}

bool collector_drain(struct collector *collector, uint64_t deadline_mono_ns)
{
	return collector_drain_all(&collector, 1, deadline_mono_ns);
}

const struct collector_stats *collector_stats(const struct collector *collector)
{
	return &collector->stats;
}

const struct settings_collector *collector_settings(const struct collector *collector)
{
	return collector->settings;
}

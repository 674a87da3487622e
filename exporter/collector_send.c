/* SPDX-License-Identifier: MIT */
/*
 * What goes out, in which order, under which number: templates first, then the queue; what does not
 * go is counted, and leaves a gap in the numbers (RFC 7011 10.2.2). Above: collector.c; below:
 * transport.c.
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "clock.h"
#include "collector_private.h"

#define COPIES_AT_START	 2 /* of new templates, before their first use (RFC 7011 8.4) */
#define EARLY_REFRESHES	 2 /* more of them in the first seconds */
#define EARLY_REFRESH_NS (2 * NSEC_PER_SEC)
#define ACK_EVERY_NS	 (50 * NSEC_PER_MSEC)
#define ACK_SLOWEST_NS	 (2 * NSEC_PER_SEC)
#define PACE_EVERY_NS	 (2 * NSEC_PER_MSEC) /* a few datagrams: fits any receive buffer */
#define SPREAD_MS	 800

static const struct transport_ops *ops_of(const struct collector *collector)
{
	return collector->transport->ops;
}

static void push(struct collector *collector, struct message *message)
{
	queue_push(&collector->queue, message);
	account_queued(collector, message, 1);
}

static void insert(struct collector *collector, uint32_t at, struct message *message)
{
	queue_insert(&collector->queue, at, message);
	account_queued(collector, message, 1);
}

/* First entry that has not gone, wholly or in part. */
static uint32_t first_untouched(const struct collector *collector)
{
	return collector->n_unacked + (collector->transport ? collector->transport->n_held : 0);
}

/* The gap opens where the message would have gone: behind one that is half out, else now. */
static void leave_gap(struct collector *collector, uint32_t at, uint32_t n_sequence)
{
	if (at > collector->n_unacked)
		queue_at(&collector->queue, at - 1)->gap += n_sequence;
	else
		collector->stats.sequence += n_sequence;
}

/* A gap that was to open behind it stays. */
static struct message *take(struct collector *collector, uint32_t at)
{
	struct message *message;

	leave_gap(collector, at, queue_at(&collector->queue, at)->gap);
	message = queue_take(&collector->queue, at);
	account_queued(collector, message, -1);
	return message;
}

static void drop(struct collector *collector, uint32_t at, enum collector_loss loss)
{
	struct message *message = queue_at(&collector->queue, at)->message;

	leave_gap(collector, at, message->n_sequence);
	message = take(collector, at);
	account_lost(collector, message, loss);
	message_unref(message);
}

/* Drops the oldest data until there is room for so many bytes; false if that can't be had. */
static bool make_room(struct collector *collector, uint64_t size)
{
	while (collector->queue.bytes + size > collector->settings->queue_size) {
		uint32_t at = first_untouched(collector);

		while (at < collector->queue.n &&
		       queue_at(&collector->queue, at)->message->kind != MESSAGE_DATA)
			at++;
		/* all that is left has gone in part or waits for its acknowledgement */
		if (at == collector->queue.n)
			return false;
		drop(collector, at, COLLECTOR_LOST_QUEUE);
	}
	return true;
}

void send_enqueue(struct collector *collector, struct message *message)
{
	if (make_room(collector, queue_bytes_of(message))) {
		push(collector, message_ref(message));
		return;
	}
	account_lost(collector, message, COLLECTOR_LOST_QUEUE);
	leave_gap(collector, collector->queue.n, message->n_sequence);
}

void send_drop_all(struct collector *collector)
{
	while (collector->queue.n)
		drop(collector, 0, COLLECTOR_LOST_QUEUE);
}

static void remove_control(struct collector *collector)
{
	uint32_t i = 0;

	while (i < collector->queue.n) {
		queue_at(&collector->queue, i)->gap = 0;
		if (queue_at(&collector->queue, i)->message->kind == MESSAGE_DATA)
			i++;
		else
			message_unref(take(collector, i));
	}
}

/* Templates and options that wait stand in front of the data, so the search ends soon. */
static void remove_waiting(struct collector *collector, bool templates)
{
	uint32_t at = first_untouched(collector);

	while (at < collector->queue.n) {
		enum message_kind kind = queue_at(&collector->queue, at)->message->kind;

		if (kind == MESSAGE_DATA)
			return;
		if (kind == MESSAGE_OPTIONS || templates)
			message_unref(take(collector, at));
		else
			at++;
	}
}

static uint32_t insert_all(struct collector *collector, uint32_t at, const GPtrArray *messages)
{
	for (guint i = 0; messages && i < messages->len; i++)
		insert(collector, at++, message_ref(g_ptr_array_index(messages, i)));
	return at;
}

static GPtrArray *ask_options(struct collector *collector)
{
	if (!collector->callbacks.options)
		return NULL;
	return collector->callbacks.options(collector->callbacks.user, collector);
}

static void insert_control(struct collector *collector, int n_copies)
{
	g_autoptr(GPtrArray) options = ask_options(collector);
	uint32_t at;

	remove_waiting(collector, n_copies > 0);
	at = first_untouched(collector);
	while (n_copies-- > 0)
		at = insert_all(
			collector, at,
			collector->callbacks.templates(collector->callbacks.user, collector));
	insert_all(collector, at, options);
}

void send_push_options(struct collector *collector)
{
	g_autoptr(GPtrArray) options = ask_options(collector);

	for (guint i = 0; options && i < options->len; i++)
		push(collector, message_ref(g_ptr_array_index(options, i)));
}

void send_begin(struct collector *collector, bool same_session, uint64_t now_ns)
{
	bool expire = ops_of(collector)->templates_expire;

	if (!same_session)
		collector->stats.sequence = 0;
	collector->tokens_ns = now_ns;
	collector->n_since_refresh = 0;
	collector->n_copies = expire ? EARLY_REFRESHES : 0;
	collector->refresh_ns =
		now_ns + (expire ? EARLY_REFRESH_NS : collector->settings->template_refresh_ns);
	insert_control(collector, expire ? COPIES_AT_START : 1);
}

void send_adapt(struct collector *collector, uint64_t now_ns)
{
	const struct settings_collector *s = collector->settings;

	if (collector->refresh_ns)
		collector->refresh_ns = MIN(collector->refresh_ns, now_ns + s->template_refresh_ns);
	if (collector->resolve_ns)
		collector->resolve_ns =
			MIN(collector->resolve_ns, now_ns + s->reconnect_interval_ns);
	if (collector->state == COLLECTOR_WAITING)
		collector->retry_ns = MIN(collector->retry_ns, now_ns + s->reconnect_interval_ns);
	make_room(collector, 0);
}

void send_reset(struct collector *collector)
{
	collector->n_unacked = 0;
	collector->ack_ns = 0;
	collector->pace_ns = 0;
	remove_control(collector);
}

static bool refresh_due(const struct collector *collector, uint64_t now_ns)
{
	uint32_t every = collector->settings->template_refresh_messages;

	return now_ns >= collector->refresh_ns || (every && ops_of(collector)->templates_expire &&
						   collector->n_since_refresh >= every);
}

static void refresh(struct collector *collector, uint64_t now_ns)
{
	uint64_t interval_ns = collector->settings->template_refresh_ns;
	bool templates = ops_of(collector)->templates_expire;

	if (collector->n_copies > 0 && --collector->n_copies > 0)
		interval_ns = MIN(interval_ns, EARLY_REFRESH_NS);
	if (collector->refused)
		interval_ns = MIN(interval_ns, COLLECTOR_REFUSED_REFRESH_NS);
	insert_control(collector, templates ? 1 : 0);
	collector->refresh_ns = now_ns + interval_ns;
	collector->n_since_refresh = 0;
}

static void write_header(struct collector *collector, struct queue_entry *entry, uint32_t sequence,
			 const struct clock_now *now)
{
	struct message_header header = {
		.export_time_s = now->real_ns / NSEC_PER_SEC,
		.sequence = sequence,
		.domain = collector->domain,
	};

	header.uptime_ms = header.export_time_s * 1000ull - collector->boot_real_ms;
	entry->header_size = encoder_write_header(collector->settings->protocol, entry->message,
						  &header, entry->header);
}

bool send_is_pressed(const struct collector *collector)
{
	return collector->queue.bytes > collector->settings->queue_size / 8 * 7;
}

/* Records per second that may go, 0: all at once. Nobody tells a sender of datagrams to slow down,
 * and what a drain ends at once would overrun the socket buffer of an ordinary collector: without
 * max_rate the backlog is spread over a part of a second, as it was at its longest. */
static uint32_t rate_of(struct collector *collector)
{
	uint64_t backlog = collector->queue.n_flows; /* not what went and is in doubt */

	if (collector->settings->max_rate)
		return collector->settings->max_rate;
	if (!ops_of(collector)->templates_expire || send_is_pressed(collector))
		return 0;
	collector->backlog_peak = MAX(collector->backlog_peak, backlog);
	return MAX(COLLECTOR_SPREAD_RATE_MIN, collector->backlog_peak * 1000 / SPREAD_MS);
}

static bool may_go(struct collector *collector, uint64_t now_ns)
{
	uint32_t rate = collector->rate = rate_of(collector);
	double most = MAX(1, rate * (2.0 * PACE_EVERY_NS / NSEC_PER_SEC));

	collector->pace_ns = 0;
	if (!rate)
		return true;
	collector->tokens += rate * ((now_ns - collector->tokens_ns) / (double)NSEC_PER_SEC);
	collector->tokens = MIN(collector->tokens, most);
	collector->tokens_ns = now_ns;
	if (collector->tokens > 0)
		return true;
	collector->pace_ns = now_ns + MAX(PACE_EVERY_NS, -collector->tokens * NSEC_PER_SEC / rate);
	return false;
}

/* The next messages to send, headers written; those that have gone in part keep theirs. */
static int fill_batch(struct collector *collector, struct transport_message *batch)
{
	uint32_t sequence = collector->stats.sequence, first = collector->n_unacked;
	int n = MIN(collector->queue.n - first, COLLECTOR_BATCH);
	double left = collector->tokens;
	struct clock_now now;

	clock_read(&now);
	for (int i = 0; i < n; i++) {
		struct queue_entry *entry = queue_at(&collector->queue, first + i);

		if (i >= collector->transport->n_held)
			write_header(collector, entry, sequence, &now);
		sequence += entry->message->n_sequence + entry->gap;
		batch[i].part[0].iov_base = entry->header;
		batch[i].part[0].iov_len = entry->header_size;
		batch[i].part[1].iov_base = entry->message->body;
		batch[i].part[1].iov_len = entry->message->size;
		batch[i].joined = false;
		batch[i].template = entry->message->kind == MESSAGE_TEMPLATES;
		batch[i].data = entry->message->kind == MESSAGE_DATA;
		left -= entry->message->n_flows;
		if (collector->rate && left <= 0)
			return i + 1;
	}
	return n;
}

/* The first entry has arrived, as far as anyone can know. */
static void finish_first(struct collector *collector, bool joined)
{
	const struct queue_entry *entry = queue_at(&collector->queue, 0);
	struct message *message;

	if (ops_of(collector)->templates_expire)
		account_datagram(collector, entry, joined);
	else
		account_sent(&collector->stats, entry->message, 1, entry->header_size);
	message = take(collector, 0);
	message_unref(message);
}

/* n more messages have left us, the first that had not. */
static void advance(struct collector *collector, const struct transport_message *batch, int n,
		    uint64_t now_ns)
{
	if (n)
		collector->taken_ns = now_ns;
	for (int i = 0; i < n; i++) {
		struct queue_entry *entry = queue_at(&collector->queue, collector->n_unacked);
		const struct message *message = entry->message;

		collector->stats.sequence += message->n_sequence + entry->gap;
		entry->gap = 0;
		collector->tokens -= collector->rate ? message->n_flows : 0;
		collector->n_since_refresh += message->kind == MESSAGE_DATA;
		if (!collector->unrefused_ns)
			collector->unrefused_ns = now_ns;
		if (ops_of(collector)->unacked)
			collector->n_unacked++;
		else
			finish_first(collector, batch[i].joined);
	}
}

void send_take_acknowledged(struct collector *collector, uint64_t now_ns)
{
	uint32_t left, before = collector->n_unacked;
	uint64_t pause_ns = collector->ack_pause_ns;

	if (!before)
		return;
	left = ops_of(collector)->unacked(collector->transport);
	for (; collector->n_unacked > left; collector->n_unacked--)
		finish_first(collector, false);
	/* a peer that doesn't read is asked less and less often */
	pause_ns = left < before ? ACK_EVERY_NS : MIN(2 * pause_ns, ACK_SLOWEST_NS);
	collector->ack_pause_ns = MAX(pause_ns, ACK_EVERY_NS);
	collector->ack_ns = left ? now_ns + collector->ack_pause_ns : 0;
}

/* The first message is too large for the path: it goes in pieces, or is lost. */
static void split_first(struct collector *collector)
{
	uint32_t at = collector->n_unacked;
	struct queue_entry *entry = queue_at(&collector->queue, at);
	uint32_t most = collector->transport->max_message_size;
	const GPtrArray *templates;
	g_autoptr(GPtrArray) pieces = NULL;

	collector->stats.max_message_size = most;
	if (entry->header_size + entry->message->size > most && most > entry->header_size) {
		templates = collector->callbacks.templates(collector->callbacks.user, collector);
		pieces = message_split(entry->message, collector->settings->protocol, templates,
				       most - entry->header_size);
	}
	if (!pieces) {
		drop(collector, at, COLLECTOR_LOST_SEND);
		return;
	}
	message_unref(take(collector, at));
	insert_all(collector, at, pieces);
}

static void broken(struct collector *collector, int error, uint64_t now_ns)
{
	g_autofree char *reason = g_strdup_printf("session lost: %s", g_strerror(error));

	session_fail(collector, reason, now_ns);
}

void send_pump(struct collector *collector, uint64_t now_ns)
{
	struct transport_message batch[COLLECTOR_BATCH];

	if (refresh_due(collector, now_ns))
		refresh(collector, now_ns);
	while (collector->queue.n > collector->n_unacked && may_go(collector, now_ns)) {
		int n_batch = fill_batch(collector, batch);
		int n = ops_of(collector)->send(collector->transport, batch, n_batch);

		if (n == -EMSGSIZE) {
			split_first(collector);
			continue;
		}
		if (n < 0) {
			broken(collector, -n, now_ns);
			return;
		}
		advance(collector, batch, n, now_ns);
		if (collector->transport->expired && !collector->transport->n_held) {
			session_renew(collector, now_ns);
			return;
		}
		if (n == 0)
			break;
		if (refresh_due(collector, now_ns))
			refresh(collector, now_ns);
	}
	send_take_acknowledged(collector, now_ns);
}

/* SPDX-License-Identifier: MIT */
/*
 * The account of one collector: what waits, what went, what was lost, and what an ICMP error turns
 * from the one into the other. Above: collector_send.c.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "clock.h"
#include "collector_private.h"
#include "log.h"

#define QUIET_LEAST_NS	(5 * NSEC_PER_SEC)
#define QUIET_MOST_NS	(160 * NSEC_PER_SEC)
#define QUIET_FORGET_NS (600 * NSEC_PER_SEC)

const char *const collector_loss_names[COLLECTOR_N_LOSSES] = {
	[COLLECTOR_LOST_QUEUE] = "queue",
	[COLLECTOR_LOST_SEND] = "send",
};

static void add_queued(struct collector_stats *stats, const struct message *message, int sign)
{
	stats->queued_flows += sign * (int64_t)message->n_flows;
	stats->queued_packets += sign * message->n_packets;
	stats->queued_octets += sign * message->n_octets;
}

void account_queued(struct collector *collector, const struct message *message, int sign)
{
	struct collector_stats *stats = &collector->stats;

	stats->queued_bytes = collector->queue.bytes;
	stats->queued_messages = collector->queue.n;
	add_queued(stats, message, sign);
	if (!collector->queue.n_flows)
		collector->backlog_peak = 0;
}

static void add_lost(struct collector_stats *stats, const struct message *message,
		     enum collector_loss loss)
{
	if (message->kind != MESSAGE_DATA)
		return;
	stats->lost[loss].messages++;
	stats->lost[loss].records += message->n_records;
	stats->lost[loss].flows += message->n_flows;
	stats->lost[loss].packets += message->n_packets;
	stats->lost[loss].octets += message->n_octets;
}

void account_lost(struct collector *collector, const struct message *message,
		  enum collector_loss loss)
{
	add_lost(&collector->stats, message, loss);
}

void account_sent(struct collector_stats *stats, const struct message *message, int sign,
		  uint32_t header_size)
{
	stats->sent_messages += sign;
	stats->sent_bytes += sign * (int64_t)(message->size + header_size);
	stats->sent_flows += sign * (int64_t)message->n_flows;
	stats->sent_packets += sign * message->n_packets;
	stats->sent_octets += sign * message->n_octets;
	if (message->kind == MESSAGE_TEMPLATES)
		stats->sent_templates += sign;
	else
		stats->sent_records += sign * (int64_t)message->n_records;
}

/* Its place is needed: a sum is kept. */
static void forget(struct collector *collector, struct sent_datagram *sent)
{
	if (!sent->doubtful)
		return;
	sent->doubtful = false;
	account_sent(&collector->doubt, &sent->message, 1, sent->header_size);
	add_lost(&collector->doubt, &sent->message, COLLECTOR_LOST_SEND);
}

static void clear_sum(struct collector *collector)
{
	collector->stats.queued_flows -= collector->doubt.sent_flows;
	collector->stats.queued_packets -= collector->doubt.sent_packets;
	collector->stats.queued_octets -= collector->doubt.sent_octets;
	collector->doubt = (struct collector_stats){0};
}

void account_settle(struct collector *collector)
{
	struct collector_stats *stats = &collector->stats;
	const struct collector_stats *doubt = &collector->doubt;

	for (int i = 0; collector->sent && i < COLLECTOR_SENT; i++)
		forget(collector, &collector->sent[i]);
	stats->sent_messages += doubt->sent_messages;
	stats->sent_bytes += doubt->sent_bytes;
	stats->sent_records += doubt->sent_records;
	stats->sent_flows += doubt->sent_flows;
	stats->sent_packets += doubt->sent_packets;
	stats->sent_octets += doubt->sent_octets;
	stats->sent_templates += doubt->sent_templates;
	clear_sum(collector);
}

static void lose_sum(struct collector *collector)
{
	const struct collector_stats *doubt = &collector->doubt;
	int at = COLLECTOR_LOST_SEND;

	collector->stats.lost[at].messages += doubt->lost[at].messages;
	collector->stats.lost[at].records += doubt->lost[at].records;
	collector->stats.lost[at].flows += doubt->lost[at].flows;
	collector->stats.lost[at].packets += doubt->lost[at].packets;
	collector->stats.lost[at].octets += doubt->lost[at].octets;
	clear_sum(collector);
}

/* While others are refused it waits for its verdict among what is queued: a counter that takes back
 * what it has counted would look like a restart to whoever reads it. */
void account_datagram(struct collector *collector, const struct queue_entry *entry, bool joined)
{
	struct sent_datagram *sent;

	if (!collector->sent)
		collector->sent = g_new0(struct sent_datagram, COLLECTOR_SENT);
	sent = &collector->sent[collector->next_sent++ % COLLECTOR_SENT];
	forget(collector, sent);
	memcpy(sent->header, entry->header, sizeof(sent->header));
	sent->header_size = entry->header_size;
	sent->joined = joined;
	sent->message = *entry->message;
	sent->message.shares = NULL;
	sent->doubtful = collector->refused;
	if (sent->doubtful)
		add_queued(&collector->stats, &sent->message, 1);
	else
		account_sent(&collector->stats, &sent->message, 1, sent->header_size);
}

static struct sent_datagram *sent_at(struct collector *collector, uint32_t i)
{
	return &collector->sent[i % COLLECTOR_SENT];
}

/* Moves what was counted as sent, or in doubt, to the losses. */
static void recount(struct collector *collector, struct sent_datagram *sent)
{
	if (!sent->header_size)
		return;
	if (sent->doubtful)
		add_queued(&collector->stats, &sent->message, -1);
	else
		account_sent(&collector->stats, &sent->message, -1, sent->header_size);
	account_lost(collector, &sent->message, COLLECTOR_LOST_SEND);
	sent->header_size = 0;
	sent->doubtful = false;
}

/* Hosts and routers answer now and then only: what went between two that were refused was refused,
 * too. */
static void lose_doubtful(struct collector *collector, uint32_t first, uint32_t end)
{
	lose_sum(collector);
	for (uint32_t i = first; i != end; i++)
		if (sent_at(collector, i)->doubtful)
			recount(collector, sent_at(collector, i));
}

void account_give_up(struct collector *collector)
{
	const struct collector_lost *lost = &collector->stats.lost[COLLECTOR_LOST_SEND];
	const struct collector_lost before = *lost;
	uint32_t end = collector->next_sent;

	lose_doubtful(collector, end - MIN(end, COLLECTOR_SENT), end);
	if (lost->flows != before.flows)
		collector_log(collector, LOG_LEVEL_WARNING,
			      "%" PRIu64 " flows, %" PRIu64 " packets, %" PRIu64
			      " octets were in doubt and count as lost",
			      lost->flows - before.flows, lost->packets - before.packets,
			      lost->octets - before.octets);
}

/* A datagram was refused, and with it what went in the same packet: the host that answers may have
 * taken it uncut, or answer only the first. */
static void recount_packet(struct collector *collector, int error, const uint8_t *head, size_t size)
{
	uint32_t end = collector->next_sent, first = end - MIN(end, COLLECTOR_SENT), i;

	for (i = first; i != end; i++) {
		const struct sent_datagram *sent = sent_at(collector, i);

		if (sent->header_size && size >= sent->header_size &&
		    memcmp(sent->header, head, sent->header_size) == 0)
			break;
	}
	if (i == end)
		return;
	if (error != EMSGSIZE)
		lose_doubtful(collector, first, i);
	while (i != first && sent_at(collector, i)->joined)
		i--;
	do {
		recount(collector, sent_at(collector, i++));
	} while (i != end && sent_at(collector, i)->joined);
}

/* Hosts and routers answer now and then only, a neighbour that is gone after three seconds. Who
 * seemed to be back and was not has to be quiet for twice as long the next time. */
static uint64_t quiet_time(const struct collector *collector, uint64_t now_ns)
{
	if (!collector->quiet_ns || now_ns - collector->back_ns > QUIET_FORGET_NS)
		return QUIET_LEAST_NS;
	return MIN(2 * collector->quiet_ns, QUIET_MOST_NS);
}

static void note_refused(struct collector *collector, int error, uint64_t now_ns)
{
	bool news = !collector->refused;

	if (news)
		collector->quiet_ns = quiet_time(collector, now_ns);
	collector->refused = true;
	collector->unrefused_ns = 0;
	collector->stats.failures++;
	collector->refresh_ns = MIN(collector->refresh_ns, now_ns + COLLECTOR_REFUSED_REFRESH_NS);
	if (!news)
		return;
	g_strlcpy(collector->stats.last_error, g_strerror(error),
		  sizeof(collector->stats.last_error));
	collector_log(collector, LOG_LEVEL_WARNING, "%s; what is sent is lost", g_strerror(error));
	collector->stats.up = false;
}

void account_refused(void *user, int error, const uint8_t *head, size_t size)
{
	struct collector *collector = user;
	struct clock_now now;

	clock_read(&now);
	if (error != EMSGSIZE)
		note_refused(collector, error, now.mono_ns);
	recount_packet(collector, error, head, size);
}

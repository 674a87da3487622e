/* SPDX-License-Identifier: MIT */
/*
 * The account of one collector: what waits, what went, what was lost, and what an ICMP error turns
 * from the one into the other. Above: collector_send.c.
 */
#include "config.h"

#include <string.h>

#include "clock.h"
#include "collector_private.h"
#include "log.h"

#define QUIET_LEAST_NS	(5 * NSEC_PER_SEC)
#define QUIET_MOST_NS	(160 * NSEC_PER_SEC)
#define QUIET_FORGET_NS (600 * NSEC_PER_SEC)

const char *const collector_loss_names[COLLECTOR_N_LOSSES] = {
	[COLLECTOR_LOST_ENCODE] = "encode",
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
	if (!stats->queued_flows)
		collector->backlog_peak = 0;
}

void account_lost(struct collector *collector, const struct message *message,
		  enum collector_loss loss)
{
	if (message->kind != MESSAGE_DATA)
		return;
	collector->stats.lost[loss].messages++;
	collector->stats.lost[loss].records += message->n_records;
	collector->stats.lost[loss].flows += message->n_flows;
	collector->stats.lost[loss].packets += message->n_packets;
	collector->stats.lost[loss].octets += message->n_octets;
}

void collector_lose(struct collector *collector, const struct record_share *share)
{
	collector->stats.lost[COLLECTOR_LOST_ENCODE].records++;
	collector->stats.lost[COLLECTOR_LOST_ENCODE].flows += share->n_flows;
	collector->stats.lost[COLLECTOR_LOST_ENCODE].packets += share->n_packets;
	collector->stats.lost[COLLECTOR_LOST_ENCODE].octets += share->n_octets;
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

static void settle(struct collector *collector, struct sent_datagram *sent)
{
	if (!sent->doubtful)
		return;
	sent->doubtful = false;
	add_queued(&collector->stats, &sent->message, -1);
	account_sent(&collector->stats, &sent->message, 1, sent->header_size);
}

void account_settle(struct collector *collector)
{
	for (int i = 0; collector->sent && i < COLLECTOR_SENT; i++)
		settle(collector, &collector->sent[i]);
}

/* While others are refused it waits for its verdict among what is queued: a counter that takes back
 * what it has counted would look like a restart to whoever reads it. */
void account_datagram(struct collector *collector, const struct queue_entry *entry, bool joined)
{
	struct sent_datagram *sent;

	if (!collector->sent)
		collector->sent = g_new0(struct sent_datagram, COLLECTOR_SENT);
	sent = &collector->sent[collector->next_sent++ % COLLECTOR_SENT];
	settle(collector, sent);
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

/* A datagram was refused, and with it what went in the same packet: the host that answers may have
 * taken it uncut, or answer only the first. */
static void recount_packet(struct collector *collector, const uint8_t *head, size_t size)
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
	recount_packet(collector, head, size);
}

/* SPDX-License-Identifier: MIT */
/* The ring of messages of one collector. Above: collector_send.c. */
#include "config.h"

#include "collector_queue.h"

#define QUEUE_START 64 /* entries; an empty queue gives more than that back */

uint64_t queue_bytes_of(const struct message *message)
{
	uint64_t n_shares = message->shares ? message->n_records : 0;

	return message->size + MESSAGE_HEADER_MAX + n_shares * sizeof(*message->shares);
}

void queue_clear(struct queue *queue)
{
	while (queue->n)
		message_unref(queue_take(queue, 0));
	g_free(queue->entry);
	*queue = (struct queue){0};
}

static void grow(struct queue *queue)
{
	uint32_t capacity = queue->entry ? 2 * (queue->mask + 1) : QUEUE_START;
	struct queue_entry *entry = g_new(struct queue_entry, capacity);

	for (uint32_t i = 0; i < queue->n; i++)
		entry[i] = *queue_at(queue, i);
	g_free(queue->entry);
	queue->entry = entry;
	queue->head = 0;
	queue->mask = capacity - 1;
}

static void make_room(struct queue *queue, const struct message *message)
{
	if (!queue->entry || queue->n > queue->mask)
		grow(queue);
	queue->n++;
	queue->bytes += queue_bytes_of(message);
	queue->n_flows += message->n_flows;
}

void queue_push(struct queue *queue, struct message *message)
{
	make_room(queue, message);
	*queue_at(queue, queue->n - 1) = (struct queue_entry){.message = message};
}

void queue_insert(struct queue *queue, uint32_t at, struct message *message)
{
	make_room(queue, message);
	queue->head--;
	for (uint32_t i = 0; i < at; i++)
		*queue_at(queue, i) = *queue_at(queue, i + 1);
	*queue_at(queue, at) = (struct queue_entry){.message = message};
}

struct message *queue_take(struct queue *queue, uint32_t at)
{
	struct message *message = queue_at(queue, at)->message;

	for (uint32_t i = at; i > 0; i--)
		*queue_at(queue, i) = *queue_at(queue, i - 1);
	queue->head++;
	queue->n--;
	queue->bytes -= queue_bytes_of(message);
	queue->n_flows -= message->n_flows;
	if (queue->n == 0 && queue->mask >= QUEUE_START)
		queue_clear(queue);
	return message;
}

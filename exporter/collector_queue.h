/* SPDX-License-Identifier: MIT */
/* What a collector holds to send: a ring of counted messages, each with the header it got. Pure.
 * Above: collector_send.c. */
#ifndef BPFLOWD_COLLECTOR_QUEUE_H
#define BPFLOWD_COLLECTOR_QUEUE_H

#include "encoder.h"

struct queue_entry {
	struct message *message;
	uint32_t gap; /* sequence numbers of messages dropped right behind this one */
	uint8_t header_size;
	uint8_t header[MESSAGE_HEADER_MAX];
};

struct queue {
	struct queue_entry *entry;
	uint32_t head;
	uint32_t n;
	uint32_t mask;
	uint64_t bytes;	  /* of all messages, by queue_bytes_of */
	uint64_t n_flows; /* of all messages */
};

/* What a message takes, with its header and the shares of its records. */
uint64_t queue_bytes_of(const struct message *message);

void queue_clear(struct queue *queue);

static inline struct queue_entry *queue_at(const struct queue *queue, uint32_t i)
{
	return &queue->entry[(queue->head + i) & queue->mask];
}

/* Takes a reference over. */
void queue_push(struct queue *queue, struct message *message);

/* Puts one in front of the entry at `at`; cheap where little lies before it. Takes a reference
 * over. */
void queue_insert(struct queue *queue, uint32_t at, struct message *message);

/* Takes the entry at `at` out and gives its reference to the caller; cheap where little lies before
 * it. */
struct message *queue_take(struct queue *queue, uint32_t at);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Names to addresses without ever blocking: the only door to c-ares, which was chosen over
 * getaddrinfo_a because it starts no thread and can be cancelled. Above: collector_session.c.
 */
#ifndef BPFLOWD_RESOLVER_H
#define BPFLOWD_RESOLVER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

struct resolver;

struct resolver_address {
	socklen_t length;
	struct sockaddr_storage address;
};

/* Not as a whole: there is padding behind the length. */
static inline bool resolver_address_equal(const struct resolver_address *a,
					  const struct resolver_address *b)
{
	return a->length == b->length && memcmp(&a->address, &b->address, a->length) == 0;
}

/* addresses (struct resolver_address) in the order to try them, owned by the caller; NULL: error
 * says why, one sentence without end. */
typedef void resolver_answer(void *user, GArray *addresses, const char *error);

/* True if the text is an address, which needs no asking. */
bool resolver_is_literal(const char *host);

/* Asks hosts file and name servers as the system says now; answers once, from the main loop or
 * resolver_step, never before it returns. */
struct resolver *resolver_new(const char *host, uint16_t port, resolver_answer *answer, void *user);

/* Goes on without the main loop, for a caller that must not run what else waits there; never
 * blocks, and may answer. */
void resolver_step(struct resolver *resolver);

/* Cancels what has not been answered. May be called from the answer. NULL is fine. */
void resolver_free(struct resolver *resolver);

#endif

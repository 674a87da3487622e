/* SPDX-License-Identifier: MIT */
/*
 * Why the kernel drops: names of the running kernel's reasons. The numbers differ from kernel to
 * kernel, so names are what the configuration and the records speak; fetcher_reasons.c reads them
 * from BTF. Above: signals.c.
 */
#ifndef BPFLOWD_REASONS_H
#define BPFLOWD_REASONS_H

#include <glib.h>
#include <stdint.h>

#include "record.h"

/*
 * Not a loss, and so ignored unless the configuration says otherwise. Seen in traffic in which
 * nothing was lost, or free of consequence by what the kernel's comment says:
 * TCP_RESET           a reset that was obeyed
 * TCP_OLD_DATA        carries what has arrived already: retransmitted in vain
 * TCP_OLD_SEQUENCE    likewise; window probes and keep-alives look so on purpose
 * TCP_OLD_ACK         says what a later one has said already
 * TCP_OFOMERGE        its data lies in the queue already
 * OTHERHOST           for another host: seen because of promiscuous mode or flooding
 * IPV6_NDISC_NS_OTHERHOST  asks for another host's address
 * UNHANDLED_PROTO     nobody here speaks it (spanning tree, LLDP)
 * MAC_IEEE_MAC_CONTROL     pause frames, done their work
 * PACKET_SOCK_ERROR   a sniffer's copy, not the packet
 * UNIX_DISCONNECT, UNIX_SKIP_OOB   no network traffic
 * What depends on the packet too is told apart in the kernel (drops.bpf.c, is_harmless): echo
 * replies that find NO_SOCKET, what a closed TCP connection lets go of. NOT_SPECIFIED counts:
 * before 6.0 most drops have no other reason, and real ones have it still.
 */
#define REASONS_IGNORED                                                                       \
	"[TCP_RESET, TCP_OLD_DATA, TCP_OLD_SEQUENCE, TCP_OLD_ACK, TCP_OFOMERGE, OTHERHOST, "  \
	"IPV6_NDISC_NS_OTHERHOST, UNHANDLED_PROTO, MAC_IEEE_MAC_CONTROL, PACKET_SOCK_ERROR, " \
	"UNIX_DISCONNECT, UNIX_SKIP_OOB]"

struct reasons;

struct reasons *reasons_new(void);
void reasons_free(struct reasons *reasons); /* NULL is fine */

/* For flow_fetcher_drop_reasons: user is the struct reasons. */
void reasons_add(void *user, uint32_t number, const char *name);

/* Lives as long as reasons; one that is unknown has no name. */
const struct record_drop_cause *reasons_get(const struct reasons *reasons, uint32_t number);

/* In the order of the numbers. */
void reasons_foreach(const struct reasons *reasons,
		     void (*fn)(void *user, uint32_t number, const char *name), void *user);

/* Numbers (uint32_t) of names, those that this kernel doesn't have left out; caller frees. */
GArray *reasons_numbers(const struct reasons *reasons, char *const *names);

#endif

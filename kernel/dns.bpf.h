/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * DNS: queries wait in dns_flows until their answer passes; then an event with the latency and the
 * message goes to user space, which reads name, type and flags (exporter/dns.c). Nothing of a
 * message is believed: an answer counts only with the addresses, ports, id and question of a query
 * that waits. Where a packet leaves that was counted where it came in, it is observed: NAT may have
 * made it a query, or the answer, of other addresses. Above: track.bpf.h and netdev.bpf.c, which
 * bring the message; direct_flows, counters and hash_seed are theirs.
 */
#ifndef BPFLOWD_DNS_BPF_H
#define BPFLOWD_DNS_BPF_H

#include "kernel/core.bpf.h"

#define DNS_PORTS_MAX	16
#define DNS_HEADER	12
#define DNS_NAME_OCTETS 255 /* RFC 1035 2.3.4 */
#define DNS_LABEL_MAX	63
#define DNS_QR		0x80 /* in octet 2 */

/* Set before load; network order. */
const volatile __u16 dns_ports[DNS_PORTS_MAX] = {};
const volatile __u32 n_dns_ports = 0;
const volatile __u64 signal_timeout_ns = 5000000000ull; /* what comes later is no answer */

/*
 * Full only of queries that nobody answers, a flood with forged sources: then the oldest give way,
 * so that what is asked now is measured all the same. User space counts them (fetcher_signals.c).
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FLOW_WAITING);
	__type(key, struct flow_pair);
	__type(value, struct dns_query);
} dns_flows SEC(".maps");

/* Room for one message per CPU (guard.bpf.h). */
struct dns_room {
	struct flow_event_dns event;
	struct flow_pair pair;
	struct dns_query query;
	u64 hash;
	u32 left; /* octets of the label that is being read */
	u32 end;  /* of the question */
	u32 cpu;
	u32 strict;   /* what is no message is an error */
	u32 observer; /* ifindex of the hook that does not count this packet; 0: it is counted */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FLOW_MAX_CPUS);
	__type(key, u32);
	__type(value, struct dns_room);
} dns_rooms SEC(".maps");

static __always_inline bool is_dns_port(u16 port)
{
#pragma unroll
	for (u32 i = 0; i < DNS_PORTS_MAX; i++) {
		if (i >= n_dns_ports)
			break;
		if (dns_ports[i] == port)
			return true;
	}
	return false;
}

/* ports: source and destination as they lie in the packet. */
static __always_inline bool is_dns(u32 ports)
{
	return is_dns_port(ports & 0xffff) || is_dns_port(ports >> 16);
}

static __always_inline void set_pair(struct flow_pair *pair, const struct flow_key6 *k,
				     bool from_client, u32 ifindex)
{
	const u8 *client = from_client ? k->src_addr : k->dst_addr;
	const u8 *server = from_client ? k->dst_addr : k->src_addr;

	__builtin_memcpy(pair->client, client, 16);
	__builtin_memcpy(pair->server, server, 16);
	pair->client_port = from_client ? k->src_port : k->dst_port;
	pair->server_port = from_client ? k->dst_port : k->src_port;
	pair->ifindex = ifindex;
	pair->id = 0;
	pair->protocol = k->protocol;
	pair->netns = FLOW_IFACE_NETNS(k->iface);
	pair->eth_proto = k->eth_proto;
	*(u16 *)pair->pad = 0;
}

/* Forced out only by those who measure; the rest goes when there is much room. */
static __noinline int dns_emit(struct dns_room *room, u32 kind, u32 len)
{
	struct flow_counters *c = bpf_map_lookup_elem(&counters, &room->cpu);
	u64 waiting = bpf_ringbuf_query(&direct_flows, BPF_RB_AVAIL_DATA);
	u32 size = offsetof(struct flow_event_dns, message);

	if (!c || (room->observer && (kind == FLOW_DNS_QUERY || kind == FLOW_DNS_UNASKED ||
				      kind == FLOW_DNS_UNREADABLE)))
		return 0; /* was told where the packet came in */
	if (len <= FLOW_DNS_MESSAGE_MAX)
		size += len;
	/* clang adds first and compares then: the verifier of 6.12 needs the bound of the sum */
	asm volatile("" : "+r"(size));
	if (size > sizeof(struct flow_event_dns))
		return 0;
	room->event.event.type = FLOW_EVENT_DNS;
	room->event.message_len = size - offsetof(struct flow_event_dns, message);
	room->event.kind = kind;
	/* for the verifiers of 5.10 and 6.1, which know the bounds of the register tested alone */
	asm volatile("" : "+r"(size));
	if (size > offsetof(struct flow_event_dns, message) + FLOW_DNS_MESSAGE_MAX)
		return 0;
	if ((kind == FLOW_DNS_UNASKED && waiting > ring_high) ||
	    bpf_ringbuf_output(&direct_flows, &room->event, size,
			       waiting > ring_high ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP))
		c->lost_events++;
	return 0;
}

/*
 * Reads the first question: room->end behind it, 0 if it is cut or malformed; room->hash of name
 * (without regard to case, RFC 4343), type and class. What changes from octet to octet lies in map
 * memory, so that the verifier needs to look at each but once.
 */
static __noinline int dns_question(struct dns_room *room, u32 len)
{
	room->left = 0;
	room->end = 0;
	room->hash = hash_seed[0];
	for (u32 i = DNS_HEADER; i < DNS_HEADER + DNS_NAME_OCTETS; i++) {
		u8 c;

		if (i + 5 > len)
			return 0;
		c = room->event.message[i];
		if ((u8)(c - 'A') < 26)
			c |= 0x20;
		room->hash = (room->hash ^ c) * 0x100000001b3ull;
		if (room->left) {
			room->left--;
			continue;
		}
		if (c > DNS_LABEL_MAX)
			return 0;
		if (!c) {
			room->hash ^= (u64)room->event.message[i + 1] << 56 |
				      (u64)room->event.message[i + 2] << 48 |
				      (u64)room->event.message[i + 3] << 40 |
				      (u64)room->event.message[i + 4] << 32;
			room->end = i + 5;
			return 0;
		}
		room->left = c;
	}
	return 0;
}

static __noinline int dns_unanswered(struct dns_room *room, const struct dns_query *query)
{
	if (query->observer)
		return 0;
	room->event.query_flow = query->flow;
	return dns_emit(room, FLOW_DNS_UNANSWERED, 0);
}

/* again: the pair waits already. It may be pushed out meanwhile. Where another CPU begins the same
 * pair at this moment, that one waits: nothing began here, nothing is lost. */
static __always_inline void dns_begin(struct dns_room *room, bool again)
{
	struct flow_counters *c;
	int err; /* maps return no more before 6.4, commit d7ba4cc900bf */

	if (again && !bpf_map_update_elem(&dns_flows, &room->pair, &room->query, BPF_EXIST))
		return;
	c = bpf_map_lookup_elem(&counters, &room->cpu);
	if (!c)
		return;
	err = bpf_map_update_elem(&dns_flows, &room->pair, &room->query, BPF_NOEXIST);
	if (!err)
		c->dns_began++;
	else if (err != -EEXIST)
		c->dns_overflow++;
}

static __noinline int dns_asks(struct dns_room *room, u32 len)
{
	struct dns_query *old = bpf_map_lookup_elem(&dns_flows, &room->pair);
	bool same = old && old->question == room->hash, again;
	u64 now = room->event.now_ns;

	/* not translated, or a device under the one that saw it first: the same packet */
	if (same && room->observer && old->observer != room->observer)
		return 0;
	again = same && now - old->sent_ns < signal_timeout_ns;
	if (again && old->observer == room->observer) {
		old->sent_again = 1;
		return 0;
	}
	if (old)
		dns_unanswered(room, old);
	room->query.sent_ns = now;
	room->query.question = room->hash;
	room->query.flow = room->event.flow;
	room->query.observer = room->observer;
	room->query.sent_again = again;
	dns_begin(room, old);
	return dns_emit(room, FLOW_DNS_QUERY, len);
}

static __noinline int dns_answers(struct dns_room *room, u32 len)
{
	struct dns_query *query = bpf_map_lookup_elem(&dns_flows, &room->pair);
	struct flow_counters *c = bpf_map_lookup_elem(&counters, &room->cpu);
	bool no_question = !(room->event.message[4] | room->event.message[5]);
	u64 age;
	u32 kind;

	if (!c || !query || (query->question != room->hash && !no_question))
		return dns_emit(room, FLOW_DNS_UNASKED, len);
	age = room->event.now_ns - query->sent_ns;
	kind = query->sent_again ? FLOW_DNS_AMBIGUOUS : FLOW_DNS_ANSWER;
	room->query = *query;
	/* of two CPUs with an answer each one finds it */
	if (bpf_map_delete_elem(&dns_flows, &room->pair))
		return dns_emit(room, FLOW_DNS_UNASKED, len);
	c->dns_ended++;
	if (age >= signal_timeout_ns) {
		dns_emit(room, FLOW_DNS_UNASKED, len);
		return dns_unanswered(room, &room->query);
	}
	if (room->query.observer && room->observer)
		return 0;
	room->event.query_flow = room->query.flow;
	room->event.observed = !!room->query.observer;
	if (kind == FLOW_DNS_ANSWER)
		room->event.latency_us = age >= 1000 ? age / 1000 : 1;
	return dns_emit(room, kind, len);
}

/*
 * The message lies in the CPU's room, event.message, its flow in event.flow. ifindex: see
 * flow_pair. Returns whether it is a message.
 * Global, so that the verifier looks at it once and not for each way that leads here.
 */
__noinline int dns_message(u32 cpu, u32 len, u32 ifindex)
{
	struct dns_room *room = bpf_map_lookup_elem(&dns_rooms, &cpu);
	u32 questions;
	const u8 *m;
	bool answer;

	if (!room)
		return 0;
	m = room->event.message;
	answer = m[2] & DNS_QR;
	questions = (u32)m[4] << 8 | m[5];
	__builtin_memset(&room->event.query_flow, 0, sizeof(room->event.query_flow));
	room->event.now_ns = bpf_ktime_get_ns();
	room->event.latency_us = 0;
	room->event.observed = 0;
	if (len < DNS_HEADER) {
		if (room->strict)
			dns_emit(room, FLOW_DNS_UNREADABLE, len);
		return 0;
	}
	room->end = 0;
	if (questions)
		dns_question(room, len);
	if ((questions || !answer) && !room->end) {
		if (room->strict)
			dns_emit(room, FLOW_DNS_UNREADABLE, len);
		return 0;
	}
	if (!room->strict && (questions != 1 || (!answer && (m[6] | m[7] | m[8] | m[9]))))
		return 0;
	set_pair(&room->pair, &room->event.flow, !answer, ifindex);
	room->pair.id = *(u16 *)m;
	if (answer)
		dns_answers(room, len);
	else
		dns_asks(room, len);
	return 1;
}

#endif

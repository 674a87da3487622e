/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Round trip times of TCP handshakes that pass: SYN to SYN-ACK is the way to the server and back,
 * SYN-ACK to ACK the one to the client. Karn's rule: what was sent more than once is not measured.
 * SYN packets come here all; an ACK only if its flow's slot is marked FLOW_HANDSHAKE, or new, or,
 * at the egress hook that does not count it, if it has just ended a handshake where it came in.
 * Above: track.bpf.h.
 */
#ifndef BPFLOWD_RTT_BPF_H
#define BPFLOWD_RTT_BPF_H

#include "kernel/dns.bpf.h"

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

#define ACKS 8 /* flow_counters.opening_acks: as many as GRO may bring at once */

/* As dns_flows: in a flood of SYNs the oldest give way. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FLOW_WAITING);
	__type(key, struct flow_pair);
	__type(value, struct handshake);
} flow_sequences SEC(".maps");

struct rtt_room {
	struct flow_pair pair;
	struct handshake handshake;
	u32 seq; /* of the packet; host order */
	u32 ack;
	u32 observer; /* as in dns_room */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FLOW_MAX_CPUS);
	__type(key, u32);
	__type(value, struct rtt_room);
} rtt_rooms SEC(".maps");

static __always_inline u32 rtt_us(u64 from, u64 to)
{
	u64 ns = to - from;

	return ns >= 1000 ? ns / 1000 : 1;
}

static __noinline int rtt_emit(struct handshake *h, u64 now, u32 server_us, u32 client_us, u32 cpu)
{
	struct flow_counters *c = bpf_map_lookup_elem(&counters, &cpu);
	struct flow_event_rtt *e;

	if (h->syn_observer && h->syn_ack_observer)
		return 0; /* neither has a flow */
	e = bpf_ringbuf_reserve(&direct_flows, sizeof(*e), 0);
	if (!e) {
		if (c)
			c->lost_events++;
		return 0;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->event.type = FLOW_EVENT_RTT;
	e->now_ns = now;
	e->rtt.server_us = server_us;
	e->rtt.client_us = client_us;
	e->from_client = h->from_client;
	e->from_server = h->from_server;
	bpf_ringbuf_submit(e, ring_wakeup(0));
	return 0;
}

/* As dns_begin. */
static __always_inline int rtt_begin(struct rtt_room *room, bool again, u32 cpu)
{
	struct flow_counters *c;
	int err; /* maps return no more before 6.4, commit d7ba4cc900bf */

	if (again &&
	    !bpf_map_update_elem(&flow_sequences, &room->pair, &room->handshake, BPF_EXIST))
		return 0;
	c = bpf_map_lookup_elem(&counters, &cpu);
	if (!c)
		return 0;
	err = bpf_map_update_elem(&flow_sequences, &room->pair, &room->handshake, BPF_NOEXIST);
	if (!err)
		c->rtt_began++;
	else if (err != -EEXIST)
		c->rtt_overflow++;
	return 0;
}

static __noinline int rtt_syn(struct rtt_room *room, const struct flow_key6 *flow, u64 now, u32 cpu)
{
	struct handshake *h = bpf_map_lookup_elem(&flow_sequences, &room->pair);
	bool same = h && h->client_seq == room->seq, again;

	/* as in dns_asks */
	if (same && room->observer && h->syn_observer != room->observer)
		return 0;
	again = same && now - h->syn_ns < signal_timeout_ns * 12;
	if (again && h->syn_observer == room->observer) {
		h->syn_again = 1;
		return 0;
	}
	__builtin_memset(&room->handshake, 0, sizeof(room->handshake));
	room->handshake.syn_ns = now;
	room->handshake.client_seq = room->seq;
	room->handshake.from_client = *flow;
	room->handshake.syn_observer = room->observer;
	room->handshake.syn_again = again;
	return rtt_begin(room, h, cpu);
}

static __noinline int rtt_syn_ack(struct rtt_room *room, const struct flow_key6 *flow, u64 now,
				  u32 cpu)
{
	struct handshake *h = bpf_map_lookup_elem(&flow_sequences, &room->pair);

	if (!h || room->ack != h->client_seq + 1)
		return 0;
	if (h->syn_ack_ns) {
		if (h->syn_ack_observer == room->observer)
			h->syn_ack_again = 1;
		return 0;
	}
	h->syn_ack_ns = now;
	h->syn_ack_observer = room->observer;
	h->server_seq = room->seq;
	h->from_server = *flow;
	if (h->syn_again)
		return 0;
	return rtt_emit(h, now, rtt_us(h->syn_ns, now), 0, cpu);
}

/* empty: without data, which could have waited for the application. */
static __noinline int rtt_ack(struct rtt_room *room, u64 now, u32 empty, u32 cpu)
{
	struct handshake *h = bpf_map_lookup_elem(&flow_sequences, &room->pair);
	struct flow_counters *c = bpf_map_lookup_elem(&counters, &cpu);

	if (!c || !h || !h->syn_ack_ns)
		return 0;
	if (room->seq != h->client_seq + 1 || room->ack != h->server_seq + 1)
		return 0;
	if (empty && !h->syn_ack_again)
		rtt_emit(h, now, 0, rtt_us(h->syn_ack_ns, now), cpu);
	/* the egress hook of this CPU may see this ACK translated, and there no slot of a flow is
	 * marked */
	if (count_once && !room->observer)
		c->opening_acks[room->ack % ACKS] = room->ack;
	if (!bpf_map_delete_elem(&flow_sequences, &room->pair))
		c->rtt_ended++;
	return 0;
}

#endif

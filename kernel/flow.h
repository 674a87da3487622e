/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The border between the eBPF programs and the daemon: keys, metrics, slots of the flow table,
 * events of the ring buffer, counters. The only header that both sides include. Below it: *.bpf.h;
 * above it: exporter/fetcher.c.
 *
 * A slot holds a tenancy of one flow. Its counters only grow during the tenancy; user space
 * remembers what it took already and takes the difference. `gen` is odd while the slot changes
 * hands, even while it is stable, 0 while it was never used. User space writes the current `gen`
 * into `retire` to have the next packet start a new tenancy.
 */
#ifndef BPFLOWD_FLOW_H
#define BPFLOWD_FLOW_H

#include <linux/types.h>

#define FLOW_WAYS	 4    /* slots of a group; a flow may lie in two groups */
#define FLOW_MAX_CPUS	 1024 /* highest CPU number + 1 that has counters */
#define FLOW_MPLS_LABELS 3    /* top labels kept (RFC 3032), outermost first */
#define FLOW_TICK_SHIFT \
	10 /* slot times count 1024 ns of CLOCK_MONOTONIC, modulo 2^32 (73 minutes) */
#define FLOW_WAITING	  16384	   /* queries, and handshakes, that may wait at a time */
#define FLOW_MAX_IFINDEX  0x7fffff /* an interface with a higher index can't be metered */
#define FLOW_MAX_NETNS	  32	   /* namespaces that one daemon meters */
#define FLOW_DNS_NAME_MAX 256	   /* wire form of a name is at most 255 octets (RFC 1035 2.3.4) */

/* Never a function of its own: a call for each packet. */
#define FLOW_INLINE static inline __attribute__((always_inline))

enum flow_direction { FLOW_INGRESS = 0, FLOW_EGRESS = 1 }; /* IANA flowDirection (61) */

/* Where a packet was counted: namespace, direction and interface in one word of the key. */
#define FLOW_IFACE(netns, direction, ifindex) \
	((__u32)(netns) << 24 | (__u32)(direction) << 23 | ((__u32)(ifindex)&FLOW_MAX_IFINDEX))
#define FLOW_IFACE_NETNS(iface)	    ((iface) >> 24)
#define FLOW_IFACE_DIRECTION(iface) (((iface) >> 23) & 1)
#define FLOW_IFACE_IFINDEX(iface)   ((iface)&FLOW_MAX_IFINDEX)

/* What the programs must know of an interface. */
enum flow_iface_flag {
	FLOW_IFACE_COVERED = 1, /* count: once: what comes in here was counted here or below */
	FLOW_IFACE_NO_ETHERNET =
		2, /* packets begin with the network header (tun, ppp, wireguard) */
	/* What comes in is not counted here though it is hooked, but where it leaves. COVERED on
	 * ends this and COVERED off begins it at the same instant, so that no packet is counted
	 * twice while hooks come and go. */
	FLOW_IFACE_HELD = 4,
	FLOW_IFACE_INGRESS = 8, /* hooked */
	FLOW_IFACE_EGRESS = 16,
};

/* tcp_flags of a slot: the low 12 bits are those of the TCP header (RFC 9293 3.1: reserved bits,
 * NS, CWR ... FIN) */
#define FLOW_TCP_FLAGS 0x0fff
#define FLOW_FRAGMENT  0x1000 /* at least one packet of the flow was a fragment */
#define FLOW_FAR_KNOWN 0x2000 /* the egress hook has told the far interface */
#define FLOW_HANDSHAKE 0x4000 /* TCP handshake being watched for its RTT */
#define FLOW_GOES_ON   0x8000 /* the slot was the same flow's before */

/* In the last word of either key, as little-endian machines have it: of tos, the ECN bits, which
 * are those of the first packet and no key. */
#define FLOW_ECN 0x300ull

/* Key of an IPv4 flow as it lies in the table; addresses and ports in network order, the rest in
 * host order. */
struct flow_key4 {
	__u32 src_addr;
	__u32 dst_addr;
	__u16 src_port; /* network order; ICMP: 0 */
	__u16 dst_port; /* network order; ICMP: type * 256 + code */
	__u32 iface;	/* FLOW_IFACE */
	__u8 protocol;
	__u8 tos;	  /* DSCP is key; the ECN bits are those of the first packet */
	__u16 vlan;	  /* outermost VLAN id, 0: untagged */
	__u16 inner_vlan; /* second VLAN id, 0: none */
	__u16 pad;
};

/* Key of an IPv6 flow, or of a non-IP flow: then src_addr and dst_addr begin with the MAC
 * addresses. */
struct flow_key6 {
	__u8 src_addr[16];
	__u8 dst_addr[16];
	__u16 src_port;
	__u16 dst_port;
	__u32 iface;
	__u8 protocol;
	__u8 tos;
	__u16 vlan;
	__u16 inner_vlan;
	__u16 eth_proto; /* host order: 0x86dd, or the ethertype of a non-IP flow */
};

/* What every packet touches. */
struct flow_hot {
	__u32 gen;
	__u32 retire;
	__u64 packets; /* wire packets: a GSO packet counts its segments */
	__u64 bytes;   /* IP-layer octets on the wire; non-IP: octets after the link header */
	__u32 first;   /* ticks, modulo 2^32 */
	__u32 last;
	__u16 tcp_flags;
	__u16 min_len;
	__u16 max_len;
	__u8 min_ttl;
	__u8 max_ttl;
};

/* What is written once per tenancy, with the first packet, and by the egress hook. */
struct flow_cold {
	__u8 dst_mac[6]; /* as in the frame: destination first */
	__u8 src_mac[6];
	__u32 mpls[FLOW_MPLS_LABELS]; /* label << 12 | tc << 9 | s << 8 | ttl as on the wire, host
					 order; 0: none */
	__u32 far_ifindex; /* counted at ingress: leaves there; at egress: came in there; 0:
			      unknown, local */
	__u16 far_vlan;
	__u16 skb_hash_low;
};

struct flow_slot4 {
	struct flow_key4 key;
	struct flow_hot hot;
};

struct flow_slot6 {
	struct flow_key6 key;
	struct flow_hot hot;
	struct flow_cold cold;
	__u8 pad[8];
};

struct flow_group4 {
	struct flow_slot4 way[FLOW_WAYS];
};

struct flow_group6 {
	struct flow_slot6 way[FLOW_WAYS];
};

struct flow_cold_group {
	struct flow_cold way[FLOW_WAYS];
};

_Static_assert(sizeof(struct flow_slot4) == 64, "an IPv4 flow is one cache line");
_Static_assert(sizeof(struct flow_slot6) == 128, "an IPv6 flow is two cache lines");
_Static_assert(sizeof(struct flow_cold) == 32, "two cold parts in a cache line");

/*
 * Where a flow may lie: in one of two groups of each CPU's partition, in the second only if the
 * first had no unused slot when it began. Both sides have to find it, so both hash alike. The last
 * round is for ports that count up, which one multiplication lays in rows. seed: 4 random words.
 */
FLOW_INLINE __u64 flow_mix(__u64 h, __u64 word, __u64 odd)
{
	h = (h ^ word) * odd;
	return h ^ h >> 32;
}

/* Of a flow_key4 in words. */
FLOW_INLINE __u64 flow_hash4(const volatile __u64 *seed, __u64 w0, __u64 w1, __u64 w2)
{
	__u64 h = flow_mix(seed[0], w0, seed[1] | 1);

	h = flow_mix(h, w1 ^ (w2 & ~FLOW_ECN) << 24, seed[2] | 1);
	return flow_mix(h, 0, seed[3] | 1);
}

/* Of a flow_key6 in words. */
FLOW_INLINE __u64 flow_hash6(const volatile __u64 *seed, const __u64 *w)
{
	__u64 h = flow_mix(seed[0], w[0], seed[1] | 1);

	h = flow_mix(h, w[1], seed[2] | 1);
	h = flow_mix(h, w[2], seed[3] | 1);
	h = flow_mix(h, w[3], seed[1] | 1);
	h = flow_mix(h, w[4] ^ (w[5] & ~FLOW_ECN) << 24, seed[2] | 1);
	return flow_mix(h, 0, seed[3] | 1);
}

/* Group of a hash in the partition of a CPU: the upper half, spread over any number of groups. */
FLOW_INLINE __u32 flow_group(__u64 hash, __u32 groups, __u32 cpu)
{
	return cpu * groups + (__u32)(((hash >> 32) * groups) >> 32);
}

/* The second one: the lower half. */
FLOW_INLINE __u32 flow_second_group(__u64 hash, __u32 groups, __u32 cpu)
{
	return flow_group(hash << 32, groups, cpu);
}

/* Where the search begins in a group. */
FLOW_INLINE __u32 flow_way(__u64 hash)
{
	return (__u32)hash & (FLOW_WAYS - 1);
}

/* Identity of a flow in one form for every family: what the daemon works with. Host order but for
 * the addresses. */
struct flow_id {
	__u8 src_addr[16]; /* IPv4: the first 4; non-IP: MAC in the first 6; the rest 0 */
	__u8 dst_addr[16];
	__u16 src_port;
	__u16 dst_port; /* ICMP, ICMPv6: type * 256 + code */
	__u32 ifindex;	/* where it is counted */
	__u16 eth_proto;
	__u16 vlan;
	__u16 inner_vlan;
	__u8 protocol;
	__u8 tos;
	__u8 direction;
	__u8 netns; /* number of the namespace, 0: the daemon's own */
	__u8 pad[2];
};

struct pkt_drops {
	__u64 packets;
	__u64 bytes;	    /* IP-layer octets */
	__u32 latest_cause; /* enum skb_drop_reason of the running kernel */
	__u8 latest_state;  /* TCP_* of the socket, 0: none */
	__u8 pad[3];
};

/* Round trip times in microseconds, 0: not measured. */
struct flow_rtt {
	__u32 server_us;   /* SYN -> SYN-ACK: probe to server and back */
	__u32 client_us;   /* SYN-ACK -> ACK: probe to client and back */
	__u32 smoothed_us; /* of a local socket */
	__u32 min_us;	   /* of a local socket */
};

/* Counts of a flow, or of what was added to it. Times are CLOCK_MONOTONIC nanoseconds. */
struct flow_metrics {
	__u64 packets;
	__u64 bytes;
	__u64 start_ns;
	__u64 end_ns;
	struct pkt_drops drops;
	struct flow_rtt rtt;
	__u32 mpls[FLOW_MPLS_LABELS];
	__u32 far_ifindex;
	__u16 far_vlan;
	__u16 tcp_flags; /* FLOW_TCP_FLAGS */
	__u16 min_len;
	__u16 max_len;
	__u8 min_ttl;
	__u8 max_ttl;
	__u8 src_mac[6];
	__u8 dst_mac[6];
	__u8 fragment; /* 1: at least one packet was a fragment */
	__u8 pad[1];
};

/* DNS of a flow: of its latest transaction, and sums over all of them. */
struct dns_record {
	__u64 latency_sum_us;
	__u32 latency_us; /* latest */
	__u32 latency_min_us;
	__u32 latency_max_us;
	__u32 responses;  /* matched with their query */
	__u32 unanswered; /* queries that found no answer in time */
	__u32 errors;	  /* messages that could not be parsed */
	__u16 id;
	__u16 flags; /* second 16 bits of the header, RFC 1035 4.1.1 */
	__u16 query_type;
	__u16 name_len;		      /* octets of name in use */
	__u8 name[FLOW_DNS_NAME_MAX]; /* wire form (length octet before each label), uncompressed */
};

/* Events in direct_flows. Each begins with this head. */
enum flow_event_type {
	FLOW_EVENT_SLOT4 = 1, /* flow_event_slot4: pushed out of the table */
	FLOW_EVENT_SLOT6 = 2, /* flow_event_slot6 */
	FLOW_EVENT_DNS = 3,   /* flow_event_dns */
	FLOW_EVENT_RTT = 4,   /* flow_event_rtt */
	FLOW_EVENT_DROP = 5,  /* flow_event_drop_slot in the ring, flow_event_drop above it */
};

struct flow_event {
	__u32 type;
	__u32 index; /* slots: group * FLOW_WAYS + way */
};

struct flow_event_slot4 {
	struct flow_event event;
	struct flow_slot4 slot;
	struct flow_cold cold;
};

struct flow_event_slot6 {
	struct flow_event event;
	struct flow_slot6 slot;
};

/*
 * Drops of one flow for one cause: a slot of drop_table, which works as the flow table does. Both
 * families have the wide key; eth_proto tells them apart.
 */
struct drop_slot {
	struct flow_key6 key;
	__u32 cause;
	__u32 gen;
	__u32 first; /* ticks, as in flow_hot */
	__u32 last;
	__u64 packets; /* second cache line */
	__u64 bytes;
	__u8 state;  /* TCP_* of the socket at the latest drop, 0: none */
	__u8 unsure; /* nothing told the namespace: only the flow itself can confirm it */
	__u8 pad[46];
};

struct drop_group {
	struct drop_slot way[FLOW_WAYS];
};

_Static_assert(sizeof(struct drop_slot) == 128, "a drop slot is two cache lines");

/* Reasons that can be ignored: by subsystem (upper 16 bits) and number. */
#define FLOW_DROP_SUBSYSTEMS 8
#define FLOW_DROP_NUMBERS    256

struct flow_event_drop_slot {
	struct flow_event event;
	struct drop_slot slot;
};

/* What user space makes of a drop slot. */
struct flow_event_drop {
	struct flow_event event;
	struct flow_id id;
	struct pkt_drops drops;
	__u64 start_ns;
	__u64 end_ns;
	__u8 unsure; /* id.netns is a guess: only for a flow that exists, in whichever namespace */
	__u8 pad[7];
};

/* DNS messages, header and question at most. */
#define FLOW_DNS_MESSAGE_MAX 272 /* 12 + 255 + 4, rounded up */

enum flow_dns_kind {
	FLOW_DNS_QUERY = 1,	 /* first sight of a query */
	FLOW_DNS_ANSWER = 2,	 /* with the latency since its query */
	FLOW_DNS_AMBIGUOUS = 3,	 /* the query had been sent more than once: no latency (Karn) */
	FLOW_DNS_UNASKED = 4,	 /* answer without query, or after the timeout */
	FLOW_DNS_UNANSWERED = 5, /* no message: a query found no answer in time */
	FLOW_DNS_UNREADABLE = 6, /* no DNS message */
};

struct flow_event_dns {
	struct flow_event event;
	__u64 now_ns; /* CLOCK_MONOTONIC */
	__u32 latency_us;
	__u16 message_len; /* octets kept */
	__u8 kind;
	__u8 observed; /* so was the query (dns_query): where it was counted the answer is told too
			*/
	/* Flows of the message and of its query; an ifindex of 0: not counted anywhere. IPv4 too.
	 */
	struct flow_key6 flow;
	struct flow_key6 query_flow; /* QUERY, UNASKED, UNREADABLE: not set */
	__u8 message[FLOW_DNS_MESSAGE_MAX];
};

struct flow_event_rtt {
	struct flow_event event;
	__u64 now_ns;
	struct flow_rtt rtt; /* what was measured now */
	/* an ifindex of 0: not counted anywhere */
	struct flow_key6 from_client;
	struct flow_key6 from_server;
};

/* Who talks to whom, the same for both directions: key of dns_flows and flow_sequences. */
struct flow_pair {
	__u8 client[16]; /* IPv4: the first 4 */
	__u8 server[16];
	__u16 client_port; /* network order */
	__u16 server_port;
	__u32 ifindex; /* 0 where a packet is counted once: its answer may come another way */
	__u16 id;      /* DNS */
	__u8 protocol;
	__u8 netns;
	__u16 eth_proto;
	__u8 pad[2];
};

/* A query that waits for its answer: dns_flows. */
struct dns_query {
	__u64 sent_ns;	/* CLOCK_MONOTONIC */
	__u64 question; /* hash of name, type and class */
	struct flow_key6 flow;
	__u32 observer; /* egress hook, by ifindex, that saw it translated; 0: it was counted */
	__u8 sent_again;
	__u8 pad[3];
};

/* A TCP handshake that goes on: flow_sequences. */
struct handshake {
	__u64 syn_ns;	  /* CLOCK_MONOTONIC */
	__u64 syn_ack_ns; /* 0: not seen */
	struct flow_key6 from_client;
	struct flow_key6 from_server;
	__u32 client_seq;
	__u32 server_seq;
	__u32 syn_observer; /* as in dns_query */
	__u32 syn_ack_observer;
	__u8 syn_again;
	__u8 syn_ack_again;
	__u8 pad[6];
};

/* The id of a key in the wide form, IPv4 too. */
static inline void flow_id_from_key(struct flow_id *id, const struct flow_key6 *key)
{
	const __u8 *ports = (const __u8 *)&key->src_port;

	__builtin_memset(id, 0, sizeof(*id));
	__builtin_memcpy(id->src_addr, key->src_addr, 16);
	__builtin_memcpy(id->dst_addr, key->dst_addr, 16);
	id->src_port = ports[0] << 8 | ports[1];
	id->dst_port = ports[2] << 8 | ports[3];
	id->ifindex = FLOW_IFACE_IFINDEX(key->iface);
	id->eth_proto = key->eth_proto;
	id->vlan = key->vlan;
	id->inner_vlan = key->inner_vlan;
	id->protocol = key->protocol;
	id->tos = key->tos;
	id->direction = FLOW_IFACE_DIRECTION(key->iface);
	id->netns = FLOW_IFACE_NETNS(key->iface);
}

/* Of one CPU. */
struct drop_counters {
	__u64 packets; /* of flows, lost_ring_packets included */
	__u64 lost_ring_packets;
	__u64 lost_busy_packets; /* dropped inside of another drop */
	__u64 unread_packets;	 /* ours, but no header could be read: in no flow */
	__u32 busy;
	__u32 pad[7];
};

_Static_assert(sizeof(struct drop_counters) == 64, "one cache line per CPU");

/* Counters of one CPU. Everything that a hook saw and had to account for is in observed_*; the rest
 * says what became of it where that is not a slot. Only grow. */
struct flow_counters {
	__u64 observed_packets[2]; /* by enum flow_direction; packets that are ours to count */
	__u64 observed_bytes[2];
	__u64 lost_table_packets; /* no slot: CPU without a partition, or busy */
	__u64 lost_table_bytes;
	__u64 lost_ring_packets; /* the ring had no room for the flow that had to give way */
	__u64 lost_ring_bytes;
	__u64 unsampled_packets;
	__u64 evicted_flows;
	__u64 created_flows;
	__u64 malformed_packets; /* counted all the same, as far as they could be read */
	__u64 dns_overflow;	 /* queries that dns_flows had no room for, or no longer */
	__u64 rtt_overflow;	 /* handshakes that flow_sequences had no room for, or no longer */
	__u64 lost_events;	 /* DNS and RTT events that the ring had no room for */
	__u64 far_tick;		 /* no counter: jiffies of the latest far hint (far.bpf.h) */
	__u32 opening_acks[8];	 /* no counters: of handshakes that end now (rtt.bpf.h) */
	__u64 dns_began;	 /* entries put into dns_flows by the packet path, */
	__u64 dns_ended;	 /* and taken off by it; what else is gone was pushed out */
	__u64 rtt_began;	 /* likewise flow_sequences */
	__u64 rtt_ended;
	/* PREEMPT_RT: what came while another packet was being counted on this CPU (guard.bpf.h);
	 * flow_fetcher_counters has it in observed_ and lost_table_, unsampled_ and lost_events */
	__u64 busy_packets[2];
	__u64 busy_bytes[2];
	__u64 busy_unsampled;
	__u64 busy_events;
	__u64 created_flows6; /* those of created_flows that are not IPv4 */
	__u32 busy;
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct flow_counters) == 256, "counters of a CPU fill whole cache lines");

#endif

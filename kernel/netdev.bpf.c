/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * DNS that leaves through metered devices that carry no egress program (metering.direction:
 * ingress): the queries of this host and the answers of its name server, whose other half passes an
 * ingress hook. Attached only while there is such a device. A packet that came in by an interface
 * that is hooked, or lies over hooked ones (a bridge, a VLAN device), has been seen there. What is
 * sent by a socket lies in the linear part with UDP, in pages with TCP: DNS over TCP is not read
 * here.
 */
#include "kernel/core.bpf.h"

const volatile __u32 ring_high = 1 << 19;
const volatile __u64 hash_seed[4] = {1, 2, 3, 4}; /* flows.bpf.c's */
const volatile __u8 count_once = 1;

/* By the low 16 bits of the index: a first look. */
__u8 queue_devices[1 << 16];

/* flows.bpf.c's */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} direct_flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, FLOW_MAX_CPUS);
	__type(key, u32);
	__type(value, struct flow_counters);
} counters SEC(".maps");

#include "kernel/dns.bpf.h"
#include "kernel/guard.bpf.h"
#include "kernel/skb.bpf.h"

char _license[] SEC("license") = "Dual MIT/GPL";

#define UDP_HEADER 8

/* Metered, and its egress hook sees nothing. */
static __always_inline bool is_ingress_only(u8 flags)
{
	return (flags & (FLOW_IFACE_INGRESS | FLOW_IFACE_EGRESS)) == FLOW_IFACE_INGRESS;
}

static __noinline int read_message(struct sk_buff *skb, const struct skb_headers *h, u32 ifindex,
				   u32 cpu)
{
	struct dns_room *room = bpf_map_lookup_elem(&dns_rooms, &cpu);
	u32 off = h->l4 + UDP_HEADER, tail = skb->tail, len;

	if (!room || off >= tail)
		return 0;
	len = tail - off;
	if (len > FLOW_DNS_MESSAGE_MAX)
		len = FLOW_DNS_MESSAGE_MAX;
	room->event.flow = h->key;
	room->cpu = cpu;
	room->strict = 1;
	room->observer = 0;
	__builtin_memset(room->event.message, 0, DNS_HEADER);
	if (bpf_probe_read_kernel(room->event.message, len, skb->head + off))
		return 0;
	return dns_message(cpu, len, count_once ? 0 : ifindex);
}

static __noinline int queued(struct sk_buff *skb, u32 ifindex)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct flow_counters *c = bpf_map_lookup_elem(&counters, &cpu);
	struct skb_headers h = {};
	struct skb_way way;

	skb_way(skb, NULL, &way, true);
	if (!c || way.netns < 0 || way.unsure ||
	    !is_ingress_only(interface_flags(way.netns, ifindex)) ||
	    (interface_flags(way.netns, way.in) & (FLOW_IFACE_INGRESS | FLOW_IFACE_COVERED)))
		return 0;
	if (!skb_parse(skb, &way, &h, true) || h.key.protocol != IPPROTO_UDP || !h.l4)
		return 0;
	/* counted nowhere: no flow of its own */
	h.key.iface = FLOW_IFACE(way.netns, FLOW_EGRESS, 0);
	if (!enter_cpu(&c->busy)) {
		__sync_fetch_and_add(&c->busy_events, 1);
		return 0;
	}
	read_message(skb, &h, ifindex, cpu);
	leave_cpu(&c->busy);
	return 0;
}

SEC("tp_btf/net_dev_queue")
int trace_net_packets(u64 *ctx)
{
	struct sk_buff *skb = (struct sk_buff *)ctx[0];
	u32 ifindex = skb->dev->ifindex, ports = 0;

	if (!queue_devices[ifindex & 0xffff])
		return 0;
	bpf_probe_read_kernel(&ports, sizeof(ports), skb->head + skb->transport_header);
	return is_dns(ports) ? queued(skb, ifindex) : 0;
}

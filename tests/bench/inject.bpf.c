/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The source of inject.c: each run makes the packet of the next flow out of a frame that a router
 * may have forwarded before, and passes it to the interface's receive path.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define PORTS_PER_HOST 4096
#define FIRST_PORT     4096

struct headers {
	struct ethhdr ethernet;
	struct iphdr ip;
	struct udphdr udp;
} __attribute__((packed));

__u8 first_packet[sizeof(struct headers)]; /* its checksum does not count the source address */
__u64 next_flow;
__u64 n_flows = 1;

SEC("xdp")
int inject(struct xdp_md *context)
{
	struct headers *h = (void *)(long)context->data;
	__u64 flow = next_flow;
	__u32 source, sum;

	if ((void *)(h + 1) > (void *)(long)context->data_end)
		return XDP_ABORTED;
	next_flow = flow + 1 < n_flows ? flow + 1 : 0;
	__builtin_memcpy(h, first_packet, sizeof(*h));
	source = bpf_ntohl(h->ip.saddr) + flow / PORTS_PER_HOST;
	h->ip.saddr = bpf_htonl(source);
	h->ip.id = bpf_htons(flow);
	h->udp.source = bpf_htons(FIRST_PORT + flow % PORTS_PER_HOST);
	sum = bpf_ntohs(h->ip.check) + (source >> 16) + (source & 0xffff) + (flow & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	h->ip.check = bpf_htons(~(sum + (sum >> 16)));
	return XDP_PASS;
}

/* A veth device gives frames to its stack in this way only while it has a program. */
SEC("xdp")
int pass(struct xdp_md *context)
{
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";

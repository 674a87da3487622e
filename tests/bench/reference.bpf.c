/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What the metering hooks are measured against: an empty program, and a hash map with atomic adds.
 */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct key {
	__u32 src, dst, ports, ifindex, protocol, rest[7]; /* 48 octets */
};

struct value {
	__u64 packets, bytes, first, last, rest[4]; /* 64 octets */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct key);
	__type(value, struct value);
} flows SEC(".maps");

const volatile __u32 random_flows =
	0; /* 0: the packet's own addresses; N: a random one of N flows */

SEC("tc")
int empty(struct __sk_buff *skb)
{
	return -1;
}

SEC("tc")
int hash_atomic(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const __u8 *ip = data + 14;
	struct key key = {};
	struct value *v, fresh = {.packets = 1};
	__u64 now = bpf_ktime_get_ns();

	if ((void *)(ip + 28) > end)
		return -1;
	key.src = *(__u32 *)(ip + 12);
	key.dst = *(__u32 *)(ip + 16);
	key.ports = *(__u32 *)(ip + 20);
	key.ifindex = skb->ifindex;
	key.protocol = ip[9];
	v = bpf_map_lookup_elem(&flows, &key);
	if (v) {
		__sync_fetch_and_add(&v->packets, 1);
		__sync_fetch_and_add(&v->bytes, skb->len);
		v->last = now;
		return -1;
	}
	fresh.bytes = skb->len;
	fresh.first = fresh.last = now;
	bpf_map_update_elem(&flows, &key, &fresh, BPF_NOEXIST);
	return -1;
}

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} target SEC(".maps");

__u32 next_flow;
__u32 n_flows = 1;
__u32 shuffle;

/* Gives the packet the source address of the next flow, then runs the target on it. */
SEC("tc")
int drive(struct __sk_buff *skb)
{
	__u32 flow = shuffle ? bpf_get_prandom_u32() % n_flows : next_flow++ % n_flows;

	bpf_skb_store_bytes(skb, 26, &flow, sizeof(flow), 0);
	bpf_tail_call(skb, &target, 0);
	return -1;
}

char _license[] SEC("license") = "Dual MIT/GPL";

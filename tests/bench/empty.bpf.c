/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What the tracing programs are measured against: empty twins on the same tracepoints. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("tp_btf/kfree_skb")
int empty_drop(__u64 *ctx)
{
	return 0;
}

SEC("tp_btf/net_dev_queue")
int empty_queue(__u64 *ctx)
{
	return 0;
}

SEC("tp_btf/tcp_probe")
int empty_probe(__u64 *ctx)
{
	return 0;
}

char _license[] SEC("license") = "Dual MIT/GPL";

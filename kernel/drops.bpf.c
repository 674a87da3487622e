/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "kernel/flow.h"

char _license[] SEC("license") = "Dual MIT/GPL";

/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef BPFLOWD_DNS_BPF_H
#define BPFLOWD_DNS_BPF_H

#include "kernel/core.bpf.h"

static __always_inline bool is_dns(u32 ports)
{
	return false;
}

#endif

/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef BPFLOWD_DNS_BPF_H
#define BPFLOWD_DNS_BPF_H

#endif

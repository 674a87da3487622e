/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef BPFLOWD_RTT_BPF_H
#define BPFLOWD_RTT_BPF_H

#endif

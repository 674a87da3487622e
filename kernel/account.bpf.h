/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef BPFLOWD_ACCOUNT_BPF_H
#define BPFLOWD_ACCOUNT_BPF_H

#endif

/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef BPFLOWD_CORE_BPF_H
#define BPFLOWD_CORE_BPF_H

#endif

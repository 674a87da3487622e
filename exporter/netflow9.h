/* SPDX-License-Identifier: MIT */
/* NetFlow v9 (RFC 3954) of encoder_format.h. */
#ifndef BPFLOWD_NETFLOW9_H
#define BPFLOWD_NETFLOW9_H

#include "encoder_format.h"

/* Where the times of a flow that ended at end_ms count from: boot, later while uptime would pass
 * the 32 bits that v9 has for it (49.7 days). */
uint64_t netflow9_base_ms(uint64_t boot_real_ms, uint64_t end_ms);

#endif

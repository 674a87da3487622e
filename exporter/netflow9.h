/* SPDX-License-Identifier: MIT */
/* The netflow9 implementation of encoder.h. */
#ifndef BPFLOWD_NETFLOW9_H
#define BPFLOWD_NETFLOW9_H

#include "encoder.h"

#endif

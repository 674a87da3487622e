/* SPDX-License-Identifier: MIT */
/* The ipfix implementation of encoder.h. */
#ifndef BPFLOWD_IPFIX_H
#define BPFLOWD_IPFIX_H

#include "encoder.h"

#endif

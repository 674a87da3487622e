/* SPDX-License-Identifier: MIT */
/* IPFIX (RFC 7011) of encoder_format.h. */
#ifndef BPFLOWD_IPFIX_H
#define BPFLOWD_IPFIX_H

#include "encoder_format.h"

#endif

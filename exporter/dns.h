/* SPDX-License-Identifier: MIT */
/* Reads the header and the first question of a DNS message (RFC 1035 4.1). Pure. Below: signals.c.
 */
#ifndef BPFLOWD_DNS_H
#define BPFLOWD_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/flow.h"

/*
 * Fills id, flags, query_type, name and name_len of record, which is zeroed first. False if it is
 * no message or its question can't be read whole: then what could be read is set, and name_len is
 * 0; a part of a name is never given. An answer without question (RFC 1035 4.1.1: QDCOUNT 0) is
 * fine and has no name.
 */
bool dns_decode(const uint8_t *message, size_t length, struct dns_record *record);

#endif

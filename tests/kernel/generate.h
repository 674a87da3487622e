/* SPDX-License-Identifier: MIT */
/*
 * Frames of every kind from a random number generator: well-formed ones built of layers, many of
 * them then damaged (octets changed, ends cut off, headers shuffled, lengths that lie).
 */
#ifndef BPFLOWD_TESTS_GENERATE_H
#define BPFLOWD_TESTS_GENERATE_H

#include "tests/kernel/meter.h"

void generate_packet(GRand *random, struct frame *frame, struct packet_context *context);

#endif

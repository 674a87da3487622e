/* SPDX-License-Identifier: MIT */
/*
 * What options data tell about the exporter itself: sampling, interfaces, statistics, drop reasons,
 * boot time (RFC 7011 4, RFC 3954 6). A plain value that daemon.c fills and both encoders turn into
 * records.
 */
#ifndef BPFLOWD_OPTIONS_H
#define BPFLOWD_OPTIONS_H

#include <glib.h>
#include <stdint.h>

struct options_interface {
	uint32_t ifindex;
	uint8_t netns;
	char name[32];
	char description[64];
};

struct options_drop_reason {
	uint32_t cause;
	char name[64];
};

struct options {
	uint32_t domain;
	uint32_t sampling_interval; /* 1: every packet */
	uint64_t boot_real_ms;	    /* systemInitTimeMilliseconds */
	/* statistics, RFC 7011 4.1-4.3; totals since start */
	uint64_t exported_messages;
	uint64_t exported_octets;
	uint64_t exported_flows;
	uint64_t observed_flows;
	uint64_t ignored_packets; /* lost before they reached a flow */
	uint64_t ignored_octets;
	uint64_t not_sent_flows;
	uint64_t not_sent_packets;
	uint64_t not_sent_octets;
	GArray *interfaces;   /* struct options_interface */
	GArray *drop_reasons; /* struct options_drop_reason */
};

void options_init(struct options *options);
void options_clear(struct options *options);

#endif

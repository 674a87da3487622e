/* SPDX-License-Identifier: MIT */
/* bpflowd --print-definitions: our elements in the form that a collector loads to know them. */
#ifndef BPFLOWD_DEFINITIONS_H
#define BPFLOWD_DEFINITIONS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* format: ipfixdump, ipfixcol2, pmacct, goflow2, filebeat, logstash, telegraf, nprobe, graylog,
 * iespec. Fails for another one, with their names. */
bool definitions_print(FILE *out, const char *format, uint32_t enterprise_number, GError **error);

#endif

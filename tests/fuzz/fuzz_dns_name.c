/* SPDX-License-Identifier: MIT */
/*
 * record_dns_name over any octets: what it writes is printable, fits, and reads back as the octets
 * it was made of; what it refuses is no name.
 */
#include "config.h"

#include <ctype.h>
#include <string.h>

#include <glib.h>

#include "record.h"

#define NAME_MAX_OCTETS 255
#define LABEL_MAX	63

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_name(const uint8_t *wire, size_t len)
{
	size_t at = 0;

	if (len > NAME_MAX_OCTETS)
		return false;
	while (at < len && wire[at] != 0 && wire[at] <= LABEL_MAX)
		at += 1u + wire[at];
	return at + 1 == len && wire[at] == 0;
}

/* One octet of the presentation form; moves on behind it. */
static uint8_t read_octet(const char **text)
{
	const char *at = *text;

	if (at[0] != '\\') {
		*text += 1;
		return (uint8_t)at[0];
	}
	if (!isdigit((unsigned char)at[1])) {
		*text += 2;
		return (uint8_t)at[1];
	}
	*text += 4;
	return (uint8_t)((at[1] - '0') * 100 + (at[2] - '0') * 10 + (at[3] - '0'));
}

static size_t read_name(const char *text, uint8_t *wire)
{
	size_t at = 0;

	if (strcmp(text, ".") == 0)
		text++;
	while (*text) {
		size_t label = at++;

		while (*text && *text != '.')
			wire[at++] = read_octet(&text);
		wire[label] = (uint8_t)(at - label - 1);
		if (*text)
			text++;
	}
	wire[at++] = 0;
	return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t wire[RECORD_DNS_NAME_MAX];
	char name[RECORD_DNS_NAME_MAX];

	memset(name, 'x', sizeof(name));
	record_dns_name(data, size, name);
	g_assert_nonnull(memchr(name, 0, sizeof(name)));
	for (const char *at = name; *at; at++)
		g_assert_true(*at > ' ' && *at < 0x7f);
	g_assert_true((name[0] != 0) == is_name(data, size));
	if (name[0])
		g_assert_cmpmem(wire, read_name(name, wire), data, size);
	return 0;
}

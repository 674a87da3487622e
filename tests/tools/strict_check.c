/* SPDX-License-Identifier: MIT */
/*
 * strict_check FILE: the verdict of tests/fuzz/strict_decoder.c on a recording of strict.py, a line
 * per session: "SESSION MESSAGES TEMPLATES WITHDRAWALS RECORDS OPTIONS-RECORDS right|wrong: WHY".
 */
#include "config.h"

#include <glib.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../fuzz/strict_decoder.h"

#define MAGIC	   "strict1\n"
#define FRAME_SIZE 16 /* time received, session, length */

static void tell(uint32_t session, struct strict_decoder *decoder)
{
	const struct strict_counts *c = strict_decoder_counts(decoder);

	printf("%u %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %s%s\n", session,
	       c->messages, c->templates, c->withdrawals, c->records, c->options_records,
	       c->errors ? "wrong: " : "right", strict_decoder_error(decoder));
	strict_decoder_free(decoder);
}

/* Sessions follow each other. */
static bool read_recording(const char *data, size_t size)
{
	struct strict_decoder *decoder = NULL;
	uint32_t current = 0, session, length;

	for (size_t at = strlen(MAGIC); at < size; at += FRAME_SIZE + length) {
		if (size - at < FRAME_SIZE)
			return false;
		memcpy(&session, data + at + 8, sizeof(session));
		memcpy(&length, data + at + 12, sizeof(length));
		if (length > size - at - FRAME_SIZE)
			return false;
		if (decoder && session != current) {
			tell(current, decoder);
			decoder = NULL;
		}
		if (!decoder)
			decoder = strict_decoder_new(NULL, NULL);
		current = session;
		strict_decoder_message(decoder, data + at + FRAME_SIZE, length);
	}
	if (decoder)
		tell(current, decoder);
	return true;
}

int main(int argc, char **argv)
{
	g_autofree char *data = NULL;
	size_t size;

	if (argc != 2 || !g_file_get_contents(argv[1], &data, &size, NULL) ||
	    size < strlen(MAGIC) || memcmp(data, MAGIC, strlen(MAGIC)) != 0) {
		fprintf(stderr, "usage: strict_check RECORDING\n");
		return 2;
	}
	return read_recording(data, size) ? 0 : 1;
}

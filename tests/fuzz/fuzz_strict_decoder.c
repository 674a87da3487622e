/* SPDX-License-Identifier: MIT */
/* The decoder that judges the encoders, over messages of any kind: 16 bits of length before each.
 */
#include "config.h"

#include <glib.h>

#include "fuzz.h"
#include "strict_decoder.h"

static void look(void *user, const struct strict_record *record)
{
	unsigned int *sum = user;

	for (unsigned int i = 0; i < record->n_values; i++)
		for (unsigned int at = 0; at < record->values[i].length; at++)
			*sum += record->values[i].octets[at];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	unsigned int sum = 0;
	struct strict_decoder *decoder = strict_decoder_new(look, &sum);
	bool right = true;

	while (in.left > 0) {
		size_t length = input_size(&in, SIZE_MAX);
		g_autofree uint8_t *message = g_malloc(length + !length);

		input_octets(&in, message, length);
		right &= strict_decoder_message(decoder, message, length);
	}
	g_assert(right == (*strict_decoder_error(decoder) == '\0'));
	strict_decoder_free(decoder);
	return 0;
}

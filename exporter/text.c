/* SPDX-License-Identifier: MIT */
/* UTF-8 of a bounded size. Above: plan.c, options_encode.c. */
#include "config.h"

#include "text.h"

#include <glib.h>
#include <string.h>

size_t text_copy(char *out, size_t size, const char *text, size_t length)
{
	const char *bad;
	size_t used = strnlen(text, length);

	if (used > size) {
		used = size;
		/* don't cut a character in two */
		for (int i = 0; i < 3 && used && ((unsigned char)text[used] & 0xc0) == 0x80; i++)
			used--;
	}
	memcpy(out, text, used);
	for (char *at = out; !g_utf8_validate(at, out + used - at, &bad); at = (char *)bad + 1)
		*(char *)bad = '?';
	return used;
}

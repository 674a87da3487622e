/* SPDX-License-Identifier: MIT */
/* Text as it may go on the wire: RFC 7011 6.1.6 asks for UTF-8. */
#ifndef BPFLOWD_TEXT_H
#define BPFLOWD_TEXT_H

#include <stddef.h>

/* Copies text of at most `length` octets (it ends earlier at a NUL), cut at a character so that it
 * fits `size` octets; what is not UTF-8 becomes '?'. No NUL is added. Returns the octets written.
 */
size_t text_copy(char *out, size_t size, const char *text, size_t length);

#endif

/* SPDX-License-Identifier: MIT */
/* Numbers with units, read strictly and printed so that they read the same. For settings*.c alone.
 */
#ifndef BPFLOWD_SETTINGS_UNITS_H
#define BPFLOWD_SETTINGS_UNITS_H

#include <stdint.h>
#include <glib.h>

struct unit {
	const char *suffix;
	uint64_t factor;
	uint64_t worth; /* printed in this unit from this many on */
};

/* Largest first, end with a row without suffix. */
extern const struct unit units_none[];
extern const struct unit units_duration[]; /* nanoseconds */
extern const struct unit units_size[];	   /* octets, 1024 */

enum units_result { UNITS_GOOD, UNITS_NO_NUMBER, UNITS_NO_UNIT, UNITS_TOO_LARGE };

enum units_result units_read(const struct unit *units, const char *text, uint64_t *value);
void units_append(const struct unit *units, uint64_t value, GString *out);

#endif

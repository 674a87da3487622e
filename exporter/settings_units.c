/* SPDX-License-Identifier: MIT */
/* Decimal digits and one unit, nothing else: no sign, fraction, leading zero, hex or octal. */
#include "config.h"

#include "settings_units.h"

#include <inttypes.h>
#include <string.h>

#include "clock.h"

/* "" takes a bare number; 0 needs no unit */
const struct unit units_none[] = {{"", 1, 0}, {NULL}};
const struct unit units_duration[] = {
	{"h", 3600 * NSEC_PER_SEC, 2},
	{"m", 60 * NSEC_PER_SEC, 2},
	{"s", NSEC_PER_SEC, 1},
	{"ms", NSEC_PER_MSEC, 1},
	{NULL},
};
const struct unit units_size[] = {
	{"G", 1 << 30, 1}, {"M", 1 << 20, 1}, {"k", 1 << 10, 1}, {"", 1, 0}, {NULL},
};

static const struct unit *find_unit(const struct unit *units, const char *suffix)
{
	for (; units->suffix; units++)
		if (!strcmp(units->suffix, suffix))
			return units;
	return NULL;
}

enum units_result units_read(const struct unit *units, const char *text, uint64_t *value)
{
	static const struct unit zero = {"", 1, 0};
	const struct unit *unit;
	const char *c = text;
	uint64_t number = 0;

	if (!g_ascii_isdigit(*c) || (*c == '0' && g_ascii_isdigit(c[1])))
		return UNITS_NO_NUMBER;
	for (; g_ascii_isdigit(*c); c++)
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, *c - '0', &number))
			return UNITS_TOO_LARGE;
	unit = find_unit(units, c);
	if (!unit && !number && !*c)
		unit = &zero;
	if (!unit)
		return *c ? UNITS_NO_NUMBER : UNITS_NO_UNIT;
	if (__builtin_mul_overflow(number, unit->factor, value))
		return UNITS_TOO_LARGE;
	return UNITS_GOOD;
}

void units_append(const struct unit *units, uint64_t value, GString *out)
{
	for (; value && units->suffix; units++) {
		if (value % units->factor || value / units->factor < units->worth)
			continue;
		g_string_append_printf(out, "%" PRIu64 "%s", value / units->factor, units->suffix);
		return;
	}
	g_string_append_printf(out, "%" PRIu64, value);
}

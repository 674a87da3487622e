/* SPDX-License-Identifier: MIT */
/* Which names a list of globs chooses. Pure; the rest of interfaces.h is in interfaces.c. */
#include "config.h"

#include "interfaces.h"

#include <fnmatch.h>

bool interfaces_match(char *const *patterns, const char *name)
{
	bool chosen = false;

	for (; patterns != NULL && *patterns != NULL; patterns++) {
		const bool excludes = **patterns == '!';
		if (fnmatch(*patterns + excludes, name, 0) == 0)
			chosen = !excludes;
	}
	return chosen;
}

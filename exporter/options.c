/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "options.h"

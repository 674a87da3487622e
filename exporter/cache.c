/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "cache.h"

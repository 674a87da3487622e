/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "clock.h"

/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "settings.h"

/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "log.h"

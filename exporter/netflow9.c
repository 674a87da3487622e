/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "netflow9.h"

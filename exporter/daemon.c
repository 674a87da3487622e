/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon.h"

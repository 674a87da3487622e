/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "collector.h"

/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "record.h"

/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "ipfix.h"

/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "transport.h"

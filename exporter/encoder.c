/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "encoder.h"

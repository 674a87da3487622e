/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "field.h"

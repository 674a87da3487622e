/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "control.h"

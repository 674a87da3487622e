/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "interfaces.h"

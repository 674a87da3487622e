/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "template.h"

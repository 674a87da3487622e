/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "yaml.h"

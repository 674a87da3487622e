/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "fetcher.h"

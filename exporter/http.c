/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "http.h"

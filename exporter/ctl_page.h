/* SPDX-License-Identifier: MIT */
/*
 * What `bpflowctl top` shows, as lines of text: rates come from two answers of the daemon. Knows no
 * terminal. Above: ctl_top.c.
 */
#ifndef BPFLOWD_CTL_PAGE_H
#define BPFLOWD_CTL_PAGE_H

#include <glib.h>
#include <jansson.h>
#include <stdint.h>

enum page_sort { PAGE_BY_RATE, PAGE_BY_OCTETS, PAGE_BY_PACKETS };

struct page;

struct page *page_new(void);
void page_free(struct page *page);

/* Takes new answers of flows, stats and collectors in (references pass). */
void page_update(struct page *page, json_t *flows, json_t *stats, json_t *collectors,
		 uint64_t now_us);

/* As many lines as fit into height, elements char *; those that begin with '\1' are titles. The
 * caller owns it. */
GPtrArray *page_lines(const struct page *page, enum page_sort sort, int height);

#endif

/* SPDX-License-Identifier: MIT */
/* dns_decode over any octets: a name is a whole one that stands in the message, or none at all. */
#include "config.h"

#include <string.h>

#include <glib.h>

#include "dns.h"
#include "record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char name[RECORD_DNS_NAME_MAX];
	struct dns_record r;
	bool good;

	memset(&r, 0xff, sizeof(r));
	good = dns_decode(data, size, &r);
	if (r.name_len) {
		g_assert_true(good);
		g_assert_cmpuint(12 + r.name_len + 4, <=, size);
		g_assert_cmpmem(r.name, r.name_len, data + 12, r.name_len);
		record_dns_name(r.name, r.name_len, name);
		g_assert_cmpint(name[0], !=, 0);
	} else {
		g_assert_cmpuint(r.query_type, ==, 0);
	}
	return 0;
}

/* SPDX-License-Identifier: MIT */
/* How values of the daemon's answers read. Above: ctl_table.c, ctl_page.c. */
#include "config.h"

#include "ctl_format.h"

#include <netinet/in.h>
#include <string.h>

static const struct {
	int number;
	const char *name;
} protocols[] = {
	{IPPROTO_ICMP, "icmp"},	    {IPPROTO_IGMP, "igmp"}, {IPPROTO_IPIP, "ipip"},
	{IPPROTO_TCP, "tcp"},	    {IPPROTO_UDP, "udp"},   {IPPROTO_IPV6, "ipv6"},
	{IPPROTO_GRE, "gre"},	    {IPPROTO_ESP, "esp"},   {IPPROTO_AH, "ah"},
	{IPPROTO_ICMPV6, "icmpv6"}, {89, "ospf"},	    {IPPROTO_SCTP, "sctp"},
};

/* lowest bit first, RFC 9293 3.1 */
static const char tcp_flag_letters[] = "FSRPAUEC";

double ctl_number(const json_t *row, const char *key)
{
	return json_number_value(json_object_get(row, key));
}

void ctl_append_safe(GString *out, const char *text)
{
	while (*text) {
		gunichar c = g_utf8_get_char_validated(text, -1);

		if (c == (gunichar)-1 || c == (gunichar)-2) {
			g_string_append_c(out, '?');
			text++;
			continue;
		}
		g_string_append_unichar(out, g_unichar_isprint(c) ? c : '?');
		text = g_utf8_next_char(text);
	}
}

void ctl_append_scaled(GString *out, double value, double base, const char *unit)
{
	static const char prefixes[] = " kMGTPE";
	size_t step = 0;

	while (value >= base && step < strlen(prefixes) - 1) {
		value /= base;
		step++;
	}
	if (step == 0)
		g_string_append_printf(out, "%.0f%s", value, unit);
	else
		g_string_append_printf(out, "%.*f%c%s", value < 9.95 ? 1 : 0, value, prefixes[step],
				       unit);
}

void ctl_text(GString *out, const json_t *row, const char *key)
{
	const json_t *value = json_object_get(row, key);

	if (json_is_string(value))
		ctl_append_safe(out, json_string_value(value));
	else if (json_is_integer(value))
		g_string_append_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else if (json_is_real(value))
		g_string_append_printf(out, "%.15g", json_real_value(value));
	else if (json_is_boolean(value))
		g_string_append(out, json_is_true(value) ? "yes" : "no");
}

void ctl_count(GString *out, const json_t *row, const char *key)
{
	ctl_text(out, row, key);
}

void ctl_size(GString *out, const json_t *row, const char *key)
{
	if (json_object_get(row, key))
		ctl_append_scaled(out, ctl_number(row, key), 1024, "");
}

void ctl_yes_no(GString *out, const json_t *row, const char *key)
{
	if (json_is_true(json_object_get(row, key)))
		g_string_append(out, "yes");
}

void ctl_time(GString *out, const json_t *row, const char *key)
{
	gint64 ms = ctl_number(row, key);
	g_autoptr(GDateTime) time = NULL;
	g_autofree char *text = NULL;

	if (ms == 0)
		return;
	time = g_date_time_new_from_unix_local(ms / 1000);
	text = time ? g_date_time_format(time, "%H:%M:%S") : NULL;
	if (text)
		g_string_append_printf(out, "%s.%03d", text, (int)(ms % 1000));
}

void ctl_duration(GString *out, const json_t *row, const char *key)
{
	double ms =
		ctl_number(row, "flowEndMilliseconds") - ctl_number(row, "flowStartMilliseconds");

	g_string_append_printf(out, "%.3f", ms / 1000);
}

static void append_endpoint(GString *out, const json_t *row, const char *address4,
			    const char *address6, const char *mac, const char *port)
{
	const char *six = json_string_value(json_object_get(row, address6));
	const char *four = json_string_value(json_object_get(row, address4));
	const char *link = json_string_value(json_object_get(row, mac));
	json_int_t number = json_integer_value(json_object_get(row, port));

	ctl_append_safe(out, six ? six : four ? four : link ? link : "");
	if (number != 0) {
		if (six) {
			g_string_prepend_c(out, '[');
			g_string_append_c(out, ']');
		}
		g_string_append_printf(out, ":%" JSON_INTEGER_FORMAT, number);
	}
}

void ctl_source(GString *out, const json_t *row, const char *key)
{
	append_endpoint(out, row, "sourceIPv4Address", "sourceIPv6Address", "sourceMacAddress",
			"sourceTransportPort");
}

void ctl_destination(GString *out, const json_t *row, const char *key)
{
	append_endpoint(out, row, "destinationIPv4Address", "destinationIPv6Address",
			"destinationMacAddress", "destinationTransportPort");
}

void ctl_protocol(GString *out, const json_t *row, const char *key)
{
	json_int_t number = json_integer_value(json_object_get(row, key));

	if (json_integer_value(json_object_get(row, "ipVersion")) == 0) {
		g_string_append_printf(
			out, "0x%04x",
			(unsigned int)json_integer_value(json_object_get(row, "ethernetType")));
		return;
	}
	for (size_t i = 0; i < G_N_ELEMENTS(protocols); i++) {
		if (protocols[i].number == number) {
			g_string_append(out, protocols[i].name);
			return;
		}
	}
	g_string_append_printf(out, "%" JSON_INTEGER_FORMAT, number);
}

void ctl_tcp_flags(GString *out, const json_t *row, const char *key)
{
	json_int_t flags = json_integer_value(json_object_get(row, key));

	for (int bit = strlen(tcp_flag_letters) - 1; bit >= 0; bit--) {
		if (flags >> bit & 1)
			g_string_append_c(out, tcp_flag_letters[bit]);
	}
}

int ctl_protocol_number(const char *text)
{
	guint64 number;

	for (size_t i = 0; i < G_N_ELEMENTS(protocols); i++) {
		if (g_ascii_strcasecmp(protocols[i].name, text) == 0)
			return protocols[i].number;
	}
	return g_ascii_string_to_unsigned(text, 10, 0, 255, &number, NULL) ? (int)number : -1;
}

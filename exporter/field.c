/* SPDX-License-Identifier: MIT */
/*
 * fields.def as an array, and what names and values of its rows look like to people. Above:
 * record.c fills the values; below: template.c takes rows by name.
 */
#include "config.h"

#include "field.h"

#include <arpa/inet.h>
#include <glib.h>
#include <inttypes.h>
#include <string.h>

#include "yaml.h"

#define IN_ID(member)	   id.member
#define IN_METRICS(member) metrics.member
#define IN_DNS(member)	   dns.member
#define IN_RECORD(member)  member

#define FIELD(group_, member_, merge_, name_, pen_, id_, v9_, type_, length_, units_, text_) \
	{                                                                                    \
		.name = name_,                                                               \
		.units = units_,                                                             \
		.description = text_,                                                        \
		.pen = pen_,                                                                 \
		.id = id_,                                                                   \
		.v9 = v9_,                                                                   \
		.offset = offsetof(struct flow_record, IN_##group_(member_)),                \
		.size = sizeof(((struct flow_record *)NULL)->IN_##group_(member_)),          \
		.length = length_,                                                           \
		.type = FIELD_##type_,                                                       \
		.group = FIELD_GROUP_##group_,                                               \
		.merge = FIELD_MERGE_##merge_,                                               \
	},

const struct field field_table[] = {
#include "fields.def"
};
#undef FIELD

const size_t field_count = G_N_ELEMENTS(field_table);

_Static_assert(sizeof(struct flow_record) <= UINT16_MAX, "offsets of fields have 16 bits");

static const struct {
	const char *name;
	uint16_t size; /* on the wire without reduction, 0: any */
} types[] = {
	[FIELD_IPV4] = {"ipv4Address", 4},
	[FIELD_IPV6] = {"ipv6Address", 16},
	[FIELD_MAC] = {"macAddress", 6},
	[FIELD_U8] = {"unsigned8", 1},
	[FIELD_U16] = {"unsigned16", 2},
	[FIELD_U32] = {"unsigned32", 4},
	[FIELD_U64] = {"unsigned64", 8},
	[FIELD_MSEC] = {"dateTimeMilliseconds", 8},
	[FIELD_NSEC] = {"dateTimeNanoseconds", 8},
	[FIELD_UPTIME] = {"unsigned32", 4},
	[FIELD_STRING] = {"string", 0},
	[FIELD_OCTETS] = {"octetArray", 0},
};

static const char *const merges[] = {
	[FIELD_MERGE_KEY] = "key",	[FIELD_MERGE_SUM] = "sum",
	[FIELD_MERGE_MIN] = "min",	[FIELD_MERGE_LOW] = "min",
	[FIELD_MERGE_MAX] = "max",	[FIELD_MERGE_OR] = "or",
	[FIELD_MERGE_FIRST] = "first",	[FIELD_MERGE_LAST] = "latest",
	[FIELD_MERGE_ALONG] = "latest", [FIELD_MERGE_KEYED] = "derived",
	[FIELD_MERGE_NONE] = "derived",
};

const char *field_type_name(const struct field *field)
{
	return types[field->type].name;
}

uint16_t field_type_size(const struct field *field)
{
	return types[field->type].size;
}

bool field_is_number(const struct field *field)
{
	return field->type >= FIELD_U8 && field->type <= FIELD_U64;
}

const struct field *field_by_name(const char *name)
{
	if (*name == '\0')
		return NULL;
	for (size_t i = 0; i < field_count; i++)
		if (strcmp(field_table[i].name, name) == 0)
			return &field_table[i];
	return NULL;
}

const struct field *field_nearest(const char *name)
{
	const char *names[G_N_ELEMENTS(field_table)];
	const char *nearest;
	size_t n_names = 0;

	for (size_t i = 0; i < field_count; i++)
		if (*field_table[i].name)
			names[n_names++] = field_table[i].name;
	nearest = yaml_nearest(name, names, n_names);
	return nearest ? field_by_name(nearest) : NULL;
}

const struct field *field_in_v9(const struct field *field)
{
	if (field->v9)
		return field;
	if (field->id && field + 1 < field_table + field_count && !field[1].id && field[1].v9)
		return field + 1;
	return NULL;
}

bool field_is_key(const struct field *field)
{
	return field->merge == FIELD_MERGE_KEY || field->merge == FIELD_MERGE_KEYED;
}

uint64_t field_number(const struct field *field, const struct flow_record *record)
{
	const uint8_t *at = (const uint8_t *)record + field->offset;
	uint64_t u64;
	uint32_t u32;
	uint16_t u16;

	if (field->group == FIELD_GROUP_DNS && !record->has_dns)
		return 0;
	switch (field->size) {
	case 1:
		return *at;
	case 2:
		memcpy(&u16, at, sizeof(u16));
		return u16;
	case 4:
		memcpy(&u32, at, sizeof(u32));
		return u32;
	default:
		memcpy(&u64, at, sizeof(u64));
		return u64;
	}
}

static void format_octets(const uint8_t *octets, size_t n_octets, const char *separator, char *buf,
			  size_t size)
{
	size_t used = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < n_octets && used < size; i++)
		used += g_snprintf(buf + used, size - used, "%s%02x", i ? separator : "",
				   octets[i]);
}

/* What is not UTF-8 is shown as '?': the text may go into JSON or onto a terminal. */
static void format_text(const char *text, size_t max, char *buf, size_t size)
{
	size_t length = MIN(strnlen(text, max), size - 1);
	const char *end;

	memcpy(buf, text, length);
	buf[length] = '\0';
	while (!g_utf8_validate(buf, -1, &end))
		buf[end - buf] = '?';
	for (char *at = buf; *at; at++)
		if (g_ascii_iscntrl(*at))
			*at = '?';
}

const char *field_format(const struct field *field, const struct flow_record *record, char *buf,
			 size_t size)
{
	const uint8_t *at = (const uint8_t *)record + field->offset;
	bool absent = field->group == FIELD_GROUP_DNS && !record->has_dns;

	switch (field->type) {
	case FIELD_IPV4:
		inet_ntop(AF_INET, at, buf, size);
		break;
	case FIELD_IPV6:
		inet_ntop(AF_INET6, at, buf, size);
		break;
	case FIELD_MAC:
		format_octets(at, 6, ":", buf, size);
		break;
	case FIELD_OCTETS:
		format_octets(at, absent ? 0 : field->size, "", buf, size);
		break;
	case FIELD_STRING:
		format_text((const char *)at, field->size, buf, size);
		break;
	default:
		g_snprintf(buf, size, "%" PRIu64, field_number(field, record));
	}
	return buf;
}

static void list_number(char *buf, size_t size, uint32_t number)
{
	if (number)
		g_snprintf(buf, size, "%" PRIu32, number);
	else
		g_strlcpy(buf, "-", size);
}

void field_list(FILE *out, uint32_t enterprise_number)
{
	fprintf(out, "%-37s %10s %6s %6s %-20s %-12s %-8s %s\n", "NAME", "ENTERPRISE", "ID", "V9",
		"TYPE", "UNIT", "MERGE", "MEANING");
	for (size_t i = 0; i < field_count; i++) {
		const struct field *field = &field_table[i];
		const struct field *in_v9 = field_in_v9(field);
		char pen[16], id[16], v9[16];

		if (*field->name == '\0')
			continue;
		list_number(pen, sizeof(pen), field_pen(field, enterprise_number));
		list_number(id, sizeof(id), field->id);
		list_number(v9, sizeof(v9), in_v9 ? in_v9->v9 : 0);
		fprintf(out, "%-37s %10s %6s %6s %-20s %-12s %-8s %s\n", field->name, pen, id, v9,
			types[field->type].name, *field->units ? field->units : "-",
			merges[field->merge], field->description);
	}
}

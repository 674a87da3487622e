/* SPDX-License-Identifier: MIT */
/*
 * RFC 5610: our elements' names, types and units as options data, in the full form of nine fields,
 * the only one that libfixbuf's readers take.
 */
#include "config.h"

#include "options_encode.h"

#include <string.h>

#include "sets.h"

#define N_SCOPE 2

static const struct {
	uint16_t id;
	uint16_t length;
} type_fields[] = {
	{346, 4},	       /* privateEnterpriseNumber, scope */
	{303, 2},	       /* informationElementId, scope */
	{339, 1},	       /* informationElementDataType */
	{344, 1},	       /* informationElementSemantics */
	{345, 2},	       /* informationElementUnits */
	{342, 8},	       /* informationElementRangeBegin */
	{343, 8},	       /* informationElementRangeEnd */
	{341, FIELD_VARIABLE}, /* informationElementName */
	{340, FIELD_VARIABLE}, /* informationElementDescription */
};
#define FIXED_SIZE (4 + 2 + 1 + 1 + 2 + 8 + 8)

/* IANA: IPFIX Information Element Data Types */
static const uint8_t data_types[] = {
	[FIELD_OCTETS] = 0, [FIELD_U8] = 1,    [FIELD_U16] = 2,	    [FIELD_U32] = 3,
	[FIELD_U64] = 4,    [FIELD_MAC] = 12,  [FIELD_STRING] = 13, [FIELD_MSEC] = 15,
	[FIELD_NSEC] = 17,  [FIELD_IPV4] = 18, [FIELD_IPV6] = 19,   [FIELD_UPTIME] = 3,
};

/* IANA: IPFIX Information Element Units */
static const struct {
	const char *name;
	uint16_t unit;
} units[] = {
	{"octets", 2},	     {"packets", 3},	 {"seconds", 5}, {"milliseconds", 6},
	{"microseconds", 7}, {"nanoseconds", 8}, {"hops", 11},
};

/* IANA: IPFIX Information Element Semantics */
enum { SEMANTICS_DEFAULT = 0, SEMANTICS_QUANTITY = 1, SEMANTICS_DELTA = 3, SEMANTICS_ID = 4 };

static uint8_t semantics_of(const struct field *field)
{
	if (!field_is_number(field))
		return SEMANTICS_DEFAULT;
	if (field->merge == FIELD_MERGE_SUM)
		return SEMANTICS_DELTA;
	return *field->units ? SEMANTICS_QUANTITY : SEMANTICS_ID;
}

static uint16_t unit_of(const struct field *field)
{
	for (size_t i = 0; i < G_N_ELEMENTS(units); i++)
		if (strcmp(units[i].name, field->units) == 0)
			return units[i].unit;
	return 0;
}

static void put_template(struct sets *sets, uint16_t id, GPtrArray *messages)
{
	sets_record_into(sets, SET_OPTIONS_TEMPLATES, 6 + 4 * G_N_ELEMENTS(type_fields),
			 MESSAGE_OPTIONS, messages);
	wire_put(&sets->wire, id, 2);
	wire_put(&sets->wire, G_N_ELEMENTS(type_fields), 2);
	wire_put(&sets->wire, N_SCOPE, 2);
	for (size_t i = 0; i < G_N_ELEMENTS(type_fields); i++) {
		wire_put(&sets->wire, type_fields[i].id, 2);
		wire_put(&sets->wire, type_fields[i].length, 2);
	}
}

static void put_string(struct wire *wire, const char *text)
{
	size_t length = strlen(text);

	wire_put(wire, length, 1);
	wire_put_bytes(wire, text, length);
}

static void put_record(struct sets *sets, uint16_t id, const struct field *field, uint32_t pen,
		       GPtrArray *messages)
{
	size_t texts = 2 + strlen(field->name) + strlen(field->description);

	sets_record_into(sets, id, FIXED_SIZE + texts, MESSAGE_OPTIONS, messages);
	wire_put(&sets->wire, pen, 4);
	wire_put(&sets->wire, field->id, 2);
	wire_put(&sets->wire, data_types[field->type], 1);
	wire_put(&sets->wire, semantics_of(field), 1);
	wire_put(&sets->wire, unit_of(field), 2);
	wire_put_zeros(&sets->wire, 16); /* no range */
	put_string(&sets->wire, field->name);
	put_string(&sets->wire, field->description);
}

void options_type_records(const struct encoder_config *config, GPtrArray *messages)
{
	uint16_t id = options_type_template_id(config);
	struct sets sets;

	if (config->format == ENCODER_NETFLOW9 || !config->template->type_records)
		return;
	sets_init(&sets, config->format, config->max_message_size);
	put_template(&sets, id, messages);
	for (size_t i = 0; i < field_count; i++)
		if (field_table[i].pen == FIELD_OWN)
			put_record(&sets, id, &field_table[i], config->enterprise_number, messages);
	sets_take_into(&sets, MESSAGE_OPTIONS, messages);
	sets_clear(&sets);
}

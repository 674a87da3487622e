/* SPDX-License-Identifier: MIT */
/*
 * The options that we tell, a row per options template. All strings have fixed length: nfdump reads
 * no other in options. Sampling is told in two forms, because no single one is read by nfdump 1.7.1
 * and by its successors alike. NetFlow v9 has no elements of ours, and its own form of scope.
 */
#include "config.h"

#include "options_encode.h"

#include <string.h>

#include "sets.h"
#include "text.h"

#define V9_SCOPE_SYSTEM	   1 /* RFC 3954 6.1 */
#define OPTION_FIELDS_MAX  6
#define ENTERPRISE_BIT	   0x8000
#define SAMPLING_RANDOM	   2 /* samplingAlgorithm (35) */
#define DROP_CAUSE	   1
#define DROP_CAUSE_NAME	   2
#define NAMESPACE_NUMBER   24
#define OBSERVATION_DOMAIN 149
#define EXPORTING_PROCESS  144
#define TEMPLATE_ID	   145
#define FLOW_KEY_INDICATOR 173

enum option_rows {
	ROWS_ONE,
	ROWS_INTERFACES,
	ROWS_FOREIGN_INTERFACES,
	ROWS_DROP_REASONS,
	ROWS_TEMPLATES,
};

struct option_field {
	uint16_t id;
	uint16_t length; /* on the wire */
	uint16_t offset; /* in the row; OPTION_CONSTANT: offset is the value */
	uint8_t size;	 /* in the row */
	enum { OPTION_END, OPTION_NUMBER, OPTION_TEXT, OPTION_CONSTANT } kind;
	bool own;
};

struct option_form {
	enum option_rows rows;
	uint8_t n_scope;
	bool in_v9;
	bool own;    /* has elements of ours: only next to templates that have them too */
	bool single; /* one record to a set: nfdump 1.7.1 reads just the first */
	struct option_field fields[OPTION_FIELDS_MAX];
};

/* One row to encode, whatever it is about. */
struct row {
	struct options options;
	struct options_interface interface;
	struct options_drop_reason drop_reason;
	uint16_t template_id;
	uint64_t flow_keys; /* bit n: field n of the template is part of the key */
};

#define IN_ROW(kind_, own_, id_, length_, member)                                         \
	{                                                                                 \
		.id = id_, .length = length_, .offset = offsetof(struct row, member),     \
		.size = sizeof(((struct row *)NULL)->member), .kind = kind_, .own = own_, \
	}
#define NUMBER(id, length, member)     IN_ROW(OPTION_NUMBER, false, id, length, member)
#define TEXT(id, length, member)       IN_ROW(OPTION_TEXT, false, id, length, member)
#define OWN_NUMBER(id, length, member) IN_ROW(OPTION_NUMBER, true, id, length, member)
#define OWN_TEXT(id, length, member)   IN_ROW(OPTION_TEXT, true, id, length, member)
#define CONSTANT(id_, length_, value)                                                  \
	{                                                                              \
		.id = id_, .length = length_, .offset = value, .kind = OPTION_CONSTANT \
	}

static const struct option_form forms[] = {
	{.rows = ROWS_ONE,
	 .n_scope = 1,
	 .in_v9 = true,
	 .fields = {NUMBER(OBSERVATION_DOMAIN, 4, options.domain),
		    NUMBER(34, 4, options.sampling_interval)}},
	{.rows = ROWS_ONE,
	 .n_scope = 1,
	 .in_v9 = true,
	 .fields = {NUMBER(OBSERVATION_DOMAIN, 4, options.domain),
		    NUMBER(34, 4, options.sampling_interval), CONSTANT(35, 1, SAMPLING_RANDOM)}},
	/* before the next: nfdump doesn't see the namespace, and the last name of an index stays */
	{.rows = ROWS_FOREIGN_INTERFACES,
	 .n_scope = 2,
	 .own = true,
	 .single = true,
	 .fields = {NUMBER(OBSERVATION_DOMAIN, 4, options.domain),
		    OWN_NUMBER(NAMESPACE_NUMBER, 1, interface.netns),
		    NUMBER(10, 4, interface.ifindex), TEXT(82, 32, interface.name),
		    TEXT(83, 64, interface.description)}},
	{.rows = ROWS_INTERFACES,
	 .n_scope = 1,
	 .in_v9 = true,
	 .single = true,
	 .fields = {NUMBER(OBSERVATION_DOMAIN, 4, options.domain), NUMBER(10, 4, interface.ifindex),
		    TEXT(82, 32, interface.name), TEXT(83, 64, interface.description)}},
	/* RFC 7011 4.1; the v9 totals of RFC 3954 8 */
	{.rows = ROWS_ONE,
	 .n_scope = 1,
	 .in_v9 = true,
	 .fields = {NUMBER(OBSERVATION_DOMAIN, 4, options.domain),
		    NUMBER(41, 8, options.exported_messages), NUMBER(42, 8, options.exported_flows),
		    NUMBER(40, 8, options.exported_octets)}},
	/* RFC 7011 4.2 */
	{.rows = ROWS_ONE,
	 .n_scope = 1,
	 .fields = {NUMBER(OBSERVATION_DOMAIN, 4, options.domain),
		    NUMBER(163, 8, options.observed_flows), NUMBER(164, 8, options.ignored_packets),
		    NUMBER(165, 8, options.ignored_octets)}},
	/* RFC 7011 4.3; one exporting process is one observation domain here */
	{.rows = ROWS_ONE,
	 .n_scope = 1,
	 .fields = {NUMBER(EXPORTING_PROCESS, 4, options.domain),
		    NUMBER(166, 8, options.not_sent_flows),
		    NUMBER(167, 8, options.not_sent_packets),
		    NUMBER(168, 8, options.not_sent_octets)}},
	{.rows = ROWS_ONE,
	 .n_scope = 1,
	 .fields = {NUMBER(OBSERVATION_DOMAIN, 4, options.domain),
		    NUMBER(160, 8, options.boot_real_ms)}},
	{.rows = ROWS_DROP_REASONS,
	 .n_scope = 1,
	 .own = true,
	 .fields = {OWN_NUMBER(DROP_CAUSE, 4, drop_reason.cause),
		    OWN_TEXT(DROP_CAUSE_NAME, 64, drop_reason.name)}},
	/* RFC 7011 4.4 */
	{.rows = ROWS_TEMPLATES,
	 .n_scope = 1,
	 .fields = {NUMBER(TEMPLATE_ID, 2, template_id), NUMBER(FLOW_KEY_INDICATOR, 8, flow_keys)}},
};

static uint16_t count_fields(const struct option_form *form)
{
	uint16_t n_fields = 0;

	while (n_fields < OPTION_FIELDS_MAX && form->fields[n_fields].kind != OPTION_END)
		n_fields++;
	return n_fields;
}

static uint16_t record_size(const struct option_form *form)
{
	uint16_t size = 0;

	for (unsigned int i = 0; i < count_fields(form); i++)
		size += form->fields[i].length;
	return size;
}

static bool is_told(const struct encoder_config *config, const struct option_form *form)
{
	if (config->format == ENCODER_NETFLOW9)
		return form->in_v9;
	return !form->own || template_uses_own(config->template);
}

/* RFC 7011 3.4.2.2; ids run with the rows whether they are told or not */
static void put_ipfix_template(struct sets *sets, const struct encoder_config *config,
			       const struct option_form *form, uint16_t id, GPtrArray *messages)
{
	uint16_t n_fields = count_fields(form);
	unsigned int n_own = 0;

	for (unsigned int i = 0; i < n_fields; i++)
		n_own += form->fields[i].own;
	sets_record_into(sets, SET_OPTIONS_TEMPLATES, 6 + 4 * n_fields + 4 * n_own,
			 MESSAGE_TEMPLATES, messages);
	wire_put(&sets->wire, id, 2);
	wire_put(&sets->wire, n_fields, 2);
	wire_put(&sets->wire, form->n_scope, 2);
	for (unsigned int i = 0; i < n_fields; i++) {
		const struct option_field *field = &form->fields[i];

		wire_put(&sets->wire, field->id | (field->own ? ENTERPRISE_BIT : 0), 2);
		wire_put(&sets->wire, field->length, 2);
		if (field->own)
			wire_put(&sets->wire, config->enterprise_number, 4);
	}
}

/* RFC 3954 6.1: lengths in octets, scope types of its own */
static void put_v9_template(struct sets *sets, const struct option_form *form, uint16_t id,
			    GPtrArray *messages)
{
	uint16_t n_fields = count_fields(form);

	sets_record_into(sets, SET_V9_OPTIONS_TEMPLATES, 6 + 4 * n_fields, MESSAGE_TEMPLATES,
			 messages);
	wire_put(&sets->wire, id, 2);
	wire_put(&sets->wire, 4 * form->n_scope, 2);
	wire_put(&sets->wire, 4 * (n_fields - form->n_scope), 2);
	for (unsigned int i = 0; i < n_fields; i++) {
		const struct option_field *field = &form->fields[i];

		wire_put(&sets->wire, i < form->n_scope ? V9_SCOPE_SYSTEM : field->id, 2);
		wire_put(&sets->wire, field->length, 2);
	}
}

void options_templates(const struct encoder_config *config, GPtrArray *messages)
{
	struct sets sets;

	sets_init(&sets, config->format, config->max_message_size);
	for (unsigned int i = 0; i < G_N_ELEMENTS(forms); i++) {
		uint16_t id = config->template->options_id + i;

		if (!is_told(config, &forms[i]))
			continue;
		if (config->format == ENCODER_NETFLOW9)
			put_v9_template(&sets, &forms[i], id, messages);
		else
			put_ipfix_template(&sets, config, &forms[i], id, messages);
		/* a set for each: of several in one nfcapd 1.7.1 reads just the first */
		sets_close(&sets);
	}
	sets_take_into(&sets, MESSAGE_TEMPLATES, messages);
	sets_clear(&sets);
}

static uint64_t load_number(const uint8_t *at, uint8_t size)
{
	uint64_t u64;
	uint32_t u32;
	uint16_t u16;

	if (size == 1)
		return *at;
	if (size == 2) {
		memcpy(&u16, at, sizeof(u16));
		return u16;
	}
	if (size == 4) {
		memcpy(&u32, at, sizeof(u32));
		return u32;
	}
	memcpy(&u64, at, sizeof(u64));
	return u64;
}

static void put_field(struct wire *wire, const struct option_field *field, const struct row *row)
{
	const uint8_t *at = (const uint8_t *)row + field->offset;
	uint8_t *out;
	size_t used;

	switch (field->kind) {
	case OPTION_NUMBER:
		wire_put(wire, load_number(at, field->size), field->length);
		break;
	case OPTION_CONSTANT:
		wire_put(wire, field->offset, field->length);
		break;
	case OPTION_TEXT:
		out = wire_take(wire, field->length);
		used = text_copy((char *)out, field->length, (const char *)at, field->size);
		memset(out + used, 0, field->length - used);
		break;
	case OPTION_END:
		break;
	}
}

static void put_record(struct sets *sets, const struct option_form *form, uint16_t id,
		       const struct row *row, GPtrArray *messages)
{
	sets_record_into(sets, id, record_size(form), MESSAGE_OPTIONS, messages);
	for (unsigned int i = 0; i < count_fields(form); i++)
		put_field(&sets->wire, &form->fields[i], row);
	if (form->single)
		sets_close(sets);
}

static unsigned int count_rows(const struct encoder_config *config, const struct option_form *form,
			       const struct options *options)
{
	switch (form->rows) {
	case ROWS_INTERFACES:
	case ROWS_FOREIGN_INTERFACES:
		return options->interfaces->len;
	case ROWS_DROP_REASONS:
		return options->drop_reasons->len;
	case ROWS_TEMPLATES:
		return config->template->records->len;
	case ROWS_ONE:
		break;
	}
	return 1;
}

static uint64_t flow_keys(const struct template_record *record)
{
	uint64_t keys = 0;

	_Static_assert(TEMPLATE_MAX_FIELDS <= 64, "a bit for each field");
	for (uint32_t i = 0; i < record->n_fields; i++)
		keys |= (uint64_t)field_is_key(record->fields[i].field) << i;
	return keys;
}

static void fill_template_row(struct row *row, const struct template_record *record)
{
	row->template_id = record->id;
	row->flow_keys = flow_keys(record);
}

/* The row's own part; false if it is not for this form. */
static bool fill_row(struct row *row, const struct encoder_config *config,
		     const struct option_form *form, unsigned int index)
{
	const struct options *options = &row->options;

	if (form->rows == ROWS_ONE)
		return true;
	if (form->rows == ROWS_DROP_REASONS) {
		row->drop_reason =
			g_array_index(options->drop_reasons, struct options_drop_reason, index);
		return true;
	}
	if (form->rows == ROWS_TEMPLATES) {
		fill_template_row(row, g_ptr_array_index(config->template->records, index));
		return true;
	}
	row->interface = g_array_index(options->interfaces, struct options_interface, index);
	/* nfdump shows the description and nothing else */
	if (row->interface.description[0] == '\0')
		memcpy(row->interface.description, row->interface.name,
		       sizeof(row->interface.name));
	return (row->interface.netns != 0) == (form->rows == ROWS_FOREIGN_INTERFACES);
}

void options_records(const struct encoder_config *config, const struct options *options,
		     GPtrArray *messages)
{
	struct row row = {.options = *options};
	struct sets sets;

	sets_init(&sets, config->format, config->max_message_size);
	for (unsigned int i = 0; i < G_N_ELEMENTS(forms); i++) {
		if (!is_told(config, &forms[i]))
			continue;
		for (unsigned int j = 0; j < count_rows(config, &forms[i], options); j++)
			if (fill_row(&row, config, &forms[i], j))
				put_record(&sets, &forms[i], config->template->options_id + i, &row,
					   messages);
	}
	sets_take_into(&sets, MESSAGE_OPTIONS, messages);
	sets_clear(&sets);
}

unsigned int options_count_ids(void)
{
	return G_N_ELEMENTS(forms) + 1; /* and the type records' */
}

uint16_t options_type_template_id(const struct encoder_config *config)
{
	return config->template->options_id + G_N_ELEMENTS(forms);
}

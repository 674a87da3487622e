/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "strict_decoder.h"

#include <glib.h>
#include <string.h>

#define VERSION_V9	9
#define VERSION_IPFIX	10
#define VARIABLE_LENGTH 65535
#define ENTERPRISE_BIT	0x8000
#define FIRST_ID	256
#define SCOPE_V9	UINT32_MAX /* stands for the enterprise: scopes have numbers of their own */

enum kind { KIND_NUMBER, KIND_FIXED, KIND_STRING };

/* Elements whose length or form matters here (IANA registry); length: the natural one. */
static const struct element {
	uint16_t id;
	uint16_t length;
	enum kind kind;
} elements[] = {
	{1, 8, KIND_NUMBER},   {2, 8, KIND_NUMBER},   {4, 1, KIND_NUMBER},   {5, 1, KIND_NUMBER},
	{6, 2, KIND_NUMBER},   {7, 2, KIND_NUMBER},   {8, 4, KIND_FIXED},    {10, 4, KIND_NUMBER},
	{11, 2, KIND_NUMBER},  {12, 4, KIND_FIXED},   {14, 4, KIND_NUMBER},  {21, 4, KIND_NUMBER},
	{22, 4, KIND_NUMBER},  {25, 8, KIND_NUMBER},  {26, 8, KIND_NUMBER},  {27, 16, KIND_FIXED},
	{28, 16, KIND_FIXED},  {32, 2, KIND_NUMBER},  {34, 4, KIND_NUMBER},  {35, 1, KIND_NUMBER},
	{40, 8, KIND_NUMBER},  {41, 8, KIND_NUMBER},  {42, 8, KIND_NUMBER},  {52, 1, KIND_NUMBER},
	{53, 1, KIND_NUMBER},  {56, 6, KIND_FIXED},   {58, 2, KIND_NUMBER},  {60, 1, KIND_NUMBER},
	{61, 1, KIND_NUMBER},  {80, 6, KIND_FIXED},   {82, 0, KIND_STRING},  {83, 0, KIND_STRING},
	{89, 4, KIND_NUMBER},  {132, 8, KIND_NUMBER}, {133, 8, KIND_NUMBER}, {136, 1, KIND_NUMBER},
	{138, 8, KIND_NUMBER}, {139, 2, KIND_NUMBER}, {144, 4, KIND_NUMBER}, {145, 2, KIND_NUMBER},
	{149, 4, KIND_NUMBER}, {152, 8, KIND_FIXED},  {153, 8, KIND_FIXED},  {160, 8, KIND_FIXED},
	{164, 8, KIND_NUMBER}, {165, 8, KIND_NUMBER}, {166, 8, KIND_NUMBER}, {167, 8, KIND_NUMBER},
	{168, 8, KIND_NUMBER}, {173, 8, KIND_NUMBER}, {341, 0, KIND_STRING}, {344, 0, KIND_STRING},
};

struct field {
	uint32_t enterprise;
	uint16_t element;
	uint16_t length;
	bool scope;
	const struct element *known; /* NULL: not in the list above */
};

struct template
{
	bool options;
	size_t least; /* octets of the shortest record */
	GArray *fields;
};

/* Octets of a message or set. Reading past the end breaks off the message. */
struct reader {
	struct strict_decoder *decoder;
	const uint8_t *at;
	const uint8_t *end;
};

struct strict_decoder {
	void (*record)(void *user, const struct strict_record *record);
	void *user;
	struct strict_counts counts;
	char *first_error;
	GHashTable *templates; /* domain, id -> struct template */
	GHashTable *expected;  /* domain -> sequence of the next message */
	GArray *values;	       /* struct strict_value of the current record */
	/* of the current message */
	bool broken; /* the rest can't be read */
	unsigned int version;
	uint32_t domain;
	uint32_t exported_s;
	int64_t boot_ms;
	uint32_t n_template_records;
	uint32_t n_data_records;
};

static void read_header(struct reader *r, size_t size);
static void read_sets(struct reader *r);

static void free_template(void *data)
{
	struct template *template = data;

	g_array_unref(template->fields);
	g_free(template);
}

struct strict_decoder *strict_decoder_new(void (*record)(void *user, const struct strict_record *),
					  void *user)
{
	struct strict_decoder *d = g_new0(struct strict_decoder, 1);

	d->record = record;
	d->user = user;
	d->templates = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, free_template);
	d->expected = g_hash_table_new(NULL, NULL);
	d->values = g_array_new(FALSE, FALSE, sizeof(struct strict_value));
	return d;
}

void strict_decoder_free(struct strict_decoder *d)
{
	g_hash_table_unref(d->templates);
	g_hash_table_unref(d->expected);
	g_array_unref(d->values);
	g_free(d->first_error);
	g_free(d);
}

const struct strict_counts *strict_decoder_counts(const struct strict_decoder *d)
{
	return &d->counts;
}

const char *strict_decoder_error(const struct strict_decoder *d)
{
	return d->first_error ? d->first_error : "";
}

static void wrong(struct strict_decoder *d, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void wrong(struct strict_decoder *d, const char *format, ...)
{
	g_autofree char *text = NULL;
	va_list args;

	d->counts.errors++;
	if (d->first_error)
		return;
	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	d->first_error =
		g_strdup_printf("message %" G_GUINT64_FORMAT ": %s", d->counts.messages, text);
}

bool strict_decoder_message(struct strict_decoder *d, const void *message, size_t size)
{
	struct reader r = {d, message, (const uint8_t *)message + size};
	uint64_t errors = d->counts.errors;

	d->counts.messages++;
	d->broken = false;
	d->n_template_records = d->n_data_records = 0;
	read_header(&r, size);
	return d->counts.errors == errors;
}

/* ---- octets */

static size_t left(const struct reader *r)
{
	return r->decoder->broken ? 0 : (size_t)(r->end - r->at);
}

static const uint8_t *take(struct reader *r, size_t size)
{
	const uint8_t *at = r->at;

	if (r->decoder->broken)
		return NULL;
	if (size > left(r)) {
		wrong(r->decoder, "%zu octets wanted, %zu left", size, left(r));
		r->decoder->broken = true;
		return NULL;
	}
	r->at += size;
	return at;
}

/* 0 once the message is broken. */
static uint64_t number(struct reader *r, size_t size)
{
	const uint8_t *at = take(r, size);
	uint64_t value = 0;

	for (size_t i = 0; at && i < size; i++)
		value = value << 8 | at[i];
	return value;
}

static bool is_zero(const uint8_t *at, const uint8_t *end)
{
	while (at < end && *at == 0)
		at++;
	return at == end;
}

/* What is left of a set: zeros, less than limit (RFC 7011 3.3.1, RFC 3954 5.2). */
static void read_padding(struct reader *r, size_t limit)
{
	if (r->decoder->broken)
		return;
	if (left(r) >= limit)
		wrong(r->decoder, "%zu octets of padding, less than %zu may be", left(r), limit);
	if (!is_zero(r->at, r->end))
		wrong(r->decoder, "padding is not zero");
}

/* ---- message */

static void check_sequence(struct strict_decoder *d, uint32_t sequence)
{
	gpointer expected;

	if (g_hash_table_lookup_extended(d->expected, GUINT_TO_POINTER(d->domain), NULL,
					 &expected) &&
	    GPOINTER_TO_UINT(expected) != sequence)
		wrong(d, "sequence %u, expected %u", sequence, GPOINTER_TO_UINT(expected));
}

static void read_body(struct reader *r, uint32_t sequence)
{
	struct strict_decoder *d = r->decoder;

	d->domain = number(r, 4);
	if (d->broken)
		return;
	check_sequence(d, sequence);
	read_sets(r);
}

/* RFC 7011 3.1: data records are counted; RFC 3954 5.1: messages are. */
static void expect(struct strict_decoder *d, uint32_t sequence)
{
	if (!d->broken)
		g_hash_table_insert(d->expected, GUINT_TO_POINTER(d->domain),
				    GUINT_TO_POINTER(sequence));
}

static void read_ipfix(struct reader *r, size_t size)
{
	struct strict_decoder *d = r->decoder;
	size_t length = number(r, 2);
	uint32_t sequence;

	d->exported_s = number(r, 4);
	sequence = number(r, 4);
	if (!d->broken && length != size) {
		wrong(d, "length %zu, but %zu octets came", length, size);
		d->broken = true;
	}
	read_body(r, sequence);
	expect(d, sequence + d->n_data_records);
}

static void read_netflow9(struct reader *r)
{
	struct strict_decoder *d = r->decoder;
	uint32_t count = number(r, 2);
	uint32_t uptime_ms = number(r, 4);
	uint32_t sequence;

	d->exported_s = number(r, 4);
	d->boot_ms = d->exported_s * INT64_C(1000) - uptime_ms;
	sequence = number(r, 4);
	read_body(r, sequence);
	if (!d->broken && count != d->n_data_records + d->n_template_records)
		wrong(d, "count %u, but %u records", count,
		      d->n_data_records + d->n_template_records);
	expect(d, sequence + 1);
}

static void read_header(struct reader *r, size_t size)
{
	struct strict_decoder *d = r->decoder;

	d->version = number(r, 2);
	if (d->broken)
		return;
	if (d->version == VERSION_IPFIX)
		read_ipfix(r, size);
	else if (d->version == VERSION_V9)
		read_netflow9(r);
	else
		wrong(d, "version %u", d->version);
}

/* ---- templates */

static uint64_t template_key(const struct strict_decoder *d, uint16_t id)
{
	return (uint64_t)d->domain << 16 | id;
}

static const struct element *find_element(uint16_t id)
{
	for (size_t i = 0; i < G_N_ELEMENTS(elements); i++)
		if (elements[i].id == id)
			return &elements[i];
	return NULL;
}

static void check_field(struct strict_decoder *d, const struct field *field)
{
	size_t natural = field->known ? field->known->length : 0;

	if (field->length == 0 || (d->version == VERSION_V9 && field->length == VARIABLE_LENGTH))
		wrong(d, "element %u: length %u", field->element, field->length);
	/* reduced size is for numbers alone (RFC 7011 6.2) */
	if (natural && (field->length > natural ||
			(field->known->kind == KIND_FIXED && field->length != natural)))
		wrong(d, "element %u: length %u, natural %zu", field->element, field->length,
		      natural);
}

static struct field read_field(struct reader *r, bool scope)
{
	struct strict_decoder *d = r->decoder;
	struct field field = {.scope = scope};

	field.element = number(r, 2);
	field.length = number(r, 2);
	if (d->version == VERSION_IPFIX && (field.element & ENTERPRISE_BIT)) {
		field.element &= ~ENTERPRISE_BIT;
		field.enterprise = number(r, 4);
	} else if (d->version == VERSION_V9 && scope) {
		field.enterprise = SCOPE_V9;
	}
	field.known = field.enterprise ? NULL : find_element(field.element);
	if (!d->broken)
		check_field(d, &field);
	return field;
}

static bool is_same(const struct template *a, const struct template *b)
{
	if (a->options != b->options || a->fields->len != b->fields->len)
		return false;
	for (guint i = 0; i < a->fields->len; i++) {
		const struct field *x = &g_array_index(a->fields, struct field, i);
		const struct field *y = &g_array_index(b->fields, struct field, i);

		if (x->enterprise != y->enterprise || x->element != y->element ||
		    x->length != y->length || x->scope != y->scope)
			return false;
	}
	return true;
}

static void keep_template(struct strict_decoder *d, uint16_t id, struct template *template)
{
	uint64_t key = template_key(d, id);
	const struct template *old = g_hash_table_lookup(d->templates, &key);

	d->counts.templates++;
	if (template->least == 0)
		wrong(d, "template %u: its records are empty", id);
	if (old && !is_same(old, template))
		wrong(d, "template %u changed its meaning", id);
	g_hash_table_insert(d->templates, g_memdup2(&key, sizeof(key)), template);
}

static void read_fields(struct reader *r, uint16_t id, bool options, unsigned int n_fields,
			unsigned int n_scope)
{
	struct template *template = g_new0(struct template, 1);

	template->options = options;
	template->fields = g_array_new(FALSE, FALSE, sizeof(struct field));
	for (unsigned int i = 0; i < n_fields && !r->decoder->broken; i++) {
		struct field field = read_field(r, i < n_scope);

		template->least += field.length == VARIABLE_LENGTH ? 1 : field.length;
		g_array_append_val(template->fields, field);
	}
	if (r->decoder->broken)
		free_template(template);
	else
		keep_template(r->decoder, id, template);
}

static void read_template(struct reader *r, bool options)
{
	struct strict_decoder *d = r->decoder;
	uint16_t id = number(r, 2);
	unsigned int n_fields = number(r, 2), n_scope = 0;
	uint64_t key = template_key(d, id);

	if (id < FIRST_ID)
		wrong(d, "template id %u", id);
	if (d->version == VERSION_IPFIX && n_fields == 0) {
		d->counts.withdrawals++;
		g_hash_table_remove(d->templates, &key);
		return;
	}
	if (options && d->version == VERSION_V9) {
		n_scope = n_fields / 4; /* lengths in octets (RFC 3954 6.1) */
		n_fields = n_scope + number(r, 2) / 4;
	} else if (options) {
		n_scope = number(r, 2);
	}
	if (d->broken)
		return;
	if (options && (n_scope < 1 || n_scope > n_fields))
		wrong(d, "options template %u: %u scope fields of %u", id, n_scope, n_fields);
	read_fields(r, id, options, n_fields, n_scope);
}

static void read_template_set(struct reader *r, bool options)
{
	struct strict_decoder *d = r->decoder;
	uint32_t before = d->n_template_records;

	while (left(r) >= 4) {
		if (d->version == VERSION_V9 && is_zero(r->at, r->end))
			break;
		read_template(r, options);
		d->n_template_records++;
	}
	read_padding(r, 4);
	if (!d->broken && d->n_template_records == before)
		wrong(d, "template set without template");
}

/* ---- data */

static bool is_text(const uint8_t *octets, size_t length)
{
	while (length && octets[length - 1] == 0)
		length--;
	return g_utf8_validate_len((const char *)octets, length, NULL);
}

static bool read_value(struct reader *r, const struct field *field, struct strict_value *value)
{
	size_t length = field->length;

	*value = (struct strict_value){.enterprise = field->enterprise,
				       .element = field->element,
				       .scope = field->scope,
				       .variable = length == VARIABLE_LENGTH};
	if (value->variable) {
		length = number(r, 1);
		if (length == 255)
			length = number(r, 2);
	}
	value->length = length;
	value->octets = take(r, length);
	if (!value->octets)
		return false;
	if (field->known && field->known->kind == KIND_STRING && !is_text(value->octets, length))
		wrong(r->decoder, "element %u: no UTF-8", field->element);
	return true;
}

/* The latest value of that element in the record. False: there is none. */
static bool find_number(const struct strict_decoder *d, uint16_t element, uint64_t *out)
{
	for (guint i = d->values->len; i-- > 0;) {
		const struct strict_value *v = &g_array_index(d->values, struct strict_value, i);

		if (v->enterprise || v->element != element)
			continue;
		*out = 0;
		for (size_t at = 0; at < v->length; at++)
			*out = *out << 8 | v->octets[at];
		return true;
	}
	return false;
}

static void check_flow(struct strict_decoder *d)
{
	uint64_t start, end, packets = 0, octets = 0, dropped = 0;

	if (find_number(d, 152, &start) && find_number(d, 153, &end) &&
	    (start > end || end >= (d->exported_s + UINT64_C(2)) * 1000))
		wrong(d, "flow from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT, start, end);
	find_number(d, 2, &packets);
	find_number(d, 1, &octets);
	find_number(d, 133, &dropped);
	if (packets == 0 && dropped == 0 && octets)
		wrong(d, "octets without packets");
}

/* RFC 7011 4.4: of a template that describes flows, bits of fields that it has. */
static void check_flow_keys(struct strict_decoder *d)
{
	const struct template *template = NULL;
	uint64_t keys, id = 0, key;

	if (!find_number(d, 173, &keys))
		return;
	if (find_number(d, 145, &id) && id <= UINT16_MAX) {
		key = template_key(d, id);
		template = g_hash_table_lookup(d->templates, &key);
	}
	if (!template || template->options)
		wrong(d, "flow keys of %" G_GUINT64_FORMAT ", no template of flows", id);
	else if (!keys || (template->fields->len < 64 && keys >> template->fields->len))
		wrong(d, "flow keys %" G_GINT64_MODIFIER "x of %u fields", keys,
		      template->fields->len);
}

static void read_record(struct reader *r, uint16_t id, const struct template *template)
{
	struct strict_decoder *d = r->decoder;

	g_array_set_size(d->values, template->fields->len);
	for (guint i = 0; i < template->fields->len; i++)
		if (!read_value(r, &g_array_index(template->fields, struct field, i),
				&g_array_index(d->values, struct strict_value, i)))
			return;
	d->n_data_records++;
	d->counts.records++;
	d->counts.options_records += template->options;
	if (template->options)
		check_flow_keys(d);
	else
		check_flow(d);
	if (d->record)
		d->record(d->user, &(struct strict_record){.template_id = id,
							   .options = template->options,
							   .domain = d->domain,
							   .boot_ms = d->boot_ms,
							   .n_values = d->values->len,
							   .values = (void *)d->values->data});
}

static void read_data_set(struct reader *r, uint16_t id)
{
	struct strict_decoder *d = r->decoder;
	uint64_t key = template_key(d, id);
	const struct template *template = g_hash_table_lookup(d->templates, &key);
	uint32_t before = d->n_data_records;

	if (!template || template->least == 0) {
		wrong(d, "data set %u %s", id,
		      template ? "of empty records" : "before its template");
		d->broken = true;
		return;
	}
	while (left(r) >= template->least) {
		if (d->version == VERSION_V9 && left(r) < 4 && is_zero(r->at, r->end))
			break;
		read_record(r, id, template);
	}
	read_padding(r, d->version == VERSION_IPFIX ? template->least : 4);
	if (!d->broken && d->n_data_records == before)
		wrong(d, "data set %u without record", id);
}

static void read_set(struct reader *r, uint16_t id)
{
	uint16_t first = r->decoder->version == VERSION_V9 ? 0 : 2;

	if (id == first || id == first + 1)
		read_template_set(r, id == first + 1);
	else if (id >= FIRST_ID)
		read_data_set(r, id);
	else
		wrong(r->decoder, "set id %u is reserved", id);
}

static void read_sets(struct reader *r)
{
	struct strict_decoder *d = r->decoder;

	while (left(r)) {
		uint16_t id = number(r, 2), length = number(r, 2);
		struct reader body = *r;

		if (!d->broken && length < 4) {
			wrong(d, "set %u of length %u", id, length);
			d->broken = true;
		}
		if (d->broken || !take(r, length - 4))
			return;
		body.end = r->at;
		read_set(&body, id);
	}
}

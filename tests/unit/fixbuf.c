/* SPDX-License-Identifier: MIT */
/*
 * libfixbuf takes records in host order, laid out after an internal template: first what has
 * variable length (fbVarfield_t, thus aligned), then the rest. IPv4 addresses are numbers to it.
 */
#include "config.h"

#include "fixbuf.h"

#include <fixbuf/public.h>
#include <string.h>

#include "clock.h"
#include "plan.h"
#include "text.h"

#define HEADER_SIZE 16
#define IMAGE_MAX   (TEMPLATE_MAX_FIELDS * (RECORD_DNS_NAME_MAX + 16))

struct fixbuf {
	const struct template *template;
	uint32_t enterprise_number;
	fbInfoModel_t *model;
	fBuf_t *fbuf;
	fbExporter_t *exporter;
	uint8_t *memory, *image, *texts;
	struct plan *plans; /* for the length of texts */
};

static bool is_number(const struct field *field)
{
	return field->type == FIELD_IPV4 || field_is_number(field) || field->type == FIELD_MSEC ||
	       field->type == FIELD_NSEC;
}

static void append_spec(struct fixbuf *self, fbTemplate_t *template, const struct plan_field *f)
{
	const struct field *field = f->field;
	uint32_t pen = field_pen(field, self->enterprise_number);
	const fbInfoElement_t *known = fbInfoModelGetElementByID(self->model, field->id, pen);
	uint8_t type = field->type == FIELD_STRING ? FB_STRING
		       : is_number(field)	   ? FB_UINT_64
						   : FB_OCTET_ARRAY;
	fbInfoElement_t element =
		FB_IE_INIT_FULL(field->name, pen, field->id, FB_IE_VARLEN,
				is_number(field) ? FB_IE_F_ENDIAN : 0, 0, 0, type, NULL);
	fbInfoElementSpec_t spec = {0};
	g_autoptr(GError) error = NULL;

	if (!known)
		fbInfoModelAddElement(self->model, &element);
	spec.name = (char *)(known ? known->ref.name : field->name);
	spec.len_override = f->op == PLAN_VARIABLE ? FB_IE_VARLEN : f->length;
	fbTemplateAppendSpec(template, &spec, 0, &error);
	g_assert_no_error(error);
}

static void add_template(struct fixbuf *self, fbSession_t *session, const struct plan *plan,
			 bool internal)
{
	fbTemplate_t *template = fbTemplateAlloc(self->model);
	g_autoptr(GError) error = NULL;

	for (unsigned int i = 0; internal && i < plan->n_fields; i++)
		if (plan->fields[i].op == PLAN_VARIABLE)
			append_spec(self, template, &plan->fields[i]);
	for (unsigned int i = 0; i < plan->n_fields; i++)
		if (!internal || plan->fields[i].op != PLAN_VARIABLE)
			append_spec(self, template, &plan->fields[i]);
	fbSessionAddTemplate(session, internal, plan->id, template, &error);
	g_assert_no_error(error);
}

struct fixbuf *fixbuf_new(const struct template *template, uint32_t enterprise_number,
			  uint32_t max_message_size)
{
	struct fixbuf *self = g_new0(struct fixbuf, 1);
	fbSession_t *session;

	self->template = template;
	self->enterprise_number = enterprise_number;
	self->model = fbInfoModelAlloc();
	self->memory = g_malloc0(max_message_size);
	self->image = g_malloc0(IMAGE_MAX);
	self->texts = g_malloc0(IMAGE_MAX);
	self->plans = g_new0(struct plan, template->records->len);
	session = fbSessionAlloc(self->model);
	for (unsigned int i = 0; i < template->records->len; i++) {
		struct plan *plan = &self->plans[i];

		g_assert_true(plan_init(plan, template->records->pdata[i],
					max_message_size - HEADER_SIZE - 4, NULL));
		add_template(self, session, plan, false);
		add_template(self, session, plan, true);
	}
	self->exporter = fbExporterAllocBuffer(self->memory, max_message_size);
	self->fbuf = fBufAllocForExport(session, self->exporter);
	fBufSetAutomaticMode(self->fbuf, FALSE);
	return self;
}

void fixbuf_free(struct fixbuf *self)
{
	fBufFree(self->fbuf);
	fbInfoModelFree(self->model);
	g_free(self->memory);
	g_free(self->image);
	g_free(self->texts);
	g_free(self->plans);
	g_free(self);
}

/* RFC 7011 6.2: what the octets can't hold is the largest number, of flags the low ones stay. */
static uint64_t number(const struct plan_field *f, const struct flow_record *record)
{
	uint64_t value = field_number(f->field, record), fraction;
	uint64_t max = f->length < 8 ? (1ull << 8 * f->length) - 1 : UINT64_MAX;

	if (f->field->type == FIELD_NSEC) { /* RFC 7011 6.1.10, rounded up */
		fraction = ((value % NSEC_PER_SEC << 32) + NSEC_PER_SEC - 1) / NSEC_PER_SEC;
		return (value / NSEC_PER_SEC + 2208988800) << 32 | fraction;
	}
	return f->field->merge == FIELD_MERGE_OR ? value & max : MIN(value, max);
}

static void put_fixed(uint8_t *at, const struct plan_field *f, const struct flow_record *record)
{
	const uint8_t *from = (const uint8_t *)record + f->offset;
	uint64_t value;

	memset(at, 0, f->length);
	if (f->field->type == FIELD_STRING) {
		text_copy((char *)at, f->length, (const char *)from, f->field->size);
	} else if (f->field->type == FIELD_IPV4) {
		value = (uint64_t)from[0] << 24 | from[1] << 16 | from[2] << 8 | from[3];
		memcpy(at, &(uint32_t){value}, 4);
	} else if (is_number(f->field)) {
		value = GUINT64_TO_LE(number(f, record));
		memcpy(at, &value, f->length);
#if G_BYTE_ORDER == G_BIG_ENDIAN
		for (int i = 0; i < f->length / 2; i++) {
			uint8_t octet = at[i];

			at[i] = at[f->length - 1 - i];
			at[f->length - 1 - i] = octet;
		}
#endif
	} else {
		memcpy(at, from, f->length);
	}
}

static size_t make_image(struct fixbuf *self, const struct plan *plan,
			 const struct flow_record *record)
{
	uint8_t *at = self->image + plan->n_variable * sizeof(fbVarfield_t);
	fbVarfield_t *varfield = (fbVarfield_t *)self->image;
	uint8_t *text = self->texts;

	for (unsigned int i = 0; i < plan->n_fields; i++) {
		const struct plan_field *f = &plan->fields[i];

		if (f->op != PLAN_VARIABLE) {
			put_fixed(at, f, record);
			at += f->length;
			continue;
		}
		varfield->buf = text;
		varfield->len = text_copy((char *)text, f->length, (const char *)record + f->offset,
					  f->field->size);
		text += varfield++->len;
	}
	return at - self->image;
}

const uint8_t *fixbuf_encode(struct fixbuf *self, const struct flow_record *records, size_t n,
			     size_t *size)
{
	g_autoptr(GError) error = NULL;
	uint16_t open_id = 0;

	for (size_t i = 0; i < n; i++) {
		const struct template_record *form =
			template_match_flow(self->template, &records[i]);
		const struct plan *plan = &self->plans[form->id - self->plans[0].id];
		size_t image_size = make_image(self, plan, &records[i]);

		if (open_id != plan->id) {
			fBufSetInternalTemplate(self->fbuf, plan->id, &error);
			g_assert_no_error(error);
			fBufSetExportTemplate(self->fbuf, plan->id, &error);
			g_assert_no_error(error);
			open_id = plan->id;
		}
		fBufAppend(self->fbuf, self->image, image_size, &error);
		g_assert_no_error(error);
	}
	fBufEmit(self->fbuf, &error);
	g_assert_no_error(error);
	*size = fbExporterGetMsgLen(self->exporter) - HEADER_SIZE;
	return self->memory + HEADER_SIZE;
}

/* SPDX-License-Identifier: MIT */
/*
 * IPFIX: templates and flow records, encoded by libfixbuf into memory. The only door to libfixbuf.
 * Its header is left behind (collectors have their own), its transports are not used: room in the
 * message is counted here, because libfixbuf learns that a record doesn't fit too late (it leaves
 * an empty set behind, and costs a GError per message).
 *
 * A record goes through an image in host order, first what has variable length (fbVarfield_t, thus
 * aligned), then the fixed fields as the template has them.
 */
#include "config.h"

#include "ipfix.h"

#include <fixbuf/public.h>
#include <string.h>

#include "log.h"
#include "sets.h"

#define HEADER_SIZE 16
#define IMAGE_MAX   (TEMPLATE_MAX_FIELDS * (RECORD_DNS_NAME_MAX + 16))

struct ipfix {
	fbInfoModel_t *model;
	fBuf_t *fbuf; /* owns session and exporter */
	fbExporter_t *exporter;
	const struct plan *plans;
	unsigned int n_plans;
	uint32_t enterprise_number;
	uint32_t max_message_size;
	uint8_t *memory; /* the message */
	uint8_t *image;	 /* the record in host order */
	uint8_t *texts;	 /* what its fbVarfield_t point to */
	uint32_t used;	 /* octets of the message, header included */
	uint32_t n_records;
	uint16_t set_id; /* of the open set, 0: none */
	bool refused;
};

static bool is_swapped(const struct field *field)
{
	return field->type == FIELD_IPV4 || field_is_number(field) || field->type == FIELD_MSEC ||
	       field->type == FIELD_NSEC;
}

static uint8_t fixbuf_type(const struct field *field)
{
	static const uint8_t types[] = {
		[FIELD_IPV4] = FB_IP4_ADDR,   [FIELD_IPV6] = FB_IP6_ADDR,
		[FIELD_MAC] = FB_MAC_ADDR,    [FIELD_U8] = FB_UINT_8,
		[FIELD_U16] = FB_UINT_16,     [FIELD_U32] = FB_UINT_32,
		[FIELD_U64] = FB_UINT_64,     [FIELD_MSEC] = FB_DT_MILSEC,
		[FIELD_NSEC] = FB_DT_NANOSEC, [FIELD_UPTIME] = FB_UINT_32,
		[FIELD_STRING] = FB_STRING,   [FIELD_OCTETS] = FB_OCTET_ARRAY,
	};

	return types[field->type];
}

/* libfixbuf's own registry is of 2019 and knows no vendor: what it lacks comes from our table. */
static const char *model_name(struct ipfix *self, const struct field *field)
{
	uint32_t pen = field_pen(field, self->enterprise_number);
	const fbInfoElement_t *known = fbInfoModelGetElementByID(self->model, field->id, pen);
	uint16_t size = field_type_size(field);
	fbInfoElement_t element =
		FB_IE_INIT_FULL(field->name, pen, field->id, size ? size : FB_IE_VARLEN,
				is_swapped(field) ? FB_IE_F_ENDIAN : 0, 0, 0, fixbuf_type(field),
				field->description);

	if (known)
		return known->ref.name;
	fbInfoModelAddElement(self->model, &element);
	return field->name;
}

static bool append_spec(struct ipfix *self, fbTemplate_t *template, const struct plan_field *field,
			GError **error)
{
	fbInfoElementSpec_t spec = {0};

	spec.name = (char *)model_name(self, field->field);
	spec.len_override = field->op == PLAN_VARIABLE ? FB_IE_VARLEN : field->length;
	return fbTemplateAppendSpec(template, &spec, 0, error);
}

/* The template as it stands on the wire, or as the image has it. */
static fbTemplate_t *build_template(struct ipfix *self, const struct plan *plan, bool internal,
				    GError **error)
{
	fbTemplate_t *template = fbTemplateAlloc(self->model);
	bool ok = true;

	for (unsigned int i = 0; ok && internal && i < plan->n_fields; i++)
		if (plan->fields[i].op == PLAN_VARIABLE)
			ok = append_spec(self, template, &plan->fields[i], error);
	for (unsigned int i = 0; ok && i < plan->n_fields; i++)
		if (!internal || plan->fields[i].op != PLAN_VARIABLE)
			ok = append_spec(self, template, &plan->fields[i], error);
	if (!ok) {
		fbTemplateFreeUnused(template);
		return NULL;
	}
	return template;
}

static bool add_templates(struct ipfix *self, fbSession_t *session, bool internal, GError **error)
{
	for (unsigned int i = 0; i < self->n_plans; i++) {
		fbTemplate_t *template = build_template(self, &self->plans[i], internal, error);

		if (!template)
			return false;
		if (!fbSessionAddTemplate(session, internal, self->plans[i].id, template, error)) {
			fbTemplateFreeUnused(template);
			return false;
		}
	}
	return true;
}

/* A session with an exporter into self->memory; data sessions know the image as well. */
static fBuf_t *open_buffer(struct ipfix *self, bool data, fbExporter_t **exporter, GError **error)
{
	fbSession_t *session = fbSessionAlloc(self->model);
	fBuf_t *fbuf;

	/* before there is a buffer, or adding would write to it */
	if (!add_templates(self, session, false, error) ||
	    (data && !add_templates(self, session, true, error))) {
		fbSessionFree(session);
		return NULL;
	}
	*exporter = fbExporterAllocBuffer(self->memory, self->max_message_size);
	fbuf = fBufAllocForExport(session, *exporter);
	fBufSetAutomaticMode(fbuf, FALSE);
	return fbuf;
}

static void ipfix_free(void *format)
{
	struct ipfix *self = format;

	if (self->fbuf)
		fBufFree(self->fbuf);
	fbInfoModelFree(self->model);
	g_free(self->memory);
	g_free(self->image);
	g_free(self->texts);
	g_free(self);
}

static void *ipfix_new(const struct encoder_config *config, const struct plan *plans,
		       unsigned int n_plans, GError **error)
{
	struct ipfix *self = g_new0(struct ipfix, 1);

	self->model = fbInfoModelAlloc();
	self->plans = plans;
	self->n_plans = n_plans;
	self->enterprise_number = config->enterprise_number;
	self->max_message_size = config->max_message_size;
	self->memory = g_malloc0(config->max_message_size);
	self->image = g_malloc0(IMAGE_MAX);
	self->texts = g_malloc0(IMAGE_MAX);
	self->used = HEADER_SIZE;
	self->fbuf = open_buffer(self, true, &self->exporter, error);
	if (self->fbuf)
		return self;
	ipfix_free(self);
	return NULL;
}

static void put_host_order(uint8_t *at, uint64_t value, unsigned int length)
{
#if G_BYTE_ORDER == G_LITTLE_ENDIAN
	memcpy(at, &value, length);
#else
	memcpy(at, (uint8_t *)&value + sizeof(value) - length, length);
#endif
}

static uint8_t *put_fixed(uint8_t *at, const struct plan_field *field,
			  const struct flow_record *record)
{
	const uint8_t *from = (const uint8_t *)record + field->offset;
	uint32_t address;
	size_t used;

	switch (field->op) {
	case PLAN_COPY:
		memcpy(at, from, field->length);
		if (field->swap) { /* libfixbuf takes it for a number in host order */
			memcpy(&address, from, sizeof(address));
			address = GUINT32_FROM_BE(address);
			memcpy(at, &address, sizeof(address));
		}
		break;
	case PLAN_TEXT:
		used = plan_text(field, record, (char *)at);
		memset(at + used, 0, field->length - used);
		break;
	case PLAN_8:
		*at = *from;
		break;
	case PLAN_16:
		memcpy(at, from, 2);
		break;
	case PLAN_32:
		memcpy(at, from, 4);
		break;
	case PLAN_64:
		memcpy(at, from, 8);
		break;
	default:
		put_host_order(at, plan_number(field, record, 0), field->length);
	}
	return at + field->length;
}

/* Lays the record out; returns its octets on the wire and ends *image_end after the image. */
static uint32_t make_image(struct ipfix *self, const struct plan *plan,
			   const struct flow_record *record, size_t *image_size)
{
	uint8_t *at = self->image + plan->n_variable * sizeof(fbVarfield_t);
	fbVarfield_t *varfield = (fbVarfield_t *)self->image;
	uint32_t wire_size = plan->fixed_size;
	uint8_t *text = self->texts;

	for (unsigned int i = 0; i < plan->n_fields; i++) {
		const struct plan_field *field = &plan->fields[i];

		if (field->op != PLAN_VARIABLE) {
			at = put_fixed(at, field, record);
			continue;
		}
		varfield->buf = text;
		varfield->len = plan_text(field, record, (char *)text);
		text += varfield->len;
		wire_size += varfield->len + (varfield->len < 255 ? 1 : 3);
		varfield++;
	}
	*image_size = at - self->image;
	return wire_size;
}

/* Everything that can fail was checked when the encoder was made; should it fail still, it does so
 * for record after record: one line tells of all. */
static void log_refused(struct ipfix *self, GError *error)
{
	if (!self->refused)
		log_error("ipfix: libfixbuf refuses what it gets, this is lost: %s",
			  error->message);
	self->refused = true;
	g_error_free(error);
}

static bool begin_set(struct ipfix *self, uint16_t id, GError **error)
{
	if (!fBufSetInternalTemplate(self->fbuf, id, error) ||
	    !fBufSetExportTemplate(self->fbuf, id, error))
		return false;
	/* libfixbuf writes the header even if it refuses the record behind it */
	self->set_id = id;
	self->used += SET_HEADER;
	return true;
}

static enum encoder_result ipfix_append(void *format, const struct plan *plan,
					const struct flow_record *record, uint64_t base_ms)
{
	struct ipfix *self = format;
	GError *error = NULL;
	size_t image_size;
	uint32_t need = make_image(self, plan, record, &image_size);
	bool same_set = self->set_id == plan->id;

	if (self->used + need + (same_set ? 0 : SET_HEADER) > self->max_message_size)
		return ENCODER_FULL;
	if ((!same_set && !begin_set(self, plan->id, &error)) ||
	    !fBufAppend(self->fbuf, self->image, image_size, &error)) {
		log_refused(self, error);
		return ENCODER_REFUSED;
	}
	self->used += need;
	self->n_records++;
	return ENCODER_APPENDED;
}

static struct message *emit(fBuf_t *fbuf, fbExporter_t *exporter, const uint8_t *memory,
			    enum message_kind kind, GError **error)
{
	size_t size;

	if (!fBufEmit(fbuf, error))
		return NULL;
	size = fbExporterGetMsgLen(exporter);
	g_assert(size > HEADER_SIZE);
	return message_new(kind, memory + HEADER_SIZE, size - HEADER_SIZE);
}

static struct message *ipfix_take(void *format)
{
	struct ipfix *self = format;
	struct message *message = NULL;
	GError *error = NULL;

	if (self->n_records)
		message = emit(self->fbuf, self->exporter, self->memory, MESSAGE_DATA, &error);
	else if (self->used > HEADER_SIZE)
		fBufEmit(self->fbuf, &error); /* headers of sets whose records were refused */
	if (message)
		message->n_records = message->n_sequence = self->n_records;
	if (error)
		log_refused(self, error);
	self->used = HEADER_SIZE;
	self->n_records = 0;
	self->set_id = 0;
	return message;
}

struct template_writer {
	struct ipfix *self;
	fBuf_t *fbuf;
	fbExporter_t *exporter;
	uint32_t n_held;
	GPtrArray *messages;
};

static bool take_templates(struct template_writer *writer, GError **error)
{
	struct message *message;

	if (writer->n_held == 0)
		return true;
	message = emit(writer->fbuf, writer->exporter, writer->self->memory, MESSAGE_TEMPLATES,
		       error);
	if (!message)
		return false;
	message->n_records = writer->n_held;
	g_ptr_array_add(writer->messages, message);
	writer->n_held = 0;
	return true;
}

/* Appends one template; libfixbuf says when the message is full, and once before it begins one. */
static bool put_template(struct template_writer *writer, uint16_t id, GError **error)
{
	fbSession_t *session = fBufGetSession(writer->fbuf);
	GError *problem = NULL;

	if (!fbSessionExportTemplate(session, id, &problem)) {
		if (!g_error_matches(problem, FB_ERROR_DOMAIN, FB_ERROR_EOM)) {
			g_propagate_error(error, problem);
			return false;
		}
		g_clear_error(&problem);
		if (!take_templates(writer, error) || !fbSessionExportTemplate(session, id, error))
			return false;
	}
	writer->n_held++;
	return true;
}

static bool ipfix_templates(void *format, GPtrArray *messages, GError **error)
{
	struct ipfix *self = format;
	struct template_writer writer = {.self = self, .messages = messages};
	bool ok = true;

	writer.fbuf = open_buffer(self, false, &writer.exporter, error);
	if (!writer.fbuf)
		return false;
	for (unsigned int i = 0; ok && i < self->n_plans; i++)
		ok = put_template(&writer, self->plans[i].id, error);
	ok = ok && take_templates(&writer, error);
	fBufFree(writer.fbuf);
	return ok;
}

const struct encoder_format_ops ipfix_ops = {
	.new = ipfix_new,
	.free = ipfix_free,
	.append = ipfix_append,
	.take = ipfix_take,
	.templates = ipfix_templates,
};

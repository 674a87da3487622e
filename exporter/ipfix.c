/* SPDX-License-Identifier: MIT */
/*
 * IPFIX templates, written by libfixbuf into memory. The only door to libfixbuf. Its header is left
 * behind (collectors have their own), its transports are not used. The records are encoder.c's:
 * libfixbuf's come through an image in host order and take more than twice the time; a test holds
 * both against each other octet by octet (tests/unit/fixbuf.c).
 */
#include "config.h"

#include "ipfix.h"

#include <fixbuf/public.h>

#include "sets.h"

struct ipfix {
	fbInfoModel_t *model;
	fBuf_t *fbuf; /* owns session and exporter */
	fbExporter_t *exporter;
	const struct encoder_config *config;
	uint8_t *memory; /* the message */
	uint32_t n_held; /* templates in it */
	GPtrArray *messages;
};

/* libfixbuf's own registry is of 2019 and knows no vendor: what it lacks comes from our table. */
static const char *model_name(struct ipfix *self, const struct field *field)
{
	uint32_t pen = field_pen(field, self->config->enterprise_number);
	const fbInfoElement_t *known = fbInfoModelGetElementByID(self->model, field->id, pen);
	/* of type and length a template says nothing but what the spec says */
	fbInfoElement_t element = FB_IE_INIT_FULL(field->name, pen, field->id, FB_IE_VARLEN, 0, 0,
						  0, FB_OCTET_ARRAY, NULL);

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

static fbTemplate_t *build_template(struct ipfix *self, const struct plan *plan, GError **error)
{
	fbTemplate_t *template = fbTemplateAlloc(self->model);

	for (unsigned int i = 0; i < plan->n_fields; i++) {
		if (!append_spec(self, template, &plan->fields[i], error)) {
			fbTemplateFreeUnused(template);
			return NULL;
		}
	}
	return template;
}

static bool add_templates(struct ipfix *self, fbSession_t *session, const struct plan *plans,
			  GError **error)
{
	for (unsigned int i = 0; i < self->config->template->records->len; i++) {
		fbTemplate_t *template = build_template(self, &plans[i], error);

		if (!template)
			return false;
		if (!fbSessionAddTemplate(session, false, plans[i].id, template, error)) {
			fbTemplateFreeUnused(template);
			return false;
		}
	}
	return true;
}

/* A session with an exporter into self->memory. */
static bool open_buffer(struct ipfix *self, const struct plan *plans, GError **error)
{
	fbSession_t *session = fbSessionAlloc(self->model);

	/* before there is a buffer, or adding would write to it */
	if (!add_templates(self, session, plans, error)) {
		fbSessionFree(session);
		return false;
	}
	self->exporter = fbExporterAllocBuffer(self->memory, self->config->max_message_size);
	self->fbuf = fBufAllocForExport(session, self->exporter);
	fBufSetAutomaticMode(self->fbuf, FALSE);
	return true;
}

static bool take(struct ipfix *self, GError **error)
{
	size_t header_size = sets_message_header(ENCODER_IPFIX), size;
	struct message *message;

	if (self->n_held == 0)
		return true;
	if (!fBufEmit(self->fbuf, error))
		return false;
	size = fbExporterGetMsgLen(self->exporter);
	g_assert(size > header_size);
	message = message_new(MESSAGE_TEMPLATES, self->memory + header_size, size - header_size);
	message->n_records = self->n_held;
	g_ptr_array_add(self->messages, message);
	self->n_held = 0;
	return true;
}

/* Appends one template; libfixbuf says when the message is full, and once before it begins one. */
static bool put(struct ipfix *self, uint16_t id, GError **error)
{
	fbSession_t *session = fBufGetSession(self->fbuf);
	GError *problem = NULL;

	if (!fbSessionExportTemplate(session, id, &problem)) {
		if (!g_error_matches(problem, FB_ERROR_DOMAIN, FB_ERROR_EOM)) {
			g_propagate_error(error, problem);
			return false;
		}
		g_clear_error(&problem);
		if (!take(self, error) || !fbSessionExportTemplate(session, id, error))
			return false;
	}
	self->n_held++;
	return true;
}

bool ipfix_templates(const struct encoder_config *config, const struct plan *plans,
		     GPtrArray *messages, GError **error)
{
	struct ipfix self = {
		.model = fbInfoModelAlloc(),
		.config = config,
		.memory = g_malloc0(config->max_message_size),
		.messages = messages,
	};
	bool ok = open_buffer(&self, plans, error);

	for (unsigned int i = 0; ok && i < config->template->records->len; i++)
		ok = put(&self, plans[i].id, error);
	ok = ok && take(&self, error);
	if (self.fbuf)
		fBufFree(self.fbuf);
	fbInfoModelFree(self.model);
	g_free(self.memory);
	return ok;
}

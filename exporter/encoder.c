/* SPDX-License-Identifier: MIT */
/*
 * Which records a flow makes, the counted message body and the header in front of it. Above:
 * record.c, template.c; below: plan.c writes records, ipfix.c and netflow9.c templates.
 */
#include "config.h"

#include "encoder.h"

#include <string.h>

#include "encoder_format.h"
#include "ipfix.h"
#include "netflow9.h"
#include "options_encode.h"
#include "plan.h"
#include "sets.h"

struct encoder {
	struct encoder_config config;
	struct plan *plans; /* one per record of the template, in its order */
	struct sets sets;   /* the open message */
	GArray *shares;	    /* struct record_share, of it */
	uint64_t base_ms;   /* NetFlow v9: of it */
	GPtrArray *templates;
};

struct message *message_new(enum message_kind kind, const uint8_t *body, size_t size)
{
	struct message *message = g_malloc(sizeof(*message) + size);

	memset(message, 0, sizeof(*message));
	message->refs = 1;
	message->kind = kind;
	message->size = size;
	memcpy(message->body, body, size);
	return message;
}

struct message *message_ref(struct message *message)
{
	message->refs++;
	return message;
}

void message_unref(struct message *message)
{
	if (!message || --message->refs)
		return;
	g_free(message->shares);
	g_free(message);
}

void message_set_shares(struct message *message, const struct record_share *shares)
{
	message->shares = g_memdup2(shares, message->n_records * sizeof(*shares));
	for (uint32_t i = 0; i < message->n_records; i++) {
		message->n_flows += shares[i].n_flows;
		message->n_packets += shares[i].n_packets;
		message->n_octets += shares[i].n_octets;
	}
}

/* Octets that one record may take in an empty message. */
static uint32_t record_room(const struct encoder_config *config)
{
	uint32_t taken = sets_message_header(config->format) + SET_HEADER;

	if (config->format == ENCODER_NETFLOW9)
		taken += 3; /* padding */
	return config->max_message_size > taken ? config->max_message_size - taken : 0;
}

static bool make_plans(struct encoder *encoder, GError **error)
{
	const struct template *template = encoder->config.template;

	encoder->plans = g_new0(struct plan, template->records->len);
	for (unsigned int i = 0; i < template->records->len; i++) {
		const struct template_record *record = g_ptr_array_index(template->records, i);

		if (!plan_init(&encoder->plans[i], record, record_room(&encoder->config), error)) {
			g_prefix_error(error, "%s: record %s: ", template->path, record->name);
			return false;
		}
	}
	return true;
}

static bool make_templates(struct encoder *encoder, GError **error)
{
	const struct encoder_config *config = &encoder->config;

	options_type_records(config, encoder->templates);
	if (config->format == ENCODER_NETFLOW9)
		netflow9_templates(config, encoder->plans, encoder->templates);
	else if (!ipfix_templates(config, encoder->plans, encoder->templates, error))
		return false;
	options_templates(config, encoder->templates);
	return true;
}

struct encoder *encoder_new(const struct encoder_config *config, GError **error)
{
	struct encoder *encoder = g_new0(struct encoder, 1);
	GError *problem = NULL; /* libfixbuf can't do without one */

	encoder->config = *config;
	encoder->base_ms = config->boot_real_ms;
	encoder->templates = g_ptr_array_new_with_free_func((GDestroyNotify)message_unref);
	encoder->shares = g_array_new(FALSE, FALSE, sizeof(struct record_share));
	if (make_plans(encoder, &problem)) {
		sets_init(&encoder->sets, config->format, config->max_message_size);
		if (make_templates(encoder, &problem))
			return encoder;
	}
	g_propagate_error(error, problem);
	encoder_free(encoder);
	return NULL;
}

unsigned int encoder_count_ids(const struct template *template)
{
	return template->records->len + options_count_ids();
}

void encoder_free(struct encoder *encoder)
{
	if (!encoder)
		return;
	g_ptr_array_unref(encoder->templates);
	g_array_unref(encoder->shares);
	sets_clear(&encoder->sets);
	g_free(encoder->plans);
	g_free(encoder);
}

static void skip_uptime(const struct encoder *encoder, struct message *message)
{
	message->uptime_skip_ms = encoder->base_ms - encoder->config.boot_real_ms;
}

void encoder_flush(struct encoder *encoder)
{
	struct message *message = sets_take(&encoder->sets, MESSAGE_DATA);

	if (!message)
		return;
	g_assert(message->n_records == encoder->shares->len);
	message_set_shares(message, (const struct record_share *)encoder->shares->data);
	skip_uptime(encoder, message);
	g_array_set_size(encoder->shares, 0);
	encoder->config.emit(encoder->config.user, message);
}

static void append(struct encoder *encoder, const struct template_record *chosen,
		   const struct flow_record *record, const struct record_share *share)
{
	const struct plan *plan = &encoder->plans[chosen->id - encoder->plans[0].id];
	uint32_t size = plan_size(plan, record);
	uint8_t *at, *end;

	if (!sets_record(&encoder->sets, plan->id, size)) {
		encoder_flush(encoder);
		if (!sets_record(&encoder->sets, plan->id, size))
			g_error("a record of %u octets", size); /* plan_init saw to it */
	}
	at = wire_take(&encoder->sets.wire, size);
	end = plan_write(plan, record, encoder->base_ms, at);
	g_assert(end == at + size);
	g_array_append_val(encoder->shares, *share);
}

/* All times of a NetFlow v9 message count from one instant. */
static void follow_base(struct encoder *encoder, const struct flow_record *record)
{
	uint64_t base_ms = netflow9_base_ms(encoder->config.boot_real_ms, record->end_ms);

	if (base_ms == encoder->base_ms)
		return;
	encoder_flush(encoder);
	encoder->base_ms = base_ms;
	for (unsigned int i = 0; i < encoder->templates->len; i++)
		skip_uptime(encoder, encoder->templates->pdata[i]);
}

/* drops: record: what passed goes in one record, what was dropped in another. A flow of nothing but
 * drops has the latter alone. Counts tell what passed. */
static bool append_split(struct encoder *encoder, const struct flow_record *record)
{
	const struct template *template = encoder->config.template;
	const struct template_record *form = NULL;
	const struct template_record *drop_form = template_match_drops(template, record);
	struct record_share share = {1, record->metrics.packets, record->metrics.bytes};
	struct flow_record part = *record;

	if (record->metrics.packets || record->has_dns || !drop_form)
		form = template_match_flow(template, record);
	if (form) {
		part.metrics.drops = (struct pkt_drops){0};
		part.drop_cause_name[0] = '\0';
		part.forwarding_status = FORWARDING_STATUS_FORWARDED;
		part.flow_verdict = FLOW_VERDICT_PASSED;
		append(encoder, form, &part, &share);
	}
	if (drop_form) {
		part = *record;
		part.metrics.packets = record->metrics.drops.packets;
		part.metrics.bytes = record->metrics.drops.bytes;
		share = (struct record_share){.n_flows = !form};
		append(encoder, drop_form, &part, &share);
	}
	return form;
}

bool encoder_append(struct encoder *encoder, const struct flow_record *record)
{
	const struct template *template = encoder->config.template;
	struct record_share share = {1, record->metrics.packets, record->metrics.bytes};
	const struct template_record *form;

	if (encoder->config.format == ENCODER_NETFLOW9)
		follow_base(encoder, record);
	if (template->drops == TEMPLATE_DROPS_RECORD && record->metrics.drops.packets)
		return append_split(encoder, record);
	form = template_match_flow(template, record);
	if (form)
		append(encoder, form, record, &share);
	return form;
}

GPtrArray *encoder_templates(struct encoder *encoder)
{
	return encoder->templates;
}

GPtrArray *encoder_options(struct encoder *encoder, const struct options *options)
{
	GPtrArray *messages = g_ptr_array_new_with_free_func((GDestroyNotify)message_unref);

	options_records(&encoder->config, options, messages);
	for (unsigned int i = 0; i < messages->len; i++)
		skip_uptime(encoder, messages->pdata[i]);
	return messages;
}

/* RFC 7011 3.1, RFC 3954 5.1 */
size_t encoder_write_header(enum encoder_format format, const struct message *message,
			    const struct message_header *header, uint8_t out[MESSAGE_HEADER_MAX])
{
	struct wire wire;

	wire_init(&wire, out, MESSAGE_HEADER_MAX);
	if (format == ENCODER_NETFLOW9) {
		wire_put(&wire, 9, 2);
		wire_put(&wire, message->n_records, 2);
		wire_put(&wire, header->uptime_ms - message->uptime_skip_ms, 4);
	} else {
		wire_put(&wire, 10, 2);
		wire_put(&wire, sets_message_header(format) + message->size, 2);
	}
	wire_put(&wire, header->export_time_s, 4);
	wire_put(&wire, header->sequence, 4);
	wire_put(&wire, header->domain, 4);
	return wire_used(&wire);
}

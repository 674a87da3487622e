/* SPDX-License-Identifier: MIT */
/*
 * Any text as a template file: it is refused with messages that have a place, or it makes an
 * encoder whose messages the strict decoder takes. The first octet chooses format and size of
 * messages.
 */
#include "config.h"

#include <glib.h>

#include "encoder.h"
#include "fuzz.h"
#include "options.h"
#include "session.h"
#include "template.h"

static const uint16_t sizes[] = {512, 1420, 65535};

static struct template *parse(const char *text, size_t length, enum encoder_format format,
			      uint32_t max_size)
{
	struct yaml_errors errors;
	struct template *template;

	yaml_errors_init(&errors, "f");
	template = template_parse("f", text, length, format, max_size, &errors);
	g_assert((template != NULL) == (errors.messages->len == 0));
	for (guint i = 0; i < errors.messages->len; i++) {
		const char *message = g_ptr_array_index(errors.messages, i);

		g_assert(!strchr(message, '\n'));
		g_assert(g_utf8_validate(message, -1, NULL));
	}
	yaml_errors_clear(&errors);
	return template;
}

static void send_options(struct session *session, struct encoder *encoder)
{
	struct options options;
	g_autoptr(GPtrArray) messages = NULL;

	options_init(&options);
	messages = encoder_options(encoder, &options);
	session_send_all(session, messages);
	options_clear(&options);
}

static void encode(const struct template *template, struct session *session)
{
	const struct encoder_config config = {.format = session->format,
					      .template = template,
					      .enterprise_number = 32473,
					      .max_message_size = session->max_size,
					      .emit = session_send,
					      .user = session};
	struct flow_record record = {.ip_version = 4, .has_dns = true, .dns_name = "example"};
	GError *error = NULL;
	struct encoder *encoder = encoder_new(&config, &error);

	/* what template_parse takes fits */
	g_assert_no_error(error);
	record.metrics.packets = record.metrics.bytes = 1;
	record.metrics.drops = (struct pkt_drops){.packets = 1, .bytes = 40};
	session_send_all(session, encoder_templates(encoder));
	send_options(session, encoder);
	for (record.id.protocol = 0; record.id.protocol < 60; record.id.protocol++)
		encoder_append(encoder, &record);
	record.ip_version = 6;
	encoder_append(encoder, &record);
	record.ip_version = 0;
	encoder_append(encoder, &record);
	encoder_flush(encoder);
	encoder_free(encoder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	uint8_t choice = input_u8(&in);
	struct session session = {.format = choice & 1 ? ENCODER_NETFLOW9 : ENCODER_IPFIX,
				  .max_size = sizes[(choice >> 1) % G_N_ELEMENTS(sizes)],
				  .header = {.export_time_s = 1700000000}};
	const char *text = (const char *)in.at;
	struct template *first = parse(text, in.left, session.format, session.max_size);
	struct template *second;

	if (!first)
		return 0;
	second = parse(text, in.left, session.format, session.max_size);
	g_assert(template_equal(first, second));
	template_free(second);
	session.decoder = strict_decoder_new(NULL, NULL);
	encode(first, &session);
	strict_decoder_free(session.decoder);
	template_free(first);
	return 0;
}

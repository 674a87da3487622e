/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <string.h>

#include "netflow9.h"
#include "plan.h"
#include "wire_fixture.h"

static const char *const templates[] = {"standard", "minimal", "nfdump", "ntopng", "elastiflow"};

#define DAY_MS 86400000ull

static void golden(gconstpointer data)
{
	g_autofree char *text = fixture_everything(data, ENCODER_NETFLOW9);
	g_autofree char *name = g_strdup_printf("netflow9-%s.hex", (const char *)data);

	fixture_golden(name, text);
}

/* What a collector makes of a time: seconds of the header - uptime of the header + time, all in 32
 * bits but the first. */
static uint64_t time_as_read(const struct message *message, uint64_t export_ms, uint32_t uptime)
{
	struct message_header header = {.export_time_s = export_ms / 1000,
					.uptime_ms = export_ms / 1000 * 1000 - FIXTURE_BOOT_MS};
	uint8_t head[MESSAGE_HEADER_MAX];
	uint32_t head_uptime;

	g_assert_cmpuint(encoder_write_header(ENCODER_NETFLOW9, message, &header, head), ==, 20);
	head_uptime = (uint32_t)head[4] << 24 | head[5] << 16 | head[6] << 8 | head[7];
	return header.export_time_s * 1000ull - head_uptime + uptime;
}

static uint32_t be32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3];
}

/* Times are right to the millisecond, also over the wrap of 32 bits at 49.7 days, for flows that
 * began long before and for messages that wait in a queue. */
static void uptime(void)
{
	static const char template[] = "records:\n"
				       "  - name: t\n"
				       "    fields: [flowStartMilliseconds, flowEndMilliseconds]\n";
	static const double days[] = {0.001, 1, 24.8, 24.9, 37.2, 37.3, 49.6, 49.8, 62, 1000, 3000};

	for (size_t i = 0; i < G_N_ELEMENTS(days); i++) {
		uint64_t end_ms = FIXTURE_BOOT_MS + (uint64_t)(days[i] * DAY_MS) + 77;
		const struct message *message;
		struct flow_record record;
		struct fixture fixture;

		fixture_init(&fixture, template, ENCODER_NETFLOW9, 1420);
		fixture_tcp4(&record);
		record.end_ms = end_ms;
		record.start_ms = MAX(FIXTURE_BOOT_MS + 1, end_ms - 20 * DAY_MS);
		g_assert_true(encoder_append(fixture.encoder, &record));
		encoder_flush(fixture.encoder);
		g_assert_cmpuint(fixture.messages->len, ==, 1);
		message = fixture.messages->pdata[0];
		for (int wait_days = 0; wait_days <= 10; wait_days += 10) {
			uint64_t export_ms = end_ms + 15000 + wait_days * DAY_MS;

			g_assert_cmpuint(time_as_read(message, export_ms, be32(message->body + 4)),
					 ==, record.start_ms);
			g_assert_cmpuint(time_as_read(message, export_ms, be32(message->body + 8)),
					 ==, record.end_ms);
		}
		fixture_clear(&fixture);
	}
}

/* A change of the base ends the message: its records share one header. */
static void base_change(void)
{
	struct flow_record record;
	struct fixture fixture;

	fixture_init(&fixture, "standard", ENCODER_NETFLOW9, 1420);
	fixture_tcp4(&record);
	encoder_append(fixture.encoder, &record);
	record.end_ms += 60 * DAY_MS;
	encoder_append(fixture.encoder, &record);
	g_assert_cmpuint(fixture.messages->len, ==, 1);
	encoder_flush(fixture.encoder);
	g_assert_cmpuint(fixture.messages->len, ==, 2);
	fixture_clear(&fixture);
}

/* A flow that began before the boot that the header tells is said to have begun there. */
static void before_boot(void)
{
	g_assert_cmpuint(netflow9_base_ms(FIXTURE_BOOT_MS, FIXTURE_BOOT_MS - 5), ==,
			 FIXTURE_BOOT_MS);
	g_assert_cmpuint(netflow9_base_ms(FIXTURE_BOOT_MS, FIXTURE_BOOT_MS + 30 * DAY_MS), ==,
			 FIXTURE_BOOT_MS);
	g_assert_cmpuint(netflow9_base_ms(FIXTURE_BOOT_MS, FIXTURE_BOOT_MS + 40 * DAY_MS), >,
			 FIXTURE_BOOT_MS);
}

/* ICMP type and code stand in the destination port as well, where v9 collectors look for them. */
static void icmp_port(void)
{
	static const char template[] = "records:\n"
				       "  - name: t\n"
				       "    fields: [destinationTransportPort, protocolIdentifier, "
				       "ipClassOfService]\n";
	struct flow_record record;
	struct fixture fixture;
	const struct message *message;

	fixture_init(&fixture, template, ENCODER_NETFLOW9, 1420);
	fixture_icmp4(&record);
	encoder_append(fixture.encoder, &record);
	encoder_flush(fixture.encoder);
	message = fixture.messages->pdata[0];
	g_assert_cmpmem(message->body + 4, 4, "\x03\x04\x01\x00", 4);
	fixture_clear(&fixture);
}

/* Full messages: never larger than allowed, sets padded to 32 bits, nothing lost. */
static void fill(void)
{
	for (uint32_t size = 576; size < 640; size += 7) {
		unsigned int n_records = 0, n_flows = 0;
		struct flow_record record;
		struct fixture fixture;

		fixture_init(&fixture, "standard", ENCODER_NETFLOW9, size);
		for (int i = 0; i < 100; i++) {
			if (i % 3)
				fixture_tcp4(&record);
			else
				fixture_arp(&record);
			g_assert_true(encoder_append(fixture.encoder, &record));
		}
		encoder_flush(fixture.encoder);
		for (unsigned int i = 0; i < fixture.messages->len; i++) {
			const struct message *message = fixture.messages->pdata[i];

			g_assert_cmpuint(message->size + 20, <=, size);
			g_assert_cmpuint(message->size % 4, ==, 0);
			g_assert_cmpuint(message->n_sequence, ==, 1);
			n_records += message->n_records;
			n_flows += message->n_flows;
		}
		g_assert_cmpuint(n_records, ==, 100);
		g_assert_cmpuint(n_flows, ==, 100);
		fixture_clear(&fixture);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(templates); i++) {
		g_autofree char *path = g_strconcat("/netflow9/golden/", templates[i], NULL);

		g_test_add_data_func(path, templates[i], golden);
	}
	g_test_add_func("/netflow9/uptime", uptime);
	g_test_add_func("/netflow9/base_change", base_change);
	g_test_add_func("/netflow9/before_boot", before_boot);
	g_test_add_func("/netflow9/icmp_port", icmp_port);
	g_test_add_func("/netflow9/fill", fill);
	return g_test_run();
}

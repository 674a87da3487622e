/* SPDX-License-Identifier: MIT */
/* Structs as JSON for bpflowctl. Above: daemon_control.c. */
#include "config.h"

#include "views.h"

#include <string.h>

#include "field.h"

/* Text from outside (interface names, errors): JSON takes UTF-8 alone. */
static json_t *text(const char *value)
{
	g_autofree char *valid = g_utf8_make_valid(value ? value : "", -1);

	return json_string(valid);
}

/* Labels that a packet doesn't have. */
static bool is_blank(const struct field *field, const struct flow_record *record)
{
	const char *at = (const char *)record + field->offset;

	return field->type == FIELD_OCTETS && *at == 0 && memcmp(at, at + 1, field->size - 1) == 0;
}

static bool is_number(const struct field *field)
{
	return field_is_number(field) || field->type == FIELD_MSEC || field->type == FIELD_NSEC;
}

/* IANA's and our own elements; vendors' say the same under other names. */
static bool is_shown(const struct field *field, const struct flow_record *record)
{
	if (!*field->name || field->id == 0 || field->type == FIELD_UPTIME ||
	    (field->pen != 0 && field->pen != FIELD_OWN))
		return false;
	if (field->type == FIELD_IPV4)
		return record->ip_version == 4;
	if (field->type == FIELD_IPV6)
		return record->ip_version == 6;
	return field->group != FIELD_GROUP_DNS || record->has_dns;
}

static void set_field(json_t *object, const struct field *field, const struct flow_record *record)
{
	bool always = field->merge == FIELD_MERGE_KEY || field->merge == FIELD_MERGE_SUM;
	char buf[RECORD_DNS_NAME_MAX];
	uint64_t number;

	if (is_number(field)) {
		number = field_number(field, record);
		if (number != 0 || always)
			json_object_set_new_nocheck(object, field->name, json_integer(number));
		return;
	}
	if (is_blank(field, record))
		return;
	field_format(field, record, buf, sizeof(buf));
	if (*buf)
		json_object_set_new_nocheck(object, field->name, text(buf));
}

json_t *view_flow(const struct flow_record *record, const struct view_names *names)
{
	const uint8_t netns = record->id.netns;
	json_t *object = json_object();

	for (size_t i = 0; i < field_count; i++) {
		if (is_shown(&field_table[i], record))
			set_field(object, &field_table[i], record);
	}
	json_object_set_new(object, "ingressInterfaceName",
			    text(names->interface(names->user, netns, record->ingress_ifindex)));
	json_object_set_new(object, "egressInterfaceName",
			    text(names->interface(names->user, netns, record->egress_ifindex)));
	return object;
}

json_t *view_interface(const struct interface *interface, const struct report_traffic *traffic)
{
	return json_pack(
		"{s:o, s:o, s:i, s:o, s:b, s:b, s:i, s:i, s:i, s:o, s:o, s:I, s:I, s:I, s:I, s:o}",
		"name", text(interface->name), "netns", text(traffic->netns), "ifindex",
		(int)interface->ifindex, "description", text(interface->description), "up",
		interface->up, "metered", interface->metered, "master", (int)interface->master,
		"lower", (int)interface->lower, "vlan", (int)interface->vlan, "ingress",
		text(traffic->attached[FLOW_INGRESS]), "egress",
		text(traffic->attached[FLOW_EGRESS]), "ingress_packets",
		(json_int_t)traffic->packets[FLOW_INGRESS], "ingress_octets",
		(json_int_t)traffic->octets[FLOW_INGRESS], "egress_packets",
		(json_int_t)traffic->packets[FLOW_EGRESS], "egress_octets",
		(json_int_t)traffic->octets[FLOW_EGRESS], "error", text(interface->error));
}

static const char *format_name(enum encoder_format format)
{
	return format == ENCODER_IPFIX ? "ipfix" : "netflow9";
}

static void set_counters(json_t *object, const struct collector_stats *stats)
{
	const struct {
		const char *key;
		uint64_t value;
	} rows[] = {
		{"sent_flows", stats->sent_flows},
		{"sent_packets", stats->sent_packets},
		{"sent_octets", stats->sent_octets},
		{"sent_records", stats->sent_records},
		{"sent_messages", stats->sent_messages},
		{"sent_bytes", stats->sent_bytes},
		{"sent_templates", stats->sent_templates},
		{"queued_flows", stats->queued_flows},
		{"queued_packets", stats->queued_packets},
		{"queued_octets", stats->queued_octets},
		{"queued_messages", stats->queued_messages},
		{"queued_bytes", stats->queued_bytes},
		{"sessions", stats->sessions},
		{"failures", stats->failures},
		{"sequence", stats->sequence},
		{"max_message_size", stats->max_message_size},
	};
	uint64_t flows = 0, packets = 0, octets = 0;

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
		json_object_set_new(object, rows[i].key, json_integer(rows[i].value));
	for (int i = 0; i < COLLECTOR_N_LOSSES; i++) {
		flows += stats->lost[i].flows;
		packets += stats->lost[i].packets;
		octets += stats->lost[i].octets;
	}
	json_object_set_new(object, "lost_flows", json_integer(flows));
	json_object_set_new(object, "lost_packets", json_integer(packets));
	json_object_set_new(object, "lost_octets", json_integer(octets));
}

json_t *view_collector(const struct settings_collector *settings,
		       const struct collector_stats *stats, uint64_t now_mono_ns)
{
	json_t *object =
		json_pack("{s:o, s:s, s:s, s:o, s:b, s:I, s:o}", "name", text(settings->name),
			  "protocol", format_name(settings->protocol), "transport",
			  settings_transport_name(settings->transport), "template",
			  text(settings->template), "up", stats->up, "queue_size",
			  (json_int_t)settings->queue_size, "last_error", text(stats->last_error));

	if (settings->file) {
		json_object_set_new(object, "file", text(settings->file));
	} else {
		json_object_set_new(object, "address", text(settings->address));
		json_object_set_new(object, "port", json_integer(settings->port));
	}
	if (stats->up)
		json_object_set_new(
			object, "up_seconds",
			json_integer((now_mono_ns - stats->session_start_ns) / NSEC_PER_SEC));
	set_counters(object, stats);
	return object;
}

static json_t *view_record(const struct template_record *record, enum encoder_format format,
			   uint32_t enterprise_number)
{
	json_t *fields = json_array();

	for (uint32_t i = 0; i < record->n_fields; i++) {
		const struct template_field *at = &record->fields[i];
		const struct field *field = at->field;
		bool v9 = format == ENCODER_NETFLOW9;
		uint32_t pen = field_pen(field, enterprise_number);

		json_array_append_new(fields,
				      json_pack("{s:s, s:i, s:I, s:i}", "name", field->name, "id",
						v9 ? field->v9 : field->id, "enterprise",
						(json_int_t)(v9 ? 0 : pen), "length", at->length));
	}
	return json_pack("{s:i, s:o, s:o}", "id", record->id, "name", text(record->name), "fields",
			 fields);
}

json_t *view_template(const struct template *template, enum encoder_format format,
		      uint32_t enterprise_number)
{
	json_t *records = json_array();

	for (guint i = 0; i < template->records->len; i++)
		json_array_append_new(records, view_record(g_ptr_array_index(template->records, i),
							   format, enterprise_number));
	return json_pack("{s:o, s:o, s:o, s:s, s:o}", "name", text(template->name), "path",
			 text(template->path), "description", text(template->description), "format",
			 format_name(format), "records", records);
}

json_t *view_drop(uint32_t cause, const char *reason, const char *interface, const char *netns,
		  uint64_t packets, uint64_t octets)
{
	return json_pack("{s:o, s:I, s:o, s:o, s:I, s:I, s:i}", "reason", text(reason), "cause",
			 (json_int_t)cause, "interface", text(interface), "netns", text(netns),
			 "packets", (json_int_t)packets, "octets", (json_int_t)octets,
			 "forwarding_status", record_forwarding_status(reason));
}

static json_t *view_buckets(const struct histogram *histogram)
{
	json_t *buckets = json_array();

	for (size_t i = 0; i < histogram->n_bounds; i++)
		json_array_append_new(buckets,
				      json_pack("{s:f, s:I}", "up_to", histogram->bounds[i],
						"count", (json_int_t)histogram->counts[i]));
	json_array_append_new(buckets,
			      json_pack("{s:n, s:I}", "up_to", "count",
					(json_int_t)histogram->counts[histogram->n_bounds]));
	return buckets;
}

static json_t *view_sample(const struct metric_sample *sample)
{
	json_t *object = json_object();
	json_t *labels = json_object();

	for (size_t i = 0; i < G_N_ELEMENTS(sample->labels) && sample->labels[i]; i += 2)
		json_object_set_new(labels, sample->labels[i], text(sample->labels[i + 1]));
	json_object_set_new(object, "labels", labels);
	if (sample->histogram) {
		json_object_set_new(object, "count",
				    json_integer(histogram_count(sample->histogram)));
		json_object_set_new(object, "sum", json_real(sample->histogram->sum));
		json_object_set_new(object, "buckets", view_buckets(sample->histogram));
	} else {
		json_object_set_new(object, "value",
				    sample->is_real ? json_real(sample->real)
						    : json_integer(sample->count));
	}
	return object;
}

json_t *view_stats(const struct metrics *metrics)
{
	json_t *array = json_array();

	for (int i = 0; i < METRIC_COUNT; i++) {
		const GPtrArray *samples = metrics_samples(metrics, i);
		json_t *list;

		if (samples->len == 0)
			continue;
		list = json_array();
		for (guint j = 0; j < samples->len; j++)
			json_array_append_new(list, view_sample(g_ptr_array_index(samples, j)));
		json_array_append_new(array,
				      json_pack("{s:s, s:s, s:s, s:o}", "name",
						metric_rows[i].name + strlen(METRIC_PREFIX), "type",
						metric_type_names[metric_rows[i].type], "help",
						metric_rows[i].help, "samples", list));
	}
	return json_pack("{s:o}", "metrics", array);
}

/* SPDX-License-Identifier: MIT */
/* One entry of collectors: its keys, what follows from protocol and transport, what can't go
 * together. */
#include "config.h"

#include "settings_option.h"

#include <string.h>
#include <sys/socket.h>

#include "template.h"

#define UDP_MAX_PAYLOAD 65507 /* 65535 less the headers of IPv4 and UDP */

/* An entry while it is read. */
struct entry {
	struct settings_collector *collector;
	const struct settings_collector *presets;
	const struct yaml_node *node;
	const char *path;
	struct yaml_errors *errors;
};

/* What follows from the transport (RFC 7011 10.2.4, 10.3.4, 10.4.4; RFC 3954 leaves the port open).
 */
static const struct {
	const char *name;
	uint16_t port[2]; /* by enum encoder_format, 0: not possible */
	uint32_t message_size;
	bool datagram;
	bool tls;
} transports[] = {
	[TRANSPORT_UDP] = {"udp", {4739, 2055}, 1420, .datagram = true},
	[TRANSPORT_TCP] = {"tcp", {4739}, 65535},
	[TRANSPORT_SCTP] = {"sctp", {4739}, 65535},
	[TRANSPORT_TLS] = {"tls", {4740}, 65535, .tls = true},
	[TRANSPORT_DTLS] = {"dtls", {4740}, 1420, .datagram = true, .tls = true},
	[TRANSPORT_FILE] = {"file", {0}, 65535},
};

const char *settings_transport_name(enum transport_kind kind)
{
	return transports[kind].name;
}

static void fail(const struct entry *entry, const char *key, const char *format, ...)
	G_GNUC_PRINTF(3, 4);

/* At the value of the key, or at the entry if it isn't written. */
static void fail(const struct entry *entry, const char *key, const char *format, ...)
{
	const struct yaml_node *node = yaml_get(entry->node, key);
	g_autofree char *path = g_strdup_printf("%s.%s", entry->path, key);
	g_autofree char *message = NULL;
	va_list args;

	va_start(args, format);
	message = g_strdup_vprintf(format, args);
	va_end(args);
	yaml_error_at(entry->errors, node ? node : entry->node, path, "%s", message);
}

static bool is_file(const struct entry *entry)
{
	return yaml_get(entry->node, "file") && !yaml_get(entry->node, "address");
}

static void check_destination(const struct entry *entry)
{
	bool address = yaml_get(entry->node, "address");
	bool file = yaml_get(entry->node, "file");

	if (!yaml_get(entry->node, "name"))
		yaml_error_at(entry->errors, entry->node, entry->path,
			      "no name; write name: NAME, it stands in messages and metrics");
	if (address && file)
		fail(entry, "file", "given beside address; remove one of them");
	if (!address && !file)
		yaml_error_at(entry->errors, entry->node, entry->path,
			      "neither address nor file; write address: HOST or file: PATH");
}

/* An option that has no effect here is a mistake, unless it says what is so anyway. */
static void check_targets(const struct entry *entry)
{
	uint8_t wrong = is_file(entry) ? TARGET_NETWORK : TARGET_FILE;

	for (size_t i = 0; i < option_count; i++) {
		const struct option *option = &option_table[i];

		if (option->scope != SCOPE_COLLECTOR || option->target != wrong ||
		    !strcmp(option->key, "address") || !strcmp(option->key, "file") ||
		    option_equal(option, entry->collector, entry->presets))
			continue;
		fail(entry, option->key, "has no effect on a collector with %s; remove it",
		     is_file(entry) ? "file" : "address");
	}
}

static void check_protocol(const struct entry *entry)
{
	const struct settings_collector *collector = entry->collector;

	if (collector->protocol != ENCODER_NETFLOW9 || collector->transport == TRANSPORT_UDP)
		return;
	fail(entry, "protocol",
	     "netflow9 goes over udp only, not %s; write protocol: ipfix or transport: udp",
	     collector->transport == TRANSPORT_FILE ? "into a file"
						    : transports[collector->transport].name);
}

static void fail_tls(const struct entry *entry, const char *key, const char *message)
{
	const struct yaml_node *tls = yaml_get(entry->node, "tls");
	const struct yaml_node *node = tls ? yaml_get(tls, key) : NULL;
	g_autofree char *path = g_strdup_printf("%s.tls.%s", entry->path, key);

	yaml_error_at(entry->errors, node ? node : entry->node, path, "%s", message);
}

static void check_no_tls(const struct entry *entry)
{
	const char *remedy = entry->collector->transport == TRANSPORT_SCTP
				     ? "has no effect over sctp (DTLS over SCTP isn't offered); "
				       "write transport: tls or remove it"
				     : "has no effect with this transport; write transport: tls "
				       "or dtls, or remove it";

	for (size_t i = 0; i < option_count; i++)
		if (option_table[i].scope == SCOPE_TLS &&
		    !option_equal(&option_table[i], entry->collector, entry->presets))
			fail_tls(entry, option_table[i].key, remedy);
}

/* A file that can't be read is told already: only its absence counts. */
static bool is_given(const struct yaml_node *mapping, const char *key)
{
	const struct yaml_node *node = yaml_get(mapping, key);

	return node && (node->kind != YAML_SCALAR || *node->scalar);
}

static void check_tls(const struct entry *entry)
{
	const struct settings_tls *tls = &entry->collector->tls;
	const struct yaml_node *node = yaml_get(entry->node, "tls");

	if (!transports[entry->collector->transport].tls) {
		check_no_tls(entry);
		return;
	}
	if (*tls->certificate && !is_given(node, "key"))
		fail_tls(entry, "certificate", "given without key; write key: FILE too");
	if (*tls->key && !is_given(node, "certificate"))
		fail_tls(entry, "key", "given without certificate; write certificate: FILE too");
	if (*tls->ca && !tls->verify)
		fail_tls(entry, "ca", "has no effect with verify: false; remove one of them");
}

static void check_source_family(const struct entry *entry)
{
	const struct settings_collector *collector = entry->collector;
	int source = address_family(collector->source);
	int address = collector->address ? address_family(collector->address) : 0;

	if (source && address && source != address)
		fail(entry, "source",
		     "%s and address %s are of different families; write an %s "
		     "address",
		     collector->source, collector->address, address == AF_INET ? "IPv4" : "IPv6");
}

static void check_sizes(const struct entry *entry)
{
	const struct settings_collector *collector = entry->collector;

	if (transports[collector->transport].datagram &&
	    collector->max_message_size > UDP_MAX_PAYLOAD)
		fail(entry, "max_message_size", "%u octets don't fit a datagram; write at most %d",
		     collector->max_message_size, UDP_MAX_PAYLOAD);
	if (collector->queue_size < collector->max_message_size)
		fail(entry, "queue_size",
		     "holds not even one message of max_message_size; write at least %u",
		     collector->max_message_size);
}

static void derive(const struct entry *entry)
{
	struct settings_collector *collector = entry->collector;

	if (is_file(entry))
		collector->transport = TRANSPORT_FILE;
	if (!collector->port)
		collector->port = transports[collector->transport].port[collector->protocol];
	if (!collector->max_message_size)
		collector->max_message_size = transports[collector->transport].message_size;
}

/* What an earlier entry has loaded for the same use: its remarks are told once. */
static struct template *find_loaded(const struct settings *settings,
				    const struct settings_collector *collector)
{
	for (guint i = 0; i < settings->collectors->len; i++) {
		const struct settings_collector *other = g_ptr_array_index(settings->collectors, i);

		if (other->loaded && !strcmp(other->template, collector->template) &&
		    other->protocol == collector->protocol &&
		    other->max_message_size == collector->max_message_size)
			return other->loaded;
	}
	return NULL;
}

/* What is wrong with a template is told once, however many collectors name it. Takes news over. */
static void add_news(struct yaml_errors *errors, struct yaml_errors *news)
{
	for (guint i = 0; i < news->messages->len; i++) {
		const char *message = g_ptr_array_index(news->messages, i);

		if (!g_ptr_array_find_with_equal_func(errors->messages, message, g_str_equal, NULL))
			g_ptr_array_add(errors->messages, g_strdup(message));
	}
	yaml_errors_clear(news);
}

static int compare_names(gconstpointer a, gconstpointer b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A name that is no file: which ones there are, or that the folder is wrong. */
static void refuse_missing(const struct settings *settings, const struct entry *entry,
			   const char *path)
{
	g_autoptr(GDir) dir = g_dir_open(settings->template_dir, 0, NULL);
	g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
	g_autofree char *list = NULL;
	const char *file;

	while (dir && (file = g_dir_read_name(dir)))
		if (g_str_has_suffix(file, ".yaml"))
			g_ptr_array_add(names, g_strndup(file, strlen(file) - strlen(".yaml")));
	if (strchr(entry->collector->template, '/') || !names->len) {
		fail(entry, "template", "there is no file %s; %s would be right", path,
		     names->len ? "a path to a template"
				: "exporter.template_dir with the folder of the templates");
		return;
	}
	g_ptr_array_sort(names, compare_names);
	g_ptr_array_add(names, NULL);
	list = g_strjoinv(", ", (char **)names->pdata);
	fail(entry, "template", "there is no template %s in %s; one of %s would be right",
	     entry->collector->template, settings->template_dir, list);
}

static void load_template(const struct settings *settings, const struct entry *entry)
{
	struct settings_collector *collector = entry->collector;
	struct template *template = find_loaded(settings, collector);
	g_autofree char *path = NULL;
	struct yaml_errors news;

	if (template) {
		collector->loaded = template_ref(template);
		return;
	}
	path = settings_template_path(settings, collector->template);
	if (!g_file_test(path, G_FILE_TEST_EXISTS)) {
		refuse_missing(settings, entry, path);
		return;
	}
	yaml_errors_init(&news, path);
	collector->loaded =
		template_load(path, collector->protocol, collector->max_message_size, &news);
	add_news(entry->errors, &news);
	if (!collector->loaded)
		fail(entry, "template",
		     "template %s can't be used here for the reasons just told; mend %s or name "
		     "another",
		     collector->template, path);
}

static struct settings_collector *new_collector(uint32_t line)
{
	struct settings_collector *collector = g_new0(struct settings_collector, 1);

	collector->line = line;
	option_scope_set_presets(SCOPE_COLLECTOR, collector);
	return collector;
}

static void read_entry(const struct settings *settings, const struct entry *entry)
{
	guint before = entry->errors->messages->len;

	option_read_section(SCOPE_COLLECTOR, entry->node, entry->path, entry->collector,
			    entry->errors);
	check_destination(entry);
	check_targets(entry);
	derive(entry);
	check_protocol(entry);
	check_tls(entry);
	check_source_family(entry);
	check_sizes(entry);
	/* its remarks depend on protocol and size, which must be right then */
	if (entry->errors->messages->len == before)
		load_template(settings, entry);
}

void settings_read_collectors(struct settings *settings, const struct yaml_node *list,
			      struct yaml_errors *errors)
{
	struct settings_collector *presets = new_collector(0);

	for (guint i = 0; i < list->children->len; i++) {
		const struct yaml_node *node = g_ptr_array_index(list->children, i);
		struct settings_collector *collector = new_collector(node->line);
		g_autofree char *path = g_strdup_printf("collectors[%u]", i);
		const struct entry entry = {collector, presets, node, path, errors};

		g_ptr_array_add(settings->collectors, collector);
		if (node->kind == YAML_MAPPING)
			read_entry(settings, &entry);
		else
			yaml_error_at(errors, node, path,
				      "isn't a collector; write - name: NAME, and its other keys "
				      "below");
	}
	settings_collector_free(presets);
}

void settings_collector_free(struct settings_collector *collector)
{
	option_scope_clear(SCOPE_COLLECTOR, collector);
	template_free(collector->loaded);
	g_free(collector);
}

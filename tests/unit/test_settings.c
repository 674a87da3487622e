/* SPDX-License-Identifier: MIT */
/* What a good file becomes; what a bad one is told is in tests/cli. */
#include "config.h"

#include "settings.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#define TEMPLATES "exporter: {template_dir: " TOP_SRCDIR "/templates}\n"

static struct settings *parse(const char *text)
{
	g_autofree char *all = g_strconcat(TEMPLATES, text, NULL);
	struct settings *settings;
	struct yaml_errors errors;

	yaml_errors_init(&errors, "f");
	settings = settings_parse("f", all, strlen(all), &errors);
	for (guint i = 0; i < errors.messages->len; i++)
		g_test_message("%s", (const char *)g_ptr_array_index(errors.messages, i));
	g_assert_cmpuint(errors.messages->len, ==, 0);
	g_assert_nonnull(settings);
	yaml_errors_clear(&errors);
	return settings;
}

static struct settings *parse_collector(const char *text)
{
	g_autofree char *all = g_strdup_printf("collectors: [{name: a, %s}]\n", text);

	return parse(all);
}

static const struct settings_collector *collector(const struct settings *settings, guint i)
{
	return g_ptr_array_index(settings->collectors, i);
}

static void test_defaults(void)
{
	struct yaml_errors errors;
	struct settings *s;

	yaml_errors_init(&errors, "");
	s = settings_load_incomplete(NULL, &errors);
	g_assert_cmpuint(s->observation_domain_id, ==, 1);
	g_assert_cmpuint(s->enterprise_number, ==, 32473);
	g_assert_cmpstr(s->template_dir, ==, "/usr/share/bpflowd/templates");
	g_assert_cmpstr(s->control_socket, ==, "/run/bpflowd/control.sock");
	g_assert_cmpstr(s->control_group, ==, "");
	g_assert_cmpstr(s->user, ==, "");
	g_assert_cmpstr(s->interfaces[0], ==, "*");
	g_assert_cmpstr(s->interfaces[1], ==, "!lo");
	g_assert_null(s->interfaces[2]);
	g_assert_null(s->netns[0]);
	g_assert_cmpint(s->direction, ==, DIRECTION_BOTH);
	g_assert_cmpint(s->count, ==, COUNT_ONCE);
	g_assert_cmpint(s->timestamps, ==, TIMESTAMPS_COARSE);
	g_assert_cmpuint(s->sampling, ==, 1);
	g_assert_cmpuint(s->max_flows, ==, 65536);
	g_assert_cmpuint(s->drain_interval_ns, ==, 1 * NSEC_PER_SEC);
	g_assert_cmpuint(s->active_timeout_ns, ==, 60 * NSEC_PER_SEC);
	g_assert_cmpuint(s->idle_timeout_ns, ==, 15 * NSEC_PER_SEC);
	g_assert_true(s->drops && s->dns && s->rtt);
	g_assert_cmpuint(s->dns_ports->len, ==, 1);
	g_assert_cmpuint(g_array_index(s->dns_ports, uint16_t, 0), ==, 53);
	g_assert_cmpstr(s->ignored_drop_reasons[0], ==, "TCP_RESET");
	g_assert_cmpuint(s->collectors->len, ==, 0);
	g_assert_cmpstr(s->http_listen, ==, "127.0.0.1:9469");
	g_assert_cmpint(s->log_level, ==, LOG_LEVEL_INFO);
	settings_free(s);
	yaml_errors_clear(&errors);
}

static void test_collector_defaults(void)
{
	struct settings *s = parse_collector("address: 192.0.2.10");
	const struct settings_collector *c = collector(s, 0);

	g_assert_cmpuint(c->line, ==, 2);
	g_assert_cmpstr(c->name, ==, "a");
	g_assert_cmpstr(c->address, ==, "192.0.2.10");
	g_assert_null(c->file);
	g_assert_cmpstr(c->template, ==, "standard");
	g_assert_cmpstr(c->source, ==, "");
	g_assert_cmpstr(c->group, ==, "");
	g_assert_cmpint(c->group_mode, ==, GROUP_COPY);
	g_assert_cmpint(c->protocol, ==, ENCODER_IPFIX);
	g_assert_cmpint(c->transport, ==, TRANSPORT_UDP);
	g_assert_cmpuint(c->source_port, ==, 0);
	g_assert_cmpuint(c->max_rate, ==, 0);
	g_assert_cmpuint(c->template_refresh_ns, ==, 60 * NSEC_PER_SEC);
	g_assert_cmpuint(c->template_refresh_messages, ==, 0);
	g_assert_cmpuint(c->reconnect_interval_ns, ==, 60 * NSEC_PER_SEC);
	g_assert_cmpuint(c->queue_size, ==, 16 << 20);
	g_assert_cmpstr(c->tls.ca, ==, "");
	g_assert_cmpstr(c->tls.certificate, ==, "");
	g_assert_cmpstr(c->tls.key, ==, "");
	g_assert_true(c->tls.verify);
	settings_free(s);
}

static const struct {
	const char *text;
	enum transport_kind transport;
	uint16_t port;
	uint32_t max_message_size;
} derived[] = {
	{"address: 192.0.2.1", TRANSPORT_UDP, 4739, 1420},
	{"address: 192.0.2.1, protocol: netflow9", TRANSPORT_UDP, 2055, 1420},
	{"address: 192.0.2.1, transport: tcp", TRANSPORT_TCP, 4739, 65535},
	{"address: 192.0.2.1, transport: sctp", TRANSPORT_SCTP, 4739, 65535},
	{"address: 192.0.2.1, transport: tls", TRANSPORT_TLS, 4740, 65535},
	{"address: 192.0.2.1, transport: dtls", TRANSPORT_DTLS, 4740, 1420},
	{"address: 192.0.2.1, transport: dtls, port: 9, max_message_size: 1k", TRANSPORT_DTLS, 9,
	 1024},
	{"file: /tmp/x", TRANSPORT_FILE, 0, 65535},
};

static void test_derived(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(derived); i++) {
		struct settings *s = parse_collector(derived[i].text);

		g_assert_cmpint(collector(s, 0)->transport, ==, derived[i].transport);
		g_assert_cmpuint(collector(s, 0)->port, ==, derived[i].port);
		g_assert_cmpuint(collector(s, 0)->max_message_size, ==,
				 derived[i].max_message_size);
		settings_free(s);
	}
}

static void test_values(void)
{
	struct settings *s = parse(
		"metering: {interfaces: [eth0], direction: egress, active_timeout: 0, "
		"idle_timeout: 250ms, drain_interval: 1m, dns: false, dns_ports: [53, 5353]}\n"
		"collectors: [{name: a, file: /x, rotate_size: 2G, rotate_interval: 24h}]\n"
		"http: {listen: \"\"}\nlog: {level: debug}\n");

	g_assert_cmpstr(s->interfaces[0], ==, "eth0");
	g_assert_null(s->interfaces[1]);
	g_assert_cmpint(s->direction, ==, DIRECTION_EGRESS);
	g_assert_cmpuint(s->active_timeout_ns, ==, 0);
	g_assert_cmpuint(s->idle_timeout_ns, ==, 250 * NSEC_PER_MSEC);
	g_assert_cmpuint(s->drain_interval_ns, ==, 60 * NSEC_PER_SEC);
	g_assert_false(s->dns);
	g_assert_cmpuint(s->dns_ports->len, ==, 2);
	g_assert_cmpuint(g_array_index(s->dns_ports, uint16_t, 1), ==, 5353);
	g_assert_cmpuint(collector(s, 0)->rotate_size, ==, 2ull << 30);
	g_assert_cmpuint(collector(s, 0)->rotate_interval_ns, ==, 86400 * NSEC_PER_SEC);
	g_assert_cmpstr(s->http_listen, ==, "");
	g_assert_cmpint(s->log_level, ==, LOG_LEVEL_DEBUG);
	settings_free(s);
}

static void test_addresses(void)
{
	static const char *const good[] = {
		"192.0.2.1", "\"2001:db8::1\"",	       "2001:db8::1", "\"fe80::1%eth0\"",
		"localhost", "collector.example.org.", "a_b.example", "9a.example",
	};

	for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
		g_autofree char *text = g_strdup_printf("address: %s", good[i]);

		settings_free(parse_collector(text));
	}
}

static void test_template_path(void)
{
	struct settings *s = parse_collector("address: 192.0.2.1");
	g_autofree char *name = settings_template_path(s, "standard");
	g_autofree char *path = settings_template_path(s, "./mine.yaml");

	g_assert_cmpstr(name, ==, TOP_SRCDIR "/templates/standard.yaml");
	g_assert_cmpstr(path, ==, "./mine.yaml");
	settings_free(s);
}

static void test_restart_needed(void)
{
	struct settings *old = parse_collector("address: 192.0.2.1");
	struct settings *same = parse_collector("address: 192.0.2.1");
	struct settings *new = parse("metering: {active_timeout: 1s, interfaces: [x], sampling: 2, "
				     "dns_ports: [54], netns: [blue]}\nlog: {level: error}\n"
				     "http: {listen: \"[::1]:1\"}\n"
				     "collectors: [{name: b, address: 192.0.2.2}]\n");
	g_autofree char *none = settings_keep_in_force(old, same);
	g_autofree char *some = settings_keep_in_force(same, new);
	g_autofree char *undone = NULL;

	g_assert_cmpstr(none, ==, "");
	g_assert_cmpstr(some, ==,
			"metering.netns, metering.sampling, metering.dns_ports, http.listen");
	/* what can't be changed stays, the rest is the new file's */
	g_assert_cmpuint(new->sampling, ==, 1);
	g_assert_cmpuint(g_array_index(new->dns_ports, uint16_t, 0), ==, 53);
	g_assert_cmpstr(new->http_listen, ==, old->http_listen);
	g_assert_null(new->netns[0]);
	g_assert_cmpstr(new->interfaces[0], ==, "x");
	g_assert_cmpuint(new->log_level, ==, LOG_LEVEL_ERROR);
	/* undone in the file: nothing waits any more */
	undone = settings_keep_in_force(new, old);
	g_assert_cmpstr(undone, ==, "");
	settings_free(old);
	settings_free(same);
	settings_free(new);
}

/* Namespaces can be changed where some were named at the start. */
static void test_restart_netns(void)
{
	struct settings *in_force = parse("metering: {netns: [red]}\n"
					  "collectors: [{name: b, address: 192.0.2.2}]\n");
	struct settings *next = parse("metering: {netns: [red, blue]}\n"
				      "collectors: [{name: b, address: 192.0.2.2}]\n");
	g_autofree char *names = settings_keep_in_force(in_force, next);

	g_assert_cmpstr(names, ==, "");
	g_assert_cmpstr(next->netns[1], ==, "blue");
	settings_free(in_force);
	settings_free(next);
}

static void test_same_session(void)
{
	struct settings *a = parse_collector("address: 192.0.2.1, transport: tcp");
	struct settings *b = parse_collector("address: 192.0.2.1, transport: tcp, port: 4739, "
					     "queue_size: 1M, max_rate: 7, template: minimal");
	struct settings *c = parse_collector("address: 192.0.2.1, transport: tcp, port: 4740");
	struct settings *d = parse_collector("address: 192.0.2.1, transport: tls");
	struct settings *e =
		parse_collector("address: 192.0.2.1, transport: tls, tls: {verify: false}");

	g_assert_true(settings_same_session(a->collectors->pdata[0], b->collectors->pdata[0]));
	g_assert_false(settings_same_session(a->collectors->pdata[0], c->collectors->pdata[0]));
	g_assert_false(settings_same_session(a->collectors->pdata[0], d->collectors->pdata[0]));
	g_assert_false(settings_same_session(d->collectors->pdata[0], e->collectors->pdata[0]));
	settings_free(a);
	settings_free(b);
	settings_free(c);
	settings_free(d);
	settings_free(e);
}

static bool only_udp_or_ca(const struct settings_collector *collector, const char **key,
			   GError **error)
{
	bool tls = collector->transport == TRANSPORT_TLS;

	*key = tls ? "tls.ca" : "transport";
	if (collector->transport == TRANSPORT_UDP)
		return true;
	g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOSYS, "not here; use %s",
		    tls ? "another" : "udp");
	return false;
}

static void test_probe(void)
{
	static const char text[] = TEMPLATES "collectors:\n"
					     "  - {name: a, address: 192.0.2.1}\n"
					     "  - {name: b, address: 192.0.2.1, transport: sctp}\n"
					     "  - {name: c, file: /x}\n"
					     "  - {name: d, address: 192.0.2.1, transport: tls, "
					     "tls: {ca: " TOP_SRCDIR "/README.md}}\n"
					     "  - {name: e, address: 192.0.2.1, transport: tls, "
					     "tls: {verify: false}}\n"
					     "  - {name: f, address: 192.0.2.1, transport: tls}\n";
	static const char *const wrong[] = {
		"f:4:46: collectors[1].transport: not here; use udp",
		"f:5:5: collectors[2].transport: not here; use udp",
		"f:6:61: collectors[3].tls.ca: not here; use another",
		"f:7:56: collectors[4].tls.ca: not here; use another",
		"f:8:5: collectors[5].tls.ca: not here; use another",
	};
	struct yaml_errors errors;

	settings_set_probe(only_udp_or_ca);
	yaml_errors_init(&errors, "f");
	g_assert_null(settings_parse("f", text, strlen(text), &errors));
	g_assert_cmpuint(errors.messages->len, ==, G_N_ELEMENTS(wrong));
	for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++)
		g_assert_cmpstr(g_ptr_array_index(errors.messages, i), ==, wrong[i]);
	yaml_errors_clear(&errors);
	settings_set_probe(NULL);
}

static char *print(const struct settings *settings)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	settings_print(settings, out);
	fclose(out);
	return text;
}

/* Any text survives being printed and read: quotes, controls of YAML, words that look typed. */
static void test_print_text(void)
{
	static const char *const globs[] = {
		"*",   "!eth0", "a b",	"a: b", "a #b", "\"",	"\\\\",
		"1",   "1e5",	"true", "No",	"~",	"null", "-",
		"- a", "?",	":",	"a:",	"[x]",	"{x}",	"&a",
		"%",   "@x",	"'",	"0x1f", ".5",	"ü",	"\xf0\x9f\x90\x9d",
		" ",   "<<",	"1:30",
	};

	for (size_t i = 0; i < G_N_ELEMENTS(globs); i++) {
		struct settings *first = parse_collector("address: 192.0.2.1");
		struct yaml_errors errors;
		struct settings *second;
		char *text;

		g_free(first->interfaces[0]);
		first->interfaces[0] = g_strdup(globs[i]);
		text = print(first);
		yaml_errors_init(&errors, "f");
		second = settings_parse("f", text, strlen(text), &errors);
		for (guint j = 0; j < errors.messages->len; j++)
			g_test_message("%s", (const char *)g_ptr_array_index(errors.messages, j));
		g_assert_nonnull(second);
		g_assert_cmpstr(second->interfaces[0], ==, globs[i]);
		yaml_errors_clear(&errors);
		free(text);
		settings_free(first);
		settings_free(second);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/settings/defaults", test_defaults);
	g_test_add_func("/settings/collector-defaults", test_collector_defaults);
	g_test_add_func("/settings/derived", test_derived);
	g_test_add_func("/settings/values", test_values);
	g_test_add_func("/settings/addresses", test_addresses);
	g_test_add_func("/settings/template-path", test_template_path);
	g_test_add_func("/settings/restart-needed", test_restart_needed);
	g_test_add_func("/settings/restart-netns", test_restart_netns);
	g_test_add_func("/settings/same-session", test_same_session);
	g_test_add_func("/settings/probe", test_probe);
	g_test_add_func("/settings/print-text", test_print_text);
	return g_test_run();
}

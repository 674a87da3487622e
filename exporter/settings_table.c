/* SPDX-License-Identifier: MIT */
/* Every option of the configuration, in the order of --print-config and conf/bpflowd.yaml. */
#include "config.h"

#include "reasons.h"
#include "settings_option.h"

#define MSEC	NSEC_PER_MSEC
#define SEC	NSEC_PER_SEC
#define HOUR	(3600 * NSEC_PER_SEC)
#define DAY	(24 * HOUR)
#define KIB	1024ull
#define GIB	(1024 * 1024 * KIB)
#define NO_TEXT NULL

#define EXPORTER(member)  .scope = SCOPE_EXPORTER, .key = #member, IN_SETTINGS(member)
#define METERING(member)  .scope = SCOPE_METERING, .key = #member, IN_SETTINGS(member)
#define COLLECTOR(member) .scope = SCOPE_COLLECTOR, .key = #member, IN_COLLECTOR(member)
#define TLS(member)                                                                             \
	.scope = SCOPE_TLS, .key = #member, .target = TARGET_NETWORK, .change = CHANGE_SESSION, \
	IN_COLLECTOR(tls.member)
#define IN_SETTINGS(member)  .offset = offsetof(struct settings, member)
#define IN_COLLECTOR(member) .offset = offsetof(struct settings_collector, member)

#define CHOICE(list, standard) .kind = OPTION_CHOICE, .choices = list, .preset = standard
#define BOOL(standard)	       .kind = OPTION_BOOL, .preset = standard
#define TEXT(standard, test)   .kind = OPTION_TEXT, .preset = standard, .check = test
#define TEXTS(standard, test, least, most) \
	.kind = OPTION_TEXTS, .preset = standard, .check = test, .min = least, .max = most
#define U16(standard, least, most) .kind = OPTION_U16, .preset = standard, .min = least, .max = most
#define U32(standard, least, most) .kind = OPTION_U32, .preset = standard, .min = least, .max = most
#define SIZE(standard, least, most) \
	.kind = OPTION_SIZE64, .preset = standard, .min = least, .max = most
#define DURATION(standard, least, most) \
	.kind = OPTION_DURATION, .preset = standard, .min = least, .max = most
#define RESTART .change = CHANGE_RESTART
#define SESSION .change = CHANGE_SESSION
#define NETWORK .target = TARGET_NETWORK
#define FILES	.target = TARGET_FILE

static const char *const directions[] = {"ingress", "egress", "both", NULL};
static const char *const counts[] = {"once", "per_interface", NULL};
static const char *const timestamps[] = {"coarse", "precise", NULL};
static const char *const protocols[] = {"ipfix", "netflow9", NULL};
static const char *const transports[] = {"udp", "tcp", "sctp", "tls", "dtls", NULL};
static const char *const group_modes[] = {"copy", "failover", "balance", NULL};
static const char *const levels[] = {"error", "warning", "info", "debug", NULL};

const char *const option_scope_names[N_SCOPES] = {
	[SCOPE_EXPORTER] = "exporter",
	[SCOPE_METERING] = "metering",
	[SCOPE_HTTP] = "http",
	[SCOPE_LOG] = "log",
	[SCOPE_COLLECTOR] = "collectors",
	[SCOPE_TLS] = "collectors[].tls",
};

const struct option option_table[] = {
	{EXPORTER(observation_domain_id), U32("1", 0, UINT32_MAX), RESTART},
	/* the highest number marks our own rows in field.h */
	{EXPORTER(enterprise_number), U32("32473", 1, UINT32_MAX - 1), RESTART},
	{EXPORTER(template_dir), TEXT("/usr/share/bpflowd/templates", NULL)},
	{EXPORTER(control_socket), TEXT("/run/bpflowd/control.sock", check_socket), RESTART},
	{EXPORTER(control_group), TEXT("\"\"", check_account_group), RESTART},
	{EXPORTER(user), TEXT("\"\"", check_account), RESTART},

	{METERING(interfaces), TEXTS("[\"*\", \"!lo\"]", check_glob, 1, 1000)},
	/* the capability to enter others is given up at a start that names none */
	{METERING(netns), TEXTS("[]", check_netns, 0, FLOW_MAX_NETNS - 1),
	 .change = CHANGE_FROM_NONE},
	{METERING(direction), CHOICE(directions, "both"), .min = DIRECTION_INGRESS},
	{METERING(count), CHOICE(counts, "once"), RESTART},
	{METERING(sampling), U32("1", 1, 1000000), RESTART},
	{METERING(max_flows), U32("65536", 16, 1 << 24), RESTART},
	{.scope = SCOPE_METERING,
	 .key = "drain_interval",
	 IN_SETTINGS(drain_interval_ns),
	 DURATION("1s", 10 * MSEC, 60 * SEC)},
	{.scope = SCOPE_METERING,
	 .key = "active_timeout",
	 IN_SETTINGS(active_timeout_ns),
	 DURATION("60s", 0, DAY)},
	{.scope = SCOPE_METERING,
	 .key = "idle_timeout",
	 IN_SETTINGS(idle_timeout_ns),
	 DURATION("15s", 10 * MSEC, DAY)},
	{METERING(drops), BOOL("true"), RESTART},
	{METERING(dns), BOOL("true"), RESTART},
	{METERING(rtt), BOOL("true"), RESTART},
	{METERING(dns_ports), .kind = OPTION_PORTS, .preset = "[53]", .min = 1, .max = 16, RESTART},
	{METERING(timestamps), CHOICE(timestamps, "coarse"), RESTART},
	{METERING(ignored_drop_reasons), TEXTS(REASONS_IGNORED, check_drop_reason, 0, 64), RESTART},

	{COLLECTOR(name), TEXT(NO_TEXT, check_name)},
	{COLLECTOR(address), TEXT(NO_TEXT, check_address), NETWORK, SESSION},
	{COLLECTOR(file), TEXT(NO_TEXT, check_output), FILES, SESSION},
	{COLLECTOR(port), U16(NULL, 1, UINT16_MAX), NETWORK, SESSION},
	{COLLECTOR(protocol), CHOICE(protocols, "ipfix"), SESSION},
	{COLLECTOR(transport), CHOICE(transports, "udp"), NETWORK, SESSION},
	{COLLECTOR(template), TEXT("standard", NULL)},
	{.scope = SCOPE_COLLECTOR,
	 .key = "template_refresh",
	 IN_COLLECTOR(template_refresh_ns),
	 DURATION("60s", 100 * MSEC, DAY),
	 NETWORK},
	{COLLECTOR(template_refresh_messages), U32("0", 0, 1000000), NETWORK},
	{COLLECTOR(max_message_size), .kind = OPTION_SIZE32, .min = 256, .max = UINT16_MAX},
	{COLLECTOR(source), TEXT("\"\"", check_source), NETWORK, SESSION},
	{COLLECTOR(source_port), U16("0", 0, UINT16_MAX), NETWORK, SESSION},
	{COLLECTOR(queue_size), SIZE("16M", 1, 64 * GIB)},
	{.scope = SCOPE_COLLECTOR,
	 .key = "reconnect_interval",
	 IN_COLLECTOR(reconnect_interval_ns),
	 DURATION("60s", 100 * MSEC, DAY),
	 NETWORK},
	{COLLECTOR(max_rate), U32("0", 0, UINT32_MAX)},
	{COLLECTOR(group), TEXT("\"\"", check_name)},
	{COLLECTOR(group_mode), CHOICE(group_modes, "copy")},
	{COLLECTOR(rotate_size), SIZE("0", 0, 1024 * GIB), FILES, SESSION},
	{.scope = SCOPE_COLLECTOR,
	 .key = "rotate_interval",
	 IN_COLLECTOR(rotate_interval_ns),
	 DURATION("0", 0, 366 * DAY),
	 FILES,
	 SESSION},

	{TLS(ca), TEXT("\"\"", check_readable)},
	{TLS(certificate), TEXT("\"\"", check_readable)},
	{TLS(key), TEXT("\"\"", check_key_file)},
	{TLS(verify), BOOL("true")},

	{.scope = SCOPE_HTTP,
	 .key = "listen",
	 IN_SETTINGS(http_listen),
	 TEXT("127.0.0.1:9469", check_listen),
	 .empty_is_off = true,
	 RESTART},
	{.scope = SCOPE_LOG, .key = "level", IN_SETTINGS(log_level), CHOICE(levels, "info")},
};

const size_t option_count = G_N_ELEMENTS(option_table);

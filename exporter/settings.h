/* SPDX-License-Identifier: MIT */
/*
 * The configuration: one row per option (settings.c), read from YAML, checked as a whole, immutable
 * afterwards. A reload builds a new one and swaps. (Named settings because config.h is autoconf's.)
 */
#ifndef BPFLOWD_SETTINGS_H
#define BPFLOWD_SETTINGS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "encoder.h"
#include "log.h"
#include "template.h"
#include "yaml.h"

#define SETTINGS_PATH "/etc/bpflowd/bpflowd.yaml"

enum settings_direction { DIRECTION_INGRESS = 1, DIRECTION_EGRESS = 2, DIRECTION_BOTH = 3 };
enum settings_count { COUNT_ONCE, COUNT_PER_INTERFACE };
enum settings_timestamps { TIMESTAMPS_COARSE, TIMESTAMPS_PRECISE };
enum transport_kind {
	TRANSPORT_UDP,
	TRANSPORT_TCP,
	TRANSPORT_SCTP,
	TRANSPORT_TLS,
	TRANSPORT_DTLS,
	TRANSPORT_FILE
};

struct settings_tls {
	char *ca; /* "" : the system's */
	char *certificate;
	char *key;
	bool verify;
};

struct settings_collector {
	uint32_t line; /* where it stands in the file, for messages */
	char *name;
	char *address; /* NULL for a file */
	char *file;    /* NULL for a network collector */
	char *template;
	struct template *loaded; /* what the file of that name says */
	char *source;		 /* "" : the kernel's choice */
	char *group;		 /* "" : a group of its own */
	enum { GROUP_COPY, GROUP_FAILOVER, GROUP_BALANCE } group_mode;
	enum encoder_format protocol;
	enum transport_kind transport;
	uint16_t port;
	uint16_t source_port; /* 0: the kernel's choice, then kept */
	uint32_t max_message_size;
	uint32_t max_rate; /* records per second, 0: no limit */
	uint64_t template_refresh_ns;
	uint32_t template_refresh_messages; /* 0: by time only */
	uint64_t reconnect_interval_ns;
	uint64_t queue_size;  /* octets */
	uint64_t rotate_size; /* file: 0: never */
	uint64_t rotate_interval_ns;
	struct settings_tls tls;
};

struct settings {
	int refs;
	char *path;
	/* exporter */
	uint32_t observation_domain_id;
	uint32_t enterprise_number;
	char *template_dir;
	char *control_socket;
	char *control_group; /* "" : only the owner and root */
	char *user;
	/* metering */
	char **interfaces; /* NULL-terminated */
	char **netns;
	enum settings_direction direction;
	enum settings_count count;
	enum settings_timestamps timestamps;
	uint32_t sampling;
	uint32_t max_flows;
	uint64_t drain_interval_ns;
	uint64_t active_timeout_ns;
	uint64_t idle_timeout_ns;
	bool drops;
	bool dns;
	bool rtt;
	GArray *dns_ports; /* uint16_t */
	char **ignored_drop_reasons;
	/* the rest */
	GPtrArray *collectors; /* struct settings_collector * */
	char *http_listen;     /* "" : off */
	enum log_level log_level;
};

/* As in the file; "file" for a file. */
const char *settings_transport_name(enum transport_kind kind);

/* What asks the system whether a collector can work (transport_probe, which lies above); without it
 * every one is taken. On failure *key is what is wrong, as "transport" or "tls.ca". Set once,
 * before the first load. */
typedef bool (*settings_probe)(const struct settings_collector *collector, const char **key,
			       GError **error);
void settings_set_probe(settings_probe probe);

/* Reads and checks a file, templates included. On failure errors holds every message and NULL is
 * returned. */
struct settings *settings_load(const char *path, struct yaml_errors *errors);
/* The same, but a file without collectors is fine: for --print-config. path NULL: the defaults. */
struct settings *settings_load_incomplete(const char *path, struct yaml_errors *errors);
/* As settings_load from memory; name stands in messages. */
struct settings *settings_parse(const char *name, const char *text, size_t length,
				struct yaml_errors *errors);
struct settings *settings_ref(struct settings *settings);
void settings_free(struct settings *settings); /* drops a reference */

/* The effective configuration as YAML with every default; parses again and prints the same. */
void settings_print(const struct settings *settings, FILE *out);

/* Path of the file of a collector's template: NAME of template_dir, or the path itself if it holds
 * a slash. */
char *settings_template_path(const struct settings *settings, const char *template);

/* Before next takes the place of what is in force: options that only a restart can change are
 * swapped, so that next holds what stays in force. Returns the names of those that differ, "" if
 * none; caller frees. */
char *settings_keep_in_force(struct settings *in_force, struct settings *next);

/* Whether a collector's session can go on: what is fixed when it is opened is the same. */
bool settings_same_session(const struct settings_collector *a, const struct settings_collector *b);

#endif

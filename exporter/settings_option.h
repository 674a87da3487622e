/* SPDX-License-Identifier: MIT */
/*
 * One row per option: where it stands in the file, what it may be, where its value lies. Reading,
 * defaults, --print-config, suggestions and the restart check all walk the rows. For settings*.c
 * alone.
 */
#ifndef BPFLOWD_SETTINGS_OPTION_H
#define BPFLOWD_SETTINGS_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "settings.h"
#include "yaml.h"

enum option_scope {
	SCOPE_EXPORTER,
	SCOPE_METERING,
	SCOPE_HTTP,
	SCOPE_LOG,
	SCOPE_COLLECTOR, /* values of it and of TLS lie in struct settings_collector */
	SCOPE_TLS,
	SCOPE_ROOT, /* the names of the sections; has no rows */
	N_SCOPES
};

enum option_kind {
	OPTION_BOOL,
	OPTION_U16,
	OPTION_U32,
	OPTION_SIZE32, /* octets */
	OPTION_SIZE64,
	OPTION_DURATION, /* uint64_t, nanoseconds */
	OPTION_CHOICE,	 /* an enum; its first value is min */
	OPTION_TEXT,	 /* char * */
	OPTION_TEXTS,	 /* char **, NULL-terminated */
	OPTION_PORTS,	 /* GArray of uint16_t */
};

enum option_target { TARGET_ANY, TARGET_NETWORK, TARGET_FILE };

/* What a reload with another value of an option means. */
enum option_change {
	CHANGE_AT_ONCE,
	CHANGE_SESSION,	  /* of a collector: a new session */
	CHANGE_RESTART,	  /* takes effect at the next start */
	CHANGE_FROM_NONE, /* as CHANGE_RESTART where the list in force is empty */
};

struct option {
	const char *key;
	bool empty_is_off;  /* "" is taken though it is not the default */
	const char *preset; /* the default as it would stand in the file; NULL: 0, told elsewhere */
	const char *const *choices; /* NULL-terminated */
	/* NULL if the text (each text of a list) is fine, else "what is wrong; what would be
	 * right". */
	char *(*check)(const char *text);
	uint64_t min; /* of the value; of the number of items for lists */
	uint64_t max;
	uint16_t offset;
	uint8_t scope;	/* enum option_scope */
	uint8_t kind;	/* enum option_kind */
	uint8_t target; /* enum option_target */
	uint8_t change; /* enum option_change */
};

extern const struct option option_table[];
extern const size_t option_count;
extern const char *const option_scope_names[N_SCOPES];

/* settings_value.c. base: struct settings or struct settings_collector, as the scope asks. */
void option_set_preset(const struct option *option, void *base);
bool option_read(const struct option *option, const struct yaml_node *node, const char *path,
		 void *base, struct yaml_errors *errors);
void option_append(const struct option *option, const void *base, GString *out);

/* settings_change.c */
bool option_equal(const struct option *option, const void *a, const void *b);
void option_clear(const struct option *option, void *base);
void option_swap(const struct option *option, void *a, void *b);
bool option_is_empty(const struct option *option, const void *base); /* a list */

/* settings_section.c */
bool option_scope_within(enum option_scope scope, enum option_scope outer);
/* Sets, clears what lies in a scope and the scopes within it. */
void option_scope_set_presets(enum option_scope scope, void *base);
void option_scope_clear(enum option_scope scope, void *base);
/* Reads every key of a section; node may be NULL (not in the file) or empty. */
void option_read_section(enum option_scope scope, const struct yaml_node *node, const char *path,
			 void *base, struct yaml_errors *errors);
/* Tells that a key is none of those of a scope, and which was meant. */
void option_unknown_key(enum option_scope scope, const struct yaml_node *node, const char *path,
			struct yaml_errors *errors);

/* settings_collector.c */
void settings_read_collectors(struct settings *settings, const struct yaml_node *list,
			      struct yaml_errors *errors);
void settings_collector_free(struct settings_collector *collector);

/* settings_group.c: what several collectors must agree on. */
void settings_check_groups(const struct settings *settings, const struct yaml_node *list,
			   struct yaml_errors *errors);

/* settings_text.c: checks of texts, for the rows. */
char *check_account(const char *text);
char *check_account_group(const char *text);
char *check_address(const char *text);
char *check_drop_reason(const char *text);
char *check_glob(const char *text);
char *check_key_file(const char *text);
char *check_listen(const char *text);
char *check_name(const char *text);
char *check_netns(const char *text);
char *check_output(const char *text);
char *check_readable(const char *text);
char *check_socket(const char *text);
char *check_source(const char *text);

/* AF_INET or AF_INET6 of an address in numbers, 0 for a name. */
int address_family(const char *text);

#endif

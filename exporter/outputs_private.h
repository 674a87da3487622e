/* SPDX-License-Identifier: MIT */
/*
 * The outputs inside: outputs.c is who gets which record, outputs_group.c what several collectors
 * share, outputs_reload.c how another configuration takes the place of the one in force.
 */
#ifndef BPFLOWD_OUTPUTS_PRIVATE_H
#define BPFLOWD_OUTPUTS_PRIVATE_H

#include "outputs.h"

/* Collectors that take the same bodies. A member of a failover or balance group has one of its own.
 * Template ids of different groups differ, so that a session can go from one to another. */
struct encode_group {
	char *key;
	struct template *template;
	struct encoder *encoder;
	GPtrArray *members;	     /* struct output *: who gets what is encoded */
	struct output_skipped taken; /* what went into the encoder */
	uint32_t first_id, end_id;   /* its template ids */
	int n_users;		     /* outputs that hold messages of it, or may get some */
};

struct output {
	struct outputs *outputs;
	struct encode_group *group;
	GPtrArray *former; /* struct encode_group *: messages of them are still queued */
	GPtrArray *known;  /* templates of the former and of the present group, for the collector */
	struct collector *collector;
	const struct settings_collector *settings;
	struct settings *owner;	      /* retired: what the settings are part of */
	uint64_t deadline_ns;	      /* retired: when what is queued is given up */
	uint64_t name_hash;	      /* for balance */
	struct output_skipped before; /* taken by the group before this collector joined it */
};

/* A failover or balance group. */
struct choice {
	const char *name;
	int mode;
	GPtrArray *members; /* struct output *, in the order of the file */
};

struct outputs {
	struct settings *settings;
	struct outputs_callbacks callbacks;
	uint32_t domain;
	uint32_t enterprise_number;
	uint64_t boot_real_ms;
	uint32_t next_id;	     /* template id for the next group */
	struct output_skipped total; /* all that ended since the start */
	GPtrArray *groups;	     /* struct encode_group * */
	GPtrArray *outputs;	     /* struct output * */
	GPtrArray *retired;	     /* struct output *: no longer configured, still sending */
	guint retired_timer;
	GPtrArray *copies;  /* struct encode_group *, not owned: those that get every record */
	GPtrArray *choices; /* struct choice * */
};

/* outputs_group.c */
void group_free(gpointer group);
/* The group for a collector, made if there is none yet. */
struct encode_group *group_get(struct outputs *outputs, const struct settings_collector *collector,
			       GError **error);
/* From now on the output gets what this group encodes; what it holds of another stays usable. */
void group_join(struct encode_group *group, struct output *output);
void group_leave(struct output *output); /* it gets nothing more */
void group_forget_former(struct output *output);
void groups_drop_unused(struct outputs *outputs);
GPtrArray *group_templates(void *output, struct collector *collector);
GPtrArray *group_options(void *output, struct collector *collector);

/* outputs.c */
void output_free(gpointer output);
void outputs_route(struct outputs *outputs);

#endif

/* SPDX-License-Identifier: MIT */
/* The rules that a template's records must keep; template.c reads them from the file first. */
#ifndef BPFLOWD_TEMPLATE_CHECK_H
#define BPFLOWD_TEMPLATE_CHECK_H

#include "template.h"

struct template_check {
	struct yaml_errors *errors;
	const struct template *template;
	int format;
	uint32_t max_message_size; /* 0: not checked */
};

/* Why an element that exists is not offered, NULL: it doesn't exist either. */
const char *template_check_refused(const char *name);

/* Whether `field` may stand in `record` next to what is there. */
void template_check_field(const struct template_check *check, const struct template_record *record,
			  const struct template_field *field, const struct yaml_node *node,
			  const char *path);

/* The whole record. */
void template_check_record(const struct template_check *check, const struct template_record *record,
			   const struct yaml_node *node, const char *path);

/* The whole file. */
void template_check_all(const struct template_check *check, const struct yaml_node *node);

#endif

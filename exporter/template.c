/* SPDX-License-Identifier: MIT */
/* Reads templates/NAME.yaml, the lists of fields by template_entry.c. The rules are in
 * template_check.c; template_match.c finds the record for a flow. */
#include "config.h"

#include "template.h"

#include <string.h>

#include "template_check.h"
#include "template_entry.h"

struct loader {
	struct yaml_errors errors;
	struct template *template;
	struct template_check check;
	GArray *common; /* struct template_entry */
};

static const struct {
	const char *name;
	uint32_t match;
} matches[] = {
	{"ipv4", TEMPLATE_MATCH_IPV4},	   {"ipv6", TEMPLATE_MATCH_IPV6},
	{"non_ip", TEMPLATE_MATCH_NON_IP}, {"icmp", TEMPLATE_MATCH_ICMP},
	{"dns", TEMPLATE_MATCH_DNS},	   {"rtt", TEMPLATE_MATCH_RTT},
	{"drop", TEMPLATE_MATCH_DROP},	   {"tcp", TEMPLATE_MATCH_TCP},
};

static const char *const top_keys[] = {"description", "drops", "type_records", "common", "records"};
static const char *const record_keys[] = {"name", "match", "fields", "common"};

static void load_file(struct loader *loader, const struct yaml_node *root);
static void free_record(struct template_record *record);

/* Makes the template of a root that was read, or not, with that error. */
static struct template *make_template(const char *path, const struct yaml_node *root,
				      const GError *error, int format, uint32_t max_message_size,
				      struct yaml_errors *errors)
{
	struct loader loader = {.template = g_new0(struct template, 1)};
	unsigned int n_errors;

	yaml_errors_init(&loader.errors, path);
	loader.template->n_refs = 1;
	loader.template->path = g_strdup(path);
	loader.template->name = g_path_get_basename(path);
	if (g_str_has_suffix(loader.template->name, ".yaml"))
		loader.template->name[strlen(loader.template->name) - strlen(".yaml")] = '\0';
	loader.template->records = g_ptr_array_new_with_free_func((GDestroyNotify)free_record);
	loader.check = (struct template_check){.errors = &loader.errors,
					       .template = loader.template,
					       .format = format,
					       .max_message_size = max_message_size};
	if (root)
		load_file(&loader, root);
	else
		g_ptr_array_add(loader.errors.messages, g_strdup(error->message));

	n_errors = loader.errors.messages->len;
	for (unsigned int i = 0; i < n_errors; i++)
		g_ptr_array_add(errors->messages, g_strdup(loader.errors.messages->pdata[i]));
	yaml_errors_clear(&loader.errors);
	if (n_errors == 0)
		return loader.template;
	template_free(loader.template);
	return NULL;
}

struct template *template_load(const char *path, int format, uint32_t max_message_size,
			       struct yaml_errors *errors)
{
	g_autoptr(GError) error = NULL;
	struct yaml_node *root = yaml_load_file(path, &error);
	struct template *template =
		make_template(path, root, error, format, max_message_size, errors);

	yaml_node_free(root);
	return template;
}

struct template *template_parse(const char *name, const char *text, size_t length, int format,
				uint32_t max_message_size, struct yaml_errors *errors)
{
	g_autoptr(GError) error = NULL;
	struct yaml_node *root = yaml_load_text(name, text, length, &error);
	struct template *template =
		make_template(name, root, error, format, max_message_size, errors);

	yaml_node_free(root);
	return template;
}

static void free_record(struct template_record *record)
{
	g_free(record->name);
	g_free(record);
}

struct template *template_ref(struct template *template)
{
	template->n_refs++;
	return template;
}

static void *copy_record(const void *record, void *user)
{
	struct template_record *copy = g_memdup2(record, sizeof(*copy));
	uint16_t *next_id = user;

	copy->name = g_strdup(copy->name);
	copy->id = (*next_id)++;
	return copy;
}

struct template *template_renumbered(const struct template *template, uint16_t first_id)
{
	struct template *copy = g_memdup2(template, sizeof(*copy));
	uint16_t next_id = first_id;

	copy->n_refs = 1;
	copy->name = g_strdup(copy->name);
	copy->path = g_strdup(copy->path);
	copy->description = g_strdup(copy->description);
	copy->records = g_ptr_array_copy(copy->records, copy_record, &next_id);
	copy->options_id = next_id;
	return copy;
}

void template_free(struct template *template)
{
	if (!template || --template->n_refs)
		return;
	g_ptr_array_unref(template->records);
	g_free(template->name);
	g_free(template->path);
	g_free(template->description);
	g_free(template);
}

static void add_entries(struct loader *loader, struct template_record *record,
			const GArray *entries)
{
	for (unsigned int i = 0; i < entries->len; i++) {
		const struct template_entry *entry =
			&g_array_index(entries, struct template_entry, i);

		template_check_field(&loader->check, record, &entry->field, entry->node,
				     entry->path);
		if (record->n_fields < TEMPLATE_MAX_FIELDS)
			record->fields[record->n_fields++] = entry->field;
	}
}

static uint32_t read_match(struct loader *loader, const struct yaml_node *node, const char *path)
{
	const char *words[G_N_ELEMENTS(matches) + 1] = {0};
	uint32_t match = 0;

	if (!node || !template_expect(&loader->check, node, YAML_SEQUENCE, path))
		return 0;
	for (size_t i = 0; i < G_N_ELEMENTS(matches); i++)
		words[i] = matches[i].name;
	for (unsigned int i = 0; i < node->children->len; i++) {
		int word = template_word(&loader->check, node->children->pdata[i], path, words);

		if (word >= 0)
			match |= matches[word].match;
	}
	return match;
}

static char *read_name(struct loader *loader, const struct yaml_node *node, const char *path)
{
	const struct yaml_node *name = yaml_get(node, "name");

	if (!name) {
		yaml_error_at(&loader->errors, node, path, "the record has no name");
		return g_strdup("?");
	}
	if (!template_expect(&loader->check, name, YAML_SCALAR, path))
		return g_strdup("?");
	for (unsigned int i = 0; i < loader->template->records->len; i++) {
		const struct template_record *other = loader->template->records->pdata[i];

		if (strcmp(other->name, name->scalar) == 0)
			yaml_error_at(&loader->errors, name, path,
				      "another record is called %s already", name->scalar);
	}
	return g_strdup(name->scalar);
}

static void read_record(struct loader *loader, const struct yaml_node *node, unsigned int index)
{
	g_autofree char *path = g_strdup_printf("records[%u]", index);
	g_autofree char *prefix = g_strconcat(path, ".", NULL);
	g_autofree char *match_path = g_strconcat(prefix, "match", NULL);
	g_autofree char *fields_path = g_strconcat(prefix, "fields", NULL);
	g_autofree char *common_path = g_strconcat(prefix, "common", NULL);
	unsigned int n_errors = loader->errors.messages->len;
	struct template_record *record;
	GArray *entries;

	if (!template_expect(&loader->check, node, YAML_MAPPING, path))
		return;
	template_expect_keys(&loader->check, node, record_keys, G_N_ELEMENTS(record_keys), prefix);
	record = g_new0(struct template_record, 1);
	record->id = TEMPLATE_FIRST_ID + loader->template->records->len;
	record->name = read_name(loader, node, path);
	record->match = read_match(loader, yaml_get(node, "match"), match_path);
	entries = template_entries(&loader->check, yaml_get(node, "fields"), fields_path);
	add_entries(loader, record, entries);
	if (template_bool(&loader->check, yaml_get(node, "common"), common_path, true))
		add_entries(loader, record, loader->common);
	g_array_unref(entries);
	g_ptr_array_add(loader->template->records, record);
	/* what is wrong in its parts would come up again */
	if (loader->errors.messages->len != n_errors)
		return;
	if (record->n_fields == 0)
		yaml_error_at(&loader->errors, node, path, "record %s has no fields", record->name);
	else
		template_check_record(&loader->check, record, node, path);
}

static void load_settings(struct loader *loader, const struct yaml_node *root)
{
	static const char *const drops[] = {"inline", "record", NULL};
	const struct yaml_node *node;

	node = yaml_get(root, "description");
	if (node && template_expect(&loader->check, node, YAML_SCALAR, "description"))
		loader->template->description = g_strdup(node->scalar);
	node = yaml_get(root, "drops");
	if (node && template_word(&loader->check, node, "drops", drops) == 1)
		loader->template->drops = TEMPLATE_DROPS_RECORD;
	loader->template->type_records = template_bool(
		&loader->check, yaml_get(root, "type_records"), "type_records", false);
}

static void load_file(struct loader *loader, const struct yaml_node *root)
{
	const struct yaml_node *records;

	if (!template_expect(&loader->check, root, YAML_MAPPING, ""))
		return;
	template_expect_keys(&loader->check, root, top_keys, G_N_ELEMENTS(top_keys), "");
	load_settings(loader, root);
	loader->common = template_entries(&loader->check, yaml_get(root, "common"), "common");
	records = yaml_get(root, "records");
	if (!records || (records->kind == YAML_SEQUENCE && records->children->len == 0))
		yaml_error_at(&loader->errors, records ? records : root, "records",
			      "no records; a template has at least one");
	else if (template_expect(&loader->check, records, YAML_SEQUENCE, "records"))
		for (unsigned int i = 0; i < records->children->len; i++)
			read_record(loader, records->children->pdata[i], i);
	g_array_unref(loader->common);
	loader->template->options_id = TEMPLATE_FIRST_ID + loader->template->records->len;
	if (loader->errors.messages->len == 0)
		template_check_all(&loader->check, root);
}

/* SPDX-License-Identifier: MIT */
/* Reads templates/NAME.yaml. The rules are in template_check.c; template_match.c finds the record
 * for a flow. */
#include "config.h"

#include "template.h"

#include <string.h>

#include "encoder.h"
#include "template_check.h"

/* An entry of a list of fields; common entries join several records. */
struct entry {
	const struct yaml_node *node;
	char *path;
	struct template_field field;
};

struct loader {
	struct yaml_errors errors;
	struct template *template;
	struct template_check check;
	GArray *common; /* struct entry */
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
static const char *const field_keys[] = {"name", "length", "only"};

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

static bool expect(struct loader *loader, const struct yaml_node *node, enum yaml_kind kind,
		   const char *path)
{
	static const char *const kinds[] = {
		[YAML_SCALAR] = "a single value",
		[YAML_SEQUENCE] = "a list",
		[YAML_MAPPING] = "keys with values",
	};

	if (node->kind == kind)
		return true;
	yaml_error_at(&loader->errors, node, path, "%s where %s must stand", kinds[node->kind],
		      kinds[kind]);
	return false;
}

static void check_keys(struct loader *loader, const struct yaml_node *mapping,
		       const char *const *keys, size_t n_keys, const char *prefix)
{
	for (unsigned int i = 0; i < mapping->children->len; i++) {
		const struct yaml_node *child = mapping->children->pdata[i];
		g_autofree char *path = g_strconcat(prefix, child->key, NULL);
		const char *nearest = yaml_nearest(child->key, keys, n_keys);
		bool known = false;

		for (size_t j = 0; j < n_keys; j++)
			known |= strcmp(keys[j], child->key) == 0;
		if (known)
			continue;
		if (nearest)
			yaml_error_at_key(&loader->errors, child, path,
					  "unknown key; did you mean %s?", nearest);
		else
			yaml_error_at_key(&loader->errors, child, path, "unknown key");
	}
}

/* Index of the scalar among words, -1 with an error. */
static int get_word(struct loader *loader, const struct yaml_node *node, const char *path,
		    const char *const *words)
{
	g_autofree char *list = NULL;

	if (!expect(loader, node, YAML_SCALAR, path))
		return -1;
	for (int i = 0; words[i]; i++)
		if (strcmp(words[i], node->scalar) == 0)
			return i;
	list = g_strjoinv(", ", (char **)words);
	yaml_error_at(&loader->errors, node, path, "'%s' is unknown; one of: %s", node->scalar,
		      list);
	return -1;
}

static bool get_bool(struct loader *loader, const struct yaml_node *node, const char *path,
		     bool absent)
{
	static const char *const words[] = {"false", "true", NULL};

	return node ? get_word(loader, node, path, words) == 1 : absent;
}

static uint16_t default_length(const struct field *field, int format)
{
	if (field->length)
		return field->length;
	if (format == ENCODER_NETFLOW9)
		return MIN(FIELD_V9_STRING, field->size);
	return FIELD_VARIABLE;
}

/* RFC 7011 6.2: fewer octets only for numbers. */
static void set_length(struct loader *loader, const struct yaml_node *node, const char *path,
		       struct template_field *field)
{
	const char *name = field->field->name;
	uint16_t size = field_type_size(field->field);
	guint64 length;

	if (!expect(loader, node, YAML_SCALAR, path))
		return;
	if (!g_ascii_string_to_unsigned(node->scalar, 10, 1, UINT16_MAX - 1, &length, NULL))
		yaml_error_at(&loader->errors, node, path,
			      "'%s' is not a length; a number of octets", node->scalar);
	else if (field->field->type == FIELD_STRING && length > field->field->size)
		yaml_error_at(&loader->errors, node, path, "%s is never longer than %u octets",
			      name, field->field->size);
	else if (field_is_number(field->field) && length > size)
		yaml_error_at(&loader->errors, node, path,
			      "%s is %s: 1 to %u octets (RFC 7011 6.2)", name,
			      field_type_name(field->field), size);
	else if (!field_is_number(field->field) && field->field->type != FIELD_STRING &&
		 length != field->field->length)
		yaml_error_at(&loader->errors, node, path,
			      "%s is %s and takes %u octets, no other length (RFC 7011 6.2)", name,
			      field_type_name(field->field), field->field->length);
	else
		field->length = length;
}

static void unknown_name(struct loader *loader, const struct yaml_node *node, const char *path)
{
	const char *reason = template_check_refused(node->scalar);
	const struct field *nearest = field_nearest(node->scalar);

	if (reason)
		yaml_error_at(&loader->errors, node, path, "%s is not offered: %s", node->scalar,
			      reason);
	else if (nearest)
		yaml_error_at(&loader->errors, node, path,
			      "no element is called %s; did you mean %s?", node->scalar,
			      nearest->name);
	else
		yaml_error_at(&loader->errors, node, path,
			      "no element is called %s; bpflowd --list-elements shows them",
			      node->scalar);
}

/* The row of another element with the same value that the format has, to suggest it. */
static const struct field *alternative(const struct field *field, int format)
{
	for (size_t i = 0; i < field_count; i++) {
		const struct field *other = &field_table[i];

		if (other != field && *other->name && other->offset == field->offset &&
		    (format == ENCODER_NETFLOW9 ? other->v9 : other->id))
			return other;
	}
	return NULL;
}

static const struct field *find_field(struct loader *loader, const struct yaml_node *node,
				      const char *path)
{
	bool v9 = loader->check.format == ENCODER_NETFLOW9;
	const struct field *field = field_by_name(node->scalar);
	const struct field *found, *other;

	if (!field) {
		unknown_name(loader, node, path);
		return NULL;
	}
	found = v9 ? field_in_v9(field) : field->id ? field : NULL;
	if (found)
		return found;
	other = alternative(field, loader->check.format);
	yaml_error_at(&loader->errors, node, path, "%s is not available in %s; %s%s", field->name,
		      v9 ? "NetFlow v9" : "IPFIX", other ? other->name : "leave it out",
		      other ? " is" : "");
	return NULL;
}

/* A name, or {name: NAME, length: OCTETS, only: FORMAT}. */
static bool read_entry(struct loader *loader, struct entry *entry)
{
	static const char *const formats[] = {"ipfix", "netflow9", NULL};
	const struct yaml_node *node = entry->node;
	const struct yaml_node *name = node, *length = NULL, *only = NULL;

	if (node->kind == YAML_MAPPING) {
		g_autofree char *prefix = g_strconcat(entry->path, ".", NULL);

		check_keys(loader, node, field_keys, G_N_ELEMENTS(field_keys), prefix);
		name = yaml_get(node, "name");
		length = yaml_get(node, "length");
		only = yaml_get(node, "only");
	}
	if (!name) {
		yaml_error_at(&loader->errors, node, entry->path, "the field has no name");
		return false;
	}
	if (!expect(loader, name, YAML_SCALAR, entry->path))
		return false;
	if (only) {
		int format = get_word(loader, only, entry->path, formats);

		if (format < 0 || (format == 1) != (loader->check.format == ENCODER_NETFLOW9))
			return false;
	}
	entry->field.field = find_field(loader, name, entry->path);
	if (!entry->field.field)
		return false;
	entry->field.length = default_length(entry->field.field, loader->check.format);
	if (length)
		set_length(loader, length, entry->path, &entry->field);
	return true;
}

static void clear_entry(void *entry)
{
	g_free(((struct entry *)entry)->path);
}

/* List of fields as an array of entries; node may be NULL. */
static GArray *read_entries(struct loader *loader, const struct yaml_node *node, const char *path)
{
	GArray *entries = g_array_new(FALSE, FALSE, sizeof(struct entry));

	g_array_set_clear_func(entries, clear_entry);
	if (!node || !expect(loader, node, YAML_SEQUENCE, path))
		return entries;
	for (unsigned int i = 0; i < node->children->len; i++) {
		struct entry entry = {.node = node->children->pdata[i],
				      .path = g_strdup_printf("%s[%u]", path, i)};

		if (read_entry(loader, &entry))
			g_array_append_val(entries, entry);
		else
			clear_entry(&entry);
	}
	return entries;
}

static void add_entries(struct loader *loader, struct template_record *record,
			const GArray *entries)
{
	for (unsigned int i = 0; i < entries->len; i++) {
		const struct entry *entry = &g_array_index(entries, struct entry, i);

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

	if (!node || !expect(loader, node, YAML_SEQUENCE, path))
		return 0;
	for (size_t i = 0; i < G_N_ELEMENTS(matches); i++)
		words[i] = matches[i].name;
	for (unsigned int i = 0; i < node->children->len; i++) {
		int word = get_word(loader, node->children->pdata[i], path, words);

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
	if (!expect(loader, name, YAML_SCALAR, path))
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

	if (!expect(loader, node, YAML_MAPPING, path))
		return;
	check_keys(loader, node, record_keys, G_N_ELEMENTS(record_keys), prefix);
	record = g_new0(struct template_record, 1);
	record->id = TEMPLATE_FIRST_ID + loader->template->records->len;
	record->name = read_name(loader, node, path);
	record->match = read_match(loader, yaml_get(node, "match"), match_path);
	entries = read_entries(loader, yaml_get(node, "fields"), fields_path);
	add_entries(loader, record, entries);
	if (get_bool(loader, yaml_get(node, "common"), common_path, true))
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
	if (node && expect(loader, node, YAML_SCALAR, "description"))
		loader->template->description = g_strdup(node->scalar);
	node = yaml_get(root, "drops");
	if (node && get_word(loader, node, "drops", drops) == 1)
		loader->template->drops = TEMPLATE_DROPS_RECORD;
	loader->template->type_records =
		get_bool(loader, yaml_get(root, "type_records"), "type_records", false);
}

static void load_file(struct loader *loader, const struct yaml_node *root)
{
	const struct yaml_node *records;

	if (!expect(loader, root, YAML_MAPPING, ""))
		return;
	check_keys(loader, root, top_keys, G_N_ELEMENTS(top_keys), "");
	load_settings(loader, root);
	loader->common = read_entries(loader, yaml_get(root, "common"), "common");
	records = yaml_get(root, "records");
	if (!records || (records->kind == YAML_SEQUENCE && records->children->len == 0))
		yaml_error_at(&loader->errors, records ? records : root, "records",
			      "no records; a template has at least one");
	else if (expect(loader, records, YAML_SEQUENCE, "records"))
		for (unsigned int i = 0; i < records->children->len; i++)
			read_record(loader, records->children->pdata[i], i);
	g_array_unref(loader->common);
	loader->template->options_id = TEMPLATE_FIRST_ID + loader->template->records->len;
	if (loader->errors.messages->len == 0)
		template_check_all(&loader->check, root);
}

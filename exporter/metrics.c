/* SPDX-License-Identifier: MIT */
/* Collects samples and writes them as Prometheus reads them. Above: report.c, http.c, views.c. */
#include "config.h"

#include "metrics.h"

#include <stdarg.h>
#include <string.h>

const struct metric_row metric_rows[METRIC_COUNT] = {
#define METRIC(id, name, type, help) {METRIC_PREFIX name, help, METRIC_TYPE_##type},
#include "metrics.def"
#undef METRIC
};

static const double latency_bounds[] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
					0.05,	0.1,	 0.25,	 0.5,	1,	2.5,   5,    10};

_Static_assert(G_N_ELEMENTS(latency_bounds) <= HISTOGRAM_MAX, "a histogram holds its bounds");

const char *const metric_type_names[] = {"counter", "gauge", "histogram"};

struct metrics {
	GPtrArray *samples[METRIC_COUNT]; /* struct metric_sample *, NULL: none */
	GHashTable *index;		  /* metric and labels as text -> sample */
};

static void append_label(GString *out, const char *name, const char *value);
static void append_labels(GString *out, const struct metric_sample *sample);

void histogram_init(struct histogram *histogram)
{
	memset(histogram, 0, sizeof(*histogram));
	histogram->bounds = latency_bounds;
	histogram->n_bounds = G_N_ELEMENTS(latency_bounds);
}

void histogram_observe(struct histogram *histogram, double seconds)
{
	size_t bucket = 0;

	while (bucket < histogram->n_bounds && seconds > histogram->bounds[bucket])
		bucket++;
	histogram->counts[bucket]++;
	histogram->sum += seconds;
}

uint64_t histogram_count(const struct histogram *histogram)
{
	uint64_t count = 0;

	for (size_t i = 0; i <= histogram->n_bounds; i++)
		count += histogram->counts[i];
	return count;
}

static void sample_free(void *data)
{
	struct metric_sample *sample = data;

	for (size_t i = 0; i < G_N_ELEMENTS(sample->labels); i++)
		g_free(sample->labels[i]);
	g_free(sample->histogram);
	g_free(sample);
}

struct metrics *metrics_new(void)
{
	struct metrics *metrics = g_new0(struct metrics, 1);

	metrics->index = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	return metrics;
}

void metrics_free(struct metrics *metrics)
{
	if (!metrics)
		return;
	for (size_t i = 0; i < METRIC_COUNT; i++)
		g_clear_pointer(&metrics->samples[i], g_ptr_array_unref);
	g_hash_table_unref(metrics->index);
	g_free(metrics);
}

/* The sample of these labels, made if it is new. */
static struct metric_sample *get_sample(struct metrics *metrics, enum metric metric, va_list args)
{
	struct metric_sample *sample = g_new0(struct metric_sample, 1);
	g_autoptr(GString) key = g_string_new(NULL);
	struct metric_sample *known;
	const char *text;

	for (size_t i = 0; (text = va_arg(args, const char *)); i++) {
		g_assert(i < G_N_ELEMENTS(sample->labels));
		sample->labels[i] = g_strdup(text);
	}
	g_string_append_printf(key, "%d", metric);
	append_labels(key, sample);
	known = g_hash_table_lookup(metrics->index, key->str);
	if (known) {
		sample_free(sample);
		return known;
	}
	if (!metrics->samples[metric])
		metrics->samples[metric] = g_ptr_array_new_with_free_func(sample_free);
	g_ptr_array_add(metrics->samples[metric], sample);
	g_hash_table_insert(metrics->index, g_strdup(key->str), sample);
	return sample;
}

void metrics_add(struct metrics *metrics, enum metric metric, uint64_t value, ...)
{
	va_list args;

	va_start(args, value);
	get_sample(metrics, metric, args)->count += value;
	va_end(args);
}

void metrics_add_real(struct metrics *metrics, enum metric metric, double value, ...)
{
	struct metric_sample *sample;
	va_list args;

	va_start(args, value);
	sample = get_sample(metrics, metric, args);
	va_end(args);
	sample->is_real = true;
	sample->real += value;
}

void metrics_add_histogram(struct metrics *metrics, enum metric metric,
			   const struct histogram *histogram, ...)
{
	struct metric_sample *sample;
	va_list args;

	va_start(args, histogram);
	sample = get_sample(metrics, metric, args);
	va_end(args);
	g_assert(!sample->histogram);
	sample->histogram = g_memdup2(histogram, sizeof(*histogram));
}

const GPtrArray *metrics_samples(const struct metrics *metrics, enum metric metric)
{
	static const GPtrArray none;

	return metrics->samples[metric] ? metrics->samples[metric] : &none;
}

static void append_real(GString *out, double value)
{
	char text[G_ASCII_DTOSTR_BUF_SIZE];

	/* by the C locale, whatever the daemon's is */
	g_string_append(out, g_ascii_formatd(text, sizeof(text), "%.15g", value));
}

/* Backslash, quote and newline are escaped as the format asks; an octet that isn't UTF-8, which an
 * interface name may hold, becomes \xNN. */
static void append_label(GString *out, const char *name, const char *value)
{
	g_string_append(out, out->len && out->str[out->len - 1] != '{' ? "," : "");
	g_string_append_printf(out, "%s=\"", name);
	while (*value) {
		gunichar c = g_utf8_get_char_validated(value, -1);

		if (c == (gunichar)-1 || c == (gunichar)-2) {
			g_string_append_printf(out, "\\\\x%02x", (uint8_t)*value++);
			continue;
		}
		if (c == '\n')
			g_string_append(out, "\\n");
		else if (c == '\\' || c == '"')
			g_string_append_printf(out, "\\%c", (char)c);
		else
			g_string_append_unichar(out, c);
		value = g_utf8_next_char(value);
	}
	g_string_append_c(out, '"');
}

static void append_labels(GString *out, const struct metric_sample *sample)
{
	for (size_t i = 0; i < G_N_ELEMENTS(sample->labels) && sample->labels[i]; i += 2)
		append_label(out, sample->labels[i], sample->labels[i + 1]);
}

/* NAME SUFFIX {LABELS,le="BOUND"} */
static void append_name(GString *out, const struct metric_row *row, const char *suffix,
			const struct metric_sample *sample, const char *bound)
{
	g_string_append_printf(out, "%s%s", row->name, suffix);
	if (sample->labels[0] || bound) {
		g_string_append_c(out, '{');
		append_labels(out, sample);
		if (bound)
			append_label(out, "le", bound);
		g_string_append_c(out, '}');
	}
	g_string_append_c(out, ' ');
}

static void append_histogram(GString *out, const struct metric_row *row,
			     const struct metric_sample *sample)
{
	const struct histogram *histogram = sample->histogram;
	char bound[G_ASCII_DTOSTR_BUF_SIZE] = "";
	uint64_t count = 0;

	for (size_t i = 0; i <= histogram->n_bounds; i++) {
		bool last = i == histogram->n_bounds;

		if (!last)
			g_ascii_formatd(bound, sizeof(bound), "%g", histogram->bounds[i]);
		count += histogram->counts[i];
		append_name(out, row, "_bucket", sample, last ? "+Inf" : bound);
		g_string_append_printf(out, "%" G_GUINT64_FORMAT "\n", count);
	}
	append_name(out, row, "_sum", sample, NULL);
	append_real(out, histogram->sum);
	g_string_append_c(out, '\n');
	append_name(out, row, "_count", sample, NULL);
	g_string_append_printf(out, "%" G_GUINT64_FORMAT "\n", count);
}

static void append_sample(GString *out, const struct metric_row *row,
			  const struct metric_sample *sample)
{
	if (sample->histogram) {
		append_histogram(out, row, sample);
		return;
	}
	append_name(out, row, "", sample, NULL);
	if (sample->is_real)
		append_real(out, sample->real);
	else
		g_string_append_printf(out, "%" G_GUINT64_FORMAT, sample->count);
	g_string_append_c(out, '\n');
}

void metrics_write(const struct metrics *metrics, GString *out)
{
	for (int i = 0; i < METRIC_COUNT; i++) {
		const GPtrArray *samples = metrics_samples(metrics, i);
		const struct metric_row *row = &metric_rows[i];

		if (samples->len == 0)
			continue;
		g_string_append_printf(out, "# HELP %s %s\n# TYPE %s %s\n", row->name, row->help,
				       row->name, metric_type_names[row->type]);
		for (guint j = 0; j < samples->len; j++)
			append_sample(out, row, g_ptr_array_index(samples, j));
	}
}

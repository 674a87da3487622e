/* SPDX-License-Identifier: MIT */
/*
 * What bpflowd tells of itself, collected anew for each question: samples of the rows of
 * metrics.def, written as Prometheus text (format 0.0.4). Above: report.c fills it; below: http.c,
 * views.c.
 */
#ifndef BPFLOWD_METRICS_H
#define BPFLOWD_METRICS_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define METRIC_PREFIX	  "bpflowd_"
#define METRIC_LABELS_MAX 4
#define HISTOGRAM_MAX	  24 /* buckets without the last, which has no bound */

enum metric {
#define METRIC(id, name, type, help) METRIC_##id,
#include "metrics.def"
#undef METRIC
	METRIC_COUNT
};

enum metric_type { METRIC_TYPE_COUNTER, METRIC_TYPE_GAUGE, METRIC_TYPE_HISTOGRAM };

struct metric_row {
	const char *name;
	const char *help;
	enum metric_type type;
};

extern const struct metric_row metric_rows[METRIC_COUNT];
extern const char *const metric_type_names[]; /* by enum metric_type */

/* Lives as long as the process; begins with histogram_init. */
struct histogram {
	const double *bounds; /* seconds, rising */
	size_t n_bounds;
	uint64_t counts[HISTOGRAM_MAX + 1]; /* not cumulated; the last: above every bound */
	double sum;
};

/* 100 us ... 10 s: drains and latencies alike */
void histogram_init(struct histogram *histogram);
void histogram_observe(struct histogram *histogram, double seconds);
uint64_t histogram_count(const struct histogram *histogram);

struct metric_sample {
	char *labels[2 * METRIC_LABELS_MAX]; /* name, value, name, value ... NULL */
	bool is_real;
	uint64_t count; /* unless is_real */
	double real;
	struct histogram *histogram; /* of a histogram only */
};

struct metrics;

struct metrics *metrics_new(void);
void metrics_free(struct metrics *metrics);

/* Labels follow as name, value, ... NULL. The same labels again add to the sample: one name may
 * have had several interfaces. */
void metrics_add(struct metrics *metrics, enum metric metric, uint64_t value,
		 ...) G_GNUC_NULL_TERMINATED;
void metrics_add_real(struct metrics *metrics, enum metric metric, double value,
		      ...) G_GNUC_NULL_TERMINATED;
void metrics_add_histogram(struct metrics *metrics, enum metric metric,
			   const struct histogram *histogram, ...) G_GNUC_NULL_TERMINATED;

/* struct metric_sample *, in the order in which they were added. */
const GPtrArray *metrics_samples(const struct metrics *metrics, enum metric metric);

void metrics_write(const struct metrics *metrics, GString *out);

#endif

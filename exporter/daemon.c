/* SPDX-License-Identifier: MIT */
/*
 * The life of the daemon: starts the actors in an order that leaves nothing behind where one fails,
 * reloads, stops. Above: main.c; below: daemon_meter.c, daemon_signals.c, daemon_control.c,
 * daemon_report.c, daemon_flows.c.
 */
#include "config.h"

#include "daemon_private.h"

#include <glib-unix.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#ifdef WITH_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "priv.h"

#define STOP_TIME_NS	  (10 * NSEC_PER_SEC) /* to send what is held when we are told to stop */
#define DOCUMENTATION_PEN 32473

static void notify(const char *state)
{
#ifdef WITH_SYSTEMD
	sd_notify(0, state);
#endif
}

#ifdef WITH_SYSTEMD
static gboolean on_watchdog(gpointer user)
{
	notify("WATCHDOG=1");
	return G_SOURCE_CONTINUE;
}
#endif

/* Fed from the main loop alone: a loop that hangs is what systemd has to see. */
static void start_watchdog(struct daemon *d)
{
#ifdef WITH_SYSTEMD
	uint64_t limit_us;

	if (sd_watchdog_enabled(0, &limit_us) > 0)
		d->watchdog = g_timeout_add(MAX(limit_us / 2000, 1), on_watchdog, d);
#endif
}

/* systemd takes the time to tell this reload from an earlier one. */
static void notify_reloading(void)
{
	g_autofree char *state = NULL;
	struct clock_now now;

	clock_read(&now);
	state = g_strdup_printf("RELOADING=1\nMONOTONIC_USEC=%" PRIu64, now.mono_ns / 1000);
	notify(state);
}

uint64_t daemon_boot_real_ms(const struct daemon *d)
{
	return (d->start.real_ns - d->start.boot_ns) / NSEC_PER_MSEC;
}

static void find_own_elements(void *user, const struct collector *collector,
			      const struct template *template, const struct output_skipped *skipped)
{
	*(bool *)user |= template_uses_own(template);
}

static void log_memory(const struct daemon *d)
{
	struct flow_fetcher_usage usage;

	flow_fetcher_usage(d->fetcher, &usage);
	log_info("flow table: %u flows per address family over %u CPUs, %.1f MiB of kernel memory "
		 "for all maps",
		 d->settings->max_flows, usage.n_cpus, usage.kernel_bytes / 1048576.0);
}

/* Once: it is an advice, nothing has gone wrong. */
static void check_enterprise_number(struct daemon *d)
{
	bool own = false;

	outputs_foreach(d->outputs, find_own_elements, &own);
	if (!own || d->pen_warned || d->settings->enterprise_number != DOCUMENTATION_PEN)
		return;
	d->pen_warned = true;
	log_warning("enterprise_number 32473 is for documentation (RFC 5612): set "
		    "exporter.enterprise_number "
		    "to your own before collectors depend on our elements");
}

static void log_refused(const GError *error)
{
	g_auto(GStrv) lines = g_strsplit(error->message, "\n", -1);

	log_error("configuration: not reloaded, the old one stays");
	for (char **line = lines; *line; line++)
		log_error("configuration: %s", *line);
}

static struct settings *load_next(const struct daemon *d, GError **error)
{
	struct yaml_errors errors;
	struct settings *next;

	yaml_errors_init(&errors, d->settings->path);
	next = settings_load(d->settings->path, &errors);
	if (!next) {
		g_autofree char *all = NULL;

		g_ptr_array_add(errors.messages, NULL);
		all = g_strjoinv("\n", (char **)errors.messages->pdata);
		g_ptr_array_set_size(errors.messages, errors.messages->len - 1);
		g_set_error_literal(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, all);
	}
	yaml_errors_clear(&errors);
	return next;
}

/* Nothing here can fail. Takes next over. */
static void put_in_force(struct daemon *d, struct settings *next)
{
	g_free(d->restart_needed);
	d->restart_needed = settings_keep_in_force(d->settings, next);
	daemon_meter_reload(d, next);
	log_set_level(next->log_level);
	settings_free(d->settings);
	d->settings = next;
	d->process.reloads++;
	log_info("configuration: %s is in force", next->path);
	if (*d->restart_needed)
		log_warning("configuration: still as before until a restart: %s",
			    d->restart_needed);
	check_enterprise_number(d);
}

/* A new file is checked whole, then swapped; whatever goes wrong, the old one stays in force. */
bool daemon_reload(struct daemon *d, GError **error)
{
	GError *problem = NULL;
	struct settings *next;

	notify_reloading();
	next = load_next(d, &problem);
	if (next && daemon_meter_check(d, next, &problem) &&
	    outputs_reload(d->outputs, next, &problem))
		put_in_force(d, g_steal_pointer(&next));
	settings_free(next);
	if (problem) {
		d->process.failed_reloads++;
		log_refused(problem);
		g_propagate_error(error, problem);
	}
	notify("READY=1");
	return !problem;
}

static gboolean on_reload(gpointer user)
{
	daemon_reload(user, NULL);
	return G_SOURCE_CONTINUE;
}

static gboolean on_stop(gpointer user)
{
	struct daemon *d = user;

	notify("STOPPING=1");
	g_main_loop_quit(d->loop);
	return G_SOURCE_CONTINUE;
}

static gboolean on_statistics(gpointer user)
{
	daemon_log_statistics(user);
	return G_SOURCE_CONTINUE;
}

/* What root could open, the account that we are now perhaps can't; better told than tried for ever.
 */
static bool check_outputs(const struct daemon *d, GError **error)
{
	const char *user = d->settings->user;

	return outputs_check(d->outputs, *user ? user : g_get_user_name(), error);
}

static bool start(struct daemon *d, GError **error)
{
	const struct outputs_callbacks callbacks = {daemon_fill_options, d};
	struct settings *s = d->settings;

	priv_unlock_memory();
	priv_lift_files();
	/* first of all: who has the socket owns the filters that bear its mark */
	d->control = control_new(s->control_socket, s->control_group, daemon_verbs, d, error);
	if (!d->control || !daemon_meter_prepare(d, error))
		return false;
	d->outputs = outputs_new(s, daemon_boot_real_ms(d), &callbacks, error);
	if (!d->outputs)
		return false;
	if (!daemon_meter_start(d, error) || !daemon_http_start(d, error) ||
	    !control_give(d->control, s->user, error) || !priv_drop(s->user, *s->netns, error) ||
	    !priv_filter_calls(error) || !check_outputs(d, error))
		return false;
	/* only now: a daemon that can't start says that alone */
	check_enterprise_number(d);
	log_memory(d);
	return true;
}

static void stop(struct daemon *d)
{
	struct clock_now now;

	daemon_meter_stop(d);
	clock_read(&now);
	if (!outputs_drain(d->outputs, now.mono_ns + STOP_TIME_NS))
		log_warning("stopping: not everything could be sent, what is left is lost");
	daemon_end_flushes(d);
	daemon_log_statistics(d);
}

static void clear(struct daemon *d)
{
	g_clear_handle_id(&d->watchdog, g_source_remove);
	daemon_http_stop(d);
	control_free(d->control);
	outputs_free(d->outputs);
	daemon_meter_clear(d);
	settings_free(d->settings);
	g_free(d->restart_needed);
	g_ptr_array_unref(d->flushes);
	g_main_loop_unref(d->loop);
}

static void init_process(struct daemon *d)
{
	d->process.start_real_ns = d->start.real_ns;
	histogram_init(&d->process.drain_duration);
	histogram_init(&d->process.dns_latency);
	histogram_init(&d->process.server_rtt);
	histogram_init(&d->process.client_rtt);
}

int daemon_run(struct settings *settings)
{
	struct daemon d = {.settings = settings, .loop = g_main_loop_new(NULL, FALSE)};
	g_autoptr(GError) error = NULL;

	d.flushes = g_ptr_array_new_with_free_func(g_free);
	clock_read(&d.start);
	d.now = d.start;
	init_process(&d);
	log_set_level(settings->log_level);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file at its limit is EFBIG, and counted */
	g_unix_signal_add(SIGTERM, on_stop, &d);
	g_unix_signal_add(SIGINT, on_stop, &d);
	g_unix_signal_add(SIGHUP, on_reload, &d);
	g_unix_signal_add(SIGUSR1, on_statistics, &d);
	if (!start(&d, &error)) {
		log_error("cannot start: %s", error->message);
		clear(&d);
		return 2;
	}
	start_watchdog(&d);
	notify("READY=1");
	g_main_loop_run(d.loop);
	stop(&d);
	clear(&d);
	return 0;
}

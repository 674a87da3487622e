/* SPDX-License-Identifier: MIT */
/*
 * How a session comes and goes: the name, its addresses in turn, connecting, and when to try again
 * (RFC 7011 10.4.4). Changes of state are logged once. Above: collector.c; below: transport.c,
 * resolver.c.
 */
#include "config.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>

#include "clock.h"
#include "collector_private.h"
#include "log.h"

#define CONNECT_LIMIT_NS  (10 * NSEC_PER_SEC) /* for one address, handshake included */
#define DATAGRAM_RETRY_NS NSEC_PER_SEC	      /* first pause over UDP: nothing to be spared there */
#define RETRY_JITTER	  0.1
#define STUCK_NS	  (5 * NSEC_PER_SEC) /* so long it may take nothing and still be up */

static void next_address(struct collector *collector, uint64_t now_ns);

static bool is_datagram(const struct collector *collector)
{
	return transport_ops(collector->settings->transport)->templates_expire;
}

static char *peer_name(const struct collector *collector)
{
	char host[NI_MAXHOST], port[NI_MAXSERV];

	if (collector->settings->file)
		return g_strdup(collector->settings->file);
	if (!collector->peer.length ||
	    getnameinfo((const struct sockaddr *)&collector->peer.address, collector->peer.length,
			host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV))
		return g_strdup_printf("%s:%u", collector->settings->address,
				       collector->settings->port);
	return g_strdup_printf(strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

/* The kernel's choice of a source port stays ours as long as we run: to a collector it is part of
 * the session's name. */
static void keep_source_port(struct collector *collector)
{
	struct sockaddr_storage source = {0};
	socklen_t length = sizeof(source);

	if (is_datagram(collector) &&
	    getsockname(collector->transport->fd, (struct sockaddr *)&source, &length) == 0)
		collector->session_settings.source_port =
			ntohs(((struct sockaddr_in *)&source)->sin_port);
}

static void established(struct collector *collector, bool same_peer, uint64_t now_ns)
{
	g_autofree char *name = peer_name(collector);

	collector->state = COLLECTOR_UP;
	collector->retry_interval_ns = 0;
	collector->failure_logged = false;
	collector->refused = false;
	collector->stats.sessions++;
	collector->stats.session_start_ns = now_ns;
	collector->stats.max_message_size = collector->transport->max_message_size;
	collector->stats.last_error[0] = '\0';
	collector->resolve_ns = 0;
	if (is_datagram(collector) && !resolver_is_literal(collector->settings->address))
		collector->resolve_ns = now_ns + collector->settings->reconnect_interval_ns;
	keep_source_port(collector);
	collector_log(collector, LOG_LEVEL_INFO, "sending to %s over %s", name,
		      settings_transport_name(collector->settings->transport));
	send_begin(collector, same_peer, now_ns);
	collector->stats.up = !collector->stuck;
}

static void open_transport(struct collector *collector, const struct resolver_address *address,
			   uint64_t now_ns)
{
	const struct transport_ops *ops = transport_ops(collector->settings->transport);
	const struct sockaddr *to = address ? (const struct sockaddr *)&address->address : NULL;
	g_autoptr(GError) error = NULL;
	bool same_peer = address && resolver_address_equal(&collector->peer, address);
	uint16_t kept_port = collector->session_settings.source_port;

	collector->session_settings = *collector->settings;
	if (ops->templates_expire && kept_port)
		collector->session_settings.source_port = kept_port;
	if (address)
		collector->peer = *address;
	collector->transport =
		ops->open(&collector->session_settings, to, address ? address->length : 0, &error);
	if (!collector->transport) {
		/* another has taken the port that we had: any will do next time */
		if (error->code == EADDRINUSE)
			collector->session_settings.source_port = collector->settings->source_port;
		session_fail(collector, error->message, now_ns);
		return;
	}
	collector->transport->refused = account_refused;
	collector->transport->user = collector;
	collector->state = COLLECTOR_CONNECTING;
	collector->connect_limit_ns = now_ns + CONNECT_LIMIT_NS;
	if (ops->templates_expire && !collector->transport->want)
		established(collector, same_peer, now_ns);
	else if (!address)
		established(collector, false, now_ns);
}

static void next_address(struct collector *collector, uint64_t now_ns)
{
	guint i = collector->next_address++;

	open_transport(collector, &g_array_index(collector->addresses, struct resolver_address, i),
		       now_ns);
}

static bool still_there(const struct resolver_address *peer, const GArray *addresses)
{
	for (guint i = 0; i < addresses->len; i++)
		if (resolver_address_equal(peer,
					   &g_array_index(addresses, struct resolver_address, i)))
			return true;
	return false;
}

/* The name was asked for again while the session lives: it changes only if its address is gone. */
static void compare_answer(struct collector *collector, GArray *addresses, uint64_t now_ns)
{
	collector->resolve_ns = now_ns + collector->settings->reconnect_interval_ns;
	if (!addresses || still_there(&collector->peer, addresses)) {
		if (addresses)
			g_array_unref(addresses);
		return;
	}
	collector_log(collector, LOG_LEVEL_INFO, "%s has a new address",
		      collector->settings->address);
	session_end(collector);
	collector->addresses = addresses;
	collector->next_address = 0;
	next_address(collector, now_ns);
}

static void take_addresses(void *user, GArray *addresses, const char *error)
{
	struct collector *collector = user;
	struct clock_now now;

	clock_read(&now);
	resolver_free(g_steal_pointer(&collector->resolver));
	if (collector->state == COLLECTOR_UP) {
		compare_answer(collector, addresses, now.mono_ns);
	} else if (!addresses) {
		g_autofree char *reason = g_strdup_printf("can't resolve %s: %s",
							  collector->settings->address, error);

		session_fail(collector, reason, now.mono_ns);
	} else {
		g_clear_pointer(&collector->addresses, g_array_unref);
		collector->addresses = addresses;
		collector->next_address = 0;
		next_address(collector, now.mono_ns);
	}
	g_source_set_ready_time(collector->source, 0);
}

static void resolve(struct collector *collector)
{
	collector->resolver = resolver_new(collector->settings->address, collector->settings->port,
					   take_addresses, collector);
}

void session_start(struct collector *collector, uint64_t now_ns)
{
	if (collector->settings->file) {
		open_transport(collector, NULL, now_ns);
		return;
	}
	collector->state = COLLECTOR_RESOLVING;
	resolve(collector);
}

static void log_blocked(struct collector *collector, uint64_t now_ns)
{
	int blocked = collector->transport->blocked;

	if (blocked == collector->blocked)
		return;
	if (!collector->blocked)
		collector->taken_ns = now_ns;
	collector->blocked = blocked;
	if (!blocked) {
		collector_log(collector, LOG_LEVEL_INFO, "goes on");
		return;
	}
	collector->stats.failures++;
	g_strlcpy(collector->stats.last_error, g_strerror(blocked),
		  sizeof(collector->stats.last_error));
	collector_log(collector, LOG_LEVEL_WARNING, "can't send: %s; the queue holds what comes",
		      g_strerror(blocked));
}

void session_watch(struct collector *collector, uint64_t now_ns)
{
	bool was_stuck = collector->stuck;

	log_blocked(collector, now_ns);
	/* once stuck, a little that fits is not enough: a group would change members for it */
	collector->stuck =
		collector->blocked && (was_stuck || now_ns - collector->taken_ns >= STUCK_NS);
	if (collector->stuck == was_stuck)
		return;
	collector->stats.up = !collector->stuck && !collector->refused;
	if (collector->stuck)
		collector_log(collector, LOG_LEVEL_WARNING, "takes nothing and counts as down: %s",
			      g_strerror(collector->blocked));
}

/* What was sent a while ago is not refused: it is back. */
static void check_refused(struct collector *collector, uint64_t now_ns)
{
	if (!collector->refused || !collector->unrefused_ns ||
	    now_ns - collector->unrefused_ns < collector->quiet_ns)
		return;
	collector->refused = false;
	collector->back_ns = now_ns;
	account_settle(collector);
	collector_log(collector, LOG_LEVEL_INFO, "no longer refuses");
	collector->stats.up = !collector->stuck;
}

void session_step(struct collector *collector, uint64_t now_ns)
{
	struct transport *transport = collector->transport;
	g_autoptr(GError) error = NULL;
	enum transport_state state = transport->ops->step(transport, &error);

	if (state == TRANSPORT_FAILED) {
		session_fail(collector, error->message, now_ns);
		return;
	}
	if (transport->expired) {
		session_renew(collector, now_ns);
		return;
	}
	if (collector->state == COLLECTOR_CONNECTING && state == TRANSPORT_UP)
		established(collector, false, now_ns);
	else if (collector->state == COLLECTOR_CONNECTING && now_ns >= collector->connect_limit_ns)
		session_fail(collector, "no answer", now_ns);
	else if (collector->resolve_ns && now_ns >= collector->resolve_ns && !collector->resolver)
		resolve(collector);
	if (collector->state == COLLECTOR_UP)
		check_refused(collector, now_ns);
}

static void close_session(struct collector *collector)
{
	if (collector->tag)
		g_source_remove_unix_fd(collector->source, g_steal_pointer(&collector->tag));
	send_take_acknowledged(collector, 0);
	account_give_up(collector);
	if (collector->transport) {
		collector->transport->abandoned = collector->n_unacked && !collector->parting;
		collector->transport->ops->close(g_steal_pointer(&collector->transport));
	}
	resolver_free(g_steal_pointer(&collector->resolver));
	g_clear_pointer(&collector->addresses, g_array_unref);
	collector->state = COLLECTOR_WAITING;
	collector->blocked = 0;
	send_reset(collector);
}

void session_end(struct collector *collector)
{
	close_session(collector);
	collector->stuck = false;
	collector->stats.session_start_ns = 0;
	collector->stats.up = false;
}

/* Up all the while, or stuck: a collector that is well must not lose its place in a group. */
void session_renew(struct collector *collector, uint64_t now_ns)
{
	close_session(collector);
	collector->retry_ns = 0;
	session_start(collector, now_ns);
}

static uint64_t retry_interval(struct collector *collector)
{
	uint64_t interval_ns = collector->settings->reconnect_interval_ns;

	if (is_datagram(collector) || collector->settings->file) {
		uint64_t next_ns = collector->retry_interval_ns ? 2 * collector->retry_interval_ns
								: DATAGRAM_RETRY_NS;

		collector->retry_interval_ns = MIN(next_ns, interval_ns);
		interval_ns = collector->retry_interval_ns;
	}
	/* never earlier than configured: the RFC's minute is a lower bound */
	return interval_ns * (1 + g_random_double_range(0, RETRY_JITTER));
}

static void wait_and_log(struct collector *collector, const char *reason, uint64_t now_ns)
{
	g_autofree char *name = peer_name(collector);
	uint64_t interval_ns = retry_interval(collector);
	bool news = !collector->failure_logged || strcmp(collector->stats.last_error, reason) != 0;

	collector->retry_ns = now_ns + interval_ns;
	collector->failure_logged = true;
	g_strlcpy(collector->stats.last_error, reason, sizeof(collector->stats.last_error));
	if (news)
		collector_log(collector, LOG_LEVEL_WARNING, "%s: %s; next try in %.1f s", name,
			      reason, interval_ns / 1e9);
}

/* A copy of the reason: it may lie in what the end of the session frees. */
void session_fail(struct collector *collector, const char *reason, uint64_t now_ns)
{
	g_autofree char *kept = g_strdup(reason);
	bool was_up = collector->state == COLLECTOR_UP;
	GArray *addresses = g_steal_pointer(&collector->addresses);

	collector->stats.failures++;
	session_end(collector);
	if (!was_up && addresses && collector->next_address < addresses->len) {
		collector->addresses = addresses;
		next_address(collector, now_ns);
		return;
	}
	if (addresses)
		g_array_unref(addresses);
	wait_and_log(collector, kept, now_ns);
}

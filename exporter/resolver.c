/* SPDX-License-Identifier: MIT */
/* Names to addresses: c-ares on the main loop. Above: collector_session.c. */
#include "config.h"

#include "resolver.h"

#include <ares.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>

#define SERVER_TIMEOUT_MS 2000
#define SERVER_TRIES	  2

struct resolver {
	GSource source; /* first */
	ares_channel channel;
	GHashTable *tags; /* descriptor to GLib's tag */
	char *host;
	uint16_t port;
	resolver_answer *answer;
	void *user;
	GArray *addresses;
	const char *error;
	bool answered;
	int status; /* of making the channel */
};

static GArray *addresses_of(const struct addrinfo *list)
{
	GArray *addresses = g_array_new(false, true, sizeof(struct resolver_address));

	for (; list; list = list->ai_next) {
		struct resolver_address one = {.length = list->ai_addrlen};

		memcpy(&one.address, list->ai_addr, list->ai_addrlen);
		g_array_append_val(addresses, one);
	}
	return addresses;
}

static GArray *parse_literal(const char *host, uint16_t port)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
				 .ai_socktype = SOCK_STREAM};
	struct addrinfo *list;
	char service[8];
	GArray *addresses;

	g_snprintf(service, sizeof(service), "%u", port);
	if (getaddrinfo(host, service, &hints, &list))
		return NULL;
	addresses = addresses_of(list);
	freeaddrinfo(list);
	return addresses;
}

bool resolver_is_literal(const char *host)
{
	GArray *addresses = parse_literal(host, 0);

	if (addresses)
		g_array_unref(addresses);
	return addresses;
}

static void take_answer(void *user, int status, int timeouts, struct ares_addrinfo *result)
{
	struct resolver *resolver = user;

	resolver->answered = true;
	g_source_set_ready_time(&resolver->source, 0);
	if (status != ARES_SUCCESS) {
		resolver->error = ares_strerror(status);
		return;
	}
	resolver->addresses = g_array_new(false, true, sizeof(struct resolver_address));
	for (struct ares_addrinfo_node *node = result->nodes; node; node = node->ai_next) {
		struct resolver_address one = {.length = node->ai_addrlen};

		memcpy(&one.address, node->ai_addr, node->ai_addrlen);
		g_array_append_val(resolver->addresses, one);
	}
	ares_freeaddrinfo(result);
}

static void watch_socket(void *user, ares_socket_t fd, int readable, int writable)
{
	struct resolver *resolver = user;
	void *key = GINT_TO_POINTER(fd);
	void *tag = g_hash_table_lookup(resolver->tags, key);
	GIOCondition condition = (readable ? G_IO_IN : 0) | (writable ? G_IO_OUT : 0);

	if (g_source_is_destroyed(&resolver->source))
		return;
	if (tag) {
		g_source_remove_unix_fd(&resolver->source, tag);
		g_hash_table_remove(resolver->tags, key);
	}
	if (condition)
		g_hash_table_insert(resolver->tags, key,
				    g_source_add_unix_fd(&resolver->source, fd, condition));
}

static void set_timer(struct resolver *resolver)
{
	struct timeval left;

	if (resolver->answered)
		g_source_set_ready_time(&resolver->source, 0);
	else if (ares_timeout(resolver->channel, NULL, &left))
		g_source_set_ready_time(&resolver->source, g_get_monotonic_time() +
								   left.tv_sec * G_USEC_PER_SEC +
								   left.tv_usec + 1000);
}

/* What the descriptor is ready for, asked without the main loop. */
static GIOCondition ready_now(int fd)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN | POLLOUT};

	return poll(&ready, 1, 0) > 0 ? ready.revents : 0; /* GLib's bits are poll's */
}

static void process(struct resolver *resolver, bool in_loop)
{
	guint n;
	g_autofree void **keys = g_hash_table_get_keys_as_array(resolver->tags, &n);

	/* a copy of the keys: c-ares closes and opens sockets while it works */
	for (guint i = 0; i < n; i++) {
		int fd = GPOINTER_TO_INT(keys[i]);
		void *tag = g_hash_table_lookup(resolver->tags, keys[i]);
		GIOCondition ready = 0;

		if (tag)
			ready = in_loop ? g_source_query_unix_fd(&resolver->source, tag)
					: ready_now(fd);
		if (ready)
			ares_process_fd(resolver->channel, ready & ~G_IO_OUT ? fd : ARES_SOCKET_BAD,
					ready & G_IO_OUT ? fd : ARES_SOCKET_BAD);
	}
	ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

/* The answer may free the resolver. */
static void hand_over(struct resolver *resolver)
{
	if (resolver->addresses && resolver->addresses->len == 0) {
		g_array_unref(g_steal_pointer(&resolver->addresses));
		resolver->error = "the name has no address";
	}
	g_source_set_ready_time(&resolver->source, -1);
	resolver->answer(resolver->user, g_steal_pointer(&resolver->addresses), resolver->error);
}

static gboolean dispatch(GSource *source, GSourceFunc callback, void *data)
{
	struct resolver *resolver = (struct resolver *)source;

	if (!resolver->answered && resolver->channel)
		process(resolver, true);
	if (!resolver->answered) {
		set_timer(resolver);
		return G_SOURCE_CONTINUE;
	}
	hand_over(resolver);
	return G_SOURCE_REMOVE;
}

void resolver_step(struct resolver *resolver)
{
	if (!resolver->answered && resolver->channel)
		process(resolver, false);
	if (resolver->answered)
		hand_over(resolver);
}

static GSourceFuncs functions = {.dispatch = dispatch};

static void ask(struct resolver *resolver)
{
	struct ares_options options = {.timeout = SERVER_TIMEOUT_MS,
				       .tries = SERVER_TRIES,
				       .sock_state_cb = watch_socket,
				       .sock_state_cb_data = resolver};
	struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC,
					    .ai_socktype = SOCK_STREAM,
					    .ai_flags = ARES_AI_NUMERICSERV};
	int status =
		ares_init_options(&resolver->channel, &options,
				  ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
	char service[8];

	if (status != ARES_SUCCESS) {
		resolver->channel = NULL;
		take_answer(resolver, status, 0, NULL);
		return;
	}
	g_snprintf(service, sizeof(service), "%u", resolver->port);
	ares_getaddrinfo(resolver->channel, resolver->host, service, &hints, take_answer, resolver);
	set_timer(resolver);
}

struct resolver *resolver_new(const char *host, uint16_t port, resolver_answer *answer, void *user)
{
	struct resolver *resolver =
		(struct resolver *)g_source_new(&functions, sizeof(struct resolver));

	resolver->channel = NULL;
	resolver->tags = g_hash_table_new(NULL, NULL);
	resolver->host = g_strdup(host);
	resolver->port = port;
	resolver->answer = answer;
	resolver->user = user;
	resolver->error = NULL;
	resolver->addresses = parse_literal(host, port);
	resolver->answered = resolver->addresses;
	g_source_set_static_name(&resolver->source, "resolver");
	g_source_attach(&resolver->source, g_main_context_get_thread_default());
	if (resolver->answered)
		g_source_set_ready_time(&resolver->source, 0);
	else
		ask(resolver);
	return resolver;
}

void resolver_free(struct resolver *resolver)
{
	if (!resolver)
		return;
	if (resolver->channel)
		ares_destroy(resolver->channel);
	if (resolver->addresses)
		g_array_unref(resolver->addresses);
	g_hash_table_destroy(resolver->tags);
	g_free(resolver->host);
	if (!g_source_is_destroyed(&resolver->source))
		g_source_destroy(&resolver->source);
	g_source_unref(&resolver->source);
}

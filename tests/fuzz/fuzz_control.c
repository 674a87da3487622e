/* SPDX-License-Identifier: MIT */
/*
 * Any octets at the control socket, in pieces: a JSON document comes back, or the request is still
 * incomplete. The first octet says how the rest is cut.
 */
#include "config.h"

#include <glib.h>
#include <glib/gstdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "control.h"
#include "fuzz.h"
#include "view_flows.h"

static const struct flow_record flows[] = {
	{.id = {.src_port = 40000,
		.dst_port = 443,
		.protocol = 6,
		.ifindex = 1,
		.eth_proto = 0x800},
	 .metrics = {.packets = 3, .bytes = 300}},
	{.id = {.dst_port = 53, .protocol = 17, .ifindex = 2, .eth_proto = 0x86dd},
	 .metrics = {.packets = 1, .bytes = 80}},
};

static const char *interface_name(void *user, uint8_t netns, uint32_t ifindex)
{
	return ifindex == 1 ? "eth0" : "";
}

static void derive(void *user, struct flow_record *record)
{
	record->ip_version = record->id.eth_proto == 0x800 ? 4 : 6;
}

static void walk(struct view_flows *view,
		 void (*visit)(struct view_flows *view, struct flow_record *record))
{
	for (size_t i = 0; i < G_N_ELEMENTS(flows); i++) {
		struct flow_record record = flows[i];

		visit(view, &record);
	}
}

static bool next_piece(void *state, GString *text)
{
	return view_flows_next(state, text);
}

static void free_view(void *state)
{
	view_flows_free(state);
}

static bool open_flows(void *user, const json_t *args, struct control_pieces *pieces,
		       GError **error)
{
	const struct view_names names = {interface_name, NULL};
	struct view_flows *view = view_flows_new(args, &names, derive, 1, error);

	if (!view)
		return false;
	walk(view, view_flows_survey);
	walk(view, view_flows_take);
	*pieces = (struct control_pieces){next_piece, free_view, view};
	return true;
}

/* Completed when the client has sent all: it may be gone by then. */
static struct control_request *begun;

static void begin(void *user, const json_t *args, struct control_request *request)
{
	g_assert_null(begun);
	begun = request;
}

static const struct control_verb verbs[] = {
	{.name = "flows", .open = open_flows},
	{.name = "flush", .changes = true, .begin = begin},
	{.name = NULL},
};

static struct control *control;
static char *folder;
static struct sockaddr_un address = {.sun_family = AF_UNIX};

static void stop(void)
{
	control_free(control);
	g_rmdir(folder);
	g_free(folder);
}

static void start(void)
{
	g_autoptr(GError) error = NULL;

	folder = g_dir_make_tmp("fuzz-control-XXXXXX", NULL);
	g_assert_nonnull(folder);
	g_snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", folder);
	control = control_new(address.sun_path, "", verbs, NULL, &error);
	g_assert_no_error(error);
	atexit(stop);
}

static void settle(void)
{
	while (g_main_context_iteration(NULL, FALSE))
		;
}

static void send_pieces(int fd, struct input *in, size_t piece)
{
	while (in->left > 0) {
		size_t size = MIN(piece, in->left);
		ssize_t sent = send(fd, in->at, size, MSG_NOSIGNAL);

		if (sent < 0)
			return; /* answered already */
		in->at += sent;
		in->left -= sent;
		settle();
	}
}

static void check_answer(int fd)
{
	static char answer[65536];
	ssize_t size = recv(fd, answer, sizeof(answer), MSG_DONTWAIT);
	json_t *document;

	if (size <= 0)
		return;
	g_assert_cmpint(answer[size - 1], ==, '\n');
	document = json_loadb(answer, size, JSON_REJECT_DUPLICATES, NULL);
	g_assert_true(json_is_object(document));
	json_decref(document);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	uint8_t cut = input_u8(&in);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (!control)
		start();
	g_assert_cmpint(connect(fd, (struct sockaddr *)&address, sizeof(address)), ==, 0);
	settle();
	send_pieces(fd, &in, cut & 0x7f ? cut & 0x7f : SIZE_MAX);
	if (cut & 0x80)
		shutdown(fd, SHUT_WR);
	settle();
	if (begun)
		control_reply(g_steal_pointer(&begun), json_object(), NULL);
	settle();
	check_answer(fd);
	close(fd);
	settle();
	return 0;
}

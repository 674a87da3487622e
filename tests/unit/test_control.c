/* SPDX-License-Identifier: MIT */
/* The control socket at a real path, asked by real clients on the same main loop. */
#include "config.h"

#include "control.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

#define BIG_FLOWS 50000
#define PIECES	  2000 /* of some kB: more than a socket takes at once */

struct fixture {
	char *folder;
	char *path;
	struct control *control;
	struct control_request *held;
	int changes;
	int n_pieces; /* made so far */
	int n_freed;
};

static uint64_t fake_mono_ns;

static void fake_clock(struct clock_now *now)
{
	memset(now, 0, sizeof(*now));
	now->mono_ns = fake_mono_ns;
}

static json_t *answer_echo(void *user, const json_t *args, GError **error)
{
	return json_pack("{s:O*}", "word", json_object_get(args, "word"));
}

static json_t *answer_failing(void *user, const json_t *args, GError **error)
{
	g_set_error_literal(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "no \xff luck");
	return NULL;
}

static json_t *answer_big(void *user, const json_t *args, GError **error)
{
	json_t *flows = json_array();

	for (int i = 0; i < BIG_FLOWS; i++)
		json_array_append_new(flows, json_sprintf("flow number %d", i));
	return json_pack("{s:o}", "flows", flows);
}

static json_t *answer_change(void *user, const json_t *args, GError **error)
{
	struct fixture *f = user;

	f->changes++;
	return json_object();
}

static void begin_held(void *user, const json_t *args, struct control_request *request)
{
	struct fixture *f = user;

	g_assert_null(f->held);
	f->held = request;
}

static void begin_at_once(void *user, const json_t *args, struct control_request *request)
{
	control_reply(request, json_pack("{s:i}", "flows", 7), NULL);
}

static bool next_piece(void *state, GString *text)
{
	struct fixture *f = state;

	g_string_append(text, f->n_pieces == 0 ? "[" : ",");
	for (int i = 0; i < 1000; i++)
		g_string_append_printf(text, "%s%d", i == 0 ? "" : ",", f->n_pieces);
	if (++f->n_pieces < PIECES)
		return true;
	g_string_append_c(text, ']');
	return false;
}

static void free_pieces(void *state)
{
	struct fixture *f = state;

	f->n_freed++;
}

static bool open_pieces(void *user, const json_t *args, struct control_pieces *pieces,
			GError **error)
{
	struct fixture *f = user;

	if (json_object_get(args, "bad")) {
		g_set_error_literal(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "bad is bad");
		return false;
	}
	f->n_pieces = f->n_freed = 0;
	*pieces = (struct control_pieces){next_piece, free_pieces, f};
	return true;
}

static const struct control_verb verbs[] = {
	{"echo", false, answer_echo},	     {"fail", false, answer_failing},
	{"big", false, answer_big},	     {"change", true, answer_change},
	{"pieces", .open = open_pieces},     {"held", .begin = begin_held},
	{"at-once", .begin = begin_at_once}, {NULL},
};

static void set_up(struct fixture *f, gconstpointer unused)
{
	g_autoptr(GError) error = NULL;

	fake_mono_ns = NSEC_PER_SEC;
	clock_set_source(fake_clock);
	f->folder = g_dir_make_tmp("bpflowd-control-XXXXXX", NULL);
	f->path = g_build_filename(f->folder, "run", "control.sock", NULL);
	f->control = control_new(f->path, "", verbs, f, &error);
	g_assert_no_error(error);
}

static void tear_down(struct fixture *f, gconstpointer unused)
{
	g_autofree char *run = g_path_get_dirname(f->path);

	control_free(f->control);
	g_assert_cmpint(access(f->path, F_OK), <, 0); /* removed by its owner */
	g_assert_cmpint(rmdir(run), ==, 0);
	g_assert_cmpint(rmdir(f->folder), ==, 0);
	g_free(f->path);
	g_free(f->folder);
	clock_set_source(NULL);
}

static int client(const struct fixture *f)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	g_strlcpy(address.sun_path, f->path, sizeof(address.sun_path));
	g_assert_cmpint(connect(fd, (struct sockaddr *)&address, sizeof(address)), ==, 0);
	return fd;
}

static void put(int fd, const char *text)
{
	g_assert_cmpint(send(fd, text, strlen(text), MSG_NOSIGNAL), ==, strlen(text));
}

/* Runs what is ready now. */
static void spin(void)
{
	while (g_main_context_iteration(NULL, FALSE))
		;
}

/* The whole answer, with the loop running; "" when the daemon just closed. */
static char *take(int fd)
{
	GString *text = g_string_new(NULL);
	char part[4096];
	ssize_t n;

	while ((n = recv(fd, part, sizeof(part), 0)) != 0) {
		if (n > 0)
			g_string_append_len(text, part, n);
		else if (errno == ECONNRESET)
			break;
		else if (errno == EAGAIN)
			g_main_context_iteration(NULL, FALSE);
		else
			g_error("recv: %s", g_strerror(errno));
	}
	close(fd);
	return g_string_free(text, FALSE);
}

static void assert_answer(struct fixture *f, const char *request, const char *expected)
{
	g_autofree char *answer = NULL;
	int fd = client(f);

	put(fd, request);
	answer = take(fd);
	g_assert_cmpstr(answer, ==, expected);
}

/* The error's text must hold `part`. */
static void assert_refused(struct fixture *f, const char *request, size_t size, const char *part)
{
	g_autofree char *answer = NULL;
	json_t *document;
	int fd = client(f);

	g_assert_cmpint(send(fd, request, size, MSG_NOSIGNAL), ==, size);
	answer = take(fd);
	document = json_loads(answer, 0, NULL);
	g_assert_nonnull(document);
	g_assert_nonnull(strstr(json_string_value(json_object_get(document, "error")), part));
	json_decref(document);
}

static void test_answers(struct fixture *f, gconstpointer unused)
{
	assert_answer(f, "{\"verb\":\"echo\",\"word\":\"hi\"}\n", "{\"word\":\"hi\"}\n");
	assert_answer(f, "{\"verb\":\"echo\",\"word\":[1]}\ntrailing", "{\"word\":[1]}\n");
	assert_answer(f, "{\"verb\":\"fail\"}\n", "{\"error\":\"no \357\277\275 luck\"}\n");
	assert_answer(f, "{\"verb\":\"at-once\"}\n", "{\"flows\":7}\n");
}

static void test_in_pieces(struct fixture *f, gconstpointer unused)
{
	const char *request = "{\"verb\":\"echo\",\"word\":\"hi\"}\n";
	g_autofree char *answer = NULL;
	int fd = client(f);

	for (const char *at = request; *at; at++) {
		char octet[2] = {*at, '\0'};

		put(fd, octet);
		spin();
	}
	answer = take(fd);
	g_assert_cmpstr(answer, ==, "{\"word\":\"hi\"}\n");
}

static void test_bad_requests(struct fixture *f, gconstpointer unused)
{
	static const struct {
		const char *request;
		const char *error;
	} rows[] = {
		{"\n", "not JSON"},
		{"flows\n", "not JSON"},
		{"{\"verb\":\"echo\"\n", "not JSON"},
		{"{\"verb\":\"echo\",\"verb\":\"change\"}\n", "not JSON"},
		{"{\"verb\":\"\xff\"}\n", "not JSON"},
		{"[]\n", "names no verb"},
		{"{}\n", "names no verb"},
		{"{\"verb\":1}\n", "names no verb"},
		{"{\"verb\":\"\"}\n", "unknown verb"},
		{"{\"verb\":\"ECHO\"}\n", "unknown verb \"ECHO\""},
	};
	char giant[CONTROL_REQUEST_MAX];

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
		assert_refused(f, rows[i].request, strlen(rows[i].request), rows[i].error);
	memset(giant, '[', sizeof(giant));
	assert_refused(f, giant, sizeof(giant), "longer than 4096");
	giant[sizeof(giant) - 1] = '\n';
	assert_refused(f, giant, sizeof(giant), "not JSON");
	memset(giant, 0, sizeof(giant) - 1);
	assert_refused(f, giant, sizeof(giant), "not JSON");
}

/* Random octets, cut anywhere: an answer or a closed connection, and the daemon lives. */
static void test_noise(struct fixture *f, gconstpointer unused)
{
	static const char pieces[][12] = {"{",	  "}",	      "\"verb\"", ":", "\"echo\"",
					  "\n",	  "\"word\"", ",",	  "[", "]",
					  "\\u0", "1e999",    "\xc3",	  "\""};
	g_autoptr(GRand) random = g_rand_new_with_seed(7);

	for (int round = 0; round < 3000; round++) {
		g_autofree char *answer = NULL;
		int n = g_rand_int_range(random, 0, 40);
		int fd = client(f);

		for (int i = 0; i < n; i++) {
			const char *piece =
				pieces[g_rand_int_range(random, 0, G_N_ELEMENTS(pieces))];

			if (send(fd, piece, strlen(piece), MSG_NOSIGNAL) < 0)
				break;
			if (g_rand_boolean(random))
				spin();
		}
		shutdown(fd, SHUT_WR);
		answer = take(fd);
		g_assert_true(!*answer || g_str_has_suffix(answer, "}\n"));
	}
	assert_answer(f, "{\"verb\":\"echo\",\"word\":1}\n", "{\"word\":1}\n");
}

static void test_half_request(struct fixture *f, gconstpointer unused)
{
	g_autofree char *answer = NULL;
	int fd = client(f);

	put(fd, "{\"verb\":");
	spin();
	control_expire(f->control, fake_mono_ns + CONTROL_TIMEOUT_S * NSEC_PER_SEC - 1);
	g_assert_cmpint(send(fd, " ", 1, MSG_NOSIGNAL), ==, 1); /* still open */
	spin();
	control_expire(f->control, fake_mono_ns + CONTROL_TIMEOUT_S * NSEC_PER_SEC);
	answer = take(fd);
	g_assert_cmpstr(answer, ==, "");
}

static void test_many_clients(struct fixture *f, gconstpointer unused)
{
	int fds[CONTROL_MAX_CLIENTS];
	g_autofree char *refused = NULL;

	for (int i = 0; i < CONTROL_MAX_CLIENTS; i++)
		fds[i] = client(f);
	spin();
	refused = take(client(f));
	g_assert_nonnull(strstr(refused, "too many clients"));
	for (int i = 0; i < CONTROL_MAX_CLIENTS; i++) {
		g_autofree char *answer = NULL;

		put(fds[i], "{\"verb\":\"echo\",\"word\":0}\n");
		answer = take(fds[i]);
		g_assert_cmpstr(answer, ==, "{\"word\":0}\n");
	}
	assert_answer(f, "{\"verb\":\"echo\",\"word\":0}\n", "{\"word\":0}\n");
}

/* A flood of connections that come and go without a word. */
static void test_flood(struct fixture *f, gconstpointer unused)
{
	for (int i = 0; i < 2000; i++) {
		int fd = client(f);

		if (i % 3 == 0)
			spin();
		close(fd);
	}
	spin();
	assert_answer(f, "{\"verb\":\"echo\",\"word\":0}\n", "{\"word\":0}\n");
}

static void test_big_answer(struct fixture *f, gconstpointer unused)
{
	g_autofree char *answer = NULL;
	json_t *document;
	int slow = client(f);
	int fd = client(f);

	/* one client takes nothing: the others and the loop don't wait for it */
	put(slow, "{\"verb\":\"big\"}\n");
	spin();
	put(fd, "{\"verb\":\"big\"}\n");
	answer = take(fd);
	document = json_loads(answer, 0, NULL);
	g_assert_cmpuint(json_array_size(json_object_get(document, "flows")), ==, BIG_FLOWS);
	json_decref(document);
	fake_mono_ns += CONTROL_TIMEOUT_S * NSEC_PER_SEC;
	control_expire(f->control, fake_mono_ns);
	g_free(answer);
	answer = take(slow);
	g_assert_false(g_str_has_suffix(answer, "}\n"));
}

static void test_pieces(struct fixture *f, gconstpointer unused)
{
	const char *request = "{\"verb\":\"pieces\"}\n";
	g_autofree char *answer = NULL;
	json_t *document;
	int fd = client(f);

	/* they are made as the client takes them, and none for others that ask meanwhile */
	put(fd, request);
	spin();
	g_assert_cmpint(f->n_pieces, >, 0);
	g_assert_cmpint(f->n_pieces, <, PIECES);
	assert_answer(f, "{\"verb\":\"echo\",\"word\":0}\n", "{\"word\":0}\n");
	answer = take(fd);
	g_assert_true(g_str_has_suffix(answer, "]\n"));
	document = json_loads(answer, 0, NULL);
	g_assert_cmpuint(json_array_size(document), ==, 1000 * PIECES);
	json_decref(document);
	g_assert_cmpint(f->n_freed, ==, 1);
	assert_answer(f, "{\"verb\":\"pieces\",\"bad\":1}\n", "{\"error\":\"bad is bad\"}\n");
}

/* Nothing is left of an answer that nobody takes: the client goes, is too slow, or the daemon ends.
 */
static void test_pieces_left(struct fixture *f, gconstpointer unused)
{
	const char *request = "{\"verb\":\"pieces\"}\n";
	g_autoptr(GError) error = NULL;
	int fd = client(f);

	put(fd, request);
	spin();
	g_assert_cmpint(f->n_freed, ==, 0);
	close(fd);
	spin();
	g_assert_cmpint(f->n_freed, ==, 1);
	fd = client(f);
	put(fd, request);
	spin();
	fake_mono_ns += CONTROL_TIMEOUT_S * NSEC_PER_SEC;
	control_expire(f->control, fake_mono_ns);
	g_assert_cmpint(f->n_freed, ==, 1);
	close(fd);
	fd = client(f);
	put(fd, request);
	spin();
	g_assert_cmpint(f->n_freed, ==, 0);
	control_free(f->control);
	g_assert_cmpint(f->n_freed, ==, 1);
	g_assert_cmpint(f->n_pieces, <, PIECES);
	close(fd);
	f->control = control_new(f->path, "", verbs, f, &error);
	g_assert_no_error(error);
}

static void test_later_answer(struct fixture *f, gconstpointer unused)
{
	g_autofree char *answer = NULL;
	int fd = client(f);

	put(fd, "{\"verb\":\"held\"}\n");
	spin();
	g_assert_nonnull(f->held);
	/* patience isn't limited here */
	control_expire(f->control, fake_mono_ns + 3600 * NSEC_PER_SEC);
	assert_answer(f, "{\"verb\":\"echo\",\"word\":0}\n", "{\"word\":0}\n");
	control_reply(f->held, json_pack("{s:i}", "flows", 3), NULL);
	f->held = NULL;
	answer = take(fd);
	g_assert_cmpstr(answer, ==, "{\"flows\":3}\n");
}

static void test_later_error(struct fixture *f, gconstpointer unused)
{
	g_autoptr(GError) error = g_error_new(G_FILE_ERROR, G_FILE_ERROR_INVAL, "line 1: %s", "no");
	g_autofree char *answer = NULL;
	int fd = client(f);

	put(fd, "{\"verb\":\"held\"}\n");
	spin();
	control_reply(f->held, NULL, error);
	f->held = NULL;
	answer = take(fd);
	g_assert_cmpstr(answer, ==, "{\"error\":\"line 1: no\"}\n");
}

static void test_client_left(struct fixture *f, gconstpointer unused)
{
	g_autoptr(GError) error = NULL;
	int fd = client(f);

	put(fd, "{\"verb\":\"held\"}\n");
	spin();
	close(fd);
	spin();
	control_reply(f->held, json_object(), NULL);
	f->held = NULL;
	/* and one that outlives the control */
	fd = client(f);
	put(fd, "{\"verb\":\"held\"}\n");
	spin();
	control_free(f->control);
	control_reply(f->held, json_object(), NULL);
	f->held = NULL;
	close(fd);
	f->control = control_new(f->path, "", verbs, f, &error);
	g_assert_no_error(error);
}

static void test_address_in_use(struct fixture *f, gconstpointer unused)
{
	g_autoptr(GError) error = NULL;

	g_assert_null(control_new(f->path, "", verbs, f, &error));
	g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_EXIST);
	g_assert_nonnull(strstr(error->message, "address in use"));
	assert_answer(f, "{\"verb\":\"echo\",\"word\":0}\n", "{\"word\":0}\n");
}

static void test_stale_socket(struct fixture *f, gconstpointer unused)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	g_autoptr(GError) error = NULL;
	int dead = socket(AF_UNIX, SOCK_STREAM, 0);

	/* the first control's file is taken away: it must not remove its successor's */
	g_assert_cmpint(unlink(f->path), ==, 0);
	g_strlcpy(address.sun_path, f->path, sizeof(address.sun_path));
	g_assert_cmpint(bind(dead, (struct sockaddr *)&address, sizeof(address)), ==, 0);
	close(dead);
	control_free(f->control);
	g_assert_cmpint(access(f->path, F_OK), ==, 0);
	f->control = control_new(f->path, "", verbs, f, &error);
	g_assert_no_error(error);
	assert_answer(f, "{\"verb\":\"echo\",\"word\":0}\n", "{\"word\":0}\n");
}

static void assert_fails(struct fixture *f, const char *path, const char *group, const char *part)
{
	g_autoptr(GError) error = NULL;

	g_assert_null(control_new(path, group, verbs, f, &error));
	g_assert_nonnull(error);
	g_assert_nonnull(strstr(error->message, part));
}

static void test_bad_places(struct fixture *f, gconstpointer unused)
{
	g_autofree char *file = g_build_filename(f->folder, "file", NULL);
	g_autofree char *under = g_build_filename(file, "control.sock", NULL);
	g_autofree char *deep = g_build_filename(f->folder, "a", "b", "control.sock", NULL);
	g_autofree char *endless = g_strnfill(200, 'x');

	g_assert_true(g_file_set_contents(file, "precious", -1, NULL));
	assert_fails(f, file, "", "no socket is in the way");
	assert_fails(f, under, "", "Not a directory");
	assert_fails(f, deep, "", "can't be made");
	assert_fails(f, endless, "", "1 to 107 bytes");
	assert_fails(f, "", "", "1 to 107 bytes");
	assert_fails(f, f->path, "no such group", "there is no group \"no such group\"");
	g_assert_cmpint(unlink(file), ==, 0);
}

static void test_modes(struct fixture *f, gconstpointer unused)
{
	g_autoptr(GError) error = NULL;
	struct stat st;

	g_assert_cmpint(stat(f->path, &st), ==, 0);
	g_assert_cmpint(st.st_mode & 0777, ==, 0600);
	control_free(f->control);
	f->control = control_new(f->path, "root", verbs, f, &error);
	g_assert_no_error(error);
	g_assert_cmpint(stat(f->path, &st), ==, 0);
	g_assert_cmpint(st.st_mode & 0777, ==, 0660);
	g_assert_cmpint(st.st_gid, ==, 0);
}

/* Asks for a change from another account; the answer's text is the child's exit code: 0 done, 1
 * refused. */
static int change_as(struct fixture *f, uid_t uid, gid_t gid, gid_t extra)
{
	int status = 0;
	pid_t pid = fork();

	g_assert_cmpint(pid, >=, 0);
	if (pid == 0) {
		static const char request[] = "{\"verb\":\"change\"}\n";
		struct sockaddr_un address = {.sun_family = AF_UNIX};
		char answer[256] = "";
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);

		g_strlcpy(address.sun_path, f->path, sizeof(address.sun_path));
		if (setgroups(1, &extra) < 0 || setgid(gid) < 0 || setuid(uid) < 0 ||
		    connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		    send(fd, request, strlen(request), 0) < 0 ||
		    recv(fd, answer, sizeof(answer) - 1, 0) <= 0)
			_exit(2);
		_exit(strstr(answer, "not permitted") ? 1 : 0);
	}
	while (waitpid(pid, &status, WNOHANG) == 0)
		g_main_context_iteration(NULL, FALSE);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_permissions(struct fixture *f, gconstpointer unused)
{
	g_autofree char *run = g_path_get_dirname(f->path);
	g_autoptr(GError) error = NULL;

	if (geteuid() != 0) {
		g_test_skip("needs root to become others");
		return;
	}
	control_free(f->control);
	f->control = control_new(f->path, "daemon", verbs, f, &error);
	g_assert_no_error(error);
	g_assert_cmpint(chmod(f->folder, 0755), ==, 0);
	g_assert_cmpint(chmod(run, 0755), ==, 0);
	g_assert_cmpint(change_as(f, 0, 0, 0), ==, 0);
	g_assert_cmpint(change_as(f, 4242, 1, 4242), ==, 0); /* group daemon is 1 */
	g_assert_cmpint(change_as(f, 4242, 4242, 1), ==, 0);
	g_assert_cmpint(change_as(f, 4242, 4242, 4242), ==, 2); /* by the mode */
	g_assert_cmpint(f->changes, ==, 3);
	/* let in by the mode alone */
	g_assert_cmpint(chmod(f->path, 0666), ==, 0);
	g_assert_cmpint(change_as(f, 4242, 4242, 4242), ==, 1);
	g_assert_cmpint(f->changes, ==, 3);
}

/* A descriptor that is sent along must not stay open here. */
static void test_descriptors(struct fixture *f, gconstpointer unused)
{
	char request[] = "{\"verb\":\"echo\",\"word\":0}\n";
	struct iovec part = {request, strlen(request)};
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} ancillary = {0};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = &ancillary,
				 .msg_controllen = sizeof(ancillary)};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	g_autofree char *answer = NULL;
	int fd = client(f);
	char octet;
	int ends[2];

	g_assert_cmpint(pipe(ends), ==, 0);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &ends[1], sizeof(int));
	g_assert_cmpint(sendmsg(fd, &message, 0), ==, part.iov_len);
	close(ends[1]);
	answer = take(fd);
	g_assert_cmpstr(answer, ==, "{\"word\":0}\n");
	g_assert_cmpint(read(ends[0], &octet, 1), ==, 0); /* no writer left */
	close(ends[0]);
}

/* A daemon that ends: who waited is told, as far as there is something to tell. */
static void test_answer_at_end(struct fixture *f, gconstpointer unused)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *answer = NULL;
	int fd = client(f);

	put(fd, "{\"verb\":\"held\"}\n");
	spin();
	control_reply(f->held, json_pack("{s:i}", "flows", 3), NULL);
	f->held = NULL;
	control_free(f->control);
	answer = take(fd);
	g_assert_cmpstr(answer, ==, "{\"flows\":3}\n");
	f->control = control_new(f->path, "", verbs, f, &error);
	g_assert_no_error(error);
}

/* A client that can't be accepted for want of descriptors wakes nobody, and is served later. */
static void test_short_of_descriptors(struct fixture *f, gconstpointer unused)
{
	g_autofree char *answer = NULL;
	struct rlimit before, none;
	int fd = client(f), n_turns = 0;

	put(fd, "{\"verb\":\"echo\",\"word\":0}\n");
	g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &before), ==, 0);
	none = before;
	none.rlim_cur = dup(fd); /* the first that is free */
	close(none.rlim_cur);
	g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &none), ==, 0);
	while (n_turns < 100 && g_main_context_iteration(NULL, FALSE))
		n_turns++;
	g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &before), ==, 0);
	g_assert_cmpint(n_turns, <, 10);
	answer = take(fd);
	g_assert_cmpstr(answer, ==, "{\"word\":0}\n");
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*test)(struct fixture *f, gconstpointer unused);
	} tests[] = {
		{"answers", test_answers},
		{"in-pieces", test_in_pieces},
		{"bad-requests", test_bad_requests},
		{"noise", test_noise},
		{"half-request", test_half_request},
		{"many-clients", test_many_clients},
		{"flood", test_flood},
		{"big-answer", test_big_answer},
		{"pieces", test_pieces},
		{"pieces-left", test_pieces_left},
		{"later-answer", test_later_answer},
		{"later-error", test_later_error},
		{"client-left", test_client_left},
		{"address-in-use", test_address_in_use},
		{"stale-socket", test_stale_socket},
		{"bad-places", test_bad_places},
		{"modes", test_modes},
		{"permissions", test_permissions},
		{"descriptors", test_descriptors},
		{"answer-at-end", test_answer_at_end},
		{"short-of-descriptors", test_short_of_descriptors},
	};

	g_test_init(&argc, &argv, NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(tests); i++) {
		g_autofree char *path = g_strconcat("/control/", tests[i].name, NULL);

		g_test_add(path, struct fixture, NULL, set_up, tests[i].test, tear_down);
	}
	return g_test_run();
}

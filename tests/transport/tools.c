/* SPDX-License-Identifier: MIT */
/* Other people's programs as peers; see tools.h. */
#include "config.h"

#include "tools.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char make_certificates[] =
	"set -e; cd \"$1\"; umask 077\n"
	"key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'\n"
	"for ca in ca other-ca; do\n"
	"	openssl req -x509 $key -keyout $ca.key -out $ca.pem -days 10 -subj /CN=$ca\n"
	"done\n"
	"leaf() {\n"
	"	openssl req -new $key -keyout $1.key -out $1.csr -subj /CN=$1\n"
	"	echo subjectAltName=$2 > $1.ext\n"
	"	openssl x509 -req -in $1.csr -CA $3.pem -CAkey $3.key -CAcreateserial -days $4 "
	"-extfile $1.ext -out $1.pem\n"
	"}\n"
	"leaf good DNS:localhost,IP:127.0.0.1 ca 5\n"
	"leaf expired DNS:localhost,IP:127.0.0.1 ca -1\n"
	"leaf wrong-name DNS:elsewhere.example,IP:127.0.0.9 ca 5\n"
	"leaf untrusted DNS:localhost,IP:127.0.0.1 other-ca 5\n"
	"leaf client DNS:exporter.example ca 5\n"
	"leaf stranger DNS:exporter.example other-ca 5\n";

char *tools_make_certificates(void)
{
	char *folder = g_dir_make_tmp("bpflowd-tls-XXXXXX", NULL);
	const char *argv[] = {"/bin/sh", "-c", make_certificates, "sh", folder, NULL};
	int status;
	bool fine = g_spawn_sync(NULL, (char **)argv, NULL,
				 G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL, NULL,
				 NULL, NULL, NULL, &status, NULL) &&
		    status == 0;

	if (fine)
		return folder;
	tools_remove_folder(folder);
	return NULL;
}

void tools_remove_folder(char *folder)
{
	GDir *dir = g_dir_open(folder, 0, NULL);
	const char *name;

	while ((name = g_dir_read_name(dir))) {
		g_autofree char *path = g_build_filename(folder, name, NULL);

		unlink(path);
	}
	g_dir_close(dir);
	rmdir(folder);
	g_free(folder);
}

/* A test that fails aborts: what it started goes with it. */
static void die_with_parent(void *user)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

void server_start(struct server *server, const char *command)
{
	g_auto(GStrv) argv = NULL;
	GError *error = NULL;

	g_assert_true(g_shell_parse_argv(command, NULL, &argv, NULL));
	g_spawn_async_with_pipes(NULL, argv, NULL,
				 G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD |
					 (g_test_verbose() ? 0 : G_SPAWN_STDERR_TO_DEV_NULL),
				 die_with_parent, NULL, &server->pid, &server->in, &server->out,
				 NULL, &error);
	g_assert_no_error(error);
	fcntl(server->out, F_SETFL, O_NONBLOCK);
}

void server_stop(struct server *server)
{
	kill(server->pid, SIGKILL);
	waitpid(server->pid, NULL, 0);
	close(server->out);
	close(server->in);
}

void server_read(struct server *server, struct sink *sink)
{
	uint8_t data[65536];
	ssize_t size;

	while ((size = read(server->out, data, sizeof(data))) > 0)
		sink_take_stream(sink, data, size);
}

uint16_t tools_free_port(int type)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, type, 0);

	g_assert_cmpint(bind(fd, (struct sockaddr *)&address, length), ==, 0);
	getsockname(fd, (struct sockaddr *)&address, &length);
	close(fd);
	return ntohs(address.sin_port);
}

static bool listens(int type, uint16_t port)
{
	g_autofree char *wanted = g_strdup_printf(":%04X ", port);
	bool found = false;

	for (int v6 = 0; v6 < 2 && !found; v6++) {
		g_autofree char *path = g_strdup_printf(
			"/proc/net/%s%s", type == SOCK_STREAM ? "tcp" : "udp", v6 ? "6" : "");
		g_autofree char *text = NULL;
		g_auto(GStrv) lines = NULL;

		if (!g_file_get_contents(path, &text, NULL, NULL))
			continue;
		lines = g_strsplit(text, "\n", -1);
		/* the local address is the first with a colon and a port */
		for (char **line = lines + 1; *line && **line && !found; line++) {
			char *at = strstr(*line, wanted);

			found = at && at - *line < 42 && strchr(strchr(*line, ':') + 1, ':') == at;
		}
	}
	return found;
}

void tools_wait_listener(int type, uint16_t port)
{
	uint64_t limit = g_get_monotonic_time() + 10 * G_USEC_PER_SEC;

	while (!listens(type, port)) {
		g_assert_cmpuint(g_get_monotonic_time(), <, limit);
		g_usleep(2000);
	}
}

/* SPDX-License-Identifier: MIT */
/* Other people's programs as peers: certificates by openssl, servers with their output in a sink.
 */
#ifndef BPFLOWD_TESTS_TRANSPORT_TOOLS_H
#define BPFLOWD_TESTS_TRANSPORT_TOOLS_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

#include "harness.h"

/* A folder with ca.pem, other-ca.pem and, each with NAME.key: good, expired, wrong-name, untrusted,
 * client, stranger. NULL if openssl is missing. */
char *tools_make_certificates(void);
void tools_remove_folder(char *folder);

/* A program whose standard output the sink reads as the stream of one session. */
struct server {
	GPid pid;
	int out;
	int in;
};

void server_start(struct server *server, const char *command);
void server_stop(struct server *server);
/* Takes what the program has written. */
void server_read(struct server *server, struct sink *sink);

/* A port that nobody listens on. */
uint16_t tools_free_port(int type);
/* Waits until a program listens there. */
void tools_wait_listener(int type, uint16_t port);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Puts programs of a BPF object on interfaces by tcx links and holds them until a signal comes: how
 * other designs than ours are put beside it. hook OBJECT INTERFACE=ingress|egress=PROGRAM...
 */
#include "config.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_HOOKS 16

/* linux/bpf.h of Debian 12 is older than tcx; kernel commit e420bed02507 */
#define TCX_INGRESS 46
#define TCX_EGRESS  47

struct hook {
	char *interface, *direction, *program;
};

/* The first members of union bpf_attr's link_create, which the header of Debian 12 has; zero to the
 * end. */
struct link_create {
	uint32_t prog_fd, target_ifindex, attach_type, flags;
	uint64_t rest[6];
};

static void die(const char *what)
{
	fprintf(stderr, "hook: %s: %s\n", what, strerror(errno));
	exit(2);
}

static struct hook hook_parse(char *text)
{
	struct hook hook = {.interface = strtok(text, "=")};

	hook.direction = strtok(NULL, "=");
	hook.program = strtok(NULL, "=");
	if (!hook.program) {
		fputs("usage: hook OBJECT INTERFACE=ingress|egress=PROGRAM...\n", stderr);
		exit(2);
	}
	return hook;
}

static void attach(struct bpf_object *object, const struct hook *hook)
{
	struct bpf_program *program = bpf_object__find_program_by_name(object, hook->program);
	struct link_create attr = {
		.attach_type = strcmp(hook->direction, "egress") ? TCX_INGRESS : TCX_EGRESS,
		.target_ifindex = if_nametoindex(hook->interface),
	};

	if (!program)
		die(hook->program);
	attr.prog_fd = bpf_program__fd(program);
	if (syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr)) < 0)
		die(hook->interface);
}

int main(int argc, char **argv)
{
	struct hook hooks[MAX_HOOKS];
	struct bpf_program *program;
	struct bpf_object *object;
	struct bpf_map *map;
	sigset_t set;
	int n = 0, got;

	for (int i = 2; i < argc && n < MAX_HOOKS; i++)
		hooks[n++] = hook_parse(argv[i]);
	object = n ? bpf_object__open_file(argv[1], NULL) : NULL;
	if (!object)
		die("object");
	bpf_object__for_each_program(program, object)
	{
		bpf_program__set_autoload(program, false);
		for (int i = 0; i < n; i++)
			if (!strcmp(bpf_program__name(program), hooks[i].program))
				bpf_program__set_autoload(program, true);
		bpf_program__set_type(program, BPF_PROG_TYPE_SCHED_CLS);
	}
	bpf_object__for_each_map(map, object) bpf_map__set_pin_path(map, NULL);
	if (bpf_object__load(object) < 0)
		die("load");
	for (int i = 0; i < n; i++)
		attach(object, &hooks[i]);
	puts("ready");
	fflush(stdout);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigwait(&set, &got);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Somebody else's tc program: counts packets, then lets them pass, drops them or sends them out by
 * another interface. Attached as a tcx link or a clsact filter until SIGTERM, then prints how many
 * packets it saw.
 */
#include "config.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <net/if.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* linux/bpf.h of Debian 12 is older than tcx (6.6) */
#define TCX_INGRESS 46
#define TCX_EGRESS  47

#define INSN(c, d, s, o, i) \
	((struct bpf_insn){.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i)})

static void die(const char *what)
{
	fprintf(stderr, "stranger: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* action: TC_ACT_*, or with `to` a redirection */
static int load(int map_fd, int action, int to)
{
	const struct bpf_insn insns[] = {
		INSN(BPF_ST | BPF_MEM | BPF_W, BPF_REG_10, 0, -4, 0),
		INSN(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_2, BPF_REG_10, 0, 0),
		INSN(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, -4),
		INSN(BPF_LD | BPF_IMM | BPF_DW, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, map_fd),
		INSN(0, 0, 0, 0, 0),
		INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem),
		INSN(BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_0, 0, 2, 0),
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_1, 0, 0, 1),
		INSN(BPF_STX | BPF_ATOMIC | BPF_DW, BPF_REG_0, BPF_REG_1, 0, BPF_ADD),
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, action),
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_1, 0, 0, to),
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, 0),
		INSN(BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_1, 0, 1, 0),
		INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect),
		INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "stranger", "GPL", insns,
			       sizeof(insns) / sizeof(*insns), NULL);

	if (fd < 0)
		die("load");
	return fd;
}

static void attach_tcx(int prog_fd, unsigned int ifindex, bool ingress)
{
	struct {
		uint32_t prog_fd, ifindex, type, flags;
		uint64_t reserved[6];
	} attr = {prog_fd, ifindex, ingress ? TCX_INGRESS : TCX_EGRESS, 0, {0}};

	if (syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr)) < 0)
		die("tcx");
}

static void attach_clsact(int prog_fd, unsigned int ifindex, bool ingress, int priority)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex,
			    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = prog_fd, .handle = 1,
			    .priority = priority);
	int err = bpf_tc_hook_create(&hook);

	errno = -err;
	if (err && err != -EEXIST)
		die("clsact");
	hook.attach_point = ingress ? BPF_TC_INGRESS : BPF_TC_EGRESS;
	err = bpf_tc_attach(&hook, &opts);
	errno = -err;
	if (err)
		die("filter");
}

int main(int argc, char **argv)
{
	int map_fd, prog_fd, to = 0, action = TC_ACT_UNSPEC, key = 0;
	sigset_t signals;
	uint64_t n = 0;

	if (argc < 5) {
		fprintf(stderr,
			"usage: stranger tcx|PRIORITY ingress|egress INTERFACE pass|drop|OTHER\n");
		return 2;
	}
	if (!strcmp(argv[4], "drop"))
		action = TC_ACT_SHOT;
	else if (strcmp(argv[4], "pass"))
		to = if_nametoindex(argv[4]);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	map_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "stranger", 4, 8, 1, NULL);
	if (map_fd < 0)
		die("map");
	prog_fd = load(map_fd, action, to);
	if (!strcmp(argv[1], "tcx"))
		attach_tcx(prog_fd, if_nametoindex(argv[3]), !strcmp(argv[2], "ingress"));
	else
		attach_clsact(prog_fd, if_nametoindex(argv[3]), !strcmp(argv[2], "ingress"),
			      atoi(argv[1]));
	printf("ready\n");
	fflush(stdout);
	sigwaitinfo(&signals, NULL);
	bpf_map_lookup_elem(map_fd, &key, &n);
	printf("%lu\n", n);
	return 0;
}

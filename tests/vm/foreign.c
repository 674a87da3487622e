/* SPDX-License-Identifier: MIT */
/*
 * Somebody else's tcx program: foreign INTERFACE attaches one that lets everything pass to the
 * ingress and the egress of the interface, prints "ready" and holds it until it is killed. Exit
 * status 77: the kernel has no tcx (it came with 6.6).
 */
#include "config.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* linux/bpf.h of Debian 12 is older; kernel commit e420bed02507 */
#define TCX_INGRESS 46
#define TCX_EGRESS  47
#define TCX_NEXT    -1

struct link_create {
	uint32_t prog_fd;
	uint32_t target_ifindex;
	uint32_t attach_type;
	uint32_t flags;
	uint64_t reserved[6];
};

static int attach(int program, uint32_t ifindex, uint32_t type)
{
	struct link_create link = {program, ifindex, type, 0, {0}};

	return syscall(SYS_bpf, BPF_LINK_CREATE, &link, sizeof(link));
}

int main(int argc, char **argv)
{
	const struct bpf_insn pass[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = TCX_NEXT},
		{.code = BPF_JMP | BPF_EXIT},
	};
	uint32_t ifindex = argc == 2 ? if_nametoindex(argv[1]) : 0;
	int program;

	if (!ifindex) {
		fputs("usage: foreign INTERFACE\n", stderr);
		return 2;
	}
	program = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "foreign", "GPL", pass, 2, NULL);
	if (program < 0) {
		perror("foreign: load");
		return 2;
	}
	if (attach(program, ifindex, TCX_INGRESS) < 0 || attach(program, ifindex, TCX_EGRESS) < 0)
		return errno == EINVAL ? 77 : 2;
	puts("ready");
	fflush(stdout);
	pause();
	return 0;
}

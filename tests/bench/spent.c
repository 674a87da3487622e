/* SPDX-License-Identifier: MIT */
/*
 * spent FILE COMMAND...: runs the command, hands SIGTERM and SIGINT on to it, and when it and all
 * that it started has ended, writes to FILE the nanoseconds of CPU time that they took.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t child;

static void hand_on(int signal)
{
	kill(child, signal);
}

static uint64_t nanoseconds(const struct timeval *time)
{
	return (uint64_t)time->tv_sec * 1000000000 + (uint64_t)time->tv_usec * 1000;
}

static void write_usage(const char *path)
{
	struct rusage usage;
	FILE *file = fopen(path, "w");

	getrusage(RUSAGE_CHILDREN, &usage);
	if (!file ||
	    fprintf(file, "%" PRIu64 "\n",
		    nanoseconds(&usage.ru_utime) + nanoseconds(&usage.ru_stime)) < 0 ||
	    fclose(file)) {
		fprintf(stderr, "spent: %s: %s\n", path, strerror(errno));
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = hand_on, .sa_flags = SA_RESTART};
	int status = 0, one;
	sigset_t both;
	pid_t pid;

	if (argc < 3)
		return 2;
	sigemptyset(&both);
	sigaddset(&both, SIGTERM);
	sigaddset(&both, SIGINT);
	sigprocmask(SIG_BLOCK, &both, NULL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	child = fork();
	if (!child) {
		sigprocmask(SIG_UNBLOCK, &both, NULL);
		execvp(argv[2], argv + 2);
		fprintf(stderr, "spent: %s: %s\n", argv[2], strerror(errno));
		_exit(127);
	}
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigprocmask(SIG_UNBLOCK, &both, NULL);
	while ((pid = wait(&one)) > 0)
		if (pid == child)
			status = one;
	write_usage(argv[1]);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

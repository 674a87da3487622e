/* SPDX-License-Identifier: MIT */
/*
 * Privileges: becomes another account once everything is loaded, keeps the capabilities that the
 * running daemon needs, and no way back to more. The only door to libcap-ng; priv_seccomp.c is the
 * one to libseccomp.
 */
#ifndef BPFLOWD_PRIV_H
#define BPFLOWD_PRIV_H

#include <glib.h>
#include <stdbool.h>

/* Kernels before 5.11 count BPF maps against RLIMIT_MEMLOCK: lifts it as far as we may. False if it
 * stays: loading may then fail with EPERM. */
bool priv_unlock_memory(void);

/* Each hook that is attached by tcx takes a descriptor, and 1024 are soon gone: lifts RLIMIT_NOFILE
 * to the hard limit, that one to 65,536 if it is lower and we may. */
void priv_lift_files(void);

/* Whether we have the capabilities that loading takes. */
bool priv_may_load(void);

/* Becomes user (with its groups; "" stays) and keeps CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, as far
 * as we have them: reading maps, attaching to interfaces that appear later. CAP_SYS_ADMIN as well
 * if enter_namespaces: setns(2) to metering.netns asks for it. Empties the bounding and ambient
 * sets and sets no_new_privs. */
bool priv_drop(const char *user, bool enter_namespaces, GError **error);

/* After priv_drop: forbids for good the system calls that the running daemon never makes. Nothing
 * happens without libseccomp or on a kernel without seccomp. */
bool priv_filter_calls(GError **error);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * System calls that a flow exporter never makes answer EPERM once it runs: running other programs,
 * looking into other processes, mounts, kernel modules, keys, the clock. The only door to
 * libseccomp.
 *
 * Why not a list of what is allowed: most calls are not ours. A plain run makes two dozen, but what
 * another libc, the modules behind getpwnam and getaddrinfo, GnuTLS and its PKCS #11 modules or a
 * sanitizer make besides comes up when a certificate is renewed or a memory arena grows, weeks
 * after the start, and a router without flow records until somebody looks is the worse end. That
 * list is in the unit file (SystemCallFilter=), where whoever meets such a call can amend it.
 */
#include "config.h"

#include "priv.h"

#ifdef WITH_SECCOMP
#include <errno.h>
#include <seccomp.h>
#include <string.h>

static const char *const denied[] = {
	/* programs and processes of others */
	"execve", "execveat", "ptrace", "process_vm_readv", "process_vm_writev", "kcmp",
	"pidfd_getfd", "personality",
	/* accounts */
	"setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups",
	/* the file system as a whole; setns stays: it enters metered network namespaces */
	"mount", "umount2", "pivot_root", "chroot", "unshare", "fsopen", "fsmount", "move_mount",
	"open_tree", "mount_setattr", "open_by_handle_at", "name_to_handle_at", "quotactl",
	"swapon", "swapoff", "mknod", "mknodat",
	/* the kernel and the machine */
	"init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot",
	"syslog", "acct", "iopl", "ioperm", "settimeofday", "clock_settime", "clock_adjtime",
	"adjtimex", "sethostname", "setdomainname",
	/* much used by attacks, never by us */
	"userfaultfd", "add_key", "request_key", "keyctl", "io_uring_setup", "modify_ldt"};

/* A name that this libseccomp or this machine does not know needs no rule. */
static int add_rules(scmp_filter_ctx filter)
{
	for (size_t i = 0; i < G_N_ELEMENTS(denied); i++) {
		int number = seccomp_syscall_resolve_name(denied[i]);
		int err;

		if (number == __NR_SCMP_ERROR)
			continue;
		err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), number, 0);
		if (err < 0)
			return err;
	}
	return 0;
}
#endif

bool priv_filter_calls(GError **error)
{
#ifdef WITH_SECCOMP
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int err = -ENOMEM;

	if (filter) {
		err = add_rules(filter);
		err = err ? err : seccomp_load(filter);
		seccomp_release(filter);
	}
	/* a kernel without it is as good as a build without it */
	if (err == 0 || err == -EINVAL || err == -ENOSYS)
		return true;
	g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(-err),
		    "privileges: no filter of system calls: %s", g_strerror(-err));
	return false;
#else
	return true;
#endif
}

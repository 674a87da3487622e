/* SPDX-License-Identifier: MIT */
/*
 * Gives up what a running daemon does not need, in an order that the kernel allows. Above:
 * daemon.c.
 */
#include "config.h"

#include "priv.h"

#include <cap-ng.h>
#include <errno.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* Newer than the headers of the oldest systems that we build on. */
#ifndef CAP_PERFMON
#define CAP_PERFMON 38
#endif
#ifndef CAP_BPF
#define CAP_BPF 39
#endif

#define FILES_WANTED 65536

bool priv_unlock_memory(void)
{
	struct rlimit limit = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};

	if (setrlimit(RLIMIT_MEMLOCK, &limit) == 0)
		return true;
	if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
		return false;
	limit.rlim_cur = limit.rlim_max;
	return setrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY;
}

void priv_lift_files(void)
{
	struct rlimit limit, lifted = {.rlim_cur = FILES_WANTED, .rlim_max = FILES_WANTED};

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	if (limit.rlim_max < FILES_WANTED && setrlimit(RLIMIT_NOFILE, &lifted) == 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

bool priv_may_load(void)
{
	capng_get_caps_process();
	return capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_ADMIN) ||
	       (capng_have_capability(CAPNG_EFFECTIVE, CAP_BPF) &&
		capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_ADMIN) &&
		capng_have_capability(CAPNG_EFFECTIVE, CAP_PERFMON));
}

static bool fail(GError **error, const char *what, int err)
{
	g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(err), "privileges: %s: %s", what,
		    g_strerror(err));
	return false;
}

static bool find_user(const char *user, uid_t *uid, gid_t *gid, GError **error)
{
	const struct passwd *entry;

	*uid = geteuid();
	*gid = getegid();
	if (!*user)
		return true;
	entry = getpwnam(user);
	if (!entry) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
			    "exporter.user: there is no account \"%s\"", user);
		return false;
	}
	*uid = entry->pw_uid;
	*gid = entry->pw_gid;
	return true;
}

/* What we have of what is needed goes into the new set. */
static void choose_capabilities(bool enter_namespaces)
{
	static const unsigned int needed[] = {CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON, CAP_SYS_ADMIN};
	bool have[G_N_ELEMENTS(needed)];

	capng_get_caps_process();
	for (size_t i = 0; i < G_N_ELEMENTS(needed); i++)
		have[i] = capng_have_capability(CAPNG_PERMITTED, needed[i]) &&
			  (needed[i] != CAP_SYS_ADMIN || enter_namespaces);
	capng_clear(CAPNG_SELECT_BOTH);
	for (size_t i = 0; i < G_N_ELEMENTS(needed); i++) {
		if (have[i])
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, needed[i]);
	}
}

bool priv_drop(const char *user, bool enter_namespaces, GError **error)
{
	bool drops_bounds;
	uid_t uid;
	gid_t gid;
	int rc;

	if (!find_user(user, &uid, &gid, error))
		return false;
	capng_get_caps_process();
	/* without CAP_SETPCAP the bounding set stays: then no_new_privs alone bars the way */
	drops_bounds = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
	choose_capabilities(enter_namespaces);
	if (uid != geteuid()) {
		rc = capng_change_id(uid, gid,
				     CAPNG_INIT_SUPP_GRP |
					     (drops_bounds ? CAPNG_CLEAR_BOUNDING : CAPNG_NO_FLAG));
		if (rc != 0) {
			g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_PERM,
				    "privileges: can't become account \"%s\" (libcap-ng %d); start "
				    "as root or leave exporter.user empty",
				    user, rc);
			return false;
		}
	} else if (capng_apply(drops_bounds ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS) != 0) {
		return fail(error, "capabilities can't be given up", errno);
	}
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return fail(error, "ambient capabilities can't be cleared", errno);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail(error, "no_new_privs", errno);
	return true;
}

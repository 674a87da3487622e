/* SPDX-License-Identifier: MIT */
/*
 * Hooks on interfaces. tcx links (6.6) end with the process and can't be taken off by others.
 * Elsewhere a clsact filter with a handle of our own: found again and replaced after a kill, and
 * nobody else's filter or qdisc is touched.
 */
#include "config.h"

#include "fetcher_private.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"

/* linux/bpf.h of Debian 12 is older than tcx; kernel commit e420bed02507 */
#define BPF_TCX_INGRESS_TYPE 46
#define BPF_TCX_EGRESS_TYPE  47

#define LOOKS_PER_SECOND 4

#define FILES_KEPT 64

#define TC_PRIORITY    10 /* before the filters that leave it to the kernel (49152 and down) */
#define TC_HANDLE_BASE 0xb9f00000u

struct link_create_attr {
	uint32_t prog_fd;
	uint32_t target_ifindex;
	uint32_t attach_type;
	uint32_t flags;
	uint64_t reserved[6];
};

static struct hook *find_hook(const struct flow_fetcher *f, uint8_t netns, uint32_t ifindex,
			      int direction)
{
	for (guint i = 0; i < f->hooks->len; i++) {
		struct hook *h = &g_array_index(f->hooks, struct hook, i);

		if (h->ifindex == ifindex && h->netns == netns && h->direction == direction)
			return h;
	}
	return NULL;
}

/* Runs in another namespace until leave_netns; link and filter calls resolve indexes in the
 * caller's. */
static int enter_netns(int netns_fd)
{
	if (netns_fd < 0)
		return 0;
	return setns(netns_fd, CLONE_NEWNET) ? -errno : 0;
}

static void leave_netns(const struct flow_fetcher *f, int netns_fd)
{
	if (netns_fd >= 0 && setns(f->own_netns_fd, CLONE_NEWNET))
		g_error("cannot return to the own network namespace: %s", strerror(errno));
}

/* Hooks leave some descriptors to collectors, files and clients: what can't be metered any more
 * must not silence what is. The next descriptor is always the lowest that is free. */
static int spare_descriptor(const struct flow_fetcher *f)
{
	int fd = fcntl(f->own_netns_fd, F_DUPFD_CLOEXEC, 0);
	struct rlimit limit;

	if (fd < 0)
		return -errno;
	close(fd);
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	return (rlim_t)fd < limit.rlim_cur - MIN(FILES_KEPT, limit.rlim_cur / 4) ? 0 : -EMFILE;
}

/* A filter must be taken off where it is, also at a close that nobody has prepared. */
static int keep_netns(struct hook *hook, int netns_fd)
{
	if (netns_fd < 0)
		return 0;
	hook->netns_fd = fcntl(netns_fd, F_DUPFD_CLOEXEC, 0);
	return hook->netns_fd < 0 ? -errno : 0;
}

static void drop_netns(struct hook *hook)
{
	if (hook->netns_fd >= 0)
		close(hook->netns_fd);
	hook->netns_fd = -1;
}

static int program_fd(struct flows_bpf *flows, int direction)
{
	return bpf_program__fd(direction == FLOW_INGRESS ? flows->progs.ingress_flow_parse
							 : flows->progs.egress_flow_parse);
}

static int attach_tcx(int prog_fd, uint32_t ifindex, int direction)
{
	struct link_create_attr attr = {
		.prog_fd = prog_fd,
		.target_ifindex = ifindex,
		.attach_type =
			direction == FLOW_INGRESS ? BPF_TCX_INGRESS_TYPE : BPF_TCX_EGRESS_TYPE,
	};
	int fd = syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));

	return fd < 0 ? -errno : fd;
}

static uint32_t tc_handle(const struct flow_fetcher *f)
{
	return TC_HANDLE_BASE | (f->config.instance & 0xfffff);
}

static struct bpf_tc_hook tc_hook(uint32_t ifindex, int direction)
{
	return (struct bpf_tc_hook){
		.sz = sizeof(struct bpf_tc_hook),
		.ifindex = ifindex,
		.attach_point = direction == FLOW_INGRESS ? BPF_TC_INGRESS : BPF_TC_EGRESS,
	};
}

static int attach_clsact(const struct flow_fetcher *f, int prog_fd, uint32_t ifindex, int direction)
{
	struct bpf_tc_hook hook = tc_hook(ifindex, BPF_TC_INGRESS);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = prog_fd, .handle = tc_handle(f),
			    .priority = TC_PRIORITY, .flags = BPF_TC_F_REPLACE);
	int err;

	hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;
	err = bpf_tc_hook_create(&hook);
	if (err && err != -EEXIST)
		return err;
	hook = tc_hook(ifindex, direction);
	return bpf_tc_attach(&hook, &opts);
}

/*
 * The qdisc stays, also one that we made and that holds no filter any more: netlink deletes it only
 * with all that is in it, and a stranger's filter may come between a look and the deletion, or one
 * may count on the qdisc that was there when it looked. Empty it costs a packet next to nothing.
 */
static int detach_clsact(const struct flow_fetcher *f, uint32_t ifindex, int direction)
{
	struct bpf_tc_hook hook = tc_hook(ifindex, direction);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = tc_handle(f), .priority = TC_PRIORITY);

	return bpf_tc_detach(&hook, &opts);
}

/* A filter of ours that a kill left behind; exists only where clsact was used. */
static void sweep_clsact(const struct flow_fetcher *f, uint32_t ifindex)
{
	for (int direction = FLOW_INGRESS; direction <= FLOW_EGRESS; direction++) {
		struct bpf_tc_hook hook = tc_hook(ifindex, direction);
		DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = tc_handle(f),
				    .priority = TC_PRIORITY);

		if (bpf_tc_query(&hook, &opts) == 0)
			detach_clsact(f, ifindex, direction);
	}
}

/* In the namespace of the hook. */
static void put_back(const struct flow_fetcher *f, const struct hook *hook)
{
	struct bpf_tc_hook place = tc_hook(hook->ifindex, hook->direction);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = tc_handle(f), .priority = TC_PRIORITY);
	int err = bpf_tc_query(&place, &opts), prog_fd;
	char name[IF_NAMESIZE] = "";

	if ((err != -ENOENT && err != -EINVAL) || !if_indextoname(hook->ifindex, name))
		return;
	prog_fd = program_fd(f->flows[hook->netns], hook->direction);
	err = attach_clsact(f, prog_fd, hook->ifindex, hook->direction);
	if (err)
		log_warning("interface %s: somebody took off the clsact filter; it can't be put "
			    "back: %s",
			    name, strerror(-err));
	else
		log_warning("interface %s: somebody took off the clsact filter; it is back", name);
}

/* A few at a time: each look is a conversation with the kernel. */
void fetcher_attach_look(struct flow_fetcher *f)
{
	if (!f->tcx_missing || f->now_mono_ns - f->looked_ns < NSEC_PER_SEC)
		return;
	f->looked_ns = f->now_mono_ns;
	for (guint n = MIN(LOOKS_PER_SECOND, f->hooks->len); n > 0; n--) {
		const struct hook *hook =
			&g_array_index(f->hooks, struct hook, f->next_look++ % f->hooks->len);

		if (hook->link_fd >= 0 || enter_netns(hook->netns_fd))
			continue;
		put_back(f, hook);
		leave_netns(f, hook->netns_fd);
	}
}

void fetcher_attach_init(struct flow_fetcher *f)
{
	struct if_nameindex *list = if_nameindex();

	f->hooks = g_array_new(FALSE, FALSE, sizeof(struct hook));
	f->own_netns_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	for (struct if_nameindex *i = list; i && i->if_index; i++)
		sweep_clsact(f, i->if_index);
	if (list)
		if_freenameindex(list);
}

void fetcher_attach_clear(struct flow_fetcher *f)
{
	if (!f->hooks)
		return;
	while (f->hooks->len) {
		struct hook *h = &g_array_index(f->hooks, struct hook, f->hooks->len - 1);

		flow_fetcher_detach(f, h->netns, h->netns_fd, h->ifindex, h->direction);
	}
	g_array_free(f->hooks, TRUE);
	if (f->own_netns_fd >= 0)
		close(f->own_netns_fd);
}

static bool fail(GError **error, const char *what, int err)
{
	if (err == -ENODEV)
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOENT, "interface is gone");
	else if (err == -EPERM)
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_PERM,
			    "cannot attach by %s: permission denied; CAP_NET_ADMIN is needed",
			    what);
	else if (err == -EMFILE)
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_MFILE,
			    "cannot attach: too many open files; a higher limit would do "
			    "(LimitNOFILE= of the unit, ulimit -n)");
	else
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "cannot attach by %s: %s",
			    what, strerror(-err));
	return false;
}

bool flow_fetcher_attach(struct flow_fetcher *f, uint8_t netns, int netns_fd, uint32_t ifindex,
			 enum flow_direction direction, GError **error)
{
	struct hook hook = {.ifindex = ifindex,
			    .netns = netns,
			    .direction = direction,
			    .link_fd = -1,
			    .netns_fd = -1};
	const char *way = "tcx";
	struct flows_bpf *flows;
	int err;

	if (find_hook(f, netns, ifindex, direction))
		return true;
	flows = fetcher_instance(f, netns, error);
	if (!flows)
		return false;
	if (!f->tcx_missing || netns_fd >= 0) {
		err = spare_descriptor(f);
		if (err)
			return fail(error, way, err);
	}
	err = enter_netns(netns_fd);
	if (err)
		return fail(error, "entering the namespace", err);
	err = f->tcx_missing ? -EINVAL
			     : attach_tcx(program_fd(flows, direction), ifindex, direction);
	if (err >= 0) {
		hook.link_fd = err;
	} else if (err == -EINVAL) { /* before 6.6 */
		f->tcx_missing = true;
		way = "clsact";
		err = keep_netns(&hook, netns_fd);
		err = err ? err
			  : attach_clsact(f, program_fd(flows, direction), ifindex, direction);
	}
	leave_netns(f, netns_fd);
	if (err < 0) {
		drop_netns(&hook);
		return fail(error, way, err);
	}
	g_array_append_val(f->hooks, hook);
	fetcher_flags_hooked(f, netns, netns_fd, ifindex, direction);
	return true;
}

void flow_fetcher_detach(struct flow_fetcher *f, uint8_t netns, int netns_fd, uint32_t ifindex,
			 enum flow_direction direction)
{
	struct hook *hook = find_hook(f, netns, ifindex, direction);

	if (!hook)
		return;
	if (hook->link_fd >= 0) {
		close(hook->link_fd);
	} else if (enter_netns(netns_fd) == 0) {
		int err = detach_clsact(f, ifindex, direction);

		/* the interface and its filters may be gone together */
		if (err && err != -ENODEV && err != -ENOENT && err != -EINVAL)
			log_warning("interface %u: cannot take off the clsact filter: %s", ifindex,
				    strerror(-err));
		leave_netns(f, netns_fd);
	}
	drop_netns(hook);
	fetcher_flags_unhooked(f, netns, ifindex, direction);
	g_array_remove_index_fast(f->hooks, hook - (struct hook *)(void *)f->hooks->data);
}

const char *flow_fetcher_attached(const struct flow_fetcher *f, uint8_t netns, uint32_t ifindex,
				  enum flow_direction direction)
{
	const struct hook *hook = find_hook(f, netns, ifindex, direction);

	if (!hook)
		return NULL;
	return hook->link_fd >= 0 ? "tcx" : "clsact";
}

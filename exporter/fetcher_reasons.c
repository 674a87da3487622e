/* SPDX-License-Identifier: MIT */
/*
 * What the running kernel's BTF tells of drops: the names of the reasons (the numbers are no ABI:
 * they move from release to release), and where the tracepoint has its arguments. Above:
 * reasons.c.
 */
#include "config.h"

#include "fetcher_private.h"

#include <bpf/btf.h>
#include <string.h>

/* Modules that bring reasons of their own: the upper 16 bits are their subsystem. */
static const char *const modules[] = {"mac80211", "openvswitch"};

static const char *short_name(const char *name)
{
	static const char prefix[] = "SKB_DROP_REASON_";

	return g_str_has_prefix(name, prefix) ? name + strlen(prefix) : name;
}

static bool is_reason(const char *name)
{
	return !g_str_has_prefix(name, "__") && !g_str_has_prefix(name, "SUBSYS_") &&
	       !g_str_has_suffix(name, "_MAX") && strcmp(name, "MAX") != 0 &&
	       strcmp(name, "SKB_NOT_DROPPED_YET") != 0;
}

static void read_enum(const struct btf *btf, const struct btf_type *t,
		      flow_fetcher_drop_reason *add, void *user)
{
	const struct btf_enum *e = btf_enum(t);

	for (int i = 0; i < btf_vlen(t); i++) {
		const char *name = short_name(btf__name_by_offset(btf, e[i].name_off));

		if (is_reason(name))
			add(user, (uint32_t)e[i].val, name);
	}
}

/* Every enum called *_drop_reason from type first on. */
static void read_enums(const struct btf *btf, uint32_t first, flow_fetcher_drop_reason *add,
		       void *user)
{
	for (uint32_t id = first; id < btf__type_cnt(btf); id++) {
		const struct btf_type *t = btf__type_by_id(btf, id);
		const char *name = btf__name_by_offset(btf, t->name_off);

		if (btf_is_enum(t) && name && g_str_has_suffix(name, "_drop_reason"))
			read_enum(btf, t, add, user);
	}
}

void flow_fetcher_drop_reasons(flow_fetcher_drop_reason *add, void *user)
{
	struct btf *kernel;

	fetcher_libbpf_log();
	kernel = btf__load_vmlinux_btf();
	if (libbpf_get_error(kernel))
		return;
	read_enums(kernel, 1, add, user);
	for (size_t i = 0; i < G_N_ELEMENTS(modules); i++) {
		struct btf *module = btf__load_module_btf(modules[i], kernel);

		if (libbpf_get_error(module))
			continue;
		read_enums(module, btf__type_cnt(kernel), add, user);
		btf__free(module);
	}
	btf__free(kernel);
}

static void find_reason(void *user, uint32_t number, const char *name)
{
	struct fetcher_tracepoint *args = user;

	if (strcmp(name, "NO_SOCKET") == 0)
		args->no_socket = number;
	else if (strcmp(name, "QUEUE_PURGE") == 0)
		args->queue_purge = number;
	else if (strcmp(name, "NOT_SPECIFIED") == 0)
		args->not_specified = number;
}

/* The prototype has a pointer in front that programs don't see. */
static void find_arguments(const struct btf *btf, const struct btf_type *prototype,
			   struct fetcher_tracepoint *args)
{
	const struct btf_param *params = btf_params(prototype);

	for (int i = 1; i < btf_vlen(prototype); i++) {
		const struct btf_type *t = btf__type_by_id(btf, params[i].type);
		const char *name;

		if (btf_is_enum(t)) {
			args->reason = i - 1;
			continue;
		}
		if (!args->reason || !btf_is_ptr(t))
			continue;
		t = btf__type_by_id(btf, t->type);
		name = btf__name_by_offset(btf, t->name_off);
		if (name && strcmp(name, "sock") == 0)
			args->rx_sk = i - 1;
	}
}

void fetcher_kfree_skb_arguments(struct fetcher_tracepoint *args)
{
	struct btf *btf = btf__load_vmlinux_btf();
	const struct btf_type *t;
	int id;

	memset(args, 0, sizeof(*args));
	if (libbpf_get_error(btf))
		return;
	id = btf__find_by_name_kind(btf, "btf_trace_kfree_skb", BTF_KIND_TYPEDEF);
	t = id > 0 ? btf__type_by_id(btf, btf__type_by_id(btf, id)->type) : NULL;
	if (t && btf_is_ptr(t))
		find_arguments(btf, btf__type_by_id(btf, t->type), args);
	read_enums(btf, 1, find_reason, args);
	btf__free(btf);
}

bool fetcher_check_types(GError **error)
{
	struct btf *kernel = btf__load_vmlinux_btf();

	if (!libbpf_get_error(kernel)) {
		btf__free(kernel);
		return true;
	}
	g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOENT,
		    "the running kernel has no BTF (/sys/kernel/btf/vmlinux); a kernel built with "
		    "CONFIG_DEBUG_INFO_BTF is needed");
	return false;
}

/* SPDX-License-Identifier: MIT */
/*
 * Preloaded into the daemon: lists the places that allocate memory, and lets one of them find none,
 * once; counts the blocks that nobody has given back, now and when the program ends. GLib and the C
 * library's own needs are left alone: GLib ends the program then, as it declares, and so do we. Who
 * tests reads and writes the file that both map ($FAULT_MEMORY).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OBJECTS_MAX 64
#define SITES_MAX   4096

struct site {
	uint32_t object;
	uint32_t offset;
};

/* tests/fault/memory.py knows this layout; tests/soak/lib.sh that of held_*. */
struct control {
	uint32_t listing; /* new places go to the list */
	uint32_t armed;	  /* 1 + the place whose next allocation fails, 0: none */
	uint32_t hits;
	uint32_t n_sites;
	uint32_t left; /* blocks, 1 + those at the end; 0: it has not come to its end */
	uint32_t held_blocks;
	uint64_t held_octets; /* what malloc gave for them */
	struct site site[SITES_MAX];
	char object[OBJECTS_MAX][32];
};

struct range {
	uintptr_t base;
	uintptr_t begin;
	uintptr_t end;
};

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *block);

static struct control *control;
static uint32_t n_blocks;
static uint64_t n_octets;
static struct range range[OBJECTS_MAX];
static uint32_t n_objects;

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int add_object(struct dl_phdr_info *info, size_t size, void *user)
{
	static const char *const spared[] = {"libc.so",	  "libglib",  "ld-linux",
					     "memory.so", "libgcc_s", "linux-vdso"};
	const char *name = *info->dlpi_name ? base_name(info->dlpi_name) : "bpflowd";

	(void)size;
	(void)user;
	for (size_t i = 0; i < sizeof(spared) / sizeof(*spared); i++)
		if (strncmp(name, spared[i], strlen(spared[i])) == 0)
			return 0;
	for (int i = 0; i < info->dlpi_phnum && n_objects < OBJECTS_MAX; i++) {
		const ElfW(Phdr) *part = &info->dlpi_phdr[i];

		if (part->p_type != PT_LOAD || !(part->p_flags & PF_X))
			continue;
		range[n_objects].base = info->dlpi_addr;
		range[n_objects].begin = info->dlpi_addr + part->p_vaddr;
		range[n_objects].end = info->dlpi_addr + part->p_vaddr + part->p_memsz;
		strncpy(control->object[n_objects], name, sizeof(control->object[0]) - 1);
		n_objects++;
	}
	return 0;
}

/* Before the constructors of the libraries, so that theirs are seen too. */
static void open_control(void)
{
	static struct control nothing;
	const char *path = getenv("FAULT_MEMORY");
	int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
	void *mapped =
		fd < 0 ? MAP_FAILED
		       : mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	control = mapped == MAP_FAILED ? &nothing : mapped;
	if (fd >= 0)
		close(fd);
	dl_iterate_phdr(add_object, NULL);
}

static void list(uint32_t object, uint32_t offset)
{
	for (uint32_t i = 0; i < control->n_sites; i++)
		if (control->site[i].object == object && control->site[i].offset == offset)
			return;
	if (control->n_sites < SITES_MAX)
		control->site[control->n_sites++] = (struct site){object, offset};
}

static int fails(const void *caller)
{
	uintptr_t at = (uintptr_t)caller;
	uint32_t object = 0, offset;

	if (!control)
		open_control();
	if (!control->listing && !control->armed)
		return 0;
	while (object < n_objects && (at < range[object].begin || at >= range[object].end))
		object++;
	if (object == n_objects)
		return 0;
	offset = at - range[object].base;
	if (control->listing)
		list(object, offset);
	if (!control->armed || control->site[control->armed - 1].object != object ||
	    control->site[control->armed - 1].offset != offset)
		return 0;
	control->armed = 0;
	control->hits++;
	errno = ENOMEM;
	return 1;
}

static void count(int32_t blocks, int64_t octets)
{
	uint32_t held_blocks = __atomic_add_fetch(&n_blocks, blocks, __ATOMIC_RELAXED);
	uint64_t held_octets = __atomic_add_fetch(&n_octets, octets, __ATOMIC_RELAXED);

	if (!control)
		return;
	control->held_blocks = held_blocks;
	control->held_octets = held_octets;
}

static void *counted(void *block)
{
	if (block)
		count(1, malloc_usable_size(block));
	return block;
}

static void *resized(void *old, size_t size)
{
	size_t had = old ? malloc_usable_size(old) : 0;
	void *made = __libc_realloc(old, size);

	if (old && (made || !size))
		count(-1, -(int64_t)had);
	return counted(made);
}

__attribute__((destructor)) static void tell_left(void)
{
	uint32_t (*dice)(void) = (uint32_t(*)(void))dlsym(RTLD_DEFAULT, "g_random_int");

	/* GLib keeps them for good, once there was need of them: after a failure */
	if (dice)
		dice();
	if (control)
		control->left = 1 + n_blocks;
}

#define CALLER __builtin_return_address(0)

void *malloc(size_t size)
{
	return fails(CALLER) ? NULL : counted(__libc_malloc(size));
}

void *calloc(size_t n, size_t size)
{
	return fails(CALLER) ? NULL : counted(__libc_calloc(n, size));
}

void *realloc(void *old, size_t size)
{
	return fails(CALLER) ? NULL : resized(old, size);
}

void *reallocarray(void *old, size_t n, size_t size)
{
	return fails(CALLER) || (size && n > SIZE_MAX / size) ? NULL : resized(old, n * size);
}

void *memalign(size_t alignment, size_t size)
{
	return counted(__libc_memalign(alignment, size));
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return counted(__libc_memalign(alignment, size));
}

int posix_memalign(void **block, size_t alignment, size_t size)
{
	*block = counted(__libc_memalign(alignment, size));
	return *block ? 0 : ENOMEM;
}

void free(void *block)
{
	if (block)
		count(-1, -(int64_t)malloc_usable_size(block));
	__libc_free(block);
}

static char *copy(const char *text, size_t size)
{
	char *made = counted(__libc_malloc(size + 1));

	if (!made)
		return NULL;
	memcpy(made, text, size);
	made[size] = '\0';
	return made;
}

char *strdup(const char *text)
{
	return fails(CALLER) ? NULL : copy(text, strlen(text));
}

char *strndup(const char *text, size_t size)
{
	return fails(CALLER) ? NULL : copy(text, strnlen(text, size));
}

static int print(char **text, const char *format, va_list arguments)
{
	va_list again;
	int size;

	va_copy(again, arguments);
	size = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (size < 0)
		return -1;
	*text = counted(__libc_malloc(size + 1));
	return *text ? vsnprintf(*text, size + 1, format, arguments) : -1;
}

int vasprintf(char **text, const char *format, va_list arguments)
{
	return fails(CALLER) ? -1 : print(text, format, arguments);
}

int __vasprintf_chk(char **text, int flag, const char *format, va_list arguments);

int __vasprintf_chk(char **text, int flag, const char *format, va_list arguments)
{
	(void)flag;
	return fails(CALLER) ? -1 : print(text, format, arguments);
}

int asprintf(char **text, const char *format, ...)
{
	va_list arguments;
	int size;

	if (fails(CALLER))
		return -1;
	va_start(arguments, format);
	size = print(text, format, arguments);
	va_end(arguments);
	return size;
}

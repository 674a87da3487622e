/* SPDX-License-Identifier: MIT */
/*
 * Preloaded into the daemon: makes one system call fail, the first time, the tenth, every third,
 * and moves the clocks. Who tests says which in a file that both map ($FAULT_CONTROL), while the
 * daemon runs; calls and hits are counted there. A failing call does not reach the kernel, as with
 * strace -e inject=; only close closes, as it does in the kernel too.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* open stands for openat, stat for newfstatat, as the C library calls them */
/* clang-format off */
#define CALLS(CALL) \
	CALL(accept4) CALL(bind) CALL(bpf) CALL(clock_gettime) CALL(close) CALL(connect) \
	CALL(epoll_create1) CALL(epoll_ctl) CALL(epoll_wait) CALL(eventfd) CALL(fcntl) CALL(fdatasync) \
	CALL(fstat) CALL(ftruncate) CALL(getpeername) CALL(getsockname) CALL(getsockopt) \
	CALL(ioctl) CALL(link) CALL(listen) CALL(mmap) CALL(open) CALL(poll) CALL(read) \
	CALL(recv) CALL(recvfrom) CALL(recvmsg) CALL(renameat2) CALL(send) CALL(sendmmsg) \
	CALL(sendmsg) CALL(sendto) CALL(setsockopt) CALL(shutdown) CALL(socket) \
	CALL(stat) CALL(unlink) CALL(write) CALL(writev)
/* clang-format on */

#define CALL_NUMBER(name) FAULT_##name,
#define CALL_NAME(name)	  #name,
enum fault_call { CALLS(CALL_NUMBER) N_CALLS };

static const char *const names[] = {CALLS(CALL_NAME)};

/* tests/fault/control.py knows this layout. */
struct control {
	int64_t shift_ns;
	uint32_t armed; /* 1 + the number of the call, 0: none */
	int32_t error;
	uint32_t first; /* fails this call since it was armed, */
	uint32_t every; /* and then each so many calls; 0: never again */
	uint32_t calls;
	uint32_t hits;
	uint32_t n_calls;
	char name[64][16];
	uint32_t total[64];
};

static struct control nothing;
static struct control *control = &nothing;

__attribute__((constructor)) static void map_control(void)
{
	const char *path = getenv("FAULT_CONTROL");
	int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
	void *mapped;

	if (fd < 0)
		return;
	mapped = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (mapped == MAP_FAILED)
		return;
	control = mapped;
	for (int i = 0; i < N_CALLS; i++)
		strncpy(control->name[i], names[i], sizeof(control->name[i]) - 1);
	control->n_calls = N_CALLS;
}

static int fails(enum fault_call call)
{
	uint32_t n;

	__atomic_add_fetch(&control->total[call], 1, __ATOMIC_RELAXED);
	if (__atomic_load_n(&control->armed, __ATOMIC_ACQUIRE) != call + 1u)
		return 0;
	n = __atomic_add_fetch(&control->calls, 1, __ATOMIC_RELAXED);
	if (n < control->first || (n > control->first && !control->every) ||
	    (control->every && (n - control->first) % control->every))
		return 0;
	__atomic_add_fetch(&control->hits, 1, __ATOMIC_RELAXED);
	errno = control->error;
	return 1;
}

static void *real(const char *name)
{
	int saved = errno;
	void *found = dlsym(RTLD_NEXT, name);

	errno = saved;
	if (!found)
		abort();
	return found;
}

/* The function `name` of the C library, failing as `call`. */
#define FAILS_AS(call, type, name, parameters, arguments)       \
	type name parameters                                    \
	{                                                       \
		static type(*next) parameters;                  \
                                                                \
		if (fails(FAULT_##call))                        \
			return (type)-1;                        \
		if (!next)                                      \
			next = (type(*) parameters)real(#name); \
		return next arguments;                          \
	}
#define FAILS(type, name, parameters, arguments) FAILS_AS(name, type, name, parameters, arguments)

FAILS(int, accept4, (int fd, __SOCKADDR_ARG address, socklen_t *length, int flags),
      (fd, address, length, flags))
FAILS(int, bind, (int fd, __CONST_SOCKADDR_ARG address, socklen_t length), (fd, address, length))
FAILS(int, connect, (int fd, __CONST_SOCKADDR_ARG address, socklen_t length), (fd, address, length))
FAILS(int, epoll_create1, (int flags), (flags))
FAILS(int, epoll_ctl, (int epoll, int verb, int fd, struct epoll_event *event),
      (epoll, verb, fd, event))
FAILS(int, epoll_wait, (int epoll, struct epoll_event *events, int n, int timeout),
      (epoll, events, n, timeout))
FAILS(int, eventfd, (unsigned int value, int flags), (value, flags))
FAILS(int, fdatasync, (int fd), (fd))
FAILS(int, fstat, (int fd, struct stat *status), (fd, status))
FAILS_AS(fstat, int, fstat64, (int fd, struct stat64 *status), (fd, status))
FAILS(int, ftruncate, (int fd, off_t size), (fd, size))
FAILS(int, getpeername, (int fd, __SOCKADDR_ARG address, socklen_t *length), (fd, address, length))
FAILS(int, getsockname, (int fd, __SOCKADDR_ARG address, socklen_t *length), (fd, address, length))
FAILS(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *length),
      (fd, level, name, value, length))
FAILS(int, link, (const char *from, const char *to), (from, to))
FAILS(int, listen, (int fd, int backlog), (fd, backlog))
FAILS(void *, mmap, (void *at, size_t size, int protection, int flags, int fd, off_t offset),
      (at, size, protection, flags, fd, offset))
FAILS_AS(mmap, void *, mmap64,
	 (void *at, size_t size, int protection, int flags, int fd, off64_t offset),
	 (at, size, protection, flags, fd, offset))
FAILS(int, poll, (struct pollfd * fds, nfds_t n, int timeout), (fds, n, timeout))
FAILS(ssize_t, read, (int fd, void *to, size_t size), (fd, to, size))
FAILS(ssize_t, recv, (int fd, void *to, size_t size, int flags), (fd, to, size, flags))
FAILS(ssize_t, recvfrom,
      (int fd, void *to, size_t size, int flags, __SOCKADDR_ARG address, socklen_t *length),
      (fd, to, size, flags, address, length))
FAILS(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags))
FAILS(int, renameat2,
      (int from_at, const char *from, int to_at, const char *to, unsigned int flags),
      (from_at, from, to_at, to, flags))
FAILS(ssize_t, send, (int fd, const void *from, size_t size, int flags), (fd, from, size, flags))
FAILS(int, sendmmsg, (int fd, struct mmsghdr *messages, unsigned int n, int flags),
      (fd, messages, n, flags))
FAILS(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
FAILS(ssize_t, sendto,
      (int fd, const void *from, size_t size, int flags, __CONST_SOCKADDR_ARG address,
       socklen_t length),
      (fd, from, size, flags, address, length))
FAILS(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t length),
      (fd, level, name, value, length))
FAILS(int, shutdown, (int fd, int how), (fd, how))
FAILS(int, socket, (int family, int type, int protocol), (family, type, protocol))
FAILS(int, stat, (const char *path, struct stat *status), (path, status))
FAILS_AS(stat, int, stat64, (const char *path, struct stat64 *status), (path, status))
FAILS_AS(stat, int, lstat, (const char *path, struct stat *status), (path, status))
FAILS(int, unlink, (const char *path), (path))
FAILS(ssize_t, write, (int fd, const void *from, size_t size), (fd, from, size))
FAILS(ssize_t, writev, (int fd, const struct iovec *parts, int n), (fd, parts, n))

int close(int fd)
{
	return (int)syscall(SYS_close, fd) < 0 || fails(FAULT_close) ? -1 : 0;
}

static int fcntl_any(int fd, int verb, va_list arguments)
{
	long argument = va_arg(arguments, long);

	return fails(FAULT_fcntl) ? -1 : (int)syscall(SYS_fcntl, fd, verb, argument);
}

int fcntl(int fd, int verb, ...)
{
	va_list arguments;
	int result;

	va_start(arguments, verb);
	result = fcntl_any(fd, verb, arguments);
	va_end(arguments);
	return result;
}

int fcntl64(int fd, int verb, ...)
{
	va_list arguments;
	int result;

	va_start(arguments, verb);
	result = fcntl_any(fd, verb, arguments);
	va_end(arguments);
	return result;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	long argument;

	va_start(arguments, request);
	argument = va_arg(arguments, long);
	va_end(arguments);
	return fails(FAULT_ioctl) ? -1 : (int)syscall(SYS_ioctl, fd, request, argument);
}

static int open_any(const char *path, int flags, va_list arguments)
{
	int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, int) : 0;

	return fails(FAULT_open) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
	va_list arguments;
	int fd;

	va_start(arguments, flags);
	fd = open_any(path, flags, arguments);
	va_end(arguments);
	return fd;
}

int open64(const char *path, int flags, ...)
{
	va_list arguments;
	int fd;

	va_start(arguments, flags);
	fd = open_any(path, flags, arguments);
	va_end(arguments);
	return fd;
}

FILE *fopen(const char *path, const char *mode)
{
	static FILE *(*next)(const char *, const char *);

	if (fails(FAULT_open))
		return NULL;
	if (!next)
		next = (FILE * (*)(const char *, const char *)) real("fopen");
	return next(path, mode);
}

/* libbpf's way to bpf. */
long syscall(long number, ...)
{
	static long (*next)(long, ...);
	long argument[6];
	va_list arguments;

	if (!next)
		next = (long (*)(long, ...))real("syscall");
	va_start(arguments, number);
	for (int i = 0; i < 6; i++)
		argument[i] = va_arg(arguments, long);
	va_end(arguments);
	if (number == SYS_bpf && fails(FAULT_bpf))
		return -1;
	return next(number, argument[0], argument[1], argument[2], argument[3], argument[4],
		    argument[5]);
}

/* GLib takes the clock for infallible: what it asks for itself does not fail. */
static int is_glib(const void *caller)
{
	Dl_info from;

	return dladdr(caller, &from) && from.dli_fname && strstr(from.dli_fname, "libglib");
}

int clock_gettime(clockid_t id, struct timespec *at)
{
	static int (*next)(clockid_t, struct timespec *);
	int64_t ns;

	/* to know the caller takes long */
	if (control->armed == FAULT_clock_gettime + 1 && !is_glib(__builtin_return_address(0)) &&
	    fails(FAULT_clock_gettime))
		return -1;
	if (!next)
		next = (int (*)(clockid_t, struct timespec *))real("clock_gettime");
	if (next(id, at))
		return -1;
	ns = at->tv_nsec + __atomic_load_n(&control->shift_ns, __ATOMIC_RELAXED);
	at->tv_sec += ns / 1000000000;
	at->tv_nsec = ns % 1000000000;
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * An IPFIX file (RFC 5655): each file is one session, so it opens with templates and any reader
 * takes it alone. What an earlier run left, and what grew too large or too old, is set aside as
 * NAME.YYYYMMDDTHHMMSSZ (UTC); one that others moved or deleted makes way, too. A message is in the
 * file as a whole or not at all. Above: collector.c.
 */
#include "config.h"

#include "transport.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "transport_private.h"

#define RETRY_NS   NSEC_PER_SEC /* while the disk is full */
#define START_SYNC (1 << 20) /* octets after which write-out is begun, so that closing is quick */
#define MODE	   0640

struct file {
	struct transport transport; /* first */
	const struct settings_collector *settings;
	bool regular;
	bool has_data; /* templates and options alone never fill a file: the next would begin so,
			  too */
	uint64_t size;
	uint64_t synced;
	uint64_t torn; /* octets of a message that a pipe took in part */
	uint64_t rotate_size;
	uint64_t rotate_ns; /* CLOCK_MONOTONIC, 0: never */
};

/* Whether what another account left can be set aside: for that the folder counts. */
static bool can_make_way(const char *path, const struct stat *old)
{
	g_autofree char *folder = g_path_get_dirname(path);

	return S_ISREG(old->st_mode) && old->st_size > 0 && access(folder, W_OK | X_OK) == 0;
}

static bool can_write(const char *path)
{
	struct stat status;
	bool existed = stat(path, &status) == 0;
	int fd;

	/* whoever reads a pipe takes the end of a question for the end of the flows */
	if (existed && S_ISFIFO(status.st_mode))
		return access(path, W_OK) == 0;
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, MODE);
	if (fd < 0)
		return existed && errno == EACCES && can_make_way(path, &status);
	close(fd);
	if (!existed)
		unlink(path);
	return true;
}

static bool file_check(const struct settings_collector *collector, GError **error)
{
	if (can_write(collector->file))
		return true;
	g_set_error(error, TRANSPORT_ERROR, errno, "can't write %s: %s", collector->file,
		    g_strerror(errno));
	return false;
}

/* EEXIST if the name is taken. */
static int rename_to_free_name(const char *from, const char *to)
{
	int error;

	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	/* a file system that knows only rename, which would overwrite (NFS) */
	if (link(from, to))
		return -1;
	if (unlink(from) == 0)
		return 0;
	/* one file under two names would be read twice */
	error = errno;
	unlink(to);
	errno = error;
	return -1;
}

/* Sets an old file aside under the time of its last change; a name that is taken gets a number. */
static bool set_aside(const char *path, const struct stat *old, GError **error)
{
	char stamp[32];
	struct tm utc;

	gmtime_r(&old->st_mtime, &utc);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &utc);
	for (int i = 0; i < 10000; i++) {
		g_autofree char *aside = i ? g_strdup_printf("%s.%s-%d", path, stamp, i)
					   : g_strdup_printf("%s.%s", path, stamp);

		if (rename_to_free_name(path, aside) == 0)
			return true;
		if (errno != EEXIST)
			break;
	}
	g_set_error(error, TRANSPORT_ERROR, errno, "can't set the old %s aside: %s", path,
		    g_strerror(errno));
	return false;
}

static struct transport *file_new(const struct settings_collector *collector, int fd, bool regular)
{
	struct file *file = g_new0(struct file, 1);

	file->transport.ops = &transport_file;
	file->transport.fd = fd;
	file->transport.max_message_size = UINT16_MAX;
	file->settings = collector;
	file->regular = regular;
	file->rotate_size = regular ? collector->rotate_size : 0;
	if (regular && collector->rotate_interval_ns)
		file->rotate_ns = transport_now_ns() + collector->rotate_interval_ns;
	file->transport.wake_ns = file->rotate_ns;
	return &file->transport;
}

static bool make_way(const char *path, GError **error)
{
	struct stat old;

	if (stat(path, &old) == 0)
		return !S_ISREG(old.st_mode) || old.st_size == 0 || set_aside(path, &old, error);
	if (errno == ENOENT)
		return true;
	/* a second session behind what may be there would not be read */
	g_set_error(error, TRANSPORT_ERROR, errno, "can't look at %s: %s", path, g_strerror(errno));
	return false;
}

static struct transport *file_open(const struct settings_collector *collector,
				   const struct sockaddr *address, socklen_t length, GError **error)
{
	const char *path = collector->file;
	struct stat status;
	int fd;

	if (!make_way(path, error))
		return NULL;
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, MODE);
	if (fd < 0 || fstat(fd, &status)) {
		g_set_error(error, TRANSPORT_ERROR, errno, "can't write %s: %s", path,
			    g_strerror(errno));
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	return file_new(collector, fd, S_ISREG(status.st_mode));
}

/* Deleted, or moved by a log rotation, which may have made an empty one. What another writes at
 * this place is left alone as long as ours has a name: two would set each other aside for ever. */
static bool is_gone(const struct file *file)
{
	struct stat own, there;

	if (!file->regular || fstat(file->transport.fd, &own))
		return false;
	if (stat(file->settings->file, &there))
		return errno == ENOENT;
	if (there.st_ino == own.st_ino && there.st_dev == own.st_dev)
		return false;
	return own.st_nlink == 0 || there.st_size == 0;
}

static enum transport_state file_step(struct transport *transport, GError **error)
{
	struct file *file = (struct file *)transport;

	transport->wake_ns = file->rotate_ns;
	transport->want = 0;
	if (file->rotate_ns && file->size && transport_now_ns() >= file->rotate_ns)
		transport->expired = true;
	return TRANSPORT_UP;
}

/* How many messages end within `size` octets; what is over goes to *rest. */
static int count_whole(const struct transport_message *messages, int n_messages, uint64_t size,
		       uint64_t *rest)
{
	int n = 0;

	while (n < n_messages && size >= transport_message_size(&messages[n]))
		size -= transport_message_size(&messages[n++]);
	*rest = size;
	return n;
}

static int blocked(struct file *file, int error)
{
	if (error == EAGAIN) {
		file->transport.want = POLLOUT;
		return 0;
	}
	if (error != ENOSPC && error != EDQUOT && error != EFBIG && error != EINTR)
		return -error;
	file->transport.blocked = error == EINTR ? 0 : error;
	file->transport.wake_ns = transport_now_ns() + (error == EINTR ? 0 : RETRY_NS);
	return 0;
}

/* Whole messages count, a rest goes: from a file it is cut off, to a pipe it must be finished. */
static int account(struct file *file, const struct transport_message *messages, int n_messages,
		   uint64_t written)
{
	uint64_t rest;
	int n = count_whole(messages, n_messages, file->torn + written, &rest);

	if (!file->regular) {
		file->torn = rest;
		file->transport.n_held = rest > 0;
		return n;
	}
	file->size += written - rest;
	if (rest > 0 && ftruncate(file->transport.fd, file->size))
		return -errno;
	if (file->size - file->synced >= START_SYNC) {
		sync_file_range(file->transport.fd, file->synced, 0, SYNC_FILE_RANGE_WRITE);
		file->synced = file->size;
	}
	for (int i = 0; i < n; i++)
		file->has_data |= messages[i].data;
	if (file->rotate_size && file->has_data && file->size >= file->rotate_size)
		file->transport.expired = true;
	return n;
}

/* Skips what a pipe took already. */
static void skip(struct iovec *part, uint64_t size)
{
	for (; size > 0; part++) {
		size_t n = MIN(size, part->iov_len);

		part->iov_base = (uint8_t *)part->iov_base + n;
		part->iov_len -= n;
		size -= n;
	}
}

static int file_send(struct transport *transport, struct transport_message *messages,
		     int n_messages)
{
	struct file *file = (struct file *)transport;
	struct iovec part[2 * TRANSPORT_BATCH];
	uint64_t total = 0;
	ssize_t written;
	int i, n;

	transport->want = 0;
	transport->blocked = 0;
	transport->wake_ns = file->rotate_ns;
	if (is_gone(file)) {
		log_info("%s was deleted or moved; a new one begins", file->settings->file);
		transport->expired = true;
		return 0;
	}
	for (n = 0; n < MIN(n_messages, TRANSPORT_BATCH); n++) {
		if (file->rotate_size && n && file->size + total >= file->rotate_size)
			break;
		total += transport_message_size(&messages[n]);
	}
	for (i = 0; i < n; i++)
		memcpy(&part[2 * i], messages[i].part, sizeof(messages[i].part));
	skip(part, file->torn);
	written = writev(transport->fd, part, 2 * n);
	if (written < 0)
		return blocked(file, errno);
	i = account(file, messages, n, written);
	/* a short write to a file is a full disk: the next one says so */
	return i == 0 && file->regular ? blocked(file, ENOSPC) : i;
}

static void file_close(struct transport *transport)
{
	struct file *file = (struct file *)transport;

	/* counted as sent long ago: whether the disk has it, only the log can tell */
	if (file->regular && file->size && fdatasync(transport->fd))
		log_warning("%s: not everything may be on the disk: %s", file->settings->file,
			    g_strerror(errno));
	close(transport->fd);
	g_free(file);
}

const struct transport_ops transport_file = {
	.check = file_check,
	.open = file_open,
	.step = file_step,
	.send = file_send,
	.close = file_close,
};

/* SPDX-License-Identifier: MIT */
/* IPFIX files: templates first, rotation, what an earlier run left, what others did to it,
 * a full disk, pipes. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "collector_private.h"
#include "harness.h"
#include "tools.h"
#include "transport.h"

struct place {
	char *folder;
	char *path;
	struct sender sender;
	struct sink sink;
};

static void begin(struct place *place)
{
	memset(place, 0, sizeof(*place));
	place->folder = g_dir_make_tmp("bpflowd-file-XXXXXX", NULL);
	place->path = g_build_filename(place->folder, "flows.ipfix", NULL);
	sender_init(&place->sender, TRANSPORT_FILE, 0);
	place->sender.settings.address = NULL;
	place->sender.settings.file = place->path;
	place->sink.type = SOCK_STREAM;
	place->sink.listener = place->sink.fd = -1;
	place->sink.stream = g_byte_array_new();
	place->sink.seen = g_array_new(false, true, sizeof(uint8_t));
}

static void end(struct place *place)
{
	sender_clear(&place->sender);
	sink_clear(&place->sink);
	tools_remove_folder(place->folder);
	g_free(place->path);
}

static gint by_name(gconstpointer a, gconstpointer b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Reads every file of the folder, each as a session of its own; returns how many there were. */
static unsigned read_files(struct place *place)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
	GDir *dir = g_dir_open(place->folder, 0, NULL);
	const char *name;

	while ((name = g_dir_read_name(dir)))
		g_ptr_array_add(names, g_build_filename(place->folder, name, NULL));
	g_dir_close(dir);
	g_ptr_array_sort(names, by_name);
	for (guint i = 0; i < names->len; i++) {
		g_autofree char *text = NULL;
		gsize size;

		g_assert_true(g_file_get_contents(g_ptr_array_index(names, i), &text, &size, NULL));
		sink_new_session(&place->sink);
		sink_take_stream(&place->sink, (uint8_t *)text, size);
		g_assert_cmpuint(place->sink.stream->len, ==, 0);
	}
	g_assert_cmpuint(place->sink.n_missing, ==, 0);
	return names->len;
}

static void test_written(void)
{
	struct place place;

	begin(&place);
	sender_start(&place.sender);
	for (int i = 0; i < 20; i++) {
		sender_give(&place.sender, 50);
		WORK_UNTIL(&place.sender, NULL, sender_stats(&place.sender)->queued_messages == 0);
	}
	g_assert_cmpuint(read_files(&place), ==, 1);
	g_assert_cmpuint(place.sink.n_templates, ==, 1);
	assert_conserved(&place.sender, &place.sink);
	end(&place);
}

/* What an independent reader says of the same file. */
static void test_read_by_others(void)
{
	g_autofree char *command = NULL, *text = NULL, *found = NULL;
	unsigned n_records = 0;
	struct place place;

	found = g_find_program_in_path("ipfixDump");
	if (!found) {
		g_test_skip("ipfixDump is not installed (package libfixbuf-tools)");
		return;
	}
	begin(&place);
	sender_start(&place.sender);
	sender_give(&place.sender, 20);
	WORK_UNTIL(&place.sender, NULL, sender_stats(&place.sender)->queued_messages == 0);
	command = g_strdup_printf("ipfixDump --in %s", place.path);
	g_assert_true(g_spawn_command_line_sync(command, &text, NULL, NULL, NULL));
	for (char *at = text; (at = strstr(at, "--- data record ")); at++)
		n_records++;
	/* and the options record */
	g_assert_cmpuint(n_records, ==, place.sender.n_records + 1);
	g_assert_null(strstr(text, "rror"));
	end(&place);
}

static void test_rotation_by_size(void)
{
	struct place place;
	unsigned n_files;

	begin(&place);
	place.sender.settings.rotate_size = 100000;
	sender_start(&place.sender);
	sender_give(&place.sender, 1000);
	WORK_UNTIL(&place.sender, NULL, sender_stats(&place.sender)->queued_messages == 0);
	n_files = read_files(&place);
	/* 1,220 octets each */
	g_assert_cmpuint(n_files, >=, 12);
	g_assert_cmpuint(n_files, <=, 13);
	/* each can be read alone */
	g_assert_cmpuint(place.sink.n_templates, ==, n_files);
	assert_conserved(&place.sender, &place.sink);
	end(&place);
}

/* Templates and options are more than a file may have: each has one message of data. */
static void test_rotation_tiny(void)
{
	struct place place;

	begin(&place);
	place.sender.settings.rotate_size = 1;
	sender_start(&place.sender);
	alarm(60); /* for a loop without end */
	sender_give(&place.sender, 5);
	WORK_UNTIL(&place.sender, NULL, sender_stats(&place.sender)->queued_messages == 0);
	alarm(0);
	g_assert_cmpuint(read_files(&place), <=, 6);
	assert_conserved(&place.sender, &place.sink);
	end(&place);
}

static void test_rotation_by_time(void)
{
	struct place place;

	use_moving_clock();
	begin(&place);
	place.sender.settings.rotate_interval_ns = 3600 * NSEC_PER_SEC;
	sender_start(&place.sender);
	for (int i = 0; i < 5; i++) {
		sender_give(&place.sender, 10);
		WORK_UNTIL(&place.sender, NULL, sender_stats(&place.sender)->queued_messages == 0);
		move_clock(&place.sender, 3601 * NSEC_PER_SEC);
		WORK_UNTIL(&place.sender, NULL, sender_stats(&place.sender)->up);
	}
	WORK_UNTIL(&place.sender, NULL, sender_stats(&place.sender)->queued_messages == 0);
	g_assert_cmpuint(read_files(&place), ==, 6);
	assert_conserved(&place.sender, &place.sink);
	end(&place);
	clock_set_source(NULL);
}

static void test_set_aside(void)
{
	struct place place;

	begin(&place);
	for (int i = 0; i < 3; i++) {
		sender_start(&place.sender);
		sender_give(&place.sender, 10);
		WORK_UNTIL(&place.sender, NULL, sender_stats(&place.sender)->queued_messages == 0);
		if (i < 2)
			collector_free(place.sender.collector);
	}
	g_assert_cmpuint(read_files(&place), ==, 3);
	g_assert_cmpuint(place.sink.n_records, ==, 3 * 10 * RECORDS_PER_MESSAGE);
	end(&place);
}

static void give_all(struct place *place)
{
	sender_give(&place->sender, 100); /* more than waits for the main loop */
	WORK_UNTIL(&place->sender, NULL, sender_stats(&place->sender)->queued_messages == 0);
}

/* What comes after is in a new file, which opens with templates. */
static void test_deleted(void)
{
	struct place place;

	begin(&place);
	sender_start(&place.sender);
	give_all(&place);
	g_assert_cmpuint(read_files(&place), ==, 1);
	g_assert_cmpint(unlink(place.path), ==, 0);
	give_all(&place);
	g_assert_cmpuint(read_files(&place), ==, 1);
	assert_conserved(&place.sender, &place.sink);
	g_assert_cmpuint(place.sink.n_templates, ==, 2);
	g_assert_true(sender_stats(&place.sender)->up);
	end(&place);
}

/* As a log rotation does it, with an empty file in its place or with none. */
static void test_moved(void)
{
	struct place place;

	begin(&place);
	sender_start(&place.sender);
	give_all(&place);
	for (int i = 0; i < 2; i++) {
		g_autofree char *aside = g_strdup_printf("%s.%d", place.path, i);

		g_assert_cmpint(rename(place.path, aside), ==, 0);
		if (i)
			g_assert_true(g_file_set_contents(place.path, "", 0, NULL));
		give_all(&place);
	}
	g_assert_cmpuint(read_files(&place), ==, 3);
	g_assert_cmpuint(place.sink.n_templates, ==, 3);
	assert_conserved(&place.sender, &place.sink);
	end(&place);
}

/* Another daemon with the same path: the first goes on in the file that was set aside, so that the
 * two don't take turns. */
static void test_taken_over(void)
{
	struct place place;

	begin(&place);
	sender_start(&place.sender);
	give_all(&place);
	for (int i = 0; i < 3; i++) {
		struct sender other;

		sender_init(&other, TRANSPORT_FILE, 0);
		other.settings.file = place.path;
		other.n_records = place.sender.n_records;
		sender_start(&other);
		WORK_UNTIL(&other, NULL, sender_stats(&other)->sent_templates == 1);
		give_all(&place);
		sender_clear(&other);
	}
	g_assert_cmpuint(read_files(&place), ==, 4);
	assert_conserved(&place.sender, &place.sink);
	end(&place);
}

/* Too small a disk: whole messages only, the queue holds the rest and counts what it cannot; when
 * there is room again it goes on. */
static void test_disk_full(void)
{
	struct place place;

	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) {
		g_test_skip("needs the right to mount");
		return;
	}
	use_moving_clock();
	begin(&place);
	g_assert_cmpint(mount("tmpfs", place.folder, "tmpfs", 0, "size=65536"), ==, 0);
	place.sender.settings.queue_size = 100000;
	sender_start(&place.sender);
	WORK_UNTIL(&place.sender, NULL, sender_stats(&place.sender)->up);
	for (int i = 0; i < 200; i++) {
		sender_give(&place.sender, 1);
		work(&place.sender, NULL);
	}
	g_assert_cmpuint(sender_lost(&place.sender), >, 0);
	g_assert_nonnull(strstr(sender_stats(&place.sender)->last_error, g_strerror(ENOSPC)));
	g_assert_cmpuint(read_files(&place), ==, 1);
	g_assert_cmpuint(place.sink.n_records, ==, sender_stats(&place.sender)->sent_flows);
	g_assert_cmpuint(place.sender.n_records, ==,
			 place.sink.n_records + sender_lost(&place.sender) +
				 sender_stats(&place.sender)->queued_flows);

	move_clock(&place.sender, 6 * NSEC_PER_SEC);
	/* the session is, but it takes nothing */
	WORK_UNTIL(&place.sender, NULL, !sender_stats(&place.sender)->up);
	g_assert_cmpuint(sender_stats(&place.sender)->sessions, ==, 1);
	move_clock(&place.sender, 6 * NSEC_PER_SEC);
	g_assert_false(sender_stats(&place.sender)->up);

	g_assert_cmpint(mount(NULL, place.folder, NULL, MS_REMOUNT, "size=10m"), ==, 0);
	move_clock(&place.sender, 2 * NSEC_PER_SEC);
	WORK_UNTIL(&place.sender, NULL, sender_stats(&place.sender)->queued_messages == 0);
	g_assert_true(sender_stats(&place.sender)->up);
	place.sink.n_records = 0;
	g_array_set_size(place.sink.seen, 0);
	{
		g_autofree char *text = NULL;
		gsize size;

		g_assert_true(g_file_get_contents(place.path, &text, &size, NULL));
		sink_new_session(&place.sink);
		sink_take_stream(&place.sink, (uint8_t *)text, size);
	}
	/* the gap is where the losses were */
	g_assert_cmpuint(place.sink.n_missing, ==, sender_lost(&place.sender));
	assert_conserved(&place.sender, &place.sink);
	sender_clear(&place.sender);
	umount2(place.folder, MNT_DETACH);
	sender_init(&place.sender, TRANSPORT_FILE, 0);
	place.sender.settings.file = place.path;
	sender_start(&place.sender);
	end(&place);
	clock_set_source(NULL);
}

static void test_unwritable(void)
{
	g_autoptr(GError) error = NULL;
	struct place place;

	begin(&place);
	sender_start(&place.sender);
	g_assert_true(transport_check(&place.sender.settings, &error));
	g_assert_no_error(error);
	/* a question leaves nothing behind */
	g_assert_cmpint(access(place.path, F_OK), ==, -1);
	place.sender.settings.file = (char *)"/nonexistent/flows.ipfix";
	g_assert_false(transport_check(&place.sender.settings, &error));
	g_assert_nonnull(strstr(error->message, "can't write /nonexistent/flows.ipfix"));
	place.sender.settings.file = place.path;
	end(&place);
}

/* A reader that never had a writer is not told of an end. */
static bool has_hung_up(int fd)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};

	return poll(&ready, 1, 0) > 0 && ready.revents & POLLHUP;
}

static void read_pipe(struct place *place)
{
	uint8_t data[4096];
	ssize_t size;

	while ((size = read(place->sink.fd, data, sizeof(data))) > 0)
		sink_take_stream(&place->sink, data, size);
}

/* Who waits at a pipe before the daemon starts is still there after the check, and gets it all. */
static void test_pipe(void)
{
	g_autoptr(GError) error = NULL;
	struct place place;

	begin(&place);
	g_assert_cmpint(mkfifo(place.path, 0600), ==, 0);
	/* nobody reads yet */
	g_assert_true(transport_check(&place.sender.settings, &error));
	g_assert_no_error(error);
	place.sink.fd = open(place.path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	g_assert_cmpint(place.sink.fd, >=, 0);
	g_assert_true(transport_check(&place.sender.settings, &error));
	g_assert_no_error(error);
	g_assert_false(has_hung_up(place.sink.fd));
	sender_start(&place.sender);
	sender_give(&place.sender, 200);
	WORK_UNTIL(&place.sender, NULL,
		   (read_pipe(&place), sender_stats(&place.sender)->queued_messages == 0));
	read_pipe(&place);
	assert_conserved(&place.sender, &place.sink);
	end(&place);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/file/written", test_written);
	g_test_add_func("/file/read-by-others", test_read_by_others);
	g_test_add_func("/file/rotation-by-size", test_rotation_by_size);
	g_test_add_func("/file/rotation-tiny", test_rotation_tiny);
	g_test_add_func("/file/rotation-by-time", test_rotation_by_time);
	g_test_add_func("/file/set-aside", test_set_aside);
	g_test_add_func("/file/deleted", test_deleted);
	g_test_add_func("/file/moved", test_moved);
	g_test_add_func("/file/taken-over", test_taken_over);
	g_test_add_func("/file/disk-full", test_disk_full);
	g_test_add_func("/file/unwritable", test_unwritable);
	g_test_add_func("/file/pipe", test_pipe);
	return g_test_run();
}

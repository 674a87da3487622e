/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzz target over its corpus, tests/fuzz/corpus/NAME for the program fuzz_NAME: each file,
 * each beginning of it, and each octet of it inverted. make check does it without libFuzzer.
 */
#include "config.h"

#include <stdint.h>
#include <string.h>

#include <glib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * In memory of its own up to the end, so that a sanitizer sees a read behind it; with an octet
 * before it, since nothing lies somewhere too: libFuzzer never gives NULL.
 */
static void run(const char *data, size_t size)
{
	g_autofree uint8_t *copy = g_malloc(size + 1);

	memcpy(copy + 1, data, size);
	LLVMFuzzerTestOneInput(copy + 1, size);
}

static void test_file(const void *path)
{
	g_autofree char *data = NULL;
	size_t size;

	g_assert_true(g_file_get_contents(path, &data, &size, NULL));
	for (size_t i = 0; i <= size; i++)
		run(data, i);
	for (size_t i = 0; i < size; i++) {
		data[i] = (char)~data[i];
		run(data, size);
		data[i] = (char)~data[i];
	}
}

int main(int argc, char **argv)
{
	g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
	g_autofree char *program = g_path_get_basename(argv[0]);
	const char *source = g_getenv("BPFLOWD_SRC");
	const char *name = strstr(program, "fuzz_");
	g_autofree char *folder = NULL;
	const char *file;
	GDir *dir;

	g_test_init(&argc, &argv, NULL);
	g_assert_nonnull(name);
	folder = g_build_filename(source ? source : ".", "tests/fuzz/corpus",
				  name + strlen("fuzz_"), NULL);
	dir = g_dir_open(folder, 0, NULL);
	g_assert_nonnull(dir);
	while ((file = g_dir_read_name(dir))) {
		g_autofree char *test = g_strconcat("/", name, "/", file, NULL);

		g_ptr_array_add(paths, g_build_filename(folder, file, NULL));
		g_test_add_data_func(test, paths->pdata[paths->len - 1], test_file);
	}
	g_dir_close(dir);
	g_assert_cmpuint(paths->len, >, 0);
	return g_test_run();
}

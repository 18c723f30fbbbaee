/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_vm

/* Manifests, and that a truncated or altered template file is noticed. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/vm/template_files.h"
#include "agent/vm/template_manifest.h"
#include "mayfly/fs.h"

#define RAM_BYTES (4U << 20)

static char folder[64];

static int set_up(void **state _unused_)
{
	(void)snprintf(folder, sizeof(folder), "/tmp/mayfly-test-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state _unused_)
{
	return fs_remove_tree(folder);
}

static char *path_of(const char *name)
{
	char *path;

	assert_true(asprintf(&path, "%s/%s", folder, name) > 0);
	return path;
}

/* `sparse`: the zeros are holes, else they are written. */
static void write_ram(const char *path, bool sparse)
{
	_cleanup_free_ uint8_t *zeros = calloc(1, RAM_BYTES);
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	if (sparse)
		assert_int_equal(ftruncate(fd, RAM_BYTES), 0);
	else
		assert_int_equal(fs_write_all(fd, zeros, RAM_BYTES), 0);
	assert_int_equal(pwrite(fd, "kernel", 6, 4096 * 3), 6);
	assert_int_equal(pwrite(fd, "runtime", 7, 4096 * 700 + 12), 7);
}

static void fill_files(struct template_files *files)
{
	struct error error = ERROR_INIT;

	*files = (struct template_files){ 0 };
	files->ram.path = path_of("ram");
	files->state.path = path_of("state");
	write_ram(files->ram.path, true);
	assert_int_equal(fs_write_file_atomic(files->state.path, slice_from_string("state"), 0600),
			 0);
	assert_int_equal(template_files_seal(files, &error), 0);
}

static void digest_ignores_holes(void **state _unused_)
{
	_cleanup_free_ char *a = path_of("a");
	_cleanup_free_ char *b = path_of("b");
	char digest_a[DIGEST_HEX_BYTES];
	char digest_b[DIGEST_HEX_BYTES];
	struct stat before;
	struct stat after;
	uint64_t size;

	write_ram(a, true);
	write_ram(b, false);
	assert_int_equal(ram_digest(a, false, digest_a, &size), 0);
	assert_int_equal(size, RAM_BYTES);
	assert_int_equal(stat(b, &before), 0);
	assert_int_equal(ram_digest(b, true, digest_b, &size), 0);
	assert_int_equal(stat(b, &after), 0);
	assert_string_equal(digest_a, digest_b);
	assert_true(after.st_blocks < before.st_blocks);
	assert_int_equal(ram_digest(b, false, digest_b, &size), 0);
	assert_string_equal(digest_a, digest_b);
}

static void untouched_files_are_good(void **state _unused_)
{
	_cleanup_free_ char *link_path = NULL;
	struct template_files files;

	fill_files(&files);
	assert_int_equal(template_files_check_stamps(&files, NULL), 0);
	/* A clone comes and goes. */
	assert_true(asprintf(&link_path, "%s.link", files.ram.path) > 0);
	assert_int_equal(link(files.ram.path, link_path), 0);
	assert_int_equal(template_files_check_stamps(&files, NULL), 0);
	assert_int_equal(unlink(link_path), 0);
	assert_int_equal(template_files_check_stamps(&files, NULL), 0);
	files.ram.stamped = files.state.stamped = false;
	assert_int_equal(template_files_verify(&files, NULL), 0);
	assert_true(files.ram.stamped && files.state.stamped);
	template_files_clear(&files);
}

static void alterations_are_noticed(void **state _unused_)
{
	struct template_files files;
	int fd;

	/* One byte. */
	fill_files(&files);
	fd = open(files.ram.path, O_WRONLY);
	assert_int_equal(pwrite(fd, "x", 1, 4096 * 700 + 13), 1);
	(void)close(fd);
	assert_int_equal(template_files_check_stamps(&files, NULL), -ESTALE);
	assert_int_equal(template_files_verify(&files, NULL), -ESTALE);
	template_files_clear(&files);

	/* A page that was zero. */
	fill_files(&files);
	fd = open(files.ram.path, O_WRONLY);
	assert_int_equal(pwrite(fd, "x", 1, 4096 * 100), 1);
	(void)close(fd);
	assert_int_equal(template_files_verify(&files, NULL), -ESTALE);
	template_files_clear(&files);

	/* Truncated. */
	fill_files(&files);
	assert_int_equal(truncate(files.ram.path, RAM_BYTES - 4096), 0);
	assert_int_equal(template_files_check_stamps(&files, NULL), -ESTALE);
	assert_int_equal(template_files_verify(&files, NULL), -ESTALE);
	template_files_clear(&files);

	/* Missing. */
	fill_files(&files);
	assert_int_equal(unlink(files.state.path), 0);
	assert_int_equal(template_files_check_stamps(&files, NULL), -ESTALE);
	template_files_clear(&files);
}

static void example(struct template_manifest *m)
{
	*m = (struct template_manifest){
		.id = "base-python3.13-128",
		.kind = TEMPLATE_BASE,
		.runtime = "python3.13",
		.memory_mb = 128,
		.accelerator = "tcg",
		.cpu_model = "max",
		.qemu_version = "7.2.22",
		.libvirt_version = "9.0.0",
		.device_layout = 1,
		.vcpus = 1,
		.ram_bytes = 224U << 20,
		.tsc_khz = 2600000,
		.created_us = 1700000000000000,
	};
	memset(m->kernel_digest, 'a', DIGEST_HEX_BYTES - 1);
	memset(m->initramfs_digest, 'b', DIGEST_HEX_BYTES - 1);
	memset(m->runtime_digest, 'c', DIGEST_HEX_BYTES - 1);
	memset(m->ram_digest, 'd', DIGEST_HEX_BYTES - 1);
	memset(m->state_digest, 'e', DIGEST_HEX_BYTES - 1);
}

static void manifest_round_trip(void **state _unused_)
{
	struct template_manifest a;
	struct template_manifest b;
	_cleanup_free_ char *text = NULL;

	example(&a);
	assert_int_equal(template_manifest_format(&a, &text), 0);
	assert_int_equal(template_manifest_parse(slice_from_string(text), &b, NULL), 0);
	assert_memory_equal(&a, &b, sizeof(a));
	assert_int_equal(template_manifest_match(&a, &b, NULL), 0);
}

static void damaged_manifests_are_refused(void **state _unused_)
{
	static const char *const changes[][2] = {
		{ "\"format\": 1", "\"format\": 2" },
		{ "\"memory_mb\": 128", "\"memory_mb\": -1" },
		{ "\"memory_mb\": 128", "\"memory_mb\": \"128\"" },
		{ "\"ram_digest\": \"dd", "\"ram_digest\": \"DD" },
		{ "\"ram_digest\": \"dd", "\"ram_digest\": \"d" },
		{ "\"accelerator\": \"tcg\"", "\"accelerator\": \"far too long a name\"" },
		{ "\"vcpus\"", "\"VCPUS\"" },
	};
	struct template_manifest m;
	_cleanup_free_ char *text = NULL;

	example(&m);
	assert_int_equal(template_manifest_format(&m, &text), 0);
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		_cleanup_error_ struct error error = ERROR_INIT;
		_cleanup_free_ char *changed = NULL;
		const char *at = strstr(text, changes[i][0]);

		assert_non_null(at);
		assert_true(asprintf(&changed, "%.*s%s%s", (int)(at - text), text, changes[i][1],
				     at + strlen(changes[i][0])) > 0);
		assert_int_equal(template_manifest_parse(slice_from_string(changed), &m, &error),
				 -EBADMSG);
		assert_non_null(error.message);
	}
	/* Every cut of it. */
	for (size_t len = 0; len + 1 < strlen(text); len += 7)
		assert_int_equal(template_manifest_parse(slice_new(text, len), &m, NULL), -EBADMSG);
}

static void other_nodes_do_not_match(void **state _unused_)
{
	struct template_manifest made;
	struct template_manifest now;

	example(&made);
#define DIFFERS(change)                                                                            \
	do {                                                                                       \
		example(&now);                                                                     \
		change;                                                                            \
		assert_int_equal(template_manifest_match(&made, &now, NULL), -ESTALE);             \
	} while (0)
	DIFFERS(now.kernel_digest[0] = '0');
	DIFFERS(now.initramfs_digest[0] = '0');
	DIFFERS(now.runtime_digest[0] = '0');
	DIFFERS(now.qemu_version[0] = '8');
	DIFFERS(now.libvirt_version[0] = '8');
	DIFFERS(now.accelerator[0] = 'k');
	DIFFERS(now.cpu_model[0] = 'M');
	DIFFERS(now.device_layout++);
	DIFFERS(now.ram_bytes++);
	DIFFERS(now.memory_mb++);
	DIFFERS(now.vcpus++);
	DIFFERS(now.tsc_khz += 20000);
	DIFFERS(now.package_digest[0] = 'a');
	DIFFERS(now.initialize_digest[0] = 'a');
	DIFFERS(now.kind = TEMPLATE_FUNCTION);
	example(&now);
	now.tsc_khz += 10; /* measured: never quite the same */
	now.created_us = 0;
	assert_int_equal(template_manifest_match(&made, &now, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(digest_ignores_holes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(untouched_files_are_good, set_up, tear_down),
		cmocka_unit_test_setup_teardown(alterations_are_noticed, set_up, tear_down),
		cmocka_unit_test(manifest_round_trip),
		cmocka_unit_test(damaged_manifests_are_refused),
		cmocka_unit_test(other_nodes_do_not_match),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

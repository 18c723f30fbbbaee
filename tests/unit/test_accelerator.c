/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_vm

/* What is made of the ways in which a probe of KVM ends; QEMU is a script here. */

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/vm/accelerator.h"
#include "mayfly/fs.h"

static char folder[64];
static char device[128], emulator[128], cache[128];

static struct accelerator_probe probe = {
	.device = device,
	.emulator = emulator,
	.kernel = "/nowhere/vmlinux",
	.work_dir = folder,
	.cache_path = cache,
	.qemu_version = "7.2.22",
	.tsc_khz = 2600000,
	.limit_ms = 60000,
};

static int set_up(void **state _unused_)
{
	(void)snprintf(folder, sizeof(folder), "/var/tmp/mayfly-kvm-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	(void)snprintf(device, sizeof(device), "%s/kvm", folder);
	(void)snprintf(emulator, sizeof(emulator), "%s/qemu", folder);
	(void)snprintf(cache, sizeof(cache), "%s/accelerator.json", folder);
	return fs_write_file_atomic(device, slice_from_string(""), 0600);
}

static int tear_down(void **state _unused_)
{
	return fs_remove_tree(folder);
}

/* Each run of it adds a line to a file. */
static void write_emulator(const char *end)
{
	char text[512];

	(void)snprintf(text, sizeof(text), "#!/bin/sh\necho >>%s/runs\n%s\n", folder, end);
	assert_int_equal(fs_write_file_atomic(emulator, slice_from_string(text), 0700), 0);
}

static unsigned runs(void)
{
	char path[128];
	struct stat status;

	(void)snprintf(path, sizeof(path), "%s/runs", folder);
	return stat(path, &status) == 0 ? (unsigned)status.st_size : 0;
}

static enum accelerator decide(char *ret_reason)
{
	struct accelerator_verdict verdict;

	assert_int_equal(accelerator_decide(&probe, ACCELERATOR_AUTO, true, &verdict, NULL), 0);
	if (ret_reason)
		memcpy(ret_reason, verdict.reason, sizeof(verdict.reason));
	return verdict.accelerator;
}

static void what_works_is_remembered(void **state _unused_)
{
	write_emulator("exit 43");
	assert_int_equal(decide(NULL), ACCELERATOR_KVM);
	assert_int_equal(decide(NULL), ACCELERATOR_KVM);
	assert_int_equal(runs(), 1);
	/* Gone, whatever is remembered. */
	assert_int_equal(unlink(device), 0);
	assert_int_equal(decide(NULL), ACCELERATOR_TCG);
	assert_int_equal(runs(), 1);
}

static void a_crash_is_remembered(void **state _unused_)
{
	char reason[256];

	write_emulator("kill -ABRT $$");
	assert_int_equal(decide(reason), ACCELERATOR_TCG);
	assert_non_null(strstr(reason, "signal 6"));
	assert_int_equal(decide(reason), ACCELERATOR_TCG);
	assert_non_null(strstr(reason, "signal 6"));
	assert_int_equal(runs(), 1);
}

/* A busy host, a module that is loaded later, a killer of processes: asked again at each start. */
static void what_may_pass_is_not_remembered(void **state _unused_)
{
	static const char *const ends[] = { "exec sleep 60", "exit 1", "kill -KILL $$",
					    "kill -TERM $$" };

	for (unsigned i = 0; i < ARRAY_SIZE(ends); i++) {
		write_emulator(ends[i]);
		probe.limit_ms = i == 0 ? 200 : 60000;
		assert_int_equal(decide(NULL), ACCELERATOR_TCG);
		assert_int_equal(runs(), i + 1);
		assert_false(fs_exists(cache));
	}
	assert_int_equal(unlink(device), 0);
	assert_int_equal(decide(NULL), ACCELERATOR_TCG);
	assert_int_equal(fs_write_file_atomic(device, slice_from_string(""), 0600), 0);
	write_emulator("exit 43");
	assert_int_equal(decide(NULL), ACCELERATOR_KVM);
}

static void kvm_that_is_wanted_is_there_or_refused(void **state _unused_)
{
	struct accelerator_verdict verdict = { .reason = "untouched" };
	_cleanup_error_ struct error error = ERROR_INIT;

	write_emulator("kill -ABRT $$");
	assert_true(accelerator_decide(&probe, ACCELERATOR_KVM, true, &verdict, &error) < 0);
	assert_non_null(strstr(error_text(&error), "vm.accelerator is kvm"));
	assert_non_null(strstr(error_text(&error), "signal 6"));
	assert_string_equal(verdict.reason, "untouched");

	assert_int_equal(unlink(cache), 0);
	write_emulator("exit 43");
	error_clear(&error);
	assert_true(accelerator_decide(&probe, ACCELERATOR_KVM, false, &verdict, &error) < 0);
	assert_non_null(strstr(error_text(&error), "user"));
	assert_int_equal(accelerator_decide(&probe, ACCELERATOR_KVM, true, &verdict, NULL), 0);
	assert_int_equal(verdict.accelerator, ACCELERATOR_KVM);
}

static void others_take_tcg(void **state _unused_)
{
	struct accelerator_verdict verdict;

	write_emulator("exit 43");
	assert_int_equal(accelerator_decide(&probe, ACCELERATOR_TCG, true, &verdict, NULL), 0);
	assert_int_equal(verdict.accelerator, ACCELERATOR_TCG);
	assert_int_equal(runs(), 0);
	assert_int_equal(accelerator_decide(&probe, ACCELERATOR_AUTO, false, &verdict, NULL), 0);
	assert_int_equal(verdict.accelerator, ACCELERATOR_TCG);
	assert_non_null(strstr(verdict.reason, "user"));
	/* That KVM works is remembered, not that a user lacks a right. */
	assert_int_equal(decide(NULL), ACCELERATOR_KVM);
	assert_int_equal(runs(), 1);
}

/* What earlier versions kept, they kept too long. */
static void an_odd_cache_counts_as_none(void **state _unused_)
{
	static const char *const texts[] = { "", "{", "{\"format\": 1, \"accelerator\": \"tcg\"}" };

	for (unsigned i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_int_equal(fs_write_file_atomic(cache, slice_from_string(texts[i]), 0600), 0);
		write_emulator("exit 43");
		assert_int_equal(decide(NULL), ACCELERATOR_KVM);
		assert_int_equal(runs(), i + 1);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_works_is_remembered),
		TEST(a_crash_is_remembered),
		TEST(what_may_pass_is_not_remembered),
		TEST(kvm_that_is_wanted_is_there_or_refused),
		TEST(others_take_tcg),
		TEST(an_odd_cache_counts_as_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

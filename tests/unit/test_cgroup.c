/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_vm

/* Cgroups of each version, on a folder that looks like cgroupfs: what is written where. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/vm/cgroup.h"
#include "mayfly/fs.h"

static char root[64];

static int set_up(void **state _unused_)
{
	(void)snprintf(root, sizeof(root), "/tmp/mayfly-test-XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int tear_down(void **state _unused_)
{
	return fs_remove_tree(root);
}

static void put(const char *name, const char *text)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_free_ char *folder = NULL;

	assert_true(asprintf(&path, "%s/%s", root, name) > 0);
	folder = strdup(path);
	*strrchr(folder, '/') = '\0';
	assert_int_equal(fs_make_directories(folder, 0755), 0);
	assert_int_equal(fs_write_file_atomic(path, slice_from_string(text), 0644), 0);
}

static void check(const char *name, const char *text)
{
	_cleanup_buf_ struct buf content = BUF_INIT;
	_cleanup_free_ char *path = NULL;

	assert_true(asprintf(&path, "%s/%s", root, name) > 0);
	assert_int_equal(fs_read_file(path, 4096, &content), 0);
	assert_string_equal(buf_string(&content), text);
}

static int unlink_at(const char *name)
{
	_cleanup_free_ char *path = NULL;

	assert_true(asprintf(&path, "%s/%s", root, name) > 0);
	return unlink(path);
}

static void open_with(const char *self, struct cgroups *cgroups)
{
	_cleanup_free_ char *path = NULL;

	put("self", self);
	assert_true(asprintf(&path, "%s/self", root) > 0);
	cgroups_open(root, path, "mayfly-vm", cgroups);
}

static void own_path_is_found(void **state _unused_)
{
	static const char text[] = "12:cpu,cpuacct:/a\n4:memory:/b/c\n0::/d\n";
	char path[16];

	assert_int_equal(cgroup_parse_self(text, "cpu", path, sizeof(path)), 0);
	assert_string_equal(path, "/a");
	assert_int_equal(cgroup_parse_self(text, "memory", path, sizeof(path)), 0);
	assert_string_equal(path, "/b/c");
	assert_int_equal(cgroup_parse_self(text, "", path, sizeof(path)), 0);
	assert_string_equal(path, "/d");
	assert_int_equal(cgroup_parse_self(text, "pids", path, sizeof(path)), -ENOENT);
	assert_int_equal(cgroup_parse_self("nonsense\n::\n", "cpu", path, sizeof(path)), -ENOENT);
	assert_int_equal(cgroup_parse_self(text, "memory", path, 3), -ENAMETOOLONG);
}

static void none_is_said(void **state _unused_)
{
	const struct cgroup_limits limits = { .memory_bytes = 1 };
	struct cgroups cgroups;
	uint64_t cpu_us;

	open_with("", &cgroups);
	assert_int_equal(cgroups.mode, CGROUP_NONE);
	assert_non_null(cgroups.warning);
	assert_int_equal(cgroup_create(&cgroups, "vm", 1, &limits), 0);
	assert_int_equal(cgroup_remove(&cgroups, NULL, "vm"), 0);
	assert_int_equal(cgroup_remove(&cgroups, "7", "vm"), 0);
	assert_int_equal(cgroup_set_weight(&cgroups, "7", 1), 0);
	assert_int_equal(cgroup_read_cpu(&cgroups, "7", "vm", &cpu_us), -ENOENT);
	cgroups_close(&cgroups);
}

static void version_2_writes_limits(void **state _unused_)
{
	const struct cgroup_limits limits = { .memory_bytes = 123456, .cpu_quota_us = 7235 };
	struct cgroups cgroups;

	put("cgroup.controllers", "cpu memory\n");
	put("service/cgroup.subtree_control", "");
	put("service/cgroup.procs", "");
	put("service/mayfly-vm/cgroup.subtree_control", "");
	put("service/mayfly-vm/vm/cgroup.procs", "");
	put("service/mayfly-vm/vm/memory.max", "");
	put("service/mayfly-vm/vm/cpu.max", "");
	open_with("0::/service/mayfly-agent\n", &cgroups);
	assert_int_equal(cgroups.mode, CGROUP_V2);
	assert_null(cgroups.warning);
	check("service/cgroup.subtree_control", "+memory +cpu");
	assert_int_equal(cgroup_create(&cgroups, "vm", 42, &limits), 0);
	check("service/mayfly-vm/vm/memory.max", "123456");
	check("service/mayfly-vm/vm/cpu.max", "7235 100000");
	check("service/mayfly-vm/vm/cgroup.procs", "42");
	cgroups_close(&cgroups);
}

static void version_2_without_delegation_is_said(void **state _unused_)
{
	const struct cgroup_limits limits = { .memory_bytes = 1 };
	struct cgroups cgroups;

	put("cgroup.controllers", "cpu memory\n");
	open_with("0::/nowhere\n", &cgroups);
	assert_int_equal(cgroups.mode, CGROUP_V2);
	assert_non_null(cgroups.warning);
	assert_int_equal(cgroup_create(&cgroups, "vm", 42, &limits), 0);
	cgroups_close(&cgroups);
}

static void version_1_writes_limits(void **state _unused_)
{
	const struct cgroup_limits limits = { .memory_bytes = 123456, .cpu_quota_us = 7235 };
	struct cgroups cgroups;

	put("memory/agent/mayfly-vm/vm/cgroup.procs", "");
	put("memory/agent/mayfly-vm/vm/memory.limit_in_bytes", "");
	put("cpu/mayfly-vm/vm/cgroup.procs", "");
	put("cpu/mayfly-vm/vm/cpu.cfs_quota_us", "");
	put("cpu/mayfly-vm/vm/cpu.cfs_period_us", "");
	put("cpuacct/mayfly-vm/vm/cgroup.procs", "");
	open_with("4:memory:/agent\n3:cpuacct:/\n2:cpu:/\n0::/\n", &cgroups);
	assert_int_equal(cgroups.mode, CGROUP_V1);
	assert_null(cgroups.warning);
	assert_int_equal(cgroup_create(&cgroups, "vm", 42, &limits), 0);
	check("memory/agent/mayfly-vm/vm/memory.limit_in_bytes", "123456");
	check("memory/agent/mayfly-vm/vm/cgroup.procs", "42");
	check("cpu/mayfly-vm/vm/cpu.cfs_quota_us", "7235");
	check("cpu/mayfly-vm/vm/cpu.cfs_period_us", "100000");
	check("cpu/mayfly-vm/vm/cgroup.procs", "42");
	check("cpuacct/mayfly-vm/vm/cgroup.procs", "42");
	cgroups_close(&cgroups);
}

static void version_1_without_a_controller_is_said(void **state _unused_)
{
	struct cgroups cgroups;

	put("memory/tasks", "");
	open_with("4:memory:/\n", &cgroups);
	assert_int_equal(cgroups.mode, CGROUP_V1);
	assert_non_null(cgroups.parents[0]);
	assert_null(cgroups.parents[1]);
	assert_non_null(strstr(cgroups.warning, "cpu"));
	cgroups_close(&cgroups);
}

static void version_2_owners_have_weights(void **state _unused_)
{
	const struct cgroup_limits limits = {
		.memory_bytes = 123456, .cpu_quota_us = 7235, .group = "210987654321", .weight = 300
	};
	struct cgroups cgroups;

	put("cgroup.controllers", "cpu memory\n");
	put("service/cgroup.subtree_control", "");
	put("service/mayfly-vm/cgroup.subtree_control", "");
	put("service/mayfly-vm/210987654321/cgroup.subtree_control", "");
	put("service/mayfly-vm/210987654321/cpu.weight", "");
	put("service/mayfly-vm/210987654321/vm/cgroup.procs", "");
	put("service/mayfly-vm/210987654321/vm/memory.max", "");
	put("service/mayfly-vm/210987654321/vm/cpu.max", "");
	open_with("0::/service\n", &cgroups);
	assert_null(cgroups.warning);
	assert_int_equal(cgroup_create(&cgroups, "vm", 42, &limits), 0);
	check("service/mayfly-vm/210987654321/cpu.weight", "300");
	check("service/mayfly-vm/210987654321/cgroup.subtree_control", "+memory +cpu");
	check("service/mayfly-vm/210987654321/vm/memory.max", "123456");
	check("service/mayfly-vm/210987654321/vm/cpu.max", "7235 100000");
	check("service/mayfly-vm/210987654321/vm/cgroup.procs", "42");
	put("service/mayfly-vm/210987654321/cpu.weight", "");
	assert_int_equal(cgroup_set_weight(&cgroups, "210987654321", 1000000), 0);
	check("service/mayfly-vm/210987654321/cpu.weight", "10000");
	cgroups_close(&cgroups);
}

static void version_1_owners_have_shares(void **state _unused_)
{
	const struct cgroup_limits limits = { .memory_bytes = 123456,
					      .group = "210987654321",
					      .weight = 50 };
	struct cgroups cgroups;

	put("memory/mayfly-vm/vm/cgroup.procs", "");
	put("memory/mayfly-vm/vm/memory.limit_in_bytes", "");
	put("cpu/mayfly-vm/210987654321/cpu.shares", "");
	put("cpu/mayfly-vm/210987654321/vm/cgroup.procs", "");
	put("cpuacct/mayfly-vm/210987654321/vm/cgroup.procs", "");
	open_with("4:memory:/\n3:cpuacct:/\n2:cpu:/\n", &cgroups);
	assert_null(cgroups.warning);
	assert_int_equal(cgroup_create(&cgroups, "vm", 42, &limits), 0);
	/* Memory is no matter of owners: its limits are each VM's. */
	check("memory/mayfly-vm/vm/memory.limit_in_bytes", "123456");
	check("memory/mayfly-vm/vm/cgroup.procs", "42");
	check("cpu/mayfly-vm/210987654321/cpu.shares", "512");
	check("cpu/mayfly-vm/210987654321/vm/cgroup.procs", "42");
	/* As above, for both may be one hierarchy. */
	check("cpuacct/mayfly-vm/210987654321/vm/cgroup.procs", "42");
	put("cpu/mayfly-vm/210987654321/cpu.shares", "");
	assert_int_equal(cgroup_set_weight(&cgroups, "210987654321", 1), 0);
	check("cpu/mayfly-vm/210987654321/cpu.shares", "10");
	cgroups_close(&cgroups);
}

/* Folders alone, which can be removed as cgroups can. */
static void an_owner_s_group_goes_with_its_last_vm(void **state _unused_)
{
	_cleanup_free_ char *group = NULL, *other = NULL;
	struct cgroups cgroups;

	assert_true(asprintf(&group, "%s/cpu/mayfly-vm/7", root) > 0);
	assert_true(asprintf(&other, "%s/cpu/mayfly-vm/7/b", root) > 0);
	put("memory/tasks", "");
	put("cpu/tasks", "");
	open_with("4:memory:/\n2:cpu:/\n", &cgroups);
	put("cpu/mayfly-vm/7/a/x", "");
	assert_int_equal(fs_make_directories(other, 0755), 0);
	/* One with processes cannot be removed; here, with a file. */
	assert_true(cgroup_remove(&cgroups, "7", "a") < 0);
	assert_int_equal(cgroup_remove(&cgroups, "7", "b"), 0);
	assert_false(fs_exists(other));
	assert_true(fs_exists(group));
	assert_int_equal(unlink_at("cpu/mayfly-vm/7/a/x"), 0);
	assert_int_equal(cgroup_remove(&cgroups, "7", "a"), 0);
	assert_false(fs_exists(group));
	assert_int_equal(cgroup_set_weight(&cgroups, "7", 200), 0);
	assert_false(fs_exists(group));
	cgroups_close(&cgroups);
}

static void leftovers_are_removed(void **state _unused_)
{
	_cleanup_free_ char *left = NULL;
	_cleanup_free_ char *below = NULL;
	struct cgroups cgroups;

	assert_true(asprintf(&left, "%s/memory/mayfly-vm/0123", root) > 0);
	assert_true(asprintf(&below, "%s/4567", left) > 0);
	assert_int_equal(fs_make_directories(below, 0755), 0);
	open_with("4:memory:/\n", &cgroups);
	assert_false(fs_exists(left));
	cgroups_close(&cgroups);
}

static void an_owner_s_cpu_time_is_limited(void **state _unused_)
{
	struct cgroups v2, v1;
	uint64_t cpu_us = 0;

	put("cgroup.controllers", "cpu memory\n");
	put("service/cgroup.subtree_control", "");
	put("service/mayfly-vm/cgroup.subtree_control", "");
	put("service/mayfly-vm/7/cpu.stat", "usage_usec 77\n");
	put("service/mayfly-vm/7/cpu.max", "");
	open_with("0::/service\n", &v2);
	assert_int_equal(cgroup_read_cpu(&v2, "7", NULL, &cpu_us), 0);
	assert_int_equal(cpu_us, 77);
	assert_int_equal(cgroup_limit_cpu(&v2, "7", 1500), 0);
	check("service/mayfly-vm/7/cpu.max", "75000 50000");
	put("service/mayfly-vm/7/cpu.max", "");
	assert_int_equal(cgroup_limit_cpu(&v2, "7", 1), 0);
	check("service/mayfly-vm/7/cpu.max", "1000 50000");
	put("service/mayfly-vm/7/cpu.max", "");
	assert_int_equal(cgroup_limit_cpu(&v2, "7", 0), 0);
	check("service/mayfly-vm/7/cpu.max", "max 50000");
	assert_int_equal(cgroup_limit_cpu(&v2, "8", 5), -ENOENT);
	cgroups_close(&v2);

	assert_int_equal(unlink_at("cgroup.controllers"), 0);
	put("memory/tasks", "");
	put("cpu/mayfly-vm/7/cpu.cfs_quota_us", "");
	put("cpu/mayfly-vm/7/cpu.cfs_period_us", "");
	put("cpuacct/mayfly-vm/7/cpuacct.usage", "88000\n");
	open_with("1:memory:/\n2:cpu:/\n3:cpuacct:/\n", &v1);
	assert_int_equal(cgroup_read_cpu(&v1, "7", NULL, &cpu_us), 0);
	assert_int_equal(cpu_us, 88);
	assert_int_equal(cgroup_limit_cpu(&v1, "7", 1500), 0);
	check("cpu/mayfly-vm/7/cpu.cfs_period_us", "50000");
	check("cpu/mayfly-vm/7/cpu.cfs_quota_us", "75000");
	put("cpu/mayfly-vm/7/cpu.cfs_quota_us", "");
	assert_int_equal(cgroup_limit_cpu(&v1, "7", 0), 0);
	check("cpu/mayfly-vm/7/cpu.cfs_quota_us", "-1");
	cgroups_close(&v1);
}

static void cpu_time_is_read(void **state _unused_)
{
	const struct cgroup_limits limits = { .memory_bytes = 1, .group = "7", .weight = 100 };
	struct cgroups v2, v1;
	uint64_t cpu_us = 0;

	put("cgroup.controllers", "cpu memory\n");
	put("service/cgroup.subtree_control", "");
	put("service/mayfly-vm/cgroup.subtree_control", "");
	put("service/mayfly-vm/7/vm/cpu.stat", "usage_usec 1234567\nuser_usec 9\nsystem_usec 8\n");
	open_with("0::/service\n", &v2);
	assert_int_equal(cgroup_read_cpu(&v2, "7", "vm", &cpu_us), 0);
	assert_int_equal(cpu_us, 1234567);
	assert_int_equal(cgroup_read_cpu(&v2, "7", "other", &cpu_us), -ENOENT);
	assert_int_equal(cgroup_read_cpu(&v2, NULL, "vm", &cpu_us), -ENOENT);
	put("service/mayfly-vm/7/vm/cpu.stat", "user_usec 9\n");
	assert_int_equal(cgroup_read_cpu(&v2, "7", "vm", &cpu_us), -EBADMSG);
	put("service/mayfly-vm/7/vm/cpu.stat", "usage_usec 99999999999999999999999\n");
	assert_int_equal(cgroup_read_cpu(&v2, "7", "vm", &cpu_us), -EBADMSG);
	cgroups_close(&v2);

	assert_int_equal(unlink_at("cgroup.controllers"), 0);
	put("memory/tasks", "");
	put("cpu/tasks", "");
	put("cpuacct/mayfly-vm/7/vm/cgroup.procs", "");
	put("memory/mayfly-vm/vm/cgroup.procs", "");
	put("memory/mayfly-vm/vm/memory.limit_in_bytes", "");
	put("cpu/mayfly-vm/7/cpu.shares", "");
	put("cpu/mayfly-vm/7/vm/cgroup.procs", "");
	open_with("1:memory:/\n2:cpu:/\n3:cpuacct:/\n", &v1);
	assert_int_equal(v1.mode, CGROUP_V1);
	assert_int_equal(cgroup_create(&v1, "vm", 42, &limits), 0);
	assert_int_equal(cgroup_read_cpu(&v1, "7", "vm", &cpu_us), -ENOENT);
	put("cpuacct/mayfly-vm/7/vm/cpuacct.usage", "5000999\n");
	assert_int_equal(cgroup_read_cpu(&v1, "7", "vm", &cpu_us), 0);
	assert_int_equal(cpu_us, 5000);
	put("cpuacct/mayfly-vm/7/vm/cpuacct.usage", "-1\n");
	assert_int_equal(cgroup_read_cpu(&v1, "7", "vm", &cpu_us), -EBADMSG);
	assert_int_equal(cpu_us, 5000);
	cgroups_close(&v1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(own_path_is_found),
		cmocka_unit_test_setup_teardown(none_is_said, set_up, tear_down),
		cmocka_unit_test_setup_teardown(version_2_writes_limits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(version_2_without_delegation_is_said, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(version_1_writes_limits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(version_1_without_a_controller_is_said, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(version_2_owners_have_weights, set_up, tear_down),
		cmocka_unit_test_setup_teardown(version_1_owners_have_shares, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_owner_s_group_goes_with_its_last_vm, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(an_owner_s_cpu_time_is_limited, set_up, tear_down),
		cmocka_unit_test_setup_teardown(cpu_time_is_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(leftovers_are_removed, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

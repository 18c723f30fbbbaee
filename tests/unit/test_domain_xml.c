/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_vm

/* Domain definitions for both accelerators against golden files, because a host has only one of
 * them. Written anew with MAYFLY_WRITE_GOLDEN=1; what changed is then seen in the diff. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/vm/domain_xml.h"
#include "agent/vm/vm_internal.h"
#include "mayfly/fs.h"

static const struct domain_spec clone_spec = {
	.name = "mayfly-89abcdef-0123456789abcdef0123456789abcdef",
	.id = "0123456789abcdef0123456789abcdef",
	.emulator = "/usr/bin/qemu-system-x86_64",
	.accelerator = ACCELERATOR_TCG,
	.tb_size_mb = 32,
	.ram_bytes = 224ULL << 20,
	.vcpus = 1,
	.ram_mode = RAM_PRIVATE,
	.ram_path = "/var/lib/mayfly/templates/base-python3.13-128.01234567/ram",
	.preload = "/var/lib/mayfly/run/ram-readonly.so",
	.kernel = "/images/vmlinux",
	.initramfs = "/images/initramfs.cpio",
	.tsc_khz = 2600000,
	.root_path = "/images/runtimes/python3.13.erofs",
	.code_path = "/var/lib/mayfly/packages/a.erofs",
	.scratch_path = "/var/lib/mayfly/run/vm/0/scratch.qcow2",
	.channel_path = "/var/lib/mayfly/run/vm/0/channel",
	.monitor_path = "/var/lib/mayfly/run/vm/0/monitor",
	.uid = 1900000042,
	.gid = 1900000042,
	.confine = true,
	.incoming = true,
};

static void check_golden(const struct domain_spec *spec, const char *name)
{
	_cleanup_buf_ struct buf golden = BUF_INIT;
	_cleanup_free_ char *xml = NULL;
	char path[512];

	assert_int_equal(domain_xml_build(spec, &xml, NULL), 0);
	(void)snprintf(path, sizeof(path), "%.*s/golden/%s.xml",
		       (int)(strrchr(__FILE__, '/') - __FILE__), __FILE__, name);
	if (getenv("MAYFLY_WRITE_GOLDEN"))
		assert_int_equal(fs_write_file_atomic(path, slice_from_string(xml), 0644), 0);
	assert_int_equal(fs_read_file(path, 1U << 20, &golden), 0);
	assert_string_equal(xml, buf_string(&golden));
}

static void golden_tcg_clone(void **state _unused_)
{
	check_golden(&clone_spec, "domain-tcg-clone");
}

static void golden_kvm_clone(void **state _unused_)
{
	struct domain_spec spec = clone_spec;

	spec.accelerator = ACCELERATOR_KVM;
	spec.ram_readonly_option = true;
	spec.gid = 104;
	spec.preload = NULL;
	spec.ram_bytes = (3008ULL + 128) << 20;
	spec.vcpus = vm_vcpus(spec.accelerator, 3008);
	check_golden(&spec, "domain-kvm-clone");
}

static void golden_template(void **state _unused_)
{
	struct domain_spec spec = clone_spec;

	spec.ram_mode = RAM_SHARED;
	spec.incoming = false;
	check_golden(&spec, "domain-tcg-template");
}

static void golden_boot(void **state _unused_)
{
	struct domain_spec spec = clone_spec;

	spec.ram_mode = RAM_ANONYMOUS;
	spec.ram_path = NULL;
	spec.uid = 0;
	spec.confine = false;
	spec.incoming = false;
	spec.accelerator = ACCELERATOR_KVM;
	check_golden(&spec, "domain-kvm-boot");
}

static void vcpus_follow_memory(void **state _unused_)
{
	static const struct {
		unsigned memory_mb;
		unsigned vcpus;
	} cases[] = {
		{ 128, 1 },  { 1769, 1 }, { 1770, 2 }, { 3008, 2 },
		{ 3538, 2 }, { 3539, 3 }, { 8846, 6 }, { 10240, 6 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(vm_vcpus(ACCELERATOR_KVM, cases[i].memory_mb), cases[i].vcpus);
		assert_int_equal(vm_vcpus(ACCELERATOR_TCG, cases[i].memory_mb), 1);
	}
	assert_int_equal(vm_vcpus(ACCELERATOR_KVM, 1U << 20), 6);
}

static void values_cannot_break_out(void **state _unused_)
{
	static const char *const bad[] = {
		"relative", "/a,b", "/a\nb", "/a/../b", "/a\"b", "/a\x7f",
	};
	struct domain_spec spec = clone_spec;
	char *xml = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		spec = clone_spec;
		spec.code_path = bad[i];
		assert_true(domain_xml_build(&spec, &xml, NULL) < 0);
		spec = clone_spec;
		spec.ram_path = bad[i];
		assert_true(domain_xml_build(&spec, &xml, NULL) < 0);
		spec = clone_spec;
		spec.preload = bad[i];
		assert_true(domain_xml_build(&spec, &xml, NULL) < 0);
	}
	/* Without its library this QEMU would open the template for writing. */
	spec = clone_spec;
	spec.preload = NULL;
	assert_true(domain_xml_build(&spec, &xml, NULL) < 0);
	assert_null(xml);
}

static void markup_is_escaped(void **state _unused_)
{
	struct domain_spec spec = clone_spec;
	_cleanup_free_ char *xml = NULL;

	spec.code_path = "/a'/><evil>&";
	assert_int_equal(domain_xml_build(&spec, &xml, NULL), 0);
	assert_null(strstr(xml, "<evil>"));
	assert_non_null(strstr(xml, "&lt;evil&gt;&amp;"));
}

static void ids_are_checked(void **state _unused_)
{
	static const char *const bad[] = { "", "0123", "0123456789ABCDEF0123456789abcdef",
					   "0123456789abcdef0123456789abcdef0" };
	struct domain_spec spec = clone_spec;
	char *xml = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		spec.id = bad[i];
		assert_true(domain_xml_build(&spec, &xml, NULL) < 0);
	}
}

static void clock_is_measured(void **state _unused_)
{
	uint64_t first = tsc_measure_khz();
	uint64_t second = tsc_measure_khz();

	assert_true(first > 100000 && first < 20000000);
	assert_true(second > first - first / 100 && second < first + first / 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_tcg_clone),    cmocka_unit_test(golden_kvm_clone),
		cmocka_unit_test(golden_template),     cmocka_unit_test(golden_boot),
		cmocka_unit_test(vcpus_follow_memory), cmocka_unit_test(values_cannot_break_out),
		cmocka_unit_test(markup_is_escaped),   cmocka_unit_test(ids_are_checked),
		cmocka_unit_test(clock_is_measured),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */

#include "agent/self_test.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "agent/host_setup.h"
#include "agent/image/package.h"
#include "agent/image/runtime_catalogue.h"
#include "agent/self_test_guest.h"
#include "mayfly/clock.h"
#include "mayfly/fs.h"
#include "mayfly/log.h"

#define CLONES             2
#define MEMORY_MB          128
#define RUNTIME            "python3.13"
#define TEMPLATE_LIMIT_US  (300 * USEC_PER_SEC)
#define CLOCK_TOLERANCE_US (2 * USEC_PER_SEC)
#define EVENT              "{\"six\": 6, \"seven\": 7}"

/* The handler's ZIP, made at build time (CMakeLists.txt). */
extern const uint8_t self_test_zip[];
extern const uint8_t self_test_zip_end[];
__asm__(".section .rodata\n"
	".global self_test_zip, self_test_zip_end\n"
	"self_test_zip: .incbin \"" MAYFLY_SELF_TEST_ZIP "\"\n"
	"self_test_zip_end:\n"
	".previous\n");

struct self_test {
	const struct config *config;
	struct config own; /* the same with a state folder of its own */
	struct host_setup setup;
	bool set_up;
	struct loop *loop;
	struct runtime_catalogue *catalogue;
	struct vm_host *host;
	struct template_store *templates;
	struct template *base;
	char *package_path;
	bool template_came;
	struct error template_error;
	struct self_test_guest guests[CLONES];
	unsigned started; /* guests */
};

/* -- telling -- */

static int _printf_(2, 3) tell_ok(const char *what, const char *format, ...)
{
	va_list ap;
	(void)printf("ok   %s: ", what);
	va_start(ap, format);
	(void)vprintf(format, ap);
	va_end(ap);
	(void)putchar('\n');
	(void)fflush(stdout);
	return 0;
}

static int tell_failure(const char *what, const struct error *error)
{
	(void)printf("FAIL %s: %s\n", what, error_text(error));
	(void)fflush(stdout);
	return error_kind(error->code)->errno_value ? -error_kind(error->code)->errno_value : -EIO;
}

static double milliseconds(int64_t from_us, int64_t to_us)
{
	return (double)(to_us - from_us) / USEC_PER_MSEC;
}

/* -- the proofs, in order; each stands on those before it -- */

static int prove_configuration(struct self_test *test)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	if (config_set_defaults(&test->own) < 0)
		return -ENOMEM;
	char *state_dir = NULL;
	if (asprintf(&state_dir, "%s/check", test->config->node_state_dir) < 0)
		return -ENOMEM;
	free(test->own.node_state_dir);
	test->own.node_state_dir = state_dir;
	free(test->own.node_images_dir);
	test->own.node_images_dir = strdup(test->config->node_images_dir);
	free(test->own.vm_libvirt_uri);
	test->own.vm_libvirt_uri = strdup(test->config->vm_libvirt_uri);
	free(test->own.vm_emulator);
	test->own.vm_emulator = strdup(test->config->vm_emulator);
	free(test->own.vm_user);
	test->own.vm_user = strdup(test->config->vm_user);
	if (!test->own.node_images_dir || !test->own.vm_libvirt_uri || !test->own.vm_emulator ||
	    !test->own.vm_user)
		return -ENOMEM;
	test->own.vm_uid_first = test->config->vm_uid_first;
	test->own.vm_uid_count = test->config->vm_uid_count;
	test->own.vm_accelerator = test->config->vm_accelerator;
	test->own.vm_tb_size_mb = test->config->vm_tb_size_mb;
	test->own.vm_guest_overhead_mb = test->config->vm_guest_overhead_mb;
	test->own.vm_cpu_limits = test->config->vm_cpu_limits;

	if (host_setup(&test->own, &test->setup, &error) < 0)
		return tell_failure("host", &error);
	test->set_up = true;
	int r = loop_new(0, &test->loop);
	if (r < 0) {
		(void)error_set_errno(&error, r, "cannot make the event loop");
		return tell_failure("host", &error);
	}
	for (size_t i = 0; test->setup.warnings[i]; i++)
		(void)tell_ok("host", "warning: %s", test->setup.warnings[i]);
	return tell_ok("host", "state in %s", test->own.node_state_dir);
}

static int prove_images(struct self_test *test)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	int64_t begin_us = clock_monotonic_us();
	if (runtime_catalogue_open(test->own.node_images_dir, NULL, &test->catalogue, &error) < 0)
		return tell_failure("images", &error);
	const struct image_file *kernel = runtime_catalogue_kernel(test->catalogue);
	const struct image_file *initramfs = runtime_catalogue_initramfs(test->catalogue);
	if (runtime_catalogue_verify(test->catalogue, kernel, &error) < 0 ||
	    runtime_catalogue_verify(test->catalogue, initramfs, &error) < 0)
		return tell_failure("images", &error);
	size_t count = runtime_catalogue_count(test->catalogue);
	for (size_t i = 0; i < count; i++) {
		const struct runtime_image *image = runtime_catalogue_at(test->catalogue, i);
		if (runtime_catalogue_verify(test->catalogue, &image->file, &error) < 0)
			return tell_failure("images", &error);
	}
	if (!runtime_catalogue_find(test->catalogue, RUNTIME)) {
		(void)error_set(&error, ERROR_NOT_FOUND, NULL, "there is no image of " RUNTIME);
		return tell_failure("images", &error);
	}
	return tell_ok("images", "kernel %s and %zu runtimes are as they were built (%.0f ms)",
		       runtime_catalogue_kernel_release(test->catalogue), count,
		       milliseconds(begin_us, clock_monotonic_us()));
}

static int prove_accelerator(struct self_test *test)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct vm_host_config config = host_vm_config(&test->own);
	int64_t begin_us = clock_monotonic_us();
	if (vm_host_open(&config, test->loop, &test->host, &error) < 0)
		return tell_failure("accelerator", &error);
	const struct vm_host_info *info = vm_host_info(test->host);
	for (size_t i = 0; info->warnings && info->warnings[i]; i++)
		(void)tell_ok("accelerator", "warning: %s", info->warnings[i]);
	return tell_ok("accelerator", "%s: %s; QEMU %s, libvirt %s, cgroups %s (%.0f ms)",
		       info->accelerator == ACCELERATOR_KVM ? "KVM" : "TCG",
		       info->accelerator_reason, info->qemu_version, info->libvirt_version,
		       info->cgroup_mode, milliseconds(begin_us, clock_monotonic_us()));
}

static void on_template(struct template *template, const struct error *error, void *arg)
{
	struct self_test *test = arg;
	test->template_came = true;
	if (template)
		test->base = template_ref(template);
	else
		(void)error_copy(&test->template_error, error);
}

static int prove_template(struct self_test *test)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	int64_t begin_us = clock_monotonic_us();
	if (template_store_open(test->host, test->loop, &test->templates, &error) < 0)
		return tell_failure("base template", &error);
	template_store_get_base(test->templates, RUNTIME, MEMORY_MB, on_template, test);
	int r = self_test_wait(test->loop, &test->template_came, TEMPLATE_LIMIT_US);
	if (r < 0) {
		(void)error_set_errno(&error, r, "it was not made in %lld s",
				      (long long)(TEMPLATE_LIMIT_US / USEC_PER_SEC));
		return tell_failure("base template", &error);
	}
	if (!test->base)
		return tell_failure("base template", &test->template_error);
	struct template_facts facts;
	template_get_facts(test->base, &facts);
	return tell_ok("base template", "%s with %u MB, %" PRIu64 " MiB on disk (%.0f ms)", RUNTIME,
		       MEMORY_MB, facts.size_bytes >> 20,
		       milliseconds(begin_us, clock_monotonic_us()));
}

static int prove_package(struct self_test *test)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct package package;
	struct slice zip = slice_new(self_test_zip, (size_t)(self_test_zip_end - self_test_zip));
	if (package_build(test->own.node_state_dir, zip, &package, &error) < 0)
		return tell_failure("package", &error);
	test->package_path = package_path(test->own.node_state_dir, package.digest);
	if (!test->package_path)
		return -ENOMEM;
	return tell_ok("package", "%" PRIu64 " bytes of ZIP are an image", package.code_size_bytes);
}

static int prove_restore(struct self_test *test)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	for (unsigned i = 0; i < CLONES; i++) {
		struct self_test_guest *guest = &test->guests[i];
		test->started = i + 1;
		if (self_test_guest_start(guest, test->loop, test->host, test->base,
					  test->package_path, MEMORY_MB, &error) < 0)
			return tell_failure("restore", &error);
		(void)tell_ok("restore", "clone %u in %.1f ms (spawn %.1f, load %.1f, resume %.1f)",
			      i + 1, milliseconds(guest->requested_us, guest->restored_us),
			      milliseconds(guest->requested_us, guest->spawned_us),
			      milliseconds(guest->spawned_us, guest->loaded_us),
			      milliseconds(guest->loaded_us, guest->restored_us));
	}
	return 0;
}

static int prove_randomness(struct self_test *test)
{
	static const uint8_t nothing[SELF_TEST_SAMPLE];
	_cleanup_error_ struct error error = ERROR_INIT;
	for (unsigned i = 0; i < CLONES; i++) {
		const struct self_test_guest *guest = &test->guests[i];
		if (guest->sample_len != SELF_TEST_SAMPLE ||
		    memcmp(guest->sample, nothing, SELF_TEST_SAMPLE) == 0)
			(void)error_set(&error, ERROR_INTERNAL, NULL,
					"clone %u sent no random numbers", i + 1);
	}
	if (memcmp(test->guests[0].sample, test->guests[1].sample, SELF_TEST_SAMPLE) == 0)
		(void)error_set(&error, ERROR_INTERNAL, NULL,
				"both clones have the same random numbers");
	if (error.code != ERROR_NONE)
		return tell_failure("random numbers", &error);
	return tell_ok("random numbers", "the clones' differ");
}

static int prove_clock(struct self_test *test)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	for (unsigned i = 0; i < CLONES; i++)
		if (llabs(test->guests[i].clock_error_us) > CLOCK_TOLERANCE_US)
			(void)error_set(&error, ERROR_INTERNAL, NULL, "clone %u is %+.1f ms off",
					i + 1, milliseconds(0, test->guests[i].clock_error_us));
	if (error.code != ERROR_NONE)
		return tell_failure("clock", &error);
	return tell_ok("clock", "%+.1f and %+.1f ms beside the host's",
		       milliseconds(0, test->guests[0].clock_error_us),
		       milliseconds(0, test->guests[1].clock_error_us));
}

static int prove_reply(struct self_test *test)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	for (unsigned i = 0; i < CLONES; i++) {
		struct self_test_guest *guest = &test->guests[i];
		if (self_test_guest_initialize(guest, RUNTIME, MEMORY_MB, &error) < 0 ||
		    self_test_guest_invoke(guest, EVENT, &error) < 0)
			return tell_failure("reply", &error);
		if (!strstr(buf_string(&guest->reply), "\"six_times_seven\": 42")) {
			(void)error_set(&error, ERROR_INTERNAL, NULL, "clone %u answered %.200s",
					i + 1, buf_string(&guest->reply));
			return tell_failure("reply", &error);
		}
		(void)tell_ok("reply", "clone %u says 42 (INIT %.1f ms, handler %.1f ms)", i + 1,
			      milliseconds(guest->restored_us, guest->initialized_us),
			      milliseconds(guest->invoked_us, guest->answered_us));
	}
	return 0;
}

/* Each clone's own name comes from inside its runtime. */
static int prove_identity(struct self_test *test)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	for (unsigned i = 0; i < CLONES; i++)
		if (!strstr(buf_string(&test->guests[i].reply), test->guests[i].log_stream))
			(void)error_set(&error, ERROR_INTERNAL, NULL,
					"clone %u does not know its own name: %.200s", i + 1,
					buf_string(&test->guests[i].reply));
	if (strcmp(buf_string(&test->guests[0].reply), buf_string(&test->guests[1].reply)) == 0)
		(void)error_set(&error, ERROR_INTERNAL, NULL, "both clones answer the same");
	if (error.code != ERROR_NONE)
		return tell_failure("identity", &error);
	return tell_ok("identity", "each clone knows its own name");
}

static int prove_warm(struct self_test *test)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct self_test_guest *guest = &test->guests[0];
	if (self_test_guest_invoke(guest, EVENT, &error) < 0)
		return tell_failure("warm invocation", &error);
	return tell_ok("warm invocation", "%.2f ms in the handler's round trip",
		       milliseconds(guest->invoked_us, guest->answered_us));
}

static int prove_end(struct self_test *test)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	int64_t begin_us = clock_monotonic_us();
	for (unsigned i = 0; i < CLONES; i++)
		if (self_test_guest_end(&test->guests[i], &error) < 0)
			return tell_failure("end", &error);
	return tell_ok("end", "nothing of the clones is left (%.0f ms)",
		       milliseconds(begin_us, clock_monotonic_us()));
}

static void tear_down(struct self_test *test)
{
	for (unsigned i = 0; i < test->started; i++)
		self_test_guest_clear(&test->guests[i]);
	if (test->loop)
		loop_end_jobs(test->loop);
	if (test->base)
		template_unref(test->base);
	if (test->templates)
		template_store_close(test->templates);
	if (test->host)
		vm_host_close(test->host);
	runtime_catalogue_free(test->catalogue);
	loop_free(test->loop);
	if (test->set_up && fs_remove_tree(test->own.node_state_dir) < 0)
		(void)fprintf(stderr, "cannot remove %s\n", test->own.node_state_dir);
	if (test->set_up)
		host_setup_undo(&test->setup);
	error_clear(&test->template_error);
	config_clear(&test->own);
	free(test->package_path);
}

int self_test_run(const struct config *config)
{
	static int (*const proofs[])(struct self_test * test) = {
		prove_configuration, prove_images,   prove_accelerator, prove_package,
		prove_template,      prove_restore,  prove_randomness,  prove_clock,
		prove_reply,         prove_identity, prove_warm,        prove_end,
	};
	struct self_test test = { .config = config, .own = CONFIG_INIT };
	int r = 0;
	for (size_t i = 0; i < ARRAY_SIZE(proofs) && r == 0; i++)
		r = proofs[i](&test);
	tear_down(&test);
	(void)puts(r == 0 ? "this host can run functions" : "this host cannot run functions");
	return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

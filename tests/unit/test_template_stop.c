/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_vm mayfly_image mayfly_core mayfly_proto_guest mayfly_base

/* A store of templates goes down while some are being built. VMs and the catalogue of images are
 * defined here, so that the linker leaves the real ones out; files are real. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/vm/template_internal.h"
#include "mayfly/clock.h"
#include "mayfly/fs.h"
#include "mayfly/log.h"
#include "tests/unit/run_until.h"

#define LIMIT_US  (30 * USEC_PER_SEC)
#define RAM_BYTES (1U << 20)

/* One who asked for a template. */
struct asker {
	unsigned answers;
	struct template *template; /* referenced */
	enum error_code code;
};

struct fixture {
	char dir[64];
	char run_dir[80];
	char templates_dir[80];
	struct loop *loop;
	struct vm_host host;
	struct template_store *store;
	bool stopped;
	struct asker base, function;
	unsigned tries; /* of builds */
	bool begins;    /* what was told last */
	/* ---- the VM, of which there is one at a time ---- */
	struct vm vm;
	unsigned starts;
	char *end_reason;
	vm_saved_fn *saved;
	void *saved_arg;
};

/* -- VMs -- */

static void write_scratch(const struct fixture *f, const char *id)
{
	char path[160];

	(void)snprintf(path, sizeof(path), "%s/%s", f->run_dir, id);
	assert_int_equal(fs_make_directories(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/%s/scratch.qcow2", f->run_dir, id);
	assert_int_equal(fs_write_file_atomic(path, slice_from_string("disk"), 0600), 0);
}

int vm_start(struct vm_host *host, const struct vm_start *start, const struct vm_events *events,
	     void *user, struct vm **ret, struct error *error _unused_)
{
	struct fixture *f = container_of(host, struct fixture, host);

	f->vm = (struct vm){ .host = host, .events = *events, .user = user };
	f->starts++;
	write_scratch(f, start->id);
	*ret = &f->vm;
	return 0;
}

void vm_end(struct vm *vm, const char *reason)
{
	struct fixture *f = container_of(vm, struct fixture, vm);

	if (!f->end_reason)
		f->end_reason = strdup(reason);
}

int vm_send(struct vm *vm _unused_, const Mayfly__Guest__V1__HostMessage *message _unused_)
{
	return 0;
}

void vm_resume(struct vm *vm _unused_, loop_fn *done _unused_, void *arg _unused_)
{
}

void vm_pause(struct vm *vm, loop_fn *done, void *arg)
{
	loop_post(vm->host->loop, done, arg);
}

int vm_save(struct vm *vm, int fd, vm_saved_fn *done, void *arg)
{
	struct fixture *f = container_of(vm, struct fixture, vm);

	assert_int_equal(write(fd, "state", 5), 5);
	f->saved = done;
	f->saved_arg = arg;
	return 0;
}

/* -- images -- */

static const struct runtime_image image = { .name = (char *)(uintptr_t) "python3.13" };

const struct runtime_image *runtime_catalogue_find(const struct runtime_catalogue *c _unused_,
						   const char *name _unused_)
{
	return &image;
}

const struct image_file *runtime_catalogue_kernel(const struct runtime_catalogue *c _unused_)
{
	return &image.file;
}

const struct image_file *runtime_catalogue_initramfs(const struct runtime_catalogue *c _unused_)
{
	return &image.file;
}

int runtime_catalogue_verify(struct runtime_catalogue *catalogue _unused_,
			     const struct image_file *file _unused_, struct error *error _unused_)
{
	return 0;
}

/* -- what a template would be made of -- */

void template_read_cpu_model(struct template_store *store _unused_)
{
}

int template_manifest_now(struct template_store *store _unused_, const char *runtime,
			  unsigned memory_mb, struct template_manifest *ret,
			  struct error *error _unused_)
{
	*ret = (struct template_manifest){
		.kind = TEMPLATE_BASE, .memory_mb = memory_mb, .vcpus = 1, .ram_bytes = RAM_BYTES
	};
	(void)snprintf(ret->id, sizeof(ret->id), "base-%s-%u", runtime, memory_mb);
	(void)snprintf(ret->runtime, sizeof(ret->runtime), "%s", runtime);
	memset(ret->kernel_digest, 'a', DIGEST_HEX_BYTES - 1);
	memset(ret->initramfs_digest, 'b', DIGEST_HEX_BYTES - 1);
	memset(ret->runtime_digest, 'c', DIGEST_HEX_BYTES - 1);
	return 0;
}

int template_manifest_now_function(struct template_store *store,
				   const struct template_function_request *request,
				   const uint8_t *initialize _unused_,
				   size_t initialize_len _unused_, struct template_manifest *ret,
				   struct error *error)
{
	int r = template_manifest_now(store, request->runtime, request->memory_mb, ret, error);

	ret->kind = TEMPLATE_FUNCTION;
	(void)snprintf(ret->id, sizeof(ret->id), "%s", request->id);
	return r;
}

/* -- the fixture -- */

static void quiet(int priority _unused_, const struct log_fields *fields _unused_,
		  const char *text _unused_, void *user _unused_)
{
}

static void on_change(const struct template_facts *facts, void *arg)
{
	struct fixture *f = arg;

	bool begins = facts->step && strcmp(facts->step, "making files") == 0;

	f->tries += begins && !f->begins; /* one step may be told twice */
	f->begins = begins;
}

static void open_store(struct fixture *f)
{
	assert_int_equal(template_store_open(&f->host, f->loop, &f->store, NULL), 0);
	template_store_set_listener(f->store, on_change, f);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	log_set_sink(quiet, NULL);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/mayfly-stop-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->run_dir, sizeof(f->run_dir), "%s/run", f->dir);
	(void)snprintf(f->templates_dir, sizeof(f->templates_dir), "%s/templates", f->dir);
	assert_int_equal(fs_make_directories(f->templates_dir, 0700), 0);
	assert_int_equal(loop_new(1, &f->loop), 0);
	f->host.loop = f->loop;
	f->host.run_dir = f->run_dir;
	f->host.templates_dir = f->templates_dir;
	open_store(f);
	*state = f;
	return 0;
}

static void forget(struct asker *asker)
{
	(void)template_unref(asker->template);
	*asker = (struct asker){ 0 };
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	forget(&f->base);
	forget(&f->function);
	loop_exit_when_idle(f->loop, 0);
	assert_int_equal(loop_run(f->loop), 0);
	assert_null(template_store_close(f->store));
	assert_null(loop_free(f->loop));
	assert_int_equal(fs_remove_tree(f->dir), 0);
	free(f->end_reason);
	free(f);
	return 0;
}

static void on_ready(struct template *template, const struct error *error, void *arg)
{
	struct asker *asker = arg;

	asker->answers++;
	asker->template = template ? template_ref(template) : NULL;
	asker->code = template ? ERROR_NONE : error->code;
}

static void ask_base(struct fixture *f)
{
	template_store_get_base(f->store, "python3.13", 128, on_ready, &f->base);
	assert_int_equal(f->base.answers, 0);
}

static void ask_function(struct fixture *f)
{
	Mayfly__Guest__V1__Initialize initialize = MAYFLY__GUEST__V1__INITIALIZE__INIT;
	const struct template_function_request request = {
		.id = "t-f-1",
		.runtime = "python3.13",
		.memory_mb = 128,
		.package_path = "/package",
		.initialize = &initialize,
	};

	template_store_get_function(f->store, &request, on_ready, &f->function);
	assert_int_equal(f->function.answers, 0);
}

static void on_stopped(void *arg)
{
	struct fixture *f = arg;

	assert_false(f->stopped);
	f->stopped = true;
}

static void stop(struct fixture *f)
{
	template_store_stop(f->store, on_stopped, f);
	assert_false(f->stopped);
}

/* -- the guest -- */

static void guest_says(struct fixture *f, Mayfly__Guest__V1__GuestMessage__KindCase kind)
{
	Mayfly__Guest__V1__GuestMessage message = MAYFLY__GUEST__V1__GUEST_MESSAGE__INIT;
	Mayfly__Guest__V1__SnapshotReady ready = MAYFLY__GUEST__V1__SNAPSHOT_READY__INIT;
	Mayfly__Guest__V1__Outcome outcome = MAYFLY__GUEST__V1__OUTCOME__INIT;

	outcome.status = MAYFLY__GUEST__V1__STATUS__STATUS_OK;
	ready.outcome = &outcome;
	message.kind_case = kind;
	if (kind == MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_SNAPSHOT_READY)
		message.snapshot_ready = &ready;
	f->vm.events.on_message(&f->vm, &message, f->vm.user);
}

static void run_to_boot(struct fixture *f)
{
	RUN_UNTIL(f, f->starts == 1);
	f->vm.events.on_loaded(&f->vm, f->vm.user);
	guest_says(f, MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_BOOTED);
}

/* QEMU has saved; the job that copies the scratch disk is under way. */
static void run_to_save(struct fixture *f)
{
	run_to_boot(f);
	guest_says(f, MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_SNAPSHOT_READY);
	RUN_UNTIL(f, f->saved);
	f->saved(&f->vm, NULL, f->saved_arg);
}

static void let_vm_go(struct fixture *f)
{
	f->vm.events.on_gone(&f->vm, f->end_reason, f->vm.user);
}

static void assert_no_folder(const struct fixture *f)
{
	assert_int_equal(rmdir(f->templates_dir), 0);
}

/* -- the tests -- */

static void nobody_gets_one_afterwards(void **state)
{
	struct fixture *f = *state;

	stop(f);
	RUN_UNTIL(f, f->stopped);
	ask_base(f);
	ask_function(f);
	RUN_UNTIL(f, f->base.answers == 1 && f->function.answers == 1);
	assert_int_equal(f->base.code, ERROR_UNAVAILABLE);
	assert_int_equal(f->function.code, ERROR_UNAVAILABLE);
	assert_no_folder(f);
}

static void a_vm_is_ended_and_waited_for(void **state)
{
	struct fixture *f = *state;

	ask_base(f);
	run_to_boot(f);
	assert_null(f->end_reason);
	stop(f);
	assert_string_equal(f->end_reason, "the node is shutting down");
	while (sd_event_run(loop_event(f->loop), 0) > 0)
		;
	assert_false(f->stopped);
	let_vm_go(f);
	RUN_UNTIL(f, f->stopped);
	assert_int_equal(f->base.answers, 1);
	assert_int_equal(f->base.code, ERROR_UNAVAILABLE);
	assert_int_equal(f->tries, 1);
	assert_no_folder(f);
}

static void no_vm_is_started_any_more(void **state)
{
	struct fixture *f = *state;

	ask_base(f); /* a job makes the files */
	stop(f);
	RUN_UNTIL(f, f->stopped);
	assert_int_equal(f->starts, 0);
	assert_int_equal(f->base.code, ERROR_UNAVAILABLE);
	assert_no_folder(f);
}

static void who_waits_for_a_base_ends_with_it(void **state)
{
	struct fixture *f = *state;

	ask_function(f);
	run_to_boot(f);
	stop(f);
	let_vm_go(f);
	RUN_UNTIL(f, f->stopped);
	assert_int_equal(f->function.answers, 1);
	assert_int_equal(f->function.code, ERROR_UNAVAILABLE);
	assert_int_equal(f->tries, 1);
	assert_no_folder(f);
}

static void what_is_saved_is_finished(void **state)
{
	struct fixture *f = *state;

	ask_base(f);
	run_to_save(f);
	stop(f);
	assert_null(f->end_reason); /* its disk is being copied */
	RUN_UNTIL(f, f->end_reason);
	assert_false(f->stopped);
	let_vm_go(f);
	RUN_UNTIL(f, f->stopped);
	assert_int_equal(f->base.code, ERROR_NONE);
	assert_non_null(f->base.template);
	assert_int_equal(f->base.template->state, TEMPLATE_READY);
}

static void a_save_that_fails_is_not_tried_again(void **state)
{
	struct fixture *f = *state;

	ask_base(f);
	run_to_boot(f);
	guest_says(f, MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_SNAPSHOT_READY);
	RUN_UNTIL(f, f->saved);
	assert_int_equal(fs_remove_tree(f->run_dir), 0); /* with the disk that is to be copied */
	f->saved(&f->vm, NULL, f->saved_arg);
	stop(f);
	RUN_UNTIL(f, f->end_reason);
	let_vm_go(f);
	RUN_UNTIL(f, f->stopped);
	assert_int_equal(f->base.answers, 1);
	assert_null(f->base.template);
	assert_int_equal(f->tries, 1);
	assert_no_folder(f);
}

/* Another agent begins with a base whose RAM is not what its manifest says. */
static void open_with_a_damaged_base(struct fixture *f)
{
	char path[160];

	ask_base(f);
	run_to_save(f);
	RUN_UNTIL(f, f->end_reason);
	let_vm_go(f);
	RUN_UNTIL(f, f->base.template);
	(void)snprintf(path, sizeof(path), "%s", f->base.template->files.ram.path);
	forget(&f->base);
	f->store = template_store_close(f->store);
	assert_int_equal(fs_write_file_atomic(path, slice_from_string("x"), 0600), 0);
	assert_int_equal(truncate(path, RAM_BYTES), 0);
	open_store(f);
	assert_false(TAILQ_EMPTY(&f->store->templates));
}

static void what_is_damaged_is_not_built_anew(void **state)
{
	struct fixture *f = *state;

	open_with_a_damaged_base(f);
	ask_base(f);
	assert_true(TAILQ_FIRST(&f->store->templates)->verify_under_way);
	stop(f);
	RUN_UNTIL(f, f->stopped && f->base.answers == 1);
	assert_int_equal(f->base.code, ERROR_UNAVAILABLE);
	assert_int_equal(f->tries, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nobody_gets_one_afterwards),        TEST(a_vm_is_ended_and_waited_for),
		TEST(no_vm_is_started_any_more),         TEST(who_waits_for_a_base_ends_with_it),
		TEST(what_is_saved_is_finished),         TEST(a_save_that_fails_is_not_tried_again),
		TEST(what_is_damaged_is_not_built_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

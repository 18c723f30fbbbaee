/* SPDX-License-Identifier: Apache-2.0 */

/* How a template comes to be: a VM with a shared RAM file is brought to the point where its
 * clones shall begin, stopped, and its device state saved beside the RAM file. A base is booted
 * from the kernel; a function's begins as a clone of its base on a copy of the base's RAM. */

#include "agent/vm/template_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/crypto.h>

#include "mayfly/clock.h"
#include "mayfly/fs.h"
#include "mayfly/log.h"
#include "mayfly/id.h"

#define WARM_ROUNDS   10
/* What runs on after the last answer (the runtime's way back to its read, timers, workers) would
 * else run again in every clone, where it is new to the translator. */
#define SETTLE_US     (250 * USEC_PER_MSEC)
#define ENTROPY_BYTES 64
#define INIT_GRACE_S  30 /* over the function's own limit for INIT */

typedef Mayfly__Guest__V1__GuestMessage guest_message;
typedef Mayfly__Guest__V1__HostMessage host_message;

struct template_build {
	struct template *template; /* our reference */
	struct template *base;     /* our reference; of a function template */
	struct vm *vm;
	char *folder;        /* while building; owned */
	char *sealed_folder; /* the same, on the disk, of one that is sealed; owned */
	unsigned tries_left;
	bool copying;  /* a job copies the scratch disk */
	bool saved;    /* RAM and device state are on disk */
	bool hopeless; /* another try would end the same */
	int64_t began_us;
	struct timer timer;
	struct timer settle;
	struct job job;
	int job_result;
	char sandbox_id[HEX_ID_BYTES];
	struct template_init init; /* of this try */
	struct error error;
	int state_fd;
};

static void start_try(struct template_build *build);

static void set_step(struct template_build *build, const char *step)
{
	build->template->step = step;
	template_changed(build->template);
}

static bool is_function(const struct template_build *build)
{
	return build->template->manifest.kind == TEMPLATE_FUNCTION;
}

static void run_job(struct template_build *build, void (*work)(struct job *),
		    void (*done)(struct job *))
{
	build->job = (struct job){ .work = work, .done = done };
	loop_submit(build->template->store->loop, &build->job);
}

/* ---- the end ---- */

static void finish(struct template_build *build)
{
	struct template *template = build->template;
	struct error error = ERROR_INIT;
	bool failed = build->error.message != NULL;

	timer_disarm(&build->timer);
	error_move(&error, &build->error);
	close_p(&build->state_fd);
	free(build->folder);
	free(build->sealed_folder);
	if (build->base)
		build->base->pins--;
	(void)template_unref(build->base);
	free(build);
	template->build = NULL;
	template_build_done(template, failed ? &error : NULL);
	error_clear(&error);
	(void)template_unref(template);
}

static void discard_work(struct job *job)
{
	struct template_build *build = container_of(job, struct template_build, job);

	if (build->folder)
		template_folder_discard(build->folder);
	if (build->sealed_folder)
		template_folder_discard(build->sealed_folder);
}

static void on_discarded(struct job *job)
{
	finish(container_of(job, struct template_build, job));
}

static void fail(struct template_build *build)
{
	template_files_clear(&build->template->files);
	run_job(build, discard_work, on_discarded);
}

/* ---- sealing ---- */

static int give_files(const struct template_build *build)
{
	const struct template_files *files = &build->template->files;

	/* A clone reads the RAM itself, through a link; the folder is closed to it. */
	if (chown(files->ram.path, geteuid(), getegid()) < 0 ||
	    chmod(files->ram.path, TEMPLATE_RAM_MODE) < 0 || chmod(files->state.path, 0400) < 0)
		return -errno;
	if (files->scratch.path && chmod(files->scratch.path, 0400) < 0)
		return -errno;
	return 0;
}

static const struct vault *vault_of(const struct template_build *build)
{
	return build->template->store->host->vault;
}

/* `key` of the sealed files, or NULL. */
static int write_manifest(struct template_build *build, const uint8_t *key)
{
	struct template_manifest *m = &build->template->manifest;
	const char *folder = key ? build->sealed_folder : build->folder;
	const struct template_files *files = &build->template->files;
	_cleanup_free_ char *path = NULL;
	_cleanup_free_ char *text = NULL;
	int r;

	memcpy(m->ram_digest, files->ram.digest, DIGEST_HEX_BYTES);
	memcpy(m->state_digest, files->state.digest, DIGEST_HEX_BYTES);
	memcpy(m->scratch_digest, files->scratch.digest, DIGEST_HEX_BYTES);
	m->ram_size = files->ram.size_bytes;
	m->state_size = files->state.size_bytes;
	m->scratch_size = files->scratch.size_bytes;
	m->created_us = clock_realtime_us();
	m->build_us = (uint64_t)(clock_monotonic_us() - build->began_us);
	r = key ? vault_seal_key(vault_of(build), key, m) : 0;
	if (r >= 0)
		r = template_manifest_format(m, &text);
	if (r >= 0 && asprintf(&path, "%s/manifest.json", folder) < 0)
		r = -ENOMEM;
	return r < 0 ? r : fs_write_file_atomic(path, slice_from_string(text), 0444);
}

static int move_file(struct template_file *file, const char *folder)
{
	const char *name;
	char *path;

	if (!file->path)
		return 0;
	name = strrchr(file->path, '/') + 1;
	if (asprintf(&path, "%s/%s", folder, name) < 0)
		return -ENOMEM;
	free(file->path);
	file->path = path;
	return 0;
}

/* A folder takes its name only when all in it is whole. */
static int publish_as(const struct template_build *build, const char *from, const char *parent,
		      char **ret)
{
	_cleanup_free_ char *folder = NULL;

	if (asprintf(&folder, "%s/%s.%.8s", parent, build->template->manifest.id,
		     build->sandbox_id) < 0) {
		folder = NULL;
		return -ENOMEM;
	}
	if (rename(from, folder) < 0)
		return -errno;
	*ret = TAKE_PTR(folder);
	return 0;
}

static int publish(struct template_build *build)
{
	struct template *template = build->template;
	const char *parent = template->store->host->templates_dir;
	const struct vault *vault = vault_of(build);
	const char *folder;
	int r;

	r = publish_as(build, vault ? build->sealed_folder : build->folder, parent,
		       &template->folder);
	if (r >= 0 && vault)
		r = publish_as(build, build->folder, vault->templates_dir, &template->open_folder);
	if (r < 0)
		return r;
	if (vault)
		template->sealed_bytes = template_sealed_bytes(template->folder);
	folder = vault ? template->open_folder : template->folder;
	r = move_file(&template->files.ram, folder);
	if (r >= 0)
		r = move_file(&template->files.state, folder);
	if (r >= 0)
		r = move_file(&template->files.scratch, folder);
	return r < 0 ? r : fs_sync_directory(parent);
}

static int seal_files(struct template_build *build, uint8_t key[SEALED_KEY_BYTES])
{
	struct template *template = build->template;

	if (asprintf(&build->sealed_folder, "%s/%s.%.8s.building",
		     template->store->host->templates_dir, template->manifest.id,
		     build->sandbox_id) < 0) {
		build->sealed_folder = NULL;
		return error_set_errno(&build->error, ENOMEM, "cannot keep a template");
	}
	return template_seal_files(&template->files, build->sealed_folder, key, &build->error);
}

static void seal_work(struct job *job)
{
	struct template_build *build = container_of(job, struct template_build, job);
	uint8_t key[SEALED_KEY_BYTES];
	int r;

	r = give_files(build);
	if (r < 0) {
		build->job_result = error_set_errno(&build->error, r, "cannot keep a template");
		return;
	}
	build->job_result = template_files_seal(&build->template->files, &build->error);
	if (build->job_result >= 0 && vault_of(build))
		build->job_result = seal_files(build, key);
	if (build->job_result < 0)
		return;
	r = write_manifest(build, vault_of(build) ? key : NULL);
	OPENSSL_cleanse(key, sizeof(key));
	if (r >= 0)
		r = publish(build);
	if (r < 0)
		build->job_result = error_set_errno(&build->error, r, "cannot keep a template");
}

static void on_sealed(struct job *job)
{
	struct template_build *build = container_of(job, struct template_build, job);

	if (build->job_result < 0)
		fail(build);
	else
		finish(build);
}

/* ---- a try's end ---- */

static void on_gone(struct vm *vm _unused_, const char *reason, void *user)
{
	struct template_build *build = user;

	build->vm = NULL;
	timer_disarm(&build->timer);
	timer_disarm(&build->settle);
	template_init_end(&build->init, NULL);
	if (build->copying) /* the job's end goes on from here */
		return;
	if (build->saved) {
		set_step(build, "sealing");
		run_job(build, seal_work, on_sealed);
		return;
	}
	if (!build->error.message)
		(void)error_set(&build->error, ERROR_UNAVAILABLE, NULL,
				"the template's VM ended while %s: %s", build->template->step,
				reason);
	if (build->hopeless || build->tries_left == 0) {
		fail(build);
		return;
	}
	log_warning("template %s: %s; trying again", build->template->manifest.id,
		    error_log_text(&build->error));
	error_clear(&build->error);
	start_try(build);
}

static void give_up(struct template_build *build, const char *reason, bool hopeless)
{
	build->hopeless |= hopeless;
	if (build->vm)
		vm_end(build->vm, reason);
}

static void on_timeout(void *arg)
{
	struct template_build *build = arg;

	(void)error_set(&build->error, ERROR_DEADLINE_EXCEEDED, NULL,
			"the template's VM took too long while %s", build->template->step);
	give_up(build, "too slow", false);
}

/* ---- saving ---- */

static void copy_scratch_work(struct job *job)
{
	struct template_build *build = container_of(job, struct template_build, job);
	_cleanup_free_ char *from = NULL;

	build->job_result = 0;
	if (asprintf(&from, "%s/%s/scratch.qcow2", build->template->store->host->run_dir,
		     build->sandbox_id) < 0)
		build->job_result = -ENOMEM;
	else
		build->job_result = fs_copy_sparse(from, build->template->files.scratch.path, 0600);
}

static void on_scratch_copied(struct job *job)
{
	struct template_build *build = container_of(job, struct template_build, job);

	build->copying = false;
	build->saved = build->job_result >= 0;
	if (!build->saved)
		(void)error_set_errno(&build->error, build->job_result,
				      "cannot keep the scratch disk");
	if (build->vm)
		vm_end(build->vm, "the template is saved");
	else /* QEMU ended by itself meanwhile */
		on_gone(NULL, "QEMU ended", build);
}

static void on_saved(struct vm *vm, const char *error, void *arg)
{
	struct template_build *build = arg;

	close_p(&build->state_fd);
	build->state_fd = -1;
	if (error) {
		(void)error_set(&build->error, ERROR_INTERNAL, NULL, "%s", error);
		vm_end(vm, error);
		return;
	}
	/* The VM is stopped and its disks are quiet: the copy is whole. */
	build->copying = true;
	run_job(build, copy_scratch_work, on_scratch_copied);
}

static void on_paused(void *arg)
{
	struct template_build *build = arg;
	int r;

	if (!build->vm)
		return;
	set_step(build, "saving");
	r = vm_save(build->vm, build->state_fd, on_saved, build);
	if (r < 0)
		give_up(build, "cannot save", false);
}

/* ---- the dialog with the guest ---- */

static void send(struct template_build *build, const host_message *message)
{
	if (vm_send(build->vm, message) < 0)
		give_up(build, "cannot speak to the guest", false);
}

static void send_prepare(struct template_build *build)
{
	const struct template *template = build->template;
	const struct runtime_image *image = runtime_catalogue_find(template->store->host->catalogue,
								   template->manifest.runtime);
	Mayfly__Guest__V1__Prepare prepare = MAYFLY__GUEST__V1__PREPARE__INIT;
	host_message message = MAYFLY__GUEST__V1__HOST_MESSAGE__INIT;

	prepare.runtime = image->kind == RUNTIME_PYTHON
				  ? MAYFLY__GUEST__V1__RUNTIME_KIND__RUNTIME_KIND_PYTHON
			  : image->kind == RUNTIME_NODEJS
				  ? MAYFLY__GUEST__V1__RUNTIME_KIND__RUNTIME_KIND_NODEJS
				  : MAYFLY__GUEST__V1__RUNTIME_KIND__RUNTIME_KIND_PROVIDED;
	prepare.warm_rounds = WARM_ROUNDS;
	prepare.ephemeral_storage_mb = DEFAULT_SCRATCH_MB;
	prepare.memory_mb = template->manifest.memory_mb;
	message.kind_case = MAYFLY__GUEST__V1__HOST_MESSAGE__KIND_PREPARE;
	message.prepare = &prepare;
	set_step(build, "starting the runtime");
	send(build, &message);
}

static void send_restore(struct template_build *build)
{
	Mayfly__Guest__V1__Restore restore = MAYFLY__GUEST__V1__RESTORE__INIT;
	host_message message = MAYFLY__GUEST__V1__HOST_MESSAGE__INIT;
	uint8_t entropy[ENTROPY_BYTES];

	random_bytes(entropy, sizeof(entropy));
	restore.entropy.data = entropy;
	restore.entropy.len = sizeof(entropy);
	restore.realtime_us = clock_realtime_us();
	restore.sandbox_id = build->sandbox_id;
	message.kind_case = MAYFLY__GUEST__V1__HOST_MESSAGE__KIND_RESTORE;
	message.restore = &restore;
	set_step(build, "restoring the base");
	send(build, &message);
}

static void send_initialize(struct template_build *build)
{
	host_message message = MAYFLY__GUEST__V1__HOST_MESSAGE__INIT;
	Mayfly__Guest__V1__Initialize *initialize;

	initialize = mayfly__guest__v1__initialize__unpack(NULL, build->template->initialize_len,
							   build->template->initialize);
	if (!initialize) {
		give_up(build, "out of memory", true);
		return;
	}
	message.kind_case = MAYFLY__GUEST__V1__HOST_MESSAGE__KIND_INITIALIZE;
	message.initialize = initialize;
	set_step(build, "running the function's init");
	template_init_begin(&build->init, build->template, build->sandbox_id);
	send(build, &message);
	mayfly__guest__v1__initialize__free_unpacked(initialize, NULL);
}

static void send_warm(struct template_build *build)
{
	Mayfly__Guest__V1__Warm warm = MAYFLY__GUEST__V1__WARM__INIT;
	host_message message = MAYFLY__GUEST__V1__HOST_MESSAGE__INIT;

	warm.rounds = WARM_ROUNDS;
	message.kind_case = MAYFLY__GUEST__V1__HOST_MESSAGE__KIND_WARM;
	message.warm = &warm;
	set_step(build, "warming");
	send(build, &message);
}

static void send_prepare_snapshot(struct template_build *build)
{
	Mayfly__Guest__V1__PrepareSnapshot prepare = MAYFLY__GUEST__V1__PREPARE_SNAPSHOT__INIT;
	host_message message = MAYFLY__GUEST__V1__HOST_MESSAGE__INIT;

	message.kind_case = MAYFLY__GUEST__V1__HOST_MESSAGE__KIND_PREPARE_SNAPSHOT;
	message.prepare_snapshot = &prepare;
	set_step(build, "preparing the snapshot");
	template_init_run(&build->init);
	send(build, &message);
}

/* The step's outcome; a function's own failure is final and told in its words. */
static bool outcome_is_ok(struct template_build *build, const Mayfly__Guest__V1__Outcome *outcome)
{
	template_init_rest(&build->init);
	if (outcome->status == MAYFLY__GUEST__V1__STATUS__STATUS_OK)
		return true;
	(void)error_set(&build->error, is_function(build) ? ERROR_SNAPSTART_FAILED : ERROR_INTERNAL,
			NULL, "%s failed: %s %.*s", build->template->step, outcome->error_type,
			outcome->error_body.len > 1024 ? 1024 : (int)outcome->error_body.len,
			outcome->error_body.len ? (const char *)outcome->error_body.data : "");
	if (is_function(build)) /* the node's log is not the place for its words */
		error_set_log(&build->error, "%s failed: %.64s", build->template->step,
			      outcome->error_type);
	template_init_end(&build->init, outcome);
	give_up(build, "a step failed",
		outcome->status != MAYFLY__GUEST__V1__STATUS__STATUS_GUEST_FAILURE);
	return false;
}

static void on_settled(void *arg)
{
	struct template_build *build = arg;

	if (!build->vm)
		return;
	set_step(build, "stopping");
	vm_pause(build->vm, on_paused, build);
}

static void settle_and_save(struct template_build *build)
{
	set_step(build, "settling");
	if (timer_arm(&build->settle, build->template->store->loop,
		      clock_monotonic_us() + SETTLE_US, on_settled, build) < 0)
		on_settled(build);
}

static void on_message(struct vm *vm _unused_, const guest_message *m, void *user)
{
	struct template_build *build = user;

	switch (m->kind_case) {
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_BOOTED:
		send_prepare(build);
		break;
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_PREPARED:
		if (outcome_is_ok(build, m->prepared->outcome))
			send_prepare_snapshot(build);
		break;
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_RESTORED:
		if (outcome_is_ok(build, m->restored->outcome))
			send_initialize(build);
		break;
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_INITIALIZED:
		if (outcome_is_ok(build, m->initialized->outcome))
			send_warm(build);
		break;
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_WARMED:
		if (outcome_is_ok(build, m->warmed->outcome))
			send_prepare_snapshot(build);
		break;
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_SNAPSHOT_READY:
		if (!outcome_is_ok(build, m->snapshot_ready->outcome))
			break;
		template_init_end(&build->init, m->snapshot_ready->outcome);
		settle_and_save(build);
		break;
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_LOGS:
		template_init_logs(&build->init, m->logs);
		break;
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_FATAL:
		(void)error_set(&build->error, ERROR_INTERNAL, NULL, "the guest gave up: %s",
				m->fatal->message);
		give_up(build, "the guest gave up", false);
		break;
	default:
		break;
	}
}

static void on_loaded(struct vm *vm, void *user)
{
	struct template_build *build = user;

	vm_resume(vm, NULL, NULL);
	if (is_function(build))
		send_restore(build);
	else
		set_step(build, "booting");
}

static const struct vm_events build_events = {
	.on_loaded = on_loaded,
	.on_message = on_message,
	.on_gone = on_gone,
};

/* ---- the start ---- */

static int make_ram(const struct template_build *build, const char *path)
{
	const struct template *template = build->template;
	_cleanup_close_ int fd = -1;

	if (is_function(build))
		return fs_copy_sparse(build->base->files.ram.path, path, 0600);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t) template->manifest.ram_bytes) < 0)
		return -errno;
	return 0;
}

static int make_files(struct template_build *build)
{
	struct template_files *files = &build->template->files;
	int r;

	if (asprintf(&build->folder, "%s/%s.%.8s.building",
		     vault_of(build) ? vault_of(build)->templates_dir
				     : build->template->store->host->templates_dir,
		     build->template->manifest.id, build->sandbox_id) < 0)
		return -ENOMEM;
	r = fs_make_directories(build->folder, TEMPLATE_FOLDER_MODE);
	if (r < 0)
		return r;
	if (asprintf(&files->ram.path, "%s/ram", build->folder) < 0 ||
	    asprintf(&files->state.path, "%s/state", build->folder) < 0)
		return -ENOMEM;
	if (asprintf(&files->scratch.path, "%s/scratch.qcow2", build->folder) < 0)
		return -ENOMEM;
	build->state_fd = open(files->state.path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return build->state_fd < 0 ? -errno : make_ram(build, files->ram.path);
}

/* That they are what the manifest will say: they may be replaced while the node runs. */
static int verify_images(struct template_build *build)
{
	const struct template_manifest *m = &build->template->manifest;
	struct runtime_catalogue *catalogue = build->template->store->host->catalogue;
	const struct {
		const struct image_file *file;
		const char *digest;
	} images[] = {
		{ &runtime_catalogue_find(catalogue, m->runtime)->file, m->runtime_digest },
		{ runtime_catalogue_kernel(catalogue), m->kernel_digest },
		{ runtime_catalogue_initramfs(catalogue), m->initramfs_digest },
	};
	int r = 0;

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(images); i++) {
		struct image_file file = *images[i].file;

		memcpy(file.digest, images[i].digest, DIGEST_HEX_BYTES);
		r = runtime_catalogue_verify(catalogue, &file, &build->error);
	}
	return r;
}

static void prepare_work(struct job *job)
{
	struct template_build *build = container_of(job, struct template_build, job);
	int r;

	if (build->folder) /* of a try that failed */
		template_folder_discard(build->folder);
	free(TAKE_PTR(build->folder));
	template_files_clear(&build->template->files);
	build->job_result = verify_images(build);
	if (build->job_result < 0)
		return;
	r = make_files(build);
	if (r < 0)
		build->job_result =
			error_set_errno(&build->error, r, "cannot make a template's files");
}

static int start_vm(struct template_build *build)
{
	struct template *template = build->template;
	struct vm_start start = { .id = build->sandbox_id };

	if (template->store->stopping)
		return error_set(&build->error, ERROR_UNAVAILABLE, NULL, TEMPLATE_STOP_REASON);
	start.ephemeral_storage_mb = template->manifest.ephemeral_storage_mb
					     ? template->manifest.ephemeral_storage_mb
					     : DEFAULT_SCRATCH_MB;
	if (is_function(build)) {
		template_fill_start(build->base, &start);
	} else {
		start.ram_bytes = template->manifest.ram_bytes;
		start.vcpus = template->manifest.vcpus;
		start.runtime = template->manifest.runtime;
		start.root_digest = template->manifest.runtime_digest;
	}
	start.ram_mode = RAM_SHARED;
	start.ram_path = template->files.ram.path;
	start.package_path = template->package_path;
	start.memory_mb = template->manifest.memory_mb;
	return vm_start(template->store->host, &start, &build_events, build, &build->vm,
			&build->error);
}

static unsigned time_limit_s(const struct template_build *build)
{
	Mayfly__Guest__V1__Initialize *initialize;
	unsigned limit = build->template->store->boot_timeout_s;

	if (!is_function(build))
		return limit;
	initialize = mayfly__guest__v1__initialize__unpack(NULL, build->template->initialize_len,
							   build->template->initialize);
	if (!initialize)
		return limit;
	limit += INIT_GRACE_S + initialize->init_timeout_ms / MSEC_PER_SEC;
	mayfly__guest__v1__initialize__free_unpacked(initialize, NULL);
	return limit;
}

static void on_prepared(struct job *job)
{
	struct template_build *build = container_of(job, struct template_build, job);
	int64_t limit_us = (int64_t)time_limit_s(build) * USEC_PER_SEC;

	if (build->job_result < 0 || start_vm(build) < 0 ||
	    timer_arm(&build->timer, build->template->store->loop, clock_monotonic_us() + limit_us,
		      on_timeout, build) < 0) {
		if (build->vm)
			give_up(build, "no timer", true);
		else
			fail(build);
	}
}

static void start_try(struct template_build *build)
{
	build->tries_left--;
	hex_id_generate(build->sandbox_id);
	build->init = (struct template_init){ 0 };
	close_p(&build->state_fd);
	build->state_fd = -1;
	set_step(build, "making files");
	template_make_room(build->template->store, build->template->manifest.ram_bytes);
	run_job(build, prepare_work, on_prepared);
}

static void on_base_ready(struct template *base, const struct error *error, void *arg)
{
	struct template_build *build = arg;

	if (base) {
		build->base = template_ref(base);
		base->pins++;
		start_try(build);
		return;
	}
	if (error_copy(&build->error, error) < 0)
		(void)error_set_errno(&build->error, ENOMEM, "the base template failed");
	fail(build);
}

int template_build_start(struct template *template)
{
	struct template_build *build;

	build = calloc(1, sizeof(*build));
	if (!build)
		return -ENOMEM;
	build->template = template_ref(template);
	build->tries_left = template->store->boot_tries;
	build->began_us = clock_monotonic_us();
	build->state_fd = -1;
	template->build = build;
	if (is_function(build))
		template_store_get_base(template->store, template->manifest.runtime,
					template->manifest.memory_mb, on_base_ready, build);
	else
		start_try(build);
	return 0;
}

/* Where a job or the base is waited for, that comes in any case, and no VM is started any more. */
void template_build_stop(struct template *template)
{
	struct template_build *build = template->build;

	build->hopeless = true;
	if (build->vm && !build->copying)
		vm_end(build->vm, TEMPLATE_STOP_REASON);
}

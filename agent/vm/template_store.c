/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/vm/template_internal.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/core/digest.h"
#include "mayfly/clock.h"
#include "mayfly/fs.h"
#include "mayfly/log.h"

#define BOOT_TIMEOUT_S  60
#define BOOT_TRIES      3
#define BUILDING_SUFFIX ".building"

static void start_build(struct template *template);

/* ---- one template ---- */

void template_folder_discard(const char *path)
{
	int r = fs_remove_tree(path);

	if (r < 0)
		log_warning("cannot remove %s: %s", path, strerror(-r));
}

/* The files of a template that nobody uses any more, while they are removed. */
struct removal {
	struct job job;
	char *folder;
};

static void remove_work(struct job *job)
{
	struct removal *removal = container_of(job, struct removal, job);

	template_folder_discard(removal->folder);
}

static void on_removed(struct job *job)
{
	struct removal *removal = container_of(job, struct removal, job);

	free(removal->folder);
	free(removal);
}

static void remove_folder(struct template *template)
{
	struct removal *removal;

	if (!template->folder)
		return;
	removal = calloc(1, sizeof(*removal));
	if (!removal) {
		template_folder_discard(template->folder);
		return;
	}
	removal->job = (struct job){ .work = remove_work, .done = on_removed };
	removal->folder = TAKE_PTR(template->folder);
	loop_submit(template->store->loop, &removal->job);
}

struct template *template_ref(struct template *template)
{
	template->refs++;
	return template;
}

struct template *template_unref(struct template *template)
{
	if (!template || --template->refs)
		return NULL;
	/* Listed templates hold one reference: the last one going means that it was discarded. */
	if (!template->listed)
		remove_folder(template);
	template_files_clear(&template->files);
	error_clear(&template->verify_error);
	free(template->folder);
	free(template->reason);
	free(template->package_path);
	free(template->initialize);
	free(template);
	return NULL;
}

static struct template *template_new(struct template_store *store,
				     const struct template_manifest *manifest)
{
	struct template *template = calloc(1, sizeof(*template));

	if (!template)
		return NULL;
	template->store = store;
	template->refs = 1;
	template->manifest = *manifest;
	STAILQ_INIT(&template->waiters);
	return template;
}

static void list_add(struct template *template)
{
	template->listed = true;
	TAILQ_INSERT_TAIL(&template->store->templates, template, entry);
}

/* Out of the list: nobody new finds it; its files go with the last clone. */
static void list_remove(struct template *template)
{
	if (!template->listed)
		return;
	template->listed = false;
	TAILQ_REMOVE(&template->store->templates, template, entry);
	template_changed(template);
	(void)template_unref(template);
}

static struct template *find(struct template_store *store, const char *id)
{
	struct template *template;

	TAILQ_FOREACH (template, &store->templates, entry)
		if (strcmp(template->manifest.id, id) == 0)
			return template;
	return NULL;
}

static uint64_t file_bytes_on_disk(const struct template_file *file)
{
	struct stat st;

	return file->path && stat(file->path, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

/* Holes take no room. While it is being built its files are a job's. */
static uint64_t bytes_on_disk(const struct template *template)
{
	if (template->state != TEMPLATE_READY)
		return 0;
	return file_bytes_on_disk(&template->files.ram) +
	       file_bytes_on_disk(&template->files.state) +
	       file_bytes_on_disk(&template->files.scratch);
}

void template_get_facts(const struct template *template, struct template_facts *ret)
{
	const struct template_manifest *m = &template->manifest;

	*ret = (struct template_facts){
		.id = m->id,
		.kind = m->kind,
		.state = template->state,
		.runtime = m->runtime,
		.memory_mb = m->memory_mb,
		.tenant = m->tenant[0] ? m->tenant : NULL,
		.function_name = m->function_name[0] ? m->function_name : NULL,
		.version = m->version[0] ? m->version : NULL,
		.created_us = m->created_us,
		.size_bytes = bytes_on_disk(template),
		.build_us = m->build_us,
		.reason = template->reason,
		.clones = template->clones,
		.step = template->step,
	};
}

void template_changed(struct template *template)
{
	struct template_facts facts;

	if (!template->store->listener)
		return;
	template_get_facts(template, &facts);
	template->store->listener(&facts, template->store->listener_arg);
}

void template_set_reason(struct template *template, const char *reason)
{
	free(template->reason);
	template->reason = strdup(reason);
}

void template_add_clone(struct template *template)
{
	template->clones++;
	template_changed(template);
}

void template_remove_clone(struct template *template)
{
	template->clones--;
	template_changed(template);
}

void template_fill_start(struct template *template, struct vm_start *start)
{
	start->source = template;
	start->files = &template->files;
	start->ram_path = template->files.ram.path;
	start->ram_bytes = template->manifest.ram_bytes;
	start->vcpus = template->manifest.vcpus;
	start->runtime = template->manifest.runtime;
	/* As it was mounted when the snapshot was taken; the guest makes it bigger if it has to. */
	start->scratch_source = template->files.scratch.path;
	start->state_path = template->files.state.path;
}

void template_mark_damaged(struct template *template, const char *reason)
{
	if (!template->listed || template->state != TEMPLATE_READY)
		return;
	log_warning("template %s is discarded: %s", template->manifest.id, reason);
	template_set_reason(template, reason);
	template->state = TEMPLATE_FAILED;
	list_remove(template);
}

/* ---- answers ---- */

struct answer {
	struct template *template; /* our reference, or NULL */
	struct error error;
	template_ready_fn *ready;
	void *arg;
};

static void give_answer(void *arg)
{
	struct answer *answer = arg;

	answer->ready(answer->template, &answer->error, answer->arg);
	(void)template_unref(answer->template);
	error_clear(&answer->error);
	free(answer);
}

/* Later, through the loop; takes the error's content. */
static void answer_later(struct template_store *store, struct template *template,
			 struct error *error, template_ready_fn *ready, void *arg)
{
	struct answer *answer = calloc(1, sizeof(*answer));

	if (!answer)
		abort(); /* as loop_post(): an answer must not be lost */
	answer->template = template ? template_ref(template) : NULL;
	answer->ready = ready;
	answer->arg = arg;
	error_move(&answer->error, error);
	loop_post(store->loop, give_answer, answer);
}

static void answer_waiters(struct template *template, const struct error *error)
{
	struct template_waiter *waiter;

	while ((waiter = STAILQ_FIRST(&template->waiters))) {
		STAILQ_REMOVE_HEAD(&template->waiters, entry);
		waiter->ready(error ? NULL : template, error, waiter->arg);
		free(waiter);
	}
}

static int add_waiter(struct template *template, template_ready_fn *ready, void *arg)
{
	struct template_waiter *waiter = calloc(1, sizeof(*waiter));

	if (!waiter)
		return -ENOMEM;
	*waiter = (struct template_waiter){ .ready = ready, .arg = arg };
	STAILQ_INSERT_TAIL(&template->waiters, waiter, entry);
	return 0;
}

/* ---- verification ---- */

/* Takes the place of one that turned out to be unusable, with those who wait for it. */
static void rebuild(struct template *old, const char *reason)
{
	struct template *template;

	(void)template_ref(old);
	template_mark_damaged(old, reason);
	template = template_new(old->store, &old->manifest);
	if (template) {
		template->package_path = TAKE_PTR(old->package_path);
		template->initialize = TAKE_PTR(old->initialize);
		template->initialize_len = old->initialize_len;
		STAILQ_CONCAT(&template->waiters, &old->waiters);
		template_set_reason(template, reason);
		list_add(template);
		start_build(template);
	}
	(void)template_unref(old);
}

static void verify_work(struct job *job)
{
	struct template *template = container_of(job, struct template, verify_job);

	template->verify_result =
		template_files_verify(&template->verify_files, &template->verify_error);
}

static void on_verified(struct job *job)
{
	struct template *template = container_of(job, struct template, verify_job);

	template->verify_under_way = false;
	if (template->verify_result < 0) {
		rebuild(template, error_text(&template->verify_error));
	} else {
		template->files = template->verify_files;
		template->verified = true;
		answer_waiters(template, NULL);
	}
	(void)template_unref(template);
}

static void start_verify(struct template *template)
{
	if (template->verify_under_way)
		return;
	template->verify_under_way = true;
	template->verify_files = template->files;
	error_clear(&template->verify_error);
	template->verify_job = (struct job){ .work = verify_work, .done = on_verified };
	(void)template_ref(template);
	loop_submit(template->store->loop, &template->verify_job);
}

/* ---- building ---- */

void template_build_done(struct template *template, const struct error *error)
{
	(void)template_ref(template);
	template->step = NULL;
	template->state = error ? TEMPLATE_FAILED : TEMPLATE_READY;
	template->verified = !error;
	if (error) {
		template_set_reason(template, error_text(error));
		log_error("template %s: %s", template->manifest.id, error_text(error));
	} else {
		log_info("template %s is ready after %.1f s", template->manifest.id,
			 (double)template->manifest.build_us / 1e6);
	}
	template_changed(template);
	answer_waiters(template, error);
	(void)template_unref(template);
}

static void start_build(struct template *template)
{
	struct error error = ERROR_INIT;
	int r;

	template->state = TEMPLATE_BUILDING;
	template->step = "starting";
	r = template_build_start(template);
	if (r < 0) {
		(void)error_set_errno(&error, r, "cannot start building a template");
		template_build_done(template, &error);
		error_clear(&error);
		return;
	}
	template_changed(template);
}

/* The common end of both requests: `now` is what a good one has. Takes package and initialize. */
static void get_template(struct template_store *store, const struct template_manifest *now,
			 char *package_path, uint8_t *initialize, size_t initialize_len,
			 template_ready_fn *ready, void *arg)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct template *template = find(store, now->id);

	if (template && template->state == TEMPLATE_READY &&
	    template_manifest_match(&template->manifest, now, &error) < 0) {
		template_mark_damaged(template, error_text(&error));
		template = NULL;
	}
	if (template && template->state == TEMPLATE_FAILED) {
		list_remove(template);
		template = NULL;
	}
	if (template && template->state == TEMPLATE_READY && template->verified &&
	    template_files_check_stamps(&template->files, NULL) >= 0) {
		free(package_path);
		free(initialize);
		error_clear(&error);
		answer_later(store, template, &error, ready, arg);
		return;
	}
	error_clear(&error);
	if (!template) {
		template = template_new(store, now);
		if (template)
			list_add(template);
	}
	if (!template || add_waiter(template, ready, arg) < 0) {
		free(package_path);
		free(initialize);
		(void)error_set_errno(&error, ENOMEM, "cannot make a template");
		answer_later(store, NULL, &error, ready, arg);
		return;
	}
	if (!template->initialize) {
		template->package_path = TAKE_PTR(package_path);
		template->initialize = TAKE_PTR(initialize);
		template->initialize_len = initialize_len;
	}
	free(package_path);
	free(initialize);
	if (template->state == TEMPLATE_READY)
		start_verify(template);
	else if (!template->build)
		start_build(template);
}

int template_manifest_now(struct template_store *store, const char *runtime, unsigned memory_mb,
			  struct template_manifest *ret, struct error *error)
{
	const struct vm_host *host = store->host;
	const struct runtime_image *image = runtime_catalogue_find(host->catalogue, runtime);

	if (!image || strlen(runtime) >= MANIFEST_TEXT / 2)
		return error_set(error, ERROR_NOT_FOUND, "runtime", "there is no runtime \"%s\"",
				 runtime);
	*ret = (struct template_manifest){
		.kind = TEMPLATE_BASE,
		.memory_mb = memory_mb,
		.device_layout = DEVICE_LAYOUT_VERSION,
		.vcpus = vm_vcpus(memory_mb),
		.ram_bytes = vm_ram_bytes(host, memory_mb),
		.tsc_khz = host->tsc_khz,
	};
	(void)snprintf(ret->id, sizeof(ret->id), "base-%s-%u", runtime, memory_mb);
	(void)snprintf(ret->runtime, sizeof(ret->runtime), "%s", runtime);
	memcpy(ret->kernel_digest, runtime_catalogue_kernel(host->catalogue)->digest,
	       DIGEST_HEX_BYTES);
	memcpy(ret->initramfs_digest, runtime_catalogue_initramfs(host->catalogue)->digest,
	       DIGEST_HEX_BYTES);
	memcpy(ret->runtime_digest, image->file.digest, DIGEST_HEX_BYTES);
	memcpy(ret->qemu_version, host->qemu_version, sizeof(ret->qemu_version));
	memcpy(ret->libvirt_version, host->libvirt_version, sizeof(ret->libvirt_version));
	memcpy(ret->cpu_model, store->cpu_model, sizeof(ret->cpu_model));
	(void)snprintf(ret->accelerator, sizeof(ret->accelerator), "%s",
		       host->verdict.accelerator == ACCELERATOR_KVM ? "kvm" : "tcg");
	return 0;
}

void template_store_get_base(struct template_store *store, const char *runtime, unsigned memory_mb,
			     template_ready_fn *ready, void *arg)
{
	struct error error = ERROR_INIT;
	struct template_manifest now;

	if (template_manifest_now(store, runtime, memory_mb, &now, &error) < 0) {
		answer_later(store, NULL, &error, ready, arg);
		return;
	}
	get_template(store, &now, NULL, NULL, 0, ready, arg);
}

/* Becomes part of a folder's name. */
static bool id_is_good(const char *id)
{
	size_t len = strlen(id);

	return len && len < TEMPLATE_ID_BYTES && id[0] != '.' && strncmp(id, "base-", 5) != 0 &&
	       strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-$") ==
		       len;
}

static int function_manifest(struct template_store *store,
			     const struct template_function_request *request,
			     const uint8_t *initialize, size_t initialize_len,
			     struct template_manifest *ret, struct error *error)
{
	struct digest digest;
	int r;

	if (!id_is_good(request->id))
		return error_set(error, ERROR_INVALID_PARAMETER, "id",
				 "\"%s\" cannot be a template's id", request->id);
	r = template_manifest_now(store, request->runtime, request->memory_mb, ret, error);
	if (r < 0)
		return r;
	r = digest_bytes(initialize, initialize_len, &digest);
	if (r < 0)
		return error_set_errno(error, r, "cannot digest a request");
	digest_hex(&digest, ret->initialize_digest);
	ret->kind = TEMPLATE_FUNCTION;
	ret->ephemeral_storage_mb = request->ephemeral_storage_mb;
	(void)snprintf(ret->id, sizeof(ret->id), "%s", request->id);
	(void)snprintf(ret->tenant, sizeof(ret->tenant), "%s", request->tenant);
	(void)snprintf(ret->function_name, sizeof(ret->function_name), "%s",
		       request->function_name);
	(void)snprintf(ret->version, sizeof(ret->version), "%s", request->version);
	(void)snprintf(ret->package_digest, sizeof(ret->package_digest), "%s",
		       request->package_digest);
	return 0;
}

void template_store_get_function(struct template_store *store,
				 const struct template_function_request *request,
				 template_ready_fn *ready, void *arg)
{
	struct error error = ERROR_INIT;
	struct template_manifest now;
	size_t len = mayfly__guest__v1__initialize__get_packed_size(request->initialize);
	uint8_t *initialize = malloc(len + 1);
	char *package_path = strdup(request->package_path);
	int r;

	if (!initialize || !package_path) {
		r = error_set_errno(&error, ENOMEM, "cannot make a template");
	} else {
		(void)mayfly__guest__v1__initialize__pack(request->initialize, initialize);
		r = function_manifest(store, request, initialize, len, &now, &error);
	}
	if (r < 0) {
		free(initialize);
		free(package_path);
		answer_later(store, NULL, &error, ready, arg);
		return;
	}
	get_template(store, &now, package_path, initialize, len, ready, arg);
}

int template_store_drop(struct template_store *store, const char *id, struct error *error)
{
	struct template *template = find(store, id);

	if (!template) {
		(void)error_set(error, ERROR_NOT_FOUND, "id", "there is no template \"%s\"", id);
		return -ENOENT;
	}
	if (template->build || template->verify_under_way) {
		(void)error_set(error, ERROR_CONFLICT, "id", "template \"%s\" is being built", id);
		return -EBUSY;
	}
	list_remove(template);
	return 0;
}

void template_store_each(struct template_store *store,
			 void (*fn)(const struct template_facts *facts, void *arg), void *arg)
{
	struct template_facts facts;
	struct template *template;

	TAILQ_FOREACH (template, &store->templates, entry) {
		template_get_facts(template, &facts);
		fn(&facts, arg);
	}
}

void template_store_set_listener(struct template_store *store,
				 void (*fn)(const struct template_facts *facts, void *arg),
				 void *arg)
{
	store->listener = fn;
	store->listener_arg = arg;
}

struct template_store *template_store_close(struct template_store *store)
{
	struct template *template;

	if (!store)
		return NULL;
	store->listener = NULL;
	while ((template = TAILQ_FIRST(&store->templates))) {
		TAILQ_REMOVE(&store->templates, template, entry);
		/* Still marked as listed, so that the files stay. */
		(void)template_unref(template);
	}
	free(store);
	return NULL;
}

/* ---- opening ---- */

static int file_set(struct template_file *file, const char *folder, const char *name,
		    const char *digest, uint64_t size)
{
	if (asprintf(&file->path, "%s/%s", folder, name) < 0) {
		file->path = NULL;
		return -ENOMEM;
	}
	(void)snprintf(file->digest, sizeof(file->digest), "%s", digest);
	file->size_bytes = size;
	return 0;
}

static int load_one(struct template_store *store, const char *folder, struct error *error)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct template_manifest m;
	struct template *template;
	int r;

	if (asprintf(&path, "%s/manifest.json", folder) < 0)
		return -ENOMEM;
	r = fs_read_file(path, MANIFEST_MAX_BYTES, &text);
	if (r < 0)
		return error_set_errno(error, r, "cannot read its manifest");
	r = template_manifest_parse(buf_slice(&text), &m, error);
	if (r < 0)
		return r;
	if (find(store, m.id))
		return error_set(error, ERROR_CONFLICT, NULL, "there are two of it");
	template = template_new(store, &m);
	if (!template)
		return -ENOMEM;
	template->state = TEMPLATE_READY;
	template->folder = strdup(folder);
	r = file_set(&template->files.ram, folder, "ram", m.ram_digest, m.ram_size);
	if (r >= 0)
		r = file_set(&template->files.state, folder, "state", m.state_digest, m.state_size);
	if (r >= 0 && m.scratch_digest[0])
		r = file_set(&template->files.scratch, folder, "scratch.qcow2", m.scratch_digest,
			     m.scratch_size);
	if (r >= 0 && template->folder)
		r = template_files_check_stamps(&template->files, error);
	template->listed = r < 0; /* what failed is removed by the caller */
	if (r < 0 || !template->folder) {
		(void)template_unref(template);
		return r < 0 ? r : -ENOMEM;
	}
	list_add(template);
	return 0;
}

static void load_all(struct template_store *store)
{
	const struct dirent *entry;
	DIR *dir;

	dir = opendir(store->host->templates_dir);
	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		_cleanup_error_ struct error error = ERROR_INIT;
		_cleanup_free_ char *folder = NULL;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		if (asprintf(&folder, "%s/%s", store->host->templates_dir, entry->d_name) < 0) {
			folder = NULL;
			continue;
		}
		if (!strstr(entry->d_name, BUILDING_SUFFIX) && load_one(store, folder, &error) >= 0)
			continue;
		if (error.message)
			log_warning("template in %s is discarded: %s", folder, error_text(&error));
		template_folder_discard(folder);
	}
	(void)closedir(dir);
}

/* TCG's processor is the same everywhere; KVM's is the host's own. */
static void read_cpu_model(struct template_store *store)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	const char *model;
	const char *flags;
	struct digest digest;
	char hex[DIGEST_HEX_BYTES] = "";

	(void)snprintf(store->cpu_model, sizeof(store->cpu_model), "max");
	if (store->host->verdict.accelerator != ACCELERATOR_KVM ||
	    fs_read_file("/proc/cpuinfo", 1U << 20, &text) < 0)
		return;
	model = strstr(buf_string(&text), "model name\t: ");
	flags = strstr(buf_string(&text), "flags\t\t: ");
	if (!model || !flags)
		return;
	if (digest_bytes(flags, strcspn(flags, "\n"), &digest) >= 0)
		digest_hex(&digest, hex);
	(void)snprintf(store->cpu_model, sizeof(store->cpu_model), "host %.*s %.16s",
		       (int)strcspn(model + 13, "\n") > 100 ? 100 : (int)strcspn(model + 13, "\n"),
		       model + 13, hex);
}

int template_store_open(struct vm_host *host, struct loop *loop, struct template_store **ret,
			struct error *error)
{
	struct template_store *store;

	store = calloc(1, sizeof(*store));
	if (!store)
		return error_set_errno(error, ENOMEM, "cannot open the templates");
	store->host = host;
	store->loop = loop;
	store->boot_timeout_s = BOOT_TIMEOUT_S;
	store->boot_tries = BOOT_TRIES;
	TAILQ_INIT(&store->templates);
	read_cpu_model(store);
	load_all(store);
	*ret = store;
	return 0;
}

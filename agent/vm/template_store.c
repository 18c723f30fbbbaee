/* SPDX-License-Identifier: Apache-2.0 */

/* Who asks for a template gets a good one: found and verified, or built while all who ask wait. */

#include "agent/vm/template_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "mayfly/clock.h"
#include "mayfly/fs.h"
#include "mayfly/log.h"

#define BOOT_TIMEOUT_S  60
#define BOOT_TRIES      3
#define BUILDING_SUFFIX ".building"

static void start_build(struct template *template);

static struct template *find(struct template_store *store, const char *id)
{
	struct template *template;

	TAILQ_FOREACH (template, &store->templates, entry)
		if (strcmp(template->manifest.id, id) == 0)
			return template;
	return NULL;
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

static int add_waiter(struct template *template, const struct template_waiter *from)
{
	struct template_waiter *waiter = malloc(sizeof(*waiter));

	if (!waiter)
		return -ENOMEM;
	*waiter = *from;
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
		template_list_add(template);
		start_build(template);
	}
	(void)template_unref(old);
}

static void verify_work(struct job *job)
{
	struct template *template = container_of(job, struct template, verify_job);

	if (template->open_folder)
		template->verify_result = template_open_files(
			template->store->host->vault, &template->manifest, template->folder,
			template->open_folder, &template->verify_files, &template->verify_error);
	else
		template->verify_result =
			template_files_verify(&template->verify_files, &template->verify_error);
}

static void on_verified(struct job *job)
{
	struct template *template = container_of(job, struct template, verify_job);

	template->verify_under_way = false;
	if (template->open_folder && template->verify_result < 0 &&
	    template->verify_result != -EBADMSG) {
		/* No room, or no disk: it is as good as ever. */
		log_warning("template %s cannot be opened: %s", template->manifest.id,
			    error_log_text(&template->verify_error));
		answer_waiters(template, &template->verify_error);
	} else if (template->verify_result < 0) {
		rebuild(template, error_text(&template->verify_error));
	} else {
		template->files = template->verify_files;
		template->verified = true;
		template->used_us = clock_realtime_us();
		answer_waiters(template, NULL);
	}
	(void)template_unref(template);
}

static void start_verify(struct template *template)
{
	if (template->verify_under_way)
		return;
	template->verify_under_way = true;
	template_make_room(template->store, template->sealed_bytes);
	template->verify_files = template->files;
	error_clear(&template->verify_error);
	template->verify_job = (struct job){ .work = verify_work, .done = on_verified };
	(void)template_ref(template);
	loop_submit(template->store->loop, &template->verify_job);
}

/* ---- stopping ---- */

static void check_stopped(struct template_store *store)
{
	const struct template *template;

	if (!store->stopped)
		return;
	TAILQ_FOREACH (template, &store->templates, entry)
		if (template->build)
			return;
	loop_post(store->loop, store->stopped, store->stopped_arg);
	store->stopped = NULL;
}

void template_store_stop(struct template_store *store, loop_fn *done, void *arg)
{
	struct template *template;

	store->stopping = true;
	timer_disarm(&store->open_timer);
	store->stopped = done;
	store->stopped_arg = arg;
	TAILQ_FOREACH (template, &store->templates, entry)
		if (template->build)
			template_build_stop(template);
	check_stopped(store);
}

static int set_stopping(struct error *error)
{
	return error_set(error, ERROR_UNAVAILABLE, NULL, TEMPLATE_STOP_REASON);
}

/* ---- building ---- */

void template_build_done(struct template *template, const struct error *error)
{
	(void)template_ref(template);
	template->step = NULL;
	template->state = error ? TEMPLATE_FAILED : TEMPLATE_READY;
	template->verified = !error;
	if (error) {
		template_set_reason(template, error_log_text(error));
		log_write(template->store->stopping ? LOG_NOTICE : LOG_ERR, NULL, "template %s: %s",
			  template->manifest.id, error_log_text(error));
	} else {
		log_info("template %s is ready after %.1f s", template->manifest.id,
			 (double)template->manifest.build_us / 1e6);
	}
	template_changed(template);
	answer_waiters(template, error);
	check_stopped(template->store);
	(void)template_unref(template);
}

static void start_build(struct template *template)
{
	struct error error = ERROR_INIT;
	int r;

	template->state = TEMPLATE_BUILDING;
	template->step = "starting";
	/* What turns out to be damaged while the node goes down is the next agent's to build. */
	r = template->store->stopping ? set_stopping(&error) : template_build_start(template);
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
			 const struct template_waiter *waiter)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct template *template;

	if (store->stopping) {
		free(package_path);
		free(initialize);
		(void)set_stopping(&error);
		answer_later(store, NULL, &error, waiter->ready, waiter->arg);
		return;
	}
	template = find(store, now->id);
	if (template && template->state == TEMPLATE_READY &&
	    template_manifest_match(&template->manifest, now, &error) < 0) {
		template_mark_damaged(template, error_text(&error));
		template = NULL;
	}
	if (template && template->state == TEMPLATE_FAILED) {
		template_list_remove(template);
		template = NULL;
	}
	if (template && template->state == TEMPLATE_READY && template->verified &&
	    template_files_check_stamps(&template->files, NULL) >= 0) {
		free(package_path);
		free(initialize);
		error_clear(&error);
		answer_later(store, template, &error, waiter->ready, waiter->arg);
		return;
	}
	error_clear(&error);
	if (!template) {
		template = template_new(store, now);
		if (template)
			template_list_add(template);
	}
	if (!template || add_waiter(template, waiter) < 0) {
		free(package_path);
		free(initialize);
		(void)error_set_errno(&error, ENOMEM, "cannot make a template");
		answer_later(store, NULL, &error, waiter->ready, waiter->arg);
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

void template_store_get_base(struct template_store *store, const char *runtime, unsigned memory_mb,
			     template_ready_fn *ready, void *arg)
{
	struct error error = ERROR_INIT;
	struct template_manifest now;

	if (template_manifest_now(store, runtime, memory_mb, &now, &error) < 0) {
		answer_later(store, NULL, &error, ready, arg);
		return;
	}
	get_template(store, &now, NULL, NULL, 0,
		     &(struct template_waiter){ .ready = ready, .arg = arg });
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
		r = template_manifest_now_function(store, request, initialize, len, &now, &error);
	}
	if (r < 0) {
		free(initialize);
		free(package_path);
		answer_later(store, NULL, &error, ready, arg);
		return;
	}
	get_template(store, &now, package_path, initialize, len,
		     &(struct template_waiter){ .ready = ready,
						.arg = arg,
						.init_events = request->init_events,
						.init_arg = request->init_arg });
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
	template_list_remove(template);
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
	timer_disarm(&store->open_timer);
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

/* A clock that was put back must not keep it for ever. */
static void load_use(struct template *template)
{
	struct stat status;
	int64_t modified_us;

	if (stat(template->folder, &status) < 0)
		return;
	modified_us = status.st_mtim.tv_sec * USEC_PER_SEC + status.st_mtim.tv_nsec / 1000;
	if (modified_us < template->used_us)
		template->used_us = modified_us;
}

/* One whose files are sealed is not looked at before it is used. */
static int find_files(struct template *template, const char *folder, struct error *error)
{
	const struct template_manifest *m = &template->manifest;
	const struct vault *vault = template->store->host->vault;
	const char *files = folder;
	int r;

	if ((vault != NULL) != (m->encryption[0] != '\0'))
		return error_set(error, ERROR_INTERNAL, NULL, "its files are %s",
				 vault ? "not sealed" : "sealed (templates.encryption)");
	if (vault) {
		template->sealed_bytes = template_sealed_bytes(folder);
		if (asprintf(&template->open_folder, "%s/%s", vault->templates_dir,
			     strrchr(folder, '/') + 1) < 0) {
			template->open_folder = NULL;
			return -ENOMEM;
		}
		files = template->open_folder;
	}
	r = file_set(&template->files.ram, files, "ram", m->ram_digest, m->ram_size);
	if (r >= 0)
		r = file_set(&template->files.state, files, "state", m->state_digest,
			     m->state_size);
	if (r >= 0 && m->scratch_digest[0])
		r = file_set(&template->files.scratch, files, "scratch.qcow2", m->scratch_digest,
			     m->scratch_size);
	/* Those of a former version were open to one group. */
	if (r >= 0 && (chmod(folder, TEMPLATE_FOLDER_MODE) < 0 ||
		       (!vault && chmod(template->files.ram.path, TEMPLATE_RAM_MODE) < 0)))
		r = error_set_errno(error, errno, "cannot close it to others");
	return r < 0 || vault ? r : template_files_check_stamps(&template->files, error);
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
	r = template->folder ? find_files(template, folder, error) : -ENOMEM;
	template->listed = r < 0; /* what failed is removed by the caller */
	if (r < 0) {
		(void)template_unref(template);
		return r;
	}
	load_use(template);
	template_list_add(template);
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
			log_warning("template in %s is discarded: %s", folder,
				    error_log_text(&error));
		template_folder_discard(folder);
	}
	(void)closedir(dir);
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
	template_read_cpu_model(store);
	load_all(store);
	template_watch_open(store);
	*ret = store;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/* One template: its references, its place in the list, what others hear of it, and its end. */

#include "agent/vm/template_internal.h"

#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "mayfly/fs.h"
#include "mayfly/clock.h"
#include "mayfly/log.h"

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

void template_remove_later(struct template_store *store, char *path)
{
	struct removal *removal;

	if (!path)
		return;
	removal = calloc(1, sizeof(*removal));
	if (!removal) {
		template_folder_discard(path);
		free(path);
		return;
	}
	removal->job = (struct job){ .work = remove_work, .done = on_removed };
	removal->folder = path;
	loop_submit(store->loop, &removal->job);
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
	if (!template->listed) {
		template_remove_later(template->store, TAKE_PTR(template->folder));
		template_remove_later(template->store, TAKE_PTR(template->open_folder));
	}
	template_files_clear(&template->files);
	error_clear(&template->verify_error);
	free(template->folder);
	free(template->open_folder);
	free(template->reason);
	free(template->package_path);
	free(template->initialize);
	free(template);
	return NULL;
}

struct template *template_new(struct template_store *store,
			      const struct template_manifest *manifest)
{
	struct template *template = calloc(1, sizeof(*template));

	if (!template)
		return NULL;
	template->store = store;
	template->refs = 1;
	template->manifest = *manifest;
	template->used_us = clock_realtime_us();
	STAILQ_INIT(&template->waiters);
	return template;
}

void template_list_add(struct template *template)
{
	template->listed = true;
	TAILQ_INSERT_TAIL(&template->store->templates, template, entry);
}

void template_list_remove(struct template *template)
{
	if (!template->listed)
		return;
	template->listed = false;
	TAILQ_REMOVE(&template->store->templates, template, entry);
	template_changed(template);
	(void)template_unref(template);
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
	if (template->open_folder)
		return template->sealed_bytes;
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
		.listed = template->listed,
		.is_sealed = template_is_sealed(template),
		.runtime = m->runtime,
		.memory_mb = m->memory_mb,
		.tenant = m->tenant[0] ? m->tenant : NULL,
		.function_name = m->function_name[0] ? m->function_name : NULL,
		.version = m->version[0] ? m->version : NULL,
		.created_us = m->created_us,
		.used_us = template->used_us,
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

static void note_use(struct template *template)
{
	template->used_us = clock_realtime_us();
	/* For the next agent; without it the template only seems older. */
	if (template->folder)
		(void)utimensat(AT_FDCWD, template->folder, NULL, 0);
}

void template_add_clone(struct template *template)
{
	template->clones++;
	note_use(template);
	template_changed(template);
}

void template_remove_clone(struct template *template)
{
	template->clones--;
	note_use(template);
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
	start->root_digest = template->manifest.runtime_digest;
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
	template_list_remove(template);
}

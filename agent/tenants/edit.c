/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/tenants/edit.h"

#include <errno.h>

static void edit_free(struct edit *edit)
{
	if (edit->kind->free)
		edit->kind->free(edit);
	buf_free(&edit->value);
	error_clear(&edit->error);
	free(edit);
}

void edits_free(struct tenants *tenants)
{
	struct edit *edit;

	while ((edit = TAILQ_FIRST(&tenants->edits))) {
		TAILQ_REMOVE(&tenants->edits, edit, link);
		edit_free(edit);
	}
}

struct edit *edit_new(struct tenants *tenants, const struct edit_kind *kind, size_t size)
{
	struct edit *edit = calloc(1, size);

	if (!edit)
		abort(); /* as loop_post(): there is no one to tell */
	edit->tenants = tenants;
	edit->kind = kind;
	return edit;
}

int edit_check_request(const struct edit *edit)
{
	return edit->error.code ? -error_kind(edit->error.code)->errno_value : 0;
}

static char *add_write(struct edit *edit, struct registry_write write)
{
	write.key = edit->keys[edit->count];
	write.revision = REGISTRY_ANY_REVISION;
	edit->writes[edit->count] = write;
	return edit->keys[edit->count++];
}

char *edit_put(struct edit *edit)
{
	return add_write(edit, (struct registry_write){ .value = buf_slice(&edit->value) });
}

char *edit_remove(struct edit *edit)
{
	return add_write(edit, (struct registry_write){ .remove = true });
}

char *edit_remove_all(struct edit *edit)
{
	return add_write(edit, (struct registry_write){ .remove = true, .whole_prefix = true });
}

static void begin_next(void *arg);

static void edit_end(struct edit *edit)
{
	struct tenants *tenants = edit->tenants;
	bool failed = edit->error.code != ERROR_NONE;

	if (!failed) {
		edit->kind->install(edit);
		if (tenants->changed)
			tenants->changed(tenants->changed_arg);
	}
	edit->kind->answer(edit, failed ? &edit->error : NULL);
	TAILQ_REMOVE(&tenants->edits, edit, link);
	edit_free(edit);
	if (!TAILQ_EMPTY(&tenants->edits))
		loop_post(tenants->loop, begin_next, tenants);
}

static void commit_work(struct job *job)
{
	struct edit *edit = container_of(job, struct edit, job.job);
	int r = registry_commit(edit->tenants->registry, edit->writes, edit->count, NULL,
				&edit->error);

	if (r < 0) /* an error that is set already stays */
		(void)error_set_errno(&edit->error, r, "Cannot write down the change");
}

static void commit_done(struct lane_job *job)
{
	edit_end(container_of(job, struct edit, job));
}

static void begin_next(void *arg)
{
	struct tenants *tenants = arg;
	struct edit *edit = TAILQ_FIRST(&tenants->edits);
	int r = edit->kind->begin(edit);

	if (r < 0) {
		(void)error_set_errno(&edit->error, r, "Cannot make the change");
		edit_end(edit);
		return;
	}
	edit->job.job.work = commit_work;
	edit->job.done = commit_done;
	lane_submit(&tenants->lane, &edit->job);
}

void edit_enqueue(struct edit *edit)
{
	struct tenants *tenants = edit->tenants;
	bool is_first = TAILQ_EMPTY(&tenants->edits);

	TAILQ_INSERT_TAIL(&tenants->edits, edit, link);
	if (is_first)
		loop_post(tenants->loop, begin_next, tenants);
}

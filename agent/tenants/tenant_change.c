/* SPDX-License-Identifier: Apache-2.0 */

/* A change, from request to answer: begun on the loop when all before it are done, committed in a
 * job, taken in on the loop. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/tenants/internal.h"
#include "mayfly/clock.h"

struct change {
	struct lane_job job;
	struct tenants *tenants;
	/* Loop: fills `next` from what is there now, or sets `error`. */
	int (*begin)(struct change *change);
	tenants_answer_fn *answer;
	void *arg;

	/* The request. */
	char id[TENANT_ID_BYTES];
	bool has_name, has_limits;
	char name[TENANT_NAME_MAX + 1];
	struct tenant_limits limits;
	enum tenant_state state;

	struct tenant next;
	bool deletes;
	char key[RECORD_KEY_BYTES];
	struct buf value;
	struct error error;
	TAILQ_ENTRY(change) link;
};

static void change_free(struct change *change)
{
	buf_free(&change->value);
	error_clear(&change->error);
	free(change);
}

void changes_free(struct tenants *tenants)
{
	struct change *change;

	while ((change = TAILQ_FIRST(&tenants->changes))) {
		TAILQ_REMOVE(&tenants->changes, change, link);
		change_free(change);
	}
}

static void begin_next(void *arg);

static void change_end(struct change *change)
{
	struct tenants *tenants = change->tenants;
	struct entry *entry = tenants_entry(tenants, change->id);
	bool failed = change->error.code != ERROR_NONE;

	if (entry)
		entry->going = false;
	if (!failed)
		tenants_install(tenants, &change->next, change->deletes);
	change->answer(failed || change->deletes ? NULL : &change->next,
		       failed ? &change->error : NULL, change->arg);
	TAILQ_REMOVE(&tenants->changes, change, link);
	change_free(change);
	if (!TAILQ_EMPTY(&tenants->changes))
		loop_post(tenants->loop, begin_next, tenants);
}

static void commit_work(struct job *job)
{
	struct change *change = container_of(job, struct change, job.job);
	const struct registry_write write = { .key = change->key,
					      .value = buf_slice(&change->value),
					      .revision = REGISTRY_ANY_REVISION };
	int r = registry_commit(change->tenants->registry, &write, 1, NULL, &change->error);

	if (r < 0) /* an error that is set already stays */
		(void)error_set_errno(&change->error, r, "Cannot write down the tenant");
}

static void commit_done(struct lane_job *job)
{
	change_end(container_of(job, struct change, job));
}

static void begin_next(void *arg)
{
	struct tenants *tenants = arg;
	struct change *change = TAILQ_FIRST(&tenants->changes);
	int r = change->begin(change);

	if (r >= 0) {
		record_tenant_key(change->next.id, change->key);
		r = record_encode_tenant(&change->next, change->deletes, &change->value);
	}
	if (r < 0) {
		(void)error_set_errno(&change->error, r, "Cannot change the tenant");
		change_end(change);
		return;
	}
	change->job.job.work = commit_work;
	change->job.done = commit_done;
	lane_submit(&tenants->lane, &change->job);
}

static void enqueue(struct change *change)
{
	struct tenants *tenants = change->tenants;
	bool is_first = TAILQ_EMPTY(&tenants->changes);

	TAILQ_INSERT_TAIL(&tenants->changes, change, link);
	if (is_first)
		loop_post(tenants->loop, begin_next, tenants);
}

/* -- what each request means -- */

/* An id that is no id is told in begin(). */
static struct change *new_change(struct tenants *tenants, int (*begin)(struct change *change),
				 const char *id, tenants_answer_fn *answer, void *arg)
{
	struct change *change = calloc(1, sizeof(*change));

	if (!change)
		abort(); /* as loop_post(): there is no one to tell */
	change->tenants = tenants;
	change->begin = begin;
	change->answer = answer;
	change->arg = arg;
	if (id[0] && tenant_validate_id(id, &change->error) < 0)
		id = ""; /* what is wrong is in the error */
	(void)snprintf(change->id, sizeof(change->id), "%s", id);
	return change;
}

static void take_request(struct change *change, const struct tenants_request *request)
{
	change->has_name = request->name != NULL;
	if (request->name && tenant_validate_name(request->name, &change->error) == 0)
		(void)snprintf(change->name, sizeof(change->name), "%s", request->name);
	change->has_limits = request->limits != NULL;
	if (request->limits && tenant_validate_limits(request->limits, &change->error) == 0)
		change->limits = *request->limits;
}

/* A request that was wrong from the start. */
static int check_request(const struct change *change)
{
	return change->error.code ? -error_kind(change->error.code)->errno_value : 0;
}

static void apply(struct change *change)
{
	if (change->has_name)
		memcpy(change->next.name, change->name, sizeof(change->next.name));
	if (change->has_limits)
		change->next.limits = change->limits;
}

static void draw_free_id(struct change *change)
{
	do
		tenant_draw_id(change->id);
	while (tenants_entry(change->tenants, change->id));
}

static int begin_create(struct change *change)
{
	struct tenants *tenants = change->tenants;
	const struct entry *entry;
	int r = check_request(change);

	if (r < 0)
		return r;
	if (tenants->config.only_one)
		return error_set(&change->error, ERROR_CONFLICT, NULL, "%s",
				 tenants->config.only_one);
	if (!change->id[0])
		draw_free_id(change);
	entry = tenants_entry(tenants, change->id);
	if (entry)
		return error_set(&change->error, ERROR_CONFLICT, "tenant",
				 entry->deleted ? "Tenant %s was deleted, and ids are not given "
						  "again."
						: "Tenant already exists: %s",
				 change->id);
	change->next = (struct tenant){ .state = TENANT_ACTIVE, .created_us = clock_realtime_us() };
	memcpy(change->next.id, change->id, sizeof(change->next.id));
	apply(change);
	return 0;
}

/* The tenant as it is, to be changed. */
static int take_present(struct change *change)
{
	const struct tenant *tenant;
	int r = check_request(change);

	if (r == 0)
		r = tenant_validate_id(change->id, &change->error);
	if (r < 0)
		return r;
	tenant = tenants_find(change->tenants, change->id);
	if (!tenant)
		return tenant_set_not_found(change->id, &change->error);
	change->next = *tenant;
	return 0;
}

static int begin_update(struct change *change)
{
	int r = take_present(change);

	if (r == 0)
		apply(change);
	return r;
}

static int begin_set_state(struct change *change)
{
	int r = take_present(change);

	if (r < 0)
		return r;
	if (!state_may_follow(&tenant_states, change->next.state, change->state))
		return -EINVAL;
	change->next.state = change->state;
	return 0;
}

static int begin_delete(struct change *change)
{
	struct tenants *tenants = change->tenants;
	unsigned functions;
	int r = take_present(change);

	if (r < 0)
		return r;
	if (strcmp(change->id, tenants->config.default_tenant) == 0)
		return error_set(&change->error, ERROR_CONFLICT, "tenant",
				 "Tenant %s is the node's default tenant, which cannot be deleted.",
				 change->id);
	functions = tenants_count_functions(tenants, change->id);
	if (functions)
		return error_set(&change->error, ERROR_CONFLICT, "tenant",
				 "Tenant %s has %u function%s, which must be deleted before it.",
				 change->id, functions, functions == 1 ? "" : "s");
	change->deletes = true;
	tenants_entry(tenants, change->id)->going = true;
	return 0;
}

/* -- the door -- */

void tenants_create(struct tenants *tenants, const struct tenants_request *request,
		    tenants_answer_fn *answer, void *arg)
{
	struct change *change = new_change(tenants, begin_create, request->id, answer, arg);

	take_request(change, request);
	enqueue(change);
}

void tenants_update(struct tenants *tenants, const struct tenants_request *request,
		    tenants_answer_fn *answer, void *arg)
{
	struct change *change = new_change(tenants, begin_update, request->id, answer, arg);

	take_request(change, request);
	enqueue(change);
}

void tenants_set_state(struct tenants *tenants, const char *id, enum tenant_state state,
		       tenants_answer_fn *answer, void *arg)
{
	struct change *change = new_change(tenants, begin_set_state, id, answer, arg);

	change->state = state;
	enqueue(change);
}

void tenants_delete(struct tenants *tenants, const char *id, tenants_answer_fn *answer, void *arg)
{
	enqueue(new_change(tenants, begin_delete, id, answer, arg));
}

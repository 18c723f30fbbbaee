/* SPDX-License-Identifier: Apache-2.0 */

/* Changes, from request to answer: the zone and the input are looked at in a job; then, when the
 * schedule is not just firing, it is written down; then it is so. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/functions/end_tenant.h"
#include "agent/schedules/internal.h"
#include "mayfly/clock.h"

enum change_kind { CHANGE_CREATE, CHANGE_UPDATE, CHANGE_DELETE };

struct change {
	TAILQ_ENTRY(change) link;    /* of all */
	TAILQ_ENTRY(change) waiting; /* for its entry */
	struct schedules *owner;
	enum change_kind kind;
	char tenant[TENANT_ID_BYTES];
	char name[SCHEDULE_NAME_MAX + 1];
	struct schedule *schedule; /* as it shall be; NULL in a deletion */
	struct lane_job job;
	struct zone *loaded;     /* by the job */
	const struct zone *zone; /* which is kept */
	struct error error;
	struct entry *entry;
	struct schedule_mark mark;
	struct schedule_op op;
	schedules_answer_fn *answer;
	void *arg;
};

static void change_free(struct change *change)
{
	TAILQ_REMOVE(&change->owner->changes, change, link);
	schedule_free(change->schedule);
	zone_free(change->loaded);
	error_clear(&change->error);
	op_reset(&change->op);
	free(change);
}

void changes_close(struct schedules *schedules)
{
	struct change *change;

	while ((change = TAILQ_FIRST(&schedules->changes)))
		change_free(change);
}

static void answer(struct change *change, const struct entry *entry)
{
	struct schedule_view view;

	if (entry)
		view = book_view(entry);
	change->answer(entry ? &view : NULL, change->error.code ? &change->error : NULL,
		       change->arg);
	change_free(change);
}

/* -- what is asked for is possible -- */

static int check_limits(struct change *change, const struct entry *entry)
{
	const struct schedules *schedules = change->owner;
	const struct schedules_config *config = &schedules->config;
	size_t first = book_place(schedules, change->tenant, ""), count = 0;
	uint64_t bytes = change->schedule->input_bytes;

	for (size_t i = first; i < schedules->count; i++) {
		const struct entry *other = schedules->entries[i];

		if (strcmp(other->tenant, change->tenant) != 0)
			break;
		count++;
		bytes += other != entry ? other->input_bytes : 0;
	}
	if (!entry && count >= config->max_per_tenant)
		return error_set(&change->error, ERROR_CONFLICT, "tenant",
				 "Tenant %s has %zu schedules, which is as many as the node lets "
				 "it have (schedules.max_per_tenant).",
				 change->tenant, count);
	if (bytes > config->max_input_bytes)
		return error_set(&change->error, ERROR_CONFLICT, "target.input",
				 "The inputs of tenant %s's schedules would come to %llu bytes, "
				 "more than the node keeps (schedules.max_input_mb_per_tenant).",
				 change->tenant, (unsigned long long)bytes);
	return 0;
}

static int check_target(struct change *change)
{
	const struct function_reference *target = &change->schedule->target;
	struct directory *directory = change->owner->config.directory;
	const struct function *function = directory_find_qualified(directory, change->tenant,
								   target->name, target->qualifier);
	_cleanup_error_ struct error error = ERROR_INIT;

	if (!function)
		(void)directory_set_not_found(directory, change->tenant, target->name,
					      target->has_qualifier ? target->qualifier : NULL,
					      &error);
	else if (end_tenant_check(NULL, &function->config, &error) == 0)
		return 0; /* a schedule has no tenants of a function to name */
	return error_set(&change->error, error.code, "target.arn", "%s", error_text(&error));
}

/* -- how far it is from then on -- */

static bool has_same_times(const struct schedule *a, const struct schedule *b)
{
	return strcmp(a->expression, b->expression) == 0 && strcmp(a->timezone, b->timezone) == 0 &&
	       a->start_us == b->start_us && a->disabled == b->disabled;
}

/* A one-time schedule may be a little late; no more than an occurrence may that was missed. */
static int begin_once(struct change *change, const struct expression *expression, int64_t now_us)
{
	const struct schedule *schedule = change->schedule;
	int64_t at_s, at_us;
	int r = zone_to_utc(change->zone, expression->at_local_s, &at_s);

	if (r < 0)
		return r; /* not after expression_check() */
	at_us = at_s * USEC_PER_SEC;
	if (now_us - at_us > schedule->max_age_s * USEC_PER_SEC)
		return error_set(&change->error, ERROR_INVALID_PARAMETER, "schedule_expression",
				 "Invalid Schedule Expression %s. That time has passed.",
				 schedule->expression);
	if (change->mark.done_us >= at_us)
		change->mark.done_us = at_us - 1;
	return 0;
}

/* What came before now is of no concern, unless nothing about its times changes. */
static int begin_times(struct change *change, const struct entry *entry)
{
	struct schedule *schedule = change->schedule;
	int64_t now_us = schedules_now(change->owner);
	struct expression expression;
	int r = expression_parse(schedule->expression, &expression, &change->error);

	if (r == 0)
		r = expression_check(&expression, schedule->expression, change->zone,
				     &change->error);
	if (r < 0)
		return r;
	random_bytes(&schedule->generation, sizeof(schedule->generation));
	schedule->created_us = entry ? entry->schedule->created_us : now_us;
	schedule->modified_us = now_us;
	if (entry && has_same_times(entry->schedule, schedule)) {
		schedule->base_us = entry->schedule->base_us;
		change->mark = entry->mark;
	} else {
		schedule->base_us = schedule->start_us > 0 ? schedule->start_us : now_us;
		change->mark.fired_us = entry ? entry->mark.fired_us : 0;
		change->mark.done_us = now_us - 1;
		if (expression.kind == EXPRESSION_AT)
			r = begin_once(change, &expression, now_us);
	}
	change->mark.generation = schedule->generation;
	return r;
}

/* -- written down -- */

static void on_written(struct schedule_op *op)
{
	struct change *change = container_of(op, struct change, op);
	struct entry *entry = change->entry;
	bool failed = op->error.code != ERROR_NONE;

	error_move(&change->error, &op->error);
	entry->phase = ENTRY_WAITING;
	if (change->kind == CHANGE_DELETE && !failed) {
		answer(change, NULL);
		change_forget_entry(entry);
		return;
	}
	if (failed && change->kind == CHANGE_CREATE) {
		book_remove(entry);
		answer(change, NULL);
		return;
	}
	if (!failed) {
		entry->revision = entry->mark_revision = op->revision;
		/* Its expression was parsed before. */
		(void)!fire_install(entry, TAKE_PTR(change->schedule), change->zone, &change->mark);
	}
	fire_settle(entry);
	answer(change, failed ? NULL : entry);
	change_go_on(entry);
}

static int fill_op(struct change *change)
{
	struct schedule_op *op = &change->op;
	const struct entry *entry = change->entry;
	int r;

	op->done = on_written;
	if (change->kind == CHANGE_DELETE) {
		op_remove(op, SCHEDULE_RECORD_PREFIX, entry, entry->revision);
		op_remove(op, SCHEDULE_MARK_PREFIX, entry, entry->mark_revision);
		return 0;
	}
	r = schedule_record_encode(change->schedule, &op->values[0]);
	if (r == 0)
		r = schedule_record_encode_mark(&change->mark, &op->values[1]);
	if (r < 0)
		return r;
	op_put(op, SCHEDULE_RECORD_PREFIX, entry, entry->revision);
	op_put(op, SCHEDULE_MARK_PREFIX, entry, entry->mark_revision);
	return 0;
}

static int write_down(struct change *change)
{
	struct entry *entry = change->entry;
	int r = fill_op(change);

	if (r < 0)
		return error_set_errno(&change->error, r, "Cannot write down the change");
	fire_forget(entry);
	entry->phase = ENTRY_CHANGING;
	writer_add(&change->owner->writer, &change->op);
	return 0;
}

/* -- begun, on the loop -- */

/* Names are given once: a request that comes again is known by its token. */
static bool is_repeated(const struct change *change, const struct entry *entry)
{
	const char *token = change->schedule->client_token;

	return entry->schedule && token[0] && strcmp(entry->schedule->client_token, token) == 0 &&
	       schedule_is_equal(entry->schedule, change->schedule);
}

static int begin_create(struct change *change)
{
	int r = check_limits(change, NULL);

	if (r == 0)
		r = check_target(change);
	if (r == 0)
		r = begin_times(change, NULL);
	if (r < 0)
		return r;
	r = book_add(change->owner, change->tenant, change->name, &change->entry);
	if (r < 0)
		return error_set_errno(&change->error, r, "Cannot take the schedule");
	change->entry->input_bytes = change->schedule->input_bytes;
	r = write_down(change);
	if (r < 0)
		book_remove(change->entry);
	return r;
}

static int begin_update(struct change *change)
{
	struct schedule *schedule = change->schedule;
	int r = check_limits(change, change->entry);

	if (r == 0)
		r = check_target(change);
	if (r == 0)
		r = begin_times(change, change->entry);
	if (r < 0)
		return r;
	(void)snprintf(schedule->client_token, sizeof(schedule->client_token), "%s",
		       change->entry->schedule->client_token);
	return write_down(change);
}

static void begin(struct change *change)
{
	struct entry *entry = book_find(change->owner, change->tenant, change->name);
	int r;

	if (change->error.code != ERROR_NONE) {
		answer(change, NULL);
		return;
	}
	if (change->kind == CHANGE_CREATE && entry) {
		bool is_again = is_repeated(change, entry);

		if (!is_again)
			(void)schedule_set_exists(change->name, &change->error);
		answer(change, is_again ? entry : NULL);
		return;
	}
	if (change->kind != CHANGE_CREATE && (!entry || !entry->schedule)) {
		(void)schedule_set_not_found(change->name, &change->error);
		answer(change, NULL);
		return;
	}
	if (entry && entry->phase != ENTRY_WAITING) {
		TAILQ_INSERT_TAIL(&entry->changes, change, waiting);
		return;
	}
	change->entry = entry;
	if (change->kind == CHANGE_CREATE)
		r = begin_create(change);
	else if (change->kind == CHANGE_UPDATE)
		r = begin_update(change);
	else
		r = write_down(change);
	if (r < 0) {
		(void)error_set_errno(&change->error, r, "Cannot make the change");
		answer(change, NULL);
	}
}

void change_go_on(struct entry *entry)
{
	struct change *change = TAILQ_FIRST(&entry->changes);

	if (!change)
		return;
	TAILQ_REMOVE(&entry->changes, change, waiting);
	begin(change);
}

void change_forget_entry(struct entry *entry)
{
	struct change_queue left = TAILQ_HEAD_INITIALIZER(left);
	struct change *change;

	TAILQ_CONCAT(&left, &entry->changes, waiting);
	book_remove(entry);
	while ((change = TAILQ_FIRST(&left))) {
		TAILQ_REMOVE(&left, change, waiting);
		begin(change);
	}
}

/* -- prepared, in a job -- */

static void prepare_work(struct job *job)
{
	struct change *change =
		container_of(container_of(job, struct lane_job, job), struct change, job);
	const struct schedule *schedule = change->schedule;
	const char *region = change->owner->config.region; /* never changes */

	if (!schedule || occurrence_check_input(schedule, region, &change->error) < 0)
		return;
	if (zone_load(schedule->timezone, &change->loaded, &change->error) < 0)
		change->loaded = NULL;
}

static void prepare_done(struct lane_job *job)
{
	struct change *change = container_of(job, struct change, job);
	struct schedules *schedules = change->owner;

	if (change->loaded) {
		change->zone =
			zones_keep(schedules, change->schedule->timezone, TAKE_PTR(change->loaded));
		if (!change->zone)
			(void)error_set_errno(&change->error, ENOMEM, "Cannot take the schedule");
	}
	begin(change);
}

static int change_new(struct schedules *schedules, enum change_kind kind, const char *tenant,
		      const char *name, schedules_answer_fn *fn, void *arg, struct change **ret,
		      struct error *error)
{
	struct change *change = calloc(1, sizeof(*change));

	if (!change)
		return error_set_errno(error, ENOMEM, "Cannot take the change");
	change->owner = schedules;
	change->kind = kind;
	(void)snprintf(change->tenant, sizeof(change->tenant), "%s", tenant);
	(void)snprintf(change->name, sizeof(change->name), "%s", name);
	change->answer = fn;
	change->arg = arg;
	TAILQ_INSERT_TAIL(&schedules->changes, change, link);
	*ret = change;
	return 0;
}

/* Deletions, too, so that changes are made in order of asking. */
static void enqueue(struct change *change)
{
	change->job.job.work = prepare_work;
	change->job.done = prepare_done;
	lane_submit(&change->owner->lane, &change->job);
}

static int change_to(struct schedules *schedules, enum change_kind kind,
		     const struct schedule_request *request, schedules_answer_fn *fn, void *arg,
		     struct error *error)
{
	_cleanup_(schedule_free_p) struct schedule *schedule = NULL;
	struct change *change;
	int r = schedule_new(request, schedules->config.region, &schedule, error);

	if (r == 0)
		r = change_new(schedules, kind, request->tenant, request->name, fn, arg, &change,
			       error);
	if (r < 0)
		return r;
	change->schedule = TAKE_PTR(schedule);
	enqueue(change);
	return 0;
}

int schedules_create(struct schedules *schedules, const struct schedule_request *request,
		     schedules_answer_fn *fn, void *arg, struct error *error)
{
	return change_to(schedules, CHANGE_CREATE, request, fn, arg, error);
}

int schedules_update(struct schedules *schedules, const struct schedule_request *request,
		     schedules_answer_fn *fn, void *arg, struct error *error)
{
	return change_to(schedules, CHANGE_UPDATE, request, fn, arg, error);
}

int schedules_delete(struct schedules *schedules, const char *tenant, const char *name,
		     schedules_answer_fn *fn, void *arg, struct error *error)
{
	struct change *change;
	int r = schedule_validate_name(name, error);

	if (r == 0)
		r = change_new(schedules, CHANGE_DELETE, tenant, name, fn, arg, &change, error);
	if (r < 0)
		return r;
	enqueue(change);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/* The way of an occurrence. Its event is made durable and held; then the mark of the schedule says
 * that it is done; then the event may run. Killed before the first, nothing has happened, and it
 * comes again; between the two, the next agent finds the event by its request id, which follows
 * from the schedule and the occurrence, and writes the mark before anything runs; after both, the
 * event is an event as any other. So none is lost and none comes twice.
 *
 * The one that is under way is always the first that is not marked: what passed before it is marked
 * first. */

#include <errno.h>

#include "agent/schedules/calendar.h"
#include "agent/schedules/internal.h"
#include "mayfly/clock.h"
#include "mayfly/log.h"

#define FIRES_MAX      256 /* that are put or marked at once */
#define LOOKS_MAX      64  /* before the loop turns */
#define RETRY_FIRST_US (1 * USEC_PER_SEC)
#define RETRY_MAX_US   (300 * USEC_PER_SEC)
#define MARK_AGAIN_US  (1 * USEC_PER_SEC)
/* A clock that is set back by more makes occurrences come again; by less it does not. */
#define CLOCK_SLACK_US (CALENDAR_HOUR_S * USEC_PER_SEC)

static void arm(struct schedules *schedules);
static void mark(struct entry *entry, const struct schedule_mark *next);

static bool is_flying(enum entry_phase phase)
{
	return phase == ENTRY_PUTTING || phase == ENTRY_MARKING;
}

static void set_phase(struct entry *entry, enum entry_phase phase)
{
	entry->owner->in_flight += is_flying(phase);
	entry->owner->in_flight -= is_flying(entry->phase);
	entry->phase = phase;
}

static void log_of(int priority, const struct entry *entry, const char *what, const char *why)
{
	const struct schedule *schedule = entry->schedule;

	log_write(
		priority,
		&(struct log_fields){ .tenant = entry->tenant, .function = schedule->target.name },
		"Schedule %s: %s%s%s", entry->name, what, why ? ": " : "", why ? why : "");
}

/* -- waiting -- */

void fire_forget(struct entry *entry)
{
	due_heap_remove(&entry->owner->heap, &entry->due);
}

void fire_settle(struct entry *entry)
{
	struct schedules *schedules = entry->owner;
	int64_t now_us = schedules_now(schedules), due_us;

	fire_forget(entry);
	entry->next_us = INT64_MAX;
	if (entry->schedule->disabled || !entry->timetable.zone)
		return;
	if (entry->mark.done_us > now_us + CLOCK_SLACK_US)
		entry->mark.done_us = now_us;
	if (occurrence_next(&entry->timetable, entry->mark.done_us, &entry->next_us) < 0) {
		entry->next_us = INT64_MAX;
		return;
	}
	due_us = occurrence_due(entry->schedule, entry->next_us);
	if (entry->attempts > 0 && entry->next_us == entry->occurrence_us &&
	    entry->retry_us > due_us)
		due_us = entry->retry_us;
	due_heap_put(&schedules->heap, &entry->due, due_us);
	arm(schedules);
}

int fire_install(struct entry *entry, struct schedule *schedule, const struct zone *zone,
		 const struct schedule_mark *mark)
{
	int r = expression_parse(schedule->expression, &entry->timetable.expression, NULL);

	schedule_free(entry->schedule);
	entry->schedule = schedule;
	entry->timetable.schedule = schedule;
	entry->timetable.zone = zone;
	entry->input_bytes = schedule->input_bytes;
	entry->mark = *mark;
	entry->attempts = 0;
	return r;
}

/* -- marking -- */

bool fire_is_last(const struct entry *entry, int64_t done_us)
{
	int64_t next_us;

	return entry->schedule->delete_after_completion &&
	       occurrence_next(&entry->timetable, done_us, &next_us) < 0;
}

static void mark_later(struct entry *entry)
{
	due_heap_put(&entry->owner->heap, &entry->due, schedules_now(entry->owner) + MARK_AGAIN_US);
	arm(entry->owner);
}

/* Somebody else's hand in the registry: theirs counts, and this agent does not know what it says.
 */
static void stand_still(struct entry *entry)
{
	log_of(LOG_ERR, entry, "stands still until the agent starts again",
	       error_log_text(&entry->op.error));
	if (entry->held)
		event_take_back(entry->held);
	entry->held = NULL;
	entry->next_us = INT64_MAX;
	set_phase(entry, ENTRY_WAITING);
	change_go_on(entry);
}

static void count_marked(struct entry *entry)
{
	struct schedules_gauges *counters = &entry->owner->counters;
	int64_t late_us;

	counters->missed += entry->passing;
	entry->passing = 0;
	if (!entry->held)
		return;
	late_us =
		schedules_now(entry->owner) - occurrence_due(entry->schedule, entry->occurrence_us);
	counters->fired++;
	counters->lag_us += late_us > 0 ? late_us : 0;
	event_release(entry->held);
	entry->held = NULL;
}

static void on_marked(struct schedule_op *op)
{
	struct entry *entry = container_of(op, struct entry, op);

	if (op->error.code == ERROR_PRECONDITION_FAILED) {
		stand_still(entry);
		return;
	}
	if (op->error.code != ERROR_NONE) {
		log_of(LOG_ERR, entry, "cannot be marked", error_log_text(&op->error));
		mark_later(entry);
		return;
	}
	entry->mark = entry->next_mark;
	entry->mark_revision = op->revision;
	count_marked(entry);
	set_phase(entry, ENTRY_WAITING);
	if (entry->goes) {
		struct schedules *schedules = entry->owner;

		change_forget_entry(entry);
		arm(schedules);
		return;
	}
	fire_settle(entry);
	change_go_on(entry);
}

static void mark(struct entry *entry, const struct schedule_mark *next)
{
	struct schedule_op *op = &entry->op;

	set_phase(entry, ENTRY_MARKING);
	entry->next_mark = *next;
	entry->goes = fire_is_last(entry, next->done_us);
	op_reset(op);
	op->done = on_marked;
	if (entry->goes) {
		op_remove(op, SCHEDULE_RECORD_PREFIX, entry, entry->revision);
		op_remove(op, SCHEDULE_MARK_PREFIX, entry, entry->mark_revision);
	} else if (schedule_record_encode_mark(next, &op->values[0]) < 0) {
		mark_later(entry);
		return;
	} else {
		op_put(op, SCHEDULE_MARK_PREFIX, entry, entry->mark_revision);
	}
	writer_add(&entry->owner->writer, op);
}

/* `count` occurrences up to then do not fire. */
static void pass(struct entry *entry, int64_t done_us, unsigned count)
{
	struct schedule_mark next = entry->mark;

	entry->passing = count;
	next.done_us = done_us;
	mark(entry, &next);
}

/* -- putting -- */

static int64_t retry_delay_us(unsigned attempts)
{
	int64_t delay_us = RETRY_FIRST_US;

	while (--attempts > 0 && delay_us < RETRY_MAX_US)
		delay_us *= 2;
	return delay_us < RETRY_MAX_US ? delay_us : RETRY_MAX_US;
}

/* What is so stays so: a function that is deleted, or that takes no such event. */
static bool is_final(const struct error *error)
{
	return error->code == ERROR_NOT_FOUND || error->code == ERROR_INVALID_PARAMETER ||
	       error->code == ERROR_INVALID_REQUEST_CONTENT ||
	       error->code == ERROR_REQUEST_TOO_LARGE || error->code == ERROR_ACCESS_DENIED;
}

/* It does not become an event: it is tried again if that may help. */
static void put_failed(struct entry *entry, const struct error *error)
{
	const struct schedule *schedule = entry->schedule;
	int64_t now_us = schedules_now(entry->owner);
	int64_t end_us =
		occurrence_due(schedule, entry->occurrence_us) + schedule->max_age_s * USEC_PER_SEC;
	struct schedule_mark next = entry->mark;

	set_phase(entry, ENTRY_WAITING);
	entry->retry_us = now_us + retry_delay_us(entry->attempts);
	if (!is_final(error) && entry->attempts <= schedule->max_retries &&
	    entry->retry_us <= end_us) {
		entry->owner->counters.retried++;
		fire_settle(entry);
		change_go_on(entry);
		return;
	}
	entry->owner->counters.failed++;
	log_of(LOG_WARNING, entry, "an occurrence is dropped", error_log_text(error));
	next.done_us = entry->occurrence_us;
	mark(entry, &next);
}

static void on_put(const char *request_id _unused_, const struct error *error, void *arg)
{
	struct entry *entry = arg;
	struct schedule_mark next = entry->mark;

	buf_free(&entry->event);
	if (error) {
		entry->held = NULL;
		put_failed(entry, error);
		return;
	}
	next.done_us = next.fired_us = entry->occurrence_us;
	mark(entry, &next);
}

static int submit(struct entry *entry)
{
	const struct schedule *schedule = entry->schedule;
	struct schedules *schedules = entry->owner;
	char request_id[UUID_BYTES];
	int r = occurrence_event(schedule, schedules->config.region, entry->occurrence_us,
				 entry->attempts, &entry->event);

	if (r < 0)
		return r;
	occurrence_request_id(schedule, entry->occurrence_us, request_id);
	struct invocation_request request = {
		.tenant = entry->tenant,
		.function_name = schedule->target.name,
		.qualifier = schedule->target.qualifier,
		.payload = buf_slice(&entry->event),
		.request_id = request_id, /* copied */
		.deadline_us = INT64_MAX,
	};
	return event_queue_submit_held(schedules->config.events, &request, on_put, entry,
				       &entry->held);
}

static void put(struct entry *entry, int64_t occurrence_us)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	int r;

	if (entry->occurrence_us != occurrence_us)
		entry->attempts = 0;
	entry->occurrence_us = occurrence_us;
	entry->attempts++;
	set_phase(entry, ENTRY_PUTTING);
	r = submit(entry);
	if (r == 0)
		return;
	buf_free(&entry->event);
	entry->held = NULL;
	(void)error_set_errno(&error, r, "Cannot make an event");
	put_failed(entry, &error);
}

/* -- what is to be done now -- */

/* Of all that are due the last one fires; the occurrence, and how many come before it. In a
 * flexible window only those count whose window has passed. */
static int choose(const struct entry *entry, int64_t now_us, int64_t *ret_us, unsigned *ret_before)
{
	int64_t window_us = entry->schedule->window_minutes * CALENDAR_MINUTE_S * USEC_PER_SEC;

	if (occurrence_last(&entry->timetable, entry->mark.done_us, now_us - window_us, ret_us,
			    ret_before) == 0)
		return 0;
	*ret_us = entry->next_us;
	*ret_before = 0;
	return entry->next_us <= now_us ? 0 : -ENOENT;
}

static void look(struct entry *entry, int64_t now_us)
{
	const struct schedules_config *config = &entry->owner->config;
	const struct schedule *schedule = entry->schedule;
	int64_t last_us;
	unsigned before;

	if (entry->phase == ENTRY_MARKING) {
		mark(entry, &entry->next_mark); /* once more */
		return;
	}
	if (choose(entry, now_us, &last_us, &before) < 0 ||
	    occurrence_due(schedule, last_us) > now_us) {
		fire_settle(entry);
		return;
	}
	if (config->may_run && !config->may_run(entry->tenant, config->may_run_arg)) {
		pass(entry, last_us, before + 1);
		return;
	}
	if (now_us - occurrence_due(schedule, last_us) > schedule->max_age_s * USEC_PER_SEC) {
		log_of(LOG_WARNING, entry, "occurrences are too old to fire", NULL);
		pass(entry, last_us, before + 1);
		return;
	}
	if (before > 0) {
		log_of(LOG_WARNING, entry, "of several occurrences the last one fires", NULL);
		pass(entry, last_us - 1, before);
		return;
	}
	put(entry, last_us);
}

static int on_time(sd_event_source *source _unused_, uint64_t at_us _unused_, void *arg)
{
	struct schedules *schedules = arg;
	int64_t now_us = schedules_now(schedules);
	struct due_item *first;

	for (unsigned i = 0; i < LOOKS_MAX && !schedules->stopping; i++) {
		first = due_heap_first(&schedules->heap);
		if (!first || first->due_us > now_us || schedules->in_flight >= FIRES_MAX)
			break;
		due_heap_remove(&schedules->heap, first);
		look(container_of(first, struct entry, due), now_us);
	}
	arm(schedules);
	return 0;
}

/* One timer, of the wall clock, for the earliest. */
static void arm(struct schedules *schedules)
{
	const struct due_item *first = due_heap_first(&schedules->heap);
	int64_t at_us;
	int r;

	if (!schedules->timer)
		return;
	/* With all places taken, the end of the first of them goes on. */
	if (!first || schedules->stopping || schedules->in_flight >= FIRES_MAX) {
		(void)sd_event_source_set_enabled(schedules->timer, SD_EVENT_OFF);
		return;
	}
	at_us = first->due_us;
	if (schedules->config.now_us) /* which may be another time than the timer's */
		at_us += clock_realtime_us() - schedules_now(schedules);
	r = sd_event_source_set_time(schedules->timer, at_us > 0 ? (uint64_t)at_us : 0);
	if (r >= 0)
		r = sd_event_source_set_enabled(schedules->timer, SD_EVENT_ONESHOT);
	if (r < 0)
		abort(); /* as loop_post(): what is due must not stay behind */
}

void schedules_clock_was_set(struct schedules *schedules)
{
	for (size_t i = 0; i < schedules->count; i++)
		if (schedules->entries[i]->schedule &&
		    schedules->entries[i]->phase == ENTRY_WAITING)
			fire_settle(schedules->entries[i]);
	arm(schedules);
}

int fire_open(struct schedules *schedules)
{
	int r = sd_event_add_time(loop_event(schedules->config.loop), &schedules->timer,
				  CLOCK_REALTIME, UINT64_MAX, 1, on_time, schedules);

	if (r < 0)
		return r;
	for (size_t i = 0; i < schedules->count; i++)
		fire_settle(schedules->entries[i]);
	return 0;
}

void fire_close(struct schedules *schedules)
{
	schedules->timer = sd_event_source_disable_unref(schedules->timer);
}

void schedules_stop(struct schedules *schedules)
{
	schedules->stopping = true;
	arm(schedules);
}

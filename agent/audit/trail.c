/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/audit/trail.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/queue.h>

#include "agent/core/lane.h"
#include "mayfly/clock.h"
#include "mayfly/log.h"

#define WAITING_MAX 10000 /* records; more are lost, and said to be */
#define TEXTS       9

/* Growing list of records that own their texts. */
struct records {
	struct audit_record *list;
	size_t count, capacity;
};

struct trail {
	struct audit_log *log; /* owned; in jobs of the lane */
	struct trail_config config;
	struct lane lane;
	struct records waiting;
	uint64_t lost;
	LIST_HEAD(, writing) writings; /* given to the lane */
};

struct writing {
	struct lane_job job;
	LIST_ENTRY(writing) link;
	struct trail *trail;
	struct records records;
	int64_t oldest_us;
	struct error error;
};

struct question {
	struct lane_job job;
	struct trail *trail;
	struct audit_filter filter;
	trail_answer_fn *answer;
	void *arg;
	struct records found;
	struct error error;
};

/* -- records -- */

static void texts_of(struct audit_record *record, const char **ret[TEXTS])
{
	const char **all[TEXTS] = { &record->principal, &record->access_key_id, &record->tenant,
				    &record->method,    &record->resource,      &record->peer,
				    &record->result,    &record->message,       &record->share };

	memcpy(ret, all, sizeof(all));
}

void trail_clear_record(struct audit_record *record)
{
	const char **texts[TEXTS];

	texts_of(record, texts);
	for (size_t i = 0; i < TEXTS; i++)
		free((char *)(uintptr_t)*texts[i]);
}

int trail_copy_record(struct audit_record *to, const struct audit_record *from)
{
	const char **texts[TEXTS];
	bool failed = false;

	*to = *from;
	texts_of(to, texts);
	for (size_t i = 0; i < TEXTS; i++) {
		*texts[i] = strdup(*texts[i]);
		failed |= !*texts[i];
	}
	if (!failed)
		return 0;
	trail_clear_record(to);
	return -ENOMEM;
}

static int records_add(struct records *records, const struct audit_record *record)
{
	if (records->count == records->capacity) {
		size_t capacity = records->capacity ? 2 * records->capacity : 16;
		struct audit_record *grown = reallocarray(records->list, capacity, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		records->list = grown;
		records->capacity = capacity;
	}
	int r = trail_copy_record(&records->list[records->count], record);
	if (r == 0)
		records->count++;
	return r;
}

static void records_clear(struct records *records)
{
	for (size_t i = 0; i < records->count; i++)
		trail_clear_record(&records->list[i]);
	free(records->list);
	*records = (struct records){ 0 };
}

/* -- writing -- */

static void write_waiting(struct trail *trail);

static void write_work(struct job *job)
{
	struct writing *writing = container_of(job, struct writing, job.job);
	const struct trail *trail = writing->trail;
	int r = audit_log_append(trail->log, writing->records.list, writing->records.count,
				 trail->config.max_records, writing->oldest_us, &writing->error);

	if (r < 0) /* an error that is set already stays */
		(void)error_set_errno(&writing->error, r, "Cannot write the audit log");
}

static void writing_free(struct writing *writing)
{
	LIST_REMOVE(writing, link);
	records_clear(&writing->records);
	error_clear(&writing->error);
	free(writing);
}

static void write_done(struct lane_job *job)
{
	struct writing *writing = container_of(job, struct writing, job);
	struct trail *trail = writing->trail;

	if (writing->error.code)
		log_error("%zu records of the audit log are lost: %s", writing->records.count,
			  error_log_text(&writing->error));
	writing_free(writing);
	if (LIST_EMPTY(&trail->writings))
		write_waiting(trail);
}

static void write_waiting(struct trail *trail)
{
	const struct trail_config *config = &trail->config;
	struct writing *writing;

	if (trail->waiting.count == 0)
		return;
	if (trail->lost)
		log_error("%llu records of the audit log are lost: the disk is too slow",
			  (unsigned long long)trail->lost);
	trail->lost = 0;
	writing = calloc(1, sizeof(*writing));
	if (!writing)
		abort(); /* as loop_post() */
	writing->trail = trail;
	writing->records = trail->waiting;
	writing->oldest_us = (config->age_now_us ? config->age_now_us(config->age_now_arg)
						 : clock_realtime_us()) -
			     config->keep_us;
	writing->job.job.work = write_work;
	writing->job.done = write_done;
	trail->waiting = (struct records){ 0 };
	LIST_INSERT_HEAD(&trail->writings, writing, link);
	lane_submit(&trail->lane, &writing->job);
}

void trail_note(struct trail *trail, const struct audit_record *record)
{
	const struct log_fields fields = {
		.tenant = record->tenant,
		.principal = record->principal,
		.access_key_id = record->access_key_id,
		.method = record->method,
		.peer = record->peer,
		.result = record->result,
	};
	struct audit_record noted = *record;

	noted.time_us = clock_realtime_us();
	log_write(LOG_NOTICE, &fields, "audit: %s%s%s from %s: %s %s: %s%s%s",
		  *record->principal ? record->principal : "somebody unknown",
		  *record->tenant ? " in tenant " : "", record->tenant, record->peer,
		  record->method, record->resource, record->result, *record->message ? ", " : "",
		  record->message);
	if (trail->waiting.count >= WAITING_MAX || records_add(&trail->waiting, &noted) < 0)
		trail->lost++;
	if (LIST_EMPTY(&trail->writings)) /* else with the next ones, when that is done */
		write_waiting(trail);
}

/* -- asking -- */

static void keep(const struct audit_record *record, void *arg)
{
	struct question *question = arg;

	if (records_add(&question->found, record) < 0)
		(void)error_set_errno(&question->error, ENOMEM, "Cannot read the audit log");
}

static void query_work(struct job *job)
{
	struct question *question = container_of(job, struct question, job.job);
	int r = audit_log_query(question->trail->log, &question->filter, keep, question,
				&question->error);

	if (r < 0)
		(void)error_set_errno(&question->error, r, "Cannot read the audit log");
}

static void query_done(struct lane_job *job)
{
	struct question *question = container_of(job, struct question, job);

	question->answer(question->found.list, question->error.code ? 0 : question->found.count,
			 question->error.code ? &question->error : NULL, question->arg);
	records_clear(&question->found);
	error_clear(&question->error);
	free(question);
}

void trail_query(struct trail *trail, const struct audit_filter *filter, trail_answer_fn *answer,
		 void *arg)
{
	struct question *question = calloc(1, sizeof(*question));

	if (!question)
		abort(); /* as loop_post() */
	question->trail = trail;
	question->filter = *filter;
	question->answer = answer;
	question->arg = arg;
	question->job.job.work = query_work;
	question->job.done = query_done;
	write_waiting(trail); /* what was noted before is found */
	lane_submit(&trail->lane, &question->job);
}

/* -- life -- */

int trail_open(const struct trail_config *config, struct loop *loop, struct trail **ret,
	       struct error *error)
{
	struct trail *trail = calloc(1, sizeof(*trail));
	int r;

	if (!trail)
		return error_set_errno(error, ENOMEM, "Cannot open the audit log");
	trail->config = *config;
	trail->config.path = NULL; /* is the log's from here on */
	LIST_INIT(&trail->writings);
	lane_init(&trail->lane, loop, 1);
	r = audit_log_open(config->path, &trail->log, error);
	if (r < 0) {
		free(trail);
		return r;
	}
	*ret = trail;
	return 0;
}

struct trail *trail_close(struct trail *trail)
{
	struct writing *writing;

	if (!trail)
		return NULL;
	while ((writing = LIST_FIRST(&trail->writings)))
		writing_free(writing);
	records_clear(&trail->waiting);
	(void)audit_log_close(trail->log);
	free(trail);
	return NULL;
}

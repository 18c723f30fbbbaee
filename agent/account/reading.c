/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "agent/account/account_internal.h"

static int no_memory(struct error *error)
{
	return error_set_errno(error, ENOMEM, "Cannot read the ledger");
}

/* -- rows -- */

struct query_job {
	struct lane_job job;
	struct account_wait wait;
	struct account *account;
	struct ledger_query query;
	account_rows_fn *fn;
	void *arg;
	struct ledger_row *rows; /* room for one more than asked for */
	struct account_rows result;
	struct error error;
};

static int take_row(const struct ledger_row *row, void *arg)
{
	struct query_job *job = arg;

	if (job->result.count < job->query.limit)
		job->rows[job->result.count++] = *row;
	else
		job->result.more = true;
	return 0;
}

static int take_total(const struct ledger_row *row, void *arg)
{
	*(struct ledger_row *)arg = *row;
	return 0;
}

static void query_work(struct job *inner)
{
	struct query_job *job =
		container_of(container_of(inner, struct lane_job, job), struct query_job, job);
	struct ledger *ledger = job->account->config.ledger;
	struct ledger_query query = job->query;
	int r;

	query.limit++;
	r = ledger_query(ledger, &query, take_row, job, &job->error);
	query.groups = 0;
	query.offset = 0;
	if (r == 0)
		r = ledger_query(ledger, &query, take_total, &job->result.total, &job->error);
	if (r < 0 && !job->error.code)
		(void)no_memory(&job->error);
}

static void query_done(struct lane_job *inner)
{
	struct query_job *job = container_of(inner, struct query_job, job);

	job->result.rows = job->rows;
	job->result.error = job->error.code ? &job->error : NULL;
	job->fn(&job->result, job->arg);
	error_clear(&job->error);
	free(job->rows);
	free(job);
}

static void query_now(struct account_wait *wait)
{
	struct query_job *job = container_of(wait, struct query_job, wait);

	job->job.key = job->query.filter.tenant;
	lane_submit(&job->account->reading, &job->job);
}

int account_query(struct account *account, const struct ledger_query *query, account_rows_fn *fn,
		  void *arg)
{
	_cleanup_free_ struct query_job *job = calloc(1, sizeof(*job));

	if (!job)
		return -ENOMEM;
	*job = (struct query_job){
		.job = { .job.work = query_work, .done = query_done },
		.wait.fn = query_now,
		.account = account,
		.query = *query,
		.fn = fn,
		.arg = arg,
		.rows = calloc((size_t)query->limit + 1, sizeof(*job->rows)),
	};
	if (!job->rows)
		return -ENOMEM;
	account_wait(account, &TAKE_PTR(job)->wait);
	return 0;
}

/* -- records -- */

struct read_job {
	struct lane_job job;
	struct account_wait wait;
	struct account *account;
	struct ledger_filter filter;
	uint64_t after;
	uint32_t limit;
	account_records_fn *fn;
	void *arg;
	struct ledger_record *records;
	struct account_records result;
	struct error error;
};

static int take_record(const struct ledger_record *record, void *arg)
{
	struct read_job *job = arg;

	if (job->result.count < job->limit)
		job->records[job->result.count++] = *record;
	else
		job->result.more = true;
	return 0;
}

static void read_work(struct job *inner)
{
	struct read_job *job =
		container_of(container_of(inner, struct lane_job, job), struct read_job, job);

	if (ledger_read(job->account->config.ledger, &job->filter, job->after, job->limit + 1,
			take_record, job, &job->error) < 0 &&
	    !job->error.code)
		(void)no_memory(&job->error);
}

static void read_done(struct lane_job *inner)
{
	struct read_job *job = container_of(inner, struct read_job, job);

	job->result.records = job->records;
	job->result.error = job->error.code ? &job->error : NULL;
	job->fn(&job->result, job->arg);
	error_clear(&job->error);
	free(job->records);
	free(job);
}

static void read_now(struct account_wait *wait)
{
	struct read_job *job = container_of(wait, struct read_job, wait);

	job->job.key = job->filter.tenant;
	lane_submit(&job->account->reading, &job->job);
}

int account_read(struct account *account, const struct ledger_filter *filter, uint64_t after,
		 uint32_t limit, account_records_fn *fn, void *arg)
{
	_cleanup_free_ struct read_job *job = calloc(1, sizeof(*job));

	if (!job)
		return -ENOMEM;
	*job = (struct read_job){
		.job = { .job.work = read_work, .done = read_done },
		.wait.fn = read_now,
		.account = account,
		.filter = *filter,
		.after = after,
		.limit = limit,
		.fn = fn,
		.arg = arg,
		.records = calloc(limit, sizeof(*job->records)),
	};
	if (!job->records)
		return -ENOMEM;
	account_wait(account, &TAKE_PTR(job)->wait);
	return 0;
}

uint64_t account_trimmed(const struct account *account)
{
	return account->trimmed;
}

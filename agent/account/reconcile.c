/* SPDX-License-Identifier: Apache-2.0 */

/* The same invocations, counted three times: the records anew, the rollups as they were added to,
 * the counters since the start. Counters and the newest sequence they know of are taken at one
 * moment of the loop, so what is committed meanwhile makes no difference. And held against the CPU
 * time that the host counts (host_check.c). */

#include <errno.h>
#include <string.h>

#include "agent/account/account_internal.h"
#include "agent/account/host_check.h"

struct reconcile_job {
	struct lane_job job;
	struct account_wait wait;
	struct account *account;
	account_reconciled_fn *fn;
	void *arg;
	uint64_t after, through;
	struct ledger_row *counters; /* as they were; sorted */
	bool *met;                   /* which of them the records know */
	size_t counter_count;
	struct host_checks hosts;
	struct account_difference *differences;
	struct account_reconciled result;
	struct error error;
};

static void free_job(struct reconcile_job *job)
{
	free(job->counters);
	free(job->met);
	free(job->differences);
	host_checks_clear(&job->hosts);
	error_clear(&job->error);
	free(job);
}

static void add(struct reconcile_job *job, const struct ledger_row *counted,
		const struct ledger_row *claimed, bool of_counters)
{
	job->result.total++;
	if (job->result.count < ACCOUNT_DIFFERENCES_MAX)
		job->differences[job->result.count++] = (struct account_difference){
			.counted = *counted, .claimed = *claimed, .of_counters = of_counters
		};
}

static int on_difference(const struct ledger_row *counted, const struct ledger_row *rolled,
			 void *arg)
{
	add(arg, counted, rolled, false);
	return 0;
}

static int compare_keys(const void *a, const void *b)
{
	return memcmp(a, b, ACCOUNT_KEY_BYTES);
}

/* The figures that counters have. */
static bool is_equal(const struct ledger_row *a, const struct ledger_row *b)
{
	return a->figures[LEDGER_INVOCATIONS] == b->figures[LEDGER_INVOCATIONS] &&
	       a->figures[LEDGER_ERRORS] == b->figures[LEDGER_ERRORS] &&
	       a->figures[LEDGER_BILLED_MS] == b->figures[LEDGER_BILLED_MS] &&
	       a->figures[LEDGER_MB_MS] == b->figures[LEDGER_MB_MS];
}

static struct ledger_row key_of(const struct ledger_row *row)
{
	struct ledger_row key = { 0 };

	(void)snprintf(key.tenant, sizeof(key.tenant), "%s", row->tenant);
	(void)snprintf(key.function, sizeof(key.function), "%s", row->function);
	(void)snprintf(key.version, sizeof(key.version), "%s", row->version);
	return key;
}

static int on_recounted(const struct ledger_row *row, void *arg)
{
	struct reconcile_job *job = arg;
	struct ledger_row key = key_of(row);
	const struct ledger_row *counter = bsearch(&key, job->counters, job->counter_count,
						   sizeof(*job->counters), compare_keys);

	if (counter)
		job->met[counter - job->counters] = true;
	if (!counter || !is_equal(row, counter))
		add(job, row, counter ? counter : &key, true);
	return host_checks_bill(&job->hosts, row->tenant, row->function, row->version,
				row->figures[LEDGER_INVOCATIONS], row->figures[LEDGER_BILLED_MS]);
}

static int recount(struct reconcile_job *job)
{
	int r;

	qsort(job->counters, job->counter_count, sizeof(*job->counters), compare_keys);
	r = ledger_recount(job->account->config.ledger, job->after, job->through, on_recounted, job,
			   &job->error);
	for (size_t i = 0; i < job->counter_count && r == 0; i++) {
		struct ledger_row key = key_of(&job->counters[i]);

		if (!job->met[i])
			add(job, &key, &job->counters[i], true);
	}
	if (r < 0)
		return r;
	job->result.host_differences = host_checks_judge(&job->hosts);
	job->result.total += job->result.host_differences;
	job->result.hosts = job->hosts.checks;
	job->result.host_count = job->hosts.count;
	return 0;
}

static void work(struct job *inner)
{
	struct reconcile_job *job =
		container_of(container_of(inner, struct lane_job, job), struct reconcile_job, job);
	struct ledger *ledger = job->account->config.ledger;
	int r;

	if (job->error.code)
		return;
	r = ledger_reconcile(ledger, on_difference, job, &job->result.sums, &job->error);
	if (r == 0 && job->result.counters_compared)
		r = recount(job);
	if (r < 0 && !job->error.code)
		(void)error_set_errno(&job->error, r, "Cannot read the ledger");
}

static void done(struct lane_job *inner)
{
	struct reconcile_job *job = container_of(inner, struct reconcile_job, job);

	job->result.error = job->error.code ? &job->error : NULL;
	job->result.differences = job->differences;
	job->fn(&job->result, job->arg);
	free_job(job);
}

uint64_t account_waiting(const struct account *account)
{
	uint64_t waiting = 0;

	for (const struct ledger_record *record = account->first; record; record = record->next)
		waiting++;
	for (const struct ledger_record *record = account->commit.first; record;
	     record = record->next)
		waiting++;
	return waiting;
}

static int bill_waiting(struct reconcile_job *job, const struct ledger_record *first)
{
	int r = 0;

	for (const struct ledger_record *record = first; record && r == 0; record = record->next)
		if (!container_of(record, const struct account_entry, record)->former)
			r = host_checks_bill(&job->hosts, record->tenant, record->function,
					     record->version, 1, record->billed_ms);
	return r;
}

/* Records that a former life left in the journal come among those of this one. */
static int unbill_former(struct reconcile_job *job, const struct account_counter *counter)
{
	const struct ledger_row *row = &counter->row;

	return counter->former
		       ? host_checks_bill(&job->hosts, row->tenant, row->function, row->version,
					  -counter->former, -counter->former_billed_ms)
		       : 0;
}

static int take_counters(struct reconcile_job *job)
{
	const struct account *account = job->account;
	size_t count = HASH_COUNT(account->counters);
	int r = 0;

	job->after = account->start_sequence;
	job->through = account->last_sequence;
	job->result.counted_since_start = account->counted;
	job->result.counters_compared = account->trimmed <= account->start_sequence;
	job->result.waiting = account_waiting(account);
	job->counters = calloc(count + 1, sizeof(*job->counters));
	job->met = calloc(count + 1, sizeof(*job->met));
	job->differences = calloc(ACCOUNT_DIFFERENCES_MAX, sizeof(*job->differences));
	if (!job->counters || !job->met || !job->differences)
		return -ENOMEM;
	for (struct account_counter *counter = account->counters; counter;
	     counter = counter->hh.next) {
		job->counters[job->counter_count++] = counter->row;
		if (r == 0)
			r = unbill_former(job, counter);
	}
	/* They ran, whether or not they can be written now. */
	if (r == 0)
		r = bill_waiting(job, account->first);
	return r < 0 ? r : bill_waiting(job, account->commit.first);
}

static void reconcile_now(struct account_wait *wait)
{
	struct reconcile_job *job = container_of(wait, struct reconcile_job, wait);
	int r = take_counters(job);

	if (r < 0)
		(void)error_set_errno(&job->error, r, "Cannot read the ledger");
	job->job.key = ""; /* of the node */
	lane_submit(&job->account->reading, &job->job);
}

int account_reconcile(struct account *account, const struct account_host_use *uses, size_t count,
		      account_reconciled_fn *fn, void *arg)
{
	struct reconcile_job *job = calloc(1, sizeof(*job));

	if (!job || host_checks_init(&job->hosts, uses, count) < 0) {
		free(job);
		return -ENOMEM;
	}
	job->job = (struct lane_job){ .job.work = work, .done = done };
	job->wait.fn = reconcile_now;
	job->account = account;
	job->fn = fn;
	job->arg = arg;
	account_wait(account, &job->wait);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/* The way of a record: gathered, committed with all that wait, then its answer is released. While
 * one commit is under way the next batch gathers. With a journal an answer waits for that only;
 * then commits are begun less often, and no answer by them. */

#include <errno.h>
#include <string.h>

#include "agent/account/account_internal.h"
#include "mayfly/clock.h"
#include "mayfly/log.h"

#define TICK_US     USEC_PER_SEC
#define GATHER_US   (20 * USEC_PER_MSEC)
#define GATHER_MANY 256 /* records: then it has been long enough */

static struct account_entry *entry_of(struct ledger_record *record)
{
	return container_of(record, struct account_entry, record);
}

/* -- since the start -- */

static struct account_counter *find_counter(struct account *account,
					    const struct ledger_record *record)
{
	struct account_counter *counter = NULL;
	struct ledger_row key = { 0 };

	(void)snprintf(key.tenant, sizeof(key.tenant), "%s", record->tenant);
	(void)snprintf(key.function, sizeof(key.function), "%s", record->function);
	(void)snprintf(key.version, sizeof(key.version), "%s", record->version);
	HASH_FIND(hh, account->counters, &key, ACCOUNT_KEY_BYTES, counter);
	if (counter)
		return counter;
	counter = calloc(1, sizeof(*counter));
	if (!counter)
		return NULL;
	counter->row = key;
	HASH_ADD(hh, account->counters, row, ACCOUNT_KEY_BYTES, counter);
	return counter;
}

static void count(struct account *account, struct ledger_record *record)
{
	struct account_counter *counter = find_counter(account, record);
	int64_t billed_ms = record->billed_ms;

	if (!counter) /* without memory a count is wrong, which reconciliation will say */
		return;
	if (record->billed_restore_ms > 0)
		billed_ms += record->billed_restore_ms;
	account->counted++;
	if (entry_of(record)->former) {
		counter->former++;
		counter->former_billed_ms += billed_ms;
	}
	counter->row.figures[LEDGER_INVOCATIONS]++;
	counter->row.figures[LEDGER_ERRORS] += record->result != LEDGER_OK;
	counter->row.figures[LEDGER_BILLED_MS] += billed_ms;
	counter->row.figures[LEDGER_MB_MS] += billed_ms * record->memory_mb;
}

/* -- commits -- */

static void start_commit(struct account *account);
static void commit_in_time(struct account *account);
static void arm_tick(struct account *account);

static void end_waits(struct account_wait **waits)
{
	struct account_wait *next;

	for (struct account_wait *wait = TAKE_PTR(*waits); wait; wait = next) {
		next = wait->next;
		wait->fn(wait);
	}
}

static void commit_work(struct job *job)
{
	struct account_commit *commit =
		container_of(container_of(job, struct lane_job, job), struct account_commit, job);
	struct account *account = container_of(commit, struct account, commit);
	struct ledger_state state;

	commit->result = ledger_commit(account->config.ledger, commit->first, &commit->wal_is_long,
				       &commit->error);
	ledger_get_state(account->config.ledger, &state);
	commit->last_sequence = state.last_sequence;
}

static void release(struct account_entry *entry, const struct error *error)
{
	account_recorded_fn *done = entry->done;

	entry->done = NULL;
	if (done)
		done(error, entry->arg);
}

static void release_batch(struct account *account, struct ledger_record *first)
{
	struct ledger_record *next;

	for (struct ledger_record *record = first; record; record = record->next) {
		budgets_release(entry_of(record));
		if (record->sequence == 0)
			continue; /* was there already */
		count(account, record);
		budgets_count(account, record);
		if (account->listener)
			account->listener(record, account->listener_arg);
	}
	for (struct ledger_record *record = first; record; record = next) {
		next = record->next;
		release(entry_of(record), NULL);
		free(entry_of(record));
	}
}

void account_finish_flush(struct account *account)
{
	loop_fn *flushed = account->flushed;
	uint64_t lost = 0;

	if (!flushed || account->commit.first || account->meters.writing ||
	    account->budgets.writes || account->budgets.sums)
		return;
	account_release_journaled(account);
	for (const struct ledger_record *record = account->first; record; record = record->next)
		lost += !container_of(record, const struct account_entry, record)->journaled;
	if (account->first)
		log_error("The usage of %llu invocations waits in the journal, that of %llu is "
			  "lost, none of which was answered with success: %s",
			  (unsigned long long)(account->gathered - lost), (unsigned long long)lost,
			  error_log_text(&account->failure));
	account->flushed = NULL;
	timer_disarm(&account->tick);
	account_stop_upkeep(account);
	flushed(account->flushed_arg);
}

static void on_success(struct account *account, struct ledger_record *first)
{
	struct account_wait *waits = TAKE_PTR(account->after_commit);

	if (account->failure.code)
		log_notice("The ledger can be written again.");
	error_clear(&account->failure);
	account->last_sequence = account->commit.last_sequence;
	if (account->commit.wal_is_long)
		account_checkpoint(account);
	account_clear_journal(account);
	account_release_journaled(account);
	/* From here on the commit is the next one's. */
	commit_in_time(account);
	release_batch(account, first);
	end_waits(&waits);
	if (!account->first)
		account_finish_flush(account);
}

static void count_gathered(struct account *account, struct ledger_record *record)
{
	account->gathered++;
	if (entry_of(record)->done && !entry_of(record)->journaled)
		account->answers_waiting++;
}

/* Nothing of the batch is in the ledger, or all of it is and the next try will notice. */
static void on_failure(struct account *account, struct ledger_record *first,
		       struct ledger_record *last)
{
	if (!account->failure.code)
		log_error("The ledger cannot be written, no function runs until it can: %s",
			  error_log_text(&account->commit.error));
	error_move(&account->failure, &account->commit.error);
	for (struct ledger_record *record = first; record; record = record->next)
		count_gathered(account, record);
	last->next = account->first;
	account->first = first;
	if (!account->last)
		account->last = last;
	end_waits(&account->after_commit);
	end_waits(&account->after_next);
	arm_tick(account);
	account_finish_flush(account);
}

static void commit_done(struct lane_job *job)
{
	struct account_commit *commit = container_of(job, struct account_commit, job);
	struct account *account = container_of(commit, struct account, commit);
	struct ledger_record *first = commit->first, *last = commit->last;

	commit->first = commit->last = NULL;
	if (commit->result == 0)
		on_success(account, first);
	else
		on_failure(account, first, last);
}

/* All that waits, in one transaction. */
static void start_commit(struct account *account)
{
	struct account_commit *commit = &account->commit;

	if (commit->first || !account->first)
		return;
	commit->first = account->first;
	commit->last = account->last;
	account->first = account->last = NULL;
	account->gathered = account->answers_waiting = 0;
	account->after_commit = TAKE_PTR(account->after_next);
	timer_disarm(&account->gathering);
	account->is_gathering = false;
	account_turn_journal(account);
	commit->job.job.work = commit_work;
	commit->job.done = commit_done;
	lane_submit(&account->writing, &commit->job);
}

static void on_gathered(void *arg)
{
	struct account *account = arg;

	account->is_gathering = false;
	start_commit(account);
}

/* At once, if somebody waits for it. A ledger that failed is tried again by the tick alone. */
static void commit_in_time(struct account *account)
{
	if (account->failure.code || !account->first)
		return;
	if (account->answers_waiting > 0 || account->after_next || account->flushed ||
	    account->gathered >= GATHER_MANY) {
		start_commit(account);
		return;
	}
	if (account->is_gathering)
		return;
	if (timer_arm(&account->gathering, account->loop, clock_monotonic_us() + GATHER_US,
		      on_gathered, account) < 0)
		start_commit(account);
	else
		account->is_gathering = true;
}

void account_wait(struct account *account, struct account_wait *wait)
{
	bool is_next = account->first && !account->failure.code;
	struct account_wait **waits = is_next ? &account->after_next : &account->after_commit;

	if (!is_next && !account->commit.first) {
		wait->fn(wait);
		return;
	}
	wait->next = *waits;
	*waits = wait;
	commit_in_time(account);
}

/* -- while it cannot be written -- */

static void withhold(struct account_entry *entry, const struct account *account)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	(void)error_set(&error, ERROR_INTERNAL, NULL,
			"The function ran, but its usage could not be recorded within %lld ms, so "
			"its answer is withheld.",
			(long long)(account->config.answer_wait_us / USEC_PER_MSEC));
	entry->record.withheld = true;
	release(entry, &error);
}

static void on_tick(void *arg);

/* Not for each record: an armed one is enough for all. */
static void arm_tick(struct account *account)
{
	if (account->ticking)
		return;
	account->ticking = timer_arm(&account->tick, account->loop, clock_monotonic_us() + TICK_US,
				     on_tick, account) >= 0;
}

static void on_tick(void *arg)
{
	struct account *account = arg;
	int64_t before_us = clock_monotonic_us() - account->config.answer_wait_us;

	account->ticking = false;
	/* Those in a commit are the job's; they are looked at after it. */
	if (account->failure.code && !account->commit.first)
		for (struct ledger_record *record = account->first; record; record = record->next)
			if (!entry_of(record)->journaled && entry_of(record)->done &&
			    entry_of(record)->since_us <= before_us) {
				account->answers_waiting--;
				withhold(entry_of(record), account);
			}
	start_commit(account);
	if (account->commit.first)
		arm_tick(account);
}

/* -- the door -- */

static int refuse(const struct error *reason, struct error *error)
{
	return error_set(error, ERROR_UNAVAILABLE, NULL,
			 "The node runs no function, because it cannot record usage: %s",
			 error_text(reason));
}

int account_admit(struct account *account, struct account_entry **ret, struct error *error)
{
	_cleanup_error_ struct error full = ERROR_INIT;
	struct account_entry *entry;

	if (account->failure.code)
		return refuse(&account->failure, error);
	if (ledger_check_room(account->config.ledger, &full) < 0)
		return refuse(&full, error);
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return error_set_errno(error, ENOMEM, "Cannot account for the invocation");
	*ret = entry;
	return 0;
}

struct account_entry *account_drop(struct account_entry *entry)
{
	if (entry)
		budgets_release(entry);
	free(entry);
	return NULL;
}

void account_gather(struct account *account, struct account_entry *entry)
{
	entry->record.next = NULL;
	if (account->last)
		account->last->next = &entry->record;
	else
		account->first = &entry->record;
	account->last = &entry->record;
	count_gathered(account, &entry->record);
}

void account_record(struct account *account, struct account_entry *entry, account_recorded_fn *done,
		    void *arg)
{
	entry->done = done;
	entry->arg = arg;
	entry->since_us = clock_monotonic_us();
	entry->journaled = account_put_in_journal(account, entry);
	account_gather(account, entry);
	commit_in_time(account);
	if (!entry->journaled)
		arm_tick(account);
}

void account_set_listener(struct account *account, account_listener *fn, void *arg)
{
	account->listener = fn;
	account->listener_arg = arg;
}

static void flush_posted(void *arg)
{
	struct account *account = arg;

	start_commit(account);
	meters_flush(account);
	account_finish_flush(account);
}

void account_flush(struct account *account, loop_fn *done, void *arg)
{
	account->flushed = done;
	account->flushed_arg = arg;
	loop_post(account->loop, flush_posted, account);
}

int account_new(const struct account_config *config, struct loop *loop, struct account **ret,
		struct error *error)
{
	_cleanup_(account_free_p) struct account *account = calloc(1, sizeof(*account));
	struct ledger_state state;
	int r;

	if (!account)
		return error_set_errno(error, ENOMEM, "Cannot make the account");
	account->config = *config;
	account->loop = loop;
	lane_init_urgent(&account->writing, loop);
	lane_init(&account->reading, loop, 1);
	lane_init(&account->checkpoints, loop, 1);
	ledger_get_state(config->ledger, &state);
	account->start_sequence = account->last_sequence = state.last_sequence;
	account->trimmed = state.trimmed;
	r = budgets_load(account, error);
	if (r < 0)
		return r;
	r = account_start_upkeep(account);
	if (r < 0)
		return error_set_errno(error, r, "Cannot make the account");
	r = account_start_journal(account, error);
	if (r < 0)
		return r;
	budgets_reserve_journaled(account);
	commit_in_time(account);
	*ret = TAKE_PTR(account);
	return 0;
}

static void free_entries(struct ledger_record *record)
{
	struct ledger_record *next;

	for (; record; record = next) {
		next = record->next;
		free(entry_of(record));
	}
}

struct account *account_free(struct account *account)
{
	struct account_counter *counter, *next;

	if (!account)
		return NULL;
	timer_disarm(&account->tick);
	timer_disarm(&account->gathering);
	account_stop_upkeep(account);
	account_stop_journal(account);
	meters_clear(account);
	free_entries(account->first);
	free_entries(account->commit.first);
	budgets_clear(account);
	HASH_ITER (hh, account->counters, counter, next) {
		HASH_DEL(account->counters, counter);
		free(counter);
	}
	error_clear(&account->failure);
	error_clear(&account->commit.error);
	free(account);
	return NULL;
}

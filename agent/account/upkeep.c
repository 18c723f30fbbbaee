/* SPDX-License-Identifier: Apache-2.0 */

/* Old records go, and days are summed up, in small steps between commits; what was committed moves
 * into the file beside them. */

#include "agent/account/account_internal.h"
#include "mayfly/clock.h"
#include "mayfly/log.h"

#define FIRST_TRIM_US     (60 * USEC_PER_SEC)
#define TRIM_INTERVAL_US  (3600 * USEC_PER_SEC)
#define TRIM_PAUSE_US     (100 * USEC_PER_MSEC) /* between steps */
#define TRIM_RECORDS      500                   /* of a step: some milliseconds */
/* A day is summed up when hardly anything comes for it any more. */
#define SUM_DAYS_AFTER_US LEDGER_HOUR_US

static struct account *of_trim(struct lane_job *job)
{
	return container_of(job, struct account, upkeep.trim);
}

static struct account *of_checkpoint(struct lane_job *job)
{
	return container_of(job, struct account, upkeep.checkpoint);
}

static void trim_work(struct job *job)
{
	struct account *account = of_trim(container_of(job, struct lane_job, job));
	struct account_upkeep *upkeep = &account->upkeep;
	struct ledger_state state;

	upkeep->deleted = 0;
	upkeep->more_days = false;
	upkeep->trim_result =
		ledger_trim(account->config.ledger, upkeep->now_us - account->config.raw_keep_us,
			    upkeep->now_us, TRIM_RECORDS, &upkeep->deleted, &upkeep->trim_error);
	if (upkeep->trim_result == 0)
		upkeep->trim_result =
			ledger_sum_day(account->config.ledger, upkeep->now_us - SUM_DAYS_AFTER_US,
				       &upkeep->more_days, &upkeep->trim_error);
	ledger_get_state(account->config.ledger, &state);
	upkeep->trimmed = state.trimmed;
}

static void on_time(void *arg);

static int arm(struct account *account, int64_t after_us)
{
	return timer_arm(&account->upkeep.timer, account->loop, clock_monotonic_us() + after_us,
			 on_time, account);
}

static void trim_done(struct lane_job *job)
{
	struct account *account = of_trim(job);
	struct account_upkeep *upkeep = &account->upkeep;
	bool more = upkeep->deleted == TRIM_RECORDS || upkeep->more_days;

	if (upkeep->trim_result < 0)
		log_warning("Old usage records cannot be deleted, or days not be summed up: %s",
			    error_log_text(&upkeep->trim_error));
	error_clear(&upkeep->trim_error);
	account->trimmed = upkeep->trimmed;
	if (arm(account, more ? TRIM_PAUSE_US : TRIM_INTERVAL_US) < 0)
		log_warning("Old usage records stay until the next start: out of memory");
}

static void on_time(void *arg)
{
	struct account *account = arg;
	struct account_upkeep *upkeep = &account->upkeep;
	const struct account_config *config = &account->config;

	upkeep->now_us =
		config->age_now_us ? config->age_now_us(config->age_now_arg) : clock_realtime_us();
	upkeep->trim.job.work = trim_work;
	upkeep->trim.done = trim_done;
	lane_submit(&account->writing, &upkeep->trim);
}

int account_start_upkeep(struct account *account)
{
	return arm(account, FIRST_TRIM_US);
}

void account_stop_upkeep(struct account *account)
{
	timer_disarm(&account->upkeep.timer);
	error_clear(&account->upkeep.trim_error);
	error_clear(&account->upkeep.checkpoint_error);
}

static void checkpoint_work(struct job *job)
{
	struct account *account = of_checkpoint(container_of(job, struct lane_job, job));

	account->upkeep.checkpoint_result =
		ledger_checkpoint(account->config.ledger, &account->upkeep.checkpoint_error);
}

static void checkpoint_done(struct lane_job *job)
{
	struct account_upkeep *upkeep = &of_checkpoint(job)->upkeep;

	upkeep->checkpointing = false;
	if (upkeep->checkpoint_result < 0)
		log_warning("%s", error_log_text(&upkeep->checkpoint_error));
	error_clear(&upkeep->checkpoint_error);
}

void account_checkpoint(struct account *account)
{
	struct account_upkeep *upkeep = &account->upkeep;

	if (upkeep->checkpointing)
		return;
	upkeep->checkpointing = true;
	upkeep->checkpoint.job.work = checkpoint_work;
	upkeep->checkpoint.done = checkpoint_done;
	lane_submit(&account->checkpoints, &upkeep->checkpoint);
}

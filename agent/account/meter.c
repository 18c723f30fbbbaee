/* SPDX-License-Identifier: Apache-2.0 */

/* What is billed for the time that it is there. A meter has a piece while units are there: a span
 * of time in which their number does not change, and which ends with its hour at the latest. Pieces
 * are written as they grow, once a minute, and when they end. */

#include <errno.h>
#include <string.h>

#include "agent/account/account_internal.h"
#include "mayfly/clock.h"
#include "mayfly/log.h"

#define HOUR_MS   (LEDGER_HOUR_US / 1000)
#define IS_OLD    INT64_MIN

/* Kind, tenant, function and version of a piece whose rest is zero are a meter's key. */
#define KEY_BYTES (offsetof(struct ledger_accrual, slot) - offsetof(struct ledger_accrual, tenant))

/* Units that came at the same time. */
struct batch {
	unsigned units;
	int64_t since_us; /* monotonic; IS_OLD: no minimum is due */
};

struct meter {
	struct ledger_accrual piece; /* units 0: none is open */
	int64_t piece_since_us;      /* monotonic */
	struct batch *batches;       /* the youngest last */
	size_t batch_count;
	unsigned allocated; /* the sum of their units */
	unsigned old_units; /* of what is wanted, so many were before the start */
	unsigned last_slot;
	UT_hash_handle hh;
};

static int64_t minimum_us(enum ledger_accrual_kind kind)
{
	return kind == LEDGER_CACHE ? ACCOUNT_CACHE_MIN_US : ACCOUNT_ALLOCATION_MIN_US;
}

/* -- meters -- */

static void fill_key(const struct account_metered *now, struct ledger_accrual *ret)
{
	memset(ret, 0, sizeof(*ret));
	(void)snprintf(ret->tenant, sizeof(ret->tenant), "%s", now->tenant);
	(void)snprintf(ret->function, sizeof(ret->function), "%s", now->function);
	(void)snprintf(ret->version, sizeof(ret->version), "%s", now->version);
	ret->kind = now->kind;
}

static struct meter *find(struct account_meters *meters, const struct ledger_accrual *key)
{
	struct meter *meter = NULL;

	HASH_FIND(hh, meters->meters, key->tenant, KEY_BYTES, meter);
	return meter;
}

static struct meter *get(struct account_meters *meters, const struct account_metered *now)
{
	struct ledger_accrual key;
	struct meter *meter;

	fill_key(now, &key);
	meter = find(meters, &key);
	if (meter || now->wanted == 0)
		return meter;
	meter = calloc(1, sizeof(*meter));
	if (!meter)
		return NULL;
	meter->piece = key;
	meter->old_units = now->old ? now->wanted : 0;
	HASH_ADD(hh, meters->meters, piece.tenant, KEY_BYTES, meter);
	return meter;
}

static void forget(struct account_meters *meters, struct meter *meter)
{
	HASH_DEL(meters->meters, meter);
	free(meter->batches);
	free(meter);
}

/* -- pieces -- */

static void extend(struct meter *meter, int64_t now_us)
{
	meter->piece.ends_ms =
		meter->piece.begins_ms + (now_us - meter->piece_since_us) / USEC_PER_MSEC;
}

/* No two begin at once, whatever the clock of the day does. */
static void open_piece(struct meter *meter, unsigned units, unsigned memory_mb, int64_t now_us)
{
	int64_t begins_ms = clock_realtime_us() / USEC_PER_MSEC;

	meter->piece.begins_ms =
		begins_ms > meter->piece.begins_ms ? begins_ms : meter->piece.begins_ms + 1;
	meter->piece.units = units;
	meter->piece.memory_mb = memory_mb;
	meter->piece_since_us = now_us;
	extend(meter, now_us);
}

static void keep(struct account_meters *meters, struct ledger_accrual *copy,
		 const struct ledger_accrual *piece)
{
	*copy = *piece;
	copy->next = meters->closed;
	meters->closed = copy;
}

static int close_piece(struct account_meters *meters, struct meter *meter, int64_t now_us)
{
	struct ledger_accrual *copy;

	if (meter->piece.units == 0)
		return 0;
	copy = malloc(sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	extend(meter, now_us);
	keep(meters, copy, &meter->piece);
	meter->piece.units = 0;
	return 0;
}

/* The rest of the minimum, for units that go before it is over. */
static int charge_rest(struct account_meters *meters, struct meter *meter, unsigned units,
		       int64_t rest_us)
{
	struct ledger_accrual *copy = malloc(sizeof(*copy));
	struct ledger_accrual rest = meter->piece;

	if (!copy)
		return -ENOMEM;
	rest.slot = ++meter->last_slot;
	rest.units = units;
	rest.begins_ms = clock_realtime_us() / USEC_PER_MSEC;
	rest.ends_ms = rest.begins_ms + rest_us / USEC_PER_MSEC;
	keep(meters, copy, &rest);
	return 0;
}

/* -- units come and go -- */

static int add_batch(struct meter *meter, unsigned units, int64_t since_us)
{
	struct batch *more;

	if (units == 0)
		return 0;
	more = reallocarray(meter->batches, meter->batch_count + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	meter->batches = more;
	more[meter->batch_count++] = (struct batch){ .units = units, .since_us = since_us };
	meter->allocated += units;
	return 0;
}

static int allocate(struct meter *meter, unsigned units, int64_t now_us)
{
	unsigned more = units > meter->allocated ? units - meter->allocated : 0;
	unsigned old =
		meter->old_units > meter->allocated ? meter->old_units - meter->allocated : 0;
	int r;

	if (old > more)
		old = more;
	r = add_batch(meter, old, IS_OLD);
	return r < 0 ? r : add_batch(meter, more - old, now_us);
}

/* The youngest go first. */
static int give_back(struct account_meters *meters, struct meter *meter, unsigned wanted,
		     int64_t now_us)
{
	while (meter->allocated > wanted) {
		struct batch *youngest = &meter->batches[meter->batch_count - 1];
		unsigned excess = meter->allocated - wanted;
		unsigned units = youngest->units < excess ? youngest->units : excess;
		int64_t rest_us =
			youngest->since_us == IS_OLD
				? 0
				: minimum_us(meter->piece.kind) - (now_us - youngest->since_us);
		int r = rest_us > 0 ? charge_rest(meters, meter, units, rest_us) : 0;

		if (r < 0)
			return r;
		meter->allocated -= units;
		youngest->units -= units;
		meter->batch_count -= youngest->units == 0;
	}
	if (meter->old_units > wanted)
		meter->old_units = wanted;
	return 0;
}

static int update(struct account_meters *meters, struct meter *meter,
		  const struct account_metered *now, int64_t now_us)
{
	unsigned units = now->available < now->wanted ? now->available : now->wanted;
	bool same = meter->piece.units == units &&
		    (units == 0 || meter->piece.memory_mb == now->memory_mb);
	int r = allocate(meter, units, now_us);

	if (r == 0 && !same)
		r = close_piece(meters, meter, now_us);
	if (r < 0)
		return r;
	r = give_back(meters, meter, now->wanted, now_us);
	if (r == 0 && !same && units > 0)
		open_piece(meter, units, now->memory_mb, now_us);
	return r;
}

/* -- writing -- */

static void submit(struct account *account);

static struct account *of_job(struct lane_job *job)
{
	return container_of(job, struct account, meters.job);
}

static void work(struct job *job)
{
	struct account *account = of_job(container_of(job, struct lane_job, job));
	struct account_meters *meters = &account->meters;

	meters->result = ledger_accrue(account->config.ledger, meters->batch, &meters->error);
}

static void free_list(struct ledger_accrual *first)
{
	struct ledger_accrual *next;

	for (; first; first = next) {
		next = first->next;
		free(first);
	}
}

/* What has ended waits again, what has not will be longer by then. */
static void take_back(struct account_meters *meters)
{
	struct ledger_accrual *accrual = meters->batch, *next;

	for (; accrual != meters->batch_open; accrual = next) {
		next = accrual->next;
		accrual->next = meters->closed;
		meters->closed = accrual;
	}
	meters->batch = meters->batch_open;
}

static void done(struct lane_job *job)
{
	struct account *account = of_job(job);
	struct account_meters *meters = &account->meters;

	meters->writing = false;
	if (meters->result < 0) {
		take_back(meters);
		if (!meters->failing)
			log_warning("Time of provisioned sandboxes and snapshots cannot be "
				    "recorded, and is tried again: %s",
				    error_log_text(&meters->error));
	}
	meters->failing = meters->result < 0;
	free_list(TAKE_PTR(meters->batch));
	error_clear(&meters->error);
	if (meters->again && !meters->failing)
		submit(account);
	account_finish_flush(account);
}

/* Open pieces as they are now; without memory the next time will have them. */
static struct ledger_accrual *copy_open(struct account_meters *meters, int64_t now_us)
{
	struct ledger_accrual *first = NULL;

	for (struct meter *meter = meters->meters; meter; meter = meter->hh.next) {
		struct ledger_accrual *copy = meter->piece.units > 0 ? malloc(sizeof(*copy)) : NULL;

		if (!copy)
			continue;
		extend(meter, now_us);
		*copy = meter->piece;
		copy->next = first;
		first = copy;
	}
	return first;
}

static void submit(struct account *account)
{
	struct account_meters *meters = &account->meters;
	struct ledger_accrual **tail = &meters->batch;

	meters->again = meters->writing;
	if (meters->writing)
		return;
	meters->batch = TAKE_PTR(meters->closed);
	while (*tail)
		tail = &(*tail)->next;
	*tail = meters->batch_open = copy_open(meters, clock_monotonic_us());
	if (!meters->batch)
		return;
	meters->writing = true;
	meters->job.job.work = work;
	meters->job.done = done;
	lane_submit(&account->writing, &meters->job);
}

static void on_time(void *arg);

/* In a minute, or when the hour ends. */
static void arm(struct account *account)
{
	int64_t hour_us = LEDGER_HOUR_US - clock_realtime_us() % LEDGER_HOUR_US;
	int64_t wait_us = hour_us < ACCOUNT_METER_US ? hour_us : ACCOUNT_METER_US;

	if (timer_arm(&account->meters.timer, account->loop, clock_monotonic_us() + wait_us,
		      on_time, account) < 0)
		log_warning("Time of provisioned sandboxes is not recorded until it changes: out "
			    "of memory");
}

static void split_by_hour(struct account_meters *meters, int64_t now_us)
{
	int64_t hour = clock_realtime_us() / LEDGER_HOUR_US;

	for (struct meter *meter = meters->meters; meter; meter = meter->hh.next) {
		int64_t units = meter->piece.units;

		if (units == 0 || meter->piece.begins_ms / HOUR_MS >= hour)
			continue;
		if (close_piece(meters, meter, now_us) == 0)
			open_piece(meter, (unsigned)units, (unsigned)meter->piece.memory_mb,
				   now_us);
	}
}

static void on_time(void *arg)
{
	struct account *account = arg;

	split_by_hour(&account->meters, clock_monotonic_us());
	submit(account);
	if (account->meters.meters || account->meters.closed)
		arm(account);
}

/* -- the door -- */

int account_meter(struct account *account, const struct account_metered *now)
{
	struct account_meters *meters = &account->meters;
	bool first = !meters->meters;
	struct meter *meter = get(meters, now);
	int r;

	if (!meter)
		return now->wanted == 0 ? 0 : -ENOMEM;
	r = update(meters, meter, now, clock_monotonic_us());
	if (r < 0)
		return r;
	if (now->wanted == 0)
		forget(meters, meter);
	if (meters->closed)
		submit(account);
	if (first || meters->closed)
		arm(account);
	return 0;
}

void meters_flush(struct account *account)
{
	struct account_meters *meters = &account->meters;

	timer_disarm(&meters->timer);
	for (struct meter *meter = meters->meters; meter; meter = meter->hh.next)
		if (close_piece(meters, meter, clock_monotonic_us()) < 0)
			log_warning("The last minute of provisioned sandboxes is not billed: out "
				    "of memory");
	submit(account);
}

void meters_clear(struct account *account)
{
	struct account_meters *meters = &account->meters;
	struct meter *meter, *next;

	timer_disarm(&meters->timer);
	HASH_ITER (hh, meters->meters, meter, next)
		forget(meters, meter);
	free_list(TAKE_PTR(meters->closed));
	free_list(TAKE_PTR(meters->batch));
	error_clear(&meters->error);
}

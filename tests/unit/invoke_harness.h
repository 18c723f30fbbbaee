/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For tests of agent/invoke: an invoker, those who ask it, and doubles of the pool, the directory
 * and the account, which the linker takes before the real ones. After <cmocka.h>. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-event.h>

#include "agent/deploy/alias_directory.h"
#include "agent/invoke/billing.h"
#include "agent/account/budget.h"
#include "agent/invoke/invocation_internal.h"
#include "mayfly/clock.h"
#include "tests/unit/run_until.h"

#define LIMIT_US    (10 * USEC_PER_SEC)
#define MIB         (1ULL << 20)
#define LARGE_BYTES (6 * MIB)

static struct function function = { .tenant = (char *)"123456789012",
				    .name = (char *)"f",
				    .config = { .timeout_seconds = 3 },
				    .state = FUNCTION_ACTIVE };

/* -- doubles -- */

static const struct alias *alias; /* that any qualifier names */
static bool idle;                 /* whether a sandbox is at hand */
static unsigned cancelled;
static unsigned acquired; /* in the pool's queue, or they were */

/* Nothing is provisioned. */
unsigned directory_provision_each(const struct directory *d _unused_, const char *tenant _unused_,
				  const char *name _unused_,
				  void (*fn)(const struct function *version, void *arg) _unused_,
				  void *arg _unused_)
{
	return 0;
}

unsigned directory_provisioned(const struct directory *d _unused_,
			       const struct function *version _unused_)
{
	return 0;
}

int pool_set_provisioned(struct pool *p _unused_, const struct function *f _unused_,
			 unsigned provisioned _unused_)
{
	return 0;
}

bool pool_has_provisioned(struct pool *p _unused_, const struct function *f _unused_,
			  unsigned *ret_wanted)
{
	*ret_wanted = 0;
	return false;
}

void pool_get_provision(struct pool *p _unused_, const struct function *f _unused_,
			struct pool_provision *ret)
{
	*ret = (struct pool_provision){ 0 };
}

int directory_add_listener(struct directory *d _unused_, directory_listener *fn _unused_,
			   void *arg _unused_)
{
	return 0;
}

void directory_each(const struct directory *d _unused_,
		    void (*fn)(const struct function *function, void *arg) _unused_,
		    void *arg _unused_)
{
}

const struct function *directory_find_qualified(const struct directory *d _unused_,
						const char *tenant _unused_,
						const char *name _unused_,
						const char *qualifier _unused_)
{
	return &function;
}

const struct alias *directory_find_alias(const struct directory *d _unused_,
					 const char *tenant _unused_,
					 const char *function_name _unused_,
					 const char *name _unused_)
{
	return alias;
}

int directory_set_not_found(const struct directory *d _unused_, const char *tenant _unused_,
			    const char *name _unused_, const char *qualifier _unused_,
			    struct error *error)
{
	return error_set(error, ERROR_NOT_FOUND, NULL, "not found");
}

void pool_function_changed(struct pool *pool _unused_, const struct function *f _unused_)
{
}

void pool_function_deleted(struct pool *pool _unused_, const struct function *f _unused_)
{
}

unsigned pool_count_sandboxes(struct pool *pool _unused_, const char *tenant _unused_,
			      const char *name _unused_)
{
	return 0;
}

int pool_acquire(struct pool *pool _unused_, const struct function *f _unused_,
		 struct demand *demand, struct sandbox **ret, struct error *error _unused_)
{
	demand->queued_us = clock_monotonic_us();
	acquired += !idle;
	*ret = (struct sandbox *)&function;
	return idle;
}

static unsigned admitted;
static bool ledger_fails; /* nothing may run */
static bool records_late; /* the record is held, and with it the answer */
static struct account_entry *held;
static struct ledger_record recorded;

int account_admit(struct account *account _unused_, struct account_entry **ret, struct error *error)
{
	if (ledger_fails)
		return error_set(error, ERROR_UNAVAILABLE, NULL, "no ledger");
	admitted++;
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

struct account_entry *account_drop(struct account_entry *entry)
{
	if (entry)
		admitted--;
	free(entry);
	return NULL;
}

static void tell(struct account_entry *entry, const struct error *error)
{
	admitted--;
	entry->done(error, entry->arg);
	free(entry);
}

void account_record(struct account *account _unused_, struct account_entry *entry,
		    account_recorded_fn *done, void *arg)
{
	recorded = entry->record;
	entry->done = done;
	entry->arg = arg;
	if (records_late)
		held = entry;
	else
		tell(entry, NULL);
}

int account_check_budgets(struct account *account _unused_, const char *tenant _unused_,
			  const char *name _unused_, struct error *error _unused_)
{
	return 0;
}

void account_reserve_budgets(struct account *account _unused_, struct account_entry *entry _unused_,
			     const char *tenant _unused_, const char *name _unused_)
{
}

int account_meter(struct account *account _unused_, const struct account_metered *now _unused_)
{
	return 0;
}

void pool_cancel(struct pool *pool _unused_, struct demand *demand _unused_)
{
	cancelled++;
}

void sandbox_get_facts(const struct sandbox *sandbox _unused_, struct sandbox_facts *ret)
{
	*ret = (struct sandbox_facts){
		.id = "ab", .version = "$LATEST", .invocations = 2, .memory_mb = 128
	};
}

const struct function_config *sandbox_config(const struct sandbox *sandbox _unused_)
{
	return &function.config;
}

const struct line_runtime *sandbox_runtime(const struct sandbox *sandbox _unused_)
{
	return NULL;
}

struct log_stream *sandbox_log(const struct sandbox *sandbox _unused_)
{
	return NULL;
}

int sandbox_send(struct sandbox *sandbox _unused_,
		 const Mayfly__Guest__V1__HostMessage *message _unused_)
{
	return 0;
}

void sandbox_mark_reset(struct sandbox *sandbox _unused_)
{
}

void sandbox_hold(struct sandbox *sandbox _unused_)
{
}

void sandbox_unhold(struct sandbox *sandbox _unused_)
{
}

void sandbox_release(struct sandbox *sandbox _unused_, const char *end_reason _unused_)
{
}

void log_stream_write(struct log_stream *stream _unused_, int64_t realtime_us _unused_,
		      struct slice text _unused_)
{
}

void log_stream_capture_begin(struct log_stream *stream _unused_, size_t max _unused_)
{
}

void log_stream_capture_end(struct log_stream *stream _unused_, struct buf *to _unused_)
{
}

/* -- asking -- */

struct fixture {
	struct loop *loop;
	struct invoker *invoker;
	char *large; /* JSON of LARGE_BYTES */
};

struct asker {
	struct invocation *invocation;
	bool answered;
	enum error_code code;
	unsigned status_code;
	char text[128];
	char reason[64];
};

static void on_done(struct invocation *invocation _unused_, const struct invocation_result *result,
		    void *user)
{
	struct asker *asker = user;

	asker->answered = true;
	asker->code = result->error ? result->error->code : ERROR_NONE;
	asker->status_code = result->status_code;
	(void)snprintf(asker->text, sizeof(asker->text), "%s",
		       result->error ? error_text(result->error) : "");
	(void)snprintf(asker->reason, sizeof(asker->reason), "%s",
		       result->error && result->error->reason ? result->error->reason : "");
}

static const struct invocation_events events = { .on_done = on_done };

static void ask_for(struct fixture *f, struct asker *asker, const char *tenant,
		    struct slice payload, enum invocation_type type, const char *request_id)
{
	struct invocation_request request = { .tenant = tenant,
					      .function_name = "f",
					      .qualifier = "live",
					      .type = type,
					      .request_id = request_id,
					      .payload = payload,
					      .deadline_us = INT64_MAX,
					      .events = &events,
					      .user = asker };

	*asker = (struct asker){ 0 };
	assert_int_equal(invoker_submit(f->invoker, &request, &asker->invocation), 0);
	assert_false(asker->answered);
}

static void ask_as(struct fixture *f, struct asker *asker, struct slice payload,
		   enum invocation_type type, const char *request_id)
{
	ask_for(f, asker, NULL, payload, type, request_id);
}

static void ask(struct fixture *f, struct asker *asker, struct slice payload)
{
	ask_as(f, asker, payload, INVOCATION_REQUEST_RESPONSE, NULL);
}

static struct slice _unused_ large(struct fixture *f)
{
	return slice_new(f->large, LARGE_BYTES);
}

static uint64_t waiting_bytes(const struct fixture *f)
{
	struct invoker_gauges gauges;

	invoker_gauges(f->invoker, &gauges);
	return gauges.waiting_bytes;
}

static bool _unused_ is_waiting(const struct asker *asker)
{
	return !asker->answered && asker->invocation->wait_timer.source;
}

/* As the pool does when a sandbox is free, and when it is lost. */
static void bind(struct asker *asker)
{
	invocation_demand_events.on_bound(&asker->invocation->demand, (struct sandbox *)&function);
}

static void lose(struct asker *asker)
{
	invocation_demand_events.on_lost(&asker->invocation->demand, "lost", true);
	assert_true(asker->answered);
}

static void give_up(struct asker *asker)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	(void)error_set(&error, ERROR_UNAVAILABLE, NULL, "none");
	invocation_demand_events.on_failed(&asker->invocation->demand, &error);
	assert_true(asker->answered);
}

static void assert_refused(struct fixture *f, struct asker *asker)
{
	RUN_UNTIL(f, asker->answered);
	assert_int_equal(asker->code, ERROR_TOO_MANY_REQUESTS);
	assert_string_equal(asker->text, "Rate Exceeded.");
}

static void _unused_ assert_has_no_room(struct fixture *f, struct asker *asker)
{
	assert_refused(f, asker);
	assert_string_equal(asker->reason, THROTTLE_NODE);
}

static void make_invoker_with(struct fixture *f, unsigned concurrency, unsigned places)
{
	struct invoker_config config = { .region = "us-east-1",
					 .default_tenant = "123456789012",
					 .max_waiting = places,
					 .max_waiting_bytes = 8 * MIB,
					 .limits.tenant = concurrency };

	invoker_free(f->invoker);
	assert_int_equal(invoker_new(&config, f->loop, NULL, NULL, NULL, &f->invoker, NULL), 0);
}

static void make_invoker(struct fixture *f, unsigned concurrency)
{
	make_invoker_with(f, concurrency, 0);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_int_equal(loop_new(1, &f->loop), 0);
	make_invoker(f, 0);
	f->large = malloc(LARGE_BYTES);
	memset(f->large, 'x', LARGE_BYTES);
	f->large[0] = f->large[LARGE_BYTES - 1] = '"';
	alias = NULL;
	idle = ledger_fails = records_late = false;
	cancelled = acquired = 0;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(f->invoker->running, 0);
	assert_int_equal(admitted, 0);
	assert_int_equal(waiting_bytes(f), 0);
	invoker_free(f->invoker);
	loop_free(f->loop);
	free(f->large);
	free(f);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_invoke mayfly_functions mayfly_core mayfly_base

/* How much may wait for a sandbox, in bytes; what is recorded of what ran. The pool, the directory
 * and the account are doubles, which the linker takes before the real ones. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-event.h>

#include "agent/deploy/alias_directory.h"
#include "agent/invoke/billing.h"
#include "agent/account/budget.h"
#include "agent/invoke/invocation_internal.h"
#include "mayfly/clock.h"

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

static struct slice large(struct fixture *f)
{
	return slice_new(f->large, LARGE_BYTES);
}

static uint64_t waiting_bytes(const struct fixture *f)
{
	struct invoker_gauges gauges;

	invoker_gauges(f->invoker, &gauges);
	return gauges.waiting_bytes;
}

#define RUN_UNTIL(f, condition)                                                                    \
	do {                                                                                       \
		int64_t limit_us = clock_monotonic_us() + LIMIT_US;                                \
		while (!(condition) && clock_monotonic_us() < limit_us)                            \
			assert_true(sd_event_run(loop_event((f)->loop), 10000) >= 0);              \
		assert_true(condition);                                                            \
	} while (0)

static bool is_waiting(const struct asker *asker)
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

static void assert_has_no_room(struct fixture *f, struct asker *asker)
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

/* -- tests -- */

static void more_than_the_bound_is_refused(void **state)
{
	struct fixture *f = *state;
	struct asker a, b, c;

	ask(f, &a, large(f));
	/* Counted from the first moment, not when its JSON was read. */
	ask(f, &b, large(f));
	assert_has_no_room(f, &b);
	RUN_UNTIL(f, is_waiting(&a));
	assert_int_equal(waiting_bytes(f), LARGE_BYTES);
	ask(f, &b, large(f));
	assert_refused(f, &b);
	/* There is room for a small one. */
	ask(f, &c, slice_from_string("{}"));
	assert_true(is_waiting(&c));
	assert_int_equal(waiting_bytes(f), LARGE_BYTES + 2);
	give_up(&a);
	give_up(&c);
}

/* Whichever comes first; and the pool is told, so that nothing starts for nobody. */
static void none_waits_beyond_its_own_deadline_or_the_node_s(void **state)
{
	struct fixture *f = *state;
	struct invocation_request request = { .function_name = "f",
					      .payload = slice_from_string("{}"),
					      .deadline_us = clock_monotonic_us() + 20000,
					      .events = &events };
	struct asker a = { 0 }, b;

	request.user = &a;
	assert_int_equal(invoker_submit(f->invoker, &request, &a.invocation), 0);
	assert_true(is_waiting(&a));
	RUN_UNTIL(f, a.answered);
	assert_int_equal(a.code, ERROR_DEADLINE_EXCEEDED);
	assert_true(clock_monotonic_us() >= request.deadline_us);
	assert_int_equal(cancelled, 1);
	f->invoker->max_wait_us = 20000;
	ask(f, &b, slice_from_string("{}"));
	assert_true(is_waiting(&b));
	RUN_UNTIL(f, b.answered);
	assert_int_equal(b.code, ERROR_UNAVAILABLE);
	assert_int_equal(cancelled, 2);
}

static void a_small_one_over_the_bound_leaves_the_queue(void **state)
{
	static char small[8192];
	struct fixture *f = *state;
	struct asker a[256], b;
	size_t count = 0;

	memset(small, ' ', sizeof(small));
	small[0] = '1';
	ask(f, &b, large(f));
	RUN_UNTIL(f, is_waiting(&b));
	while (waiting_bytes(f) + sizeof(small) <= 8 * MIB) {
		assert_true(count < ARRAY_SIZE(a));
		ask(f, &a[count], slice_new(small, sizeof(small)));
		assert_true(is_waiting(&a[count++]));
	}
	assert_int_equal(waiting_bytes(f), 8 * MIB);
	assert_int_equal(cancelled, 0);
	give_up(&b);
	ask(f, &b, large(f));
	RUN_UNTIL(f, is_waiting(&b));
	struct asker over;
	ask(f, &over, slice_new(small, sizeof(small)));
	assert_refused(f, &over);
	assert_int_equal(cancelled, 1);
	/* What a sandbox takes at once does not wait. */
	idle = true;
	ask(f, &over, slice_new(small, sizeof(small)));
	assert_non_null(over.invocation->sandbox);
	lose(&over);
	give_up(&b);
	while (count > 0)
		give_up(&a[--count]);
}

/* -- other tenants -- */

#define OTHER "999999999999"

static void ask_as_other(struct fixture *f, struct asker *asker, struct slice payload)
{
	ask_for(f, asker, OTHER, payload, INVOCATION_REQUEST_RESPONSE, NULL);
}

static unsigned in_use(const struct fixture *f)
{
	struct concurrency_usage usage;

	invoker_tenant_concurrency(f->invoker, "123456789012", &usage);
	return usage.in_use;
}

/* As if there had been no room when it came: not bound, not recorded, not counted. */
static void who_waits_leaves_for_another_tenant(void **state)
{
	static char medium[2 * MIB];
	struct fixture *f = *state;
	struct invoker_gauges gauges;
	struct asker a, b, c;

	memset(medium, ' ', sizeof(medium));
	medium[0] = '1';
	ask(f, &a, slice_from_string("{}"));
	ask(f, &b, large(f));
	RUN_UNTIL(f, is_waiting(&b));
	assert_int_equal(in_use(f), 2);
	invocation_abandon(b.invocation); /* nobody listens: all the same */
	recorded.request_id[0] = '\0';
	ask_as_other(f, &c, slice_new(medium, sizeof(medium)));
	/* The pool has forgotten it already, so that no sandbox can be bound to it. */
	assert_int_equal(cancelled, 1);
	assert_false(b.answered);
	assert_false(is_waiting(&b));
	assert_has_no_room(f, &b);
	assert_int_equal(in_use(f), 1);
	assert_int_equal(admitted, 1);
	assert_string_equal(recorded.request_id, "");
	RUN_UNTIL(f, is_waiting(&c));
	assert_true(is_waiting(&a));
	assert_int_equal(waiting_bytes(f), 2 * MIB + 2);
	invoker_gauges(f->invoker, &gauges);
	assert_int_equal(gauges.waiting_displaced, 1);
	assert_int_equal(gauges.waiting_refused, 0);
	assert_int_equal(gauges.throttles, 0); /* of limits */
	give_up(&a);
	give_up(&c);
}

static void places_are_limited_too(void **state)
{
	struct fixture *f = *state;
	struct asker a, b, c, d;

	make_invoker_with(f, 0, 2);
	ask(f, &a, slice_from_string("{}"));
	ask(f, &b, slice_from_string("{}"));
	ask(f, &c, slice_from_string("{}"));
	assert_has_no_room(f, &c);
	assert_int_equal(cancelled, 1);
	ask_as_other(f, &d, slice_from_string("{}"));
	assert_has_no_room(f, &b);
	ask_as_other(f, &c, slice_from_string("{}"));
	assert_has_no_room(f, &c);
	assert_true(is_waiting(&a) && is_waiting(&d));
	give_up(&a);
	give_up(&d);
}

/* A part of the room is checked at once; who is behind that never is, nor gets to the pool. */
static void who_is_to_be_checked_leaves_too(void **state)
{
	static char medium[2 * MIB];
	struct fixture *f = *state;
	struct asker a, b, c, d;

	memset(medium, ' ', sizeof(medium));
	medium[0] = '1';
	ask(f, &a, slice_from_string("{}"));
	ask(f, &b, slice_new(medium, sizeof(medium)));
	ask(f, &c, slice_new(f->large, 5 * MIB)); /* no JSON, which nobody finds out */
	ask_as_other(f, &d, slice_new(medium, sizeof(medium)));
	assert_int_equal(waiting_bytes(f), 2 * sizeof(medium) + 2);
	assert_has_no_room(f, &c);
	RUN_UNTIL(f, is_waiting(&b) && is_waiting(&d));
	assert_int_equal(cancelled, 0);
	assert_int_equal(acquired, 3);
	assert_int_equal(in_use(f), 2);
	give_up(&a);
	give_up(&b);
	give_up(&d);
}

/* The check cannot be stopped, and its bytes are there until it ends. */
static void who_is_being_checked_stays(void **state)
{
	struct fixture *f = *state;
	struct asker a, b, c;

	ask(f, &a, slice_from_string("{}"));
	ask(f, &b, large(f));
	ask_as_other(f, &c, large(f));
	assert_has_no_room(f, &c);
	RUN_UNTIL(f, is_waiting(&b));
	ask_as_other(f, &c, large(f));
	assert_has_no_room(f, &b);
	RUN_UNTIL(f, is_waiting(&c));
	give_up(&a);
	give_up(&c);
}

/* One that was to be queued is not: its caller is told, and has not been told otherwise. */
static void an_event_that_is_to_be_checked_leaves_too(void **state)
{
	struct fixture *f = *state;
	struct asker a, b, c[7];
	size_t i;

	f->large[MIB - 1] = '"';
	ask(f, &a, slice_from_string("{}"));
	for (i = 0; i < ARRAY_SIZE(c); i++)
		ask_as(f, &c[i], slice_new(f->large, MIB), INVOCATION_EVENT, NULL);
	ask_for(f, &b, OTHER, slice_new(f->large, MIB), INVOCATION_EVENT, NULL);
	assert_has_no_room(f, &c[ARRAY_SIZE(c) - 1]);
	for (i = 0; i + 1 < ARRAY_SIZE(c); i++) {
		RUN_UNTIL(f, c[i].answered);
		assert_int_equal(c[i].status_code, 202);
	}
	RUN_UNTIL(f, b.answered);
	assert_int_equal(b.status_code, 202);
	give_up(&a);
}

/* What has a sandbox, be it since this moment, is none of those who wait. */
static void who_is_bound_stays(void **state)
{
	struct fixture *f = *state;
	struct asker a, b, c;

	ask(f, &a, slice_from_string("{}"));
	ask(f, &b, large(f));
	RUN_UNTIL(f, is_waiting(&b));
	bind(&b);
	ask_as_other(f, &c, large(f));
	RUN_UNTIL(f, is_waiting(&c));
	assert_int_equal(cancelled, 0);
	assert_true(is_waiting(&a));
	/* Its sandbox is lost before it saw the event: it waits again, if there is room. */
	invocation_demand_events.on_lost(&b.invocation->demand, "lost", false);
	assert_true(b.answered);
	assert_has_no_room(f, &b);
	give_up(&a);
	give_up(&c);
}

/* What waits for a sandbox counts, and so does what is read in a job. */
static void who_is_over_the_limit_does_not_wait(void **state)
{
	struct fixture *f = *state;
	struct invoker_gauges gauges;
	struct concurrency_usage usage;
	struct asker a, b, c;

	make_invoker(f, 2);
	ask(f, &a, slice_from_string("{}"));
	assert_true(is_waiting(&a));
	ask(f, &b, large(f));
	RUN_UNTIL(f, is_waiting(&b));
	ask(f, &c, slice_from_string("{}"));
	assert_refused(f, &c);
	assert_string_equal(c.reason, THROTTLE_TENANT);
	ask(f, &c, large(f));
	assert_refused(f, &c);
	/* An answer gives the place back, of whatever kind it is. */
	give_up(&a);
	ask(f, &a, slice_from_string("{}"));
	assert_true(is_waiting(&a));
	bind(&a);
	ask(f, &c, slice_from_string("{}"));
	assert_refused(f, &c);
	lose(&a);
	ask(f, &a, slice_from_string("no JSON"));
	RUN_UNTIL(f, a.answered);
	assert_int_equal(a.code, ERROR_INVALID_REQUEST_CONTENT);
	ask(f, &c, slice_from_string("{}"));
	assert_true(is_waiting(&c));
	invoker_tenant_concurrency(f->invoker, "123456789012", &usage);
	assert_int_equal(usage.in_use, 2);
	give_up(&b);
	give_up(&c);
	invoker_tenant_concurrency(f->invoker, "123456789012", &usage);
	assert_int_equal(usage.in_use, 0);
	/* The large one was refused for its bytes, before any limit. */
	invoker_gauges(f->invoker, &gauges);
	assert_int_equal(gauges.throttles, 2);
}

static void a_sandbox_makes_room(void **state)
{
	struct fixture *f = *state;
	struct asker a, b;

	ask(f, &a, large(f));
	RUN_UNTIL(f, is_waiting(&a));
	bind(&a);
	assert_int_equal(waiting_bytes(f), 0);
	ask(f, &b, large(f));
	RUN_UNTIL(f, is_waiting(&b));
	lose(&a);
	assert_int_equal(waiting_bytes(f), LARGE_BYTES);
	give_up(&b);
}

static void what_is_no_event_is_let_go(void **state)
{
	struct fixture *f = *state;
	struct asker a;

	f->large[0] = '{';
	ask(f, &a, large(f));
	assert_int_equal(waiting_bytes(f), LARGE_BYTES);
	RUN_UNTIL(f, a.answered);
	assert_int_equal(a.code, ERROR_INVALID_REQUEST_CONTENT);
	assert_int_equal(waiting_bytes(f), 0);
}

static double draw(void *point)
{
	return *(const double *)point;
}

/* By the alias's weight; the next one draws anew. */
static void an_alias_is_drawn_once_for_each_invocation(void **state)
{
	const struct alias weighted = {
		.version = 1, .is_weighted = true, .additional_version = 2, .weight = 0.5
	};
	struct fixture *f = *state;
	struct asker a, b;
	double point = 0.7;

	f->invoker->draw = draw;
	f->invoker->draw_arg = &point;
	alias = &weighted;
	ask(f, &a, slice_from_string("{}"));
	point = 0.3;
	ask(f, &b, slice_from_string("{}"));
	assert_string_equal(invocation_executed_version(a.invocation), "1");
	assert_string_equal(invocation_executed_version(b.invocation), "2");
	bind(&a);
	/* The one that got no sandbox is placed again as it is. */
	invocation_demand_events.on_lost(&a.invocation->demand, "lost", false);
	assert_string_equal(invocation_executed_version(a.invocation), "1");
	give_up(&a);
	give_up(&b);
}

/* -- what ran -- */

static void answer(struct asker *asker, const char *payload)
{
	Mayfly__Guest__V1__GuestMessage message = MAYFLY__GUEST__V1__GUEST_MESSAGE__INIT;
	Mayfly__Guest__V1__ResponseStart start = MAYFLY__GUEST__V1__RESPONSE_START__INIT;
	Mayfly__Guest__V1__ResponseChunk chunk = MAYFLY__GUEST__V1__RESPONSE_CHUNK__INIT;
	Mayfly__Guest__V1__InvocationDone done = MAYFLY__GUEST__V1__INVOCATION_DONE__INIT;
	Mayfly__Guest__V1__Outcome outcome = MAYFLY__GUEST__V1__OUTCOME__INIT;
	struct demand *demand = &asker->invocation->demand;
	char *id = (char *)(uintptr_t)invocation_request_id(asker->invocation);

	start.request_id = chunk.request_id = done.request_id = id;
	message.kind_case = MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_RESPONSE_START;
	message.response_start = &start;
	invocation_demand_events.on_message(demand, &message);
	chunk.data = (ProtobufCBinaryData){ .len = strlen(payload),
					    .data = (uint8_t *)(uintptr_t)payload };
	message.kind_case = MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_RESPONSE_CHUNK;
	message.response_chunk = &chunk;
	invocation_demand_events.on_message(demand, &message);
	outcome.status = MAYFLY__GUEST__V1__STATUS__STATUS_OK;
	done.outcome = &outcome;
	done.max_memory_bytes = 36 * MIB + 1;
	message.kind_case = MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_INVOCATION_DONE;
	message.invocation_done = &done;
	invocation_demand_events.on_message(demand, &message);
}

static void the_answer_comes_after_the_record(void **state)
{
	struct fixture *f = *state;
	struct asker a;
	char id[UUID_BYTES];

	idle = records_late = true;
	ask(f, &a, slice_from_string("{\"a\":1}"));
	(void)snprintf(id, sizeof(id), "%s", invocation_request_id(a.invocation));
	answer(&a, "\"four\"");
	assert_false(a.answered);
	assert_string_equal(recorded.request_id, id);
	assert_string_equal(recorded.tenant, "123456789012");
	assert_string_equal(recorded.function, "f");
	assert_string_equal(recorded.version, "$LATEST");
	assert_int_equal(recorded.result, LEDGER_OK);
	assert_int_equal(recorded.start, LEDGER_START_WARM);
	assert_int_equal(recorded.event_bytes, 7);
	assert_int_equal(recorded.answer_bytes, 6);
	assert_int_equal(recorded.streamed_bytes, 0);
	assert_int_equal(recorded.memory_mb, 128);
	assert_int_equal(recorded.max_memory_mb, 37);
	assert_int_equal(recorded.init_us, -1);
	assert_int_equal(recorded.restore_us, -1);
	assert_int_equal(recorded.billed_restore_ms, -1);
	assert_int_equal(recorded.billed_ms, billing_milliseconds(recorded.duration_us, 0));
	tell(held, NULL);
	assert_true(a.answered);
	assert_int_equal(a.code, ERROR_NONE);
}

static void an_answer_without_a_record_is_withheld(void **state)
{
	struct fixture *f = *state;
	_cleanup_error_ struct error error = ERROR_INIT;
	struct asker a;

	idle = records_late = true;
	ask(f, &a, slice_from_string("{}"));
	answer(&a, "1");
	(void)error_set(&error, ERROR_INTERNAL, NULL, "too late");
	tell(held, &error);
	assert_int_equal(a.code, ERROR_INTERNAL);
	assert_string_equal(a.text, "too late");
}

static void a_lost_sandbox_is_recorded(void **state)
{
	struct fixture *f = *state;
	struct asker a;

	idle = true;
	ask(f, &a, slice_from_string("{}"));
	lose(&a);
	assert_int_equal(a.code, ERROR_NONE);
	assert_int_equal(recorded.result, LEDGER_SANDBOX_FAILURE);
	assert_int_equal(recorded.max_memory_mb, 0);
	assert_true(recorded.billed_ms >= 1);
	assert_true(recorded.answer_bytes > 0);
}

/* Tries of one event have one request id, and a record each. */
static void a_given_request_id_is_kept(void **state)
{
	static const char id[] = "6f1c9a3e-58d2-4d0b-9c11-0d3f6a7b8c9d";
	struct fixture *f = *state;
	struct asker a;
	uint64_t run;

	idle = true;
	ask(f, &a, slice_from_string("1"));
	answer(&a, "1");
	assert_int_equal(recorded.run, 0);
	ask_as(f, &a, slice_from_string("1"), INVOCATION_REQUEST_RESPONSE, id);
	answer(&a, "1");
	assert_string_equal(recorded.request_id, id);
	run = recorded.run;
	assert_true(run != 0);
	ask_as(f, &a, slice_from_string("1"), INVOCATION_REQUEST_RESPONSE, id);
	answer(&a, "1");
	assert_string_equal(recorded.request_id, id);
	assert_true(recorded.run != 0 && recorded.run != run);
}

/* Checked as any other, small and large; it does not run, nor does it count against a limit. */
static void an_event_is_checked_and_not_run(void **state)
{
	struct fixture *f = *state;
	struct asker a;

	ask_as(f, &a, slice_from_string("1"), INVOCATION_EVENT, NULL);
	assert_string_equal(invocation_function_name(a.invocation), "f");
	assert_string_equal(invocation_qualifier(a.invocation), "live");
	RUN_UNTIL(f, a.answered);
	assert_int_equal(a.code, ERROR_NONE);
	assert_int_equal(a.status_code, 202);
	f->large[INVOCATION_EVENT_MAX_BYTES - 1] = '"';
	ask_as(f, &a, slice_new(f->large, INVOCATION_EVENT_MAX_BYTES), INVOCATION_EVENT, NULL);
	RUN_UNTIL(f, a.answered);
	assert_int_equal(a.status_code, 202);
	ask_as(f, &a, slice_new(f->large, INVOCATION_EVENT_MAX_BYTES + 1), INVOCATION_EVENT, NULL);
	RUN_UNTIL(f, a.answered);
	assert_int_equal(a.code, ERROR_REQUEST_TOO_LARGE);
	assert_string_equal(a.text, "1048577 byte payload is too large for the Event invocation "
				    "type (limit 1048576 bytes)");
	ask_as(f, &a, slice_new(f->large, INVOCATION_EVENT_MAX_BYTES - 1), INVOCATION_EVENT, NULL);
	RUN_UNTIL(f, a.answered);
	assert_int_equal(a.code, ERROR_INVALID_REQUEST_CONTENT);
	assert_int_equal(f->invoker->total, 0);
	assert_int_equal(waiting_bytes(f), 0);
}

static void nothing_runs_without_a_ledger(void **state)
{
	struct fixture *f = *state;
	struct asker a;

	idle = ledger_fails = true;
	ask(f, &a, slice_from_string("{}"));
	RUN_UNTIL(f, a.answered);
	assert_int_equal(a.code, ERROR_UNAVAILABLE);
	assert_string_equal(a.text, "no ledger");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(more_than_the_bound_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(none_waits_beyond_its_own_deadline_or_the_node_s,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_small_one_over_the_bound_leaves_the_queue, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(who_waits_leaves_for_another_tenant, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(places_are_limited_too, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_is_to_be_checked_leaves_too, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_is_being_checked_stays, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_event_that_is_to_be_checked_leaves_too, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(who_is_bound_stays, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_is_over_the_limit_does_not_wait, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_sandbox_makes_room, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_no_event_is_let_go, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_alias_is_drawn_once_for_each_invocation, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(the_answer_comes_after_the_record, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(an_answer_without_a_record_is_withheld, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_lost_sandbox_is_recorded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_given_request_id_is_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_event_is_checked_and_not_run, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nothing_runs_without_a_ledger, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

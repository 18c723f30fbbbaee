/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For tests of schedules: on a real event queue with the doubles of event_harness.h, a registry
 * that can be made to fail, and a wall clock of our own, a century ahead: no timer of the real one
 * comes in between. */

#include "tests/unit/event_harness.h"

#include "agent/schedules/calendar.h"
#include "agent/schedules/schedules.h"
#include "agent/store/registry.h"

#define REGION  "eu-central-1"
#define START_S 4102444800LL /* 2100-01-01T00:00:00Z, a Friday */
#define MINUTE  (60 * SECOND)

/* Passes all on, or refuses changes. */
struct moody_registry {
	struct registry base;
	struct registry *inner;
	enum error_code mood;
};

static struct moody_registry moody;
static struct schedules *schedules;
static int64_t now_us;

static int moody_get(struct registry *registry _unused_, const char *key, struct buf *value,
		     uint64_t *revision, struct error *error)
{
	return registry_get(moody.inner, key, value, revision, error);
}

static int moody_list(struct registry *registry _unused_, const char *prefix, const char *after,
		      size_t limit, registry_entry_fn *fn, void *arg, struct error *error)
{
	return registry_list(moody.inner, prefix, after, limit, fn, arg, error);
}

/* In a job. */
static int moody_commit(struct registry *registry _unused_, const struct registry_write *writes,
			size_t count, uint64_t *revision, struct error *error)
{
	enum error_code mood = __atomic_load_n(&moody.mood, __ATOMIC_SEQ_CST);

	if (mood != ERROR_NONE)
		return error_set(error, mood, NULL, "a mood");
	return registry_commit(moody.inner, writes, count, revision, error);
}

static const struct registry_ops moody_ops = { .get = moody_get,
					       .list = moody_list,
					       .commit = moody_commit };

static void _unused_ set_mood(enum error_code mood)
{
	__atomic_store_n(&moody.mood, mood, __ATOMIC_SEQ_CST);
}

int directory_set_not_found(const struct directory *d _unused_, const char *tenant _unused_,
			    const char *name, const char *qualifier _unused_, struct error *error)
{
	return error_set(error, ERROR_NOT_FOUND, "function_name", "Function not found: %s", name);
}

static int64_t read_now(void)
{
	return now_us;
}

static struct schedules_config _unused_ schedules_config_of(void)
{
	return (struct schedules_config){
		.region = REGION,
		.loop = place->loop,
		.registry = &moody.base,
		.events = place->queue,
		.max_per_tenant = 20,
		.max_input_bytes = 1000,
		.may_run = may_run,
		.now_us = read_now,
	};
}

static void _unused_ open_with(const struct schedules_config *config)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	if (schedules_open(config, &schedules, &error) < 0)
		fail_msg("%s", error_text(&error));
}

static void _unused_ open_all(void)
{
	struct event_queue_config events = config_of();

	open_queue(&events);
	struct schedules_config config = schedules_config_of();
	open_with(&config);
}

/* What the double of the invoker has in hand is not the agent's: it ends, or is held. */
static bool _unused_ is_nothing_posted(void)
{
	unsigned held = 0;

	for (unsigned i = 0; i < place->held; i++)
		held += place->holding[i] != NULL;
	return gauges().running <= held;
}

/* As the end of the agent would, whatever else is under way. */
static void _unused_ close_all(void)
{
	if (place->queue)
		turn_until(is_nothing_posted);
	if (place->loop)
		loop_end_jobs(place->loop);
	schedules = schedules_close(schedules);
	close_queue();
}

static int _unused_ set_up_schedules(void **state)
{
	int r = set_up(state);

	moody = (struct moody_registry){ .base.ops = &moody_ops };
	if (r == 0)
		r = registry_open_memory(&moody.inner, NULL);
	now_us = START_S * SECOND;
	return r;
}

static int _unused_ tear_down_schedules(void **state)
{
	close_all();
	moody.inner = registry_close(moody.inner);
	return tear_down(state);
}

static struct schedules_gauges _unused_ schedule_gauges(void)
{
	struct schedules_gauges gauges;

	schedules_gauges(schedules, &gauges);
	return gauges;
}

/* -- changes -- */

static unsigned changed;
static enum error_code changed_code;
static char changed_message[512];
static struct schedule_view changed_view;

static void _unused_ on_changed(const struct schedule_view *view, const struct error *error,
				void *arg _unused_)
{
	changed++;
	changed_code = error ? error->code : ERROR_NONE;
	(void)snprintf(changed_message, sizeof(changed_message), "%s",
		       error ? error_text(error) : "");
	changed_view = view ? *view : (struct schedule_view){ 0 };
}

static bool _unused_ is_changed(void)
{
	return changed >= wanted;
}

static struct schedule_request _unused_ request_of(const char *name, const char *expression)
{
	return (struct schedule_request){
		.tenant = TENANT,
		.name = name,
		.description = "",
		.expression = expression,
		.timezone = "",
		.target = "f:live",
		.input = "",
		.client_token = "",
	};
}

typedef int change_fn(struct schedules *schedules, const struct schedule_request *request,
		      schedules_answer_fn *answer, void *arg, struct error *error);

static enum error_code _unused_ change(change_fn *fn, const struct schedule_request *request)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	changed = 0;
	wanted = 1;
	if (fn(schedules, request, on_changed, NULL, &error) < 0) {
		(void)snprintf(changed_message, sizeof(changed_message), "%s", error_text(&error));
		return error.code;
	}
	assert_int_equal(changed, 0);
	turn_until(is_changed);
	return changed_code;
}

static void _unused_ create(const char *name, const char *expression)
{
	struct schedule_request request = request_of(name, expression);

	if (change(schedules_create, &request) != ERROR_NONE)
		fail_msg("%s", changed_message);
}

static enum error_code _unused_ delete (const char *name) {
	changed = 0; wanted = 1;
	assert_int_equal(schedules_delete(schedules, TENANT, name, on_changed, NULL, NULL), 0);
	turn_until(is_changed);
	return changed_code;
}

/* -- time -- */

/* What is due by then is looked at, as the timer would. */
static void _unused_ advance_to(int64_t to_us)
{
	now_us = to_us;
	schedules_clock_was_set(schedules);
}

static uint64_t wanted_count;

static bool _unused_ are_fired(void)
{
	return schedule_gauges().fired >= wanted_count;
}

static void _unused_ turn_until_fired(uint64_t count)
{
	wanted_count = count;
	turn_until(are_fired);
}

static bool _unused_ are_missed(void)
{
	return schedule_gauges().missed >= wanted_count;
}

static void _unused_ turn_until_missed(uint64_t count)
{
	wanted_count = count;
	turn_until(are_missed);
}

static struct schedule_view _unused_ view_of(const char *name)
{
	struct schedule_view view = { 0 };

	if (schedules_get(schedules, TENANT, name, &view, NULL) < 0)
		view.schedule = NULL;
	return view;
}

/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_api mayfly_client mayfly_invoke

/* MetricsService over a real socket: what is whole and what has changed, who sees what, and readers
 * who are slow. Counts are real; invoker, pool, events and account are doubles, which the linker
 * takes before the real ones. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "agent/account/budget.h"
#include "agent/api/metrics_service.h"
#include "tests/unit/service_harness.h"

#define OTHER "999999999999"

/* -- doubles -- */

struct invoker {
	struct metrics *metrics;
	unsigned in_use; /* of every function */
};

const struct metrics *invoker_metrics(const struct invoker *invoker)
{
	return invoker->metrics;
}

unsigned invoker_function_concurrency(const struct invoker *invoker, const char *tenant _unused_,
				      const char *name _unused_)
{
	return invoker->in_use;
}

unsigned invoker_provisioned_concurrency(const struct invoker *invoker _unused_,
					 const char *tenant _unused_, const char *name _unused_)
{
	return 0;
}

unsigned invoker_provisioned_available(const struct invoker *invoker _unused_,
				       const char *tenant _unused_, const char *name _unused_)
{
	return 0;
}

void invoker_tenant_concurrency(const struct invoker *invoker _unused_, const char *tenant _unused_,
				struct concurrency_usage *ret)
{
	*ret = (struct concurrency_usage){
		.limit = 1000, .reserved = 20, .in_use = 7, .unreserved_in_use = 5
	};
}

void invoker_gauges(const struct invoker *invoker _unused_, struct invoker_gauges *ret)
{
	*ret = (struct invoker_gauges){ .running = 3 };
}

void pool_gauges(const struct pool *pool _unused_, struct pool_gauges *ret)
{
	*ret = (struct pool_gauges){ .busy = 2, .waiting = 1 };
}

void event_queue_gauges(const struct event_queue *queue _unused_, struct event_gauges *ret)
{
	*ret = (struct event_gauges){ .waiting = 4 };
}

uint64_t account_waiting(const struct account *account _unused_)
{
	return 6;
}

void account_budget_counts(const struct account *account _unused_,
			   struct account_budget_counts *ret)
{
	*ret = (struct account_budget_counts){ .refused = 8 };
}

/* -- a node -- */

struct node {
	struct harness harness;
	struct invoker invoker;
	struct metrics_service *service;
	struct client_stream *stream;
};

static void stop_service(void *arg)
{
	metrics_service_stop(((struct node *)arg)->service);
}

static void count_in_loop(void *arg)
{
	const struct metrics_sample *sample = ((void **)arg)[1];

	metrics_count_invocation(((void **)arg)[0], sample);
	(void)sem_post(((void **)arg)[2]);
}

static void count(struct node *node, const char *tenant, const char *name)
{
	const struct metrics_sample sample = { .tenant = tenant,
					       .function_name = name,
					       .duration_us = 1500 };
	sem_t done;
	void *work[] = { node->invoker.metrics, (void *)(uintptr_t)&sample, &done };

	assert_int_equal(sem_init(&done, 0, 0), 0);
	loop_post(node->harness.loop, count_in_loop, (void *)work);
	assert_int_equal(sem_wait(&done), 0);
	(void)sem_destroy(&done);
}

static int set_up(void **state)
{
	struct node *node = calloc(1, sizeof(*node));
	struct metrics_service_config config = { .invoker = &node->invoker };

	harness_open(&node->harness);
	assert_int_equal(metrics_new(100, &node->invoker.metrics), 0);
	config.context = &node->harness.context;
	config.loop = node->harness.loop;
	config.events = (const struct event_queue *)(const void *)node;
	assert_int_equal(
		metrics_service_register(node->harness.server, &config, &node->service, NULL), 0);
	node->harness.stop = stop_service;
	node->harness.stop_arg = node;
	harness_serve(&node->harness);
	count(node, TENANT, "f");
	count(node, TENANT, "g");
	count(node, OTHER, "f");
	*state = node;
	return 0;
}

static int tear_down(void **state)
{
	struct node *node = *state;

	client_stream_close(node->stream);
	harness_end(&node->harness);
	metrics_service_free(node->service);
	metrics_free(node->invoker.metrics);
	harness_close(&node->harness);
	free(node);
	return 0;
}

/* -- watching -- */

static void watch(struct node *node, const char *function, bool all)
{
	Mayfly__V1__WatchMetricsRequest request = MAYFLY__V1__WATCH_METRICS_REQUEST__INIT;
	_cleanup_error_ struct error error = ERROR_INIT;

	request.interval_s = 1;
	request.function_name = (char *)(uintptr_t)function;
	request.all_tenants = all;
	if (client_metrics_watch(node->harness.client, &request, &node->stream, &error) < 0)
		fail_msg("%s", error_text(&error));
}

static Mayfly__V1__MetricsSnapshot *next(struct node *node)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	Mayfly__V1__MetricsSnapshot *snapshot = NULL;

	if (client_metrics_watch_next(node->stream, &snapshot, &error) != 1)
		fail_msg("%s", error_text(&error));
	return snapshot;
}

static void a_tenant_sees_its_own(void **state)
{
	struct node *node = *state;
	_cleanup_message_ Mayfly__V1__MetricsSnapshot *snapshot = NULL;

	watch(node, "", false);
	snapshot = next(node);
	assert_true(snapshot->whole);
	assert_int_equal(snapshot->n_functions, 2);
	assert_int_equal(snapshot->n_tenants, 1);
	assert_string_equal(snapshot->tenants[0]->tenant, TENANT);
	assert_int_equal(snapshot->tenants[0]->claimed_account_concurrency, 25);
	assert_null(snapshot->node);
	assert_int_equal(snapshot->n_duration_bounds_us, METRICS_BUCKETS);
	assert_int_equal(snapshot->functions[0]->invocations, 1);
	assert_int_equal(snapshot->functions[0]->duration->n_counts, METRICS_BUCKETS);
	assert_int_equal(snapshot->functions[0]->duration->counts[1], 1); /* above 1 ms, to 2.5 */
	assert_int_equal(snapshot->functions[0]->duration->sum_us, 1500);
}

static void an_operator_sees_all_and_the_node(void **state)
{
	struct node *node = *state;
	_cleanup_message_ Mayfly__V1__MetricsSnapshot *snapshot = NULL;

	watch(node, "", true);
	snapshot = next(node);
	assert_int_equal(snapshot->n_functions, 3);
	assert_int_equal(snapshot->n_tenants, 2);
	assert_int_equal(snapshot->node->sandboxes_busy, 2);
	assert_int_equal(snapshot->node->events_waiting, 4);
	assert_int_equal(snapshot->node->ledger_waiting_records, 6);
	assert_int_equal(snapshot->node->budget_refusals, 8);
	assert_int_equal(snapshot->node->n_phases, _METRICS_PHASE_MAX);
}

static void forget_in_loop(void *arg)
{
	struct node *node = arg;

	metrics_forget(node->invoker.metrics, TENANT, "g");
}

/* Then what has changed, then nothing, then all without what is gone. */
static void changes_follow(void **state)
{
	struct node *node = *state;
	_cleanup_message_ Mayfly__V1__MetricsSnapshot *first = NULL, *changed = NULL, *same = NULL,
						      *whole = NULL;

	watch(node, "", false);
	first = next(node);
	count(node, TENANT, "f");
	count(node, OTHER, "f");
	changed = next(node);
	assert_false(changed->whole);
	assert_int_equal(changed->n_functions, 1);
	assert_string_equal(changed->functions[0]->function_name, "f");
	assert_int_equal(changed->functions[0]->invocations, 2);
	same = next(node);
	assert_int_equal(same->n_functions, 0);
	assert_int_equal(same->skipped, 0);
	loop_post(node->harness.loop, forget_in_loop, node);
	whole = next(node);
	assert_true(whole->whole);
	assert_int_equal(whole->n_functions, 1);
}

static void one_function_may_be_asked_for(void **state)
{
	struct node *node = *state;
	_cleanup_message_ Mayfly__V1__MetricsSnapshot *snapshot = NULL;

	watch(node, "g", false);
	snapshot = next(node);
	assert_int_equal(snapshot->n_functions, 1);
	assert_string_equal(snapshot->functions[0]->function_name, "g");
}

static void what_is_wrong_is_named(void **state)
{
	struct node *node = *state;
	Mayfly__V1__WatchMetricsRequest request = MAYFLY__V1__WATCH_METRICS_REQUEST__INIT;
	_cleanup_error_ struct error error = ERROR_INIT;
	Mayfly__V1__MetricsSnapshot *snapshot = NULL;

	request.interval_s = 61;
	if (client_metrics_watch(node->harness.client, &request, &node->stream, &error) == 0)
		assert_true(client_metrics_watch_next(node->stream, &snapshot, &error) < 0);
	assert_int_equal(error.code, ERROR_INVALID_PARAMETER);
	assert_string_equal(error.field, "interval_s");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_tenant_sees_its_own),  TEST(an_operator_sees_all_and_the_node),
		TEST(changes_follow),         TEST(one_function_may_be_asked_for),
		TEST(what_is_wrong_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_invoke mayfly_base

/* Limits of concurrency and rate: who is let in, who is told which limit it met. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/invoke/concurrency.h"
#include "agent/functions/function.h"
#include "mayfly/clock.h"

#define TENANT "123456789012"
#define OTHER  "210987654321"
#define MANY   64

struct fixture {
	struct concurrency *concurrency;
	struct concurrency_grant grants[MANY];
	unsigned granted;
	unsigned environments; /* that the pool is said to have */
	int64_t now_us;
};

static void make(struct fixture *f, struct concurrency_limits limits)
{
	*f = (struct fixture){ .now_us = 1000 * USEC_PER_SEC };
	assert_int_equal(concurrency_new(&limits, &f->concurrency), 0);
}

static const struct concurrency_limits small = { .tenant = 10,
						 .requests = 1000,
						 .scaling = 100000 };

static int tear_down(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < f->granted; i++)
		concurrency_give_back(f->concurrency, &f->grants[i]);
	f->concurrency = concurrency_free(f->concurrency);
	return 0;
}

static int set_up(void **state)
{
	static struct fixture fixture;

	make(&fixture, small);
	*state = &fixture;
	return 0;
}

/* NULL when it is let in, else the limit. */
static const char *take(struct fixture *f, const char *tenant, const char *name)
{
	static char reason[64];
	_cleanup_error_ struct error error = ERROR_INIT;
	int r = concurrency_take(f->concurrency, tenant, name, f->environments, f->now_us,
				 &f->grants[f->granted], &error);

	assert_true(f->granted < MANY);
	if (r == 0) {
		f->granted++;
		return NULL;
	}
	assert_null(f->grants[f->granted].function);
	assert_int_equal(error.code, ERROR_TOO_MANY_REQUESTS);
	assert_string_equal(error.message, "Rate Exceeded.");
	(void)snprintf(reason, sizeof(reason), "%s", error.reason);
	return reason;
}

static void give_back(struct fixture *f)
{
	concurrency_give_back(f->concurrency, &f->grants[--f->granted]);
	/* Twice is as once. */
	concurrency_give_back(f->concurrency, &f->grants[f->granted]);
}

static void reserve(struct fixture *f, const char *name, unsigned reserved)
{
	assert_int_equal(concurrency_set_reserved(f->concurrency, TENANT, name, &reserved), 0);
}

static void assert_usage(struct fixture *f, unsigned reserved, unsigned in_use, unsigned unreserved)
{
	struct concurrency_usage usage;

	concurrency_tenant_usage(f->concurrency, TENANT, &usage);
	assert_int_equal(usage.limit, 10);
	assert_int_equal(usage.reserved, reserved);
	assert_int_equal(usage.in_use, in_use);
	assert_int_equal(usage.unreserved_in_use, unreserved);
}

static void provision(struct fixture *f, const char *name, unsigned provisioned)
{
	assert_int_equal(concurrency_set_provisioned(f->concurrency, TENANT, name, provisioned), 0);
}

/* NULL when it is let in, else the limit. */
static const char *take_place(struct fixture *f, const char *name)
{
	static char reason[64];
	_cleanup_error_ struct error error = ERROR_INIT;

	if (concurrency_take_provisioned(f->concurrency, TENANT, name, f->now_us,
					 &f->grants[f->granted], &error) == 0) {
		assert_true(f->grants[f->granted++].provisioned);
		return NULL;
	}
	(void)snprintf(reason, sizeof(reason), "%s", error.reason);
	return reason;
}

static void provisioned_places_are_nobody_else_s(void **state)
{
	struct fixture *f = *state;

	provision(f, "a", 4);
	assert_usage(f, 4, 0, 0);
	for (unsigned i = 0; i < 6; i++)
		assert_null(take(f, TENANT, i % 2 ? "a" : "b"));
	assert_string_equal(take(f, TENANT, "a"), THROTTLE_TENANT);
	assert_string_equal(take(f, TENANT, "b"), THROTTLE_TENANT);
	for (unsigned i = 0; i < 4; i++)
		assert_null(take_place(f, "a"));
	assert_usage(f, 4, 10, 6);
	assert_int_equal(concurrency_function_in_use(f->concurrency, TENANT, "a"), 7);
	assert_int_equal(concurrency_provisioned_in_use(f->concurrency, TENANT, "a"), 4);
	give_back(f);
	assert_int_equal(concurrency_provisioned_in_use(f->concurrency, TENANT, "a"), 3);
	assert_string_equal(take(f, TENANT, "b"), THROTTLE_TENANT);
	provision(f, "a", 3);
	assert_null(take(f, TENANT, "b"));
}

static void a_reservation_that_is_provisioned_leaves_nothing(void **state)
{
	struct fixture *f = *state;

	provision(f, "a", 2);
	reserve(f, "a", 3);
	assert_usage(f, 3, 0, 0);
	assert_null(take(f, TENANT, "a"));
	assert_string_equal(take(f, TENANT, "a"), THROTTLE_RESERVED);
	assert_null(take_place(f, "a"));
	assert_null(take_place(f, "a"));
	provision(f, "a", 3);
	give_back(f);
	assert_string_equal(take(f, TENANT, "a"), THROTTLE_RESERVED);
	/* Without the reservation, what is provisioned counts against all. */
	assert_int_equal(concurrency_set_reserved(f->concurrency, TENANT, "a", NULL), 0);
	assert_usage(f, 3, 2, 1);
	concurrency_forget(f->concurrency, TENANT, "a");
	assert_usage(f, 0, 2, 1);
	/* News of its versions' end do not bring it back. */
	provision(f, "a", 0);
	give_back(f);
	give_back(f);
	assert_usage(f, 0, 0, 0);
}

static void a_place_has_its_rate(void **state)
{
	struct fixture *f = *state;

	f->concurrency = concurrency_free(f->concurrency);
	make(f, (struct concurrency_limits){ .tenant = 10, .requests = 2, .scaling = 1000 });
	provision(f, "a", 2);
	for (unsigned i = 0; i < 4; i++) {
		assert_null(take_place(f, "a"));
		give_back(f);
	}
	assert_string_equal(take_place(f, "a"), THROTTLE_RATE);
	f->now_us += USEC_PER_SEC / 4;
	assert_null(take_place(f, "a"));
}

static void a_tenant_has_its_limit(void **state)
{
	struct fixture *f = *state;
	struct concurrency_usage usage;

	for (unsigned i = 0; i < 10; i++)
		assert_null(take(f, TENANT, i % 2 ? "a" : "b"));
	assert_string_equal(take(f, TENANT, "a"), THROTTLE_TENANT);
	assert_string_equal(take(f, TENANT, "c"), THROTTLE_TENANT);
	assert_usage(f, 0, 10, 10);
	assert_int_equal(concurrency_function_in_use(f->concurrency, TENANT, "a"), 5);
	/* Which is its own: others are not concerned. */
	assert_null(take(f, OTHER, "a"));
	give_back(f);
	give_back(f);
	assert_null(take(f, TENANT, "c"));
	concurrency_tenant_usage(f->concurrency, TENANT, &usage);
	assert_int_equal(usage.throttles, 2);
	assert_int_equal(concurrency_throttles(f->concurrency), 2);
}

static void a_reservation_is_room_and_limit(void **state)
{
	struct fixture *f = *state;

	reserve(f, "r", 3);
	for (unsigned i = 0; i < 3; i++)
		assert_null(take(f, TENANT, "r"));
	assert_string_equal(take(f, TENANT, "r"), THROTTLE_RESERVED);
	/* The others have what is left, and what it does not use is not theirs. */
	give_back(f);
	for (unsigned i = 0; i < 7; i++)
		assert_null(take(f, TENANT, "a"));
	assert_string_equal(take(f, TENANT, "a"), THROTTLE_TENANT);
	assert_null(take(f, TENANT, "r"));
	assert_usage(f, 3, 10, 7);
}

static unsigned lowered(const char *tenant _unused_, void *arg)
{
	return *(unsigned *)arg;
}

static void a_limit_that_is_lowered_holds_for_all(void **state)
{
	struct fixture *f = *state;
	struct concurrency_limits limits = small;
	struct concurrency_usage usage;
	unsigned limit = 10;

	f->concurrency = concurrency_free(f->concurrency);
	limits.of_tenant = lowered;
	limits.of_tenant_arg = &limit;
	make(f, limits);
	reserve(f, "r", 5);
	provision(f, "p", 3);
	assert_null(take(f, TENANT, "r"));
	limit = 2;
	/* Within the reservation and the places, and beyond the tenant. */
	assert_null(take(f, TENANT, "r"));
	assert_string_equal(take(f, TENANT, "r"), THROTTLE_TENANT);
	assert_string_equal(take_place(f, "p"), THROTTLE_TENANT);
	assert_string_equal(take(f, TENANT, "a"), THROTTLE_TENANT);
	give_back(f);
	assert_null(take_place(f, "p"));
	assert_string_equal(take_place(f, "p"), THROTTLE_TENANT);
	concurrency_tenant_usage(f->concurrency, TENANT, &usage);
	assert_int_equal(usage.in_use, 2);
	assert_int_equal(usage.throttles, 4);
	/* Raised again, all is as it was. */
	limit = 10;
	for (unsigned i = 0; i < 4; i++)
		assert_null(take(f, TENANT, "r"));
	assert_string_equal(take(f, TENANT, "r"), THROTTLE_RESERVED);
	assert_null(take_place(f, "p"));
}

static void nothing_reserved_is_always_throttled(void **state)
{
	struct fixture *f = *state;

	reserve(f, "off", 0);
	assert_string_equal(take(f, TENANT, "off"), THROTTLE_RESERVED);
	assert_int_equal(concurrency_set_reserved(f->concurrency, TENANT, "off", NULL), 0);
	assert_null(take(f, TENANT, "off"));
}

static void what_runs_counts_under_the_new_rule(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 4; i++)
		assert_null(take(f, TENANT, "a"));
	reserve(f, "a", 2);
	assert_usage(f, 2, 4, 0);
	assert_string_equal(take(f, TENANT, "a"), THROTTLE_RESERVED);
	for (unsigned i = 0; i < 3; i++)
		give_back(f);
	assert_null(take(f, TENANT, "a"));
	reserve(f, "a", 5);
	assert_usage(f, 5, 2, 0);
	assert_int_equal(concurrency_set_reserved(f->concurrency, TENANT, "a", NULL), 0);
	assert_usage(f, 0, 2, 2);
	give_back(f);
	assert_usage(f, 0, 1, 1);
}

static void a_deleted_function_leaves_its_room(void **state)
{
	struct fixture *f = *state;

	reserve(f, "a", 9);
	assert_null(take(f, TENANT, "a"));
	concurrency_forget(f->concurrency, TENANT, "a");
	assert_usage(f, 0, 1, 1);
	/* Made anew while the old one's invocation runs on. */
	assert_null(take(f, TENANT, "a"));
	assert_usage(f, 0, 2, 2);
	give_back(f);
	give_back(f);
	assert_usage(f, 0, 0, 0);
	concurrency_forget(f->concurrency, TENANT, "a");
	concurrency_forget(f->concurrency, TENANT, "never");
	assert_int_equal(concurrency_function_in_use(f->concurrency, TENANT, "a"), 0);
}

/* Serves as many as are let in at this moment, one after the other. */
static unsigned serve_all(struct fixture *f, const char *name, const char **ret_reason)
{
	unsigned n = 0;

	while (!(*ret_reason = take(f, TENANT, name))) {
		give_back(f);
		n++;
	}
	return n;
}

static void requests_have_a_rate(void **state)
{
	struct fixture *f = *state;
	const char *reason;

	concurrency_free(f->concurrency);
	make(f, (struct concurrency_limits){ .tenant = 5, .requests = 10, .scaling = 100000 });
	f->environments = 1;
	/* A second's worth at once, then evenly. */
	assert_int_equal(serve_all(f, "a", &reason), 50);
	assert_string_equal(reason, THROTTLE_RATE);
	assert_string_equal(take(f, TENANT, "b"), THROTTLE_RATE);
	assert_null(take(f, OTHER, "a"));
	f->now_us += 20 * USEC_PER_MSEC;
	assert_int_equal(serve_all(f, "a", &reason), 1);
	f->now_us += 200 * USEC_PER_MSEC;
	assert_int_equal(serve_all(f, "a", &reason), 10);
	f->now_us += 3600 * USEC_PER_SEC;
	assert_int_equal(serve_all(f, "a", &reason), 50);
	/* A reservation has its own, of ten for each. */
	reserve(f, "r", 2);
	assert_int_equal(serve_all(f, "r", &reason), 20);
	assert_string_equal(reason, THROTTLE_RESERVED_RATE);
}

static void what_is_refused_uses_nothing_up(void **state)
{
	struct fixture *f = *state;
	const char *reason;

	concurrency_free(f->concurrency);
	make(f, (struct concurrency_limits){ .tenant = 5, .requests = 10, .scaling = 100000 });
	f->environments = 5;
	for (unsigned i = 0; i < 5; i++)
		assert_null(take(f, TENANT, "a"));
	for (unsigned i = 0; i < 1000; i++)
		assert_string_equal(take(f, TENANT, "a"), THROTTLE_TENANT);
	give_back(f);
	assert_int_equal(serve_all(f, "a", &reason), 45);
}

static void a_function_grows_only_so_fast(void **state)
{
	struct fixture *f = *state;

	concurrency_free(f->concurrency);
	make(f, (struct concurrency_limits){ .tenant = 60, .requests = 1000, .scaling = 20 });
	for (unsigned i = 0; i < 20; i++)
		assert_null(take(f, TENANT, "a"));
	assert_string_equal(take(f, TENANT, "a"), THROTTLE_TENANT);
	/* Another one grows by itself. */
	assert_null(take(f, TENANT, "b"));
	f->now_us += USEC_PER_SEC;
	assert_null(take(f, TENANT, "a"));
	assert_null(take(f, TENANT, "a"));
	assert_string_equal(take(f, TENANT, "a"), THROTTLE_TENANT);
	/* What it has already, it may use again, as long as that is there. */
	f->environments = 22;
	for (unsigned i = 0; i < 10; i++)
		give_back(f);
	for (unsigned i = 0; i < 9; i++)
		assert_null(take(f, TENANT, "a"));
	f->environments = 0;
	for (unsigned i = 0; i < 9; i++)
		give_back(f);
	assert_string_equal(take(f, TENANT, "a"), THROTTLE_TENANT);
}

static void names_that_are_no_names_are_refused(void **state)
{
	struct fixture *f = *state;
	char name[FUNCTION_NAME_MAX + 2];

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_true(concurrency_take(f->concurrency, TENANT, name, 0, f->now_us, &f->grants[0],
				     NULL) < 0);
	name[FUNCTION_NAME_MAX] = '\0';
	assert_null(take(f, TENANT, name));
}

#define LIMIT_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIMIT_TEST(provisioned_places_are_nobody_else_s),
		LIMIT_TEST(a_reservation_that_is_provisioned_leaves_nothing),
		LIMIT_TEST(a_place_has_its_rate),
		LIMIT_TEST(a_tenant_has_its_limit),
		LIMIT_TEST(a_reservation_is_room_and_limit),
		LIMIT_TEST(a_limit_that_is_lowered_holds_for_all),
		LIMIT_TEST(nothing_reserved_is_always_throttled),
		LIMIT_TEST(what_runs_counts_under_the_new_rule),
		LIMIT_TEST(a_deleted_function_leaves_its_room),
		LIMIT_TEST(requests_have_a_rate),
		LIMIT_TEST(what_is_refused_uses_nothing_up),
		LIMIT_TEST(a_function_grows_only_so_fast),
		LIMIT_TEST(names_that_are_no_names_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

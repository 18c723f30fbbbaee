/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_events mayfly_queues mayfly_store mayfly_functions mayfly_core mayfly_base
// mayfly_pkg_sqlite

/* What is set for the asynchronous invocations of a function, and what becomes of it. */

#include "tests/unit/event_harness.h"

static unsigned settled;
static enum error_code settled_code;

static void on_settled(const struct event_settings *settings _unused_, const struct error *error,
		       void *arg _unused_)
{
	settled++;
	settled_code = error ? error->code : ERROR_NONE;
}

static bool are_settled(void)
{
	return settled >= wanted;
}

static void turn_until_settled(unsigned count)
{
	wanted = count;
	turn_until(are_settled);
}

static void put(const char *qualifier, const struct event_settings *settings)
{
	struct event_settings_key key = { .tenant = TENANT, .function = "f" };

	(void)snprintf(key.qualifier, sizeof(key.qualifier), "%s", qualifier);
	settled = 0;
	assert_int_equal(event_settings_put(place->queue, &key, settings, on_settled, NULL, NULL),
			 0);
	turn_until_settled(1);
	assert_int_equal(settled_code, ERROR_NONE);
}

static const struct event_settings *found(const char *qualifier)
{
	return event_settings_find(place->queue, TENANT, "f", qualifier);
}

static void test_settings_of_what_was_invoked(void **state _unused_)
{
	const struct event_settings one = { .has_max_retries = true, .max_retries = 1 };
	struct event_queue_config config = config_of();

	place->manner = MANNER_FAILS;
	open_queue(&config);
	put("other", &(struct event_settings){ .has_max_retries = true });
	put("live", &one);
	submit_of(TENANT, "1");
	turn_until(all_ended);
	assert_int_equal(place->tried, 2);
}

static void test_settings_are_kept_and_deleted(void **state _unused_)
{
	const struct event_settings both = {
		.has_max_retries = true, .has_max_age = true, .max_retries = 1, .max_age_s = 77
	};
	struct event_settings_key key = { .tenant = TENANT, .function = "f", .qualifier = "live" };
	_cleanup_error_ struct error error = ERROR_INIT;
	struct event_queue_config config = config_of();

	open_queue(&config);
	put("live", &both);
	put("$LATEST", &(struct event_settings){ .has_max_age = true, .max_age_s = 60 });
	close_queue();
	open_queue(&config);
	assert_true(found("live")->has_max_retries && found("live")->has_max_age);
	assert_int_equal(found("live")->max_retries, 1);
	assert_int_equal(found("live")->max_age_s, 77);
	assert_true(found("live")->modified_us > 0);
	assert_false(found("")->has_max_retries);
	assert_int_equal(found("")->max_age_s, 60);
	assert_null(found("other"));
	settled = 0;
	assert_int_equal(event_settings_delete(place->queue, &key, on_settled, NULL, &error), 0);
	assert_true(event_settings_put(place->queue, &key, &both, on_settled, NULL, &error) < 0);
	assert_int_equal(error.code, ERROR_CONFLICT);
	turn_until_settled(1);
	assert_null(found("live"));
	assert_non_null(found(""));
	close_queue();
	open_queue(&config);
	assert_null(found("live"));
	assert_non_null(found(""));
}

static bool are_written(void)
{
	return !place->queue->writer.batch && !place->queue->writer.first;
}

static void test_settings_go_with_the_function(void **state _unused_)
{
	const struct event_settings settings = { .has_max_retries = true };
	const struct function version = { .tenant = (char *)TENANT,
					  .name = (char *)"f",
					  .version = 3 };
	struct event_queue_config config = config_of();

	open_queue(&config);
	put("3", &settings);
	put("live", &settings);
	listener(&version, DIRECTORY_DELETED, listener_arg);
	assert_null(found("3"));
	assert_non_null(found("live"));
	listener(&function, DIRECTORY_CHANGED, listener_arg);
	assert_non_null(found("live"));
	listener(&function, DIRECTORY_DELETED, listener_arg);
	assert_null(found("live"));
	turn_until(are_written);
	close_queue();
	open_queue(&config);
	assert_null(found("3"));
	assert_null(found("live"));
	/* A function that went while nobody could write it down. */
	put("live", &settings);
	close_queue();
	function_is_gone = true;
	open_queue(&config);
	assert_null(found("live"));
}

static void test_a_full_disk_refuses_settings(void **state _unused_)
{
	const struct event_settings settings = { .has_max_retries = true };
	struct event_settings_key key = { .tenant = TENANT, .function = "f", .qualifier = "live" };
	struct event_queue_config config = config_of();

	open_queue(&config);
	settled = 0;
	limit_files(1);
	assert_int_equal(event_settings_put(place->queue, &key, &settings, on_settled, NULL, NULL),
			 0);
	turn_until_settled(1);
	limit_files(0);
	assert_int_not_equal(settled_code, ERROR_NONE);
	assert_null(found("live"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_settings_of_what_was_invoked, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_settings_are_kept_and_deleted, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_settings_go_with_the_function, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_a_full_disk_refuses_settings, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

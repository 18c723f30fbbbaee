/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_functions mayfly_base

/* In whose name a function is invoked: who may be named, and what PER_TENANT excludes. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/functions/end_tenant.h"

#define FIFTY "01234567890123456789012345678901234567890123456789"
#define OF256 FIFTY FIFTY FIFTY FIFTY FIFTY "012345"

static const struct function_config shared, isolated = { .tenancy = TENANCY_PER_TENANT };

static void check(const char *id, const struct function_config *config, const char *message)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	int r = end_tenant_check(id, config, &error);

	assert_int_equal(r, message ? -EINVAL : 0);
	if (!message)
		return;
	assert_int_equal(error.code, ERROR_INVALID_PARAMETER);
	assert_string_equal(error.field, "tenant_id");
	assert_non_null(strstr(error_text(&error), message));
}

static void who_may_be_named(void **state)
{
	static const char *const good[] = { "a", "blue", "a.b_c:d/e=f+g-h@i j", " ", OF256 };
	static const char *const bad[] = { "a,b", "a\n", "\xc3\xa4", "a*", "a\\b", "a\x7f" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		check(good[i], &isolated, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		check(bad[i], &isolated,
		      "at 'tenantId' failed to satisfy constraint: Member must satisfy regular "
		      "expression pattern: [a-zA-Z0-9\\._:\\/=+\\-@ ]+");
	check(OF256 "7", &isolated, "Member must have length less than or equal to 256");
}

static void a_name_is_needed_or_refused(void **state)
{
	(void)state;
	check(NULL, &shared, NULL);
	check("", &shared, NULL);
	check("", &isolated,
	      "The invoked function is enabled with tenancy configuration. Add a valid tenant ID "
	      "in your request and try again.");
	check(NULL, &isolated, "Add a valid tenant ID");
	check("blue", &shared,
	      "The invoked function is not enabled with tenancy configuration. Remove the tenant "
	      "ID from your request and try again.");
}

static void what_it_does_not_go_with(void **state)
{
	static const enum tenancy per_tenant = TENANCY_PER_TENANT, odd = _TENANCY_MAX;
	static const enum snap_start latest = SNAP_START_LATEST;
	const struct {
		struct function_patch patch;
		const char *field; /* NULL: it is right */
	} rows[] = {
		{ { .tenancy = &per_tenant }, NULL },
		{ { .tenancy = &odd }, "tenancy_config" },
		{ { .tenancy = &per_tenant, .snap_start = &latest }, "snap_start" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(function_config_clear) struct function_config config = { 0 },
									copy = { 0 };
		_cleanup_error_ struct error error = ERROR_INIT;
		struct function_patch patch = rows[i].patch;
		int r;

		patch.runtime = "python3.13";
		patch.handler = "app.handler";
		assert_int_equal(function_config_set_defaults(&config, "f"), 0);
		assert_int_equal(function_config_apply(&config, &patch), 0);
		r = function_validate_config(&config, &error);
		assert_int_equal(r, rows[i].field ? -EINVAL : 0);
		if (rows[i].field)
			assert_string_equal(error.field, rows[i].field);
		/* An update that says nothing of it leaves it. */
		assert_int_equal(function_config_copy(&copy, &config), 0);
		patch = (struct function_patch){ .handler = "app.other" };
		assert_int_equal(function_config_apply(&copy, &patch), 0);
		assert_int_equal(copy.tenancy, config.tenancy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_may_be_named),
		cmocka_unit_test(a_name_is_needed_or_refused),
		cmocka_unit_test(what_it_does_not_go_with),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

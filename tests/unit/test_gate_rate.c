/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_api mayfly_client mayfly_invoke mayfly_pool mayfly_logs mayfly_vm mayfly_image
// mayfly_deploy mayfly_store mayfly_functions mayfly_rpc mayfly_core mayfly_base

/* How often a tenant may call what is no invocation. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "agent/api/gate_internal.h"
#include "clock_double.h"

#define BLUE     "111111111111"
#define GREEN    "222222222222"
#define FUNCTION "/mayfly.v1.FunctionService/"

static struct gate_call call_of(const char *tenant, const char *method)
{
	struct gate_call known = { .row = access_find(method) };

	assert_non_null(known.row);
	known.principal.kind = PRINCIPAL_USER;
	(void)snprintf(known.principal.tenant, sizeof(known.principal.tenant), "%s", tenant);
	return known;
}

/* How many of `count` at once. */
static unsigned let_in(struct gate *gate, const struct gate_call *known, unsigned count)
{
	unsigned taken = 0;

	while (count-- > 0) {
		_cleanup_error_ struct error e = ERROR_INIT;

		if (gate_check_rate(gate, known, &e) == 0) {
			taken++;
			continue;
		}
		assert_int_equal(e.code, ERROR_TOO_MANY_REQUESTS);
		assert_string_equal(error_text(&e), "Rate exceeded");
		assert_string_equal(e.reason, "CallerRateLimitExceeded");
	}
	return taken;
}

static void test_a_tenant_has_its_rate(void **state _unused_)
{
	struct gate gate = { .per_second = { [ACCESS_RATE_CONTROL] = 15,
					     [ACCESS_RATE_POLICY] = 15,
					     [ACCESS_RATE_FUNCTION] = 100 } };
	struct gate_call create = call_of(BLUE, FUNCTION "Create");
	struct gate_call list = call_of(BLUE, FUNCTION "List");
	struct gate_call get = call_of(BLUE, FUNCTION "Get");
	struct gate_call policy = call_of(BLUE, "/mayfly.v1.PolicyService/GetPolicy");
	struct gate_call other = call_of(GREEN, FUNCTION "List");
	struct gate_call unknown = create;
	struct gate_call invoke = call_of(BLUE, "/mayfly.v1.InvokeService/Invoke");
	struct gate_call logs = call_of(BLUE, "/mayfly.v1.LogService/Get"); /* has no limit here */
	struct gate_call operator= create;

	assert_int_equal(let_in(&gate, &create, 40), 40);
	assert_int_equal(let_in(&gate, &list, 40), 20); /* four seconds' worth, in sum */
	unknown.row = NULL;
	assert_int_equal(let_in(&gate, &unknown, 1), 0);
	assert_int_equal(let_in(&gate, &policy, 100), 60);
	assert_int_equal(let_in(&gate, &get, 1000), 400);
	assert_int_equal(let_in(&gate, &other, 100), 60);
	assert_int_equal(let_in(&gate, &invoke, 10000), 10000);
	assert_int_equal(let_in(&gate, &logs, 10000), 10000);
	operator.principal.kind = PRINCIPAL_OPERATOR;
	assert_int_equal(let_in(&gate, &operator, 10000), 10000);

	clock_double_passed_us += USEC_PER_SEC;
	assert_in_range(let_in(&gate, &list, 100), 15, 16);
	clock_double_passed_us += 3600 * USEC_PER_SEC;
	assert_int_equal(let_in(&gate, &list, 100), 60); /* and no more than that is saved */
	gate_forget_rates(&gate);
	assert_null(gate.rates);
}

/* Who is quiet is forgotten, who is not is not. */
static void test_many_tenants(void **state _unused_)
{
	struct gate gate = { .per_second = { [ACCESS_RATE_CONTROL] = 1 } };
	struct gate_call busy = call_of(BLUE, FUNCTION "List");
	char tenant[TENANT_ID_BYTES];

	for (unsigned i = 0; i < 1000; i++) {
		struct gate_call call;

		(void)snprintf(tenant, sizeof(tenant), "%012u", i);
		call = call_of(tenant, FUNCTION "List");
		assert_int_equal(let_in(&gate, &call, 1), 1);
		assert_true(let_in(&gate, &busy, 5) <= (i == 0 ? 4 : 3));
		assert_int_equal(let_in(&gate, &busy, 1), 0);
		clock_double_passed_us += 3 * USEC_PER_SEC;
	}
	gate_forget_rates(&gate);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_tenant_has_its_rate),
		cmocka_unit_test(test_many_tenants),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

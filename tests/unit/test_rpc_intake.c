/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_rpc

/* How many calls callers may have, and when a request that does not come is ended. What it counts
 * of connections is in tests/integration/test_rpc_hostile.py. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "rpc/intake.h"
#include "rpc/rpc_server.h"

#define CALLS 200

static const struct rpc_limits limits = { .calls = CALLS, .receiving_mb = 1, .receive_s = 1 };

static unsigned ended;
static enum intake_end last_end;

static void on_end(struct rpc_call *call, enum intake_end why)
{
	assert_null(call);
	ended++;
	last_end = why;
}

/* Joins until it is refused; how often it was not. */
static unsigned fill(struct intake *intake, uint64_t id, bool is_stranger, struct payer **last,
		     const char *refusal)
{
	_cleanup_error_ struct error e = ERROR_INIT;

	for (unsigned n = 0;; n++) {
		int r = intake_join(intake, id, is_stranger, last, &e);
		if (r == 0)
			continue;
		assert_int_equal(e.code, ERROR_TOO_MANY_REQUESTS);
		assert_string_equal(e.reason, "CallLimitExceeded");
		assert_non_null(strstr(e.message, refusal));
		return n;
	}
}

static void leave(struct intake *intake, struct payer *payer, bool is_stranger, unsigned times)
{
	while (times-- > 0)
		intake_leave(intake, payer, is_stranger);
}

static void one_payer_has_half(void **state)
{
	struct intake intake;
	struct payer *a, *b, *c = NULL;

	(void)state;
	intake_init(&intake, &limits, on_end);
	assert_int_equal(fill(&intake, 1, false, &a, "of this tenant"), CALLS / 2);
	assert_int_equal(fill(&intake, 2, false, &b, "of this tenant"), CALLS / 2);
	leave(&intake, a, false, 1);
	assert_int_equal(fill(&intake, 1, false, &a, "of this tenant"), 1);
	/* The room of strangers is beyond all others'. */
	assert_int_equal(fill(&intake, 3, true, &c, "without credentials from this address"),
			 INTAKE_STRANGERS_PER_ADDRESS);
	leave(&intake, c, true, INTAKE_STRANGERS_PER_ADDRESS);
	leave(&intake, a, false, CALLS / 2);
	leave(&intake, b, false, CALLS / 2);
	assert_null(intake.payers);
	assert_int_equal(intake.calls, 0);
	intake_clear(&intake);
}

static void strangers_have_little(void **state)
{
	const unsigned addresses = INTAKE_STRANGERS / INTAKE_STRANGERS_PER_ADDRESS;
	struct payer *payers[INTAKE_STRANGERS / INTAKE_STRANGERS_PER_ADDRESS], *none = NULL;
	struct intake intake;

	(void)state;
	intake_init(&intake, &limits, on_end);
	for (unsigned i = 0; i < addresses; i++)
		assert_int_equal(fill(&intake, i, true, &payers[i], "without credentials"),
				 INTAKE_STRANGERS_PER_ADDRESS);
	assert_int_equal(fill(&intake, addresses, true, &none, "without credentials."), 0);
	for (unsigned i = 0; i < addresses; i++)
		leave(&intake, payers[i], true, INTAKE_STRANGERS_PER_ADDRESS);
	assert_int_equal(intake.strangers, 0);
	assert_null(intake.payers);
	intake_clear(&intake);
}

static void late_ones_are_ended_once(void **state)
{
	const struct connection_ref local = { .number = 0 };
	struct reception late = { 0 }, patient = { 0 };
	struct intake intake;

	(void)state;
	ended = 0;
	intake_init(&intake, &limits, on_end);
	intake_begin(&intake, &late, &local, 1, 1);
	intake_begin(&intake, &patient, &local, 1, 0);
	intake_look(&intake);
	assert_int_equal(ended, 0);
	late.until_us = 0;
	intake_look(&intake);
	intake_look(&intake);
	assert_int_equal(ended, 1);
	assert_int_equal(last_end, INTAKE_LATE);
	intake_finish(&intake, &late, 0);
	intake_finish(&intake, &late, 0); /* nothing */
	intake_finish(&intake, &patient, 0);
	assert_true(TAILQ_EMPTY(&intake.receptions));
	intake_clear(&intake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_payer_has_half),
		cmocka_unit_test(strangers_have_little),
		cmocka_unit_test(late_ones_are_ended_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_invoke mayfly_pool mayfly_logs mayfly_functions mayfly_core mayfly_base

/* The arithmetic of an invocation: billing, phases, what counts as JSON. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/invoke/billing.h"
#include "agent/invoke/invocation_internal.h"
#include "mayfly/clock.h"

static void billing(void **state)
{
	static const struct {
		int64_t duration_us, init_us;
		uint64_t ms;
	} cases[] = {
		{ 0, 0, 1 },     { 1, 0, 1 },    { 999, 0, 1 },         { 1000, 0, 1 },
		{ 1001, 0, 2 },  { 3010, 0, 4 }, { 3010, 110100, 114 }, { 500, 500, 1 },
		{ 500, 501, 2 }, { -5, 0, 1 },   { 1000, -7, 1 },       { 900000000, 0, 900000 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(billing_milliseconds(cases[i].duration_us, cases[i].init_us),
				 cases[i].ms);
}

static const struct phase_stamps stamps = { .received_us = 1000,
					    .queued_us = 1100,
					    .bound_us = 2000,
					    .sent_us = 2010,
					    .complete_us = 2500,
					    .guest_us = 300 };

static void phases_of_a_restore(void **state)
{
	struct sandbox_facts sandbox = { .id = "ab",
					 .origin = SANDBOX_FROM_BASE,
					 .invocations = 1,
					 .requested_us = 1150,
					 .spawned_us = 1400,
					 .loaded_us = 1410,
					 .restored_us = 1600,
					 .init_sent_us = 1600,
					 .init_done_us = 1950,
					 .ready_us = 1960 };
	struct invocation_phases phases = { 0 };

	(void)state;
	phases_fill(&stamps, &sandbox, &phases);
	assert_int_equal(phases.start, INVOCATION_START_RESTORE);
	assert_int_equal(phases.admit_us, 100);
	assert_int_equal(phases.spawn_us, 250);
	assert_int_equal(phases.load_us, 10);
	assert_int_equal(phases.resume_us, 190 + 10);
	assert_int_equal(phases.init_us, 350);
	assert_int_equal(phases.place_us, 900 - 250 - 10 - 190 - 350);
	assert_int_equal(phases.handler_us, 490);
	assert_int_equal(phases.guest_us, 300);
	assert_string_equal(phases.sandbox_id, "ab");
}

/* Only what it waited through is its own. */
static void phases_of_a_start_under_way(void **state)
{
	struct sandbox_facts sandbox = { .id = "ab",
					 .origin = SANDBOX_FROM_SNAPSHOT,
					 .invocations = 1,
					 .requested_us = 500,
					 .spawned_us = 900,
					 .loaded_us = 1200,
					 .restored_us = 1990,
					 .ready_us = 1995 };
	struct invocation_phases phases = { 0 };

	(void)state;
	phases_fill(&stamps, &sandbox, &phases);
	assert_int_equal(phases.start, INVOCATION_START_SNAP_START);
	assert_int_equal(phases.spawn_us, 0);
	assert_int_equal(phases.load_us, 100);
	assert_int_equal(phases.resume_us, 790 + 10);
	assert_int_equal(phases.init_us, 0);
	assert_int_equal(phases.place_us, 10);
}

static void kinds_of_start(void **state)
{
	struct sandbox_facts sandbox = { .invocations = 1, .ready_us = 50 };

	(void)state;
	assert_int_equal(phases_start_kind(&sandbox, 50), INVOCATION_START_SPARE);
	assert_int_equal(phases_start_kind(&sandbox, 49), INVOCATION_START_RESTORE);
	sandbox.origin = SANDBOX_FROM_BOOT;
	assert_int_equal(phases_start_kind(&sandbox, 49), INVOCATION_START_BOOT);
	sandbox.invocations = 2;
	assert_int_equal(phases_start_kind(&sandbox, 49), INVOCATION_START_WARM);
	struct invocation_phases phases = { 0 };
	phases_fill(&stamps, NULL, &phases);
	assert_int_equal(phases.start, INVOCATION_START_NONE);
	assert_int_equal(phases.place_us, 900);
}

static const char refusal[] =
	"Could not parse request body into json: Could not parse payload into "
	"json: ";

static void payloads(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} cases[] = {
		{ "{}", true },
		{ "null", true },
		{ "\"text\"", true },
		{ " [1, 2.5, {\"a\": true}] ", true },
		{ "123456789012345678901234567890", true },
		{ "1e999", true },
		{ "\"\\u0000\"", true },
		{ "{", false },
		{ "{bad", false },
		{ "{} {}", false },
		{ " ", false },
		{ "'x'", false },
		{ "\"\xff\"", false },
		{ "NaN", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_error_ struct error error = ERROR_INIT;
		int r = admission_parse_payload(slice_from_string(cases[i].text), &error);

		if ((r >= 0) != cases[i].good)
			fail_msg("%s: %d", cases[i].text, r);
		if (r >= 0)
			continue;
		assert_int_equal(error.code, ERROR_INVALID_REQUEST_CONTENT);
		assert_string_equal(error.field, "payload");
		assert_memory_equal(error.message, refusal, sizeof(refusal) - 1);
	}
}

static void trace_ids(void **state)
{
	static const char *const bad[] = { "Root=1\r\nEvil: yes", "Root=1\n", "\x7f", "\xc3\xa4" };
	char one[TRACE_ID_BYTES], other[TRACE_ID_BYTES], parent[17], root[25];
	char longest[TRACE_ID_MAX_BYTES + 2];
	unsigned at, end = 0;

	(void)state;
	trace_id_generate(1700000000 * USEC_PER_SEC + 5, one);
	assert_int_equal(sscanf(one, "Root=1-%8x-%24[0-9a-f];Parent=%16[0-9a-f];Sampled=0%n", &at,
				root, parent, &end),
			 3);
	assert_int_equal(at, 1700000000);
	assert_int_equal(end, strlen(one));
	assert_int_equal(strlen(root), 24);
	assert_int_equal(strlen(parent), 16);
	trace_id_generate(1700000000 * USEC_PER_SEC + 5, other);
	assert_string_not_equal(one, other);

	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(trace_id_check(one, NULL), 0);
	assert_int_equal(trace_id_check("", NULL), 0);
	assert_int_equal(trace_id_check(longest + 1, NULL), 0);
	assert_true(trace_id_check(longest, NULL) < 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_error_ struct error error = ERROR_INIT;

		assert_true(trace_id_check(bad[i], &error) < 0);
		assert_int_equal(error.code, ERROR_INVALID_PARAMETER);
		assert_string_equal(error.field, "trace_id");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(billing),
		cmocka_unit_test(phases_of_a_restore),
		cmocka_unit_test(phases_of_a_start_under_way),
		cmocka_unit_test(kinds_of_start),
		cmocka_unit_test(payloads),
		cmocka_unit_test(trace_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

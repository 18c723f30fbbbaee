/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_pool mayfly_logs mayfly_functions mayfly_image mayfly_core mayfly_base

/* Which sandbox gets a small package's files, who compiles them, and who gets the bytecode. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/compile_harness.h"

/* -- tests -- */

static const struct version_code *code_of(struct fixture *f)
{
	return &version_find(f->pool, "123456789012", "f", 0)->code;
}

static void the_first_one_compiles_for_all(void **state)
{
	struct fixture *f = *state;

	make_code_pool(f);
	serve_once(f);
	/* It has the files since then, and its own bytecode as all others have. */
	assert_heard(0, 1, 0, SOURCES);
	serve_once(f);
	serve_once(f);
	assert_heard(1, 0, FILES, SOURCES);
	assert_heard(2, 0, FILES, SOURCES);
	assert_int_equal(heard[2].first_byte, 'b');
	assert_int_equal(gauges(f).start_failures, 0);
	RUN_UNTIL(f, is_kept(KEPT_BYTECODE));
}

static void others_do_not_wait_for_the_compiler(void **state)
{
	struct fixture *f = *state;
	struct asker a, b;

	make_code_pool(f);
	compiler.manner = HOLDS;
	assert_int_equal(ask(f, &a, "f"), 0);
	assert_int_equal(ask(f, &b, "f"), 0);
	RUN_UNTIL(f, a.bound + b.bound == 1 && heard_count == 2);
	assert_int_equal(heard[0].compiles, 1);
	assert_int_equal(heard[0].initializes, 0);
	assert_heard(1, 0, FILES, 0);
	answer_compile(heard[0].vm);
	RUN_UNTIL(f, a.bound + b.bound == 2);
	assert_heard(0, 1, 0, SOURCES);
	release(&a);
	release(&b);
}

static void on_policy(unsigned ended _unused_, unsigned spares_ready _unused_,
		      const struct error *error, void *arg)
{
	assert_null(error);
	*(bool *)arg = true;
}

static void what_ends_beside_it_is_no_matter(void **state)
{
	struct fixture *f = *state;
	struct asker a, b, *first;

	make_code_pool(f);
	compiler.manner = HOLDS;
	assert_int_equal(ask(f, &a, "f"), 0);
	assert_int_equal(ask(f, &b, "f"), 0);
	RUN_UNTIL(f, a.bound + b.bound == 1 && heard_count == 2);
	/* Who is bound first has the other sandbox. */
	first = a.bound ? &a : &b;
	sandbox_release(first->sandbox, "it was only asked for once");
	RUN_UNTIL(f, gauges(f).total == 1);
	answer_compile(heard[0].vm);
	RUN_UNTIL(f, a.bound + b.bound == 2);
	assert_heard(0, 1, 0, SOURCES);
	assert_null(code_of(f)->compiler);
	release(first == &a ? &b : &a);
}

static void a_booted_one_compiles_too(void **state)
{
	struct fixture *f = *state;
	struct function function = function_make(f, "f");
	struct sandbox_facts facts;
	bool is_set = false;
	struct asker a;

	make_code_pool(f);
	assert_int_equal(pool_set_policy(f->pool, &function, POOL_POLICY_BOOT, 0, false, on_policy,
					 &is_set, NULL),
			 0);
	RUN_UNTIL(f, is_set);
	assert_int_equal(ask(f, &a, "f"), 0);
	RUN_UNTIL(f, a.bound == 1);
	sandbox_get_facts(a.sandbox, &facts);
	assert_int_equal(facts.origin, SANDBOX_FROM_BOOT);
	assert_heard(0, 1, 0, SOURCES);
	release(&a);
}

static void what_says_nothing_of_a_source_is_an_answer(void **state)
{
	struct fixture *f = *state;

	make_code_pool(f);
	compiler.count = 0;
	serve_once(f);
	serve_once(f);
	assert_heard(0, 1, 0, 0);
	assert_heard(1, 0, FILES, 0);
	RUN_UNTIL(f, is_kept(KEPT_BYTECODE));
}

/* The demand gets another sandbox, and no other one is sent to compile. */
static void assert_never_again(struct fixture *f)
{
	serve_once(f);
	/* The sandbox that did is gone: nobody refers to it. */
	assert_null(code_of(f)->compiler);
	assert_false(code_of(f)->compiles);
	serve_once(f);
	assert_int_equal(heard_count, 3);
	assert_int_equal(heard[0].compiles, 1);
	assert_int_equal(heard[0].initializes, 0);
	assert_heard(1, 0, FILES, 0);
	assert_heard(2, 0, FILES, 0);
	assert_false(is_kept(KEPT_BYTECODE));
	heard_count = 0;
	f->generation++;
}

static void bytecode_that_nobody_asked_for_is_not_taken(void **state)
{
	struct fixture *f = *state;

	make_code_pool(f);
	compiler.paths[1] = "data.txt";
	assert_never_again(f);
	compiler.paths[1] = "b.py";
	compiler.count = SOURCES + 1;
	assert_never_again(f);
	compiler.count = 1;
	compiler.bytes = PACKAGE_BYTECODE_BYTES + 1;
	assert_never_again(f);
	compiler.count = SOURCES;
	compiler.bytes = PACKAGE_BYTECODE_BYTES / 2 + 1;
	assert_never_again(f);
	/* The limit itself is good. */
	compiler.bytes = PACKAGE_BYTECODE_BYTES / 2;
	serve_once(f);
	assert_heard(0, 1, 0, SOURCES);
}

static void a_compiler_that_fails_or_dies_is_the_last(void **state)
{
	struct fixture *f = *state;

	make_code_pool(f);
	compiler.status = STATUS(TIMEOUT);
	assert_never_again(f);
	compiler.status = STATUS(GUEST_FAILURE);
	assert_never_again(f);
	compiler.manner = DIES;
	assert_never_again(f);
}

static void an_overdue_compiler_is_the_last(void **state)
{
	struct fixture *f = *state;

	f->config.start_timeout_us = 300 * USEC_PER_MSEC;
	make_code_pool(f);
	compiler.manner = HOLDS;
	assert_never_again(f);
}

static void a_second_answer_ends_the_sandbox(void **state)
{
	struct fixture *f = *state;
	struct asker a;

	make_code_pool(f);
	compiler.manner = HOLDS;
	assert_int_equal(ask(f, &a, "f"), 0);
	RUN_UNTIL(f, heard_count == 1 && heard[0].compiles == 1);
	answer_compile(heard[0].vm);
	answer_compile(heard[0].vm);
	RUN_UNTIL(f, a.bound == 1);
	/* What the first answer had stays. */
	assert_int_equal(heard_count, 2);
	assert_heard(1, 0, FILES, SOURCES);
	release(&a);
}

static void other_languages_get_files_alone(void **state)
{
	static const char *const runtimes[] = { "nodejs20.x", "provided.al2023" };
	struct fixture *f = *state;

	make_code_pool(f);
	for (unsigned i = 0; i < ARRAY_SIZE(runtimes); i++) {
		f->runtime = runtimes[i];
		f->generation++;
		serve_once(f);
		serve_once(f);
		assert_heard(2 * i, 0, FILES, 0);
		assert_heard(2 * i + 1, 0, FILES, 0);
	}
	assert_false(is_kept("d1.2222222222222222.bytecode"));
}

static void without_sources_there_is_nothing_to_compile(void **state)
{
	static const char *const names[] = { "a.pyc", "a.py" };
	struct fixture *f = *state;

	save_files(names, 1);
	make_pool(f);
	heard_count = 0;
	f->on_send = NULL; /* whose files are others */
	serve_once(f);
	assert_int_equal(gauges(f).start_failures, 0);
	assert_false(is_kept(KEPT_BYTECODE));
}

static void a_package_that_is_not_small_is_mounted(void **state)
{
	struct fixture *f = *state;

	make_pool(f);
	serve_once(f);
	assert_heard(0, 0, 0, 0);
}

static void a_function_template_has_its_package_mounted(void **state)
{
	struct fixture *f = *state;
	struct function function = function_make(f, "f");
	struct asker a = { .demand.events = &events };

	make_code_pool(f);
	the_kind = TEMPLATE_FUNCTION;
	function.config.snap_start = SNAP_START_LATEST;
	assert_int_equal(pool_acquire(f->pool, &function, &a.demand, &a.sandbox, NULL), 0);
	RUN_UNTIL(f, a.bound == 1);
	assert_int_equal(f->template_files, 0);
	assert_int_equal(f->template_bytecode, 0);
	/* Its clones have all since then. */
	assert_int_equal(heard_count, 1);
	assert_int_equal(heard[0].compiles, 0);
	assert_int_equal(heard[0].initializes, 0);
	f->starting = 0;
	release(&a);
}

static void end_pool(struct fixture *f)
{
	bool drained = false;

	pool_drain(f->pool, 0, set_done, &drained);
	RUN_UNTIL(f, drained);
	settle(f);
	f->pool = pool_free(f->pool);
	heard_count = 0;
}

static void a_new_pool_uses_what_is_kept(void **state)
{
	struct fixture *f = *state;

	make_code_pool(f);
	serve_once(f);
	RUN_UNTIL(f, is_kept(KEPT_BYTECODE));
	end_pool(f);
	make_pool(f);
	serve_once(f);
	assert_heard(0, 0, FILES, SOURCES);
	assert_int_equal(heard[0].first_byte, 'b');
}

static void damage(const char *name)
{
	char path[256];

	in_packages(name, path);
	assert_int_equal(fs_write_file_atomic(path, slice_from_string("\x0a"), 0600), 0);
}

static void damaged_bytecode_is_made_again(void **state)
{
	struct fixture *f = *state;

	make_code_pool(f);
	damage(KEPT_BYTECODE);
	serve_once(f);
	assert_heard(0, 1, 0, SOURCES);
	end_pool(f);
	make_pool(f);
	serve_once(f);
	assert_heard(0, 0, FILES, SOURCES);
}

static void damaged_files_are_as_none(void **state)
{
	struct fixture *f = *state;

	make_code_pool(f);
	damage("d1.files");
	serve_once(f);
	assert_heard(0, 0, 0, 0);
}

int main(void)
{
#define CODE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_code, tear_down_code)
	const struct CMUnitTest tests[] = {
		CODE_TEST(the_first_one_compiles_for_all),
		CODE_TEST(others_do_not_wait_for_the_compiler),
		CODE_TEST(what_ends_beside_it_is_no_matter),
		CODE_TEST(a_booted_one_compiles_too),
		CODE_TEST(what_says_nothing_of_a_source_is_an_answer),
		CODE_TEST(bytecode_that_nobody_asked_for_is_not_taken),
		CODE_TEST(a_compiler_that_fails_or_dies_is_the_last),
		CODE_TEST(an_overdue_compiler_is_the_last),
		CODE_TEST(a_second_answer_ends_the_sandbox),
		CODE_TEST(other_languages_get_files_alone),
		CODE_TEST(without_sources_there_is_nothing_to_compile),
		CODE_TEST(a_package_that_is_not_small_is_mounted),
		CODE_TEST(a_function_template_has_its_package_mounted),
		CODE_TEST(a_new_pool_uses_what_is_kept),
		CODE_TEST(damaged_bytecode_is_made_again),
		CODE_TEST(damaged_files_are_as_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

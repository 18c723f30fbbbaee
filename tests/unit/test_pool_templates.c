/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_pool mayfly_logs mayfly_functions mayfly_core mayfly_base

/* Sandboxes from function templates, and when the pool lets go of such a template. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/pool_harness.h"

static void snap_start_skips_init(void **state)
{
	struct fixture *f = *state;
	struct function function = function_make(f, "f");
	struct asker a = { .demand.events = &events };
	struct sandbox_facts facts;

	make_pool(f);
	the_kind = TEMPLATE_FUNCTION;
	function.config.snap_start = SNAP_START_LATEST;
	assert_int_equal(pool_acquire(f->pool, &function, &a.demand, &a.sandbox, NULL), 0);
	f->starting = 0;
	RUN_UNTIL(f, a.bound == 1);
	sandbox_get_facts(a.sandbox, &facts);
	assert_int_equal(facts.origin, SANDBOX_FROM_SNAPSHOT);
	assert_int_equal(facts.init_sent_us, 0);
	release(&a);
}

/* The sandboxes it has go on; the next one comes from a template asked for anew. */
static void a_dropped_template_is_not_cloned_again(void **state)
{
	struct fixture *f = *state;
	struct asker a, b, c;

	make_pool(f);
	assert_int_equal(ask(f, &a, "f"), 0);
	RUN_UNTIL(f, a.bound == 1);
	assert_int_equal(f->templates_asked, 1);
	assert_int_equal(ask(f, &b, "f"), 0);
	RUN_UNTIL(f, b.bound == 1);
	assert_int_equal(f->templates_asked, 1);
	release(&b);

	the_template_is_dropped = true;
	assert_int_equal(ask(f, &b, "f"), 1); /* a warm one serves on */
	assert_int_equal(ask(f, &c, "f"), 0);
	assert_int_equal(f->cloned, 2);
	RUN_UNTIL(f, f->templates_asked == 2);
	the_template_is_dropped = false;
	RUN_UNTIL(f, c.bound == 1);
	assert_int_equal(f->cloned, 3);
	release(&a);
	release(&b);
	release(&c);
}

static void templates_nobody_needs_are_dropped(void **state)
{
	struct fixture *f = *state;
	struct function function = function_make(f, "f");
	struct asker a = { .demand.events = &events };

	make_pool(f);
	the_kind = TEMPLATE_FUNCTION;
	function.config.snap_start = SNAP_START_LATEST;
	assert_int_equal(pool_acquire(f->pool, &function, &a.demand, &a.sandbox, NULL), 0);
	RUN_UNTIL(f, a.bound == 1);
	release(&a);
	list_template(f->function_template, "f");
	list_template("123456789012-f-older", "f");
	list_template("123456789012-g-other", "g");

	/* Which one an update will need is open until it is done. */
	function.update_status = UPDATE_IN_PROGRESS;
	pool_function_changed(f->pool, &function);
	assert_false(listed[0].dropped || listed[1].dropped || listed[2].dropped);

	function.update_status = UPDATE_SUCCESSFUL;
	pool_function_changed(f->pool, &function);
	assert_true(listed[1].dropped);
	assert_false(listed[0].dropped || listed[2].dropped);

	pool_function_deleted(f->pool, &function);
	assert_true(listed[0].dropped);
	assert_false(listed[2].dropped);
}

static bool needs_128(const char *runtime, unsigned memory_mb, void *arg _unused_)
{
	assert_string_equal(runtime, "python3.13");
	return memory_mb == 128;
}

static void bases_nobody_needs_are_dropped_in_time(void **state)
{
	struct fixture *f = *state;
	unsigned needed, old, recent, cloned, building;

	f->config.base_is_needed = needs_128;
	f->config.base_template_keep_us = 100 * USEC_PER_SEC;
	make_pool(f);
	list_template("123456789012-f-1", "f");
	needed = list_base(128, 1000);
	old = list_base(192, 1000);
	recent = list_base(256, 90);
	cloned = list_base(320, 1000);
	listed[cloned].clones = 1;
	building = list_base(384, 1000);
	listed[building].state = TEMPLATE_BUILDING;
	templates_collect_bases(f->pool);
	assert_true(listed[old].dropped);
	assert_false(listed[0].dropped || listed[needed].dropped || listed[recent].dropped ||
		     listed[cloned].dropped || listed[building].dropped);

	/* By itself, and not only once. */
	listed[recent].used_us -= 1000 * USEC_PER_SEC;
	f->pool->config.base_template_keep_us = 1000;
	templates_watch_bases(f->pool);
	RUN_UNTIL(f, listed[recent].dropped);
	listed[cloned].clones = 0;
	RUN_UNTIL(f, listed[cloned].dropped);
	assert_false(listed[0].dropped || listed[needed].dropped);
}

static void bases_are_kept_where_no_time_is_set(void **state)
{
	struct fixture *f = *state;
	unsigned base;

	f->config.base_is_needed = needs_128;
	make_pool(f);
	base = list_base(192, 1000000);
	templates_collect_bases(f->pool);
	assert_false(listed[base].dropped);
}

static void templates_are_of_one_version(void **state)
{
	struct fixture *f = *state;
	struct function latest = function_make(f, "f"), one = latest;

	latest.config.snap_start = one.config.snap_start = SNAP_START_PUBLISHED_VERSIONS;
	one.version = 1;
	make_pool(f);
	list_template("123456789012-f-of-latest", "f");
	list_template("123456789012-f-of-one", "f");
	listed[1].version = "1";
	list_template("123456789012-f-of-ten", "f");
	listed[2].version = "10";
	pool_function_deleted(f->pool, &one);
	assert_true(listed[1].dropped);
	assert_false(listed[0].dropped || listed[2].dropped);
	/* With PublishedVersions $LATEST has none. */
	pool_function_changed(f->pool, &latest);
	assert_true(listed[0].dropped);
	assert_false(listed[2].dropped);

	/* A published version is restored from its own. */
	the_kind = TEMPLATE_FUNCTION;
	(void)use(f, &one);
	assert_non_null(strstr(f->function_template, "123456789012-f-"));
}

/* Else its files would stay until the function is used again. */
static void dropped_templates_are_let_go(void **state)
{
	struct fixture *f = *state;
	struct asker a;

	make_pool(f);
	assert_int_equal(ask(f, &a, "f"), 0);
	RUN_UNTIL(f, a.bound == 1);
	release(&a);
	templates_collect_bases(f->pool);
	assert_int_equal(f->unrefs, 0);
	the_template_is_dropped = true;
	templates_collect_bases(f->pool);
	assert_int_equal(f->unrefs, 1);
}

static const struct function *find_only_f(const char *tenant _unused_, const char *name,
					  const char *version, void *arg)
{
	return strcmp(name, "f") == 0 && strcmp(version, "$LATEST") == 0 ? arg : NULL;
}

static void a_start_drops_what_a_former_agent_left(void **state)
{
	struct fixture *f = *state;
	struct function function = function_make(f, "f");

	make_pool(f);
	list_template("123456789012-f-no-longer-snap-start", "f");
	list_template("123456789012-gone-1", "gone");
	function.state = FUNCTION_PENDING;
	pool_collect_templates(f->pool, find_only_f, &function);
	assert_false(listed[0].dropped);
	assert_true(listed[1].dropped);
	function.state = FUNCTION_ACTIVE;
	pool_collect_templates(f->pool, find_only_f, &function);
	assert_true(listed[0].dropped);
}

/* -- what INIT says while a function template is made -- */

struct log_text {
	char text[2048]; /* "STREAM: TEXT" lines */
	bool done;
};

static void on_log(const struct log_read_result *result, void *arg)
{
	struct log_text *log = arg;

	assert_null(result->error);
	for (size_t i = 0; i < result->count; i++) {
		size_t used = strlen(log->text);

		(void)snprintf(log->text + used, sizeof(log->text) - used, "%s: %.*s\n",
			       strchr(result->events[i].stream, '['),
			       (int)result->events[i].text.len,
			       (const char *)result->events[i].text.data);
	}
	log->done = true;
}

static void read_log(struct fixture *f, struct log_text *log)
{
	const struct log_read_request request = { .tenant = "123456789012",
						  .group = "/aws/lambda/f" };

	*log = (struct log_text){ 0 };
	assert_int_equal(log_store_read(f->logs, &request, on_log, log, NULL), 0);
	RUN_UNTIL(f, log->done);
}

#define INIT_START(try)                                                                            \
	"[$LATEST]0000000000000000000000000000000" try                                             \
	": INIT_START Runtime Version: python:3.13.v0\tRuntime Version ARN: "                      \
	"arn:aws:lambda:us-east-1::runtime:\n"
#define INIT_LINE(try, text) "[$LATEST]0000000000000000000000000000000" try ": " text "\n"
#define INIT_DROPPED(try)                                                                          \
	INIT_LINE(try, "LOGS_DROPPED Records: 2\tBytes: 0\tReason: the log could not take them")

static void init_of_a_template_is_logged(void **state)
{
	struct fixture *f = *state;
	struct function function = function_make(f, "f");
	struct asker a = { .demand.events = &events };
	struct log_text log;

	make_pool(f);
	the_kind = TEMPLATE_FUNCTION;
	function.config.snap_start = SNAP_START_LATEST;
	f->init_tries = 1;
	f->init_status = MAYFLY__GUEST__V1__STATUS__STATUS_OK;
	assert_int_equal(pool_acquire(f->pool, &function, &a.demand, &a.sandbox, NULL), 0);
	f->starting = 0;
	RUN_UNTIL(f, a.bound == 1);
	read_log(f, &log);
	/* Its own stream; the sandbox's begins with the restore. */
	static const char init[] = INIT_START("1") INIT_LINE("1", "try 1") INIT_DROPPED("1")
		INIT_LINE("1", "INIT_REPORT Init Duration: 1234.57 ms\tPhase: init\t");
	assert_memory_equal(log.text, init, sizeof(init) - 1);
	assert_non_null(strstr(log.text, ": RESTORE_START"));
	assert_null(strstr(strstr(log.text, ": RESTORE_START"), "INIT_"));
	release(&a);
}

static void on_prepared(const struct error *error, void *arg)
{
	*(int *)arg = error ? -1 : 1;
}

/* When nothing comes of it, its output is all there is to go by. */
static void a_failed_init_is_logged(void **state)
{
	struct fixture *f = *state;
	struct function function = function_make(f, "f");
	struct log_text log;
	int prepared = 0;

	make_pool(f);
	function.config.snap_start = SNAP_START_LATEST;
	f->manner = MANNER_NO_TEMPLATE;
	f->init_tries = 2;
	f->init_status = MAYFLY__GUEST__V1__STATUS__STATUS_FUNCTION_ERROR;
	pool_prepare_function(f->pool, &function, &function.config, on_prepared, &prepared);
	RUN_UNTIL(f, prepared == -1);
	read_log(f, &log);
	assert_string_equal(
		log.text,
		INIT_START("1") INIT_LINE("1", "try 1")
			INIT_LINE("1", "INIT_REPORT Init Duration: 1234.57 ms\tPhase: init\t"
				       "Status: error\tError Type: Sandbox.Failure") INIT_START("2")
				INIT_LINE("2", "try 2") INIT_DROPPED("2") INIT_LINE(
					"2", "INIT_REPORT Init Duration: 1234.57 ms\tPhase: init\t"
					     "Status: error\tError Type: ValueError"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(snap_start_skips_init),
		TEST(init_of_a_template_is_logged),
		TEST(a_failed_init_is_logged),
		TEST(a_dropped_template_is_not_cloned_again),
		TEST(templates_nobody_needs_are_dropped),
		TEST(bases_nobody_needs_are_dropped_in_time),
		TEST(bases_are_kept_where_no_time_is_set),
		TEST(templates_are_of_one_version),
		TEST(dropped_templates_are_let_go),
		TEST(a_start_drops_what_a_former_agent_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

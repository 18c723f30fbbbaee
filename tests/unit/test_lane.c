/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_core mayfly_base

/* Whose job of a lane is next. That no more run than may: test_core.c. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "agent/core/lane.h"

#define JOBS_MAX 16

struct place {
	struct loop *loop;
	struct lane lane;
	struct named {
		struct lane_job job;
		struct place *place;
		char key[8]; /* equal keys lie in different places */
		char name;
	} jobs[JOBS_MAX];
	unsigned submitted, done;
	char order[JOBS_MAX + 1]; /* names, as their work ended */
	char adds;                /* with this one's end "c" has another one */
};

static void no_work(struct job *job _unused_)
{
}

static void submit(struct place *place, const char *key, char name);

static void on_done(struct lane_job *job)
{
	struct named *named = container_of(job, struct named, job);
	struct place *place = named->place;

	place->order[place->done++] = named->name;
	if (named->name == place->adds)
		submit(place, "c", '+');
	if (place->done == place->submitted)
		loop_exit(place->loop, 0);
}

static void submit(struct place *place, const char *key, char name)
{
	struct named *named = &place->jobs[place->submitted++];

	*named = (struct named){ .job = { .job.work = no_work, .done = on_done },
				 .place = place,
				 .name = name };
	(void)snprintf(named->key, sizeof(named->key), "%s", key ? key : "");
	named->job.key = key ? named->key : NULL;
	lane_submit(&place->lane, &named->job);
}

static void check(struct place *place, const char *expected)
{
	assert_int_equal(loop_run(place->loop), 0);
	assert_string_equal(place->order, expected);
	assert_null(place->lane.head);
	assert_null(place->lane.turn_head);
	assert_int_equal(place->lane.running, 0);
}

static int set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	assert_non_null(place);
	assert_int_equal(loop_new(2, &place->loop), 0);
	lane_init(&place->lane, place->loop, 1);
	*state = place;
	return 0;
}

static int tear_down(void **state)
{
	struct place *place = *state;

	loop_free(place->loop);
	free(place);
	return 0;
}

static void test_keys_take_turns(void **state)
{
	struct place *place = *state;

	for (const char *name = "12345"; *name; name++)
		submit(place, "a", *name);
	submit(place, "b", 'x');
	submit(place, "b", 'y');
	submit(place, "c", 'z');
	check(place, "12xz3y45"); /* the first ran before there were others */
}

static void test_one_key_keeps_its_order(void **state)
{
	struct place *place = *state;

	for (const char *name = "123456"; *name; name++)
		submit(place, "a", *name);
	check(place, "123456");
}

/* "" is a key as any other. */
static void test_jobs_without_a_key_go_first(void **state)
{
	struct place *place = *state;

	submit(place, "a", '1');
	submit(place, "a", '2');
	submit(place, "", '3');
	submit(place, NULL, 'x');
	submit(place, "b", '4');
	submit(place, NULL, 'y');
	check(place, "1xy234");
}

/* One that had no jobs left, or comes late, is behind those whose turn it is. */
static void test_who_comes_again_is_last(void **state)
{
	struct place *place = *state;

	place->adds = 'z';
	submit(place, "c", 'z');
	submit(place, "a", '1');
	submit(place, "a", '2');
	submit(place, "b", 'x');
	check(place, "z1x2+");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_keys_take_turns),
		TEST(test_one_key_keeps_its_order),
		TEST(test_jobs_without_a_key_go_first),
		TEST(test_who_comes_again_is_last),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_core mayfly_base
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "agent/core/digest.h"
#include "agent/core/lane.h"
#include "agent/core/loop.h"
#include "mayfly/clock.h"
#include "mayfly/fs.h"

#define POSTERS      8
#define POSTS_EACH   2000
#define DEADLINE_SEC 20

static void on_deadline(void *arg)
{
	loop_exit(arg, -ETIME);
}

/* Runs until the loop exits; a test that never gets there fails by the deadline. */
static void run(struct loop *loop)
{
	struct timer deadline = { 0 };

	assert_int_equal(timer_arm(&deadline, loop,
				   clock_monotonic_us() + DEADLINE_SEC * USEC_PER_SEC, on_deadline,
				   loop),
			 0);
	assert_int_equal(loop_run(loop), 0);
	timer_disarm(&deadline);
}

struct tally {
	struct loop *loop;
	pthread_t loop_thread;
	int seen;
	int last[POSTERS];
};

struct message {
	struct tally *tally;
	int poster;
	int number;
};

struct poster {
	pthread_t thread;
	struct loop *loop;
	struct message messages[POSTS_EACH];
};

static void on_message(void *arg)
{
	struct message *message = arg;
	struct tally *tally = message->tally;

	assert_true(pthread_equal(pthread_self(), tally->loop_thread));
	assert_int_equal(message->number, tally->last[message->poster] + 1);
	tally->last[message->poster] = message->number;
	if (++tally->seen == POSTERS * POSTS_EACH)
		loop_exit(tally->loop, 0);
}

static void *post_all(void *arg)
{
	struct poster *poster = arg;

	for (int i = 0; i < POSTS_EACH; i++)
		loop_post(poster->loop, on_message, &poster->messages[i]);
	return NULL;
}

static void test_posts_of_many_threads_keep_their_order(void **state _unused_)
{
	_cleanup_(loop_free_p) struct loop *loop = NULL;
	_cleanup_free_ struct poster *posters = calloc(POSTERS, sizeof(*posters));
	struct tally tally = { .loop_thread = pthread_self() };

	assert_non_null(posters);
	assert_int_equal(loop_new(1, &loop), 0);
	tally.loop = loop;
	for (int p = 0; p < POSTERS; p++) {
		posters[p].loop = loop;
		for (int i = 0; i < POSTS_EACH; i++)
			posters[p].messages[i] = (struct message){ &tally, p, i + 1 };
		assert_int_equal(pthread_create(&posters[p].thread, NULL, post_all, &posters[p]),
				 0);
	}
	run(loop);
	for (int p = 0; p < POSTERS; p++)
		pthread_join(posters[p].thread, NULL);
	assert_int_equal(tally.seen, POSTERS * POSTS_EACH);
}

static void count_up(void *arg)
{
	++*(int *)arg;
}

static void test_post_runs_later_not_within(void **state _unused_)
{
	_cleanup_(loop_free_p) struct loop *loop = NULL;
	int count = 0;

	assert_int_equal(loop_new(1, &loop), 0);
	loop_post(loop, count_up, &count);
	assert_int_equal(count, 0);
	loop_post(loop, on_deadline, loop);
	assert_int_equal(loop_run(loop), -ETIME);
	assert_int_equal(count, 1);
}

static void test_free_drops_pending_posts(void **state _unused_)
{
	struct loop *loop = NULL;
	int count = 0;

	assert_int_equal(loop_new(2, &loop), 0);
	for (int i = 0; i < 100; i++)
		loop_post(loop, count_up, &count);
	assert_null(loop_free(loop));
	assert_int_equal(count, 0);
	assert_null(loop_free(NULL));
}

struct counted_job {
	struct job job;
	struct jobs *jobs;
	int number;
	pthread_t worker;
	bool worked;
};

struct jobs {
	struct loop *loop;
	pthread_t loop_thread;
	int done;
	int count;
	struct counted_job all[64];
};

static void work(struct job *job)
{
	struct counted_job *counted = container_of(job, struct counted_job, job);

	counted->worker = pthread_self();
	counted->worked = true;
}

static void job_done(struct job *job)
{
	struct counted_job *counted = container_of(job, struct counted_job, job);
	struct jobs *jobs = counted->jobs;

	assert_true(counted->worked);
	assert_true(pthread_equal(pthread_self(), jobs->loop_thread));
	assert_false(pthread_equal(counted->worker, jobs->loop_thread));
	jobs->done++;
	if (jobs->done == jobs->count)
		loop_exit(jobs->loop, 0);
}

/* With one worker the order of the ends is that of submission too. */
static void job_done_in_order(struct job *job)
{
	struct counted_job *counted = container_of(job, struct counted_job, job);

	assert_int_equal(counted->number, counted->jobs->done);
	job_done(job);
}

static void run_jobs(unsigned workers, void (*done)(struct job *job))
{
	_cleanup_(loop_free_p) struct loop *loop = NULL;
	struct jobs jobs = { .loop_thread = pthread_self(), .count = 64 };

	assert_int_equal(loop_new(workers, &loop), 0);
	jobs.loop = loop;
	for (int i = 0; i < jobs.count; i++) {
		jobs.all[i] = (struct counted_job){ .job = { .work = work, .done = done },
						    .jobs = &jobs,
						    .number = i };
		loop_submit(loop, &jobs.all[i].job);
	}
	run(loop);
	assert_int_equal(jobs.done, jobs.count);
}

static void test_jobs_run_on_workers_and_end_on_the_loop(void **state _unused_)
{
	run_jobs(4, job_done);
	run_jobs(0, job_done);
}

static void test_jobs_start_in_order(void **state _unused_)
{
	run_jobs(1, job_done_in_order);
}

static void test_free_waits_for_the_job_under_way(void **state _unused_)
{
	struct loop *loop = NULL;
	struct jobs jobs = { .loop_thread = pthread_self(), .count = 2 };

	assert_int_equal(loop_new(1, &loop), 0);
	jobs.loop = loop;
	for (int i = 0; i < 2; i++) {
		jobs.all[i] = (struct counted_job){ .job = { .work = work, .done = job_done },
						    .jobs = &jobs };
		loop_submit(loop, &jobs.all[i].job);
	}
	assert_null(loop_free(loop));
	assert_int_equal(jobs.done, 0);
}

struct long_job {
	struct job job;
	sem_t begun;
	atomic_bool ended;
	bool done;
};

static void work_long(struct job *job)
{
	struct long_job *long_job = container_of(job, struct long_job, job);

	(void)sem_post(&long_job->begun);
	for (int i = 0; i < 1000; i++)
		(void)sched_yield();
	atomic_store(&long_job->ended, true);
}

static void long_job_done(struct job *job)
{
	container_of(job, struct long_job, job)->done = true;
}

static void test_exit_when_idle_loses_no_job(void **state _unused_)
{
	struct long_job jobs[2] = {
		{ .job = { .work = work_long, .done = long_job_done } },
		{ .job = { .work = work_long, .done = long_job_done } },
	};
	_cleanup_(loop_free_p) struct loop *loop = NULL;

	assert_int_equal(loop_new(1, &loop), 0);
	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
		assert_int_equal(sem_init(&jobs[i].begun, 0, 0), 0);
		loop_submit(loop, &jobs[i].job);
	}
	loop_exit_when_idle(loop, 0);
	run(loop);
	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
		assert_true(jobs[i].done);
		(void)sem_destroy(&jobs[i].begun);
	}
}

static void test_exit_when_idle_is_now_without_jobs(void **state _unused_)
{
	_cleanup_(loop_free_p) struct loop *loop = NULL;

	assert_int_equal(loop_new(1, &loop), 0);
	loop_exit_when_idle(loop, 0);
	run(loop);
}

static void test_end_of_jobs_waits_and_drops(void **state _unused_)
{
	struct long_job first = { .job = { .work = work_long, .done = long_job_done } };
	struct long_job late = first;
	struct loop *loop = NULL;

	assert_int_equal(sem_init(&first.begun, 0, 0), 0);
	assert_int_equal(loop_new(1, &loop), 0);
	loop_submit(loop, &first.job);
	while (sem_wait(&first.begun) < 0)
		assert_int_equal(errno, EINTR);
	loop_end_jobs(loop);
	assert_true(atomic_load(&first.ended));
	loop_submit(loop, &late.job);
	assert_null(loop_free(loop));
	assert_false(first.done);
	assert_false(atomic_load(&late.ended));
	(void)sem_destroy(&first.begun);
}

struct lane_test {
	struct loop *loop;
	struct lane lane;
	atomic_int running;
	atomic_int most;
	int done;
};

struct lane_test_job {
	struct lane_job job;
	struct lane_test *test;
	int number;
};

#define LANE_JOBS 200

static void work_in_lane(struct job *job)
{
	struct lane_test_job *mine = container_of(job, struct lane_test_job, job.job);
	int running = atomic_fetch_add(&mine->test->running, 1) + 1;
	int most = atomic_load(&mine->test->most);

	while (running > most && !atomic_compare_exchange_weak(&mine->test->most, &most, running))
		;
	(void)sched_yield();
	atomic_fetch_sub(&mine->test->running, 1);
}

static void done_in_lane(struct lane_job *job)
{
	struct lane_test_job *mine = container_of(job, struct lane_test_job, job);

	if (mine->test->lane.width == 1)
		assert_int_equal(mine->number, mine->test->done);
	if (++mine->test->done == LANE_JOBS)
		loop_exit(mine->test->loop, 0);
}

static void run_lane(unsigned width)
{
	_cleanup_free_ struct lane_test_job *jobs = calloc(LANE_JOBS, sizeof(*jobs));
	_cleanup_(loop_free_p) struct loop *loop = NULL;
	struct lane_test test = { 0 };

	assert_non_null(jobs);
	assert_int_equal(loop_new(8, &loop), 0);
	test.loop = loop;
	lane_init(&test.lane, loop, width);
	for (int i = 0; i < LANE_JOBS; i++) {
		jobs[i] = (struct lane_test_job){
			.job = { .job.work = work_in_lane, .done = done_in_lane },
			.test = &test,
			.number = i,
		};
		lane_submit(&test.lane, &jobs[i].job);
	}
	run(loop);
	assert_int_equal(test.done, LANE_JOBS);
	assert_true(atomic_load(&test.most) >= 1);
	assert_true(atomic_load(&test.most) <= (int)width);
	assert_int_equal(test.lane.running, 0);
}

/* A job that holds the only worker until an urgent one has ended. */
struct urgent_test {
	struct loop *loop;
	struct lane lane;
	struct job holds;
	struct lane_job urgent;
	sem_t urgent_ran;
	bool holder_ended;
};

static void hold_worker(struct job *job)
{
	struct urgent_test *test = container_of(job, struct urgent_test, holds);
	struct timespec limit;

	(void)clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += DEADLINE_SEC;
	while (sem_timedwait(&test->urgent_ran, &limit) < 0 && errno == EINTR)
		;
}

static void on_held(struct job *job)
{
	struct urgent_test *test = container_of(job, struct urgent_test, holds);

	test->holder_ended = true;
	loop_exit(test->loop, 0);
}

static void on_urgent(struct lane_job *job)
{
	struct urgent_test *test = container_of(job, struct urgent_test, urgent);

	assert_false(test->holder_ended);
	assert_int_equal(sem_post(&test->urgent_ran), 0);
}

static void no_work(struct job *job _unused_)
{
}

static void test_urgent_jobs_do_not_wait_for_others(void **state _unused_)
{
	_cleanup_(loop_free_p) struct loop *loop = NULL;
	struct urgent_test test = { .holds = { .work = hold_worker, .done = on_held },
				    .urgent = { .job.work = no_work, .done = on_urgent } };

	assert_int_equal(sem_init(&test.urgent_ran, 0, 0), 0);
	assert_int_equal(loop_new(1, &loop), 0);
	test.loop = loop;
	lane_init_urgent(&test.lane, loop);
	loop_submit(loop, &test.holds);
	lane_submit(&test.lane, &test.urgent);
	run(loop);
	assert_true(test.holder_ended);
	assert_int_equal(sem_destroy(&test.urgent_ran), 0);
}

static void test_lane_bounds_its_jobs(void **state _unused_)
{
	run_lane(1);
	run_lane(3);
}

struct alarm {
	struct loop *loop;
	struct timer timer;
	int64_t at_us;
	int fired;
	int again;
};

static void on_alarm(void *arg)
{
	struct alarm *alarm = arg;

	assert_true(clock_monotonic_us() >= alarm->at_us);
	assert_null(alarm->timer.source);
	alarm->fired++;
	if (alarm->again-- > 0) {
		alarm->at_us += USEC_PER_MSEC;
		assert_int_equal(
			timer_arm(&alarm->timer, alarm->loop, alarm->at_us, on_alarm, alarm), 0);
		return;
	}
	loop_exit(alarm->loop, 0);
}

static void test_timer_fires_once_and_can_be_armed_again_within(void **state _unused_)
{
	_cleanup_(loop_free_p) struct loop *loop = NULL;
	struct alarm alarm = { .again = 3 };

	assert_int_equal(loop_new(1, &loop), 0);
	alarm.loop = loop;
	alarm.at_us = clock_monotonic_us() + USEC_PER_MSEC;
	assert_int_equal(timer_arm(&alarm.timer, loop, alarm.at_us, on_alarm, &alarm), 0);
	run(loop);
	assert_int_equal(alarm.fired, 4);
}

static void test_timer_moves_and_disarms(void **state _unused_)
{
	_cleanup_(loop_free_p) struct loop *loop = NULL;
	struct alarm moved = { 0 };
	struct timer silent = { 0 };
	int count = 0;

	assert_int_equal(loop_new(1, &loop), 0);
	moved.loop = loop;
	moved.at_us = clock_monotonic_us() + 5 * USEC_PER_MSEC;
	assert_int_equal(timer_arm(&moved.timer, loop, 0, on_alarm, &moved), 0);
	assert_int_equal(timer_arm(&moved.timer, loop, moved.at_us, on_alarm, &moved), 0);
	assert_int_equal(timer_arm(&silent, loop, 0, count_up, &count), 0);
	timer_disarm(&silent);
	timer_disarm(&silent);
	run(loop);
	assert_int_equal(moved.fired, 1);
	assert_int_equal(count, 0);
}

struct marks {
	struct loop *loop;
	struct dirty dirty;
	int runs;
	int again;
};

static void on_marked(void *arg)
{
	struct marks *marks = arg;

	marks->runs++;
	if (marks->again-- > 0)
		dirty_mark(&marks->dirty);
}

static void mark_twice(void *arg)
{
	struct marks *marks = arg;

	dirty_mark(&marks->dirty);
	dirty_mark(&marks->dirty);
	assert_int_equal(marks->runs, 0);
}

static void on_end(void *arg)
{
	struct marks *marks = arg;

	loop_exit(marks->loop, 0);
}

static void test_dirty_runs_once_for_many_marks(void **state _unused_)
{
	_cleanup_(loop_free_p) struct loop *loop = NULL;
	struct marks marks = { 0 };
	struct timer end = { 0 };

	assert_int_equal(loop_new(1, &loop), 0);
	marks.loop = loop;
	dirty_mark(&marks.dirty);
	assert_int_equal(dirty_init(&marks.dirty, loop, on_marked, &marks), 0);
	loop_post(loop, mark_twice, &marks);
	loop_post(loop, mark_twice, &marks);
	assert_int_equal(
		timer_arm(&end, loop, clock_monotonic_us() + 20 * USEC_PER_MSEC, on_end, &marks),
		0);
	run(loop);
	assert_int_equal(marks.runs, 1);
	dirty_free(&marks.dirty);
	dirty_free(&marks.dirty);
}

static void test_dirty_marked_within_runs_again(void **state _unused_)
{
	_cleanup_(loop_free_p) struct loop *loop = NULL;
	struct marks marks = { .again = 2 };
	struct timer end = { 0 };

	assert_int_equal(loop_new(1, &loop), 0);
	marks.loop = loop;
	assert_int_equal(dirty_init(&marks.dirty, loop, on_marked, &marks), 0);
	dirty_mark(&marks.dirty);
	assert_int_equal(
		timer_arm(&end, loop, clock_monotonic_us() + 20 * USEC_PER_MSEC, on_end, &marks),
		0);
	run(loop);
	assert_int_equal(marks.runs, 3);
	dirty_free(&marks.dirty);
}

static void test_digest_of_bytes_and_file(void **state _unused_)
{
	static const char abc_hex[] =
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
	static const char empty_base64[] = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
	char folder[] = "/tmp/mayfly-test-XXXXXX";
	char path[64], hex[DIGEST_HEX_BYTES], base64[DIGEST_BASE64_BYTES];
	struct digest digest;
	uint64_t size = 0;

	assert_int_equal(digest_bytes("abc", 3, &digest), 0);
	digest_hex(&digest, hex);
	assert_string_equal(hex, abc_hex);
	assert_int_equal(digest_bytes(NULL, 0, &digest), 0);
	digest_base64(&digest, base64);
	assert_string_equal(base64, empty_base64);

	assert_non_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/abc", folder);
	assert_int_equal(digest_file(path, &digest, NULL), -ENOENT);
	assert_int_equal(fs_write_file_atomic(path, slice_from_string("abc"), 0600), 0);
	assert_int_equal(digest_file(path, &digest, &size), 0);
	assert_int_equal(size, 3);
	digest_hex(&digest, hex);
	assert_string_equal(hex, abc_hex);
	assert_int_equal(fs_remove_tree(folder), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_posts_of_many_threads_keep_their_order),
		cmocka_unit_test(test_post_runs_later_not_within),
		cmocka_unit_test(test_free_drops_pending_posts),
		cmocka_unit_test(test_jobs_run_on_workers_and_end_on_the_loop),
		cmocka_unit_test(test_jobs_start_in_order),
		cmocka_unit_test(test_free_waits_for_the_job_under_way),
		cmocka_unit_test(test_exit_when_idle_loses_no_job),
		cmocka_unit_test(test_exit_when_idle_is_now_without_jobs),
		cmocka_unit_test(test_end_of_jobs_waits_and_drops),
		cmocka_unit_test(test_lane_bounds_its_jobs),
		cmocka_unit_test(test_urgent_jobs_do_not_wait_for_others),
		cmocka_unit_test(test_timer_fires_once_and_can_be_armed_again_within),
		cmocka_unit_test(test_timer_moves_and_disarms),
		cmocka_unit_test(test_dirty_runs_once_for_many_marks),
		cmocka_unit_test(test_dirty_marked_within_runs_again),
		cmocka_unit_test(test_digest_of_bytes_and_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

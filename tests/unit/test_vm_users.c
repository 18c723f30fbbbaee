/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_vm

/* The users that microVMs run as. The world (which users have processes) is the test's. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "agent/vm/vm_users.h"

#define FIRST  1900000000U
#define COUNT  8U
#define UNUSED 2100000007U /* on a host with nodes, too */

static bool busy[COUNT];

static bool is_busy(uid_t uid)
{
	assert_in_range(uid, FIRST, FIRST + COUNT - 1);
	return busy[uid - FIRST];
}

static struct vm_users *open_users(unsigned start)
{
	struct vm_users *users = NULL;

	for (unsigned i = 0; i < COUNT; i++)
		busy[i] = false;
	assert_int_equal(vm_users_new(FIRST, COUNT, start, is_busy, &users), 0);
	return users;
}

static uid_t take(struct vm_users *users)
{
	uid_t uid = 0;

	assert_int_equal(vm_users_take(users, &uid), 0);
	return uid;
}

static void no_two_are_the_same_until_all_are_out(void **state _unused_)
{
	struct vm_users *users = open_users(3);
	bool seen[COUNT] = { false };
	uid_t uid = 7;

	for (unsigned i = 0; i < COUNT; i++) {
		uid_t taken = take(users);

		assert_in_range(taken, FIRST, FIRST + COUNT - 1);
		assert_false(seen[taken - FIRST]);
		seen[taken - FIRST] = true;
	}
	assert_int_equal(vm_users_take(users, &uid), -EUSERS);
	assert_int_equal(uid, 7);
	vm_users_give_back(users, FIRST + 5);
	assert_int_equal(take(users), FIRST + 5);
	assert_int_equal(vm_users_take(users, &uid), -EUSERS);
	(void)vm_users_free(users);
}

static void one_comes_back_last(void **state _unused_)
{
	struct vm_users *users = open_users(COUNT - 1);

	assert_int_equal(take(users), FIRST + COUNT - 1);
	vm_users_give_back(users, FIRST + COUNT - 1);
	for (unsigned i = 0; i < COUNT - 1; i++) {
		assert_int_equal(take(users), FIRST + i);
		vm_users_give_back(users, FIRST + i);
	}
	assert_int_equal(take(users), FIRST + COUNT - 1);
	(void)vm_users_free(users);
}

static void those_with_a_process_are_passed_over(void **state _unused_)
{
	struct vm_users *users = open_users(0);
	uid_t uid;

	busy[0] = busy[2] = true;
	assert_int_equal(take(users), FIRST + 1);
	assert_int_equal(take(users), FIRST + 3);
	for (unsigned i = 4; i < COUNT; i++)
		assert_int_equal(take(users), FIRST + i);
	assert_int_equal(vm_users_take(users, &uid), -EUSERS);
	busy[2] = false;
	assert_int_equal(take(users), FIRST + 2);
	/* Given back, but its process is not gone. */
	vm_users_give_back(users, FIRST + 3);
	busy[3] = true;
	assert_int_equal(vm_users_take(users, &uid), -EUSERS);
	(void)vm_users_free(users);
}

/* Two agents with one range: each sees the other's only by their processes. */
static void two_agents_share_a_range(void **state _unused_)
{
	struct vm_users *one = open_users(0);
	struct vm_users *other = open_users(1);
	bool seen[COUNT] = { false };
	uid_t uid;

	for (unsigned i = 0; i < COUNT; i++) {
		uid = take(i % 2 ? one : other);
		assert_false(seen[uid - FIRST]);
		seen[uid - FIRST] = busy[uid - FIRST] = true;
	}
	assert_int_equal(vm_users_take(one, &uid), -EUSERS);
	assert_int_equal(vm_users_take(other, &uid), -EUSERS);
	(void)vm_users_free(one);
	(void)vm_users_free(other);
}

static void ranges_are_checked(void **state _unused_)
{
	static const struct {
		uid_t first;
		unsigned count;
	} bad[] = { { 0, 10 }, { 10, 0 }, { UINT32_MAX - 1, 2 }, { 2, UINT32_MAX } };
	struct vm_users *users = open_users(0);
	struct vm_users *none = NULL;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(vm_users_new(bad[i].first, bad[i].count, 0, is_busy, &none),
				 -EINVAL);
	assert_null(none);
	/* None of ours. */
	vm_users_give_back(users, FIRST - 1);
	vm_users_give_back(users, FIRST + COUNT);
	(void)vm_users_free(users);
}

static void a_process_is_seen_until_it_is_reaped(void **state _unused_)
{
	uid_t uid = geteuid() ? geteuid() : UNUSED;
	siginfo_t info;
	int hold[2];
	int said[2];
	char byte;
	pid_t pid;

	if (geteuid() == 0)
		assert_false(vm_users_has_process(uid));
	assert_int_equal(pipe(hold), 0);
	assert_int_equal(pipe(said), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)close(hold[1]);
		if (setuid(uid) < 0 || write(said[1], "x", 1) != 1)
			_exit(1);
		_exit(read(hold[0], &byte, 1) == 0 ? 0 : 1);
	}
	assert_int_equal(read(said[0], &byte, 1), 1);
	assert_true(vm_users_has_process(uid));
	(void)close(hold[1]);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(info.si_status, 0);
	assert_true(vm_users_has_process(uid));
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	if (geteuid() == 0)
		assert_false(vm_users_has_process(uid));
	(void)close(hold[0]);
	(void)close(said[0]);
	(void)close(said[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_two_are_the_same_until_all_are_out),
		cmocka_unit_test(one_comes_back_last),
		cmocka_unit_test(those_with_a_process_are_passed_over),
		cmocka_unit_test(two_agents_share_a_range),
		cmocka_unit_test(ranges_are_checked),
		cmocka_unit_test(a_process_is_seen_until_it_is_reaped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

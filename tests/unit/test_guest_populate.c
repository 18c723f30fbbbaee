/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_init_core

/* Pages met before a snapshot: in memory afterwards, with what they had. */

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest/init/populate.h"

#define PAGE  4096U
#define PAGES 64U
#define MOST  (24ULL << 20) /* as of a runtime process */

/* Sanitizers map more than any machine has. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

static unsigned resident_pages(const uint8_t *memory)
{
	unsigned char pages[PAGES];
	unsigned count = 0;

	assert_int_equal(mincore((void *)(uintptr_t)memory, PAGES * PAGE, pages), 0);
	for (unsigned i = 0; i < PAGES; i++)
		count += pages[i] & 1;
	return count;
}

static uint8_t *map_pages(void)
{
	uint8_t *memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	memory[PAGE] = 'x';
	return memory;
}

static void own_pages_are_met(void **state)
{
	uint8_t *memory;

	(void)state;
	if (SANITIZED)
		skip();
	memory = map_pages();
	assert_int_equal(resident_pages(memory), 1);
	assert_int_equal(populate_self(), 0);
	assert_int_equal(resident_pages(memory), PAGES);
	assert_int_equal(memory[0], 0);
	assert_int_equal(memory[PAGE], 'x');
	(void)munmap(memory, PAGES * PAGE);
}

/* A child that answers with its pages in memory, or with 0 when their content changed. */
static pid_t start_child(int *ret_ask, int *ret_answer)
{
	int ask[2], answer[2];

	if (SANITIZED)
		skip();

	assert_int_equal(pipe(ask), 0);
	assert_int_equal(pipe(answer), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		uint8_t *memory = map_pages();
		uint8_t byte = 1;

		(void)!write(answer[1], &byte, 1);
		(void)!read(ask[0], &byte, 1);
		byte = memory[PAGE] == 'x' ? (uint8_t)resident_pages(memory) : 0;
		(void)!write(answer[1], &byte, 1);
		_exit(0);
	}
	(void)close(ask[0]);
	(void)close(answer[1]);
	uint8_t ready;
	assert_int_equal(read(answer[0], &ready, 1), 1);
	*ret_ask = ask[1];
	*ret_answer = answer[0];
	return pid;
}

static uint8_t end_child(pid_t pid, int ask, int answer)
{
	uint8_t byte = 0;

	assert_int_equal(write(ask, "", 1), 1);
	assert_int_equal(read(answer, &byte, 1), 1);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	(void)close(ask);
	(void)close(answer);
	return byte;
}

static void another_process_goes_on_with_its_pages_met(void **state)
{
	int ask, answer;
	pid_t pid = start_child(&ask, &answer);

	(void)state;
	assert_int_equal(populate_process(pid, MOST), 0);
	assert_int_equal(end_child(pid, ask, answer), PAGES);
}

static void no_more_is_written_than_allowed(void **state)
{
	int ask, answer;
	pid_t pid = start_child(&ask, &answer);

	(void)state;
	assert_int_equal(populate_process(pid, (PAGES - 1) * PAGE), 0);
	assert_int_equal(end_child(pid, ask, answer), 1);
}

/* It is for the one who minds all children to hear of it. */
static void the_end_of_a_process_is_left_to_be_reaped(void **state)
{
	siginfo_t info = { 0 };
	pid_t pid = fork();
	int status = 0;

	(void)state;
	if (pid == 0)
		_exit(3);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(populate_process(pid, MOST), -ESRCH);
	assert_int_equal(waitpid(pid, &status, WNOHANG), pid);
	assert_int_equal(WEXITSTATUS(status), 3);
	assert_int_equal(populate_process(pid, MOST), -ESRCH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(own_pages_are_met),
		cmocka_unit_test(another_process_goes_on_with_its_pages_met),
		cmocka_unit_test(no_more_is_written_than_allowed),
		cmocka_unit_test(the_end_of_a_process_is_left_to_be_reaped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

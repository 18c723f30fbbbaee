/* SPDX-License-Identifier: Apache-2.0 */

/* Part of an agent that is built with AddressSanitizer. Before GCC 14 a thread that forks does not
 * take that one's allocator first, so the child can find it held by a thread that it does not have;
 * and libvirt's children allocate before they exec. Here a child is asked whether it can, and
 * forked anew if it does not answer. */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) && __GNUC__ < 14

#define ANSWER_MS        2000
#define THREAD_KEEPS     (64U << 10) /* bytes of each size that a thread takes without a lock */
#define THREAD_MAX_COUNT 256U
#define SMALLEST         16U
#define LARGEST          (128U << 10) /* what is larger is mapped */
#define BEYOND           (2U << 20)   /* and freed too: more than a thread's quarantine holds */

/* Every lock is taken once: more is allocated of each size than the thread has at hand. */
static void allocate_of_every_size(void)
{
	static void *volatile last; /* so that no call is optimised away */

	for (size_t size = SMALLEST; size <= LARGEST; size += size / 4) {
		size_t count = THREAD_KEEPS / size;

		if (count > THREAD_MAX_COUNT)
			count = THREAD_MAX_COUNT;
		for (size_t i = 0; i < 2 * count + 2; i++)
			last = malloc(size);
	}
	last = malloc(BEYOND);
	free(last);
}

static bool answers(int fd)
{
	struct pollfd wanted = { .fd = fd, .events = POLLIN };
	int r;

	do
		r = poll(&wanted, 1, ANSWER_MS);
	while (r < 0 && errno == EINTR);
	return r > 0;
}

pid_t fork(void)
{
	pid_t (*real_fork)(void) = (pid_t(*)(void))dlsym(RTLD_NEXT, "fork");
	int fds[2];

	for (;;) {
		if (pipe2(fds, O_CLOEXEC) < 0)
			return -1;
		pid_t pid = real_fork();
		if (pid == 0) {
			allocate_of_every_size();
			(void)!write(fds[1], "", 1);
			(void)close(fds[0]);
			(void)close(fds[1]);
			return 0;
		}
		int error = errno;
		(void)close(fds[1]);
		bool good = pid < 0 || answers(fds[0]);
		(void)close(fds[0]);
		errno = error;
		if (good)
			return pid;
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
	}
}

#endif

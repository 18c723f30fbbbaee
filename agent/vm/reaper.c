/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/vm/reaper.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mayfly/buf.h"
#include "mayfly/clock.h"
#include "mayfly/fs.h"

#define COMM_BYTES        16
#define RECENT            256
#define NO_CHILD_NS       (5 * 1000000L)
#define OTHERS_CHILD_NS   (2 * 1000000L)
/* A child that nobody has waited for after so long is an orphan that fell to us. libvirt starts
 * QEMUs of its own to ask for capabilities, and waits for them at once. */
#define EMULATOR_LIMIT_US (100 * USEC_PER_MSEC)
#define ORPHAN_LIMIT_US   (5 * USEC_PER_SEC)

struct reaper {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wanted;
	unsigned expecting;
	bool stopping;
	char comm[COMM_BYTES];
	siginfo_t recent[RECENT];
	unsigned next;
	pid_t stranger; /* a zombie that is none of ours, and since when it was seen */
	int64_t stranger_since_us;
};

static void rest(long ns)
{
	const struct timespec pause = { .tv_nsec = ns };

	(void)nanosleep(&pause, NULL);
}

static bool is_emulator(const struct reaper *reaper, pid_t pid)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	if (fs_read_file(path, 64, &text) < 0 || !text.len)
		return false;
	return strncmp(buf_string(&text), reaper->comm, strlen(reaper->comm)) == 0;
}

static bool is_abandoned(struct reaper *reaper, pid_t pid)
{
	int64_t limit_us = is_emulator(reaper, pid) ? EMULATOR_LIMIT_US : ORPHAN_LIMIT_US;
	int64_t now = clock_monotonic_us();

	if (reaper->stranger != pid) {
		reaper->stranger = pid;
		reaper->stranger_since_us = now;
	}
	return now - reaper->stranger_since_us > limit_us;
}

static void reap(struct reaper *reaper, pid_t pid)
{
	siginfo_t info = { 0 };

	/* Kept before it is reaped: who finds the process gone must find how it went. */
	(void)pthread_mutex_lock(&reaper->lock);
	if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG) == 0 && info.si_pid == pid)
		reaper->recent[reaper->next++ % RECENT] = info;
	(void)pthread_mutex_unlock(&reaper->lock);
}

static void wait_for_one(struct reaper *reaper)
{
	siginfo_t info = { 0 };
	int state;
	int r;

	/* Only here may reaper_stop() interrupt. */
	(void)pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
	r = waitid(P_ALL, 0, &info, WEXITED | WNOWAIT);
	(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	if (r < 0) {
		if (errno == ECHILD)
			rest(NO_CHILD_NS);
		return;
	}
	if (is_abandoned(reaper, info.si_pid))
		reap(reaper, info.si_pid);
	else
		rest(OTHERS_CHILD_NS);
}

static bool wait_until_wanted(struct reaper *reaper)
{
	bool stopping;

	(void)pthread_mutex_lock(&reaper->lock);
	while (!reaper->expecting && !reaper->stopping)
		(void)pthread_cond_wait(&reaper->wanted, &reaper->lock);
	stopping = reaper->stopping;
	(void)pthread_mutex_unlock(&reaper->lock);
	return !stopping;
}

static void *reaper_main(void *arg)
{
	struct reaper *reaper = arg;

	int state;

	(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	(void)pthread_setname_np(pthread_self(), "reaper");
	while (wait_until_wanted(reaper))
		wait_for_one(reaper);
	return NULL;
}

int reaper_start(const char *emulator, struct reaper **ret)
{
	const char *slash = strrchr(emulator, '/');
	struct reaper *reaper;
	int r;

	reaper = calloc(1, sizeof(*reaper));
	if (!reaper)
		return -ENOMEM;
	/* The kernel keeps the first 15 bytes of a program's name. */
	(void)snprintf(reaper->comm, sizeof(reaper->comm), "%s", slash ? slash + 1 : emulator);
	(void)pthread_mutex_init(&reaper->lock, NULL);
	(void)pthread_cond_init(&reaper->wanted, NULL);
	r = pthread_create(&reaper->thread, NULL, reaper_main, reaper);
	if (r > 0) {
		free(reaper);
		return -r;
	}
	*ret = reaper;
	return 0;
}

struct reaper *reaper_stop(struct reaper *reaper)
{
	if (!reaper)
		return NULL;
	(void)pthread_mutex_lock(&reaper->lock);
	reaper->stopping = true;
	(void)pthread_cond_signal(&reaper->wanted);
	(void)pthread_mutex_unlock(&reaper->lock);
	(void)pthread_cancel(reaper->thread);
	(void)pthread_join(reaper->thread, NULL);
	(void)pthread_cond_destroy(&reaper->wanted);
	(void)pthread_mutex_destroy(&reaper->lock);
	free(reaper);
	return NULL;
}

void reaper_expect(struct reaper *reaper)
{
	(void)pthread_mutex_lock(&reaper->lock);
	reaper->expecting++;
	(void)pthread_cond_signal(&reaper->wanted);
	(void)pthread_mutex_unlock(&reaper->lock);
}

void reaper_unexpect(struct reaper *reaper)
{
	(void)pthread_mutex_lock(&reaper->lock);
	reaper->expecting--;
	(void)pthread_mutex_unlock(&reaper->lock);
}

bool reaper_recall(struct reaper *reaper, pid_t pid, siginfo_t *ret)
{
	bool found = false;

	(void)pthread_mutex_lock(&reaper->lock);
	for (unsigned i = 0; i < RECENT && !found; i++) {
		found = reaper->recent[i].si_pid == pid;
		if (found) {
			*ret = reaper->recent[i];
			reaper->recent[i].si_pid = 0;
		}
	}
	(void)pthread_mutex_unlock(&reaper->lock);
	return found;
}

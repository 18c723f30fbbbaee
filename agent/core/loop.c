/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/core/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/eventfd.h>

#include "agent/core/workers.h"

#define WORKERS_MAX 256U
/* Jobs wait for disks and for libvirt more than they compute: a small machine needs some too. */
#define WORKERS_MIN 8

struct post {
	loop_fn *fn;
	void *arg;
	struct post *next;
};

struct loop {
	sd_event *event;
	sd_event_source *wakeups;
	struct workers *workers;
	struct workers *urgent;
	unsigned jobs; /* whose `done` was not called yet */
	bool exit_when_idle;
	int exit_code;
	int wakeup_fd;
	pthread_mutex_t lock;
	struct post *head; /* under lock, as tail */
	struct post *tail;
};

static struct post *take_posts(struct loop *loop)
{
	struct post *first;

	pthread_mutex_lock(&loop->lock);
	first = loop->head;
	loop->head = loop->tail = NULL;
	pthread_mutex_unlock(&loop->lock);
	return first;
}

static int on_wakeup(sd_event_source *source _unused_, int fd, uint32_t revents _unused_, void *arg)
{
	struct loop *loop = arg;
	struct post *next;
	eventfd_t count;

	/* Reset first: a post made after take_posts() found the queue empty and wakes us again. */
	(void)eventfd_read(fd, &count);
	for (struct post *post = take_posts(loop); post; post = next) {
		next = post->next;
		post->fn(post->arg);
		free(post);
	}
	return 0;
}

int loop_new(unsigned workers, struct loop **ret)
{
	_cleanup_(loop_free_p) struct loop *loop = NULL;
	int r;

	loop = calloc(1, sizeof(*loop));
	if (!loop)
		return -ENOMEM;
	pthread_mutex_init(&loop->lock, NULL);
	loop->wakeup_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wakeup_fd < 0)
		return -errno;
	r = sd_event_new(&loop->event);
	if (r < 0)
		return r;
	r = sd_event_add_io(loop->event, &loop->wakeups, loop->wakeup_fd, EPOLLIN, on_wakeup, loop);
	if (r < 0)
		return r;
	if (workers == 0) {
		long processors = sysconf(_SC_NPROCESSORS_ONLN);

		workers = processors > WORKERS_MIN ? (unsigned)processors : WORKERS_MIN;
	}
	if (workers > WORKERS_MAX)
		workers = WORKERS_MAX;
	r = workers_new(loop, workers, &loop->workers);
	if (r >= 0)
		r = workers_new(loop, 1, &loop->urgent);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(loop);
	return 0;
}

struct loop *loop_free(struct loop *loop)
{
	struct post *next;

	if (!loop)
		return NULL;
	loop_end_jobs(loop);
	for (struct post *post = take_posts(loop); post; post = next) {
		next = post->next;
		free(post);
	}
	sd_event_source_disable_unref(loop->wakeups);
	sd_event_unref(loop->event);
	if (loop->wakeup_fd >= 0)
		(void)close(loop->wakeup_fd);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
	return NULL;
}

sd_event *loop_event(struct loop *loop)
{
	return loop->event;
}

int loop_run(struct loop *loop)
{
	return sd_event_loop(loop->event);
}

void loop_exit(struct loop *loop, int code)
{
	(void)sd_event_exit(loop->event, code);
}

static void exit_if_idle(struct loop *loop)
{
	if (loop->exit_when_idle && loop->jobs == 0)
		loop_exit(loop, loop->exit_code);
}

void loop_exit_when_idle(struct loop *loop, int code)
{
	loop->exit_when_idle = true;
	loop->exit_code = code;
	exit_if_idle(loop);
}

void loop_job_ended(struct loop *loop)
{
	loop->jobs--;
	exit_if_idle(loop);
}

void loop_post(struct loop *loop, loop_fn *fn, void *arg)
{
	struct post *post = malloc(sizeof(*post));
	bool was_empty;

	if (!post)
		abort();
	*post = (struct post){ .fn = fn, .arg = arg };

	pthread_mutex_lock(&loop->lock);
	was_empty = !loop->head;
	if (was_empty)
		loop->head = post;
	else
		loop->tail->next = post;
	loop->tail = post;
	/* Under the lock, so that loop_free() cannot close the descriptor in between. */
	if (was_empty)
		(void)eventfd_write(loop->wakeup_fd, 1);
	pthread_mutex_unlock(&loop->lock);
}

static void submit(struct loop *loop, struct workers *workers, struct job *job)
{
	if (!workers)
		return;
	job->loop = loop;
	loop->jobs++;
	workers_submit(workers, job);
}

void loop_submit(struct loop *loop, struct job *job)
{
	submit(loop, loop->workers, job);
}

void loop_submit_urgent(struct loop *loop, struct job *job)
{
	submit(loop, loop->urgent, job);
}

void loop_end_jobs(struct loop *loop)
{
	loop->workers = workers_free(loop->workers);
	loop->urgent = workers_free(loop->urgent);
}

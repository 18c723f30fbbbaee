/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/core/workers.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

struct workers {
	struct loop *loop; /* outlives us */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct job *head; /* under lock, as all below */
	struct job *tail;
	bool stopping;
	unsigned started; /* threads that run; loop thread */
	pthread_t threads[];
};

static void finish_job(void *arg)
{
	struct job *job = arg;
	struct loop *loop = job->loop; /* the job may go with its `done` */

	job->done(job);
	loop_job_ended(loop);
}

/* The next job, or NULL when the thread shall end. */
static struct job *take_job(struct workers *workers)
{
	struct job *job = NULL;

	pthread_mutex_lock(&workers->lock);
	while (!workers->head && !workers->stopping)
		pthread_cond_wait(&workers->changed, &workers->lock);
	if (!workers->stopping) {
		job = workers->head;
		workers->head = job->next;
		if (!workers->head)
			workers->tail = NULL;
		job->next = NULL;
	}
	pthread_mutex_unlock(&workers->lock);
	return job;
}

static void *run_worker(void *arg)
{
	struct workers *workers = arg;
	struct job *job;

	(void)pthread_setname_np(pthread_self(), "mayfly-worker");
	while ((job = take_job(workers))) {
		job->work(job);
		loop_post(workers->loop, finish_job, job);
	}
	return NULL;
}

/* Signals are the loop thread's; workers never see one. */
static int start_threads(struct workers *workers, unsigned count)
{
	sigset_t all, before;
	int r = 0;

	sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	while (r == 0 && workers->started < count) {
		r = -pthread_create(&workers->threads[workers->started], NULL, run_worker, workers);
		if (r == 0)
			workers->started++;
	}
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

int workers_new(struct loop *loop, unsigned count, struct workers **ret)
{
	_cleanup_(workers_free_p) struct workers *workers = NULL;
	int r;

	workers = calloc(1, sizeof(*workers) + count * sizeof(workers->threads[0]));
	if (!workers)
		return -ENOMEM;
	workers->loop = loop;
	pthread_mutex_init(&workers->lock, NULL);
	pthread_cond_init(&workers->changed, NULL);

	r = start_threads(workers, count);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(workers);
	return 0;
}

struct workers *workers_free(struct workers *workers)
{
	if (!workers)
		return NULL;

	pthread_mutex_lock(&workers->lock);
	workers->stopping = true;
	pthread_cond_broadcast(&workers->changed);
	pthread_mutex_unlock(&workers->lock);

	for (unsigned i = 0; i < workers->started; i++)
		(void)pthread_join(workers->threads[i], NULL);

	pthread_cond_destroy(&workers->changed);
	pthread_mutex_destroy(&workers->lock);
	free(workers);
	return NULL;
}

void workers_submit(struct workers *workers, struct job *job)
{
	job->next = NULL;
	pthread_mutex_lock(&workers->lock);
	if (workers->tail)
		workers->tail->next = job;
	else
		workers->head = job;
	workers->tail = job;
	pthread_cond_signal(&workers->changed);
	pthread_mutex_unlock(&workers->lock);
}

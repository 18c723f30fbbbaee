/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "agent/webhook/webhook_transfer.h"

#define CONNECTIONS_KEPT 16L
#define POLL_MS          60000 /* submissions wake it, as what libcurl waits for */

struct webhooks {
	struct webhooks_config config;
	char *ca_file; /* owned; what config points to */
	struct loop *loop;
	CURLM *multi;    /* the thread's, but for curl_multi_wakeup(); NULL before the first post */
	bool has_curl;   /* the loop's, as what follows: it was made ready */
	bool is_running; /* the thread */
	pthread_t thread;
	pthread_mutex_t lock;
	struct webhook_post *first, *last; /* under lock, as what follows: not begun */
	bool is_stopping;
	LIST_HEAD(, webhook_transfer) transfers; /* whose answer the loop has not heard */
};

/* -- the answer, on the loop -- */

static void on_answer(void *arg)
{
	struct webhook_transfer *transfer = arg;
	struct webhooks *webhooks = transfer->webhooks;

	pthread_mutex_lock(&webhooks->lock);
	LIST_REMOVE(transfer, link);
	pthread_mutex_unlock(&webhooks->lock);
	transfer->post->done(transfer->post, transfer->result, transfer->why);
	free(transfer);
}

static void answer(struct webhook_transfer *transfer)
{
	webhook_transfer_end(transfer);
	loop_post(transfer->webhooks->loop, on_answer, transfer);
}

static struct webhook_transfer *transfer_new(struct webhooks *webhooks, struct webhook_post *post)
{
	struct webhook_transfer *transfer = calloc(1, sizeof(*transfer));

	if (!transfer)
		abort(); /* as loop_post() */
	transfer->webhooks = webhooks;
	transfer->post = post;
	pthread_mutex_lock(&webhooks->lock);
	LIST_INSERT_HEAD(&webhooks->transfers, transfer, link);
	pthread_mutex_unlock(&webhooks->lock);
	return transfer;
}

/* This node cannot now. */
static void put_off(struct webhook_transfer *transfer, const char *why)
{
	transfer->result = WEBHOOK_AGAIN;
	(void)snprintf(transfer->why, sizeof(transfer->why), "%s", why);
	answer(transfer);
}

/* -- the thread -- */

static struct webhook_post *take(struct webhooks *webhooks, bool *ret_is_stopping)
{
	struct webhook_post *first;

	pthread_mutex_lock(&webhooks->lock);
	first = webhooks->first;
	webhooks->first = webhooks->last = NULL;
	*ret_is_stopping = webhooks->is_stopping;
	pthread_mutex_unlock(&webhooks->lock);
	return first;
}

static void begin(struct webhooks *webhooks, struct webhook_post *post)
{
	struct webhook_transfer *transfer = transfer_new(webhooks, post);

	if (webhook_transfer_prepare(transfer, &webhooks->config) == 0 &&
	    curl_multi_add_handle(webhooks->multi, transfer->easy) == CURLM_OK)
		return;
	put_off(transfer, "Memory is short.");
}

static void end_those_done(struct webhooks *webhooks)
{
	const CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(webhooks->multi, &left))) {
		CURLcode code = message->data.result;
		void *private = NULL;
		struct webhook_transfer *transfer;

		/* The message goes with the handle. */
		(void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
		(void)curl_multi_remove_handle(webhooks->multi, message->easy_handle);
		transfer = private;
		webhook_transfer_judge(transfer, code);
		answer(transfer);
	}
}

static void *run(void *arg)
{
	struct webhooks *webhooks = arg;
	struct webhook_post *post, *next;
	bool is_stopping;

	for (;;) {
		int running;

		for (post = take(webhooks, &is_stopping); post && !is_stopping; post = next) {
			next = post->next;
			begin(webhooks, post);
		}
		if (is_stopping)
			return NULL;
		(void)curl_multi_perform(webhooks->multi, &running);
		end_those_done(webhooks);
		(void)curl_multi_poll(webhooks->multi, NULL, 0, POLL_MS, NULL);
	}
}

/* Signals are the loop's. */
static int start_thread(struct webhooks *webhooks)
{
	sigset_t all, before;
	int r;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&webhooks->thread, NULL, run, webhooks);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	webhooks->is_running = r == 0;
	return -r;
}

/* A node that has no webhooks has neither libcurl's state nor the thread. What fails is tried again
 * with the next post. */
static int start(struct webhooks *webhooks)
{
	if (webhooks->is_running)
		return 0;
	if (!webhooks->has_curl && curl_global_init(CURL_GLOBAL_DEFAULT))
		return -ENOMEM;
	webhooks->has_curl = true;
	if (!webhooks->multi)
		webhooks->multi = curl_multi_init();
	if (!webhooks->multi ||
	    curl_multi_setopt(webhooks->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_KEPT))
		return -ENOMEM;
	return start_thread(webhooks);
}

/* -- the door -- */

void webhooks_submit(struct webhooks *webhooks, struct webhook_post *post)
{
	if (start(webhooks) < 0) {
		put_off(transfer_new(webhooks, post), "This node cannot start to post now.");
		return;
	}
	post->next = NULL;
	pthread_mutex_lock(&webhooks->lock);
	if (webhooks->last)
		webhooks->last->next = post;
	else
		webhooks->first = post;
	webhooks->last = post;
	pthread_mutex_unlock(&webhooks->lock);
	(void)curl_multi_wakeup(webhooks->multi);
}

int webhooks_new(const struct webhooks_config *config, struct loop *loop, struct webhooks **ret,
		 struct error *error)
{
	_cleanup_(webhooks_free_p) struct webhooks *webhooks = calloc(1, sizeof(*webhooks));

	if (!webhooks)
		return error_set_errno(error, ENOMEM, "Cannot post to webhooks");
	pthread_mutex_init(&webhooks->lock, NULL);
	LIST_INIT(&webhooks->transfers);
	webhooks->loop = loop;
	webhooks->config = *config;
	webhooks->ca_file = strdup(config->ca_file);
	webhooks->config.ca_file = webhooks->ca_file;
	if (!webhooks->ca_file)
		return error_set_errno(error, ENOMEM, "Cannot post to webhooks");
	if (config->ca_file[0] && access(config->ca_file, R_OK) < 0)
		return error_set_errno(error, errno, "Cannot read %s", config->ca_file);
	*ret = TAKE_PTR(webhooks);
	return 0;
}

static void stop_thread(struct webhooks *webhooks)
{
	pthread_mutex_lock(&webhooks->lock);
	webhooks->is_stopping = true;
	pthread_mutex_unlock(&webhooks->lock);
	(void)curl_multi_wakeup(webhooks->multi);
	(void)pthread_join(webhooks->thread, NULL);
}

struct webhooks *webhooks_free(struct webhooks *webhooks)
{
	struct webhook_transfer *transfer;

	if (!webhooks)
		return NULL;
	if (webhooks->is_running)
		stop_thread(webhooks);
	while ((transfer = LIST_FIRST(&webhooks->transfers))) {
		LIST_REMOVE(transfer, link);
		if (transfer->easy)
			(void)curl_multi_remove_handle(webhooks->multi, transfer->easy);
		webhook_transfer_end(transfer);
		free(transfer);
	}
	(void)curl_multi_cleanup(webhooks->multi);
	pthread_mutex_destroy(&webhooks->lock);
	free(webhooks->ca_file);
	free(webhooks);
	return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/queues/message_queues.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>

#include "agent/core/lane.h"

struct message_queues {
	struct message_queues_config config;
	struct queue_store *store; /* in jobs of the lane */
	struct lane lane;
	LIST_HEAD(, request) requests; /* not answered */
};

/* What one job is asked, and what it found. */
struct request {
	struct lane_job job; /* first */
	LIST_ENTRY(request) link;
	struct message_queues *queues;
	void (*answer)(struct request *request); /* the right one of the next */
	union {
		message_queues_put_fn *put;
		message_queues_list_fn *list;
		message_queues_read_fn *read;
		message_queues_delete_fn *delete;
	} fn;
	void *arg;
	struct error error;
	const struct queue_message *message; /* put */
	struct queue_filter filter;
	size_t max; /* read */
	uint64_t max_bytes, bytes;
	bool more;
	struct queue_message *found; /* owned, as their texts and slices */
	struct queue_summary *list;  /* owned */
	size_t count;
	uint64_t deleted;
};

static struct request *of_job(struct job *job)
{
	return container_of(container_of(job, struct lane_job, job), struct request, job);
}

static void request_free(struct request *request)
{
	LIST_REMOVE(request, link);
	for (size_t i = 0; i < request->count && request->found; i++)
		free((void *)(uintptr_t)request->found[i].error_message); /* holds the rest, too */
	free(request->found);
	free(request->list);
	error_clear(&request->error);
	free(request);
}

static void on_done(struct lane_job *job)
{
	struct request *request = container_of(job, struct request, job);

	request->answer(request);
	request_free(request);
}

static struct request *ask(struct message_queues *queues, void (*work)(struct job *job),
			   void (*answer)(struct request *request), void *arg)
{
	struct request *request = calloc(1, sizeof(*request));

	if (!request)
		abort(); /* as loop_post() */
	request->queues = queues;
	request->job.job.work = work;
	request->job.done = on_done;
	request->answer = answer;
	request->arg = arg;
	LIST_INSERT_HEAD(&queues->requests, request, link);
	return request;
}

static const struct error *error_of(const struct request *request)
{
	return request->error.code ? &request->error : NULL;
}

/* -- put -- */

static void put_work(struct job *job)
{
	struct request *request = of_job(job);
	struct message_queues *queues = request->queues;

	(void)!queue_store_put(queues->store, request->message, queues->config.max_tenant_bytes,
			       &request->error);
}

static void put_answer(struct request *request)
{
	request->fn.put(error_of(request), request->arg);
}

void message_queues_put(struct message_queues *queues, const struct queue_message *message,
			message_queues_put_fn *answer, void *arg)
{
	struct request *request = ask(queues, put_work, put_answer, arg);

	request->fn.put = answer;
	request->message = message;
	lane_submit(&queues->lane, &request->job);
}

/* -- list -- */

static void list_work(struct job *job)
{
	struct request *request = of_job(job);

	request->list = calloc(MESSAGE_QUEUES_LIST_MAX, sizeof(*request->list));
	if (!request->list)
		(void)error_set_errno(&request->error, ENOMEM, "Cannot list queues");
	else
		(void)!queue_store_list(request->queues->store, request->filter.tenant,
					request->list, MESSAGE_QUEUES_LIST_MAX, &request->count,
					&request->error);
}

static void list_answer(struct request *request)
{
	request->fn.list(request->list, request->count, error_of(request), request->arg);
}

void message_queues_list(struct message_queues *queues, const char *tenant,
			 message_queues_list_fn *answer, void *arg)
{
	struct request *request = ask(queues, list_work, list_answer, arg);

	request->fn.list = answer;
	(void)snprintf(request->filter.tenant, sizeof(request->filter.tenant), "%s", tenant);
	lane_submit(&queues->lane, &request->job);
}

/* -- read -- */

/* All that it refers to lies in one piece of memory, which begins with the error message. */
static int copy_message(const struct queue_message *from, struct queue_message *to)
{
	size_t error_len = strlen(from->error_message), trace_len = strlen(from->trace_id);
	size_t end_tenant_len = strlen(from->end_tenant);
	uint8_t *at = calloc(1, error_len + trace_len + end_tenant_len + from->client_context.len +
					from->body.len + 5);

	if (!at)
		return -ENOMEM;
	*to = *from;
	to->error_message = slice_place_string(&at, from->error_message);
	to->trace_id = slice_place_string(&at, from->trace_id);
	to->end_tenant = slice_place_string(&at, from->end_tenant);
	to->client_context = slice_place(&at, from->client_context);
	to->body = slice_place(&at, from->body);
	return 0;
}

static int keep(const struct queue_message *message, void *arg)
{
	struct request *request = arg;

	request->more =
		request->count == request->max ||
		(request->count > 0 && request->bytes + message->body.len > request->max_bytes);
	if (request->more)
		return 1;
	if (copy_message(message, &request->found[request->count]) < 0)
		return error_set_errno(&request->error, ENOMEM, "Cannot read messages");
	request->count++;
	request->bytes += message->body.len;
	return 0;
}

static void read_work(struct job *job)
{
	struct request *request = of_job(job);

	request->found = calloc(request->max, sizeof(*request->found));
	if (!request->found)
		(void)error_set_errno(&request->error, ENOMEM, "Cannot read messages");
	else
		(void)!queue_store_read(request->queues->store, &request->filter, keep, request,
					&request->error);
}

static void read_answer(struct request *request)
{
	request->fn.read(request->found, request->count, request->more, error_of(request),
			 request->arg);
}

void message_queues_read(struct message_queues *queues, const struct queue_filter *filter,
			 size_t max, uint64_t max_bytes, message_queues_read_fn *answer, void *arg)
{
	struct request *request = ask(queues, read_work, read_answer, arg);

	request->fn.read = answer;
	request->filter = *filter;
	request->max = max;
	request->max_bytes = max_bytes;
	lane_submit(&queues->lane, &request->job);
}

/* -- delete -- */

static void delete_work(struct job *job)
{
	struct request *request = of_job(job);

	(void)!queue_store_delete(request->queues->store, &request->filter, &request->deleted,
				  &request->error);
}

static void delete_answer(struct request *request)
{
	request->fn.delete(request->deleted, error_of(request), request->arg);
}

void message_queues_delete(struct message_queues *queues, const struct queue_filter *filter,
			   message_queues_delete_fn *answer, void *arg)
{
	struct request *request = ask(queues, delete_work, delete_answer, arg);

	request->fn.delete = answer;
	request->filter = *filter;
	lane_submit(&queues->lane, &request->job);
}

/* -- life -- */

int message_queues_open(const struct message_queues_config *config, struct loop *loop,
			struct message_queues **ret, struct error *error)
{
	_cleanup_(message_queues_close_p) struct message_queues *queues =
		calloc(1, sizeof(*queues));
	int r;

	if (!queues)
		return error_set_errno(error, ENOMEM, "Cannot open the queues");
	queues->config = *config;
	queues->config.path = NULL; /* is the store's from here on */
	LIST_INIT(&queues->requests);
	lane_init(&queues->lane, loop, 1);
	r = queue_store_open(config->path, config->full, &queues->store, error);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(queues);
	return 0;
}

struct message_queues *message_queues_close(struct message_queues *queues)
{
	struct request *request;

	if (!queues)
		return NULL;
	while ((request = LIST_FIRST(&queues->requests)))
		request_free(request);
	queue_store_close(queues->store);
	free(queues);
	return NULL;
}

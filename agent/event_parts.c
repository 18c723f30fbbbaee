/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/event_parts.h"

#include <errno.h>
#include <stdio.h>

#include "agent/store/event_store.h"
#include "mayfly/clock.h"

#define MIB (1ULL << 20)

static char *path_of(const struct config *config, const char *name, struct error *error)
{
	char *path = NULL;

	if (asprintf(&path, "%s/%s", config->node_state_dir, name) >= 0)
		return path;
	(void)error_set_errno(error, ENOMEM, "cannot build the node");
	return NULL;
}

static int build_store(const struct config *config, struct event_parts *parts, struct error *error)
{
	_cleanup_free_ char *path = path_of(config, "events.db", error);

	return path ? event_store_open(path, config->events_sync == CONFIG_SYNC_FULL, &parts->store,
				       error)
		    : -ENOMEM;
}

static int build_queues(const struct config *config, struct loop *loop, struct event_parts *parts,
			struct error *error)
{
	_cleanup_free_ char *path = path_of(config, "queues.db", error);
	struct message_queues_config queues = {
		.path = path,
		.full = config->events_sync == CONFIG_SYNC_FULL,
		.max_tenant_bytes = config->events_queue_max_mb * MIB,
	};

	return path ? message_queues_open(&queues, loop, &parts->queues, error) : -ENOMEM;
}

static int build_webhooks(const struct config *config, struct loop *loop, struct event_parts *parts,
			  struct error *error)
{
	struct webhooks_config webhooks = {
		.ca_file = config->events_webhook_ca_file,
		.allow_plain = config->events_webhook_allow_plain,
		.allow_private = config->events_webhook_allow_private,
		.timeout_ms = (unsigned)config->events_webhook_timeout_ms,
	};

	return webhooks_new(&webhooks, loop, &parts->webhooks, error);
}

static int build_queue(const struct config *config, const struct event_queue_config *needs,
		       struct event_parts *parts, struct error *error)
{
	struct event_queue_config queue = *needs;

	queue.store = parts->store;
	queue.queues = parts->queues;
	queue.webhooks = parts->webhooks;
	queue.policy = (struct event_policy){
		.max_retries = (unsigned)config->events_max_retries,
		.retry_first_us = (int64_t)config->events_retry_first_ms * USEC_PER_MSEC,
		.delay_first_us = (int64_t)config->events_delay_first_ms * USEC_PER_MSEC,
		.delay_max_us = (int64_t)config->events_delay_max_ms * USEC_PER_MSEC,
		.max_age_us = (int64_t)config->events_max_age_s * USEC_PER_SEC,
	};
	queue.max_running = (unsigned)config->events_max_running;
	queue.max_waiting = (unsigned)config->events_max_waiting;
	queue.max_waiting_bytes = config->events_max_waiting_mb * MIB;
	queue.percent_of_tenant = (unsigned)config->events_waiting_percent_of_tenant;
	queue.region = config->node_region;
	queue.delivery_max_age_us = (int64_t)config->events_delivery_max_age_s * USEC_PER_SEC;
	queue.max_webhooks = (unsigned)config->events_max_webhooks;
	return event_queue_new(&queue, &parts->queue, error);
}

int event_parts_build(const struct config *config, const struct event_queue_config *needs,
		      struct event_parts *ret, struct error *error)
{
	int r = build_store(config, ret, error);

	if (r == 0)
		r = build_queues(config, needs->loop, ret, error);
	if (r == 0)
		r = build_webhooks(config, needs->loop, ret, error);
	return r < 0 ? r : build_queue(config, needs, ret, error);
}

void event_parts_free(struct event_parts *parts)
{
	webhooks_free(parts->webhooks); /* posts under way refer to what is the queue's */
	event_queue_free(parts->queue);
	message_queues_close(parts->queues);
	event_store_close(parts->store);
	*parts = (struct event_parts){ 0 };
}

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Sends the events of a queue's messages again, each as a new asynchronous invocation of what was
 * invoked then. A message goes when its event is durable. Loop thread. */

#include "agent/events/event_queue.h"

struct event_redrive_result {
	unsigned redriven;
	unsigned failed;        /* stay in the queue */
	char message[256];      /* why the last of these did; "": none */
	uint64_t last_sequence; /* that was looked at */
	bool more;              /* there may be others behind it */
};

/* `error` NULL: how far it came. Both borrowed during the call. Once, later. */
typedef void event_redrive_fn(const struct event_redrive_result *result, const struct error *error,
			      void *arg);

/* At most `max` messages of those that `filter`, which is copied, has. With an id, that it is not
 * there is an error, as why its event was refused. */
int event_redrive(struct event_queue *queue, const struct queue_filter *filter, unsigned max,
		  event_redrive_fn *answer, void *arg) _must_use_;

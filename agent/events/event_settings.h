/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How events of a function, a version or an alias are tried, where it is not as on the node:
 * durable before its answer, gone with the function. A part of the queue; loop thread. */

#include "agent/events/event_queue.h"

/* Of whom; the qualifier is never "". */
struct event_settings_key {
	char tenant[EVENT_TENANT_BYTES];
	char function[EVENT_FUNCTION_BYTES];
	char qualifier[EVENT_QUALIFIER_BYTES];
};

/* NULL: as on the node. `qualifier` may be "", which is $LATEST. Borrowed until the loop turns. */
const struct event_settings *event_settings_find(const struct event_queue *queue,
						 const char *tenant, const char *function,
						 const char *qualifier);

/* `settings` NULL after a deletion and on failure. Once, later. */
typedef void event_settings_answer_fn(const struct event_settings *settings,
				      const struct error *error, void *arg);

/* Refused while another change of the same is under way. */
int event_settings_put(struct event_queue *queue, const struct event_settings_key *key,
		       const struct event_settings *settings, event_settings_answer_fn *answer,
		       void *arg, struct error *error) _must_use_;
/* There are some. */
int event_settings_delete(struct event_queue *queue, const struct event_settings_key *key,
			  event_settings_answer_fn *answer, void *arg,
			  struct error *error) _must_use_;

/* Those of a function, in no order. Borrowed during the call. */
typedef void event_settings_each_fn(const char *qualifier, const struct event_settings *settings,
				    void *arg);
void event_settings_each(const struct event_queue *queue, const char *tenant, const char *function,
			 event_settings_each_fn *fn, void *arg);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The template store has one listener: this, who tells all that follow. Loop thread. */

#include <sys/queue.h>

#include "agent/vm/template.h"

/* `gone`: the store does not list it any more. */
typedef void template_follower_fn(const struct template_facts *facts, bool gone, void *arg);

/* Embedded by whoever follows. It may leave when it is called, others may not. */
struct template_follower {
	LIST_ENTRY(template_follower) link;
	template_follower_fn *fn;
	void *arg;
};

struct template_feed {
	struct template_store *store; /* borrowed; NULL before it is initialised */
	LIST_HEAD(, template_follower) followers;
};

void template_feed_init(struct template_feed *feed, struct template_store *store);
/* All have left. */
void template_feed_stop(struct template_feed *feed);

void template_feed_follow(struct template_feed *feed, struct template_follower *follower);
/* Copes with one that never followed or left already. */
void template_feed_leave(struct template_follower *follower);

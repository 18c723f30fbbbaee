/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/template_feed.h"

#include <string.h>

struct search {
	const char *id;
	bool found;
};

static void compare(const struct template_facts *facts, void *arg)
{
	struct search *search = arg;

	search->found |= strcmp(facts->id, search->id) == 0;
}

static void on_change(const struct template_facts *facts, void *arg)
{
	struct template_feed *feed = arg;
	struct search search = { .id = facts->id };

	if (LIST_EMPTY(&feed->followers))
		return;
	template_store_each(feed->store, compare, &search);
	for (struct template_follower *follower = LIST_FIRST(&feed->followers), *next; follower;
	     follower = next) {
		next = LIST_NEXT(follower, link);
		follower->fn(facts, !search.found, follower->arg);
	}
}

void template_feed_init(struct template_feed *feed, struct template_store *store)
{
	feed->store = store;
	LIST_INIT(&feed->followers);
	template_store_set_listener(store, on_change, feed);
}

void template_feed_stop(struct template_feed *feed)
{
	if (feed->store)
		template_store_set_listener(feed->store, NULL, NULL);
}

void template_feed_follow(struct template_feed *feed, struct template_follower *follower)
{
	LIST_INSERT_HEAD(&feed->followers, follower, link);
}

void template_feed_leave(struct template_follower *follower)
{
	if (!follower->link.le_prev)
		return;
	LIST_REMOVE(follower, link);
	follower->link.le_prev = NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/events/event_shelf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define FIRST_ITEMS 64

struct shelf_tenant {
	char id[EVENT_TENANT_BYTES];
	struct shelf_item *first, *last;
	struct shelf_tenant *next; /* in turn */
	UT_hash_handle hh;
};

/* -- the heap: what waits for its time -- */

static bool is_before(const struct shelf_item *a, const struct shelf_item *b)
{
	return a->due_us < b->due_us;
}

static void swap(struct shelf_item **a, struct shelf_item **b)
{
	struct shelf_item *item = *a;

	*a = *b;
	*b = item;
}

static void rise(struct event_shelf *shelf, size_t at)
{
	for (size_t above; at > 0; at = above) {
		above = (at - 1) / 2;
		if (!is_before(shelf->heap[at], shelf->heap[above]))
			return;
		swap(&shelf->heap[at], &shelf->heap[above]);
	}
}

static void sink(struct event_shelf *shelf, size_t at)
{
	for (;;) {
		size_t least = at;

		for (size_t below = 2 * at + 1; below <= 2 * at + 2; below++)
			if (below < shelf->count &&
			    is_before(shelf->heap[below], shelf->heap[least]))
				least = below;
		if (least == at)
			return;
		swap(&shelf->heap[at], &shelf->heap[least]);
		at = least;
	}
}

static struct shelf_item *take_earliest(struct event_shelf *shelf)
{
	struct shelf_item *item = shelf->heap[0];

	shelf->heap[0] = shelf->heap[--shelf->count];
	sink(shelf, 0);
	return item;
}

int event_shelf_reserve(struct event_shelf *shelf, size_t items)
{
	size_t size = shelf->size ? shelf->size : FIRST_ITEMS;
	struct shelf_item **heap;

	while (size < items)
		size *= 2;
	if (size == shelf->size)
		return 0;
	heap = reallocarray(shelf->heap, size, sizeof(struct shelf_item *));
	if (!heap)
		return -ENOMEM;
	shelf->heap = heap;
	shelf->size = size;
	return 0;
}

void event_shelf_put(struct event_shelf *shelf, struct shelf_item *item)
{
	shelf->heap[shelf->count] = item;
	rise(shelf, shelf->count++);
}

/* -- turns -- */

static void append_turn(struct event_shelf *shelf, struct shelf_tenant *tenant)
{
	tenant->next = NULL;
	if (shelf->turn_last)
		shelf->turn_last->next = tenant;
	else
		shelf->turn_first = tenant;
	shelf->turn_last = tenant;
}

static struct shelf_tenant *find_tenant(struct event_shelf *shelf, const char *id)
{
	struct shelf_tenant *tenant;

	HASH_FIND_STR(shelf->tenants, id, tenant);
	if (tenant)
		return tenant;
	tenant = calloc(1, sizeof(*tenant));
	if (!tenant)
		abort(); /* as loop_post(): what was acknowledged must not be lost */
	(void)snprintf(tenant->id, sizeof(tenant->id), "%s", id);
	HASH_ADD_STR(shelf->tenants, id, tenant);
	append_turn(shelf, tenant);
	return tenant;
}

static void queue_up(struct event_shelf *shelf, struct shelf_item *item)
{
	struct shelf_tenant *tenant = find_tenant(shelf, item->tenant);

	item->next = NULL;
	if (tenant->last)
		tenant->last->next = item;
	else
		tenant->first = item;
	tenant->last = item;
}

static void drop_tenant(struct event_shelf *shelf, struct shelf_tenant *tenant)
{
	HASH_DEL(shelf->tenants, tenant);
	free(tenant);
}

struct shelf_item *event_shelf_take(struct event_shelf *shelf, int64_t now_us)
{
	struct shelf_tenant *tenant;
	struct shelf_item *item;

	while (shelf->count > 0 && shelf->heap[0]->due_us <= now_us)
		queue_up(shelf, take_earliest(shelf));
	tenant = shelf->turn_first;
	if (!tenant)
		return NULL;
	shelf->turn_first = tenant->next;
	if (!shelf->turn_first)
		shelf->turn_last = NULL;
	item = tenant->first;
	tenant->first = item->next;
	if (tenant->first)
		append_turn(shelf, tenant);
	else
		drop_tenant(shelf, tenant);
	return item;
}

int64_t event_shelf_next_us(const struct event_shelf *shelf)
{
	if (shelf->turn_first)
		return 0;
	return shelf->count > 0 ? shelf->heap[0]->due_us : INT64_MAX;
}

void event_shelf_free(struct event_shelf *shelf)
{
	struct shelf_tenant *tenant, *next;

	HASH_ITER (hh, shelf->tenants, tenant, next)
		drop_tenant(shelf, tenant);
	free(shelf->heap);
	*shelf = (struct event_shelf){ 0 };
}

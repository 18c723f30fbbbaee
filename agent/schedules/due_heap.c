/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/schedules/due_heap.h"

#include <errno.h>

#define FIRST_SIZE 64

void due_heap_free(struct due_heap *heap)
{
	free(heap->items);
	*heap = (struct due_heap){ 0 };
}

int due_heap_reserve(struct due_heap *heap, size_t count)
{
	size_t size = heap->size ? heap->size : FIRST_SIZE;
	struct due_item **items;

	if (count <= heap->size)
		return 0;
	while (size < count)
		size *= 2;
	items = reallocarray(heap->items, size, sizeof(struct due_item *));
	if (!items)
		return -ENOMEM;
	heap->items = items;
	heap->size = size;
	return 0;
}

static void set(struct due_heap *heap, size_t place, struct due_item *item)
{
	heap->items[place - 1] = item;
	item->place = place;
}

static void move_up(struct due_heap *heap, struct due_item *item, size_t place)
{
	while (place > 1 && heap->items[place / 2 - 1]->due_us > item->due_us) {
		set(heap, place, heap->items[place / 2 - 1]);
		place /= 2;
	}
	set(heap, place, item);
}

static void move_down(struct due_heap *heap, struct due_item *item, size_t place)
{
	for (size_t child; (child = 2 * place) <= heap->count; place = child) {
		if (child < heap->count &&
		    heap->items[child]->due_us < heap->items[child - 1]->due_us)
			child++;
		if (heap->items[child - 1]->due_us >= item->due_us)
			break;
		set(heap, place, heap->items[child - 1]);
	}
	set(heap, place, item);
}

void due_heap_put(struct due_heap *heap, struct due_item *item, int64_t due_us)
{
	due_heap_remove(heap, item);
	item->due_us = due_us;
	move_up(heap, item, ++heap->count);
}

void due_heap_remove(struct due_heap *heap, struct due_item *item)
{
	size_t place = item->place;
	struct due_item *last;

	if (place == 0)
		return;
	item->place = 0;
	last = heap->items[--heap->count];
	if (last == item)
		return;
	move_down(heap, last, place);
	move_up(heap, last, last->place);
}

struct due_item *due_heap_first(const struct due_heap *heap)
{
	return heap->count > 0 ? heap->items[0] : NULL;
}
